//! What each event of a course means: its row, and what buyers saw of each version.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Books, id, money, texts_of};

macro_rules! instant {
    ($column:literal) => {
        concat!(
            "coalesce(to_char(",
            $column,
            " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), '-')"
        )
    };
}

/// What the row of each course says, in the words of [`rows`].
pub(super) const SQL: &str = concat!(
    "SELECT course_id::text, format('%s by %s after %s events, version %s%s, %s for %s %s, scheduled %s, published %s', \
     state, creator_id, revision, version, CASE WHEN working THEN ' and another' END, coalesce(title, '-'), \
     coalesce(price::text, '-'), coalesce(currency, '-'), ",
    instant!("scheduled_at"),
    ", ",
    instant!("published_at"),
    ") FROM courses"
);

/// What the row of each version says, in the words of [`version`].
pub(super) const VERSIONS_SQL: &str = "SELECT format('%s version %s', course_id, version), \
    format('%s: %s in %s at %s, %s about %s for %s %s, lessons %s', title, coalesce(subtitle, '-'), language, level, \
    coalesce(category, '-'), (SELECT string_agg(tag, ' ') FROM json_array_elements_text(tags) AS tag), price, currency, \
    (SELECT string_agg(lesson, ' ' ORDER BY lesson COLLATE \"C\") FROM jsonb_object_keys(lessons) AS lesson)) \
    FROM course_versions";

/// One course as its events tell it.
#[derive(Debug)]
pub(super) struct Course {
    creator: Uuid,
    state: &'static str,
    revision: i64,
    /// The live version; 0 before the first.
    version: i64,
    /// Whether something was changed since.
    working: bool,
    details: Map<String, Value>,
    lessons: BTreeSet<String>,
    scheduled: Option<String>,
    published: Option<String>,
    /// Where a suspended course was.
    was: &'static str,
}

pub(super) fn apply(books: &mut Books, course_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "created" {
        let chapters = event["outline"].as_array().into_iter().flatten();
        let lessons = chapters.flat_map(|chapter| chapter["lessons"].as_array().into_iter().flatten());
        let course = Course {
            creator: id("usr", &event["creator"])?,
            state: "draft",
            revision: 1,
            version: 0,
            working: true,
            details: event["details"].as_object()?.clone(),
            lessons: lessons.map(lesson).collect::<Option<_>>()?,
            scheduled: None,
            published: None,
            was: "",
        };
        return books.courses.insert(course_id, course).is_none().then_some(());
    }
    let course = books.courses.get_mut(&course_id)?;
    course.revision += 1;
    match event_type {
        "edited" => {
            course.working = true;
            let changes = event["changes"].as_object()?.clone();
            course.details.extend(changes);
        }
        "lesson_put" => {
            course.working = true;
            course.lessons.insert(lesson(&event["lesson"])?);
        }
        "lesson_removed" => {
            course.working = true;
            course.lessons.remove(event["lesson"].as_str()?);
        }
        "published" => {
            let at = event["at"].as_str()?.to_owned();
            course.version += 1;
            if event["version"].as_i64()? != course.version {
                return None;
            }
            course.working = false;
            course.published.get_or_insert(at);
            course.state = "published";
            let shown = version(course)?;
            let key = format!("{course_id} version {}", course.version);
            books.versions.insert(key, shown);
        }
        "suspended" => {
            course.was = course.state;
            course.state = "suspended";
        }
        "reinstated" => course.state = course.was,
        moved => {
            course.state = match moved {
                "submitted" => "in_review",
                "approved" | "unscheduled" => "approved",
                "rejected" => "draft",
                "scheduled" => "scheduled",
                "unlisted" => "unlisted",
                "relisted" => "published",
                "retired" => "retired",
                "archived" => "archived",
                _ => return None,
            };
        }
    }
    course.scheduled = match course.state {
        "scheduled" if event_type == "scheduled" => Some(event["at"].as_str()?.to_owned()),
        "scheduled" => course.scheduled.take(),
        _ => None,
    };
    Some(())
}

fn lesson(lesson: &Value) -> Option<String> {
    lesson["id"].as_str().map(ToOwned::to_owned)
}

/// What buyers are shown of what a course holds now.
fn version(course: &Course) -> Option<String> {
    let field = |name: &str| course.details.get(name).and_then(Value::as_str).unwrap_or("-");
    let (amount, currency) = money(course.details.get("price")?)?;
    let lessons: Vec<&str> = course.lessons.iter().map(String::as_str).collect();
    Some(format!(
        "{}: {} in {} at {}, {} about {} for {amount} {currency}, lessons {}",
        field("title"),
        field("subtitle"),
        field("language"),
        field("level"),
        field("category"),
        texts_of(course.details.get("tags")?)?.join(" "),
        lessons.join(" ")
    ))
}

/// What the row of each course must say.
pub(super) fn rows(books: &Books) -> HashMap<String, String> {
    let row = |(course_id, course): (&Uuid, &Course)| {
        let shown = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let price = course.details.get("price").and_then(money);
        let (amount, currency) = price.unzip();
        let says = format!(
            "{} by {} after {} events, version {}{}, {} for {} {}, scheduled {}, published {}",
            course.state,
            course.creator,
            course.revision,
            course.version,
            if course.working { " and another" } else { "" },
            shown(course.details.get("title").and_then(Value::as_str)),
            shown(amount.map(|amount| amount.to_string()).as_deref()),
            shown(currency.as_deref()),
            shown(course.scheduled.as_deref()),
            shown(course.published.as_deref())
        );
        (course_id.to_string(), says)
    };
    books.courses.iter().map(row).collect()
}
