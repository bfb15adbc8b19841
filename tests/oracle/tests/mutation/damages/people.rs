//! Damages to accounts and courses.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "books.accounts_follow_the_journal",
        "a role that nobody gave",
        "UPDATE accounts SET roles = roles || '\"operator\"' WHERE username_key = 'ada'",
    ),
    tables(
        "books.accounts_follow_the_journal",
        "a name that lets somebody else in",
        "UPDATE accounts SET username_key = 'eve' WHERE username_key = 'ben'",
    ),
    tables(
        "books.accounts_follow_the_journal",
        "an account that is locked out by its row alone",
        "UPDATE accounts SET state = 'suspended' WHERE username_key = 'cleo'",
    ),
    tables(
        "books.accounts_follow_the_journal",
        "an account without its row",
        "DELETE FROM accounts WHERE username_key = 'dan'",
    ),
    tables(
        "books.every_event_is_understood",
        "an account that was let in again without having been locked out",
        "UPDATE events SET events = '[{\"type\":\"reinstated\"}]' \
         WHERE kind = 1 AND version = (SELECT max(version) FROM events AS last WHERE last.entity = events.entity)",
    ),
    tables(
        "books.courses_follow_the_journal",
        "a course at another price",
        "UPDATE courses SET price = price + 1",
    ),
    tables(
        "books.courses_follow_the_journal",
        "a course that left the lists by itself",
        "UPDATE courses SET state = 'unlisted'",
    ),
    tables(
        "books.courses_follow_the_journal",
        "the newest events of a course deleted, which leaves no gap",
        "DELETE FROM events WHERE kind = 3 AND version > 1; \
         UPDATE events SET events = json_build_array(events -> 0) WHERE kind = 3",
    ),
    tables(
        "books.course_versions_follow_the_journal",
        "a version that has become cheaper since it was sold",
        "UPDATE course_versions SET price = price - 1 WHERE price > 0",
    ),
    tables(
        "books.course_versions_follow_the_journal",
        "a version that has lost its lessons",
        "UPDATE course_versions SET lessons = '{}'",
    ),
    tables(
        "books.course_versions_follow_the_journal",
        "a lesson that says something else than when it was sold",
        "UPDATE course_versions SET lessons = replace(lessons::text, '{\"text\": \"text\"}', '{\"text\": \"none\"}')::jsonb",
    ),
    tables(
        "books.course_versions_follow_the_journal",
        "an outline that lists another lesson",
        "UPDATE course_versions SET detail = replace(detail::text, 'The first lesson', 'The last lesson')::json",
    ),
    tables(
        "books.course_versions_follow_the_journal",
        "a version that went live earlier than it did",
        "UPDATE course_versions SET live_at = live_at - interval '1 second'",
    ),
    tables(
        "books.course_versions_follow_the_journal",
        "a version that nobody published",
        "INSERT INTO course_versions SELECT course_id, version + 1, title, subtitle, language, level, category, tags, price, \
         currency, detail, lessons, live_at FROM course_versions",
    ),
];
