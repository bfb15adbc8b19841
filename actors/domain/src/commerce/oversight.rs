//! What operators do about money that is under way: who, why, and what.
//!
//! An intervention is an event like any other, so that the journal tells it in its place. None of them can make a
//! saga succeed: the same step is taken again, the saga is led back the way it would go by itself, or a note is made.

use lyceum_kernel::Money;
use serde::{Deserialize, Serialize};

use super::Error;
use super::order::{Order, Stage};
use crate::ids::UserId;

/// The shortest and the longest reason, in characters, as for everything that operators do.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 3..=500;

/// Who acts, and why; it goes on record as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// The operator.
    pub operator: UserId,
    /// Why.
    pub reason: String,
    /// The node that was asked.
    pub node: String,
}

impl Deed {
    /// Refuses a deed without a reason that somebody can read later.
    ///
    /// # Errors
    /// [`Error::ReasonLength`].
    pub fn checked(self) -> Result<Self, Error> {
        let reason = self.reason.trim().to_owned();
        if !REASON_CHARS.contains(&reason.chars().count()) {
            return Err(Error::ReasonLength);
        }
        Ok(Deed { reason, ..self })
    }
}

/// What an operator does about a saga that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intervention {
    /// The step that is due is taken now.
    Retry,
    /// The saga is led back.
    Compensate,
    /// Nothing is changed: somebody has looked into it, and says what they found.
    Reconcile,
}

impl Intervention {
    /// The name of the action, as the audit log has it.
    pub fn name(self) -> &'static str {
        match self {
            Intervention::Retry => "retry_saga",
            Intervention::Compensate => "compensate_saga",
            Intervention::Reconcile => "reconcile_saga",
        }
    }
}

/// One step of the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// What is done.
    pub step: ReturnStep,
    /// When it is done.
    pub only: Only,
    /// The money it is about.
    pub amount: Money,
}

/// What a step of the way back does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnStep {
    /// The provider is asked to make sure that nothing is captured any more.
    ClosePayment,
    /// The order ends, or the top-up, without money.
    End,
    /// The sale is carried out, since its money has arrived.
    Fulfil,
    /// The money goes to the wallet, since it has arrived.
    Credit,
}

/// Under which condition a step is taken; what the provider has done meanwhile is not known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// In any case.
    Always,
    /// If nothing was captured.
    IfNotCaptured,
    /// If it was captured before it could be closed: money is never kept without what it was for.
    IfCaptured,
}

/// The way back of a payment that is under way, `arrived` being what happens if it turns out to be captured.
pub(super) fn way_back(amount: Money, arrived: ReturnStep) -> Vec<Return> {
    [
        (ReturnStep::ClosePayment, Only::Always),
        (ReturnStep::End, Only::IfNotCaptured),
        (arrived, Only::IfCaptured),
    ]
    .map(|(step, only)| Return { step, only, amount })
    .to_vec()
}

impl Order {
    /// What compensating the order's checkout would do, step by step.
    ///
    /// # Errors
    /// [`Error::WrongState`]: it has ended, or is on its way back.
    pub fn way_back(&self) -> Result<Vec<Return>, Error> {
        match &self.stage {
            Stage::AwaitingPayment { .. } => Ok(way_back(self.placement.total, ReturnStep::Fulfil)),
            Stage::Closing { .. }
            | Stage::Held { .. }
            | Stage::Fulfilled
            | Stage::Unfulfilled
            | Stage::Closed { .. } => Err(Error::wrong_state(self.saga())),
        }
    }
}
