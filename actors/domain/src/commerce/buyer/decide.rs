//! How a buyer's longer commands are decided.

use std::collections::BTreeSet;

use lyceum_kernel::Timestamp;

use super::{Buyer, Event, ImportedPurchase};
use crate::commerce::Error;
use crate::commerce::access::Source;
use crate::commerce::batch::Refusal as CodeRefusal;
use crate::commerce::order::{
    self, CloseReason, LINES_MAX, Method, OPEN_ORDERS_MAX, Order, PlaceOrder, Placement, Stage,
    TEAM_ORDERS_MAX,
};
use crate::commerce::payment::Settlement;
use crate::commerce::reservation::{Reservation, still_reserved};
use crate::commerce::wallet::TopUpState;
use crate::ids::{CodeId, CourseId, OrderId, PaymentId, RefundId, UserId};

impl Buyer {
    pub(super) fn place(&self, place: PlaceOrder, now: Timestamp) -> Result<Vec<Event>, Error> {
        if self.orders.contains_key(&place.order_id) {
            return Ok(vec![]);
        }
        let total = order::total(&place.lines)?;
        order::alone(&place)?;
        let is_period = |reservation: &Reservation| matches!(reservation, Reservation::Period { .. });
        let pays_membership = place.reservations.iter().any(is_period);
        for line in &place.lines {
            // A sale to oneself would be money going in a circle, and a way to appear popular.
            if line.creator == place.buyer {
                return Err(Error::OwnCourse);
            }
            if place.gift.is_none() && !pays_membership {
                self.may_buy(line.course_id, now)?;
            }
        }
        if place.expected_total.is_some_and(|expected| expected != total) {
            return Err(Error::PriceChanged);
        }
        still_reserved(&place, now)?;
        let PlaceOrder {
            order_id,
            payment_id,
            buyer: _,
            lines,
            expected_total: _,
            method,
            payment_token,
            expires_at,
            refundable_until,
            reservations,
            gift,
            reserved_until: _,
        } = place;
        let placed_at = now;
        let order = Box::new(Placement {
            order_id,
            payment_id,
            method,
            lines,
            total,
            placed_at,
            refundable_until,
            reservations,
            gift,
        });

        if order.settles_at_once() && !self.wallet.covers(total) {
            return Err(Error::InsufficientFunds);
        }
        let waits = order.waits_for_team();
        if order.settles_at_once() && !waits {
            return Ok(vec![Event::Purchased(order)]);
        }
        // A membership has one order at a time that pays it; it goes on, however many carts its buyer has left unpaid.
        if !pays_membership && self.count_open(Order::awaits_payment) >= OPEN_ORDERS_MAX {
            return Err(Error::TooManyOpenOrders);
        }
        if waits && self.count_open(|order| order.placement.waits_for_team()) >= TEAM_ORDERS_MAX {
            return Err(Error::TooManyTeamOrders);
        }
        if order.method == Method::Wallet {
            return Ok(Self::placed_and_held(order, expires_at));
        }
        let payment_token = token(order.method, payment_token)?;
        Ok(vec![Event::OrderPlaced {
            order,
            payment_token,
            expires_at,
        }])
    }

    /// How many of the orders that are pending or wait for their team are such.
    fn count_open(&self, such: impl Fn(&Order) -> bool) -> usize {
        let open = self
            .pending
            .iter()
            .filter_map(|order_id| self.orders.get(order_id));
        open.filter(|order| such(order)).count()
    }

    pub(super) fn settle_order(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        outcome: Settlement,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let order = self.order(order_id)?;
        let Some(payment) = order.payment_of(payment_id) else {
            return Err(Error::PaymentNotFound);
        };
        let paid = (!order.further.is_empty()).then_some(payment);
        if order.payment() != payment {
            match outcome {
                // It was asked to close when another way to pay was chosen.
                Settlement::Declined { .. } | Settlement::Closed => return Ok(vec![]),
                Settlement::Succeeded if !order.is_captured() => {}
                Settlement::Succeeded if order.surplus.contains(&payment_id) => return Ok(vec![]),
                Settlement::Succeeded => {
                    return Ok(vec![Event::PaymentSurplus {
                        order_id,
                        payment_id,
                        at: now,
                    }]);
                }
            }
        }
        let event = match (&order.stage, outcome) {
            // The money was captured, be it after the order was given up: it is never kept without access.
            (
                Stage::AwaitingPayment { .. } | Stage::Closing { .. } | Stage::Closed { .. },
                Settlement::Succeeded,
            ) => {
                if self.hindered(order, now) {
                    // One payment has at most one such refund, so the payment's bits make a unique id.
                    let refund_id = RefundId::from_u128(payment_id.as_u128());
                    Event::FulfilmentFailed {
                        order_id,
                        refund_id,
                        paid,
                        at: now,
                    }
                } else {
                    Self::captured(order, paid, now)
                }
            }
            (Stage::AwaitingPayment { .. }, Settlement::Declined { .. }) => Event::OrderClosed {
                order_id,
                reason: CloseReason::PaymentDeclined,
                at: now,
            },
            (Stage::AwaitingPayment { .. }, Settlement::Closed) => Event::OrderClosed {
                order_id,
                reason: CloseReason::Expired,
                at: now,
            },
            (Stage::Closing { reason, .. }, Settlement::Declined { .. } | Settlement::Closed) => {
                Event::OrderClosed {
                    order_id,
                    reason: *reason,
                    at: now,
                }
            }
            // Redelivered, or overtaken by a success.
            (Stage::Held { .. } | Stage::Fulfilled | Stage::Unfulfilled | Stage::Closed { .. }, _) => {
                return Ok(vec![]);
            }
        };
        Ok(vec![event])
    }

    /// Whether something stands against granting what an order paid for.
    pub(super) fn hindered(&self, order: &Order, now: Timestamp) -> bool {
        let mut lines = order.placement.lines.iter();
        // A gift brings its buyer nothing that they could have by now, and a period follows another.
        if !order.placement.brings_access() {
            return order.has_returned();
        }
        order.has_returned()
            || lines.any(|line| match self.may_buy(line.course_id, now) {
                Ok(()) => false,
                // The order's own lines do not hinder it, and no other pending order may share them.
                Err(Error::CourseInPendingOrder) => !self.pending.contains(&order.placement.order_id),
                Err(_) => true,
            })
    }

    pub(super) fn settle_top_up(
        &self,
        payment_id: PaymentId,
        outcome: Settlement,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let state = match (&self.top_up(payment_id)?.state, outcome) {
            (TopUpState::Succeeded, _) => return Ok(vec![]),
            (_, Settlement::Succeeded) => TopUpState::Succeeded,
            (TopUpState::Processing, Settlement::Declined { code }) => TopUpState::Declined { code },
            (TopUpState::Processing, Settlement::Closed) => TopUpState::Cancelled,
            (TopUpState::Declined { .. } | TopUpState::Cancelled, _) => return Ok(vec![]),
        };
        Ok(vec![Event::TopUpSettled {
            payment_id,
            state,
            at,
        }])
    }

    pub(super) fn cancel(&self, order_id: OrderId, now: Timestamp) -> Result<Vec<Event>, Error> {
        let order = self.order(order_id)?;
        match order.stage {
            Stage::AwaitingPayment { .. } => Ok(vec![Event::OrderClosing {
                order_id,
                reason: CloseReason::Cancelled,
                at: now,
            }]),
            Stage::Closing { .. }
            | Stage::Closed {
                reason: CloseReason::Cancelled,
            } => Ok(vec![]),
            Stage::Closed { .. } | Stage::Held { .. } | Stage::Fulfilled | Stage::Unfulfilled => {
                Err(order.refusal())
            }
        }
    }

    /// The giver decides: so a gift is redeemed or refunded, and never both.
    pub(super) fn redeem_gift(
        &self,
        order_id: OrderId,
        code: CodeId,
        user: UserId,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let unknown = || Error::from(CodeRefusal::Unknown);
        let order = self.order(order_id).map_err(|_| unknown())?;
        if order.placement.gift != Some(code) {
            return Err(unknown());
        }
        match (order.redeemed_by, &order.stage) {
            // Whoever asks again has it.
            (Some(holder), _) if holder == user => Ok(vec![]),
            (Some(_), _) => Err(CodeRefusal::Used.into()),
            // What is on its way back is not given away, nor what an operator may still send back, nor what is partly paid.
            (None, Stage::Fulfilled)
                if !order.gives().is_empty()
                    && !order.is_being_refunded()
                    && !order.gives_what_is_partly_returned() =>
            {
                Ok(vec![Event::GiftRedeemed { order_id, user, at }])
            }
            (None, Stage::AwaitingPayment { .. } | Stage::Closing { .. } | Stage::Held { .. }) => {
                Err(CodeRefusal::Unpaid.into())
            }
            (None, Stage::Fulfilled | Stage::Unfulfilled | Stage::Closed { .. }) => {
                Err(CodeRefusal::Cancelled.into())
            }
        }
    }

    pub(super) fn grant_code(
        &self,
        code: CodeId,
        mut courses: Vec<(CourseId, u32)>,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        if courses.len() > LINES_MAX {
            return Err(Error::TooManyLines);
        }
        // Whoever owns a course already has a second right to it: the code is spent, and its holder was told before.
        courses.retain(|(course_id, _)| !self.access.knows(*course_id, Source::Code(code)));
        Ok(if courses.is_empty() {
            vec![]
        } else {
            vec![Event::CodeGranted { code, courses, at }]
        })
    }

    pub(super) fn import(&self, purchases: &[ImportedPurchase], now: Timestamp) -> Result<Vec<Event>, Error> {
        if purchases.len() > LINES_MAX {
            return Err(Error::TooManyLines);
        }
        let mut seen = BTreeSet::new();
        let mut purchases = purchases.to_vec();
        purchases.retain(|purchase| {
            let source = Source::Import(purchase.import_id);
            self.access.live(purchase.course_id, now).is_none()
                && !self.access.knows(purchase.course_id, source)
                && seen.insert(purchase.course_id)
        });
        Ok(if purchases.is_empty() {
            vec![]
        } else {
            vec![Event::Imported { purchases }]
        })
    }
}

/// What is charged: what the buyer named, or the way of paying that everybody has with this provider.
pub(super) fn token(method: Method, named: Option<String>) -> Result<String, Error> {
    let otherwise = match method {
        Method::Provider(provider) => provider.token_default(),
        Method::Wallet => None,
    };
    named
        .or_else(|| otherwise.map(str::to_owned))
        .ok_or(Error::PaymentTokenRequired)
}
