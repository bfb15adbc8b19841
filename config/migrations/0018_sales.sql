-- Flash sales: what each offers and how much of it is left, and every slot that an order has had.

CREATE TABLE sales (
    sale_id    uuid PRIMARY KEY,
    course_id  uuid NOT NULL,
    created_by uuid NOT NULL,
    price      bigint NOT NULL CHECK (price >= 0),
    stock      bigint NOT NULL CHECK (stock > 0),
    sold       bigint NOT NULL CHECK (sold >= 0),
    reserved   bigint NOT NULL CHECK (reserved >= 0),
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The last defence against selling more than there is.
    CONSTRAINT sales_stock CHECK (sold + reserved <= stock),
    CHECK (starts_at < ends_at)
) WITH (fillfactor = 50);
COMMENT ON TABLE sales IS 'Flash sales: a few slots of one course at a lower price.';

CREATE TABLE sale_slots (
    sale_id     uuid NOT NULL,
    order_id    uuid NOT NULL,
    user_id     uuid NOT NULL,
    state       text NOT NULL CHECK (state IN ('reserved', 'sold', 'released')),
    reserved_at timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (sale_id, order_id)
);
COMMENT ON TABLE sale_slots IS 'Every slot of a flash sale that an order has had, and what became of it.';
-- The last defence against selling two slots of a sale to one buyer.
CREATE UNIQUE INDEX sale_slots_one_per_buyer ON sale_slots (sale_id, user_id) WHERE state <> 'released';
