//! A bundle (套餐): several courses of one creator at one price. `offered → withdrawn`.
//!
//! It is an offer and no product: an order of it has an ordinary line for each course, at its list price less a discount, so
//! that access, revenue and refunds need know nothing of bundles. The price is divided over the courses by their list
//! prices at the time of the order ([`shares`]). Whoever owns some of them pays for the rest only, at its share.
//!
//! Invariants: an offer never changes; another price is another bundle. A bundle never costs more than its courses do.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use lyceum_kernel::{Aggregate, Class, Coded, Money, MoneyError, Timestamp};
use serde::{Deserialize, Serialize};

use super::allocation::allocate;
use super::order::LINES_MAX;
use super::oversight::Deed;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, UserId};
use crate::text::is_hidden;

#[cfg(test)]
mod tests;

/// The fewest courses of a bundle.
pub const COURSES_MIN: usize = 2;
/// The longest title, characters.
pub const TITLE_CHARS_MAX: usize = 120;

/// One bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Bundle {
    /// Nobody has offered it.
    #[default]
    Absent,
    /// For sale.
    Offered {
        /// What, and for how much.
        offer: Offer,
    },
    /// Not for sale any more.
    Withdrawn {
        /// What was offered.
        offer: Offer,
    },
}

/// What a bundle offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What it is called.
    pub title: Arc<str>,
    /// Whose courses they are.
    pub creator: UserId,
    /// The courses, in the order they are shown in.
    pub course_ids: Vec<CourseId>,
    /// What they cost together.
    pub price: Money,
}

/// What a creator wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Offer it.
    Offer(Offer),
    /// Offer it no more; orders that have been placed are not concerned.
    Withdraw {
        /// Who wants that.
        by: UserId,
        /// The operator's reasons, if it is somebody else's.
        #[serde(default)]
        deed: Option<Deed>,
    },
}

/// What happened to a bundle. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It is for sale.
    Offered {
        /// What, and for how much.
        offer: Offer,
        /// When.
        at: Timestamp,
    },
    /// It is not for sale any more.
    Withdrawn {
        /// Who wanted that.
        by: UserId,
        /// When.
        at: Timestamp,
        /// The operator's reasons, if it is not their own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deed: Option<Deed>,
    },
}

/// Why a bundle refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such bundle.
    #[error("there is no such bundle")]
    NotFound,
    /// It is not offered any more.
    #[error("the bundle is not offered any more")]
    Withdrawn,
    /// Too few courses, too many, or one twice.
    #[error("a bundle has from {COURSES_MIN} to {LINES_MAX} different courses")]
    CoursesInvalid,
    /// A course that cannot be bought, or is somebody else's.
    #[error("a bundle has courses of its creator that are for sale")]
    CourseForeign,
    /// It would cost more than its courses.
    #[error("a bundle costs less than its courses together")]
    PriceInvalid,
    /// Its title is empty, too long, or cannot be seen.
    #[error("a title has from 1 to {TITLE_CHARS_MAX} characters, none of them hidden")]
    TitleInvalid,
    /// The buyer has every course of it.
    #[error("every course of the bundle is owned already")]
    Owned,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.bundle_not_found",
            Refusal::Withdrawn => "commerce.bundle_withdrawn",
            Refusal::CoursesInvalid => "commerce.bundle_courses_invalid",
            Refusal::CourseForeign => "commerce.bundle_course_foreign",
            Refusal::PriceInvalid => "commerce.bundle_price_invalid",
            Refusal::TitleInvalid => "commerce.bundle_title_invalid",
            Refusal::Owned => "commerce.bundle_owned",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::Owned => Class::Conflict,
            Refusal::Withdrawn
            | Refusal::CoursesInvalid
            | Refusal::CourseForeign
            | Refusal::PriceInvalid
            | Refusal::TitleInvalid => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        matches!(self, Refusal::Owned).then_some(Cow::Borrowed("owned"))
    }
}

impl Aggregate for Bundle {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (Bundle::Absent, Command::Offer(offer)) => {
                let offer = offer.checked()?;
                Ok(vec![Event::Offered { offer, at: now }])
            }
            // Redelivered under its id.
            (_, Command::Offer(_)) | (Bundle::Withdrawn { .. }, Command::Withdraw { .. }) => Ok(vec![]),
            (Bundle::Absent, Command::Withdraw { .. }) => Err(Refusal::NotFound.into()),
            (Bundle::Offered { .. }, Command::Withdraw { by, deed }) => Ok(vec![Event::Withdrawn {
                by,
                at: now,
                deed: deed.map(Deed::checked).transpose()?,
            }]),
        }
    }

    fn apply(&mut self, event: &Event) {
        *self = match (std::mem::take(self), event) {
            (_, Event::Offered { offer, .. }) => Bundle::Offered { offer: offer.clone() },
            (Bundle::Offered { offer }, Event::Withdrawn { .. }) => Bundle::Withdrawn { offer },
            // `decide` makes no other pair.
            (unchanged, Event::Withdrawn { .. }) => unchanged,
        };
    }
}

impl Bundle {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            Bundle::Absent => "absent",
            Bundle::Offered { .. } => "offered",
            Bundle::Withdrawn { .. } => "withdrawn",
        }
    }

    /// What it offers, or has offered.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn offer(&self) -> Result<&Offer, Error> {
        match self {
            Bundle::Absent => Err(Refusal::NotFound.into()),
            Bundle::Offered { offer } | Bundle::Withdrawn { offer } => Ok(offer),
        }
    }

    /// What it offers to a buyer.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Withdrawn`].
    pub fn for_sale(&self) -> Result<&Offer, Error> {
        match self {
            Bundle::Withdrawn { .. } => Err(Refusal::Withdrawn.into()),
            Bundle::Absent | Bundle::Offered { .. } => self.offer(),
        }
    }
}

impl Offer {
    fn checked(self) -> Result<Self, Error> {
        let title = self.title.trim();
        let fits = title.chars().count() <= TITLE_CHARS_MAX;
        if title.is_empty() || !fits || title.chars().any(is_hidden) {
            return Err(Refusal::TitleInvalid.into());
        }
        let different: BTreeSet<CourseId> = self.course_ids.iter().copied().collect();
        if !(COURSES_MIN..=LINES_MAX).contains(&self.course_ids.len())
            || different.len() != self.course_ids.len()
        {
            return Err(Refusal::CoursesInvalid.into());
        }
        if self.price.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        let title = title.into();
        Ok(Offer { title, ..self })
    }
}

/// What each course of a bundle costs: its part of the price by list prices, and never more than it costs alone.
///
/// # Errors
/// Currencies differ, or the list prices cannot be added.
pub fn shares(price: Money, list: &[Money]) -> Result<Vec<Money>, MoneyError> {
    let mut whole = Money::zero(price.currency());
    for one in list {
        whole = whole.plus(*one)?;
    }
    // The courses may have become cheaper since the bundle was offered.
    if price.covers(whole) {
        return Ok(list.to_vec());
    }
    allocate(price, list)
}
