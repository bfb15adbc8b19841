//! What can be asked of a sale, and what can happen to it.

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::Terms;
use crate::commerce::oversight::Deed;
use crate::commerce::reservation::Outcome;
use crate::ids::{CourseId, OrderId, UserId};

/// What a creator, an order or a timer wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make it.
    Open {
        /// What it offers.
        terms: Terms,
        /// Who makes it.
        by: UserId,
    },
    /// Make it of somebody else's course.
    OpenFor {
        /// What it offers.
        terms: Terms,
        /// The operator who makes it, and why.
        deed: Deed,
    },
    /// Keep a slot for an order.
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
    /// Take note of what became of the order that has a slot.
    Settle {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// What.
        outcome: Outcome,
    },
}

/// What happened to a sale. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was made.
    Opened {
        /// What it offers.
        terms: Terms,
        /// Who made it.
        by: UserId,
        /// When.
        at: Timestamp,
        /// The operator's reasons, if it is of somebody else's course.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deed: Option<Deed>,
    },
    /// A slot is kept for an order.
    SlotReserved {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// Until when the order may be placed.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A slot is sold: its order is paid.
    SlotSold {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// When.
        at: Timestamp,
    },
    /// A slot is available again: its order ended unpaid, or was never placed.
    SlotReleased {
        /// The order.
        order_id: OrderId,
        /// Whose.
        user: UserId,
        /// When.
        at: Timestamp,
    },
}
