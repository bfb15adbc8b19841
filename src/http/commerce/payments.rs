//! Another payment of an order that waits for one.

use lyceum_domain::commerce::{Command, OrderState};
use lyceum_domain::ids::OrderId;
use lyceum_entities::commerce::Question;
use lyceum_runtime::ids;
use serde::Deserialize;
use utoipa::ToSchema;

use super::codes::gift_code;
use super::wire::{OrderBody, checked_token};
use super::{asked, method};
use crate::http::{Api, Problem, ProblemBody, Reply, Request};

/// Asks to pay otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PaymentRequest {
    /// `wallet`, or the name of a provider: `sandbox`, `stripe`, `wechat`, `alipay`.
    #[schema(example = "wallet")]
    payment_method: String,
    /// What the provider needs to charge, as for an order.
    #[schema(pattern = "^[!-~]{1,256}$", example = "tok_ok")]
    payment_token: Option<String>,
}

/// `POST /v1/orders/{id}/payments`: pays a pending order otherwise than it was begun.
///
/// The payments before are asked to close. Whichever is captured first pays; what another captures nevertheless goes back. An order
/// whose latest payment was declined has ended and is not paid any more: its courses can be ordered anew.
///
/// # Errors
/// 402 `commerce.insufficient_funds`; 404 `commerce.order_not_found`; 409 `commerce.wrong_state`, `commerce.course_already_owned`.
#[utoipa::path(
    post, path = "/v1/orders/{id}/payments", tag = "commerce", request_body = PaymentRequest,
    params(
        ("id" = String, Path, description = "the order"),
        ("Idempotency-Key" = String, Header, description = "names the payment; repeating it pays nothing more"),
    ),
    responses(
        (status = 201, body = OrderBody, description = "paid and fulfilled",
            headers(("Location" = String, description = "the order"))),
        (status = 202, body = OrderBody, description = "the payment is under way; or the order is `paid`, as the wallet pays at once, and \
            waits for its team",
            headers(("Location" = String, description = "the order"))),
        (status = 402, body = ProblemBody, description = "`commerce.insufficient_funds`"),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`, `commerce.course_already_owned`"),
        (status = 422, body = ProblemBody, description = "`commerce.payment_method_unknown`, `commerce.payment_token_required`, \
            `commerce.too_many_payments`"),
    )
)]
pub async fn pay_order(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let order_id: OrderId = request.path("id")?;
    let PaymentRequest {
        payment_method,
        payment_token,
    } = request.json().await?;

    let command = Command::AddPayment {
        order_id,
        payment_id: ids::new(),
        method: method(api, &payment_method)?,
        payment_token: checked_token(payment_token)?,
    };
    let order = asked(api, &request, command, Question::Order { order_id }).await?;

    let (location, body) = (
        format!("/v1/orders/{order_id}"),
        OrderBody::of(&order).giving(gift_code(api, &order)),
    );
    Ok(match order.state() {
        OrderState::Pending | OrderState::Paid => Reply::accepted(location, &body),
        _ => Reply::created(location, &body),
    })
}
