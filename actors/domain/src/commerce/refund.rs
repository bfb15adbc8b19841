//! A refund of an order: `requested → approved → processing → succeeded | failed | unknown`;
//! `failed → processing`; `unknown → succeeded | failed`.
//!
//! A refund inside the refund window is approved as it is requested, so the first two states never rest. A refund
//! to the wallet succeeds in the same decision; one through a provider is `processing` until the payment reports.
//! A failed refund is tried again by itself: money that is owed is never given up.

use std::time::Duration;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::ids::RefundId;

/// The wait before each new try of a failed refund; the last one repeats.
const RETRY_AFTER: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
];

/// Money on its way back to the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub refund_id: RefundId,
    /// How much: the whole of the order.
    pub amount: Money,
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
            RefundState::Processing => "processing",
            RefundState::Unknown => "unknown",
            RefundState::Failed { .. } => "failed",
            RefundState::Succeeded => "succeeded",
        }
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
            RefundState::Unknown | RefundState::Succeeded => Err(Error::wrong_state(self.state.name())),
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
            reason: String::new(),
            requested_at: Timestamp::EPOCH,
            attempt: 2,
            state,
        }
    }

    #[test]
    fn every_state_answers_every_report_as_the_machine_says() {
        use RefundOutcome as Outcome;
        use RefundState::{Failed, Processing, Succeeded, Unknown};
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
        for state in [RefundState::Unknown, RefundState::Succeeded] {
            assert_eq!(refund(state).retried(), Err(Error::wrong_state(state.name())));
        }
    }
}
