//! A bundle (套餐): several courses of one creator at one price, an [`Offering`].
//!
//! It is an offer and no product: an order of it has an ordinary line for each course, at its list price less a discount, so
//! that access, revenue and refunds need know nothing of bundles. The price is divided over the courses by their list
//! prices at the time of the order ([`shares`]). Whoever owns some of them pays for the rest only, at its share.
//!
//! Invariant: a bundle never costs more than its courses do.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use lyceum_kernel::{Class, Coded, Money, MoneyError};
use serde::{Deserialize, Serialize};

use super::allocation::allocate;
use super::offering::{self, Offering, TITLE_CHARS_MAX};
use super::order::LINES_MAX;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, UserId};

#[cfg(test)]
mod tests;

/// The fewest courses of a bundle.
pub const COURSES_MIN: usize = 2;

/// One bundle.
pub type Bundle = Offering<Offer>;
/// What a creator wants to happen.
pub type Command = offering::Command<Offer>;
/// What happened to a bundle.
pub type Event = offering::Event<Offer>;

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

impl offering::Terms for Offer {
    fn checked(self) -> Result<Self, Error> {
        let title = offering::title(&self.title).ok_or(Refusal::TitleInvalid)?;
        let different: BTreeSet<CourseId> = self.course_ids.iter().copied().collect();
        if !(COURSES_MIN..=LINES_MAX).contains(&self.course_ids.len())
            || different.len() != self.course_ids.len()
        {
            return Err(Refusal::CoursesInvalid.into());
        }
        if self.price.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        Ok(Offer { title, ..self })
    }

    fn not_found() -> Error {
        Refusal::NotFound.into()
    }

    fn withdrawn() -> Error {
        Refusal::Withdrawn.into()
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
