//! Why nothing is paid out.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

use super::HOLDS_MAX;
use crate::commerce::SETTLEMENT_CURRENCY;

/// Why a creator's payouts refuse a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The creator has no such payout.
    #[error("there is no such payout")]
    PayoutNotFound,
    /// Nobody knows whereto.
    #[error("choose a payout method first")]
    MethodRequired,
    /// The account cannot be named so, or the provider pays nobody.
    #[error("the provider pays nobody, or its account token is not 8 to 256 visible ASCII characters")]
    MethodInvalid,
    /// It is less than is paid out at once.
    #[error("the amount, or what is available, is less than the least that is paid out at once")]
    BelowMinimum,
    /// It is more than may be paid out.
    #[error("the amount is more than what is available")]
    ExceedsAvailable,
    /// Another payout is under way.
    #[error("another payout is under way")]
    UnderWay,
    /// Something stands against payouts.
    #[error("payouts are held")]
    Held,
    /// Nothing of this name stands against payouts.
    #[error("nothing is held")]
    NotHeld,
    /// Too much stands against payouts.
    #[error("there are {HOLDS_MAX} holds already")]
    TooManyHolds,
    /// The amount is zero or of another currency.
    #[error("an amount of {SETTLEMENT_CURRENCY} above zero is needed")]
    AmountInvalid,
    /// The reason is too short or too long.
    #[error("a reason has from 3 to 500 characters")]
    ReasonLength,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::PayoutNotFound => "commerce.payout_not_found",
            Refusal::MethodRequired => "commerce.payout_method_required",
            Refusal::MethodInvalid => "commerce.payout_method_invalid",
            Refusal::BelowMinimum => "commerce.payout_below_minimum",
            Refusal::ExceedsAvailable => "commerce.payout_exceeds_available",
            Refusal::UnderWay => "commerce.payout_under_way",
            Refusal::Held => "commerce.payouts_held",
            Refusal::NotHeld => "commerce.payouts_not_held",
            Refusal::TooManyHolds => "commerce.payouts_too_many_holds",
            Refusal::AmountInvalid => "commerce.payout_amount_invalid",
            Refusal::ReasonLength => "commerce.payout_reason_length",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::PayoutNotFound => Class::NotFound,
            Refusal::ExceedsAvailable | Refusal::UnderWay | Refusal::Held | Refusal::NotHeld => {
                Class::Conflict
            }
            Refusal::MethodRequired
            | Refusal::MethodInvalid
            | Refusal::BelowMinimum
            | Refusal::TooManyHolds
            | Refusal::AmountInvalid
            | Refusal::ReasonLength => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::UnderWay => Some(Cow::Borrowed("processing")),
            Refusal::Held => Some(Cow::Borrowed("held")),
            Refusal::NotHeld | Refusal::ExceedsAvailable => Some(Cow::Borrowed("available")),
            _ => None,
        }
    }
}
