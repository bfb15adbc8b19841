//! How far a membership is, what was paid, and what is due.

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::EndReason;
use crate::ids::OrderId;

/// How far a membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The first period is not paid yet.
    Pending,
    /// Paid until `end`.
    Active {
        /// When the last period ends.
        end: Timestamp,
        /// Whether another follows.
        renews: bool,
    },
    /// The last period is over and the next is not paid yet.
    PastDue {
        /// When the last period ended.
        end: Timestamp,
        /// How often it was tried.
        failures: u32,
    },
    /// The time stands still.
    Paused {
        /// Since when.
        since: Timestamp,
        /// What is left of what was paid, milliseconds.
        left_ms: u64,
        /// Whether another period follows.
        renews: bool,
        /// When it goes on by itself.
        until: Timestamp,
    },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
}

impl Stage {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Pending => "pending",
            Stage::Active { .. } => "active",
            Stage::PastDue { .. } => "past_due",
            Stage::Paused { .. } => "paused",
            Stage::Ended { .. } => "ended",
        }
    }
}

/// A period that an order has paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The order.
    pub order_id: OrderId,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, which is not in it.
    pub to: Timestamp,
    /// When its money went back, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

/// An order that is to pay a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The order.
    pub order_id: OrderId,
    /// When it was decided.
    pub at: Timestamp,
    /// Until when it may be placed.
    pub until: Timestamp,
    /// Whether a period came before it.
    pub renewal: bool,
}

/// What the clock does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// What.
    pub action: Action,
    /// When.
    pub at: Timestamp,
}

/// Something that the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Have the next period paid.
    Renew,
    /// End it.
    End,
    /// Let it go on.
    Resume,
}
