-- Webhooks out: who wants to hear of what, and the queue and log of what they are told.

CREATE TABLE webhook_endpoints (
    endpoint_id    uuid PRIMARY KEY,
    user_id        uuid NOT NULL,
    url            text NOT NULL,
    events         text[] NOT NULL,
    state          text NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    reason         text CHECK (reason IN ('owner', 'gone', 'failing')),
    secret_version bigint NOT NULL CHECK (secret_version > 0),
    previous_until timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CHECK ((reason IS NOT NULL) = (state = 'disabled')),
    CHECK ((url = '') = (state = 'deleted')),
    CHECK ((cardinality(events) = 0) = (state = 'deleted'))
);
COMMENT ON TABLE webhook_endpoints IS
    'Where users want to hear of events, as their subscribers have decided it. Secrets are derived from a key and stored nowhere.';
CREATE INDEX webhook_endpoints_of_user ON webhook_endpoints (user_id);

CREATE TABLE webhook_deliveries (
    delivery_id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL,
    user_id     uuid NOT NULL,
    event_id    uuid NOT NULL,
    event_type  text NOT NULL,
    subject     uuid NOT NULL,
    body        text NOT NULL,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed', 'abandoned')),
    attempts    bigint NOT NULL DEFAULT 0,
    tries       bigint NOT NULL DEFAULT 0,
    since       timestamptz NOT NULL,
    due_at      timestamptz,
    status      smallint,
    response    text,
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event_id, endpoint_id),
    CHECK ((due_at IS NOT NULL) = (state = 'pending')),
    CHECK (state <> 'delivered' OR status BETWEEN 200 AND 299),
    CHECK (tries <= attempts)
) WITH (fillfactor = 80);
COMMENT ON TABLE webhook_deliveries IS
    'Events on their way to endpoints, and what became of them: tried until delivered, for days. Ids sort by the time of the event.';
COMMENT ON COLUMN webhook_deliveries.tries IS 'Attempts since it came into the queue or was replayed; since when is in `since`.';
COMMENT ON COLUMN webhook_deliveries.subject IS 'The order that the event is about.';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (endpoint_id, delivery_id);
