//! What providers report, over HTTP: the raw bytes are verified before anything is read from them.
//!
//! Each provider has its own way to sign and to be answered. What is refused is refused by a problem with a stable code,
//! which no provider takes for its acknowledgement; WeChat Pay gets the code in the form that it reads.

use hyper::StatusCode;
use lyceum_domain::commerce::{Error, Provider};
use lyceum_entities::commerce::{Delivery, ReceiveError};
use lyceum_kernel::Class;
use lyceum_runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Api, Problem, ProblemBody, Reply, Request};

/// What WeChat Pay is told when a notification is refused.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct WechatRefusal {
    /// `FAIL`.
    code: &'static str,
    /// A stable code.
    #[schema(example = "commerce.signature_invalid")]
    message: &'static str,
}

/// What Alipay notifies of: a form with more fields than these, all of which but two are signed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form that is read once it is verified")]
pub(in crate::http) struct AlipayNotification {
    /// Names the notification.
    notify_id: String,
    /// When it was sent, `2026-11-30 20:15:00` in China; at most 25 h ago.
    notify_time: String,
    /// Whose payment it is.
    app_id: String,
    /// Our name of the payment.
    out_trade_no: String,
    /// Alipay's name of it.
    trade_no: String,
    /// `TRADE_SUCCESS`, `TRADE_FINISHED`, `TRADE_CLOSED` or another state.
    trade_status: String,
    /// In units of the currency: `19.90`.
    total_amount: String,
    /// Base64 of RSA with SHA-256 over the other fields in order of their names, without `sign_type`.
    sign: String,
    /// `RSA2`.
    sign_type: String,
}

/// `POST /callbacks/sandbox`: takes a signed event of the sandbox (Standard Webhooks); any number of times.
///
/// # Errors
/// 401 `commerce.signature_invalid`; 404 `commerce.payment_not_found`; 422 `commerce.amount_mismatch`.
#[utoipa::path(
    post, path = "/callbacks/sandbox", tag = "callbacks", security(()),
    params(
        ("webhook-id" = String, Header, description = "the event's id"),
        ("webhook-timestamp" = String, Header, description = "seconds since 1970; at most 300 s off"),
        ("webhook-signature" = String, Header, description = "`v1,` and the base64 of HMAC-SHA256 over \
            `id.timestamp.body`; several are separated by spaces"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 204, description = "processed, now or before"),
        (status = 401, body = ProblemBody, description = "`commerce.signature_invalid`"),
        (status = 404, body = ProblemBody, description = "`commerce.payment_not_found`, `commerce.refund_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.amount_mismatch`"),
        (status = 503, body = ProblemBody, description = "`commerce.callback_unavailable`: deliver it again"),
    )
)]
pub async fn sandbox_callback(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    received(api, &mut request, Provider::Sandbox).await??;
    Ok(Reply::no_content())
}

/// `POST /callbacks/stripe`: takes a signed event of Stripe; any number of times.
///
/// # Errors
/// 400 `commerce.callback_malformed`; 401 `commerce.signature_invalid`; 404 `commerce.payment_not_found`; 422
/// `commerce.amount_mismatch`.
#[utoipa::path(
    post, path = "/callbacks/stripe", tag = "callbacks", security(()),
    params(
        ("stripe-signature" = String, Header, description = "`t=` seconds since 1970, at most 300 s off, and `v1=` the \
            hexadecimal HMAC-SHA256 over `t.body`; while a secret is rotated, one for each"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 204, description = "processed, now or before, or about nothing of ours"),
        (status = 400, body = ProblemBody, description = "`commerce.callback_malformed`"),
        (status = 401, body = ProblemBody, description = "`commerce.signature_invalid`"),
        (status = 404, body = ProblemBody, description = "`commerce.payment_not_found`, `commerce.refund_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.amount_mismatch`"),
        (status = 503, body = ProblemBody, description = "`commerce.callback_unavailable`: deliver it again"),
    )
)]
pub async fn stripe_callback(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    received(api, &mut request, Provider::Stripe).await??;
    Ok(Reply::no_content())
}

/// `POST /callbacks/wechat`: takes a signed and encrypted notification of WeChat Pay; any number of times.
///
/// # Errors
/// As [`stripe_callback`], in WeChat Pay's form.
#[utoipa::path(
    post, path = "/callbacks/wechat", tag = "callbacks", security(()),
    params(
        ("wechatpay-timestamp" = String, Header, description = "seconds since 1970; at most 300 s off"),
        ("wechatpay-nonce" = String, Header, description = "a text that is signed along"),
        ("wechatpay-signature" = String, Header, description = "base64 of RSA with SHA-256 over time, nonce and body, a \
            line each"),
        ("wechatpay-serial" = String, Header, description = "the platform's key"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 204, description = "processed, now or before, or about nothing of ours"),
        (status = 400, body = WechatRefusal, description = "`commerce.callback_malformed`"),
        (status = 401, body = WechatRefusal, description = "`commerce.signature_invalid`"),
        (status = 404, body = WechatRefusal, description = "`commerce.payment_not_found`, `commerce.refund_not_found`"),
        (status = 422, body = WechatRefusal, description = "`commerce.amount_mismatch`"),
        (status = 503, body = WechatRefusal, description = "`commerce.callback_unavailable`: deliver it again"),
    )
)]
pub async fn wechat_callback(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    match received(api, &mut request, Provider::Wechat).await? {
        Ok(()) => Ok(Reply::no_content()),
        Err(problem) => {
            let refusal = WechatRefusal {
                code: "FAIL",
                message: problem.code(),
            };
            Ok(Reply::json(problem.status(), &refusal))
        }
    }
}

/// `POST /callbacks/alipay`: takes a signed notification of Alipay, a form; any number of times.
///
/// # Errors
/// As [`stripe_callback`].
#[utoipa::path(
    post, path = "/callbacks/alipay", tag = "callbacks", security(()),
    request_body(content = AlipayNotification, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "the word `success`: processed, now or \
            before"),
        (status = 400, body = ProblemBody, description = "`commerce.callback_malformed`"),
        (status = 401, body = ProblemBody, description = "`commerce.signature_invalid`"),
        (status = 404, body = ProblemBody, description = "`commerce.payment_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.amount_mismatch`"),
        (status = 503, body = ProblemBody, description = "`commerce.callback_unavailable`: deliver it again"),
    )
)]
pub async fn alipay_callback(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    received(api, &mut request, Provider::Alipay).await??;
    Ok(Reply::bytes(StatusCode::OK, "text/plain", "success".into()))
}

/// Takes a callback. The outer refusal is of the request as such, the inner one of what it says.
async fn received(
    api: &Api,
    request: &mut Request,
    provider: Provider,
) -> Result<Result<(), Problem>, Problem> {
    let body = request.bytes().await?;
    let Some(receiver) = api.platform.receivers.of(provider) else {
        return Ok(Err(Problem::from_error(&Error::PaymentMethodUnknown)));
    };
    let header = |name: &&'static str| (*name, request.header(*name).unwrap_or_default());
    let delivery = Delivery {
        headers: receiver.headers().iter().map(header).collect(),
        body: &body,
        now: clock::now(),
    };
    Ok(match receiver.receive(delivery).await {
        Ok(()) => Ok(()),
        Err(ReceiveError::Refused(error)) => Err(Problem::from_error(&error)),
        Err(ReceiveError::Unavailable) => Err(Problem::new(
            Class::Unavailable,
            "commerce.callback_unavailable",
            "The callback could not be processed now.",
        )),
    })
}
