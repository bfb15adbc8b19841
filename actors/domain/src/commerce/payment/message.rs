//! What can be asked of a payment, and what can happen to it.

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::refund::{RefundKey, SendOutcome, SendState};
use super::terms::{Next, PayerAction, Purpose, Terms};
use crate::commerce::order::Provider;
use crate::commerce::oversight::{Deed, Intervention};
use crate::ids::PaymentId;

/// What the buyer, the gateway or a callback wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Charge; also again with another token after a decline.
    Start {
        /// The payment itself.
        payment_id: PaymentId,
        /// What it is for.
        purpose: Purpose,
        /// Who charges.
        provider: Provider,
        /// How much.
        amount: Money,
        /// What the provider needs.
        token: String,
        /// The number of the attempt, from 1: it tells a new attempt from a redelivered one.
        attempt: u32,
        /// When the buyer's side gives it up.
        #[serde(default)]
        expires_at: Option<Timestamp>,
    },
    /// Take note of what the provider says.
    Report {
        /// The attempt it speaks of.
        attempt: u32,
        /// The step that asked; `None` for a callback.
        step: Option<u32>,
        /// What it says.
        outcome: ChargeOutcome,
    },
    /// Make sure that nothing is captured any more, or learn that it was.
    Close {
        /// What the payment is for, in case this comes before its start.
        purpose: Purpose,
    },
    /// Return what was captured: the order was paid by another payment.
    GiveBack,
    /// Take the step that is due, now.
    Retry,
    /// Do something about a payment that has not ended, by an operator.
    Intervene {
        /// What.
        action: Intervention,
        /// Who, and why.
        deed: Deed,
    },
    /// Return the money.
    StartRefund {
        /// Which refund.
        refund: RefundKey,
        /// The number of its attempt, from 1.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// Take note of what the provider says about a refund.
    ReportRefund {
        /// Which refund.
        refund: RefundKey,
        /// The attempt it speaks of.
        attempt: u32,
        /// The step that asked; `None` for a callback.
        step: Option<u32>,
        /// What it says.
        outcome: SendOutcome,
    },
}

/// What a provider says about an attempt to charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeOutcome {
    /// Captured.
    Succeeded {
        /// The provider's id of the charge.
        charge_id: String,
        /// How much was captured.
        amount: Money,
    },
    /// Definitely not captured.
    Declined {
        /// Why.
        code: String,
    },
    /// The attempt's key is closed: it is not and will not be captured.
    Closed,
    /// The payer has to do something first.
    ActionRequired {
        /// The provider's id of the attempt, where it has one.
        provider_id: Option<String>,
        /// What.
        action: PayerAction,
    },
    /// The provider has it and works on it.
    Pending {
        /// The provider's id of the attempt, where it has one.
        provider_id: Option<String>,
    },
    /// No answer, or one that says nothing.
    Unknown,
    /// The provider has never seen the attempt's key.
    NeverSeen,
}

/// What happened to a payment. Stored for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An attempt began.
    Started {
        /// What is to be charged.
        terms: Terms,
        /// The first action.
        next: Next,
    },
    /// The next action was chosen because the payment is wanted closed.
    CloseRequested {
        /// The next action.
        next: Next,
    },
    /// An operator did something about it; what followed from it is in the events after this one.
    Intervened {
        /// What.
        action: Intervention,
        /// Who, and why.
        deed: Deed,
        /// When.
        at: Timestamp,
    },
    /// The next action is taken earlier than it was due.
    Rescheduled {
        /// The next action.
        next: Next,
    },
    /// The outcome of an action is unknown.
    BecameUnknown {
        /// The next action.
        next: Next,
    },
    /// The payer was asked to do something.
    ActionRequired {
        /// The provider's id of the attempt, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_id: Option<String>,
        /// What.
        action: PayerAction,
        /// The next action.
        next: Next,
    },
    /// The payer has not acted yet, as far as the provider says.
    Awaited {
        /// The next action.
        next: Next,
    },
    /// The provider works on it.
    Pending {
        /// The provider's id of the attempt, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_id: Option<String>,
        /// The next action.
        next: Next,
    },
    /// The whole amount was captured.
    Succeeded {
        /// The provider's id of the charge.
        charge_id: String,
        /// When we learned of it.
        at: Timestamp,
    },
    /// The provider declined.
    Declined {
        /// Why.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// The payment ended without a capture.
    Cancelled {
        /// What it was for.
        purpose: Purpose,
        /// When.
        at: Timestamp,
    },
    /// The provider captured once more; that money goes back.
    SurplusCaptured {
        /// The number of the surplus, from 0.
        index: u16,
        /// The provider's id of the charge.
        charge_id: String,
        /// The first action of its refund.
        next: Next,
        /// When.
        at: Timestamp,
    },
    /// A refund began, or began again.
    RefundStarted {
        /// Which.
        refund: RefundKey,
        /// The number of its attempt.
        attempt: u32,
        /// How much.
        amount: Money,
        /// The first action.
        next: Next,
    },
    /// A refund moved.
    RefundMoved {
        /// Which.
        refund: RefundKey,
        /// The number of its attempt.
        attempt: u32,
        /// Where to.
        state: SendState,
        /// When.
        at: Timestamp,
    },
}
