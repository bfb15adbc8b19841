//! The creators' side: drafts, edits, lessons, and their own courses in every state.

use lyceum_domain::accounts::Role;
use lyceum_domain::catalog::{Action, Command, Error};
use lyceum_domain::ids::{CourseId, LessonId};
use lyceum_entities::catalog::{Answer, AuthoredCourse, Question};
use lyceum_kernel::Class;

use super::answers::{AuthoredBody, AuthoredLineBody, ImportedBody};
use super::wire::{EditCourseBody, ImportCourseBody, LessonBody, NewCourseBody, outline};
use super::{Api, Problem, ProblemBody, Reply, Request, by, settlement};
use crate::http::{Caller, Page, PageQuery, stale};

/// `POST /v1/courses`: makes a draft.
///
/// # Errors
/// 403 `http.forbidden`; 422 `catalog.invalid_field`, `catalog.currency_not_accepted`.
#[utoipa::path(
    post, path = "/v1/courses", tag = "catalog", request_body = NewCourseBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 201, body = AuthoredBody, headers(("Location" = String), ("ETag" = String, description = "for If-Match"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for creators and operators"),
        (status = 422, body = ProblemBody,
            description = "`catalog.invalid_field`, `catalog.currency_not_accepted`, `http.idempotency_key_reused`"),
    )
)]
pub async fn create_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = creator(&request)?;
    let body: NewCourseBody = request.json().await?;
    let details = Box::new(body.details(settlement(api))?);
    let action = Action::Create {
        creator: caller.user,
        details,
    };

    let question = Question::Authored { by: by(&caller) };
    let command = Command {
        by: by(&caller),
        action,
    };
    let (course, answer) = api
        .platform
        .courses
        .create(command, question, &request.context())
        .await?;

    let (body, revision) = authored(course, answer)?;
    Ok(Reply::created(format!("/v1/me/authored-courses/{course}"), &body).version(revision))
}

/// `PATCH /v1/courses/{id}`: edits a course; of a published one, in a working version that `publish` makes live.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`; 412 `catalog.revision_mismatch`, `http.stale`; 422
/// `catalog.invalid_field`, `catalog.currency_not_accepted`.
#[utoipa::path(
    patch, path = "/v1/courses/{id}", tag = "catalog", request_body = EditCourseBody,
    params(
        ("id" = String, Path, description = "the course"),
        ("If-Match" = Option<String>, Header, description = "the entity tag the edit is based on"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 412, body = ProblemBody, description = "`catalog.revision_mismatch`, `http.stale`"),
        (status = 422, body = ProblemBody, description = "`catalog.invalid_field`, `catalog.currency_not_accepted`"),
    )
)]
pub async fn edit_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let expected = expected_revision(&request)?;
    let body: EditCourseBody = request.json().await?;
    let changes = Box::new(body.changes(settlement(api))?);
    act(api, &request, Action::Edit { changes, expected }).await
}

/// `PUT /v1/courses/{id}/lessons/{lesson_id}`: adds, replaces or moves a lesson.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`; 412 `catalog.revision_mismatch`, `http.stale`; 422
/// `catalog.invalid_field`, `catalog.outline_too_large`.
#[utoipa::path(
    put, path = "/v1/courses/{id}/lessons/{lesson_id}", tag = "catalog", request_body = LessonBody,
    params(
        ("id" = String, Path, description = "the course"),
        ("lesson_id" = String, Path, description = "the lesson; the client draws a new one's id", example = "les_01h455vb4pex5vsknk084sn02q"),
        ("If-Match" = Option<String>, Header, description = "the entity tag the edit is based on"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 412, body = ProblemBody, description = "`catalog.revision_mismatch`, `http.stale`"),
        (status = 422, body = ProblemBody, description = "`catalog.invalid_field`, `catalog.outline_too_large`"),
    )
)]
pub async fn put_lesson(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let lesson: LessonId = request.path("lesson_id")?;
    let expected = expected_revision(&request)?;
    let body: LessonBody = request.json().await?;
    let (lesson, place) = body.lesson(lesson)?;
    act(
        api,
        &request,
        Action::PutLesson {
            lesson,
            place,
            expected,
        },
    )
    .await
}

/// `DELETE /v1/courses/{id}/lessons/{lesson_id}`: takes a lesson out.
///
/// # Errors
/// 404 `catalog.course_not_found`, `catalog.lesson_not_found`; 409 `catalog.wrong_state`; 412
/// `catalog.revision_mismatch`, `http.stale`.
#[utoipa::path(
    delete, path = "/v1/courses/{id}/lessons/{lesson_id}", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("lesson_id" = String, Path, description = "the lesson"),
        ("If-Match" = Option<String>, Header, description = "the entity tag the edit is based on"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`, `catalog.lesson_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 412, body = ProblemBody, description = "`catalog.revision_mismatch`, `http.stale`"),
    )
)]
pub async fn remove_lesson(api: &Api, request: Request) -> Result<Reply, Problem> {
    let lesson: LessonId = request.path("lesson_id")?;
    let expected = expected_revision(&request)?;
    act(api, &request, Action::RemoveLesson { lesson, expected }).await
}

/// `GET /v1/me/authored-courses`: lists the caller's own courses in every state, the newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/me/authored-courses", tag = "catalog", params(PageQuery),
    responses(
        (status = 200, body = Page<AuthoredLineBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_authored(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let after: Option<CourseId> = query.cursor()?;

    let courses = api
        .platform
        .catalog_queries
        .authored(caller.user, after, limit + 1)
        .await?;

    let cursor = |course: &AuthoredCourse| course.id.to_string();
    Ok(Reply::ok(&Page::of(
        courses,
        limit,
        cursor,
        AuthoredLineBody::from,
    )))
}

/// `GET /v1/me/authored-courses/{id}`: shows a course as its creator and operators see it, drafts and content too.
///
/// # Errors
/// 404 `catalog.course_not_found`.
#[utoipa::path(
    get, path = "/v1/me/authored-courses/{id}", tag = "catalog",
    params(("id" = String, Path, description = "the course")),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 304, description = "nothing has changed"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
    )
)]
pub async fn get_authored(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let course: CourseId = request.path("id")?;
    let question = Question::Authored { by: by(&caller) };
    let answer = api
        .platform
        .courses
        .read(course, question, &request.context())
        .await?;
    let (body, revision) = authored(course, answer)?;
    Ok(Reply::ok(&body).version(revision))
}

/// `POST /admin/v1/courses`: creates, reviews and publishes a complete course in one decision.
///
/// # Errors
/// 403 `http.forbidden`; 409 `catalog.course_exists`; 422 `catalog.invalid_field`, `catalog.title_missing`,
/// `catalog.price_missing`, `catalog.lesson_missing`, `catalog.outline_too_large`, `catalog.currency_not_accepted`.
#[utoipa::path(
    post, path = "/admin/v1/courses", tag = "operators", request_body = ImportCourseBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 201, body = ImportedBody, headers(("Location" = String, description = "the course"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for operators"),
        (status = 409, body = ProblemBody, description = "`catalog.course_exists`"),
        (status = 422, body = ProblemBody, description = "`catalog.invalid_field`, `catalog.title_missing`, \
            `catalog.price_missing`, `catalog.lesson_missing`, `catalog.outline_too_large`, \
            `catalog.currency_not_accepted`, `http.idempotency_key_reused`"),
    )
)]
pub async fn import_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.require(Role::Operator)?;
    let body: ImportCourseBody = request.json().await?;
    let outline = outline(&body.chapters)?;
    let details = Box::new(body.course.details(settlement(api))?);
    let context = request.context();
    let action = Action::Launch {
        creator: body.creator_id.unwrap_or(caller.user),
        details,
        outline,
    };

    let by = by(&caller);
    let (command, question) = (Command { by, action }, Question::Brief { by });
    let courses = &api.platform.courses;
    let (course, answer) = match body.id {
        Some(course) => (course, courses.ask(course, command, question, &context).await?),
        None => courses.create(command, question, &context).await?,
    };

    let brief = answer.brief();
    let body = ImportedBody {
        id: course,
        state: brief.stage.name(),
        version: brief.version,
    };
    Ok(Reply::created(format!("/v1/courses/{course}"), &body))
}

/// Carries out an action on the course in the path, and answers with the course as its creator sees it.
pub(super) async fn act(api: &Api, request: &Request, action: Action) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let course: CourseId = request.path("id")?;
    let by = by(&caller);
    let question = Question::Authored { by };
    let answer = api
        .platform
        .courses
        .ask(course, Command { by, action }, question, &request.context())
        .await?;
    let (body, revision) = authored(course, answer)?;
    Ok(Reply::ok(&body).version(revision))
}

fn authored(course: CourseId, answer: Answer) -> Result<(AuthoredBody, u64), Problem> {
    match answer {
        Answer::Authored(authored) => {
            let revision = authored.brief.revision;
            Ok((AuthoredBody::of(course, *authored), revision))
        }
        // The record of a named operation of another route; it cannot be, as routes are part of the name.
        Answer::Brief(_) => Err(Problem::from_error(&Error::CourseNotFound)),
    }
}

/// The caller, who may write courses.
fn creator(request: &Request) -> Result<Caller, Problem> {
    let caller = request.caller()?;
    if caller.roles.contains(Role::Creator) || caller.roles.contains(Role::Operator) {
        return Ok(caller);
    }
    Err(Problem::new(
        Class::Forbidden,
        "http.forbidden",
        "This needs the role creator.",
    ))
}

/// The revision in If-Match: the number before the hyphen of a public entity tag, or the whole of an author's.
fn expected_revision(request: &Request) -> Result<Option<u64>, Problem> {
    match request.if_match() {
        None if request.headers().contains_key(hyper::header::IF_MATCH) => Err(stale()),
        None | Some("*") => Ok(None),
        Some(tag) => revision_of(tag).map(Some).ok_or_else(stale),
    }
}

fn revision_of(tag: &str) -> Option<u64> {
    let text = tag.strip_prefix('"')?.strip_suffix('"')?;
    let digits = text.split_once('-').map_or(text, |(revision, _)| revision);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_of_both_representations_name_a_revision() {
        assert_eq!(revision_of("\"7\""), Some(7));
        assert_eq!(revision_of("\"7-00ff\""), Some(7));
        for tag in ["7", "W/\"7\"", "\"\"", "\"-1\"", "\"+7\"", "\"seven\""] {
            assert_eq!(revision_of(tag), None, "{tag}");
        }
    }
}
