//! Why a team gives no place.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

/// Why a team refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such team.
    #[error("there is no such team")]
    NotFound,
    /// It buys something else.
    #[error("the team buys another course")]
    OtherCourse,
    /// Every place is paid or reserved; a reserved one may come back.
    #[error("every place of the team is taken")]
    Full,
    /// It is complete.
    #[error("the team is complete")]
    Succeeded,
    /// Its time is over.
    #[error("the time of the team is over")]
    Failed,
    /// The buyer has a place whose order is not paid yet, or was just given up.
    #[error("the buyer has a place in the team whose order is not settled")]
    PlaceReserved,
    /// The buyer is a member.
    #[error("the buyer has paid a place in the team")]
    PlacePaid,
    /// The order has something else in it.
    #[error("an order in a team is of its course alone, and neither a gift nor with a coupon")]
    NotAlone,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.team_not_found",
            Refusal::OtherCourse => "commerce.team_of_another_course",
            Refusal::Full => "commerce.team_full",
            Refusal::Succeeded => "commerce.team_succeeded",
            Refusal::Failed => "commerce.team_failed",
            Refusal::PlaceReserved => "commerce.team_place_reserved",
            Refusal::PlacePaid => "commerce.team_place_paid",
            Refusal::NotAlone => "commerce.team_order_not_alone",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::Full
            | Refusal::Succeeded
            | Refusal::Failed
            | Refusal::PlaceReserved
            | Refusal::PlacePaid => Class::Conflict,
            Refusal::OtherCourse | Refusal::NotAlone => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        let state = match self {
            Refusal::Full => "full",
            Refusal::Succeeded => "succeeded",
            Refusal::Failed => "failed",
            Refusal::PlaceReserved => "reserved",
            Refusal::PlacePaid => "paid",
            Refusal::NotFound | Refusal::OtherCourse | Refusal::NotAlone => return None,
        };
        Some(Cow::Borrowed(state))
    }
}
