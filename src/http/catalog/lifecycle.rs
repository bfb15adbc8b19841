//! The life cycle of a course: one route, one command.
//!
//! Creators act on their own courses and find nobody else's; reviewing and suspending is for operators.

use lyceum_domain::accounts::Role;
use lyceum_domain::catalog::Action;
use lyceum_domain::ids::CourseId;

use super::answers::AuthoredBody;
use super::authoring::act;
use super::wire::{Nothing, ReasonBody, ScheduleBody};
use super::{Api, Problem, ProblemBody, Reply, Request};

/// `POST /v1/courses/{id}/submit`: asks for a review of a draft.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/submit", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn submit_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Submit).await
}

/// `POST /v1/courses/{id}/approve`: accepts a course under review.
///
/// # Errors
/// 403 `http.forbidden`; 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/approve", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for operators"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn approve_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Approve).await
}

/// `POST /v1/courses/{id}/reject`: sends a course under review back to its creator.
///
/// # Errors
/// 403 `http.forbidden`; 404 `catalog.course_not_found`; 409 `catalog.wrong_state`; 422 `catalog.invalid_field`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/reject", tag = "catalog", request_body(content = Option<ReasonBody>),
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for operators"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`catalog.invalid_field`"),
    )
)]
pub async fn reject_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let reason = ReasonBody::parse(request.json_if_any().await?.as_ref())?;
    act(api, &request, Action::Reject { reason }).await
}

/// `POST /v1/courses/{id}/publish`: makes the working version live and lists the course.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`; 422 `catalog.title_missing`, `catalog.price_missing`,
/// `catalog.lesson_missing`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/publish", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`catalog.title_missing`, `catalog.price_missing`, `catalog.lesson_missing`"),
    )
)]
pub async fn publish_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Publish).await
}

/// `POST /v1/courses/{id}/schedule`: plans the publication of an approved course.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`; 422 `catalog.schedule_in_past`,
/// `catalog.title_missing`, `catalog.price_missing`, `catalog.lesson_missing`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/schedule", tag = "catalog", request_body = ScheduleBody,
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`catalog.schedule_in_past`, `catalog.title_missing`, `catalog.price_missing`, `catalog.lesson_missing`"),
    )
)]
pub async fn schedule_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let ScheduleBody { at } = request.json().await?;
    act(api, &request, Action::Schedule { at }).await
}

/// `POST /v1/courses/{id}/unschedule`: drops the plan.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/unschedule", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn unschedule_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Unschedule).await
}

/// `POST /v1/courses/{id}/unlist`: takes a course out of lists; whoever has its address may buy it.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/unlist", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn unlist_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Unlist).await
}

/// `POST /v1/courses/{id}/relist`: lists an unlisted course again.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/relist", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn relist_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Relist).await
}

/// `POST /v1/courses/{id}/suspend`: stops sale and display.
///
/// # Errors
/// 403 `http.forbidden`; 404 `catalog.course_not_found`; 409 `catalog.wrong_state`; 422 `catalog.invalid_field`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/suspend", tag = "catalog", request_body(content = Option<ReasonBody>),
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for operators"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`catalog.invalid_field`"),
    )
)]
pub async fn suspend_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let reason = ReasonBody::parse(request.json_if_any().await?.as_ref())?;
    act(api, &request, Action::Suspend { reason }).await
}

/// `POST /v1/courses/{id}/reinstate`: brings a suspended course back to where it was.
///
/// # Errors
/// 403 `http.forbidden`; 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/reinstate", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for operators"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn reinstate_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Reinstate).await
}

/// `POST /v1/courses/{id}/retire`: ends the sale for good; owners keep their access.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/retire", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`"),
    )
)]
pub async fn retire_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    act(api, &request, Action::Retire).await
}

/// `POST /v1/courses/{id}/archive`: puts a retired course away that nobody has access to.
///
/// # Errors
/// 404 `catalog.course_not_found`; 409 `catalog.wrong_state`, `catalog.grants_left`.
#[utoipa::path(
    post, path = "/v1/courses/{id}/archive", tag = "catalog",
    params(
        ("id" = String, Path, description = "the course"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = AuthoredBody, headers(("ETag" = String, description = "for If-Match"))),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
        (status = 409, body = ProblemBody, description = "`catalog.wrong_state`, `catalog.grants_left`"),
    )
)]
pub async fn archive_course(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.json_if_any::<Nothing>().await?;
    let course: CourseId = request.path("id")?;
    let grants_left = api.platform.catalog_queries.has_grants(course).await?;
    act(api, &request, Action::Archive { grants_left }).await
}
