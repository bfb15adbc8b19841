//! A refund at the provider: of a captured payment, or of a surplus capture.
//!
//! `sending ⇄ unknown → succeeded | failed`. As with a charge, the provider key stays after an ambiguous outcome
//! and changes after a definite failure. A failed refund of an order waits for the buyer's saga to ask again; a
//! failed refund of a surplus, which nobody else knows of, is tried again by itself.

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Action, Next};
use crate::ids::{PaymentId, RefundId};

/// Which refund of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundKey {
    /// A refund that the buyer's order knows.
    Order(RefundId),
    /// The return of a surplus capture, counted from 0.
    Surplus(u16),
}

/// Money on its way back through the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderRefund {
    /// Which refund.
    pub key: RefundKey,
    /// The charge whose money goes back.
    pub charge_id: String,
    /// How much.
    pub amount: Money,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// How far it is.
    pub state: SendState,
}

/// How far a refund at the provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// The provider is being asked.
    Sending(Next),
    /// The answer is missing.
    Unknown(Next),
    /// The provider refused.
    Failed,
    /// The money is back.
    Succeeded,
}

impl SendState {
    /// The next action, for the states that have one.
    pub fn next(self) -> Option<Next> {
        match self {
            SendState::Sending(next) | SendState::Unknown(next) => Some(next),
            SendState::Failed | SendState::Succeeded => None,
        }
    }
}

/// What a provider says about a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendOutcome {
    /// The money is back.
    Succeeded,
    /// The provider refused.
    Failed,
    /// No answer, or one that says nothing.
    Unknown,
    /// The provider has never seen the attempt's key.
    NeverSeen,
}

impl ProviderRefund {
    pub(super) fn new(key: RefundKey, charge_id: String, amount: Money, attempt: u32, next: Next) -> Self {
        ProviderRefund {
            key,
            charge_id,
            amount,
            attempt,
            state: SendState::Sending(next),
        }
    }

    /// The idempotency key of the present attempt.
    pub fn provider_key(&self, payment_id: PaymentId) -> String {
        match self.key {
            RefundKey::Order(refund_id) => format!("{refund_id}-{}", self.attempt),
            RefundKey::Surplus(index) => format!("{payment_id}-surplus-{index}-{}", self.attempt),
        }
    }

    /// The attempt and state that a report leads to, or `None` if it says nothing new.
    pub(super) fn reported(
        &self,
        attempt: u32,
        step: Option<u32>,
        outcome: SendOutcome,
        next_step: u32,
        now: Timestamp,
    ) -> Option<(u32, SendState)> {
        if self.state == SendState::Succeeded {
            return None;
        }
        if outcome == SendOutcome::Succeeded {
            return Some((self.attempt, SendState::Succeeded));
        }
        let next = self.state.next().filter(|_| attempt == self.attempt)?;
        match (outcome, self.key) {
            (SendOutcome::Failed, RefundKey::Order(_)) => Some((attempt, SendState::Failed)),
            (SendOutcome::Failed, RefundKey::Surplus(_)) => Some((
                attempt + 1,
                SendState::Sending(next.later(Action::Send, next_step, now)),
            )),
            // What is unsure only counts as the answer to the latest action.
            (SendOutcome::Unknown | SendOutcome::NeverSeen, _) if step != Some(next.step) => None,
            (SendOutcome::Unknown, _) => Some((
                attempt,
                SendState::Unknown(next.later(Action::Query, next_step, now)),
            )),
            (SendOutcome::NeverSeen, _) => Some((
                attempt,
                SendState::Unknown(next.later(Action::Send, next_step, now)),
            )),
            (SendOutcome::Succeeded, _) => None,
        }
    }
}
