//! What checkouts and payments tell the metrics as they move: every step once it is durable, and how long they took.

use lyceum_domain::commerce::order::Order;
use lyceum_domain::commerce::payment::{self, Payment};
use lyceum_domain::commerce::{Buyer, Event};
use lyceum_domain::ids::OrderId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::Effects;

use crate::meters::{PAYMENT_UNKNOWN_RESOLVED_TOTAL, SAGA_DURATION_SECONDS, SAGA_TRANSITIONS_TOTAL};

/// The step of an order that is not placed yet.
const NEW: &str = "new";

/// The step of the checkout that these events are about.
pub(super) fn checkout_step(state: &Buyer, events: &[Event]) -> Option<&'static str> {
    let order = events.iter().find_map(order_of)?;
    Some(state.order(order).map_or(NEW, Order::saga))
}

/// The step of a payment, if one of these events is about its charge.
pub(super) fn payment_step(state: &Payment, events: &[payment::Event]) -> Option<&'static str> {
    let refund = |event: &payment::Event| {
        matches!(
            event,
            payment::Event::RefundStarted { .. } | payment::Event::RefundMoved { .. }
        )
    };
    (!events.iter().all(refund)).then(|| state.state().name())
}

/// Counts the move of a checkout, and how long it took if it has ended.
pub(super) fn checkout_moved(state: &Buyer, events: &[Event], now: Timestamp, effects: &mut Effects) {
    let Some((_, to)) = moved(checkout_step(state, events), effects) else {
        return;
    };
    let order = events
        .iter()
        .find_map(order_of)
        .and_then(|order| state.order(order).ok());
    // What is refunded later was completed once, and counted then. How long a team takes to find its members says nothing of ours.
    let ended = |order: &&Order| {
        let over = to == "completed" || to == "compensated" && !order.was_fulfilled();
        over && order.held_at.is_none()
    };
    if let Some(order) = order.filter(ended) {
        let (took, trace) = (now.since(order.placement.placed_at), effects.trace());
        effects.after_commit(move || SAGA_DURATION_SECONDS.with([to]).record_in(took, trace));
    }
}

/// Counts the move of a payment, and that its outcome was found out if it had been unknown.
pub(super) fn payment_moved(state: &Payment, events: &[payment::Event], effects: &mut Effects) {
    let moved = moved(payment_step(state, events), effects);
    if let Some(("unknown", outcome)) = moved {
        effects.after_commit(move || PAYMENT_UNKNOWN_RESOLVED_TOTAL.with([outcome]).increment());
    }
}

fn moved(step: Option<&'static str>, effects: &mut Effects) -> Option<(&'static str, &'static str)> {
    let (from, to) = effects.step_before().zip(step).filter(|(from, to)| from != to)?;
    effects.after_commit(move || SAGA_TRANSITIONS_TOTAL.with([from, to]).increment());
    Some((from, to))
}

fn order_of(event: &Event) -> Option<OrderId> {
    match event {
        Event::Purchased(order) | Event::OrderPlaced { order, .. } => Some(order.order_id),
        Event::OrderHeld { order_id, .. }
        | Event::OrderFulfilled { order_id, .. }
        | Event::FulfilmentFailed { order_id, .. }
        | Event::PaymentAdded { order_id, .. }
        | Event::PaymentSurplus { order_id, .. }
        | Event::OrderClosing { order_id, .. }
        | Event::OrderClosed { order_id, .. }
        | Event::RefundedToWallet { order_id, .. }
        | Event::RefundRequested { order_id, .. }
        | Event::RefundDecided { order_id, .. }
        | Event::RefundCancelled { order_id, .. }
        | Event::RefundMoved { order_id, .. }
        | Event::Intervened { order_id, .. } => Some(*order_id),
        Event::TopUpStarted { .. }
        | Event::TopUpSettled { .. }
        | Event::Adjusted { .. }
        | Event::AdjustmentRefused { .. }
        | Event::GiftRedeemed { .. }
        | Event::CodeGranted { .. }
        | Event::Imported { .. } => None,
    }
}
