//! Group buying: prices that creators offer to teams, and the teams. Whoever buys opens one or joins one by `POST /v1/orders`.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::group::{GroupOffer, Refusal, SIZE_MAX, SIZE_MIN};
use lyceum_domain::commerce::team::State;
use lyceum_domain::ids::{CourseId, GroupId, TeamId, UserId};
use lyceum_entities::commerce::{GroupAnswer, GroupRow, OfferQuestion, TeamAnswer, TeamQuestion, TeamView};
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::offerings::WithdrawalBody;
use super::{is_sold, offerings, unexpected};
use crate::http::{Api, Page, Problem, ProblemBody, Reply, Request, checked_cursor, checked_limit, shapes};

/// What is offered to teams.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct GroupRequest {
    /// A course of the caller that is for sale.
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    course_id: CourseId,
    /// What each member pays: below the list price of the course, and more than nothing.
    #[schema(value_type = shapes::Money)]
    price: Money,
    /// How many members a team has, exactly.
    #[schema(minimum = 2, maximum = 50, example = 3)]
    size: u32,
    /// How many seconds a team has to find them, from when it is opened; `commerce.team_lasts_min_s` and `team_lasts_max_s` allow fewer
    /// than this range: unless they are set otherwise, from an hour to 7 days.
    #[schema(minimum = 1, maximum = 2_592_000, example = 86_400)]
    lasts_s: u32,
}

/// A group price.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct GroupBody {
    #[schema(value_type = String, example = "grp_01h455vb4pex5vsknk084sn02q")]
    id: GroupId,
    #[schema(value_type = String)]
    course_id: CourseId,
    #[schema(value_type = String)]
    creator: UserId,
    /// `offered` or `withdrawn`.
    state: String,
    #[schema(value_type = shapes::Money)]
    price: Money,
    size: u32,
    lasts_s: u32,
}

/// Which group prices to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupsQuery {
    /// Of which course.
    #[param(value_type = Option<String>)]
    course_id: Option<CourseId>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// A team. Who its members are is nobody's business.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TeamBody {
    #[schema(value_type = String, example = "tem_01h455vb4pex5vsknk084sn02q")]
    id: TeamId,
    #[schema(value_type = String)]
    group_offer_id: GroupId,
    #[schema(value_type = String)]
    course_id: CourseId,
    /// `open`, `succeeded` (every place was paid in time) or `failed` (they were not, and whoever paid has the money back).
    #[schema(value_type = String)]
    state: State,
    #[schema(value_type = shapes::Money)]
    price: Money,
    size: u32,
    /// How many have paid.
    paid: u32,
    /// How many have a place that they have not paid yet.
    reserved: u32,
    /// How many may still join.
    available: u32,
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
    /// Until when all of them have paid.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
}

/// `POST /v1/group-offers`: offers a course of the caller to teams.
///
/// # Errors
/// 403 `http.forbidden`; 422 the rules for a group price.
#[utoipa::path(
    post, path = "/v1/group-offers", tag = "commerce", request_body = GroupRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the group price; repeating it offers nothing more")),
    responses(
        (status = 201, body = GroupBody, headers(("Location" = String, description = "the group price"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for creators"),
        (status = 422, body = ProblemBody, description = "`commerce.course_not_for_sale`, `commerce.group_course_foreign`, \
            `commerce.group_price_invalid`, `commerce.group_size_invalid`, `commerce.group_time_invalid`, \
            `commerce.currency_unsupported`"),
    )
)]
pub async fn create_group_offer(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let creator = request.require(Role::Creator)?.user;
    let GroupRequest {
        course_id,
        price,
        size,
        lasts_s,
    } = request.json().await?;
    let offer = GroupOffer {
        course_id,
        creator,
        price,
        size,
        lasts_s,
    };
    let (checked, groups) = (checked(api, &offer), &api.platform.groups);

    let (id, answer) = offerings::offer(groups, offer, checked, &request.context()).await?;

    let location = format!("/v1/group-offers/{id}");
    Ok(Reply::created(location, &GroupBody::answered(id, answer)))
}

/// `GET /v1/group-offers/{id}`: shows a group price.
///
/// # Errors
/// 404 `commerce.group_not_found`.
#[utoipa::path(
    get, path = "/v1/group-offers/{id}", tag = "commerce", security((), ("bearer" = [])),
    params(("id" = String, Path, description = "the group price")),
    responses(
        (status = 200, body = GroupBody),
        (status = 404, body = ProblemBody, description = "`commerce.group_not_found`"),
    )
)]
pub async fn get_group_offer(api: &Api, request: Request) -> Result<Reply, Problem> {
    let id: GroupId = request.path("id")?;
    let groups = &api.platform.groups;

    let answer = groups.read(id, OfferQuestion::View, &request.context()).await?;

    Ok(Reply::ok(&GroupBody::answered(id, answer)))
}

/// `GET /v1/group-offers`: lists the group prices that are offered, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/group-offers", tag = "commerce", security((), ("bearer" = [])), params(GroupsQuery),
    responses(
        (status = 200, body = Page<GroupBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_group_offers(api: &Api, request: Request) -> Result<Reply, Problem> {
    let GroupsQuery {
        course_id,
        limit,
        after,
    } = request.query()?;
    let limit = checked_limit(limit)?;
    let before: Option<GroupId> = checked_cursor(after.as_deref())?;

    let commerce = &api.platform.commerce;
    let rows = commerce.group_offers(course_id, before, limit + 1).await?;

    let cursor = |row: &GroupRow| row.id.to_string();
    Ok(Reply::ok(&Page::of(rows, limit, cursor, |row| {
        GroupBody::of(row.id, &row.offer, row.state)
    })))
}

/// `POST /v1/group-offers/{id}/withdraw`: opens no team any more; those that are open are not concerned.
///
/// # Errors
/// 404 `commerce.group_not_found`, also for somebody else's; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/v1/group-offers/{id}/withdraw", tag = "commerce", request_body(content = Option<WithdrawalBody>),
    params(("id" = String, Path, description = "the group price"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = GroupBody),
        (status = 404, body = ProblemBody, description = "`commerce.group_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn withdraw_group_offer(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let id: GroupId = request.path("id")?;

    let answer = offerings::withdraw(api, &mut request, &api.platform.groups, id).await?;

    Ok(Reply::ok(&GroupBody::answered(id, answer)))
}

/// `GET /v1/teams/{id}`: shows a team to whoever may join it.
///
/// # Errors
/// 404 `commerce.team_not_found`.
#[utoipa::path(
    get, path = "/v1/teams/{id}", tag = "commerce", security((), ("bearer" = [])),
    params(("id" = String, Path, description = "the team")),
    responses(
        (status = 200, body = TeamBody),
        (status = 404, body = ProblemBody, description = "`commerce.team_not_found`"),
    )
)]
pub async fn get_team(api: &Api, request: Request) -> Result<Reply, Problem> {
    let id: TeamId = request.path("id")?;

    let teams = &api.platform.teams;
    match teams.read(id, TeamQuestion::View, &request.context()).await? {
        TeamAnswer::View(view) => Ok(Reply::ok(&TeamBody::of(id, *view))),
        TeamAnswer::Place { .. } | TeamAnswer::Verdict(_) => Err(unexpected()),
    }
}

/// Refuses what the catalog or the settings do not bear; the rest the group price itself refuses.
fn checked(api: &Api, offer: &GroupOffer) -> Result<(), Problem> {
    let refused = |refusal: Refusal| Problem::from_error(&Error::Group(refusal));
    let course = api.platform.catalog.get(offer.course_id);
    let course = course.filter(|entry| is_sold(entry)).ok_or_else(|| {
        Problem::from_error(&Error::CourseNotForSale).at("/course_id", "this course is not for sale")
    })?;
    if course.creator != offer.creator {
        return Err(refused(Refusal::CourseForeign).at("/course_id", "is not a course of yours"));
    }
    if course.price.currency() == offer.price.currency() && offer.price.amount() >= course.price.amount() {
        return Err(refused(Refusal::PriceInvalid).at("/price", "below the list price of the course"));
    }
    let settings = &api.settings.commerce;
    let (min, max) = (*settings.team_lasts_min_s, *settings.team_lasts_max_s);
    if !(min..=max).contains(&offer.lasts()) {
        let rule = format!("from {} to {} seconds", min.as_secs(), max.as_secs());
        return Err(refused(Refusal::TimeInvalid).at("/lasts_s", rule));
    }
    Ok(())
}

impl GroupBody {
    fn answered(id: GroupId, answer: GroupAnswer) -> Self {
        Self::of(id, &answer.offer, answer.state)
    }

    fn of(id: GroupId, offer: &GroupOffer, state: String) -> Self {
        GroupBody {
            id,
            course_id: offer.course_id,
            creator: offer.creator,
            state,
            price: offer.price,
            size: offer.size,
            lasts_s: offer.lasts_s,
        }
    }
}

impl TeamBody {
    fn of(id: TeamId, view: TeamView) -> Self {
        let terms = view.terms;
        let free = terms.size.saturating_sub(view.paid + view.reserved);
        TeamBody {
            id,
            group_offer_id: terms.group_id,
            course_id: terms.course_id,
            state: view.state,
            price: terms.price,
            size: terms.size,
            paid: view.paid,
            reserved: view.reserved,
            available: if view.state == State::Open { free } else { 0 },
            opened_at: view.at,
            ends_at: terms.ends_at,
        }
    }
}

const _: () = assert!(
    SIZE_MIN == 2 && SIZE_MAX == 50,
    "the description of a group price says so"
);
