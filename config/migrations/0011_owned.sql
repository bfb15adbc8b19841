-- What one user owns, for whoever rebuilds a profile: bought courses have their index, imported ones get theirs.

CREATE INDEX grants_imported ON grants (user_id, course_id) WHERE source = 'import' AND revoked_at IS NULL;
