//! The parts of a payment's state: what is charged, how far it is, and what is done next.

use std::time::Duration;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::commerce::order::Provider;
use crate::ids::{OrderId, PaymentId};

/// The pauses between questions about an unknown outcome; the last one repeats.
const ASK_AGAIN_AFTER: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];

/// What a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// An order.
    Order(OrderId),
    /// Money for the wallet.
    TopUp,
}

/// How a payment ended, for the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The whole amount was captured.
    Succeeded,
    /// The provider declined.
    Declined {
        /// The provider's decline code.
        code: String,
    },
    /// Nothing was and nothing will be captured.
    Closed,
}

/// What is to be charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The payment itself, which the provider knows as the reference.
    pub payment_id: PaymentId,
    /// What it is for.
    pub purpose: Purpose,
    /// Who charges.
    pub provider: Provider,
    /// How much.
    pub amount: Money,
    /// What the provider needs to charge.
    pub token: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When the buyer's side gives it up: a provider that can be told is told, so that nothing is paid later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What the payer has to do before the provider charges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PayerAction {
    /// Open a page of the provider, or of the payer's bank.
    Redirect {
        /// Its address.
        url: String,
    },
    /// Scan a QR code with the provider's app.
    QrCode {
        /// What the code says.
        url: String,
    },
    /// Go on in the provider's app, or with its library.
    App {
        /// What the app or the library is called with.
        parameters: String,
    },
}

impl Terms {
    /// The idempotency key of the present attempt.
    pub fn provider_key(&self) -> String {
        format!("{}-{}", self.payment_id, self.attempt)
    }
}

/// How far a payment is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has asked for it yet.
    #[default]
    Absent,
    /// An attempt is under way.
    Processing(Next),
    /// The payer has to do something; the provider is asked whether they have.
    RequiresAction {
        /// What is done next.
        next: Next,
        /// What the payer has to do.
        action: PayerAction,
    },
    /// The answer to the attempt is missing.
    Unknown(Next),
    /// Captured.
    Succeeded {
        /// The provider's id of the charge.
        charge_id: String,
    },
    /// Captured although another payment had paid the order; the money goes back.
    Surplus {
        /// The provider's id of the charge.
        charge_id: String,
    },
    /// Definitely not captured; another token may be tried.
    Declined {
        /// The provider's decline code.
        code: String,
    },
    /// Closed without a capture.
    Cancelled,
}

impl State {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            State::Absent => "requires_payment",
            State::Processing(_) => "processing",
            State::RequiresAction { .. } => "requires_action",
            State::Unknown(_) => "unknown",
            State::Succeeded { .. } => "succeeded",
            State::Surplus { .. } => "surplus",
            State::Declined { .. } => "declined",
            State::Cancelled => "cancelled",
        }
    }

    /// The next action, for the states that have one.
    pub fn next(&self) -> Option<Next> {
        match self {
            State::Processing(next) | State::Unknown(next) | State::RequiresAction { next, .. } => {
                Some(*next)
            }
            State::Absent
            | State::Succeeded { .. }
            | State::Surplus { .. }
            | State::Declined { .. }
            | State::Cancelled => None,
        }
    }

    /// What the payer has to do, if it is their turn.
    pub fn payer_action(&self) -> Option<&PayerAction> {
        match self {
            State::RequiresAction { action, .. } => Some(action),
            State::Absent
            | State::Processing(_)
            | State::Unknown(_)
            | State::Succeeded { .. }
            | State::Surplus { .. }
            | State::Declined { .. }
            | State::Cancelled => None,
        }
    }
}

/// What is to be done next, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// What.
    pub action: Action,
    /// When, at the earliest.
    pub due_at: Timestamp,
    /// The number of this step of the payment.
    pub step: u32,
    /// How often the outcome was unknown in a row.
    pub tries: u32,
}

/// A call to the provider; each may be repeated without harm, because it carries the attempt's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Charge, or send a refund.
    Send,
    /// Ask what became of it.
    Query,
    /// Make sure that it is never charged any more.
    Close,
}

impl Action {
    /// The name of the action.
    pub fn name(self) -> &'static str {
        match self {
            Action::Send => "send",
            Action::Query => "query",
            Action::Close => "close",
        }
    }
}

impl Next {
    /// The step after this one that takes `action` after a pause that grows with the tries.
    pub(super) fn later(self, action: Action, step: u32, now: Timestamp) -> Self {
        let index = usize::try_from(self.tries).unwrap_or(usize::MAX);
        let pause = ASK_AGAIN_AFTER[index.min(ASK_AGAIN_AFTER.len() - 1)];
        Next {
            action,
            due_at: now.plus(pause),
            step,
            tries: self.tries.saturating_add(1),
        }
    }
}
