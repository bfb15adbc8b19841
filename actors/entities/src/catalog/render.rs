//! The JSON of courses, made once when something changes and sent many times.
//!
//! A course's public answer is its card and its detail in one object; the card, which lists show, is the beginning
//! of it. So a list is spliced from the first bytes of ready-made answers.

use lyceum_domain::catalog::{Description, LessonKind, Outline};
use lyceum_domain::ids::{ChapterId, CourseId, LessonId, UserId};
use lyceum_kernel::{Money, Timestamp};
use serde::Serialize;

/// What lists show of a course.
#[derive(Serialize)]
pub(super) struct Card<'a> {
    pub(super) id: CourseId,
    pub(super) title: &'a str,
    pub(super) subtitle: Option<&'a str>,
    pub(super) price: Money,
    pub(super) category: Option<&'a str>,
    pub(super) tags: &'a [String],
    pub(super) level: &'a str,
    pub(super) language: &'a str,
    pub(super) creator: Creator<'a>,
    pub(super) rating: Option<Rating>,
    pub(super) students: u64,
    pub(super) published_at: Timestamp,
    pub(super) state: &'a str,
    pub(super) version: u32,
}

/// Who made a course.
#[derive(Serialize)]
pub(super) struct Creator<'a> {
    pub(super) id: UserId,
    pub(super) display_name: Option<&'a str>,
}

/// What learners think of a course.
#[derive(Serialize)]
pub(super) struct Rating {
    /// From 1 to 5, two decimals.
    pub(super) average: f64,
    pub(super) count: u64,
}

impl Rating {
    pub(super) fn of(sum: u64, count: u64) -> Option<Self> {
        let hundredths = (sum * 100 + count / 2).checked_div(count)?;
        let hundredths = u32::try_from(hundredths).unwrap_or(u32::MAX);
        Some(Rating {
            average: f64::from(hundredths) / 100.0,
            count,
        })
    }
}

#[derive(Serialize)]
struct Detail<'a> {
    description: Option<&'a Description>,
    lesson_count: usize,
    duration_seconds: u64,
    outline: Vec<Chapter<'a>>,
}

#[derive(Serialize)]
struct Chapter<'a> {
    id: ChapterId,
    title: &'a str,
    lessons: Vec<Lesson<'a>>,
}

#[derive(Serialize)]
struct Lesson<'a> {
    id: LessonId,
    title: &'a str,
    kind: LessonKind,
    duration_seconds: u32,
    preview: bool,
}

/// The part of a course's public answer that only its creator changes, a JSON object.
pub(super) fn detail(description: Option<&Description>, outline: &Outline) -> String {
    let lesson = |lesson: &'_ lyceum_domain::catalog::Lesson| u64::from(lesson.duration_seconds);
    let detail = Detail {
        description,
        lesson_count: outline.lessons().count(),
        duration_seconds: outline.lessons().map(lesson).sum(),
        outline: outline
            .chapters()
            .iter()
            .map(|chapter| Chapter {
                id: chapter.id,
                title: chapter.title.as_str(),
                lessons: chapter
                    .lessons
                    .iter()
                    .map(|lesson| Lesson {
                        id: lesson.id,
                        title: lesson.title.as_str(),
                        kind: lesson.kind,
                        duration_seconds: lesson.duration_seconds,
                        preview: lesson.preview,
                    })
                    .collect(),
            })
            .collect(),
    };
    serde_json::to_string(&detail).expect("own types have string keys and infallible Serialize")
}

/// A course's public answer, and how many bytes of it are the card without its closing brace.
pub(super) fn answer(card: &Card<'_>, detail: &str) -> (Vec<u8>, usize) {
    let mut body = Vec::with_capacity(512 + detail.len());
    serde_json::to_writer(&mut body, card).expect("own types have string keys and memory takes every write");
    body.pop();
    let card_length = body.len();
    body.push(b',');
    body.extend_from_slice(detail.trim_start().strip_prefix('{').unwrap_or("}").as_bytes());
    body.shrink_to_fit();
    (body, card_length)
}

/// The detail inside an answer, without its opening brace.
pub(super) fn detail_of(answer: &[u8], card_length: usize) -> &[u8] {
    answer.get(card_length + 1..).unwrap_or_default()
}
