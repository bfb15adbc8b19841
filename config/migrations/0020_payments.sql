-- Orders that are paid otherwise than they were begun: a payment may turn out to be a surplus.

ALTER TABLE payments DROP CONSTRAINT payments_state_check;
ALTER TABLE payments ADD CONSTRAINT payments_state_check
    CHECK (state IN ('processing', 'requires_action', 'unknown', 'succeeded', 'surplus', 'declined', 'cancelled'));
COMMENT ON COLUMN payments.state IS 'surplus: captured although another payment had paid the order; the money goes back.';
COMMENT ON COLUMN orders.payment_id IS 'The payment that paid the order, or else the latest.';
COMMENT ON COLUMN orders.method IS 'By what that payment is made.';
