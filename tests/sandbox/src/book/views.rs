//! What clients and callbacks say of the book's facts.

use std::collections::BTreeMap;

use super::{Charge, ChargeOrder, Dispute, Event, Refund, State};
use crate::wire::Wire;

/// What clients see of a charge.
pub(crate) fn view_of_charge(charge: &Charge) -> BTreeMap<&'static str, serde_json::Value> {
    BTreeMap::from([
        ("id", charge.id.as_str().into()),
        ("key", charge.key.as_str().into()),
        ("state", serde_json::json!(charge.state)),
        ("decline_code", charge.decline_code.clone().into()),
        ("amount", charge.order.amount.into()),
        ("currency", charge.order.currency.as_str().into()),
        ("reference", charge.order.reference.as_str().into()),
        ("created_at", charge.created_at.as_str().into()),
    ])
}

/// What clients see of a refund.
pub(crate) fn view_of_refund(refund: &Refund) -> BTreeMap<&'static str, serde_json::Value> {
    BTreeMap::from([
        ("id", refund.id.as_str().into()),
        ("key", refund.key.as_str().into()),
        ("state", serde_json::json!(refund.state)),
        ("failure_code", refund.failure_code.clone().into()),
        ("charge_id", refund.order.charge_id.as_str().into()),
        ("amount", refund.order.amount.into()),
        ("currency", refund.order.currency.as_str().into()),
        ("reference", refund.order.reference.as_str().into()),
        ("created_at", refund.created_at.as_str().into()),
    ])
}

/// What clients see of a dispute.
pub(crate) fn view_of_dispute(
    dispute: &Dispute,
    charge: &Charge,
) -> BTreeMap<&'static str, serde_json::Value> {
    BTreeMap::from([
        ("id", dispute.id.as_str().into()),
        ("state", "opened".into()),
        ("charge_id", dispute.charge_id.as_str().into()),
        ("amount", charge.order.amount.into()),
        ("currency", charge.order.currency.as_str().into()),
        ("reference", charge.order.reference.as_str().into()),
        ("created_at", dispute.created_at.as_str().into()),
    ])
}

pub(super) fn charge_event(charge: &Charge) -> Option<Event> {
    let kind = if charge.state == State::Succeeded {
        "charge.succeeded"
    } else {
        "charge.declined"
    };
    event(
        &charge.id,
        &charge.order,
        kind,
        &view_of_charge(charge),
        charge.order.token.callback_copies(),
    )
}

pub(super) fn event(
    subject: &str,
    order: &ChargeOrder,
    kind: &str,
    data: &BTreeMap<&'static str, serde_json::Value>,
    copies: u32,
) -> Option<Event> {
    let url = order.callback_url.clone()?;
    // Of refunds Alipay says all there is in its answer.
    if order.wire == Wire::Alipay && kind.starts_with("refund.") {
        return None;
    }
    let body = serde_json::json!({ "type": kind, "data": data }).to_string();
    Some(Event {
        id: format!("evt_{subject}"),
        url,
        body: body.into(),
        copies,
        wire: order.wire,
    })
}
