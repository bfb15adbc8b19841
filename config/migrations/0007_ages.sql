-- Since when something waits. Retries move due times and rows, and an age that starts anew with each of them warns nobody.

ALTER TABLE orders ADD COLUMN since timestamptz;
COMMENT ON COLUMN orders.since IS 'When the open saga reached its state; asking again does not move it.';
ALTER TABLE payments ADD COLUMN since timestamptz;
COMMENT ON COLUMN payments.since IS 'When the open payment reached its state; asking again does not move it.';
UPDATE orders SET since = updated_at WHERE due_at IS NOT NULL;
UPDATE payments SET since = updated_at WHERE due_at IS NOT NULL;

CREATE OR REPLACE VIEW sagas AS
SELECT 'checkout' AS kind, order_id AS id, user_id, saga AS state, due_at, updated_at, since FROM orders WHERE due_at IS NOT NULL
UNION ALL
SELECT 'payment', payment_id, user_id, state, due_at, updated_at, since FROM payments WHERE due_at IS NOT NULL;

ALTER TABLE outbox ADD COLUMN put_off_since timestamptz;
COMMENT ON COLUMN outbox.put_off_since IS 'When the message was due first, if its delivery has failed since.';
CREATE INDEX outbox_put_off ON outbox (put_off_since) WHERE put_off_since IS NOT NULL;
