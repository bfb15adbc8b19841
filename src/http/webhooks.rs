//! Webhooks out over HTTP: one's own endpoints, their secrets, and the log of what they were told.
//!
//! An endpoint of somebody else does not exist for the caller, because endpoints are looked up in the caller's own
//! subscriber. Secrets are shown when an endpoint is made and when its secret is rotated, and never else.

mod wire;

use lyceum_domain::ids::{UserId, WebhookDeliveryId, WebhookEndpointId};
use lyceum_domain::webhooks::{Command, Endpoint, Error};
use lyceum_entities::webhooks::{Answer, Delivery, Question, Replayed};
use lyceum_runtime::ids;

use self::wire::{
    DeliveryBody, EndpointBody, EndpointChangeBody, EndpointWithSecretBody, NewEndpointBody, SecretBody,
};
use super::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request};

/// `POST /v1/me/webhook-endpoints`: has an address told of what happens to the caller.
///
/// # Errors
/// 409 `webhooks.account_erased`; 422 `webhooks.url_refused`, `webhooks.events_empty`, `webhooks.too_many_endpoints`.
#[utoipa::path(
    post, path = "/v1/me/webhook-endpoints", tag = "webhooks", request_body = NewEndpointBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the endpoint; repeating it makes no other")),
    responses(
        (status = 201, body = EndpointWithSecretBody, headers(("Location" = String, description = "the endpoint"))),
        (status = 409, body = ProblemBody, description = "`webhooks.account_erased`"),
        (status = 422, body = ProblemBody, description = "`webhooks.url_refused`, `webhooks.events_empty`, \
            `webhooks.too_many_endpoints`"),
    )
)]
pub async fn create_webhook_endpoint(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let NewEndpointBody { url, events } = request.json().await?;
    checked(api, &url)?;

    let endpoint_id = ids::new();
    let command = Command::Create {
        endpoint_id,
        url,
        events: events.into_iter().collect(),
        endpoints_max: api.settings.webhooks.endpoints_max,
    };
    let (endpoint_id, endpoint) = asked(api, &request, caller.user, endpoint_id, command).await?;

    let location = format!("/v1/me/webhook-endpoints/{endpoint_id}");
    let body = EndpointWithSecretBody {
        secret: secret(api, endpoint_id, &endpoint),
        endpoint: EndpointBody::of(endpoint_id, endpoint),
    };
    Ok(Reply::created(location, &body))
}

/// `GET /v1/me/webhook-endpoints`: lists the caller's endpoints, the oldest first; never more than fit one page.
///
/// # Errors
/// None of its own.
#[utoipa::path(
    get, path = "/v1/me/webhook-endpoints", tag = "webhooks",
    responses((status = 200, body = Page<EndpointBody>))
)]
pub async fn list_webhook_endpoints(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;

    let subscribers = &api.platform.subscribers;
    let answer = subscribers
        .read(caller.user, Question::Endpoints, &request.context())
        .await?;
    let Answer::Endpoints(endpoints) = answer else {
        return Err(unexpected());
    };

    let body = |(id, endpoint)| EndpointBody::of(id, endpoint);
    Ok(Reply::ok(&Page {
        data: endpoints.into_iter().map(body).collect(),
        next: None,
    }))
}

/// `GET /v1/me/webhook-endpoints/{id}`: shows one of the caller's endpoints.
///
/// # Errors
/// 404 `webhooks.endpoint_not_found`, also for somebody else's.
#[utoipa::path(
    get, path = "/v1/me/webhook-endpoints/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint")),
    responses(
        (status = 200, body = EndpointBody),
        (status = 404, body = ProblemBody, description = "`webhooks.endpoint_not_found`"),
    )
)]
pub async fn get_webhook_endpoint(api: &Api, request: Request) -> Result<Reply, Problem> {
    let (id, endpoint) = owned(api, &request).await?;
    Ok(Reply::ok(&EndpointBody::of(id, endpoint)))
}

/// `PATCH /v1/me/webhook-endpoints/{id}`: changes one of the caller's endpoints, disables it, or enables it again.
///
/// # Errors
/// 404 `webhooks.endpoint_not_found`; 422 `webhooks.url_refused`, `webhooks.events_empty`.
#[utoipa::path(
    patch, path = "/v1/me/webhook-endpoints/{id}", tag = "webhooks", request_body = EndpointChangeBody,
    params(("id" = String, Path, description = "the endpoint")),
    responses(
        (status = 200, body = EndpointBody),
        (status = 404, body = ProblemBody, description = "`webhooks.endpoint_not_found`"),
        (status = 422, body = ProblemBody, description = "`webhooks.url_refused`, `webhooks.events_empty`"),
    )
)]
pub async fn change_webhook_endpoint(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let endpoint_id: WebhookEndpointId = request.path("id")?;
    let EndpointChangeBody { url, events, enabled } = request.json().await?;
    if let Some(url) = &url {
        checked(api, url)?;
    }

    let command = Command::Change {
        endpoint_id,
        url,
        events: events.map(|events| events.into_iter().collect()),
        enabled,
    };
    let (id, endpoint) = asked(api, &request, caller.user, endpoint_id, command).await?;

    Ok(Reply::ok(&EndpointBody::of(id, endpoint)))
}

/// `DELETE /v1/me/webhook-endpoints/{id}`: forgets one of the caller's endpoints, and gives up what waits for it.
///
/// # Errors
/// 404 `webhooks.endpoint_not_found`.
#[utoipa::path(
    delete, path = "/v1/me/webhook-endpoints/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint")),
    responses(
        (status = 204, description = "forgotten"),
        (status = 404, body = ProblemBody, description = "`webhooks.endpoint_not_found`"),
    )
)]
pub async fn delete_webhook_endpoint(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let command = Command::Delete {
        endpoint_id: request.path("id")?,
    };

    let subscribers = &api.platform.subscribers;
    subscribers
        .ask(caller.user, command, Question::Nothing, &request.context())
        .await?;

    Ok(Reply::no_content())
}

/// `POST /v1/me/webhook-endpoints/{id}/rotate-secret`: has a new secret sign; the one of before signs as well for a day.
///
/// # Errors
/// 404 `webhooks.endpoint_not_found`.
#[utoipa::path(
    post, path = "/v1/me/webhook-endpoints/{id}/rotate-secret", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the rotation; repeating it rotates no further")),
    responses(
        (status = 200, body = SecretBody),
        (status = 404, body = ProblemBody, description = "`webhooks.endpoint_not_found`"),
    )
)]
pub async fn rotate_webhook_secret(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let endpoint_id: WebhookEndpointId = request.path("id")?;

    let command = Command::RotateSecret {
        endpoint_id,
        overlap: *api.settings.webhooks.rotation_overlap_s,
    };
    let (id, endpoint) = asked(api, &request, caller.user, endpoint_id, command).await?;

    Ok(Reply::ok(&SecretBody {
        secret: secret(api, id, &endpoint),
        previous_valid_until: endpoint.previous_until,
    }))
}

/// `GET /v1/me/webhook-endpoints/{id}/deliveries`: shows what an endpoint was told and what came of it, newest event first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`; 404 `webhooks.endpoint_not_found`.
#[utoipa::path(
    get, path = "/v1/me/webhook-endpoints/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint"), PageQuery),
    responses(
        (status = 200, body = Page<DeliveryBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
        (status = 404, body = ProblemBody, description = "`webhooks.endpoint_not_found`"),
    )
)]
pub async fn list_webhook_deliveries(api: &Api, request: Request) -> Result<Reply, Problem> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let before: Option<WebhookDeliveryId> = query.cursor()?;
    let (endpoint_id, _) = owned(api, &request).await?;

    let log = api
        .platform
        .webhooks
        .queue()
        .log(endpoint_id, before, limit + 1)
        .await?;

    let cursor = |delivery: &Delivery| delivery.delivery_id.to_string();
    Ok(Reply::ok(&Page::of(log, limit, cursor, DeliveryBody::of)))
}

/// `POST /v1/me/webhook-endpoints/{id}/deliveries/{delivery_id}/replay`: sends an event once more, under the same id.
///
/// # Errors
/// 404 `webhooks.endpoint_not_found`, `webhooks.delivery_not_found`; 409 `webhooks.endpoint_disabled`, `webhooks.backlog_full`.
#[utoipa::path(
    post, path = "/v1/me/webhook-endpoints/{id}/deliveries/{delivery_id}/replay", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint"), ("delivery_id" = String, Path, description = "the delivery")),
    responses(
        (status = 202, body = DeliveryBody, description = "on its way again",
            headers(("Location" = String, description = "the log of the endpoint"))),
        (status = 404, body = ProblemBody, description = "`webhooks.endpoint_not_found`, `webhooks.delivery_not_found`"),
        (status = 409, body = ProblemBody, description = "`webhooks.endpoint_disabled`, `webhooks.backlog_full`"),
    )
)]
pub async fn replay_webhook_delivery(api: &Api, request: Request) -> Result<Reply, Problem> {
    let delivery_id: WebhookDeliveryId = request.path("delivery_id")?;
    let (endpoint_id, endpoint) = owned(api, &request).await?;
    if !endpoint.is_enabled() {
        return Err(Problem::from_error(&Error::EndpointDisabled));
    }

    let queue = api.platform.webhooks.queue();
    let delivery = match queue.replay(endpoint_id, delivery_id).await? {
        Replayed::Again(delivery) => delivery,
        Replayed::Unknown => return Err(Problem::from_error(&Error::DeliveryNotFound)),
        Replayed::Full => return Err(Problem::from_error(&Error::BacklogFull)),
    };

    let location = format!("/v1/me/webhook-endpoints/{endpoint_id}/deliveries");
    Ok(Reply::accepted(location, &DeliveryBody::of(delivery)))
}

/// The caller's endpoint that the path names.
async fn owned(api: &Api, request: &Request) -> Result<(WebhookEndpointId, Endpoint), Problem> {
    let caller = request.caller()?;
    let question = Question::Endpoint {
        endpoint_id: request.path("id")?,
    };
    let subscribers = &api.platform.subscribers;
    endpoint(
        subscribers
            .read(caller.user, question, &request.context())
            .await?,
    )
}

async fn asked(
    api: &Api,
    request: &Request,
    user: UserId,
    endpoint_id: WebhookEndpointId,
    command: Command,
) -> Result<(WebhookEndpointId, Endpoint), Problem> {
    // A repeated request is answered from its record, which names the endpoint that it made.
    let question = Question::Endpoint { endpoint_id };
    let subscribers = &api.platform.subscribers;
    endpoint(
        subscribers
            .ask(user, command, question, &request.context())
            .await?,
    )
}

fn endpoint(answer: Answer) -> Result<(WebhookEndpointId, Endpoint), Problem> {
    match answer {
        Answer::Endpoint {
            endpoint_id,
            endpoint,
        } => Ok((endpoint_id, endpoint)),
        Answer::Nothing | Answer::Endpoints(_) => Err(unexpected()),
    }
}

fn checked(api: &Api, url: &str) -> Result<(), Problem> {
    let refused = |error: Error| Problem::from_error(&error).at("/url", "cannot be called");
    api.platform.webhooks.check(url).map_err(refused)
}

fn secret(api: &Api, endpoint_id: WebhookEndpointId, endpoint: &Endpoint) -> String {
    api.platform.webhooks.secret(endpoint_id, endpoint.secret_version)
}

fn unexpected() -> Problem {
    Problem::internal("a subscriber answered another question than was asked")
}
