//! A membership plan (会员): what a member may study, for a price that is paid for each month or year. `offered → withdrawn`.
//!
//! A plan is an offer and never changes: another price, or more courses, is another plan. Whoever joins has its terms frozen into their
//! membership ([`super::membership`]), so a withdrawn plan takes nobody in and changes nothing for its members.

use std::collections::BTreeSet;
use std::sync::Arc;

use lyceum_kernel::{Aggregate, Class, Coded, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::coupon::Issuer;
use super::oversight::Deed;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, UserId};
use crate::text::is_hidden;

#[cfg(test)]
mod tests;

/// The most courses that a plan names one by one; more are a plan of everything.
pub const COURSES_MAX: usize = 100;
/// The longest title, characters.
pub const TITLE_CHARS_MAX: usize = 120;

/// One plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Plan {
    /// Nobody has offered it.
    #[default]
    Absent,
    /// Takes members in.
    Offered {
        /// What, and for how much.
        offer: PlanOffer,
    },
    /// Takes nobody in any more.
    Withdrawn {
        /// What was offered.
        offer: PlanOffer,
    },
}

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

/// What a creator or an operator wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Offer it.
    Offer(PlanOffer),
    /// Take nobody in any more.
    Withdraw {
        /// Who wants that.
        by: UserId,
        /// The operator's reasons, if it is somebody else's.
        #[serde(default)]
        deed: Option<Deed>,
    },
}

/// What happened to a plan. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It takes members in.
    Offered {
        /// What, and for how much.
        offer: PlanOffer,
        /// When.
        at: Timestamp,
    },
    /// It takes nobody in any more.
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

impl Aggregate for Plan {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (Plan::Absent, Command::Offer(offer)) => {
                let offer = offer.checked()?;
                Ok(vec![Event::Offered { offer, at: now }])
            }
            // Redelivered under its id.
            (_, Command::Offer(_)) | (Plan::Withdrawn { .. }, Command::Withdraw { .. }) => Ok(vec![]),
            (Plan::Absent, Command::Withdraw { .. }) => Err(Refusal::NotFound.into()),
            (Plan::Offered { .. }, Command::Withdraw { by, deed }) => Ok(vec![Event::Withdrawn {
                by,
                at: now,
                deed: deed.map(Deed::checked).transpose()?,
            }]),
        }
    }

    fn apply(&mut self, event: &Event) {
        *self = match (std::mem::take(self), event) {
            (_, Event::Offered { offer, .. }) => Plan::Offered { offer: offer.clone() },
            (Plan::Offered { offer }, Event::Withdrawn { .. }) => Plan::Withdrawn { offer },
            // `decide` makes no other pair.
            (unchanged, Event::Withdrawn { .. }) => unchanged,
        };
    }
}

impl Plan {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            Plan::Absent => "absent",
            Plan::Offered { .. } => "offered",
            Plan::Withdrawn { .. } => "withdrawn",
        }
    }

    /// What it offers, or has offered.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn offer(&self) -> Result<&PlanOffer, Error> {
        match self {
            Plan::Absent => Err(Refusal::NotFound.into()),
            Plan::Offered { offer } | Plan::Withdrawn { offer } => Ok(offer),
        }
    }

    /// What it offers to whoever wants to join.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Withdrawn`].
    pub fn for_sale(&self) -> Result<&PlanOffer, Error> {
        match self {
            Plan::Withdrawn { .. } => Err(Refusal::Withdrawn.into()),
            Plan::Absent | Plan::Offered { .. } => self.offer(),
        }
    }
}

impl PlanOffer {
    fn checked(self) -> Result<Self, Error> {
        let title = self.title.trim();
        let fits = title.chars().count() <= TITLE_CHARS_MAX;
        if title.is_empty() || !fits || title.chars().any(is_hidden) {
            return Err(Refusal::TitleInvalid.into());
        }
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
        let title = title.into();
        Ok(PlanOffer { title, ..self })
    }
}
