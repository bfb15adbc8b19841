-- The journal: what every decision becomes, and who may write it.

CREATE TABLE nodes (
    incarnation uuid PRIMARY KEY,
    node text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE nodes IS 'One row for each start of a node; an incarnation never comes back.';

CREATE TABLE shard_owner (
    shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 255),
    epoch bigint NOT NULL DEFAULT 0,
    node text,
    incarnation uuid,
    claimed_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE shard_owner IS 'The one owner of each shard. A claim raises the epoch; every commit is fenced against it.';
INSERT INTO shard_owner (shard) SELECT generate_series(0, 255);

CREATE TABLE events (
    kind smallint NOT NULL,
    entity uuid NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    at timestamptz NOT NULL,
    operation uuid,
    events json NOT NULL,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (kind, entity, version)
);
COMMENT ON TABLE events IS 'One row for each decision of an entity: a JSON array of events. Versions have no gaps.';
COMMENT ON COLUMN events.txid IS 'Streams read in this order, and only below the oldest open transaction.';
CREATE INDEX events_stream ON events (txid);

CREATE TABLE snapshots (
    kind smallint NOT NULL,
    entity uuid NOT NULL,
    version bigint NOT NULL,
    state json NOT NULL,
    operations uuid[] NOT NULL,
    PRIMARY KEY (kind, entity)
);
COMMENT ON TABLE snapshots IS 'The state of an entity after a version, so that recovery reads only what came later.';

CREATE TABLE operations (
    id uuid PRIMARY KEY,
    kind smallint NOT NULL,
    entity uuid NOT NULL,
    fingerprint uuid NOT NULL,
    answer json NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE operations IS 'Idempotency records: the answer of each named operation. Kept for good where money moved.';

CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    shard smallint NOT NULL,
    kind smallint NOT NULL,
    entity uuid NOT NULL,
    due_at timestamptz NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    faults smallint NOT NULL DEFAULT 0,
    payload json NOT NULL
);
COMMENT ON TABLE outbox IS 'Messages between entities and to the outside, and timers: delivered at least once, then deleted.';
CREATE INDEX outbox_due ON outbox (due_at);

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    shard smallint NOT NULL,
    kind smallint NOT NULL,
    entity uuid NOT NULL,
    attempts smallint NOT NULL,
    payload json NOT NULL,
    reason text NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dead_letters IS 'Messages that could not be delivered; an operator decides.';

-- Raises LY001 unless every shard is still owned under the given epoch and incarnation. FOR SHARE makes a claim wait for
-- this transaction; the second statement sees whatever a claim committed before the lock was granted.
CREATE FUNCTION fence(shards smallint[], epochs bigint[], owner uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stale smallint[];
BEGIN
    PERFORM 1 FROM shard_owner WHERE shard = ANY (shards) ORDER BY shard FOR SHARE;
    SELECT array_agg(wanted.shard) INTO stale
    FROM unnest(shards, epochs) AS wanted (shard, epoch)
    LEFT JOIN shard_owner AS actual USING (shard)
    WHERE actual.epoch IS DISTINCT FROM wanted.epoch OR actual.incarnation IS DISTINCT FROM owner;
    IF stale IS NOT NULL THEN
        RAISE EXCEPTION 'shard has another owner' USING ERRCODE = 'LY001', DETAIL = array_to_string(stale, ',');
    END IF;
END
$$;
