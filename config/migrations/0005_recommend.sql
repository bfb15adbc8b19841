-- The recommender: what learners did, for training and for profiles that must be rebuilt.

CREATE TABLE interactions (
    at        timestamptz NOT NULL,
    id        uuid        NOT NULL,
    user_id   uuid        NOT NULL,
    course_id uuid        NOT NULL,
    activity  text        NOT NULL,
    value     real        NOT NULL,
    weight    real        NOT NULL,
    event_id  bigint,
    -- Time leads, so that the table can be partitioned by it without a change to what writes it.
    PRIMARY KEY (at, id)
);

CREATE INDEX interactions_by_user ON interactions (user_id, at DESC);

COMMENT ON TABLE interactions IS
    'One accepted event of one learner with one course. Written behind the answer; a few may be missing.';
COMMENT ON COLUMN interactions.activity IS 'view, click, start, progress, purchase, complete, rate or dismiss.';
COMMENT ON COLUMN interactions.value IS 'Stars of a rating (1 to 5), share of a progress (0 to 1), else 0.';
COMMENT ON COLUMN interactions.weight IS 'What the activity said about taste when it was recorded; negative for dislike.';
COMMENT ON COLUMN interactions.event_id IS 'Digest of the client''s event id, by which a repetition is recognised.';
