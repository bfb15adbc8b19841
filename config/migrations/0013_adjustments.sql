-- What operators do about money: adjustments of the ledger, which need two of them, and sagas that they have looked into.

CREATE TABLE adjustments (
    adjustment_id uuid PRIMARY KEY,
    state         text NOT NULL CHECK (state IN ('proposed', 'approved', 'posted', 'rejected')),
    maker         uuid NOT NULL,
    checker       uuid,
    user_id       uuid,
    reason        text NOT NULL,
    note          text,
    refusal       text,
    accounts      smallint[] NOT NULL,
    owners        uuid[] NOT NULL,
    amounts       bigint[] NOT NULL,
    currency      text NOT NULL,
    proposed_at   timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- The last defence against somebody who approves what they have proposed.
    CONSTRAINT adjustments_two_operators CHECK (checker <> maker),
    CHECK ((checker IS NULL) = (state = 'proposed'))
);
COMMENT ON TABLE adjustments IS 'Manual adjustments of the ledger: one operator proposes, another decides.';
COMMENT ON COLUMN adjustments.user_id IS 'Whose wallet it moves, if it moves one.';
COMMENT ON COLUMN adjustments.refusal IS 'The code of the rule that refused it after its approval.';
CREATE INDEX adjustments_by_state ON adjustments (state, adjustment_id);

CREATE TABLE saga_reconciliations (
    saga_id  uuid PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('checkout', 'payment')),
    state    text NOT NULL,
    operator uuid NOT NULL,
    note     text NOT NULL,
    at       timestamptz NOT NULL
);
COMMENT ON TABLE saga_reconciliations IS
    'Open sagas that an operator has looked into and settled elsewhere, in the state they were in. It changes nothing about the saga.';

CREATE INDEX refunds_of_order ON refunds (order_id);
CREATE INDEX payments_of_order ON payments (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX provider_events_of_reference ON provider_events (reference);

DROP VIEW sagas;
CREATE VIEW sagas AS
SELECT 'checkout' AS kind, o.order_id AS id, o.user_id, o.saga AS state, o.due_at, o.updated_at, o.since,
    CASE o.saga WHEN 'awaiting_payment' THEN 'expire' WHEN 'closing' THEN 'close_payment' WHEN 'refund_failed' THEN 'retry_refund'
        ELSE 'await_refund' END AS action,
    coalesce((SELECT r.attempt FROM refunds AS r WHERE r.order_id = o.order_id ORDER BY r.requested_at DESC LIMIT 1), 1) AS attempt,
    o.order_id, o.payment_id, o.total AS amount
FROM orders AS o WHERE o.due_at IS NOT NULL
UNION ALL
SELECT 'payment', p.payment_id, p.user_id, p.state, p.due_at, p.updated_at, p.since, p.action, p.attempt, p.order_id, p.payment_id,
    p.amount
FROM payments AS p WHERE p.due_at IS NOT NULL;
COMMENT ON VIEW sagas IS 'Every saga that has not ended, with its next action and when that is due.';
