//! Learning over HTTP: the courses that may be studied, and the content of their lessons.
//!
//! Access is asked of the buyer's entity each time, so a refund ends it at once. Media is kept elsewhere: what is
//! handed out is a link that is signed for a short while.

use hmac::{Hmac, Mac};
use lyceum_domain::accounts::Role;
use lyceum_domain::catalog::{Lesson, LessonContent};
use lyceum_domain::commerce::{Error, Grant, Source};
use lyceum_domain::ids::{CourseId, LessonId, OrderId};
use lyceum_entities::catalog::Visibility;
use lyceum_entities::commerce::{Answer, Question};
use lyceum_kernel::Timestamp;
use lyceum_runtime::clock;
use serde::Serialize;
use sha2::Sha256;
use utoipa::ToSchema;

use super::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request};

/// A course that may be studied.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OwnedCourseBody {
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    id: CourseId,
    /// Its present title; null for a course that is not shown any more.
    title: Option<String>,
    /// The version that was current at the purchase; newer ones may be studied as well.
    course_version: u32,
    /// `order` or `import`.
    source: &'static str,
    /// The order it came from.
    #[schema(value_type = Option<String>)]
    order_id: Option<OrderId>,
    #[schema(value_type = String, format = DateTime)]
    granted_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// The content of a lesson: a text, or a link to media.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContentBody {
    #[schema(value_type = String)]
    lesson_id: LessonId,
    title: String,
    /// `video`, `article`, `audio` or `quiz`.
    kind: &'static str,
    /// The text itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// A signed link to the media.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// When the link ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// `GET /v1/me/courses`: lists what the caller may study.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/me/courses", tag = "learning", params(PageQuery),
    responses(
        (status = 200, body = Page<OwnedCourseBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn my_courses(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let after: Option<CourseId> = query.cursor()?;

    let question = Question::Courses {
        after,
        limit: limit + 1,
    };
    let answer = api
        .platform
        .buyers
        .read(caller.user, question, &request.context())
        .await?;
    let Answer::Courses(courses) = answer else {
        return Err(unexpected());
    };

    let cursor = |(course_id, _): &(CourseId, Grant)| course_id.to_string();
    let body = |(course_id, grant): (CourseId, Grant)| {
        let title = api
            .platform
            .catalog
            .get(course_id)
            .map(|entry| entry.title.to_string());
        OwnedCourseBody {
            id: course_id,
            title,
            course_version: grant.course_version,
            source: grant.source.name(),
            order_id: match grant.source {
                Source::Order(order_id) => Some(order_id),
                Source::Import(_) | Source::Code(_) => None,
            },
            granted_at: grant.granted_at,
            expires_at: grant.expires_at,
        }
    };
    Ok(Reply::ok(&Page::of(courses, limit, cursor, body)))
}

/// `GET /v1/courses/{id}/lessons/{lesson_id}/content`: hands out what a lesson consists of.
///
/// Whoever may study the course gets it, members of a plan that opens it among them; a preview lesson is for everybody, as long as the course itself is shown.
///
/// # Errors
/// 401 without a token and 403 `commerce.access_required` without access; 404 `catalog.course_not_found`,
/// `catalog.lesson_not_found`.
#[utoipa::path(
    get, path = "/v1/courses/{id}/lessons/{lesson_id}/content", tag = "learning", security((), ("bearer" = [])),
    params(
        ("id" = String, Path, description = "the course"),
        ("lesson_id" = String, Path, description = "the lesson"),
    ),
    responses(
        (status = 200, body = ContentBody),
        (status = 401, body = ProblemBody, description = "`http.unauthenticated`"),
        (status = 403, body = ProblemBody, description = "`commerce.access_required`"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`, `catalog.lesson_not_found`"),
    )
)]
pub async fn lesson_content(api: &Api, request: Request) -> Result<Reply, Problem> {
    use lyceum_domain::catalog::Error as CatalogError;

    let course_id: CourseId = request.path("id")?;
    let lesson_id: LessonId = request.path("lesson_id")?;
    let entry = api.platform.catalog.get(course_id);
    let entry = entry.ok_or_else(|| Problem::from_error(&CatalogError::CourseNotFound))?;

    let owned_version = match request.caller_if_known() {
        None => None,
        Some(caller) if caller.user == entry.creator || caller.roles.contains(Role::Operator) => Some(1),
        Some(caller) => {
            let question = Question::Access { course_id };
            match api
                .platform
                .buyers
                .read(caller.user, question, &request.context())
                .await?
            {
                Answer::Access(grant) => grant.map(|grant| grant.course_version),
                _ => return Err(unexpected()),
            }
        }
    };
    if owned_version.is_none() && entry.visibility == Visibility::Hidden {
        return Err(Problem::from_error(&CatalogError::CourseNotFound));
    }
    let from_version = owned_version.unwrap_or(entry.version);
    let lesson = api
        .platform
        .catalog_queries
        .lesson(course_id, lesson_id, from_version)
        .await?;
    let mut may_read = owned_version.is_some() || lesson.as_ref().is_some_and(|lesson| lesson.preview);
    if !may_read
        && matches!(entry.visibility, Visibility::Published | Visibility::Unlisted)
        && let Some(caller) = request.caller_if_known()
    {
        // A member studies what is sold now, as long as the membership lasts.
        let commerce = &api.platform.commerce;
        may_read = commerce
            .is_opened(caller.user, course_id, entry.creator, clock::now())
            .await?;
    }
    if !may_read {
        // Anybody without a token is told to bring one, everybody else what is missing.
        request.caller()?;
        return Err(Problem::from_error(&Error::AccessRequired));
    }
    let lesson = lesson.filter(|lesson| lesson.content.is_some());
    let lesson = lesson.ok_or_else(|| Problem::from_error(&CatalogError::LessonNotFound))?;

    let settings = &api.settings.commerce;
    let expires_at = clock::now().plus(*settings.content_ttl_s);
    Ok(Reply::ok(&ContentBody::of(
        lesson,
        settings.content_secret.expose().as_bytes(),
        expires_at,
    )))
}

impl ContentBody {
    fn of(lesson: Lesson, secret: &[u8], expires_at: Timestamp) -> Self {
        let (text, url) = match lesson.content {
            Some(LessonContent::Text(text)) => (Some(text.as_str().to_owned()), None),
            Some(LessonContent::MediaUrl(url)) => (None, Some(signed(url.as_str(), secret, expires_at))),
            None => (None, None),
        };
        ContentBody {
            lesson_id: lesson.id,
            title: lesson.title.to_string(),
            kind: lesson.kind.name(),
            expires_at: url.is_some().then_some(expires_at),
            text,
            url,
        }
    }
}

/// A link that the media's host can check: `expires` in seconds, and the HMAC-SHA256 of link and `expires` in hex.
fn signed(url: &str, secret: &[u8], expires_at: Timestamp) -> String {
    // A fragment never reaches the media's host, and the signature behind one would not either.
    let url = url.split_once('#').map_or(url, |(link, _)| link);
    let separator = if url.contains('?') { '&' } else { '?' };
    let link = format!("{url}{separator}expires={}", expires_at.as_millis() / 1_000);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(link.as_bytes());
    let signature: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{link}&signature={signature}")
}

fn unexpected() -> Problem {
    Problem::internal("a buyer answered another question")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_signed_with_their_end() {
        let end = Timestamp::from_millis(1_000_000);

        let link = signed("https://media.example/1?x=2", b"secret", end);

        assert!(link.starts_with("https://media.example/1?x=2&expires=1000&signature="));
        assert_ne!(link, signed("https://media.example/1?x=2", b"other", end));
        assert!(signed("https://media.example/1", b"secret", end).contains("/1?expires=1000&"));
    }
}
