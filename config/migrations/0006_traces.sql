-- Traces: the steps of a saga share the trace of the request that began it.

ALTER TABLE outbox ADD COLUMN trace text;
COMMENT ON COLUMN outbox.trace IS 'The traceparent of the decision that sent the message, if it has a trace.';
