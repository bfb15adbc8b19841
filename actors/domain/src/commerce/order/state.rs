//! The states of the order machine as people see them, and why an order ended without payment.

use serde::{Deserialize, Serialize};

/// The states of the order machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the documentation of the machine above")]
pub enum OrderState {
    Pending,
    Paid,
    Fulfilled,
    FulfilFailed,
    Refunding,
    Refunded,
    PartiallyRefunded,
    Cancelled,
    Expired,
}

impl OrderState {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            OrderState::Pending => "pending",
            OrderState::Paid => "paid",
            OrderState::Fulfilled => "fulfilled",
            OrderState::FulfilFailed => "fulfil_failed",
            OrderState::Refunding => "refunding",
            OrderState::Refunded => "refunded",
            OrderState::PartiallyRefunded => "partially_refunded",
            OrderState::Cancelled => "cancelled",
            OrderState::Expired => "expired",
        }
    }
}

/// Why an order ended without being paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The buyer cancelled.
    Cancelled,
    /// The payment took too long.
    Expired,
    /// The provider declined.
    PaymentDeclined,
}

impl CloseReason {
    /// The name of the reason.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Cancelled => "cancelled",
            CloseReason::Expired => "expired",
            CloseReason::PaymentDeclined => "payment_declined",
        }
    }

    pub(super) fn state(self) -> OrderState {
        match self {
            CloseReason::Cancelled | CloseReason::PaymentDeclined => OrderState::Cancelled,
            CloseReason::Expired => OrderState::Expired,
        }
    }
}
