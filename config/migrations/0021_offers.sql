-- Bundles and redeem codes: what the entities decide, for whoever looks for it by something else than an id.

CREATE TABLE bundles (
    bundle_id  uuid PRIMARY KEY,
    creator    uuid NOT NULL,
    title      text NOT NULL,
    course_ids uuid[] NOT NULL,
    price      bigint NOT NULL CHECK (price >= 0),
    currency   text NOT NULL,
    state      text NOT NULL CHECK (state IN ('offered', 'withdrawn')),
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE bundles IS 'Courses of one creator at one price. An order of a bundle has an ordinary line for each course.';
CREATE INDEX bundles_offered ON bundles (bundle_id) WHERE state = 'offered';
CREATE INDEX bundles_of_creator ON bundles (creator, bundle_id) WHERE state = 'offered';

CREATE TABLE code_batches (
    batch_id     uuid PRIMARY KEY,
    course_id    uuid NOT NULL,
    codes        bigint NOT NULL CHECK (codes > 0),
    redeemed     bigint NOT NULL CHECK (redeemed BETWEEN 0 AND codes),
    issued_by    uuid NOT NULL,
    issued_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    cancelled_at timestamptz
);
COMMENT ON TABLE code_batches IS 'Batches of redeem codes that operators have issued for a course.';

CREATE TABLE redeem_codes (
    code_id     uuid PRIMARY KEY,
    batch_id    uuid,
    order_id    uuid,
    giver       uuid,
    number      bigint NOT NULL,
    user_id     uuid,
    redeemed_at timestamptz,
    CHECK ((batch_id IS NULL) <> (order_id IS NULL)),
    CHECK ((order_id IS NULL) = (giver IS NULL)),
    CHECK ((user_id IS NULL) = (redeemed_at IS NULL))
);
COMMENT ON TABLE redeem_codes IS 'Redeem codes of batches and of gifts. The id is the first half of the SHA-256 of what people type, which is kept nowhere.';
CREATE INDEX redeem_codes_of_batch ON redeem_codes (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX redeem_codes_of_order ON redeem_codes (order_id) WHERE order_id IS NOT NULL;

ALTER TABLE grants DROP CONSTRAINT grants_source_check;
ALTER TABLE grants ADD CONSTRAINT grants_source_check CHECK (source IN ('order', 'import', 'code'));
