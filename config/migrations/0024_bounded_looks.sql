-- Looks that stay short however long a backlog is: deliveries by endpoint, refunds by state.

-- A claim goes from endpoint to endpoint and takes what is due of each, so that nobody's backlog is walked through.
DROP INDEX webhook_deliveries_waiting;
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
DROP INDEX webhook_deliveries_due;

-- Whether an endpoint took anything since a delivery to it began to fail.
CREATE INDEX webhook_deliveries_taken ON webhook_deliveries (endpoint_id, updated_at) WHERE state = 'delivered';

-- Refunds of one state, newest first, however rare it is.
CREATE INDEX refunds_of_state ON refunds (state, refund_id);
DROP INDEX refunds_waiting;
