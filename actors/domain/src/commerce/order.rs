//! An order and its checkout saga.
//!
//! `pending → paid | cancelled | expired`; `paid → fulfilling → fulfilled | fulfil_failed → refunding`;
//! `fulfilled → refunding → refunded | partially_refunded`; `partially_refunded → refunding`. Access is granted in the decision
//! that learns of the payment, so `paid`, `fulfilling` and `fulfil_failed` are passed through and show in the timeline only; an order
//! of a team alone rests in `paid`, until the team says what becomes of it (`order/held.rs`).
//! What is done about its refunds says which of the last four an order is in. While it is pending the
//! saga either awaits its payment or is closing it: a cancelled or expired order first asks the payment to close,
//! since the money may be captured already.

use std::sync::Arc;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::refund::{Refund, RefundState};
use super::reservation::Reservation;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CodeId, CourseId, OrderId, PaymentId, RefundId, UserId};

mod gift;
mod held;
mod payments;
#[cfg(test)]
mod payments_test;
mod state;
mod stored;

pub(super) use held::alone;
pub use payments::{OrderPayment, PAYMENTS_MAX};
pub use state::{CloseReason, OrderState};

/// How many courses one order may contain: it bounds the size of an event and of a commit.
pub const LINES_MAX: usize = 20;

/// How many orders of one buyer may wait for their payment: each is a saga somebody has to finish.
pub const OPEN_ORDERS_MAX: usize = 20;

/// How many orders of one buyer may be in teams that are not decided.
///
/// Each keeps a place, and money for days, and is looked at whenever the buyer buys; whoever wants more keeps places from others.
pub const TEAM_ORDERS_MAX: usize = 20;

/// Asks for a purchase; whoever builds it has looked up what the catalog sells and at which price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// The id of the order, drawn at the edge.
    pub order_id: OrderId,
    /// The id of its payment, drawn at the edge.
    pub payment_id: PaymentId,
    /// Who buys.
    pub buyer: UserId,
    /// What is bought.
    pub lines: Vec<Line>,
    /// The sum that the buyer agreed to, if they said so.
    pub expected_total: Option<Money>,
    /// Who pays.
    pub method: Method,
    /// What the provider needs to charge; unused by the wallet, and optional where a provider has a way for everybody.
    pub payment_token: Option<String>,
    /// When an external payment is given up.
    pub expires_at: Timestamp,
    /// Until when the order may be refunded.
    pub refundable_until: Timestamp,
    /// What is kept for the order elsewhere, at most [`RESERVATIONS_MAX`](super::reservation::RESERVATIONS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reservation>,
    /// The code by which somebody else gets what is bought, if it is a gift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gift: Option<CodeId>,
    /// Until when all of that is kept, unless the order is placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_until: Option<Timestamp>,
}

/// One course at the version and price it is bought at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The course.
    pub course_id: CourseId,
    /// Its version at the time of purchase.
    pub course_version: u32,
    /// Its title at the time of purchase.
    pub title: Arc<str>,
    /// Its list price at the time of purchase.
    pub price: Money,
    /// Who earns.
    pub creator: UserId,
    /// The creator's part of what is paid, in 1/10,000; frozen so that a refund takes back what a sale gave.
    pub share_bps: u16,
    /// What the buyer does not pay of the list price.
    #[serde(default = "no_discount", skip_serializing_if = "is_no_discount")]
    pub discount: Money,
}

impl Line {
    /// What the buyer pays: the list price less the discount.
    pub fn net(&self) -> Money {
        // A line whose discount exceeds its price is refused when it is placed.
        self.price
            .minus(self.discount)
            .unwrap_or(Money::zero(SETTLEMENT_CURRENCY))
    }
}

/// The discount of a line that is sold at its list price.
pub fn no_discount() -> Money {
    Money::zero(SETTLEMENT_CURRENCY)
}

fn is_no_discount(discount: &Money) -> bool {
    discount.is_zero()
}

/// Who pays for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The buyer's wallet.
    Wallet,
    /// An external provider.
    Provider(Provider),
}

/// A payment provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The stand-in provider for tests and demonstrations.
    Sandbox,
    /// Stripe: cards, with the buyer's bank asked where it wants to be.
    Stripe,
    /// WeChat Pay: a QR code, or the app that the buyer is in.
    Wechat,
    /// Alipay: a page, or the app.
    Alipay,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Provider; 4] = [
        Provider::Sandbox,
        Provider::Stripe,
        Provider::Wechat,
        Provider::Alipay,
    ];

    /// The name of the provider.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Sandbox => "sandbox",
            Provider::Stripe => "stripe",
            Provider::Wechat => "wechat",
            Provider::Alipay => "alipay",
        }
    }

    /// What to charge where the buyer names nothing: the way of paying that every buyer has.
    pub fn token_default(self) -> Option<&'static str> {
        match self {
            Provider::Sandbox | Provider::Stripe => None,
            Provider::Wechat => Some("native"),
            Provider::Alipay => Some("page"),
        }
    }

    /// Whether the payer may have to do something before it charges.
    pub fn asks_payer(self) -> bool {
        self != Provider::Sandbox
    }
}

impl Method {
    /// The name that clients use.
    pub fn name(self) -> &'static str {
        match self {
            Method::Wallet => "wallet",
            Method::Provider(provider) => provider.name(),
        }
    }

    /// The method of this name.
    ///
    /// # Errors
    /// [`Error::PaymentMethodUnknown`].
    pub fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "wallet" => Ok(Method::Wallet),
            name => Provider::ALL
                .into_iter()
                .find(|provider| provider.name() == name)
                .map(Method::Provider)
                .ok_or(Error::PaymentMethodUnknown),
        }
    }
}

/// What was agreed when an order was placed; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The order.
    pub order_id: OrderId,
    /// Its payment.
    pub payment_id: PaymentId,
    /// Who pays.
    pub method: Method,
    /// What is bought.
    pub lines: Vec<Line>,
    /// The sum of what its lines cost.
    pub total: Money,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Until when it may be refunded.
    pub refundable_until: Timestamp,
    /// What is kept for it elsewhere until it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reservation>,
    /// The code by which somebody else gets what was bought, if it is a gift: its buyer gets nothing by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gift: Option<CodeId>,
}

impl Placement {
    /// Whether the wallet pays, or nothing is to be paid.
    pub fn settles_at_once(&self) -> bool {
        self.method == Method::Wallet || self.total.is_zero()
    }
}

/// The position of an order's checkout saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The payment is under way.
    AwaitingPayment {
        /// When it is given up.
        expires_at: Timestamp,
    },
    /// The payment has been asked to close.
    Closing {
        /// What the order becomes once nothing can be captured any more.
        reason: CloseReason,
        /// Since when.
        since: Timestamp,
    },
    /// Paid, and its money is kept until its team is decided.
    Held {
        /// By when it is.
        until: Timestamp,
    },
    /// Paid, and access granted; its refunds say what has become of that since.
    Fulfilled,
    /// Captured when access could not be granted any more; its refund returns everything.
    Unfulfilled,
    /// Ended without payment.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// One order of one buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "stored::StoredOrder")]
pub struct Order {
    /// What was agreed.
    pub placement: Placement,
    /// How far it is.
    pub stage: Stage,
    /// When it reached which state, oldest first.
    pub timeline: Vec<(OrderState, Timestamp)>,
    /// Its refunds, oldest first; at most [`REFUNDS_MAX`](super::refund::REFUNDS_MAX).
    pub refunds: Vec<Refund>,
    /// The payments after the one it was placed with, oldest first; fewer than [`PAYMENTS_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<OrderPayment>,
    /// Which of several payments paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_by: Option<PaymentId>,
    /// Payments that were captured beside the one that paid; their money goes back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surplus: Vec<PaymentId>,
    /// Who has redeemed it, if it is a gift and somebody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redeemed_by: Option<UserId>,
    /// Since when its money was kept for its team, if it ever was: it was posted then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
}

impl Order {
    /// An order that waits for its payment.
    pub(super) fn pending(placement: Placement, expires_at: Timestamp) -> Self {
        let timeline = vec![(OrderState::Pending, placement.placed_at)];
        Order {
            placement,
            stage: Stage::AwaitingPayment { expires_at },
            timeline,
            refunds: vec![],
            further: vec![],
            paid_by: None,
            surplus: vec![],
            redeemed_by: None,
            held_at: None,
        }
    }

    /// An order that was placed, paid and fulfilled at once.
    pub(super) fn purchased(placement: Placement) -> Self {
        let at = placement.placed_at;
        let passed = [OrderState::Pending, OrderState::Paid, OrderState::Fulfilled];
        Order {
            placement,
            stage: Stage::Fulfilled,
            timeline: passed.map(|state| (state, at)).to_vec(),
            refunds: vec![],
            further: vec![],
            paid_by: None,
            surplus: vec![],
            redeemed_by: None,
            held_at: None,
        }
    }

    /// The state of the order machine.
    pub fn state(&self) -> OrderState {
        match &self.stage {
            Stage::AwaitingPayment { .. } | Stage::Closing { .. } => OrderState::Pending,
            Stage::Held { .. } => OrderState::Paid,
            Stage::Closed { reason } => reason.state(),
            Stage::Fulfilled | Stage::Unfulfilled => {
                if self.under_way().next().is_some() {
                    OrderState::Refunding
                } else if self.is_wholly_returned() {
                    OrderState::Refunded
                } else if self.stage == Stage::Unfulfilled {
                    OrderState::FulfilFailed
                } else if self.returns().next().is_none() {
                    OrderState::Fulfilled
                } else {
                    OrderState::PartiallyRefunded
                }
            }
        }
    }

    /// The step of the checkout saga.
    pub fn saga(&self) -> &'static str {
        match &self.stage {
            Stage::AwaitingPayment { .. } => "awaiting_payment",
            Stage::Closing { .. } => "closing",
            Stage::Held { .. } => "awaiting_team",
            Stage::Closed { .. } => "compensated",
            // Of several refunds that are under way, the one that people have to know of first.
            Stage::Fulfilled | Stage::Unfulfilled => {
                let any = |is: fn(RefundState) -> bool| self.under_way().any(|refund| is(refund.state));
                if any(|state| matches!(state, RefundState::Failed { .. })) {
                    "refund_failed"
                } else if any(|state| state == RefundState::Unknown) {
                    "refund_unknown"
                } else if any(RefundState::is_under_way) {
                    "refunding"
                } else if self.is_wholly_returned() {
                    "compensated"
                } else {
                    "completed"
                }
            }
        }
    }

    /// When the saga's next action is due; `None` once it has ended.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::AwaitingPayment { expires_at } => Some(*expires_at),
            Stage::Closing { since, .. } => Some(*since),
            Stage::Held { until } => Some(*until),
            Stage::Closed { .. } => None,
            Stage::Fulfilled | Stage::Unfulfilled => {
                let due = |refund: &Refund| match refund.state {
                    RefundState::Failed { retry_at } => retry_at,
                    _ => refund.requested_at,
                };
                self.under_way().map(due).min()
            }
        }
    }

    /// The refunds that are approved and whose money is not back yet.
    pub fn under_way(&self) -> impl Iterator<Item = &Refund> {
        self.refunds.iter().filter(|refund| refund.state.is_under_way())
    }

    /// Whether its money was captured, whatever became of it since.
    pub fn is_captured(&self) -> bool {
        matches!(
            self.stage,
            Stage::Held { .. } | Stage::Fulfilled | Stage::Unfulfilled
        )
    }

    /// Whether access was ever granted, so that the sale was posted.
    pub fn was_fulfilled(&self) -> bool {
        self.timeline
            .iter()
            .any(|(state, _)| *state == OrderState::Fulfilled)
    }

    pub(super) fn refund_mut(&mut self, refund_id: RefundId) -> Option<&mut Refund> {
        self.refunds
            .iter_mut()
            .find(|refund| refund.refund_id == refund_id)
    }

    /// The refusal of a transition by the present state.
    pub(super) fn refusal(&self) -> Error {
        Error::wrong_state(self.state().name())
    }

    pub(super) fn enter(&mut self, stage: Stage, passed: &[OrderState], at: Timestamp) {
        self.stage = stage;
        // An order that waited for its team has been paid before.
        let passed = passed
            .iter()
            .filter(|state| self.held_at.is_none() || **state != OrderState::Paid);
        self.timeline.extend(passed.map(|state| (*state, at)));
        self.note(at);
    }

    /// Notes the state it is in, if it is another than before.
    pub(super) fn note(&mut self, at: Timestamp) {
        let reached = self.state();
        if self.timeline.last().is_none_or(|(state, _)| *state != reached) {
            self.timeline.push((reached, at));
        }
    }
}

/// The total of an order's lines, if they can be ordered together at all.
///
/// # Errors
/// The order is empty, too long, contains a course twice, takes off more than a price, or its prices cannot be added.
pub fn total(lines: &[Line]) -> Result<Money, Error> {
    if lines.is_empty() {
        return Err(Error::OrderEmpty);
    }
    if lines.len() > LINES_MAX {
        return Err(Error::TooManyLines);
    }
    let mut total = Money::zero(SETTLEMENT_CURRENCY);
    for (index, line) in lines.iter().enumerate() {
        if lines[..index]
            .iter()
            .any(|earlier| earlier.course_id == line.course_id)
        {
            return Err(Error::DuplicateCourse);
        }
        if line.price.currency() != SETTLEMENT_CURRENCY || line.discount.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        if !line.price.covers(line.discount) {
            return Err(Error::AmountOutOfRange);
        }
        total = total.plus(line.net()).map_err(|_| Error::AmountOutOfRange)?;
    }
    Ok(total)
}
