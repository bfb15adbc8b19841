-- Group buying: what is offered to teams, the teams, and every place in one that an order has had.

CREATE TABLE group_offers (
    group_id   uuid PRIMARY KEY,
    course_id  uuid NOT NULL,
    creator    uuid NOT NULL,
    price      bigint NOT NULL CHECK (price > 0),
    size       bigint NOT NULL CHECK (size > 1),
    lasts_s    bigint NOT NULL CHECK (lasts_s > 0),
    state      text NOT NULL CHECK (state IN ('offered', 'withdrawn')),
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE group_offers IS 'A course at a lower price, for whoever finds enough others within a time.';
CREATE INDEX group_offers_offered ON group_offers (group_id) WHERE state = 'offered';
CREATE INDEX group_offers_of_course ON group_offers (course_id, group_id) WHERE state = 'offered';

CREATE TABLE teams (
    team_id    uuid PRIMARY KEY,
    group_id   uuid NOT NULL,
    course_id  uuid NOT NULL,
    price      bigint NOT NULL CHECK (price > 0),
    size       bigint NOT NULL CHECK (size > 1),
    paid       bigint NOT NULL CHECK (paid >= 0),
    reserved   bigint NOT NULL CHECK (reserved >= 0),
    state      text NOT NULL CHECK (state IN ('open', 'succeeded', 'failed')),
    ends_at    timestamptz NOT NULL,
    opened_at  timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The last defence against one member too many, and against a team that succeeds with one too few.
    CONSTRAINT teams_size CHECK (paid + reserved <= size),
    CHECK (state <> 'succeeded' OR paid = size),
    CHECK (opened_at < ends_at)
) WITH (fillfactor = 50);
COMMENT ON TABLE teams IS 'Teams that buy a course together: exactly so many, all paid before the end, or none of them.';

CREATE TABLE team_places (
    team_id     uuid NOT NULL,
    order_id    uuid NOT NULL,
    user_id     uuid NOT NULL,
    state       text NOT NULL CHECK (state IN ('reserved', 'paid', 'released', 'refused')),
    reserved_at timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (team_id, order_id)
);
COMMENT ON TABLE team_places IS 'Every place in a team that an order has had, and what became of it.';
COMMENT ON COLUMN team_places.state IS 'refused: it was paid when the team had failed, and its money goes back.';
-- The last defence against two places of one buyer.
CREATE UNIQUE INDEX team_places_one_per_buyer ON team_places (team_id, user_id) WHERE state <> 'released';

-- An order of a team rests in "paid" until the team is decided, which is its next action.
ALTER TABLE orders DROP CONSTRAINT orders_check;
-- Not valid yet, since looking at every order would keep all of them locked for as long as that takes: the next migration looks.
ALTER TABLE orders ADD CONSTRAINT orders_check CHECK ((due_at IS NOT NULL) = (state IN ('pending', 'paid', 'refunding'))) NOT VALID;

CREATE OR REPLACE VIEW sagas AS
SELECT 'checkout' AS kind, o.order_id AS id, o.user_id, o.saga AS state, o.due_at, o.updated_at, o.since,
    CASE o.saga WHEN 'awaiting_payment' THEN 'expire' WHEN 'closing' THEN 'close_payment' WHEN 'refund_failed' THEN 'retry_refund'
        WHEN 'awaiting_team' THEN 'await_team' ELSE 'await_refund' END AS action,
    coalesce((SELECT r.attempt FROM refunds AS r WHERE r.order_id = o.order_id ORDER BY r.requested_at DESC LIMIT 1), 1) AS attempt,
    o.order_id, o.payment_id, o.total AS amount
FROM orders AS o WHERE o.due_at IS NOT NULL
UNION ALL
SELECT 'payment', p.payment_id, p.user_id, p.state, p.due_at, p.updated_at, p.since, p.action, p.attempt, p.order_id, p.payment_id,
    p.amount
FROM payments AS p WHERE p.due_at IS NOT NULL;
