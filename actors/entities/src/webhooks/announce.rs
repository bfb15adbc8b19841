//! What the events of a buyer are to whoever wants to hear of them.
//!
//! The buyer hears of the order. Each creator hears of the lines that were theirs: what was sold, at which price, what they
//! earn by it; and nothing by which the buyer could be known.

use std::collections::BTreeSet;

use lyceum_domain::commerce::order::{CloseReason, Line, Order};
use lyceum_domain::commerce::{Buyer, Event, RefundState};
use lyceum_domain::ids::{CourseId, OrderId, UserId, WebhookEventId};
use lyceum_domain::webhooks::EventType;
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Effects, ids};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Listeners;
use crate::commerce::CommerceFlow;

/// An event on its way to whoever hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Who hears of it.
    pub user: UserId,
    /// The event; receivers know it by this id, however often it comes.
    pub event_id: WebhookEventId,
    /// What it is.
    pub event_type: EventType,
    /// The bits of the order it is about.
    pub subject: Uuid,
    /// What is sent.
    pub body: String,
}

#[derive(Serialize)]
struct Body<D> {
    r#type: EventType,
    timestamp: Timestamp,
    data: D,
}

#[derive(Serialize)]
struct OrderData<'a> {
    order_id: OrderId,
    total: Money,
    payment_method: &'static str,
    placed_at: Timestamp,
    items: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
}

#[derive(Serialize)]
struct SaleData<'a> {
    order_id: OrderId,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    course_id: CourseId,
    course_version: u32,
    title: &'a str,
    /// The list price.
    price: Money,
    /// What was not paid of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<Money>,
    /// The creator's part of what was paid, or what a refund takes back of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    earned: Option<Money>,
}

/// Announces one event of a buyer to those among `listeners` whom it concerns.
pub(crate) fn after_buyer(
    listeners: &Listeners,
    user: UserId,
    state: &Buyer,
    event: &Event,
    now: Timestamp,
    effects: &mut Effects,
) {
    let (order_id, of_order, of_sale) = match event {
        Event::Purchased(placement) => (
            placement.order_id,
            EventType::OrderFulfilled,
            Some(EventType::SaleCompleted),
        ),
        Event::OrderFulfilled { order_id, .. } => (
            *order_id,
            EventType::OrderFulfilled,
            Some(EventType::SaleCompleted),
        ),
        Event::OrderClosed { order_id, reason, .. } => {
            let of_order = match reason {
                CloseReason::Expired => EventType::OrderExpired,
                CloseReason::Cancelled | CloseReason::PaymentDeclined => EventType::OrderCancelled,
            };
            (*order_id, of_order, None)
        }
        Event::RefundedToWallet { order_id, .. }
        | Event::RefundMoved {
            order_id,
            state: RefundState::Succeeded,
            ..
        } => (*order_id, EventType::OrderRefunded, Some(EventType::SaleRefunded)),
        _ => return,
    };
    let Ok(order) = state.order(order_id) else { return };
    let placement = &order.placement;
    let refund = match event {
        Event::RefundedToWallet { refund_id, .. } | Event::RefundMoved { refund_id, .. } => {
            order.refund(*refund_id)
        }
        _ => None,
    };
    let mut announce = |user: UserId, event_type: EventType, body: String| {
        let announcement = Announcement {
            user,
            event_id: ids::new(),
            event_type,
            subject: Uuid::from_u128(order_id.as_u128()),
            body,
        };
        effects.message(now, &CommerceFlow::Announce(announcement));
    };
    if listeners.hears(user) {
        let reason = match event {
            Event::OrderClosed { reason, .. } => Some(reason.name()),
            _ => None,
        };
        let refunded = refund.map(|refund| refund.amount);
        announce(user, of_order, order_body(of_order, order, reason, refunded, now));
    }
    // What was never fulfilled was no sale, so that its money goes back to nobody's loss.
    let Some(of_sale) = of_sale.filter(|_| order.was_fulfilled()) else {
        return;
    };
    // What each line earned, or what the refund took back of it.
    let shares: Vec<(&Line, Money)> = match refund {
        None => placement
            .lines
            .iter()
            .map(|line| (line, line.net().share(line.share_bps)))
            .collect(),
        Some(refund) => {
            let back = order.taken_back(refund);
            let share = |line: &Line| back.iter().find(|back| back.course_id == line.course_id);
            let lines = placement.lines.iter();
            lines
                .filter_map(|line| Some((line, share(line)?.creator_share)))
                .collect()
        }
    };
    let creators: BTreeSet<UserId> = shares
        .iter()
        .map(|(line, _)| line.creator)
        .filter(|creator| listeners.hears(*creator))
        .collect();
    for creator in creators {
        announce(
            creator,
            of_sale,
            sale_body(of_sale, order_id, &shares, creator, now),
        );
    }
}

fn order_body(
    event_type: EventType,
    order: &Order,
    reason: Option<&'static str>,
    refunded: Option<Money>,
    now: Timestamp,
) -> String {
    let placement = &order.placement;
    let data = OrderData {
        order_id: placement.order_id,
        total: placement.total,
        payment_method: order.payment().method.name(),
        placed_at: placement.placed_at,
        items: placement.lines.iter().map(|line| item(line, None)).collect(),
        reason,
        refunded,
    };
    written(event_type, data, now)
}

fn sale_body(
    event_type: EventType,
    order_id: OrderId,
    shares: &[(&Line, Money)],
    creator: UserId,
    now: Timestamp,
) -> String {
    let own = shares.iter().filter(|(line, _)| line.creator == creator);
    let data = SaleData {
        order_id,
        items: own.map(|(line, share)| item(line, Some(*share))).collect(),
    };
    written(event_type, data, now)
}

fn item(line: &Line, earned: Option<Money>) -> Item<'_> {
    Item {
        course_id: line.course_id,
        course_version: line.course_version,
        title: &line.title,
        price: line.price,
        discount: Some(line.discount).filter(|discount| !discount.is_zero()),
        earned,
    }
}

fn written(event_type: EventType, data: impl Serialize, timestamp: Timestamp) -> String {
    let body = Body {
        r#type: event_type,
        timestamp,
        data,
    };
    serde_json::to_string(&body).expect("own types have string keys and infallible Serialize")
}
