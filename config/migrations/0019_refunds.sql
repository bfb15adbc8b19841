-- Refunds of a part, several of one order, and those that an operator has to approve.

ALTER TABLE orders DROP CONSTRAINT orders_state_check;
ALTER TABLE orders ADD CONSTRAINT orders_state_check
    CHECK (state IN ('pending', 'paid', 'fulfilled', 'fulfil_failed', 'refunding', 'refunded', 'partially_refunded', 'cancelled',
                     'expired'));

ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_state_check
    CHECK (state IN ('requested', 'rejected', 'cancelled', 'processing', 'unknown', 'failed', 'succeeded'));
ALTER TABLE refunds ADD COLUMN checker uuid;
-- The last defence against somebody who approves what they have asked for.
ALTER TABLE refunds ADD CONSTRAINT refunds_two_people CHECK (checker <> user_id);
COMMENT ON TABLE refunds IS
    'Refunds of orders, whole or in part. All of an order that are neither rejected nor cancelled add up to no more than it cost.';
COMMENT ON COLUMN refunds.method IS 'Through what the money goes back: the wallet, or the provider that took it.';
COMMENT ON COLUMN refunds.checker IS 'The operator who decided about it, where one had to.';
CREATE INDEX refunds_waiting ON refunds (refund_id) WHERE state = 'requested';
