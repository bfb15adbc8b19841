//! What webhooks look like on the wire.

use lyceum_domain::ids::{WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use lyceum_domain::webhooks::{Endpoint, EndpointState, EventType};
use lyceum_entities::webhooks::Delivery;
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::shapes;

/// Where to tell of what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewEndpointBody {
    /// A public `https` address, without user, password or fragment.
    #[schema(max_length = 2048, example = "https://example.com/hooks/lyceum")]
    pub(super) url: String,
    /// What it is told of.
    #[schema(value_type = Vec<shapes::WebhookEventType>, min_items = 1)]
    pub(super) events: Vec<EventType>,
}

/// What to change of an endpoint; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EndpointChangeBody {
    /// A public `https` address.
    #[schema(max_length = 2048)]
    pub(super) url: Option<String>,
    /// What it is told of from now on.
    #[schema(value_type = Option<Vec<shapes::WebhookEventType>>, min_items = 1)]
    pub(super) events: Option<Vec<EventType>>,
    /// Whether it is told of anything. What waits for an endpoint that is disabled is given up; it can be replayed.
    pub(super) enabled: Option<bool>,
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct EndpointBody {
    #[schema(value_type = String)]
    id: WebhookEndpointId,
    url: String,
    #[schema(value_type = Vec<shapes::WebhookEventType>)]
    events: Vec<EventType>,
    /// `enabled` or `disabled`.
    state: &'static str,
    /// Why it is disabled: its `owner` wants it so, the receiver is `gone` (410), or has been `failing` for days.
    disabled_reason: Option<&'static str>,
    /// Since when it is in this state.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A new endpoint with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct EndpointWithSecretBody {
    #[serde(flatten)]
    pub(super) endpoint: EndpointBody,
    /// Verifies what the endpoint is told: `whsec_` and base64 of the key. It is not shown again.
    pub(super) secret: String,
}

/// A new secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SecretBody {
    /// `whsec_` and base64 of the key. It is not shown again.
    pub(super) secret: String,
    /// Until when the secret of before signs as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) previous_valid_until: Option<Timestamp>,
}

/// One event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DeliveryBody {
    #[schema(value_type = String)]
    id: WebhookDeliveryId,
    /// The `webhook-id` that the receiver sees.
    #[schema(value_type = String)]
    event_id: WebhookEventId,
    event_type: String,
    /// `pending`, `delivered`, `failed` or `abandoned`.
    state: String,
    attempts: i64,
    /// Status of the last answer.
    response_status: Option<i16>,
    /// The first bytes of it.
    response: Option<String>,
    /// Why there was no answer: `timeout`, `unreachable`, `address_refused`, `tls_failed` or `no_answer`.
    error: Option<String>,
    /// When it is tried next.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl EndpointBody {
    pub(super) fn of(id: WebhookEndpointId, endpoint: Endpoint) -> Self {
        let (state, disabled_reason, since) = match endpoint.state {
            EndpointState::Enabled { since } => ("enabled", None, since),
            EndpointState::Disabled { reason, since } => ("disabled", Some(reason.name()), since),
        };
        EndpointBody {
            id,
            url: endpoint.url,
            events: endpoint.events.into_iter().collect(),
            state,
            disabled_reason,
            since,
            created_at: endpoint.created_at,
        }
    }
}

impl DeliveryBody {
    pub(super) fn of(delivery: Delivery) -> Self {
        DeliveryBody {
            id: delivery.delivery_id,
            event_id: delivery.event_id,
            event_type: delivery.event_type,
            state: delivery.state,
            attempts: delivery.attempts,
            response_status: delivery.status,
            response: delivery.response,
            error: delivery.error,
            next_attempt_at: delivery.due_at,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
        }
    }
}
