-- Several nodes: who belongs to the cluster, for how long they may be believed to live, and what was moved between them.

CREATE TABLE members (
    incarnation uuid PRIMARY KEY,
    node text NOT NULL,
    state text NOT NULL CHECK (state IN ('joining', 'serving', 'draining', 'left', 'dead')),
    wanted_state text CHECK (wanted_state IN ('serving', 'draining', 'dead')),
    http text NOT NULL,
    link text NOT NULL,
    version text NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL,
    renewals bigint NOT NULL DEFAULT 0,
    load int NOT NULL DEFAULT 0,
    fenced_writes bigint NOT NULL DEFAULT 0,
    ended_at timestamptz,
    ended_because text
) WITH (fillfactor = 50);
COMMENT ON TABLE members IS 'One row for each start of a node that joined a cluster. Dead and left are final: it comes back as another row.';
COMMENT ON COLUMN members.lease_until IS 'By the clock of this database. A member whose lease is over may be declared dead by anybody.';
COMMENT ON COLUMN members.wanted_state IS 'What an operator asked of the member; it carries it out itself, but for its own death.';
COMMENT ON COLUMN members.load IS 'Turns a second of the entities of all its shards.';
COMMENT ON COLUMN members.fenced_writes IS 'Commands and decisions of its own that were refused because a shard had, or might have had, another owner.';
CREATE UNIQUE INDEX members_live ON members (node) WHERE state NOT IN ('left', 'dead');

ALTER TABLE shard_owner ADD COLUMN changed xid8 NOT NULL DEFAULT '0';
COMMENT ON COLUMN shard_owner.changed IS 'The transaction that changed the row last, so that members read only what is new to them.';
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := pg_current_xact_id();
    RETURN NEW;
END
$$;
CREATE TRIGGER shard_owner_changed BEFORE UPDATE ON shard_owner FOR EACH ROW EXECUTE FUNCTION note_change();

CREATE TABLE shard_moves (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    from_node text,
    from_incarnation uuid,
    to_node text NOT NULL,
    to_incarnation uuid NOT NULL,
    reason text NOT NULL
);
COMMENT ON TABLE shard_moves IS 'The last changes of owners and why; old rows are deleted.';

CREATE TABLE shard_wishes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard smallint NOT NULL,
    to_node text NOT NULL,
    reason text NOT NULL,
    wished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    outcome text
);
COMMENT ON TABLE shard_wishes IS 'Shards that an operator wants on another node; the owner of the shard carries it out.';
CREATE INDEX shard_wishes_open ON shard_wishes (id) WHERE ended_at IS NULL;
