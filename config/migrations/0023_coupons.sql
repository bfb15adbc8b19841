-- Coupons: what each promises and how often it is used, and every use that an order has had.

CREATE TABLE coupons (
    coupon_id   uuid PRIMARY KEY,
    -- What people type, in upper case. A code stays its coupon's for good, so that nobody gets another discount than they were promised.
    code        text NOT NULL CONSTRAINT coupons_code UNIQUE,
    creator     uuid,
    issued_by   uuid NOT NULL,
    terms       json NOT NULL,
    uses_max    bigint NOT NULL CHECK (uses_max > 0),
    per_user    bigint NOT NULL CHECK (per_user BETWEEN 1 AND uses_max),
    reserved    bigint NOT NULL CHECK (reserved >= 0),
    redeemed    bigint NOT NULL CHECK (redeemed >= 0),
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    issued_at   timestamptz NOT NULL,
    disabled_at timestamptz,
    updated_at  timestamptz NOT NULL,
    -- The last defence against more uses than were promised.
    CONSTRAINT coupons_limit CHECK (reserved + redeemed <= uses_max),
    CHECK (starts_at < ends_at)
) WITH (fillfactor = 50);
COMMENT ON TABLE coupons IS 'Coupons: what a code takes off an order, how often and when.';
COMMENT ON COLUMN coupons.creator IS 'Whose courses it serves; null if the platform issued it, for all.';
COMMENT ON COLUMN coupons.terms IS 'What it promises, as it was issued; it never changes.';
-- Lists go by whoever issued, newest first.
CREATE INDEX coupons_of_creator ON coupons (creator, coupon_id);

CREATE TABLE coupon_uses (
    coupon_id   uuid NOT NULL,
    order_id    uuid NOT NULL,
    user_id     uuid NOT NULL,
    state       text NOT NULL CHECK (state IN ('reserved', 'redeemed', 'released')),
    off         bigint NOT NULL CHECK (off > 0),
    reserved_at timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (coupon_id, order_id)
);
COMMENT ON TABLE coupon_uses IS 'Every use of a coupon that an order has had, and what became of it.';
COMMENT ON COLUMN coupon_uses.off IS 'What it took off the order, in minor units.';
