-- Models of the recommender: what each training learned, whole, and which of them requests are answered from.

CREATE TABLE recommend_models (
    version  bigint PRIMARY KEY CHECK (version > 0),
    made_at  timestamptz NOT NULL,
    made_by  text NOT NULL,
    state    text NOT NULL CHECK (state IN ('active', 'retired')),
    format   integer NOT NULL,
    courses  bigint NOT NULL,
    learners bigint NOT NULL,
    events   bigint NOT NULL,
    metrics  json NOT NULL,
    bytes    bigint NOT NULL CHECK (bytes > 0),
    checksum bytea NOT NULL CHECK (length(checksum) = 32)
);
CREATE UNIQUE INDEX recommend_models_active ON recommend_models (state) WHERE state = 'active';
COMMENT ON TABLE recommend_models IS 'One training each. At most one is active; nodes that cannot read it stay with the one they have.';
COMMENT ON COLUMN recommend_models.version IS 'Unix milliseconds of the training by the database''s clock, later than every version before.';
COMMENT ON COLUMN recommend_models.made_by IS 'The node that trained.';
COMMENT ON COLUMN recommend_models.events IS 'How many times a learner took up a course, in what it learned from.';
COMMENT ON COLUMN recommend_models.checksum IS 'SHA-256 of its parts in order.';

-- Without a reference to the model, because they come first, one by one: a transaction as long as all of them would hold up
-- everybody who reads the journal in commit order. Those of a training that died go with the next one that gets as far.
CREATE TABLE recommend_model_parts (
    version bigint NOT NULL,
    number  integer NOT NULL CHECK (number >= 0),
    content bytea NOT NULL,
    PRIMARY KEY (version, number)
);
-- Weights do not shrink.
ALTER TABLE recommend_model_parts ALTER content SET STORAGE EXTERNAL;
COMMENT ON TABLE recommend_model_parts IS 'The bytes of a model, in parts.';

CREATE TABLE recommend_training (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    holder     uuid,
    held_until timestamptz,
    wanted     bigint NOT NULL DEFAULT 0,
    answered   bigint NOT NULL DEFAULT 0,
    pinned     boolean NOT NULL DEFAULT false,
    forgotten  bigint NOT NULL DEFAULT 0,
    repeated   boolean NOT NULL DEFAULT false,
    CHECK ((holder IS NULL) = (held_until IS NULL))
);
INSERT INTO recommend_training DEFAULT VALUES;
COMMENT ON TABLE recommend_training IS 'Who trains now, so that one node does, and what operators want.';
COMMENT ON COLUMN recommend_training.holder IS 'The incarnation of the member that trains, until it is done or its time is over.';
COMMENT ON COLUMN recommend_training.wanted IS 'How many trainings operators have asked for; answered says how many of those are done or taken back.';
COMMENT ON COLUMN recommend_training.pinned IS 'An operator has chosen the active version: it stays until one asks for a training.';
COMMENT ON COLUMN recommend_training.forgotten IS
    'How many times somebody was erased or chose not to be learned from: a training that began before may know them still.';
COMMENT ON COLUMN recommend_training.repeated IS
    'The last training was thrown away for that. The next one is not, lest there never be a model where it happens all the time.';

-- Makes a model whose parts are there the active one, unless the training lost its turn, an operator has chosen a version, or
-- somebody is to be forgotten since it began. Keeps the newest retired ones.
CREATE FUNCTION publish_recommend_model(by uuid, answering bigint, knowing bigint, keep integer, made recommend_models)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE recommend_training SET holder = NULL, held_until = NULL, answered = greatest(answered, answering), repeated = false
    WHERE holder = by AND held_until > clock_timestamp() AND NOT pinned AND (forgotten = knowing OR repeated);
    IF NOT FOUND THEN
        UPDATE recommend_training SET repeated = true
        WHERE holder = by AND held_until > clock_timestamp() AND NOT pinned;
        RETURN false;
    END IF;
    UPDATE recommend_models SET state = 'retired' WHERE state = 'active';
    INSERT INTO recommend_models SELECT made.*;
    DELETE FROM recommend_models WHERE version IN
        (SELECT version FROM recommend_models WHERE state = 'retired' ORDER BY version DESC OFFSET keep);
    DELETE FROM recommend_model_parts WHERE version NOT IN (SELECT version FROM recommend_models);
    RETURN true;
END
$$;

-- Ends a turn, and takes away the parts of what was not published. First the turn, in a statement of its own: a publishing whose
-- answer was lost is over by then or will be refused, so that no active version loses its parts.
CREATE FUNCTION release_recommend_training(by uuid, made bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE recommend_training SET holder = NULL, held_until = NULL WHERE holder = by;
    DELETE FROM recommend_model_parts
    WHERE version = made AND NOT EXISTS (SELECT FROM recommend_models WHERE version = made);
END
$$;

CREATE TABLE recommendation_opt_outs (
    user_id uuid PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE recommendation_opt_outs IS
    'Who wants no lists made from what they did and like. They are not learned from either.';

-- Until now nothing was forgotten of those who were erased.
DELETE FROM interactions WHERE user_id IN (SELECT user_id FROM accounts WHERE state = 'erased');
