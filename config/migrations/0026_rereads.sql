-- Callbacks that came in and were never worked through, so that the inbox does it by itself.

CREATE TABLE callback_rereads (
    provider    text NOT NULL,
    event_id    text NOT NULL,
    tries       bigint NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    given_up_at timestamptz,
    PRIMARY KEY (provider, event_id)
);
COMMENT ON TABLE callback_rereads IS
    'Callbacks that were left behind: each is read again from the inbox until it is processed, or was tried too often.';
COMMENT ON COLUMN callback_rereads.given_up_at IS 'When it was tried for the last time, in vain: somebody has to look at it.';
CREATE INDEX callback_rereads_due ON callback_rereads (due_at) WHERE given_up_at IS NULL;

CREATE TABLE callback_sweep (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    reached timestamptz NOT NULL
);
COMMENT ON TABLE callback_sweep IS 'Up to which arrival the inbox was gone through for callbacks that were left behind.';
-- What came in long before was looked into by people, who must not be surprised.
INSERT INTO callback_sweep (reached) VALUES (now() - interval '7 days');

-- The sweep goes by the time of arrival, which never changes: marks stay on their page, and an arrival pays for no second index.
CREATE INDEX provider_events_by_time ON provider_events USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
