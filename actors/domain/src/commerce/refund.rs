//! A refund of an order: `requested → approved | rejected | cancelled`; `approved → processing → succeeded | failed | unknown`;
//! `failed → processing`; `unknown → succeeded | failed`.
//!
//! A refund that is small enough is approved as it is requested, a larger one waits for an operator; `approved` itself never
//! rests. A refund to the wallet succeeds in the decision that approves it; one through a provider is `processing` until the
//! payment reports. A failed refund is tried again by itself: money that is owed is never given up.
//!
//! From its request on a refund holds its amount, line by line, until it is rejected or cancelled. So whatever is decided, and in
//! whatever order, all refunds of an order together never exceed what it cost.

use std::time::Duration;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use super::oversight::Deed;
use crate::ids::{CourseId, RefundId, UserId};

#[cfg(test)]
mod approval_test;
mod split;
#[cfg(test)]
mod split_test;

pub use split::{LineBack, Preview, Wanted};

/// How many refunds one order may have, in whatever state: each is kept with the order, and a line is seldom returned in pieces.
pub const REFUNDS_MAX: usize = 50;

/// The wait before each new try of a failed refund; the last one repeats.
const RETRY_AFTER: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
];

/// What a refund is to return, and whereto; agreed as it is requested, it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundTerms {
    /// How much: the sum of the parts.
    pub amount: Money,
    /// How much of which line.
    pub parts: Vec<Part>,
    /// Where the money goes.
    #[serde(default)]
    pub destination: Destination,
    /// Who asked for it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<UserId>,
    /// Whether an operator has to approve it first.
    #[serde(default)]
    pub awaits_approval: bool,
}

/// What a refund returns of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The course on the line.
    pub course_id: CourseId,
    /// How much of what the line cost.
    pub amount: Money,
}

/// Where the money of a refund goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Back the way it came.
    #[default]
    Original,
    /// To the buyer's wallet.
    Wallet,
}

/// Money on its way back to the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// How much of which line.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Where the money goes.
    #[serde(default)]
    pub destination: Destination,
    /// Who asked for it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<UserId>,
    /// The operator who decided about it, where one had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checker: Option<Deed>,
    /// Why, in the words of whoever asked.
    pub reason: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The number of the provider attempt, from 1.
    pub attempt: u32,
    /// How far it is.
    pub state: RefundState,
}

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// An operator has to decide about it.
    Requested,
    /// An operator has decided against it.
    Rejected,
    /// Whoever asked for it has taken that back.
    Cancelled,
    /// The payment is being asked to return the money.
    Processing,
    /// The provider's answer is missing; the payment finds out.
    Unknown,
    /// The provider refused; it is asked again at this time.
    Failed {
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// The money is back.
    Succeeded,
}

impl RefundState {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            RefundState::Requested => "requested",
            RefundState::Rejected => "rejected",
            RefundState::Cancelled => "cancelled",
            RefundState::Processing => "processing",
            RefundState::Unknown => "unknown",
            RefundState::Failed { .. } => "failed",
            RefundState::Succeeded => "succeeded",
        }
    }

    /// Whether it is approved and its money is not back yet.
    pub fn is_under_way(self) -> bool {
        match self {
            RefundState::Processing | RefundState::Unknown | RefundState::Failed { .. } => true,
            RefundState::Requested
            | RefundState::Rejected
            | RefundState::Cancelled
            | RefundState::Succeeded => false,
        }
    }

    /// Whether its amount is spoken for.
    pub fn holds(self) -> bool {
        !matches!(self, RefundState::Rejected | RefundState::Cancelled)
    }
}

/// What a provider attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundOutcome {
    /// The money is back.
    Succeeded,
    /// The provider refused.
    Failed,
    /// Nobody knows yet.
    Unknown,
}

impl Refund {
    /// What was agreed.
    pub fn terms(&self) -> RefundTerms {
        RefundTerms {
            amount: self.amount,
            parts: self.parts.clone(),
            destination: self.destination,
            requester: self.requester,
            awaits_approval: self.state == RefundState::Requested,
        }
    }

    /// The state that a report about `attempt` leads to, or `None` if it says nothing new.
    pub(super) fn reported(
        &self,
        attempt: u32,
        outcome: RefundOutcome,
        now: Timestamp,
    ) -> Option<RefundState> {
        // Success is a fact whichever attempt it belongs to; anything else only counts for the current one.
        if outcome != RefundOutcome::Succeeded && attempt != self.attempt {
            return None;
        }
        match (self.state, outcome) {
            // Nothing was ever asked of a provider.
            (RefundState::Requested | RefundState::Rejected | RefundState::Cancelled, _) => None,
            (RefundState::Succeeded, _) => None,
            (_, RefundOutcome::Succeeded) => Some(RefundState::Succeeded),
            (RefundState::Processing, RefundOutcome::Unknown) => Some(RefundState::Unknown),
            (RefundState::Processing | RefundState::Unknown, RefundOutcome::Failed) => {
                Some(RefundState::Failed {
                    retry_at: now.plus(self.retry_after()),
                })
            }
            (RefundState::Unknown | RefundState::Failed { .. }, RefundOutcome::Unknown)
            | (RefundState::Failed { .. }, RefundOutcome::Failed) => None,
        }
    }

    /// Whether a failed refund may be tried again; `Ok(false)` if it is being tried.
    pub(super) fn retried(&self) -> Result<bool, Error> {
        match self.state {
            RefundState::Failed { .. } => Ok(true),
            RefundState::Processing => Ok(false),
            RefundState::Requested
            | RefundState::Rejected
            | RefundState::Cancelled
            | RefundState::Unknown
            | RefundState::Succeeded => Err(Error::wrong_state(self.state.name())),
        }
    }

    fn retry_after(&self) -> Duration {
        let index = usize::try_from(self.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        RETRY_AFTER[index.min(RETRY_AFTER.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(state: RefundState) -> Refund {
        Refund {
            refund_id: RefundId::from_u128(1),
            amount: Money::default(),
            parts: vec![],
            destination: Destination::Original,
            requester: None,
            checker: None,
            reason: String::new(),
            requested_at: Timestamp::EPOCH,
            attempt: 2,
            state,
        }
    }

    #[test]
    fn every_state_answers_every_report_as_the_machine_says() {
        use RefundOutcome as Outcome;
        use RefundState::{Cancelled, Failed, Processing, Rejected, Requested, Succeeded, Unknown};
        let failed = Failed {
            retry_at: Timestamp::EPOCH.plus(RETRY_AFTER[1]),
        };

        for (state, outcome, next) in [
            (Processing, Outcome::Succeeded, Some(Succeeded)),
            (Processing, Outcome::Failed, Some(failed)),
            (Processing, Outcome::Unknown, Some(Unknown)),
            (Unknown, Outcome::Succeeded, Some(Succeeded)),
            (Unknown, Outcome::Failed, Some(failed)),
            (Unknown, Outcome::Unknown, None),
            (failed, Outcome::Succeeded, Some(Succeeded)),
            (failed, Outcome::Failed, None),
            (failed, Outcome::Unknown, None),
            (Succeeded, Outcome::Succeeded, None),
            (Succeeded, Outcome::Failed, None),
            (Succeeded, Outcome::Unknown, None),
        ] {
            assert_eq!(
                refund(state).reported(2, outcome, Timestamp::EPOCH),
                next,
                "{state:?} {outcome:?}"
            );
        }
        for state in [Requested, Rejected, Cancelled] {
            for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Unknown] {
                assert_eq!(refund(state).reported(2, outcome, Timestamp::EPOCH), None);
            }
        }
    }

    #[test]
    fn only_success_is_heard_from_another_attempt() {
        let refund = refund(RefundState::Processing);

        assert_eq!(refund.reported(1, RefundOutcome::Failed, Timestamp::EPOCH), None);
        assert_eq!(refund.reported(1, RefundOutcome::Unknown, Timestamp::EPOCH), None);
        assert_eq!(
            refund.reported(1, RefundOutcome::Succeeded, Timestamp::EPOCH),
            Some(RefundState::Succeeded)
        );
    }

    #[test]
    fn only_a_failed_refund_is_tried_again() {
        assert_eq!(
            refund(RefundState::Failed {
                retry_at: Timestamp::EPOCH
            })
            .retried(),
            Ok(true)
        );
        assert_eq!(refund(RefundState::Processing).retried(), Ok(false));
        for state in [
            RefundState::Requested,
            RefundState::Rejected,
            RefundState::Cancelled,
            RefundState::Unknown,
            RefundState::Succeeded,
        ] {
            assert_eq!(refund(state).retried(), Err(Error::wrong_state(state.name())));
        }
    }

    #[test]
    fn what_was_stored_before_refunds_had_parts_is_read() {
        let stored = r#"{"refund_id":"ref_00000000000000000000000001","amount":{"amount":5,"currency":"CNY"},
            "reason":"r","requested_at":"1970-01-01T00:00:00.000Z","attempt":1,"state":"processing"}"#;

        let read: Refund = serde_json::from_str(stored).unwrap();

        assert_eq!((read.parts, read.destination), (vec![], Destination::Original));
    }
}
