//! The bodies of requests, and how they become the domain's values.

use lyceum_domain::catalog::{
    Body, Changes, Chapter, Description, Details, Error, Language, Lesson, LessonContent, LessonKind,
    LessonPlace, Level, MediaUrl, Outline, Price, Reason, Slug, Subtitle, Tag, Tags, Title,
};
use lyceum_domain::ids::{ChapterId, CourseId, LessonId, UserId};
use lyceum_kernel::{Currency, Money, Timestamp};
use lyceum_runtime::ids;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{Problem, at};
use crate::http::shapes;

/// Reads a field that is there, `null` included, as a change.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A new course; what is left out can be added before it is submitted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCourseBody {
    /// 1 to 120 characters.
    #[schema(example = "Rust 入门")]
    pub(super) title: Option<String>,
    /// 1 to 200 characters.
    pub(super) subtitle: Option<String>,
    /// 1 to 20,000 characters.
    pub(super) description: Option<String>,
    /// A language tag; `zh` if left out.
    pub(super) language: Option<String>,
    /// `all` (default), `beginner`, `intermediate` or `advanced`.
    #[schema(value_type = Option<String>, pattern = "^(all|beginner|intermediate|advanced)$")]
    pub(super) level: Option<Level>,
    /// A slug: lower-case letters, digits and hyphens.
    pub(super) category: Option<String>,
    /// Up to 16 topics.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// What it costs, in the settlement currency; zero is free.
    #[schema(value_type = Option<shapes::Money>)]
    pub(super) price: Option<Money>,
}

impl NewCourseBody {
    pub(super) fn details(self, settlement: Currency) -> Result<Details, Problem> {
        Ok(Details {
            title: optional("/title", self.title, Title::new)?,
            subtitle: optional("/subtitle", self.subtitle, Subtitle::new)?,
            description: optional("/description", self.description, Description::new)?,
            language: optional("/language", self.language, Language::new)?.unwrap_or_default(),
            level: self.level.unwrap_or_default(),
            category: optional("/category", self.category, Slug::new)?,
            tags: tags(&self.tags)?,
            price: self
                .price
                .map(|money| at("/price", Price::new(money, settlement)))
                .transpose()?,
        })
    }
}

/// What to change of a course; what is left out stays, `null` removes.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EditCourseBody {
    /// 1 to 120 characters.
    title: Option<String>,
    /// 1 to 200 characters.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    subtitle: Option<Option<String>>,
    /// 1 to 20,000 characters.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// A language tag.
    language: Option<String>,
    /// `all`, `beginner`, `intermediate` or `advanced`.
    #[schema(value_type = Option<String>, pattern = "^(all|beginner|intermediate|advanced)$")]
    level: Option<Level>,
    /// A slug.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    category: Option<Option<String>>,
    /// Up to 16 topics, which replace the earlier ones.
    tags: Option<Vec<String>>,
    /// What it costs, in the settlement currency.
    #[schema(value_type = Option<shapes::Money>)]
    price: Option<Money>,
}

impl EditCourseBody {
    pub(super) fn changes(self, settlement: Currency) -> Result<Changes, Problem> {
        let nullable =
            |pointer: &str, field: Option<Option<String>>| field.map(|text| (pointer.to_owned(), text));
        let subtitle = nullable("/subtitle", self.subtitle);
        let description = nullable("/description", self.description);
        let category = nullable("/category", self.category);
        Ok(Changes {
            title: optional("/title", self.title, Title::new)?,
            subtitle: subtitle
                .map(|(at, text)| optional(&at, text, Subtitle::new))
                .transpose()?,
            description: description
                .map(|(at, text)| optional(&at, text, Description::new))
                .transpose()?,
            language: optional("/language", self.language, Language::new)?,
            level: self.level,
            category: category
                .map(|(at, text)| optional(&at, text, Slug::new))
                .transpose()?,
            tags: self.tags.map(|texts| tags(&texts)).transpose()?,
            price: self
                .price
                .map(|money| at("/price", Price::new(money, settlement)))
                .transpose()?,
        })
    }
}

/// A lesson to add or replace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LessonBody {
    /// 1 to 120 characters.
    title: String,
    /// `video`, `article`, `audio` or `quiz`.
    #[schema(value_type = String, pattern = "^(video|article|audio|quiz)$", example = "video")]
    kind: LessonKind,
    /// How long it takes, in seconds.
    #[serde(default)]
    duration_seconds: u32,
    /// Whether everybody may study it.
    #[serde(default)]
    preview: bool,
    /// What is studied; a lesson without content does not make a course publishable.
    content: Option<ContentBody>,
    /// Where it goes; by default where it was, or last.
    chapter: Option<ChapterPlaceBody>,
    /// The position in its chapter, from 0; by default where it was, or last.
    position: Option<u16>,
}

/// The content of a lesson.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = NewContentBody)]
pub(super) enum ContentBody {
    /// A text of up to 65,536 characters.
    Text(String),
    /// An `https://` address or a `media:` reference.
    MediaUrl(String),
}

/// A chapter by id or title; one that does not exist is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChapterPlaceBody {
    /// Its id.
    #[schema(value_type = Option<String>)]
    id: Option<ChapterId>,
    /// Its title; with an id, its new title.
    title: Option<String>,
}

impl LessonBody {
    pub(super) fn lesson(self, id: LessonId) -> Result<(Lesson, LessonPlace), Problem> {
        let (chapter, chapter_title) = self
            .chapter
            .map_or((None, None), |chapter| (chapter.id, chapter.title));
        let place = LessonPlace {
            chapter,
            chapter_title: optional("/chapter/title", chapter_title, Title::new)?,
            position: self.position,
            fresh: ids::new(),
        };
        let lesson = Lesson {
            id,
            title: at("/title", Title::new(&self.title))?,
            kind: self.kind,
            duration_seconds: self.duration_seconds,
            preview: self.preview,
            content: self
                .content
                .map(|content| content.parse("/content"))
                .transpose()?,
        };
        Ok((lesson, place))
    }
}

impl ContentBody {
    fn parse(&self, pointer: &str) -> Result<LessonContent, Problem> {
        match self {
            ContentBody::Text(text) => {
                at(format!("{pointer}/text"), Body::new(text)).map(LessonContent::Text)
            }
            ContentBody::MediaUrl(url) => {
                at(format!("{pointer}/media_url"), MediaUrl::new(url)).map(LessonContent::MediaUrl)
            }
        }
    }
}

/// A complete course to publish at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportCourseBody {
    /// Its id, for imports that are repeated; a new one if left out.
    #[schema(value_type = Option<String>, pattern = "^crs_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub(super) id: Option<CourseId>,
    /// Whose course it is; the operator's own if left out.
    #[schema(value_type = Option<String>)]
    pub(super) creator_id: Option<UserId>,
    /// Its fields; title and price are required.
    pub(super) course: NewCourseBody,
    /// Its lessons, at least one with content.
    pub(super) chapters: Vec<ImportChapterBody>,
}

/// A chapter of an imported course.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportChapterBody {
    /// 1 to 120 characters.
    title: String,
    /// Its lessons in order.
    lessons: Vec<ImportLessonBody>,
}

/// A lesson of an imported course.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportLessonBody {
    /// 1 to 120 characters.
    title: String,
    /// `video`, `article`, `audio` or `quiz`.
    #[schema(value_type = String, pattern = "^(video|article|audio|quiz)$", example = "video")]
    kind: LessonKind,
    /// How long it takes, in seconds.
    #[serde(default)]
    duration_seconds: u32,
    /// Whether everybody may study it.
    #[serde(default)]
    preview: bool,
    /// What is studied.
    content: Option<ContentBody>,
}

pub(super) fn outline(chapters: &[ImportChapterBody]) -> Result<Outline, Problem> {
    let mut made = Vec::with_capacity(chapters.len());
    for (c, chapter) in chapters.iter().enumerate() {
        let mut lessons = Vec::with_capacity(chapter.lessons.len());
        for (l, lesson) in chapter.lessons.iter().enumerate() {
            let pointer = format!("/chapters/{c}/lessons/{l}");
            let content = lesson
                .content
                .as_ref()
                .map(|content| content.parse(&format!("{pointer}/content")));
            lessons.push(Lesson {
                id: ids::new(),
                title: at(format!("{pointer}/title"), Title::new(&lesson.title))?,
                kind: lesson.kind,
                duration_seconds: lesson.duration_seconds,
                preview: lesson.preview,
                content: content.transpose()?,
            });
        }
        let title = at(format!("/chapters/{c}/title"), Title::new(&chapter.title))?;
        made.push(Chapter {
            id: ids::new(),
            title,
            lessons,
        });
    }
    at("/chapters", Outline::new(made))
}

/// Why a course is rejected or suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CourseReasonBody)]
pub(super) struct ReasonBody {
    /// 1 to 1,000 characters.
    pub(super) reason: String,
}

impl ReasonBody {
    pub(super) fn parse(body: Option<&ReasonBody>) -> Result<Reason, Problem> {
        let text = body.map_or("No reason was given.", |body| &body.reason);
        at("/reason", Reason::new(text))
    }
}

/// When a course shall be published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleBody {
    /// A time ahead.
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Timestamp,
}

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

fn optional<T>(
    pointer: &str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, Error>,
) -> Result<Option<T>, Problem> {
    text.map(|text| at(pointer, parse(&text))).transpose()
}

fn tags(texts: &[String]) -> Result<Tags, Problem> {
    let mut tags = Vec::with_capacity(texts.len().min(17));
    for (index, text) in texts.iter().enumerate() {
        tags.push(at(format!("/tags/{index}"), Tag::new(text))?);
    }
    at("/tags", Tags::new(tags))
}
