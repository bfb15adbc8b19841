//! The bodies of answers.
//!
//! What everybody reads is ready-made in the snapshot; the types that only describe it are checked against it by
//! a test.

use lyceum_domain::catalog::{Details, Outline, Reason};
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_entities::catalog::{Authored, AuthoredCourse};
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::shapes;

/// A course as its creator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuthoredBody {
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    id: CourseId,
    /// `draft`, `in_review`, `approved`, `scheduled`, `published`, `unlisted`, `suspended`, `retired` or `archived`.
    state: &'static str,
    /// Counts changes; also the entity tag.
    revision: u64,
    /// The live version, 0 before the first publication.
    version: u32,
    /// Whether something was changed since the last publication.
    has_working_version: bool,
    #[schema(value_type = String)]
    creator_id: UserId,
    #[schema(value_type = Option<String>, format = DateTime)]
    scheduled_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    published_at: Option<Timestamp>,
    /// What an operator objected to.
    #[schema(value_type = Option<String>)]
    objection: Option<Reason>,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    details: Details,
    /// Chapters with lessons and their content.
    #[schema(value_type = Vec<Object>)]
    outline: Outline,
}

impl AuthoredBody {
    pub(super) fn of(id: CourseId, authored: Authored) -> Self {
        AuthoredBody {
            id,
            state: authored.brief.stage.name(),
            revision: authored.brief.revision,
            version: authored.brief.version,
            has_working_version: authored.brief.has_working_version,
            creator_id: authored.brief.creator,
            scheduled_at: authored.scheduled_at,
            published_at: authored.published_at,
            objection: authored.objection,
            details: authored.details,
            outline: authored.outline,
        }
    }
}

/// A line of a creator's own list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuthoredLineBody {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    course: AuthoredCourse,
}

impl From<AuthoredCourse> for AuthoredLineBody {
    fn from(course: AuthoredCourse) -> Self {
        AuthoredLineBody { course }
    }
}

/// What was imported.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedBody {
    #[schema(value_type = String)]
    pub(super) id: CourseId,
    /// The course's state.
    pub(super) state: &'static str,
    /// The live version.
    pub(super) version: u32,
}

/// A page of courses.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CardsBody {
    data: Vec<CardBody>,
    /// Give it as `after` to get the page that follows; null on the last one.
    next: Option<String>,
}

/// What lists show of a course.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CardBody {
    id: String,
    title: String,
    subtitle: Option<String>,
    #[schema(value_type = shapes::Money)]
    price: Money,
    category: Option<String>,
    tags: Vec<String>,
    level: String,
    language: String,
    creator: CreatorBody,
    rating: Option<RatingBody>,
    /// How many people have bought it.
    students: u64,
    #[schema(value_type = String, format = DateTime)]
    published_at: Timestamp,
    /// `published`, `unlisted` or `retired`.
    state: String,
    version: u32,
}

/// Who made a course.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CreatorBody {
    id: String,
    display_name: Option<String>,
}

/// What learners think of a course.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct RatingBody {
    /// From 1 to 5.
    average: f64,
    count: u64,
}

/// A course with its outline.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CourseBody {
    #[serde(flatten)]
    card: CardBody,
    description: Option<String>,
    lesson_count: u32,
    duration_seconds: u64,
    outline: Vec<ChapterBody>,
}

/// A chapter of a course.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChapterBody {
    id: String,
    title: String,
    lessons: Vec<LessonLineBody>,
}

/// A lesson without its content.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LessonLineBody {
    id: String,
    title: String,
    kind: String,
    duration_seconds: u32,
    preview: bool,
}

/// The categories with published courses.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CategoriesBody {
    data: Vec<CategoryBody>,
}

/// A category.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CategoryBody {
    slug: String,
    /// How many courses are listed under it.
    courses: u32,
}

#[cfg(test)]
mod tests {
    use lyceum_entities::catalog::{CatalogLimits, CatalogSnapshot, ListQuery, LiveCourse};
    use lyceum_kernel::Currency;

    use super::*;

    #[test]
    fn the_descriptions_fit_the_ready_made_answers() {
        let snapshot = CatalogSnapshot::start(CatalogLimits::default()).expect("memory and a thread");
        let course = CourseId::from_u128(1);
        snapshot.put(LiveCourse {
            id: course,
            creator: UserId::from_u128(2),
            state: "published".into(),
            revision: 4,
            version: 1,
            title: "Rust".into(),
            subtitle: None,
            language: "en".into(),
            level: "all".into(),
            category: Some("programming".into()),
            tags: vec!["rust".into()],
            price: Money::zero(Currency::CNY),
            published_at: Timestamp::EPOCH,
            detail: r#"{"description":null,"lesson_count":0,"duration_seconds":0,"outline":[]}"#.into(),
        });

        let (body, _) = snapshot.answer(course).expect("published");
        let detail: CourseBody = serde_json::from_slice(&body).expect("as described");
        let query = ListQuery {
            limit: 1,
            ..ListQuery::default()
        };
        let page = snapshot.page::<()>("", || Ok(query)).expect("nothing to refuse");
        let page: CardsBody = serde_json::from_slice(&page.body).expect("as described");
        let categories: CategoriesBody =
            serde_json::from_slice(&snapshot.categories().body).expect("as described");

        assert_eq!(detail.card.title, page.data[0].title);
        assert_eq!(categories.data[0].courses, 1);
    }
}
