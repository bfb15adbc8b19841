//! A group price (拼团): a course for less, for whoever finds enough others within a time. An [`Offering`].
//!
//! Whoever buys at it opens a team or joins one ([`super::team`]), which has the terms of the offering as they were when it was
//! opened. So an offering that is withdrawn opens no further team and leaves alone those that are open.

use std::time::Duration;

use lyceum_kernel::{Class, Coded, Money};
use serde::{Deserialize, Serialize};

use super::offering::{self, Offering};
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, UserId};

/// The fewest members of a team: less is a buyer alone.
pub const SIZE_MIN: u32 = 2;
/// The most members of a team: its state, and what follows from its end, are written as a whole.
pub const SIZE_MAX: u32 = 50;
/// The longest time of a team: so long is the money of its members kept without a course.
pub const LASTS_MAX: Duration = Duration::from_hours(30 * 24);

/// One group price.
pub type Group = Offering<GroupOffer>;
/// What a creator wants to happen.
pub type Command = offering::Command<GroupOffer>;
/// What happened to a group price.
pub type Event = offering::Event<GroupOffer>;

/// What is offered to teams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOffer {
    /// What is sold.
    pub course_id: CourseId,
    /// Whose course it is.
    pub creator: UserId,
    /// What each member pays.
    pub price: Money,
    /// How many members a team has, exactly.
    pub size: u32,
    /// How many seconds a team has to find them.
    pub lasts_s: u32,
}

/// Why a group price refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such group price.
    #[error("there is no such group price")]
    NotFound,
    /// It opens no team any more.
    #[error("the group price is not offered any more")]
    Withdrawn,
    /// Its teams would be too small or too large.
    #[error("a team has from {SIZE_MIN} to {SIZE_MAX} members")]
    SizeInvalid,
    /// Its teams would have no time, or too much of it.
    #[error("the time of a team is too short or too long")]
    TimeInvalid,
    /// It costs nothing, or as much as the course costs anyway.
    #[error("a group price is below the list price of the course, and more than nothing")]
    PriceInvalid,
    /// It is of another course.
    #[error("the group price is of another course")]
    OtherCourse,
    /// It would be of somebody else's course.
    #[error("a group price is of a course of whoever offers it")]
    CourseForeign,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.group_not_found",
            Refusal::Withdrawn => "commerce.group_withdrawn",
            Refusal::SizeInvalid => "commerce.group_size_invalid",
            Refusal::TimeInvalid => "commerce.group_time_invalid",
            Refusal::PriceInvalid => "commerce.group_price_invalid",
            Refusal::OtherCourse => "commerce.group_of_another_course",
            Refusal::CourseForeign => "commerce.group_course_foreign",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::Withdrawn
            | Refusal::SizeInvalid
            | Refusal::TimeInvalid
            | Refusal::PriceInvalid
            | Refusal::OtherCourse
            | Refusal::CourseForeign => Class::Unprocessable,
        }
    }
}

impl offering::Terms for GroupOffer {
    fn checked(self) -> Result<Self, Error> {
        if self.price.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        // What costs nothing is had without others.
        if self.price.is_zero() {
            return Err(Refusal::PriceInvalid.into());
        }
        if !(SIZE_MIN..=SIZE_MAX).contains(&self.size) {
            return Err(Refusal::SizeInvalid.into());
        }
        if self.lasts_s == 0 || self.lasts() > LASTS_MAX {
            return Err(Refusal::TimeInvalid.into());
        }
        Ok(self)
    }

    fn not_found() -> Error {
        Refusal::NotFound.into()
    }

    fn withdrawn() -> Error {
        Refusal::Withdrawn.into()
    }
}

impl GroupOffer {
    /// How long a team has to find its members.
    pub fn lasts(&self) -> Duration {
        Duration::from_secs(self.lasts_s.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lyceum_kernel::{Aggregate, Currency, Timestamp};

    use super::*;

    fn offer() -> GroupOffer {
        GroupOffer {
            course_id: CourseId::from_u128(7),
            creator: UserId::from_u128(9),
            price: Money::new(9_900, Currency::CNY).unwrap(),
            size: 3,
            lasts_s: 3_600,
        }
    }

    #[test]
    fn offers_that_make_no_sense_are_refused() {
        let refusal = |change: fn(&mut GroupOffer)| {
            let mut offer = offer();
            change(&mut offer);
            Group::default()
                .decide(Command::Offer(offer), Timestamp::EPOCH)
                .err()
        };

        assert_eq!(refusal(|_| {}), None);
        assert_eq!(refusal(|offer| offer.size = 1), Some(Refusal::SizeInvalid.into()));
        assert_eq!(
            refusal(|offer| offer.size = SIZE_MAX + 1),
            Some(Refusal::SizeInvalid.into())
        );
        assert_eq!(
            refusal(|offer| offer.lasts_s = 0),
            Some(Refusal::TimeInvalid.into())
        );
        assert_eq!(
            refusal(|offer| offer.lasts_s = 30 * 24 * 3_600 + 1),
            Some(Refusal::TimeInvalid.into())
        );
        assert_eq!(
            refusal(|offer| offer.price = Money::zero(Currency::CNY)),
            Some(Refusal::PriceInvalid.into())
        );
        assert_eq!(
            refusal(|offer| offer.price = Money::new(1, Currency::USD).unwrap()),
            Some(Error::CurrencyUnsupported)
        );
    }

    #[test]
    fn codes_of_refusals_are_unique_and_belong_to_commerce() {
        let refusals = [
            Refusal::NotFound,
            Refusal::Withdrawn,
            Refusal::SizeInvalid,
            Refusal::TimeInvalid,
            Refusal::PriceInvalid,
            Refusal::OtherCourse,
            Refusal::CourseForeign,
        ];

        let codes: BTreeSet<_> = refusals.iter().map(Coded::code).collect();

        assert_eq!(codes.len(), refusals.len());
        assert!(codes.iter().all(|code| code.starts_with("commerce.group_")));
    }
}
