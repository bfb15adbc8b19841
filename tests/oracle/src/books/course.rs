//! What each event of a course means: its row, and what buyers saw of each version.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Books, id, money};

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

/// Every column of each version, as [`version`] tells them.
pub(super) const VERSIONS_SQL: &str = concat!(
    "SELECT format('%s version %s', course_id, version), \
     ((to_jsonb(v) - 'course_id' - 'version') || jsonb_build_object('live_at', ",
    instant!("live_at"),
    "))::text FROM course_versions AS v"
);

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
    chapters: Vec<Chapter>,
    scheduled: Option<String>,
    published: Option<String>,
    /// Where a suspended course was.
    was: &'static str,
}

/// Lessons under one title, in order.
#[derive(Debug)]
struct Chapter {
    id: Value,
    title: Value,
    lessons: Vec<Value>,
}

pub(super) fn apply(books: &mut Books, course_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "created" {
        let chapters = event["outline"].as_array().into_iter().flatten();
        let course = Course {
            creator: id("usr", &event["creator"])?,
            state: "draft",
            revision: 1,
            version: 0,
            working: true,
            details: event["details"].as_object()?.clone(),
            chapters: chapters.map(chapter).collect::<Option<_>>()?,
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
            put(&mut course.chapters, event)?;
        }
        "lesson_removed" => {
            course.working = true;
            take_out(&mut course.chapters, &event["lesson"]);
            course.chapters.retain(|chapter| !chapter.lessons.is_empty());
        }
        "published" => {
            let at = event["at"].as_str()?.to_owned();
            course.version += 1;
            if event["version"].as_i64()? != course.version {
                return None;
            }
            course.working = false;
            let shown = version(course, &at)?;
            course.published.get_or_insert(at);
            course.state = "published";
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

fn chapter(chapter: &Value) -> Option<Chapter> {
    Some(Chapter {
        id: chapter["id"].clone(),
        title: chapter["title"].clone(),
        lessons: chapter["lessons"].as_array()?.clone(),
    })
}

/// Puts a lesson where its event says, out of where it was; a chapter that is left empty is gone.
fn put(chapters: &mut Vec<Chapter>, event: &Value) -> Option<()> {
    let (id, title) = (event["chapter"].clone(), event["chapter_title"].clone());
    let lesson = event["lesson"].clone();
    take_out(chapters, &lesson["id"]);
    if let Some(chapter) = chapters.iter_mut().find(|chapter| chapter.id == id) {
        let position = usize::try_from(event["position"].as_u64()?).ok()?;
        chapter.title = title;
        chapter
            .lessons
            .insert(position.min(chapter.lessons.len()), lesson);
    } else {
        let lessons = vec![lesson];
        chapters.push(Chapter { id, title, lessons });
    }
    chapters.retain(|chapter| !chapter.lessons.is_empty());
    Some(())
}

fn take_out(chapters: &mut [Chapter], id: &Value) {
    for chapter in chapters {
        chapter.lessons.retain(|lesson| lesson["id"] != *id);
    }
}

/// What buyers are shown of what a course holds when it is published.
fn version(course: &Course, at: &str) -> Option<Value> {
    let field = |name: &str| course.details.get(name).unwrap_or(&Value::Null);
    let (amount, currency) = money(field("price"))?;
    let lessons = || course.chapters.iter().flat_map(|chapter| &chapter.lessons);
    let content: Option<Map<String, Value>> = lessons()
        .map(|lesson| Some((lesson["id"].as_str()?.to_owned(), lesson.clone())))
        .collect();
    let seconds: Option<u64> = lessons().map(|lesson| lesson["duration_seconds"].as_u64()).sum();
    Some(json!({
        "title": field("title"),
        "subtitle": field("subtitle"),
        "language": field("language"),
        "level": field("level"),
        "category": field("category"),
        "tags": field("tags"),
        "price": amount,
        "currency": currency,
        "detail": {
            "description": field("description"),
            "lesson_count": lessons().count(),
            "duration_seconds": seconds?,
            "outline": course.chapters.iter().map(listed).collect::<Vec<_>>(),
        },
        "lessons": content?,
        "live_at": at,
    }))
}

/// A chapter as everybody sees it: without the content of its lessons.
fn listed(chapter: &Chapter) -> Value {
    let lesson = |lesson: &Value| {
        json!({
            "id": lesson["id"], "title": lesson["title"], "kind": lesson["kind"],
            "duration_seconds": lesson["duration_seconds"], "preview": lesson["preview"],
        })
    };
    let lessons: Vec<Value> = chapter.lessons.iter().map(lesson).collect();
    json!({"id": chapter.id, "title": chapter.title, "lessons": lessons})
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
