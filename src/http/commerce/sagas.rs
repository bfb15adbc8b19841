//! What operators see of sagas that have not ended, and do about them.
//!
//! A checkout is named by its order, a payment by itself. Nothing here makes a saga succeed: the step that is due is taken
//! now, the saga is led back, or a note is made. What is done is an event of the entity, on record with its reason.

use std::fmt;
use std::str::FromStr;

use hyper::StatusCode;
use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::oversight::{Only, Return, ReturnStep};
use lyceum_domain::commerce::{Command, Error, Intervention, SETTLEMENT_CURRENCY, payment};
use lyceum_domain::ids::{OrderId, PaymentId, UserId};
use lyceum_entities::commerce::{
    Answer, PaymentAnswer, PaymentKey, PaymentQuestion, Question, Saga, SagaFilter,
};
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::deeds::deed;
use super::unexpected;
use crate::http::{Api, Page, Problem, ProblemBody, Reply, Request, checked_limit, malformed_cursor, shapes};

/// Which sagas to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SagasQuery {
    /// `awaiting_payment`, `closing`, `awaiting_team`, `refunding`, `refund_unknown`, `refund_failed` of a checkout; `processing`,
    /// `unknown` of a payment.
    state: Option<String>,
    /// Only those that are overdue, or in their state for too long, and that nobody has reconciled in it.
    stuck: Option<bool>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// A saga that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SagaBody {
    /// `checkout` or `payment`.
    kind: String,
    /// The order or payment.
    id: String,
    #[schema(value_type = String)]
    user: UserId,
    state: String,
    /// What is done next: `expire`, `close_payment`, `await_team`, `await_refund` or `retry_refund` about a checkout; `send`, `query` or
    /// `close` about a payment.
    next_action: String,
    /// When its next action is due.
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    /// When it reached its state.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Milliseconds since then.
    age_ms: u64,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The number of the attempt that is under way.
    attempt: i64,
    /// The order that it is about; null for a top-up.
    #[schema(value_type = Option<String>)]
    order_id: Option<OrderId>,
    #[schema(value_type = String)]
    payment_id: PaymentId,
    #[schema(value_type = Option<shapes::Money>)]
    amount: Option<Money>,
    /// Who has looked into it in this state, and what they found.
    reconciled: Option<ReconciledBody>,
}

/// What somebody found out about a saga.
#[derive(Debug, Serialize, ToSchema)]
struct ReconciledBody {
    #[schema(value_type = String)]
    operator: UserId,
    note: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeedBody {
    /// Why, for the audit log: from 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    pub(super) reason: String,
}

/// What an operator found out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NoteBody {
    /// What was found, and where it was settled: from 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    note: String,
}

/// Why a saga is led back, or whether that is only looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CompensateBody {
    /// Why, for the audit log: from 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// Only says what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// What was begun about a saga.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct InterventionBody {
    /// The order or payment.
    id: String,
    /// `retry_saga`, `compensate_saga` or `reconcile_saga`.
    action: &'static str,
    /// The state of the saga after it.
    state: String,
}

/// What compensating a saga would do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PreviewBody {
    /// The order or payment that would be led back.
    id: String,
    action: &'static str,
    /// Always true: nothing was done.
    dry_run: bool,
    steps: Vec<StepBody>,
}

/// One step of the way back.
#[derive(Debug, Serialize, ToSchema)]
struct StepBody {
    /// `close_payment`, `end`, `fulfil` or `credit`.
    step: &'static str,
    /// `always`, `if_not_captured` or `if_captured`.
    only: &'static str,
    #[schema(value_type = shapes::Money)]
    amount: Money,
}

/// Names a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SagaId {
    Checkout(OrderId),
    Payment(PaymentId),
}

/// A saga with whoever has to carry out what is wanted of it.
enum Held {
    Checkout(UserId, OrderId),
    Payment(PaymentKey),
}

/// `GET /admin/v1/sagas`: lists the sagas that have not ended, oldest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/sagas", tag = "operators", params(SagasQuery),
    responses(
        (status = 200, body = Page<SagaBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn sagas(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let SagasQuery {
        state,
        stuck,
        limit,
        after,
    } = request.query()?;
    let limit = checked_limit(limit)?;
    let after = match after {
        Some(after) => Some(Uuid::try_parse(&after).map_err(|_| malformed_cursor())?.as_u128()),
        None => None,
    };

    let stuck_after = *api.settings.commerce.saga_stuck_after_s;
    let filter = SagaFilter {
        state,
        stuck_after: (stuck == Some(true)).then_some(stuck_after),
    };
    let sagas = api
        .platform
        .commerce
        .open_sagas(&filter, after, limit + 1)
        .await?;

    let cursor = |saga: &Saga| Uuid::from_u128(saga.id).simple().to_string();
    Ok(Reply::ok(&Page::of(sagas, limit, cursor, SagaBody::of)))
}

/// `GET /admin/v1/sagas/{id}`: shows one saga that has not ended.
///
/// # Errors
/// 404 `commerce.saga_not_found`, also once it has ended: the order's timeline tells how.
#[utoipa::path(
    get, path = "/admin/v1/sagas/{id}", tag = "operators",
    params(("id" = String, Path, description = "an order or a payment")),
    responses(
        (status = 200, body = SagaBody),
        (status = 404, body = ProblemBody, description = "`commerce.saga_not_found`"),
    )
)]
pub async fn saga(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: SagaId = request.path("id")?;

    match api.platform.commerce.open_saga(id.bits()).await? {
        Some(saga) => Ok(Reply::ok(&SagaBody::of(saga))),
        None => Err(Problem::from_error(&Error::SagaNotFound)),
    }
}

/// `POST /admin/v1/sagas/{id}/retry`: has the step that is due taken now, under the same key.
///
/// # Errors
/// 404 `commerce.saga_not_found`; 409 `commerce.wrong_state`; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/sagas/{id}/retry", tag = "operators", request_body = DeedBody,
    params(("id" = String, Path, description = "an order or a payment"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 202, body = InterventionBody, description = "Begun and on record",
            headers(("Location" = String, description = "the saga"))),
        (status = 404, body = ProblemBody, description = "`commerce.saga_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn retry_saga(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id = request.path("id")?;
    let DeedBody { reason } = request.json().await?;
    let held = held(api, id, Intervention::Retry).await?;
    intervene(api, &request, held, Intervention::Retry, reason).await
}

/// `POST /admin/v1/sagas/{id}/compensate`: leads a saga back the way it would go by itself, or says what that would do.
///
/// The payment of an order is led back with its order.
///
/// # Errors
/// 404 `commerce.saga_not_found`; 409 `commerce.wrong_state`; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/sagas/{id}/compensate", tag = "operators", request_body = CompensateBody,
    params(("id" = String, Path, description = "an order or a payment"),
        ("Idempotency-Key" = String, Header, description = "names the operation")),
    responses(
        (status = 200, body = PreviewBody, description = "What a dry run says"),
        (status = 202, body = InterventionBody, description = "Begun and on record",
            headers(("Location" = String, description = "the saga"))),
        (status = 404, body = ProblemBody, description = "`commerce.saga_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn compensate_saga(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id = request.path("id")?;
    let CompensateBody { reason, dry_run } = request.json().await?;
    let held = held(api, id, Intervention::Compensate).await?;
    if dry_run {
        return preview(api, &request, held).await;
    }
    intervene(api, &request, held, Intervention::Compensate, reason).await
}

/// `POST /admin/v1/sagas/{id}/reconcile`: notes what an operator found out about a saga, which goes on as it was.
///
/// # Errors
/// 404 `commerce.saga_not_found`; 409 `commerce.wrong_state`; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/sagas/{id}/reconcile", tag = "operators", request_body = NoteBody,
    params(("id" = String, Path, description = "an order or a payment"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 202, body = InterventionBody, description = "On record",
            headers(("Location" = String, description = "the saga"))),
        (status = 404, body = ProblemBody, description = "`commerce.saga_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn reconcile_saga(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id = request.path("id")?;
    let NoteBody { note } = request.json().await?;
    let held = held(api, id, Intervention::Reconcile).await?;
    intervene(api, &request, held, Intervention::Reconcile, note).await
}

/// Finds whose saga it is, ended or not: a repeated request finds what the first did.
async fn held(api: &Api, id: SagaId, action: Intervention) -> Result<Held, Problem> {
    let not_found = || Problem::from_error(&Error::SagaNotFound);
    let commerce = &api.platform.commerce;
    match id {
        SagaId::Checkout(order) => {
            let (user, _) = commerce.order_owner(order).await?.ok_or_else(not_found)?;
            Ok(Held::Checkout(user, order))
        }
        SagaId::Payment(payment) => {
            let (user, order) = commerce.payment_owner(payment).await?.ok_or_else(not_found)?;
            Ok(match order {
                Some(order) if action == Intervention::Compensate => Held::Checkout(user, order),
                _ => Held::Payment(PaymentKey { payment, user }),
            })
        }
    }
}

async fn intervene(
    api: &Api,
    request: &Request,
    held: Held,
    action: Intervention,
    reason: String,
) -> Result<Reply, Problem> {
    let (deed, context) = (deed(api, request, reason)?, request.context());
    let (id, state) = match held {
        Held::Checkout(user, order_id) => {
            let command = Command::Intervene {
                order_id,
                action,
                deed,
            };
            let question = Question::Order { order_id };
            match api.platform.buyers.ask(user, command, question, &context).await? {
                Answer::Order(order) => (order_id.to_string(), order.saga().to_owned()),
                _ => return Err(unexpected()),
            }
        }
        Held::Payment(key) => {
            let command = payment::Command::Intervene { action, deed };
            let question = PaymentQuestion::State;
            match api
                .platform
                .payments
                .ask(key, command, question, &context)
                .await?
            {
                PaymentAnswer::State(state) => (key.payment.to_string(), state),
                _ => return Err(unexpected()),
            }
        }
    };
    let location = format!("/admin/v1/sagas/{id}");
    let action = action.name();
    Ok(Reply::accepted(location, &InterventionBody { id, action, state }))
}

async fn preview(api: &Api, request: &Request, held: Held) -> Result<Reply, Problem> {
    let context = request.context();
    let (id, steps) = match held {
        Held::Checkout(user, order_id) => {
            let question = Question::WayBack { order_id };
            match api.platform.buyers.read(user, question, &context).await? {
                Answer::WayBack(steps) => (order_id.to_string(), steps),
                _ => return Err(unexpected()),
            }
        }
        Held::Payment(key) => {
            let question = PaymentQuestion::WayBack;
            match api.platform.payments.read(key, question, &context).await? {
                PaymentAnswer::WayBack(steps) => (key.payment.to_string(), steps),
                _ => return Err(unexpected()),
            }
        }
    };
    let body = PreviewBody {
        id,
        action: Intervention::Compensate.name(),
        dry_run: true,
        steps: steps.into_iter().map(StepBody::of).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &body))
}

impl SagaId {
    fn bits(self) -> u128 {
        match self {
            SagaId::Checkout(order) => order.as_u128(),
            SagaId::Payment(payment) => payment.as_u128(),
        }
    }
}

/// What is neither the id of an order nor that of a payment.
#[derive(Debug)]
struct NoSagaId;

impl fmt::Display for NoSagaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the id of an order or of a payment")
    }
}

impl FromStr for SagaId {
    type Err = NoSagaId;

    fn from_str(text: &str) -> Result<Self, NoSagaId> {
        let order = text.parse().map(SagaId::Checkout);
        order
            .or_else(|_| text.parse().map(SagaId::Payment))
            .map_err(|_| NoSagaId)
    }
}

impl SagaBody {
    fn of(saga: Saga) -> Self {
        let id = match saga.kind.as_str() {
            "checkout" => OrderId::from_u128(saga.id).to_string(),
            _ => PaymentId::from_u128(saga.id).to_string(),
        };
        let amount = saga.amount.map(|units| Money::new(units, SETTLEMENT_CURRENCY));
        SagaBody {
            kind: saga.kind,
            id,
            user: saga.user,
            state: saga.state,
            next_action: saga.action,
            due_at: saga.due_at,
            since: saga.since,
            age_ms: u64::try_from(saga.age.as_millis()).unwrap_or(u64::MAX),
            updated_at: saga.updated_at,
            attempt: saga.attempt,
            order_id: saga.order,
            payment_id: saga.payment,
            amount: amount.and_then(Result::ok),
            reconciled: saga
                .reconciled
                .map(|(operator, note, at)| ReconciledBody { operator, note, at }),
        }
    }
}

impl StepBody {
    fn of(step: Return) -> Self {
        StepBody {
            step: match step.step {
                ReturnStep::ClosePayment => "close_payment",
                ReturnStep::End => "end",
                ReturnStep::Fulfil => "fulfil",
                ReturnStep::Credit => "credit",
            },
            only: match step.only {
                Only::Always => "always",
                Only::IfNotCaptured => "if_not_captured",
                Only::IfCaptured => "if_captured",
            },
            amount: step.amount,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_is_named_by_an_order_or_a_payment_and_nothing_else() {
        let (order, payment) = (OrderId::from_u128(1), PaymentId::from_u128(2));

        assert_eq!(
            order.to_string().parse::<SagaId>().ok(),
            Some(SagaId::Checkout(order))
        );
        assert_eq!(
            payment.to_string().parse::<SagaId>().ok(),
            Some(SagaId::Payment(payment))
        );
        assert!(UserId::from_u128(3).to_string().parse::<SagaId>().is_err());
    }
}
