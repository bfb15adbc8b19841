//! What an order has reserved outside its buyer: a slot of a flash sale, a use of a coupon, the next period of a membership, a place in a
//! team.
//!
//! ```text
//! reserve (the entity that has it, by order) → place the order (the buyer) → consumed | returned
//! ```
//!
//! Once an order is placed its buyer alone decides what becomes of its reservations, and says so in its events: an order that
//! was fulfilled consumes them, one that ended otherwise returns them; a place in a team is consumed as soon as its order is paid. The entity that reserved hears of it by a message that may come
//! twice, and asks by itself once the time is over in which the order could be placed, since a process may die in between.
//!
//! Invariants: an order is not placed after `reserved_until`, so "there is no such order" after it is final; a capture that
//! arrives after the order has ended finds the reservations gone, and goes back.

use std::time::Duration;

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use super::buyer::Buyer;
use super::order::{Order, PlaceOrder, Stage};
use crate::ids::{CouponId, MembershipId, OrderId, SaleId, TeamId};

/// How many reservations one order may carry: each is a message when the order ends.
pub const RESERVATIONS_MAX: usize = 4;

/// How far the clocks of two nodes may be apart: for so long after `reserved_until` an order that is not known is not given up, since
/// its buyer may just have come from a node whose clock is behind.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(2);

/// Something that is kept for an order by another entity. Stored with the order, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reservation {
    /// A slot of a flash sale.
    Slot {
        /// Which sale.
        sale_id: SaleId,
    },
    /// A use of a coupon.
    Coupon {
        /// Which coupon.
        coupon_id: CouponId,
    },
    /// The next period of a membership, which the order pays.
    Period {
        /// Which membership.
        membership_id: MembershipId,
    },
    /// A place in a team.
    Place {
        /// Which team.
        team_id: TeamId,
        /// By when it is decided.
        ends_at: Timestamp,
    },
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The order was fulfilled, or is paid and waits for its team.
    Consumed,
    /// The order ended without, or never began.
    Returned,
}

/// What a buyer says about the reservations of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is not decided: nothing can be said before this time, and perhaps not then.
    Open {
        /// When to ask again, at the earliest.
        until: Timestamp,
    },
    /// It is, for good.
    Settled(Outcome),
}

impl Buyer {
    /// What became of what is kept for an order that had to be placed before `reserved_until`.
    ///
    /// It is judged by the clock that places orders: an order that may still be placed is open.
    pub fn fate(&self, order_id: OrderId, reserved_until: Timestamp, now: Timestamp) -> Fate {
        let Ok(order) = self.order(order_id) else {
            let final_from = reserved_until.plus(CLOCKS_APART_MAX);
            return if now < final_from {
                Fate::Open { until: final_from }
            } else {
                Fate::Settled(Outcome::Returned)
            };
        };
        match order.stage {
            Stage::AwaitingPayment { expires_at } => Fate::Open { until: expires_at },
            Stage::Closing { .. } => Fate::Open { until: now },
            Stage::Held { .. } | Stage::Fulfilled | Stage::Unfulfilled | Stage::Closed { .. } => {
                Fate::Settled(if order.has_consumed() {
                    Outcome::Consumed
                } else {
                    Outcome::Returned
                })
            }
        }
    }
}

impl Order {
    /// Whether what was reserved for it has been returned, so that it can be fulfilled no more.
    pub(super) fn has_returned(&self) -> bool {
        !self.placement.reservations.is_empty() && matches!(self.stage, Stage::Closed { .. })
    }
}

/// Refuses an order whose reservations may be gone by now.
///
/// # Errors
/// [`Error::TooManyReservations`], [`Error::ReservationExpired`].
pub(super) fn still_reserved(place: &PlaceOrder, now: Timestamp) -> Result<(), Error> {
    if place.reservations.len() > RESERVATIONS_MAX {
        return Err(Error::TooManyReservations);
    }
    let gone = place.reserved_until.is_none_or(|until| now >= until);
    if gone && !place.reservations.is_empty() {
        return Err(Error::ReservationExpired);
    }
    Ok(())
}
