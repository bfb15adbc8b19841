//! What can be asked of a team, and what can happen to it.

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::Terms;
use crate::commerce::reservation::Outcome;
use crate::ids::{CourseId, OrderId, UserId};

/// What an order, its buyer or a timer wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Open it, and keep its first place for an order.
    Open {
        /// What is agreed.
        terms: Terms,
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// Until when the order may be placed; later it is asked what became of it.
        until: Timestamp,
    },
    /// Keep a place for an order.
    Reserve {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What they want to buy.
        course_id: CourseId,
        /// Until when the order may be placed; later it is asked what became of it.
        until: Timestamp,
    },
    /// Take note of what became of the order that has a place: paid, or ended without.
    Settle {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What.
        outcome: Outcome,
    },
    /// Fail, if the time is over; by the timer.
    Expire,
}

/// What happened to a team. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was opened.
    Opened {
        /// What was agreed.
        terms: Terms,
        /// By whom.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// A place is kept for an order.
    PlaceReserved {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// Until when the order may be placed.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The order of a place is paid.
    PlacePaid {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// When.
        at: Timestamp,
    },
    /// The order of a place was paid when the team had failed: it is returned.
    PlaceRefused {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// When.
        at: Timestamp,
    },
    /// A place is free again: its order ended unpaid, or was never placed.
    PlaceReleased {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// When.
        at: Timestamp,
    },
    /// Every place is paid: all orders are granted.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// The time is over: all orders that are paid are returned.
    Failed {
        /// When.
        at: Timestamp,
    },
}
