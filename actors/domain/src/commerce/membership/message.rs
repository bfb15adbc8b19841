//! What can be asked of a membership, what can happen to it, and why it refuses.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded, Timestamp};
use serde::{Deserialize, Serialize};

use super::Terms;
use crate::commerce::reservation::Outcome;
use crate::ids::{OrderId, UserId};

/// What a member, their buyer or a timer wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Join; whoever asks then places the order that pays the first period.
    Join {
        /// What was agreed.
        terms: Box<Terms>,
        /// Who.
        user: UserId,
        /// The order, drawn at the edge.
        order_id: OrderId,
        /// Until when it may be placed.
        until: Timestamp,
    },
    /// Take note of what became of the order that was to pay a period.
    Settle {
        /// The order.
        order_id: OrderId,
        /// What became of it.
        outcome: Outcome,
    },
    /// Take note that the money of a period has gone back.
    Remove {
        /// The order that had paid it.
        order_id: OrderId,
    },
    /// Do what is due, by a timer.
    Act {
        /// Which timer; a later one replaces it.
        step: u32,
        /// An order for the next period, should one be due.
        order_id: OrderId,
        /// Until when it may be placed.
        until: Timestamp,
    },
    /// Let no other period follow.
    Cancel,
    /// Let the time stand still.
    Pause,
    /// Let it go on, or let another period follow after all.
    Resume,
}

/// What happened to a membership. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Somebody wants to be a member; the order of the first period is about to be placed.
    Joined {
        /// What was agreed.
        terms: Box<Terms>,
        /// Who.
        user: UserId,
        /// The order.
        order_id: OrderId,
        /// Until when it may be placed.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The next period is to be paid.
    ChargeBegun {
        /// The order that is to pay it.
        order_id: OrderId,
        /// Until when it may be placed.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// An order ended without paying its period.
    ChargeFailed {
        /// The order.
        order_id: OrderId,
        /// When.
        at: Timestamp,
    },
    /// An order has paid a period.
    PeriodAdded {
        /// The order.
        order_id: OrderId,
        /// The beginning of the period.
        from: Timestamp,
        /// Its end, which is not in it.
        to: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The money of a period has gone back.
    PeriodRemoved {
        /// The order that had paid it.
        order_id: OrderId,
        /// When.
        at: Timestamp,
    },
    /// No other period is to follow.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// Another period is to follow after all.
    Kept {
        /// When.
        at: Timestamp,
    },
    /// The time stands still.
    Paused {
        /// What is left of what was paid, milliseconds.
        left_ms: u64,
        /// When it goes on by itself.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The time goes on.
    Resumed {
        /// When what was paid ends now.
        end: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
}

/// Why a membership is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The first period was never paid.
    NeverPaid,
    /// The member cancelled.
    Cancelled,
    /// A renewal was not paid until the grace was over.
    Unpaid,
    /// The money of its last period has gone back.
    Refunded,
}

impl EndReason {
    /// The name of the reason.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::NeverPaid => "never_paid",
            EndReason::Cancelled => "cancelled",
            EndReason::Unpaid => "unpaid",
            EndReason::Refunded => "refunded",
        }
    }
}

/// Why a membership refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such membership, or it is somebody else's.
    #[error("there is no such membership")]
    NotFound,
    /// The caller is a member already, or about to be.
    #[error("there is a membership of this plan already")]
    AlreadyMember {
        /// The state that it is in.
        state: Cow<'static, str>,
    },
    /// The way to pay needs somebody to be there.
    #[error(
        "a membership is renewed while nobody is there: it is paid from the wallet or by a saved way to pay"
    )]
    MethodCannotRenew,
    /// It was paused as often as it may be until the next period is paid.
    #[error("a membership is paused twice at most until the next period is paid")]
    PausesUsed,
    /// The pauses before a renewal is tried again make no sense.
    #[error("retries grow, and end before the grace does")]
    DunningInvalid,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.membership_not_found",
            Refusal::AlreadyMember { .. } => "commerce.already_member",
            Refusal::MethodCannotRenew => "commerce.method_cannot_renew",
            Refusal::PausesUsed => "commerce.membership_pauses_used",
            Refusal::DunningInvalid => "commerce.dunning_invalid",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::AlreadyMember { .. } | Refusal::PausesUsed => Class::Conflict,
            Refusal::MethodCannotRenew | Refusal::DunningInvalid => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::AlreadyMember { state } => Some(state.clone()),
            _ => None,
        }
    }
}
