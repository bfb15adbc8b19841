//! The row of each endpoint: what deliveries are made from, written with the events it follows from.

use lyceum_domain::ids::{UserId, WebhookEndpointId};
use lyceum_domain::webhooks::{Endpoint, EndpointState};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Effects, Table, row};

static ENDPOINTS: Table = Table {
    name: "webhook_endpoints",
    statement: "INSERT INTO webhook_endpoints (endpoint_id, user_id, url, events, state, reason, secret_version, previous_until, \
                created_at, updated_at) \
                SELECT endpoint_id, user_id, url, events::text[], state, reason, secret_version, \
                to_timestamp(previous_ms / 1000.0), to_timestamp(created_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], \
                $9::bigint[], $10::bigint[]) \
                AS e(endpoint_id, user_id, url, events, state, reason, secret_version, previous_ms, created_ms, updated_ms) \
                ON CONFLICT (endpoint_id) DO UPDATE SET url = excluded.url, events = excluded.events, state = excluded.state, \
                reason = excluded.reason, secret_version = excluded.secret_version, previous_until = excluded.previous_until, \
                updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Int,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

/// The row of an endpoint after an event; `None` for one that was deleted.
pub(super) fn collect(
    user: UserId,
    endpoint_id: WebhookEndpointId,
    endpoint: Option<&Endpoint>,
    now: Timestamp,
    effects: &mut Effects,
) {
    let (state, reason) = match endpoint.map(|endpoint| endpoint.state) {
        Some(EndpointState::Enabled { .. }) => ("enabled", None),
        Some(EndpointState::Disabled { reason, .. }) => ("disabled", Some(reason.name())),
        None => ("deleted", None),
    };
    let names = endpoint.map(|endpoint| endpoint.events.iter().map(|event| event.name()));
    let names: Vec<&str> = names.into_iter().flatten().collect();
    effects.row(
        &ENDPOINTS,
        row![
            endpoint_id,
            user,
            // The address of whoever wants to be forgotten is forgotten.
            endpoint.map_or_else(String::new, |endpoint| endpoint.url.clone()),
            format!("{{{}}}", names.join(",")),
            state,
            reason,
            endpoint.map_or(1, |endpoint| endpoint.secret_version),
            endpoint.and_then(|endpoint| endpoint.previous_until),
            endpoint.map_or(now, |endpoint| endpoint.created_at),
            now,
        ],
    );
}
