-- The audit log: what operators did to the cluster and why, each row chained to the one before.

CREATE TABLE audit_log (
    number bigint PRIMARY KEY CHECK (number > 0),
    at timestamptz NOT NULL,
    operator uuid NOT NULL,
    node text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    details json NOT NULL,
    previous bytea NOT NULL CHECK (length(previous) = 32),
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32)
);
COMMENT ON TABLE audit_log IS
    'Numbered without gaps. A row''s hash covers the hash before it and its own content, so that nobody changes, leaves out or '
    'inserts one without changing all that follow. Each hash is logged as well: a log that was cut at its end ends before that.';
COMMENT ON COLUMN audit_log.node IS 'The node that was asked.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is never changed', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Appends a row and returns it. Two at once wait for one another, until the first has committed.
CREATE FUNCTION audit(by uuid, on_node text, what text, of text, why text, more json) RETURNS audit_log LANGUAGE plpgsql AS $$
DECLARE
    last audit_log;
    made audit_log;
    part text;
    content bytea := '';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_log'));
    SELECT * INTO last FROM audit_log ORDER BY number DESC LIMIT 1;
    made.number := coalesce(last.number, 0) + 1;
    made.at := date_trunc('milliseconds', clock_timestamp());
    made.previous := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    made.operator := by;
    made.node := on_node;
    made.action := what;
    made.target := of;
    made.reason := why;
    made.details := more;
    -- Every part is preceded by its length, so that no two rows run into the same bytes.
    FOREACH part IN ARRAY ARRAY[made.number::text, (extract(epoch FROM made.at) * 1000)::bigint::text, by::text, on_node, what,
                                of, why, more::text] LOOP
        content := content || int8send(octet_length(convert_to(part, 'UTF8'))) || convert_to(part, 'UTF8');
    END LOOP;
    made.hash := sha256(made.previous || content);
    INSERT INTO audit_log SELECT made.*;
    RETURN made;
END
$$;
