-- Accounts: what one account cannot know of the others, and the keys that tokens are made with.

CREATE TABLE accounts (
    user_id uuid PRIMARY KEY,
    username text,
    username_key text,
    email text,
    email_key text,
    display_name text,
    roles jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'suspended', 'erased')),
    interests jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT accounts_username_unique UNIQUE (username_key),
    CONSTRAINT accounts_email_unique UNIQUE (email_key),
    CONSTRAINT accounts_erased_is_empty CHECK (
        (state = 'erased') = (username IS NULL)
        AND (state = 'erased') = (username_key IS NULL)
        AND (state = 'erased') = (email IS NULL)
        AND (state = 'erased') = (email_key IS NULL)
        AND (state = 'erased') = (display_name IS NULL)
    )
);
COMMENT ON TABLE accounts IS 'One row for each account, written with its events. Password hashes stay in the journal.';
COMMENT ON COLUMN accounts.username_key IS 'The username with its case folded: what is unique.';
CREATE INDEX accounts_created ON accounts (created_at, user_id);

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    generation bigint NOT NULL UNIQUE,
    seed bytea NOT NULL CHECK (length(seed) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    active_from timestamptz NOT NULL,
    retired_at timestamptz
);
COMMENT ON TABLE signing_keys IS 'Ed25519 keys of access tokens. Deleted once the last token they signed has expired.';

CREATE TABLE account_secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
COMMENT ON TABLE account_secrets IS 'Keys that every node needs and nobody else may know: "refresh" derives refresh tokens.';

-- Removes what the journal says about an erased person: each earlier turn keeps its version and holds one event
-- without content, snapshots go, and so do the recorded answers of operations.
CREATE FUNCTION redact_entity(redacted_kind smallint, redacted_entity uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE events SET events = '[{"type":"redacted"}]'
    WHERE kind = redacted_kind AND entity = redacted_entity
        AND NOT EXISTS (SELECT FROM json_array_elements(events.events) AS event WHERE event ->> 'type' = 'erased');
    DELETE FROM snapshots WHERE kind = redacted_kind AND entity = redacted_entity;
    DELETE FROM operations WHERE kind = redacted_kind AND entity = redacted_entity;
END
$$;
