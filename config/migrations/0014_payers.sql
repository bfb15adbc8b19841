-- Payments whose payer has to scan a code, log in or confirm before they are charged.

ALTER TABLE payments DROP CONSTRAINT payments_state_check;
ALTER TABLE payments ADD CONSTRAINT payments_state_check
    CHECK (state IN ('processing', 'requires_action', 'unknown', 'succeeded', 'declined', 'cancelled'));
ALTER TABLE payments DROP CONSTRAINT payments_check;
ALTER TABLE payments ADD CONSTRAINT payments_check
    CHECK ((due_at IS NOT NULL) = (state IN ('processing', 'requires_action', 'unknown')));
