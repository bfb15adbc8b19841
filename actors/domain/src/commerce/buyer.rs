//! The buyer: one user's wallet, orders with their checkout sagas, top-ups and access, as one state machine.
//!
//! They are one aggregate because a purchase changes all of them at once: a wallet purchase is a single decision
//! with a single event, and "owned already", "not enough money" and "one charge for sixteen requests" are checks
//! in memory. An external payment is a [`Payment`](super::Payment) of its own that reports here; its report may
//! come twice, late, or after the order was given up.
//!
//! Invariants: no part of the wallet is negative; a fulfilled order has a grant for each line and money behind
//! it; an order that was captured is fulfilled or being refunded; its refunds never exceed what it cost.

use std::collections::{BTreeMap, BTreeSet};

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::access::{Access, Grant, Source};
use super::ledger;
use super::order::{CloseReason, Order, OrderState, Placement, Stage};
use super::payment::Purpose;
use super::refund::RefundState;
use super::wallet::{TopUp, TopUpState, TopUps, Wallet};
use super::{Error, Method};
use crate::ids::{AdjustmentId, CourseId, OrderId, PaymentId};

mod command;
mod decide;
mod event;
mod held;
mod oversee;
mod payments;
mod refunds;

pub use command::{Command, ImportedPurchase};
pub use event::Event;

/// Everything one user's purchases may change at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    wallet: Wallet,
    orders: BTreeMap<OrderId, Order>,
    /// The orders that are pending or wait for their team, so that placing one does not look at all.
    pending: BTreeSet<OrderId>,
    top_ups: TopUps,
    access: Access,
    /// The adjustments of the wallet that it has taken or refused, so that none is decided twice; people make them, so they
    /// are few.
    #[serde(default)]
    adjustments: BTreeSet<AdjustmentId>,
}

impl Aggregate for Buyer {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match command {
            Command::PlaceOrder(place) => self.place(*place, now),
            Command::SettlePayment {
                payment_id,
                purpose: Purpose::Order(order_id),
                outcome,
            } => self.settle_order(order_id, payment_id, outcome, now),
            Command::SettlePayment {
                payment_id,
                purpose: Purpose::TopUp,
                outcome,
            } => self.settle_top_up(payment_id, outcome, now),
            Command::AddPayment {
                order_id,
                payment_id,
                method,
                payment_token,
            } => self.add_payment(order_id, payment_id, method, payment_token, now),
            Command::Cancel { order_id } => self.cancel(order_id, now),
            Command::Expire { order_id } => match self.order(order_id)?.stage {
                Stage::AwaitingPayment { .. } => Ok(vec![Event::OrderClosing {
                    order_id,
                    reason: CloseReason::Expired,
                    at: now,
                }]),
                // The timer fires whatever became of the order.
                _ => Ok(vec![]),
            },
            Command::Conclude { order_id, granted } => self.conclude(order_id, granted, now),
            Command::RequestRefund {
                order_id,
                refund_id,
                reason,
                wanted,
                requester,
            } => self.request_refund(order_id, refund_id, reason, &wanted, requester, now),
            Command::DecideRefund {
                order_id,
                refund_id,
                approved,
                deed,
            } => self.decide_refund(order_id, refund_id, approved, deed, now),
            Command::CancelRefund { order_id, refund_id } => self.cancel_refund(order_id, refund_id, now),
            Command::SettleRefund {
                order_id,
                refund_id,
                attempt,
                outcome,
            } => self.settle_refund(order_id, refund_id, attempt, outcome, now),
            Command::RetryRefund { order_id, refund_id } => self.retry_refund(order_id, refund_id, now),
            Command::StartTopUp {
                payment_id,
                amount,
                provider,
                payment_token,
                expires_at,
            } => {
                if self.top_ups.get(payment_id).is_some() {
                    return Ok(vec![]);
                }
                self.top_ups.room(amount, self.reachable())?;
                let payment_token = decide::token(Method::Provider(provider), payment_token)?;
                Ok(vec![Event::TopUpStarted {
                    payment_id,
                    amount,
                    provider,
                    payment_token,
                    expires_at,
                    at: now,
                }])
            }
            Command::Intervene {
                order_id,
                action,
                deed,
            } => self.intervene(order_id, action, deed, now),
            Command::PostAdjustment {
                adjustment_id,
                entries,
            } => self.post_adjustment(adjustment_id, entries, now),
            Command::RedeemGift { order_id, code, user } => self.redeem_gift(order_id, code, user, now),
            Command::GrantCode { code, courses } => self.grant_code(code, courses, now),
            Command::Import { purchases } => self.import(&purchases, now),
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Purchased(placement) => {
                // The hold is captured in the same decision, so it never shows.
                self.wallet.reserve(placement.total);
                self.wallet.capture(placement.total);
                self.grant_lines(placement, placement.placed_at);
                self.orders
                    .insert(placement.order_id, Order::purchased(Placement::clone(placement)));
            }
            Event::OrderPlaced {
                order, expires_at, ..
            } => {
                self.pending.insert(order.order_id);
                self.orders.insert(
                    order.order_id,
                    Order::pending(Placement::clone(order), *expires_at),
                );
            }
            Event::PaymentAdded {
                order_id, payment, ..
            } => self.note_payment(*order_id, *payment),
            Event::PaymentSurplus {
                order_id, payment_id, ..
            } => {
                if let Some(order) = self.orders.get_mut(order_id) {
                    order.surplus.push(*payment_id);
                }
            }
            Event::OrderHeld { order_id, paid, at } => {
                self.note_paid(*order_id, *paid);
                if let Some(order) = self.orders.get_mut(order_id) {
                    order.hold(*at);
                }
            }
            Event::OrderFulfilled { order_id, paid, at } => {
                self.note_paid(*order_id, *paid);
                let order = self.enter(*order_id, Stage::Fulfilled, &[OrderState::Paid], *at);
                let placement = order.map(|order| order.placement.clone());
                if let Some(placement) = placement {
                    self.grant_lines(&placement, *at);
                }
            }
            Event::FulfilmentFailed {
                order_id,
                refund_id,
                paid,
                at,
            } => {
                self.note_paid(*order_id, *paid);
                self.enter(
                    *order_id,
                    Stage::Unfulfilled,
                    &[OrderState::Paid, OrderState::FulfilFailed],
                    *at,
                );
                // A team that grants may find its member hindered, so this says no more than is true of both.
                let reason = match self.orders.get(order_id).and_then(|order| order.held_at) {
                    Some(_) => "access was not granted when the team was decided",
                    None => "access could not be granted any more",
                };
                self.begin_refund(*order_id, *refund_id, reason, None, *at);
            }
            Event::OrderClosing { order_id, reason, at } => {
                if let Some(order) = self.orders.get_mut(order_id) {
                    order.stage = Stage::Closing {
                        reason: *reason,
                        since: *at,
                    };
                }
            }
            Event::OrderClosed { order_id, reason, at } => {
                self.enter(*order_id, Stage::Closed { reason: *reason }, &[], *at);
            }
            Event::RefundedToWallet {
                order_id,
                refund_id,
                reason,
                terms,
                at,
            } => {
                self.begin_refund(*order_id, *refund_id, reason, terms.as_deref(), *at);
                self.move_refund(*order_id, *refund_id, 1, RefundState::Succeeded, *at);
            }
            Event::RefundRequested {
                order_id,
                refund_id,
                reason,
                terms,
                at,
            } => self.begin_refund(*order_id, *refund_id, reason, terms.as_deref(), *at),
            Event::RefundDecided {
                order_id,
                refund_id,
                approved,
                deed,
                at,
            } => self.note_decision(*order_id, *refund_id, *approved, deed, *at),
            Event::RefundCancelled {
                order_id,
                refund_id,
                at,
            } => self.move_refund(*order_id, *refund_id, 1, RefundState::Cancelled, *at),
            Event::RefundMoved {
                order_id,
                refund_id,
                attempt,
                state,
                at,
            } => self.move_refund(*order_id, *refund_id, *attempt, *state, *at),
            Event::TopUpStarted {
                payment_id,
                amount,
                provider,
                at,
                ..
            } => {
                let (amount, provider, started_at) = (*amount, *provider, *at);
                let state = TopUpState::Processing;
                self.top_ups.start(
                    *payment_id,
                    TopUp {
                        amount,
                        provider,
                        state,
                        started_at,
                    },
                );
            }
            Event::TopUpSettled {
                payment_id, state, ..
            } => {
                if let Some(amount) = self.top_ups.settle(*payment_id, state.clone()) {
                    self.wallet.credit(amount);
                }
            }
            Event::Adjusted {
                adjustment_id,
                entries,
                ..
            } => {
                self.adjustments.insert(*adjustment_id);
                self.wallet.adjust(ledger::wallet_change(entries));
            }
            Event::AdjustmentRefused { adjustment_id, .. } => {
                self.adjustments.insert(*adjustment_id);
            }
            // What followed from it is in the events after it.
            Event::Intervened { .. } => {}
            Event::GiftRedeemed { order_id, user, .. } => {
                if let Some(order) = self.orders.get_mut(order_id) {
                    order.redeemed_by = Some(*user);
                }
            }
            Event::CodeGranted { code, courses, at } => {
                for (course_id, course_version) in courses {
                    let grant = Grant {
                        source: Source::Code(*code),
                        course_version: *course_version,
                        granted_at: *at,
                        expires_at: None,
                        revoked_at: None,
                    };
                    self.access.grant(*course_id, grant);
                }
            }
            Event::Imported { purchases } => {
                for purchase in purchases {
                    let source = Source::Import(purchase.import_id);
                    self.access.grant(
                        purchase.course_id,
                        Grant {
                            source,
                            course_version: purchase.course_version,
                            granted_at: purchase.at,
                            expires_at: None,
                            revoked_at: None,
                        },
                    );
                }
            }
        }
    }
}

/// What can be seen.
impl Buyer {
    /// The wallet.
    pub fn wallet(&self) -> Wallet {
        self.wallet
    }

    /// The access of the buyer.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// One order.
    ///
    /// # Errors
    /// [`Error::OrderNotFound`].
    pub fn order(&self, order_id: OrderId) -> Result<&Order, Error> {
        self.orders.get(&order_id).ok_or(Error::OrderNotFound)
    }

    /// The orders before `before` (all if `None`), newest first.
    pub fn orders(&self, before: Option<OrderId>) -> impl Iterator<Item = &Order> {
        use std::ops::Bound::{Excluded, Unbounded};
        let to = before.map_or(Unbounded, Excluded);
        self.orders.range((Unbounded, to)).rev().map(|(_, order)| order)
    }

    /// One top-up.
    ///
    /// # Errors
    /// [`Error::TopUpNotFound`].
    pub fn top_up(&self, payment_id: PaymentId) -> Result<&TopUp, Error> {
        self.top_ups.get(payment_id).ok_or(Error::TopUpNotFound)
    }

    /// Refuses a course that is owned or in a pending order.
    ///
    /// # Errors
    /// [`Error::CourseAlreadyOwned`], [`Error::CourseInPendingOrder`].
    pub fn may_buy(&self, course_id: CourseId, now: Timestamp) -> Result<(), Error> {
        if self.access.live(course_id, now).is_some() {
            return Err(Error::CourseAlreadyOwned);
        }
        let mut pending = self
            .pending
            .iter()
            .filter_map(|order_id| self.orders.get(order_id));
        if pending.any(|order| order.brings(course_id)) {
            return Err(Error::CourseInPendingOrder);
        }
        Ok(())
    }

    /// The balance with every purchase that may still be refunded into it.
    fn reachable(&self) -> i64 {
        let refundable = self
            .orders
            .values()
            .filter(|order| order.payment().method == Method::Wallet && order.keeps_money());
        self.wallet.balance().amount()
            + refundable
                .map(|order| order.placement.total.amount() - order.returned().amount())
                .sum::<i64>()
    }
}

/// How events are applied.
impl Buyer {
    fn enter(
        &mut self,
        order_id: OrderId,
        stage: Stage,
        passed: &[OrderState],
        at: Timestamp,
    ) -> Option<&Order> {
        self.pending.remove(&order_id);
        let order = self.orders.get_mut(&order_id)?;
        order.enter(stage, passed, at);
        Some(order)
    }

    fn grant_lines(&mut self, placement: &Placement, at: Timestamp) {
        if !placement.brings_access() {
            return;
        }
        for line in &placement.lines {
            let grant = Grant {
                source: Source::Order(placement.order_id),
                course_version: line.course_version,
                granted_at: at,
                expires_at: None,
                revoked_at: None,
            };
            self.access.grant(line.course_id, grant);
        }
    }
}
