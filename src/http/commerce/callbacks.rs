//! What providers report, over HTTP: the raw bytes are verified before anything is read from them.

use lyceum_domain::commerce::{Error, Provider};
use lyceum_entities::commerce::{Delivery, ReceiveError};
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
    received(api, &mut request, Provider::Sandbox).await?;
    Ok(Reply::no_content())
}

/// Takes a callback of a provider.
async fn received(api: &Api, request: &mut Request, provider: Provider) -> Result<(), Problem> {
    let body = request.bytes().await?;
    let Some(receiver) = api.platform.receivers.of(provider) else {
        return Err(Problem::from_error(&Error::PaymentMethodUnknown));
    };
    let header = |name: &&'static str| (*name, request.header(*name).unwrap_or_default());
    let delivery = Delivery {
        headers: receiver.headers().iter().map(header).collect(),
        body: &body,
        now: clock::now(),
    };
    match receiver.receive(delivery).await {
        Ok(()) => Ok(()),
        Err(ReceiveError::Refused(error)) => Err(Problem::from_error(&error)),
        Err(ReceiveError::Unavailable) => Err(Problem::new(
            Class::Unavailable,
            "commerce.callback_unavailable",
            "The callback could not be processed now.",
        )),
    }
}
