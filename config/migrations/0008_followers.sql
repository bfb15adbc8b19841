-- What nodes follow of each other: the rare kinds of the journal, ratings, and what only one node has counted.

CREATE INDEX events_followed ON events (txid) WHERE kind IN (1, 3);
COMMENT ON INDEX events_followed IS
    'Accounts and courses, which every node follows. Without it each look would pass over every purchase since the last.';
CREATE INDEX events_of_accounts ON events (at) WHERE kind = 1;
COMMENT ON INDEX events_of_accounts IS 'A node that starts reads which logins have ended in the life of an access token.';

CREATE INDEX interactions_rated ON interactions (course_id, user_id, at DESC) WHERE activity = 'rate';
COMMENT ON INDEX interactions_rated IS 'The ratings of one course, which are counted again whenever it is rated.';

CREATE UNLOGGED TABLE bulletins (
    incarnation uuid NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    body json NOT NULL,
    PRIMARY KEY (incarnation, number)
);
COMMENT ON TABLE bulletins IS
    'What one node has counted, for the others to add: purchases by course, rated courses, requests of whoever nears a '
    'limit. Numbered by each node without gaps, kept for a minute. A crash of Postgres empties it: what matters is in tables.';
