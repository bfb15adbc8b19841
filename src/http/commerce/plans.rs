//! Membership plans: what a creator, or the platform, opens for a price that is paid for each month or year.

use std::sync::Arc;

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::plan::{COURSES_MAX, Command, Every, Opens, PlanOffer, Refusal};
use lyceum_domain::ids::{CourseId, PlanId, UserId};
use lyceum_entities::commerce::{OfferQuestion, PlanAnswer, PlanRow};
use lyceum_kernel::Money;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::offerings::WithdrawalBody;
use super::{is_sold, offerings};
use crate::http::{Api, Page, Problem, ProblemBody, Reply, Request, checked_cursor, checked_limit, shapes};

/// What a plan offers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PlanRequest {
    /// What it is called, in up to 120 characters.
    #[schema(min_length = 1, max_length = 120)]
    title: String,
    /// What a period costs; more than nothing.
    #[schema(value_type = shapes::Money)]
    price: Money,
    every: EveryBody,
    /// From 1 to 100 courses of the caller (of anybody, if the plan is the platform's) that are for sale; left out: all of them, those of
    /// later as well.
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100)]
    course_ids: Option<Vec<CourseId>>,
}

/// How long a period is, by the calendar.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum EveryBody {
    /// A month.
    Month,
    /// A year.
    Year,
}

/// A membership plan.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PlanBody {
    #[schema(value_type = String, example = "pln_01h455vb4pex5vsknk084sn02q")]
    id: PlanId,
    #[schema(value_type = String)]
    title: Arc<str>,
    /// Whose plan it is; left out if it is the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    creator: Option<UserId>,
    /// `offered` or `withdrawn`.
    state: String,
    #[schema(value_type = shapes::Money)]
    price: Money,
    every: EveryBody,
    /// What it opens; left out if that is everything of whose plan it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    course_ids: Option<Vec<CourseId>>,
}

/// Which plans to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlansQuery {
    /// Of which creator.
    #[param(value_type = Option<String>)]
    creator: Option<UserId>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// `POST /v1/membership-plans`: offers a membership of the caller's courses.
///
/// # Errors
/// 403 `http.forbidden`; 422 the rules for a plan.
#[utoipa::path(
    post, path = "/v1/membership-plans", tag = "commerce", request_body = PlanRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the plan; repeating it offers no other")),
    responses(
        (status = 201, body = PlanBody, headers(("Location" = String, description = "the plan"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for creators"),
        (status = 422, body = ProblemBody, description = "`commerce.plan_courses_invalid`, `commerce.plan_course_foreign`, \
            `commerce.plan_price_invalid`, `commerce.plan_title_invalid`, `commerce.currency_unsupported`"),
    )
)]
pub async fn create_plan(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let creator = request.require(Role::Creator)?.user;
    offer(api, &mut request, Issuer::Creator(creator), creator).await
}

/// `POST /admin/v1/membership-plans`: offers a membership of the platform, whose revenue is the platform's.
///
/// # Errors
/// 422 the rules for a plan.
#[utoipa::path(
    post, path = "/admin/v1/membership-plans", tag = "operators", request_body = PlanRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the plan; repeating it offers no other")),
    responses(
        (status = 201, body = PlanBody, headers(("Location" = String, description = "the plan"))),
        (status = 422, body = ProblemBody, description = "`commerce.plan_courses_invalid`, `commerce.plan_course_foreign`, \
            `commerce.plan_price_invalid`, `commerce.plan_title_invalid`, `commerce.currency_unsupported`"),
    )
)]
pub async fn create_platform_plan(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let by = request.require(Role::Operator)?.user;
    offer(api, &mut request, Issuer::Platform, by).await
}

/// `GET /v1/membership-plans/{id}`: shows a plan.
///
/// # Errors
/// 404 `commerce.plan_not_found`.
#[utoipa::path(
    get, path = "/v1/membership-plans/{id}", tag = "commerce", security((), ("bearer" = [])), params(("id" = String, Path, description = "the plan")),
    responses(
        (status = 200, body = PlanBody),
        (status = 404, body = ProblemBody, description = "`commerce.plan_not_found`"),
    )
)]
pub async fn get_plan(api: &Api, request: Request) -> Result<Reply, Problem> {
    let id: PlanId = request.path("id")?;
    let plans = &api.platform.plans;
    let answer = plans.read(id, OfferQuestion::View, &request.context()).await?;
    Ok(Reply::ok(&PlanBody::answered(id, answer)))
}

/// `GET /v1/membership-plans`: lists the plans that are offered, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/membership-plans", tag = "commerce", security((), ("bearer" = [])), params(PlansQuery),
    responses(
        (status = 200, body = Page<PlanBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_plans(api: &Api, request: Request) -> Result<Reply, Problem> {
    let PlansQuery {
        creator,
        limit,
        after,
    } = request.query()?;
    let limit = checked_limit(limit)?;
    let before: Option<PlanId> = checked_cursor(after.as_deref())?;

    let rows = api.platform.commerce.plans(creator, before, limit + 1).await?;

    let cursor = |row: &PlanRow| row.id.to_string();
    Ok(Reply::ok(&Page::of(rows, limit, cursor, |row| {
        PlanBody::of(row.id, row.offer, row.state)
    })))
}

/// `POST /v1/membership-plans/{id}/withdraw`: takes nobody in any more. Members keep what they have, and are renewed.
///
/// # Errors
/// 404 `commerce.plan_not_found`, also for somebody else's; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/v1/membership-plans/{id}/withdraw", tag = "commerce", request_body(content = Option<WithdrawalBody>),
    params(("id" = String, Path, description = "the plan"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = PlanBody),
        (status = 404, body = ProblemBody, description = "`commerce.plan_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn withdraw_plan(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let id: PlanId = request.path("id")?;

    let answer = offerings::withdraw(api, &mut request, &api.platform.plans, id).await?;

    Ok(Reply::ok(&PlanBody::answered(id, answer)))
}

async fn offer(api: &Api, request: &mut Request, issuer: Issuer, by: UserId) -> Result<Reply, Problem> {
    let PlanRequest {
        title,
        price,
        every,
        course_ids,
    } = request.json().await?;
    let opens = match course_ids {
        None => Opens::Everything,
        Some(courses) => Opens::Courses(checked(api, courses, issuer)?.into_iter().collect()),
    };
    let offer = PlanOffer {
        title: title.into(),
        issuer,
        by,
        price,
        every: match every {
            EveryBody::Month => Every::Month,
            EveryBody::Year => Every::Year,
        },
        opens,
    };
    let (id, answer) = api
        .platform
        .plans
        .create(Command::Offer(offer), OfferQuestion::View, &request.context())
        .await?;

    let location = format!("/v1/membership-plans/{id}");
    Ok(Reply::created(location, &PlanBody::answered(id, answer)))
}

/// Courses that the issuer may open: a course of somebody else would be given away.
fn checked(api: &Api, courses: Vec<CourseId>, issuer: Issuer) -> Result<Vec<CourseId>, Problem> {
    let refused = |refusal: Refusal| Problem::from_error(&Error::Plan(refusal));
    // Of a list that is too long nothing is looked up.
    if courses.len() > COURSES_MAX {
        return Err(refused(Refusal::CoursesInvalid));
    }
    for (index, course) in courses.iter().enumerate() {
        let entry = api.platform.catalog.get(*course).filter(|entry| is_sold(entry));
        let opens = entry.is_some_and(|entry| match issuer {
            Issuer::Creator(creator) => entry.creator == creator,
            Issuer::Platform => true,
        });
        if !opens {
            let pointer = format!("/course_ids/{index}");
            return Err(refused(Refusal::CourseForeign).at(pointer, "is not for sale, or somebody else's"));
        }
    }
    Ok(courses)
}

impl PlanBody {
    fn answered(id: PlanId, answer: PlanAnswer) -> Self {
        PlanBody::of(id, answer.offer, answer.state)
    }

    fn of(id: PlanId, offer: PlanOffer, state: String) -> Self {
        PlanBody {
            id,
            title: offer.title,
            creator: creator(offer.issuer),
            state,
            price: offer.price,
            every: EveryBody::of(offer.every),
            course_ids: course_ids(offer.opens),
        }
    }
}

impl EveryBody {
    pub(super) fn of(every: Every) -> Self {
        match every {
            Every::Month => EveryBody::Month,
            Every::Year => EveryBody::Year,
        }
    }
}

/// Whose plan it is, unless it is the platform's.
pub(super) fn creator(issuer: Issuer) -> Option<UserId> {
    match issuer {
        Issuer::Creator(creator) => Some(creator),
        Issuer::Platform => None,
    }
}

/// What is opened, unless it is everything.
pub(super) fn course_ids(opens: Opens) -> Option<Vec<CourseId>> {
    match opens {
        Opens::Everything => None,
        Opens::Courses(courses) => Some(courses.into_iter().collect()),
    }
}
