-- Every node follows who has webhook endpoints, four times a second.

CREATE INDEX events_of_subscribers ON events (txid) WHERE kind = 20;
COMMENT ON INDEX events_of_subscribers IS
    'Owners of webhook endpoints, whom every node follows. Without it each look would pass over every purchase since the last.';
