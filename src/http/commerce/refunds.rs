//! Refunds: asked for and taken back by whoever bought, approved or rejected by operators where they are large.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::refund::{Destination, Wanted};
use lyceum_domain::commerce::{Command, Error, Refund, RefundState, SETTLEMENT_CURRENCY};
use lyceum_domain::ids::{OrderId, RefundId, UserId};
use lyceum_entities::commerce::{Answer, Question, RefundRow};
use lyceum_kernel::Money;
use lyceum_runtime::ids;

pub(super) use self::wire::RefundBody;
use self::wire::{
    PreviewRequest, RefundLineBody, RefundPreviewBody, RefundRequest, RefundRowBody, RefundsQuery,
};
use super::deeds::deed;
use super::sagas::DeedBody;
use super::unexpected;
use super::wire::checked_text;
use crate::http::{
    Api, Page, Problem, ProblemBody, Reply, Request, checked_cursor, checked_limit, invalid_query,
};

mod wire;

/// The longest reason of a refund, characters.
const REASON_CHARS_MAX: usize = 500;
/// The states that can be asked for.
const STATES: [&str; 7] = [
    "requested",
    "rejected",
    "cancelled",
    "processing",
    "unknown",
    "failed",
    "succeeded",
];

/// `POST /v1/orders/{id}/refunds`: returns money of an order, and takes access back line by line.
///
/// # Errors
/// 404 `commerce.order_not_found`; 409 `commerce.wrong_state`, `commerce.refund_exceeds_capture`, `commerce.gift_redeemed`; 422
/// `commerce.refund_window_closed` and the rules for what may be asked for.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", tag = "commerce", request_body = RefundRequest,
    params(
        ("id" = String, Path, description = "the order"),
        ("Idempotency-Key" = String, Header, description = "names the refund; repeating it returns nothing more"),
    ),
    responses(
        (status = 201, body = RefundBody, description = "the money is back in the wallet",
            headers(("Location" = String, description = "the order"))),
        (status = 202, body = RefundBody, description = "the provider is asked to return the money, or an operator to approve it",
            headers(("Location" = String, description = "the order"))),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`, `commerce.refund_exceeds_capture`, \
            `commerce.gift_redeemed`"),
        (status = 422, body = ProblemBody, description = "`commerce.refund_window_closed`, `commerce.refund_item_unknown`, \
            `commerce.duplicate_course`, `commerce.amount_out_of_range`, `commerce.currency_unsupported`, \
            `commerce.refund_destination_unsupported`, `commerce.too_many_refunds`"),
    )
)]
pub async fn refund_order(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?.user;
    let order_id: OrderId = request.path("id")?;
    let RefundRequest {
        reason,
        amount,
        items,
        destination,
    } = request.json().await?;
    let reason = checked_text(reason, REASON_CHARS_MAX, "/reason")?;
    let refund_id = ids::new();

    let command = Command::RequestRefund {
        order_id,
        refund_id,
        reason,
        wanted: wanted(api, amount, items, destination)?,
        requester: Some(caller),
    };
    let question = Question::Refund { order_id, refund_id };
    let answer = api
        .platform
        .buyers
        .ask(caller, command, question, &request.context())
        .await?;

    let location = format!("/v1/orders/{order_id}");
    let refund = refund_of(answer)?;
    let body = RefundBody::of(&refund);
    Ok(match refund.state {
        RefundState::Succeeded => Reply::created(location, &body),
        _ => Reply::accepted(location, &body),
    })
}

/// `POST /v1/orders/{id}/refunds/preview`: says what a refund would return, take back of whom, and which access would end.
///
/// # Errors
/// 404 `commerce.order_not_found`; 409 `commerce.wrong_state`, `commerce.refund_exceeds_capture`, `commerce.gift_redeemed`; 422 for
/// what may not be asked for.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds/preview", tag = "commerce", request_body = PreviewRequest,
    params(("id" = String, Path, description = "the order")),
    responses(
        (status = 200, body = RefundPreviewBody),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`, `commerce.refund_exceeds_capture`, \
            `commerce.gift_redeemed`"),
        (status = 422, body = ProblemBody, description = "`commerce.refund_item_unknown`, `commerce.duplicate_course`, \
            `commerce.amount_out_of_range`, `commerce.currency_unsupported`, `commerce.refund_destination_unsupported`"),
    )
)]
pub async fn preview_refund(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?.user;
    let order_id: OrderId = request.path("id")?;
    let PreviewRequest {
        amount,
        items,
        destination,
    } = request.json().await?;

    let question = Question::RefundPreview {
        order_id,
        wanted: wanted(api, amount, items, destination)?,
    };
    match api
        .platform
        .buyers
        .read(caller, question, &request.context())
        .await?
    {
        Answer::RefundPreview(preview) => Ok(Reply::ok(&RefundPreviewBody::of(&preview))),
        _ => Err(unexpected()),
    }
}

/// `POST /v1/orders/{id}/refunds/{refund_id}/cancel`: takes back a request that no operator has decided about.
///
/// # Errors
/// 404 `commerce.order_not_found`, `commerce.refund_not_found`; 409 `commerce.wrong_state`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds/{refund_id}/cancel", tag = "commerce",
    params(
        ("id" = String, Path, description = "the order"),
        ("refund_id" = String, Path, description = "the refund"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation"),
    ),
    responses(
        (status = 200, body = RefundBody),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`, `commerce.refund_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
    )
)]
pub async fn cancel_refund(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?.user;
    let (order_id, refund_id) = (request.path("id")?, request.path("refund_id")?);

    let command = Command::CancelRefund { order_id, refund_id };
    let question = Question::Refund { order_id, refund_id };
    let answer = api
        .platform
        .buyers
        .ask(caller, command, question, &request.context())
        .await?;

    Ok(Reply::ok(&RefundBody::of(&refund_of(answer)?)))
}

/// `GET /admin/v1/refunds`: lists refunds of anybody's orders, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/refunds", tag = "operators", params(RefundsQuery),
    responses(
        (status = 200, body = Page<RefundRowBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn refunds(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let RefundsQuery { state, limit, after } = request.query()?;
    let limit = checked_limit(limit)?;
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(invalid_query("state", "a state of a refund"));
    }
    let before: Option<RefundId> = checked_cursor(after.as_deref())?;

    let rows = api
        .platform
        .commerce
        .refunds(state.as_deref(), before, limit + 1)
        .await?;

    let cursor = |row: &RefundRow| row.id.to_string();
    Ok(Reply::ok(&Page::of(rows, limit, cursor, RefundRowBody::of)))
}

/// `GET /admin/v1/refunds/{id}`: shows a refund of anybody's order.
///
/// # Errors
/// 404 `commerce.refund_not_found`.
#[utoipa::path(
    get, path = "/admin/v1/refunds/{id}", tag = "operators", params(("id" = String, Path, description = "the refund")),
    responses(
        (status = 200, body = RefundBody),
        (status = 404, body = ProblemBody, description = "`commerce.refund_not_found`"),
    )
)]
pub async fn refund(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let refund_id: RefundId = request.path("id")?;
    let (user, order_id) = owner(api, refund_id).await?;

    let question = Question::Refund { order_id, refund_id };
    let answer = api
        .platform
        .buyers
        .read(user, question, &request.context())
        .await?;

    Ok(Reply::ok(&RefundBody::of(&refund_of(answer)?)))
}

/// `POST /admin/v1/refunds/{id}/approve`: has a refund returned that waits for it.
///
/// # Errors
/// 403 `commerce.refund_same_operator`; 404 `commerce.refund_not_found`; 409 `commerce.wrong_state`; 422 `commerce.reason_length`,
/// `commerce.amount_out_of_range`.
#[utoipa::path(
    post, path = "/admin/v1/refunds/{id}/approve", tag = "operators", request_body = DeedBody,
    params(("id" = String, Path, description = "the refund"),
        ("Idempotency-Key" = String, Header, description = "names the operation")),
    responses(
        (status = 200, body = RefundBody, description = "the money is back in the wallet"),
        (status = 202, body = RefundBody, description = "the provider is asked to return the money",
            headers(("Location" = String, description = "the refund"))),
        (status = 403, body = ProblemBody, description = "`commerce.refund_same_operator`"),
        (status = 404, body = ProblemBody, description = "`commerce.refund_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`, `commerce.amount_out_of_range`"),
    )
)]
pub async fn approve_refund(api: &Api, request: Request) -> Result<Reply, Problem> {
    let refund = decided(api, request, true).await?;
    let body = RefundBody::of(&refund);
    Ok(match refund.state {
        RefundState::Succeeded => Reply::ok(&body),
        _ => Reply::accepted(format!("/admin/v1/refunds/{}", refund.refund_id), &body),
    })
}

/// `POST /admin/v1/refunds/{id}/reject`: has a refund never returned that waits for an approval.
///
/// # Errors
/// 403 `commerce.refund_same_operator`; 404 `commerce.refund_not_found`; 409 `commerce.wrong_state`; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/refunds/{id}/reject", tag = "operators", request_body = DeedBody,
    params(("id" = String, Path, description = "the refund"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = RefundBody),
        (status = 403, body = ProblemBody, description = "`commerce.refund_same_operator`"),
        (status = 404, body = ProblemBody, description = "`commerce.refund_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn reject_refund(api: &Api, request: Request) -> Result<Reply, Problem> {
    Ok(Reply::ok(&RefundBody::of(&decided(api, request, false).await?)))
}

async fn decided(api: &Api, mut request: Request, approved: bool) -> Result<Refund, Problem> {
    request.require(Role::Operator)?;
    let refund_id: RefundId = request.path("id")?;
    let DeedBody { reason } = request.json().await?;
    let deed = deed(api, &request, reason)?;
    let (user, order_id) = owner(api, refund_id).await?;

    let command = Command::DecideRefund {
        order_id,
        refund_id,
        approved,
        deed,
    };
    let question = Question::Refund { order_id, refund_id };
    let answer = api
        .platform
        .buyers
        .ask(user, command, question, &request.context())
        .await?;
    refund_of(answer)
}

async fn owner(api: &Api, refund: RefundId) -> Result<(UserId, OrderId), Problem> {
    let owner = api.platform.commerce.refund_owner(refund).await?;
    owner.ok_or_else(|| Problem::from_error(&Error::RefundNotFound))
}

/// The refund that an answer tells of; answers that were recorded before refunds had their own tell of its order.
fn refund_of(answer: Answer) -> Result<Refund, Problem> {
    match answer {
        Answer::Refund(refund) => Ok(*refund),
        Answer::Order(order) => order.refunds.into_iter().next().ok_or_else(unexpected),
        _ => Err(unexpected()),
    }
}

fn wanted(
    api: &Api,
    amount: Option<Money>,
    items: Option<Vec<RefundLineBody>>,
    destination: Option<Destination>,
) -> Result<Wanted, Problem> {
    let settings = &api.settings.commerce;
    let destination = destination.unwrap_or_default();
    if destination == Destination::Wallet && !settings.refund_to_wallet {
        return Err(Problem::from_error(&Error::RefundDestinationUnsupported)
            .at("/destination", "money goes back the way it came"));
    }
    let automatic_max = i64::try_from(settings.refund_automatic_max).unwrap_or(i64::MAX);
    Ok(Wanted {
        amount,
        items: items
            .unwrap_or_default()
            .into_iter()
            .map(|item| item.course_id)
            .collect(),
        destination,
        automatic_max: Money::new(automatic_max, SETTLEMENT_CURRENCY).ok(),
    })
}
