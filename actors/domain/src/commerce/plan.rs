//! A membership plan (会员): what a member may study, for a price that is paid for each month or year.
//!
//! A plan is an [`Offering`]: another price, or more courses, is another plan. Whoever joins has its terms frozen into their
//! membership ([`super::membership`]), so a withdrawn plan takes nobody in and changes nothing for its members.

use std::collections::BTreeSet;
use std::sync::Arc;

use lyceum_kernel::{Class, Coded, Money};
use serde::{Deserialize, Serialize};

use super::coupon::Issuer;
use super::offering::{self, Offering, TITLE_CHARS_MAX};
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, UserId};

#[cfg(test)]
mod tests;

/// The most courses that a plan names one by one; more are a plan of everything.
pub const COURSES_MAX: usize = 100;

/// One plan.
pub type Plan = Offering<PlanOffer>;
/// What a creator or an operator wants to happen.
pub type Command = offering::Command<PlanOffer>;
/// What happened to a plan.
pub type Event = offering::Event<PlanOffer>;

/// What a plan offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOffer {
    /// What it is called.
    pub title: Arc<str>,
    /// Whose plan it is.
    pub issuer: Issuer,
    /// Who offered it.
    pub by: UserId,
    /// What a period costs.
    pub price: Money,
    /// How long a period is.
    pub every: Every,
    /// What members may study.
    pub opens: Opens,
}

/// How long a period of a membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// A calendar month.
    Month,
    /// Twelve of them.
    Year,
}

impl Every {
    /// The name of the length.
    pub fn name(self) -> &'static str {
        match self {
            Every::Month => "month",
            Every::Year => "year",
        }
    }

    /// How many calendar months it is.
    pub fn months(self) -> u32 {
        match self {
            Every::Month => 1,
            Every::Year => 12,
        }
    }
}

/// What a member may study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opens {
    /// Every course of the plan's creator, or of everybody if the plan is the platform's; those of later as well.
    Everything,
    /// These courses.
    Courses(BTreeSet<CourseId>),
}

impl Opens {
    /// Whether a course of this creator is opened by a plan of this issuer.
    pub fn covers(&self, issuer: Issuer, course_id: CourseId, creator: UserId) -> bool {
        match (self, issuer) {
            (Opens::Everything, Issuer::Platform) => true,
            (Opens::Everything, Issuer::Creator(issuer)) => issuer == creator,
            (Opens::Courses(courses), _) => courses.contains(&course_id),
        }
    }
}

/// Why a plan refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such plan.
    #[error("there is no such membership plan")]
    NotFound,
    /// It takes nobody in any more.
    #[error("the membership plan is not offered any more")]
    Withdrawn,
    /// It names no course, or too many.
    #[error("a membership plan opens everything, or from 1 to {COURSES_MAX} courses")]
    CoursesInvalid,
    /// A course that cannot be bought, or is somebody else's.
    #[error("a membership plan opens courses of its creator that are for sale")]
    CourseForeign,
    /// It would cost nothing.
    #[error("a membership costs something")]
    PriceInvalid,
    /// Its title is empty, too long, or cannot be seen.
    #[error("a title has from 1 to {TITLE_CHARS_MAX} characters, none of them hidden")]
    TitleInvalid,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.plan_not_found",
            Refusal::Withdrawn => "commerce.plan_withdrawn",
            Refusal::CoursesInvalid => "commerce.plan_courses_invalid",
            Refusal::CourseForeign => "commerce.plan_course_foreign",
            Refusal::PriceInvalid => "commerce.plan_price_invalid",
            Refusal::TitleInvalid => "commerce.plan_title_invalid",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::Withdrawn
            | Refusal::CoursesInvalid
            | Refusal::CourseForeign
            | Refusal::PriceInvalid
            | Refusal::TitleInvalid => Class::Unprocessable,
        }
    }
}

impl offering::Terms for PlanOffer {
    fn checked(self) -> Result<Self, Error> {
        let title = offering::title(&self.title).ok_or(Refusal::TitleInvalid)?;
        if let Opens::Courses(courses) = &self.opens
            && !(1..=COURSES_MAX).contains(&courses.len())
        {
            return Err(Refusal::CoursesInvalid.into());
        }
        if self.price.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        // What costs nothing would be renewed for ever without anybody deciding it.
        if self.price.is_zero() {
            return Err(Refusal::PriceInvalid.into());
        }
        Ok(PlanOffer { title, ..self })
    }

    fn not_found() -> Error {
        Refusal::NotFound.into()
    }

    fn withdrawn() -> Error {
        Refusal::Withdrawn.into()
    }
}
