-- Catalog: one row per course, and one per published version, both written with the events they follow from.

CREATE TABLE courses (
    course_id    uuid PRIMARY KEY,
    creator_id   uuid NOT NULL,
    state        text NOT NULL CHECK (state IN ('draft', 'in_review', 'approved', 'scheduled', 'published',
                                                'unlisted', 'suspended', 'retired', 'archived')),
    revision     bigint NOT NULL CHECK (revision > 0),
    version      bigint NOT NULL CHECK (version >= 0),
    working      boolean NOT NULL,
    title        text,
    price        bigint CHECK (price >= 0),
    currency     text,
    scheduled_at timestamptz,
    published_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
COMMENT ON TABLE courses IS
    'Every course as its creator sees it: title and price are the newest ones, version is the live one (0: none).';
CREATE INDEX courses_by_creator ON courses (creator_id, created_at DESC, course_id DESC);

CREATE TABLE course_versions (
    course_id uuid NOT NULL,
    version   bigint NOT NULL CHECK (version > 0),
    title     text NOT NULL,
    subtitle  text,
    language  text NOT NULL,
    level     text NOT NULL,
    category  text,
    tags      json NOT NULL,
    price     bigint NOT NULL CHECK (price >= 0),
    currency  text NOT NULL,
    detail    json NOT NULL,
    lessons   jsonb NOT NULL,
    live_at   timestamptz NOT NULL,
    PRIMARY KEY (course_id, version)
);
COMMENT ON TABLE course_versions IS
    'What buyers saw and see: never changed. detail is a ready-made part of the public answer, lessons the content by lesson id.';
