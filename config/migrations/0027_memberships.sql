-- Membership plans, who has joined them, and the orders that pay their periods.

CREATE TABLE membership_plans (
    plan_id    uuid PRIMARY KEY,
    creator    uuid,
    offered_by uuid NOT NULL,
    offer      json NOT NULL,
    price      bigint NOT NULL CHECK (price > 0),
    every      text NOT NULL CHECK (every IN ('month', 'year')),
    state      text NOT NULL CHECK (state IN ('offered', 'withdrawn')),
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE membership_plans IS 'What members may study for a price that is paid for each month or year.';
COMMENT ON COLUMN membership_plans.creator IS 'Whose plan it is; null if it is the platform''s.';
COMMENT ON COLUMN membership_plans.offer IS 'What it offers, as it was offered; it never changes.';
CREATE INDEX membership_plans_of_creator ON membership_plans (creator, plan_id);

CREATE TABLE memberships (
    membership_id uuid PRIMARY KEY,
    user_id       uuid NOT NULL,
    plan_id       uuid NOT NULL,
    creator       uuid,
    opens         json NOT NULL,
    price         bigint NOT NULL CHECK (price > 0),
    state         text NOT NULL CHECK (state IN ('pending', 'active', 'past_due', 'paused', 'ended')),
    renews        boolean NOT NULL,
    access_until  timestamptz,
    due_at        timestamptz,
    joined_at     timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- The last defence against two memberships of one person: their id is made of person and plan.
    CONSTRAINT memberships_one_each UNIQUE (user_id, plan_id),
    CHECK ((access_until IS NOT NULL) = (state IN ('active', 'past_due'))),
    -- What is over or waits for its first payment has no clock.
    CHECK (due_at IS NULL OR state IN ('active', 'past_due', 'paused'))
) WITH (fillfactor = 80);
COMMENT ON TABLE memberships IS 'Who is a member of which plan, at the terms that were frozen when they joined, and until when they may study.';
COMMENT ON COLUMN memberships.access_until IS 'Until when what it opens may be studied; null if it may not.';
COMMENT ON COLUMN memberships.due_at IS 'What the clock does next: renew, end or resume. Null while an order is under way, which tells how it ended.';

CREATE TABLE membership_charges (
    order_id      uuid PRIMARY KEY,
    membership_id uuid NOT NULL,
    user_id       uuid NOT NULL,
    state         text NOT NULL CHECK (state IN ('pending', 'paid', 'unpaid', 'removed')),
    begins_at     timestamptz,
    ends_at       timestamptz,
    updated_at    timestamptz NOT NULL,
    CHECK (begins_at <= ends_at),
    CHECK ((begins_at IS NOT NULL) = (ends_at IS NOT NULL)),
    CHECK (state <> 'paid' OR begins_at IS NOT NULL)
);
COMMENT ON TABLE membership_charges IS 'The order that pays, or was to pay, each period of a membership: an order adds one period at most.';
CREATE INDEX membership_charges_of_membership ON membership_charges (membership_id);
