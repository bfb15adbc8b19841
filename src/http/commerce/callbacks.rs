//! What providers report, over HTTP: the raw bytes are verified before anything is read from them.

use lyceum_domain::commerce::Error;
use lyceum_entities::commerce::ReceiveError;
use lyceum_kernel::Class;
use lyceum_runtime::clock;

use crate::http::{Api, Problem, ProblemBody, Reply, Request};

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
    let body = request.bytes().await?;
    let Some(receiver) = &api.platform.sandbox else {
        return Err(Problem::from_error(&Error::PaymentMethodUnknown));
    };
    let header = |name: &str| request.header(name).unwrap_or_default();
    let headers = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    );

    match receiver.receive(headers, &body, clock::now()).await {
        Ok(()) => Ok(Reply::no_content()),
        Err(ReceiveError::Refused(error)) => Err(Problem::from_error(&error)),
        Err(ReceiveError::Unavailable) => Err(Problem::new(
            Class::Unavailable,
            "commerce.callback_unavailable",
            "The callback could not be processed now.",
        )),
    }
}
