//! Memberships: joined by an order that pays the first period, renewed by the clock, cancelled and paused by their member.
//!
//! ```text
//! POST /v1/memberships ─ join ─▶ the membership ─ place an order that pays it ─▶ the buyer ─▶ the order is the answer
//!                            └ refused                     └ refused: the membership is told at once
//! ```

use std::sync::Arc;

use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::membership::{Command, Period, Refusal, Terms};
use lyceum_domain::commerce::{Command as BuyerCommand, Error, Order, OrderState, Outcome};
use lyceum_domain::ids::{CourseId, MembershipId, OrderId, PlanId, UserId};
use lyceum_entities::commerce::{
    Answer, MembershipAnswer, MembershipKey, MembershipQuestion, MembershipView, OfferQuestion, Question,
    period_order,
};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Context, clock, ids};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plans::{self, EveryBody};
use super::wire::{OrderBody, checked_token};
use super::{method, placed, repeated, reserving, unexpected};
use crate::http::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request, shapes};

/// Asks for a membership.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MembershipRequest {
    #[schema(value_type = String, example = "pln_01h455vb4pex5vsknk084sn02q")]
    plan_id: PlanId,
    /// The price that was agreed to: joining is refused if the plan costs anything else.
    #[schema(value_type = Option<shapes::Money>)]
    expected_price: Option<Money>,
    /// `wallet`, or the name of a provider that charges without its payer: `sandbox`.
    #[schema(example = "wallet")]
    payment_method: String,
    /// What the provider needs to charge, now and at each renewal; the wallet needs none.
    #[schema(pattern = "^[!-~]{1,256}$", example = "tok_ok")]
    payment_token: Option<String>,
}

/// A membership.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MembershipBody {
    #[schema(value_type = String, example = "mbr_01h455vb4pex5vsknk084sn02q")]
    id: MembershipId,
    #[schema(value_type = String)]
    plan_id: PlanId,
    #[schema(value_type = String)]
    title: Arc<str>,
    /// Whose plan it is; left out if it is the platform's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    creator: Option<UserId>,
    /// What a period costs, as it was agreed.
    #[schema(value_type = shapes::Money)]
    price: Money,
    every: EveryBody,
    /// What it opens; left out if that is everything of whose plan it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    course_ids: Option<Vec<CourseId>>,
    payment_method: &'static str,
    /// `pending`, `active`, `past_due`, `paused` or `ended`.
    state: String,
    /// Why it is over: `never_paid`, `cancelled`, `unpaid` or `refunded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Whether another period follows.
    renews: bool,
    #[schema(value_type = String, format = DateTime)]
    joined_at: Timestamp,
    /// When what was paid ends, while it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<Timestamp>,
    /// Until when what it opens may be studied; left out if it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    access_until: Option<Timestamp>,
    /// When a pause ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    paused_until: Option<Timestamp>,
    /// The order that is to pay the next period.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    open_order_id: Option<OrderId>,
    /// The latest periods, newest first, at most twelve.
    periods: Vec<PeriodBody>,
}

/// A period that an order has paid.
#[derive(Debug, Serialize, ToSchema)]
struct PeriodBody {
    #[schema(value_type = String)]
    order_id: OrderId,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Whether its money has gone back, and it with it.
    removed: bool,
}

/// `POST /v1/memberships`: joins a plan. The answer is the order that pays the first period; each renewal is an order as well.
///
/// # Errors
/// 402 `commerce.insufficient_funds`; 404 `commerce.plan_not_found`; 409 `commerce.already_member`, `commerce.price_changed`,
/// `commerce.own_course`; 422 `commerce.plan_withdrawn`, `commerce.method_cannot_renew`.
#[utoipa::path(
    post, path = "/v1/memberships", tag = "commerce", request_body = MembershipRequest,
    params(("Idempotency-Key" = String, Header, description = "names the purchase; repeating it buys nothing more")),
    responses(
        (status = 201, body = OrderBody, description = "paid: the membership is active",
            headers(("Location" = String, description = "the order"))),
        (status = 202, body = OrderBody, description = "the payment is under way",
            headers(("Location" = String, description = "the order"))),
        (status = 402, body = ProblemBody, description = "`commerce.insufficient_funds`"),
        (status = 404, body = ProblemBody, description = "`commerce.plan_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.already_member`, `commerce.price_changed`, `commerce.own_course`, \
            `commerce.reservation_expired`"),
        (status = 422, body = ProblemBody, description = "`commerce.plan_withdrawn`, `commerce.method_cannot_renew`, \
            `commerce.payment_method_unknown`, `commerce.payment_token_required`"),
    )
)]
pub async fn join_plan(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;
    let MembershipRequest {
        plan_id,
        expected_price,
        payment_method,
        payment_token,
    } = request.json().await?;
    let method = method(api, &payment_method)?;
    let token = checked_token(payment_token)?;
    let (context, key) = (request.context(), MembershipKey::of(plan_id, user));
    let unnamed = Context {
        operation: None,
        ..context
    };
    // Whoever has joined by this very request is a member by now.
    if let Some(Answer::Order(order)) = api.platform.buyers.recorded(&context).await? {
        return Ok(placed(api, &order));
    }
    let plans = &api.platform.plans;
    let offer = plans.read(plan_id, OfferQuestion::Offer, &unnamed).await?.offer;
    if expected_price.is_some_and(|expected| expected != offer.price) {
        return Err(Problem::from_error(&Error::PriceChanged));
    }
    let settings = &api.settings;
    let (creator, share_bps) = match offer.issuer {
        Issuer::Creator(creator) => (creator, settings.commerce.share_bps),
        Issuer::Platform => (offer.by, 0),
    };
    let terms = Terms {
        plan_id,
        title: offer.title,
        issuer: offer.issuer,
        creator,
        share_bps,
        price: offer.price,
        every: offer.every,
        opens: offer.opens,
        method,
        token,
        dunning: settings.memberships.dunning(),
        pause_max_ms: u64::try_from(settings.memberships.pause_max_s.as_millis()).unwrap_or(u64::MAX),
    };
    let (now, times, order_id) = (clock::now(), settings.order_times(), ids::new());
    let until = now.plus(times.reservation_ttl);
    let place = period_order(key, &terms, order_id, until, times, now);
    let join = Command::Join {
        terms: Box::new(terms),
        user,
        order_id,
        until,
    };
    let memberships = &api.platform.memberships;
    if let Err(refused) = memberships
        .ask(key, join, MembershipQuestion::Nothing, &unnamed)
        .await
    {
        return repeated(api, &request, refused.into()).await;
    }

    let (command, question) = (
        BuyerCommand::PlaceOrder(Box::new(place.clone())),
        Question::Order { order_id },
    );
    let answered = api.platform.buyers.ask(user, command, question, &context).await;
    if reserving::is_not_placed(&answered, order_id) {
        reserving::release(api, &place);
    }
    let Answer::Order(order) = answered? else {
        return Err(unexpected());
    };
    begin(api, key, &order, &unnamed).await;
    Ok(placed(api, &order))
}

/// Has the first period begin before its member is answered. Its buyer says the same by a message, so nothing is lost if this is.
async fn begin(api: &Api, key: MembershipKey, order: &Order, context: &Context) {
    if order.state() != OrderState::Fulfilled {
        return;
    }
    let command = Command::Settle {
        order_id: order.placement.order_id,
        outcome: Outcome::Consumed,
    };
    let memberships = &api.platform.memberships;
    let begun = memberships
        .ask(key, command, MembershipQuestion::Nothing, context)
        .await;
    if let Err(error) = begun {
        tracing::info!(?error, "a membership begins a little later");
    }
}

/// `GET /v1/me/memberships`: lists the memberships that the caller has or has had.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/me/memberships", tag = "commerce", params(PageQuery),
    responses(
        (status = 200, body = Page<MembershipBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_memberships(api: &Api, request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let after: Option<MembershipId> = query.cursor()?;

    let found = api.platform.commerce.memberships(user, after, limit + 1).await?;
    let mut bodies = Vec::with_capacity(found.len());
    for membership in found {
        let key = MembershipKey { membership, user };
        let memberships = &api.platform.memberships;
        let answer = memberships
            .read(key, MembershipQuestion::View, &request.context())
            .await?;
        bodies.push(MembershipBody::of(membership, viewed(answer)?));
    }

    let cursor = |body: &MembershipBody| body.id.to_string();
    Ok(Reply::ok(&Page::of(bodies, limit, cursor, |body| body)))
}

/// `GET /v1/memberships/{id}`: shows a membership of the caller.
///
/// # Errors
/// 404 `commerce.membership_not_found`, also for somebody else's.
#[utoipa::path(
    get, path = "/v1/memberships/{id}", tag = "commerce", params(("id" = String, Path, description = "the membership")),
    responses(
        (status = 200, body = MembershipBody),
        (status = 404, body = ProblemBody, description = "`commerce.membership_not_found`"),
    )
)]
pub async fn get_membership(api: &Api, request: Request) -> Result<Reply, Problem> {
    let key = of_caller(api, &request).await?;
    let memberships = &api.platform.memberships;
    let answer = memberships
        .read(key, MembershipQuestion::View, &request.context())
        .await?;
    Ok(Reply::ok(&MembershipBody::of(key.membership, viewed(answer)?)))
}

/// `POST /v1/memberships/{id}/cancel`: lets no other period follow. What was paid lasts until its end.
///
/// # Errors
/// 404 `commerce.membership_not_found`, also for somebody else's; 409 `commerce.wrong_state`.
#[utoipa::path(
    post, path = "/v1/memberships/{id}/cancel", tag = "commerce",
    params(("id" = String, Path, description = "the membership"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = MembershipBody),
        (status = 404, body = ProblemBody, description = "`commerce.membership_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`: while it is `pending` its order can be cancelled"),
    )
)]
pub async fn cancel_membership(api: &Api, request: Request) -> Result<Reply, Problem> {
    change(api, &request, Command::Cancel).await
}

/// `POST /v1/memberships/{id}/pause`: lets the time of a membership stand still, for 90 days at most; nothing may be studied by it.
///
/// # Errors
/// 404 `commerce.membership_not_found`, also for somebody else's; 409 `commerce.wrong_state`, `commerce.membership_pauses_used`.
#[utoipa::path(
    post, path = "/v1/memberships/{id}/pause", tag = "commerce",
    params(("id" = String, Path, description = "the membership"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = MembershipBody),
        (status = 404, body = ProblemBody, description = "`commerce.membership_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`, `commerce.membership_pauses_used`"),
    )
)]
pub async fn pause_membership(api: &Api, request: Request) -> Result<Reply, Problem> {
    change(api, &request, Command::Pause).await
}

/// `POST /v1/memberships/{id}/resume`: lets a paused membership go on, or one that was cancelled be renewed after all.
///
/// # Errors
/// 404 `commerce.membership_not_found`, also for somebody else's; 409 `commerce.wrong_state`.
#[utoipa::path(
    post, path = "/v1/memberships/{id}/resume", tag = "commerce",
    params(("id" = String, Path, description = "the membership"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = MembershipBody),
        (status = 404, body = ProblemBody, description = "`commerce.membership_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
    )
)]
pub async fn resume_membership(api: &Api, request: Request) -> Result<Reply, Problem> {
    change(api, &request, Command::Resume).await
}

async fn change(api: &Api, request: &Request, command: Command) -> Result<Reply, Problem> {
    let key = of_caller(api, request).await?;
    let memberships = &api.platform.memberships;
    let answer = memberships
        .ask(key, command, MembershipQuestion::View, &request.context())
        .await?;
    Ok(Reply::ok(&MembershipBody::of(key.membership, viewed(answer)?)))
}

/// The membership that a path names, if it is the caller's. An entity is found by its id wherever it is placed, so whose it is has to be
/// known before it is asked: another user's shard would bring up a second one.
async fn of_caller(api: &Api, request: &Request) -> Result<MembershipKey, Problem> {
    let (user, membership) = (request.caller()?.user, request.path("id")?);
    if api.platform.commerce.member(membership).await? != Some(user) {
        return Err(Problem::from_error(&Error::Membership(Refusal::NotFound)));
    }
    Ok(MembershipKey { membership, user })
}

fn viewed(answer: MembershipAnswer) -> Result<MembershipView, Problem> {
    match answer {
        MembershipAnswer::View(view) => Ok(*view),
        _ => Err(unexpected()),
    }
}

impl MembershipBody {
    fn of(id: MembershipId, view: MembershipView) -> Self {
        let period = |period: &Period| PeriodBody {
            order_id: period.order_id,
            from: period.from,
            to: period.to,
            removed: period.removed_at.is_some(),
        };
        MembershipBody {
            id,
            plan_id: view.plan_id,
            title: view.title,
            creator: plans::creator(view.issuer),
            price: view.price,
            every: EveryBody::of(view.every),
            course_ids: plans::course_ids(view.opens),
            payment_method: view.method.name(),
            state: view.state,
            reason: view.reason.map(|reason| reason.name()),
            renews: view.renews,
            joined_at: view.joined_at,
            ends_at: view.ends_at,
            access_until: view.access_until,
            paused_until: view.paused_until,
            open_order_id: view.charge,
            periods: view.periods.iter().map(period).collect(),
        }
    }
}
