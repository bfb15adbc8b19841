//! What can be asked of a coupon, and what can happen to it.

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::terms::{Item, Terms};
use crate::ids::{CourseId, OrderId, UserId};

/// What an issuer, an order or a timer wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Issue it.
    Issue {
        /// What it promises.
        terms: Terms,
        /// Who issues it.
        by: UserId,
    },
    /// Let it serve no further order; what is reserved stays reserved.
    Disable {
        /// Who wants that.
        by: UserId,
    },
    /// Keep one use for an order.
    Reserve {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What is bought, at what is left to pay of it.
        items: Vec<Item>,
        /// Whether the order has another coupon.
        stacked: bool,
        /// Until when the order may be placed; later it is asked what became of it.
        until: Timestamp,
    },
    /// Spend the use that an order has reserved: it is paid.
    Redeem {
        /// The order.
        order_id: OrderId,
    },
    /// Give the use of an order back: it is cancelled or expired, or was never placed.
    Release {
        /// The order.
        order_id: OrderId,
    },
}

/// What happened to a coupon. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was issued.
    Issued {
        /// What it promises.
        terms: Box<Terms>,
        /// Who issued it.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// It serves no further order.
    Disabled {
        /// Who wanted that.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// One use is kept for an order.
    Reserved {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What is taken off which course.
        discounts: Vec<Discount>,
        /// All of it.
        off: Money,
        /// Until when the order may be placed.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The use of an order is spent.
    Redeemed {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What is taken off.
        off: Money,
        /// When.
        at: Timestamp,
    },
    /// The use of an order is available again.
    Released {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What is taken off.
        off: Money,
        /// When.
        at: Timestamp,
    },
}

/// What a coupon takes off one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// The course of the line.
    pub course_id: CourseId,
    /// How much, above zero.
    pub off: Money,
}
