//! What a coupon promises: its code, what it takes off, from what, for whom, how often and when.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::commerce::SETTLEMENT_CURRENCY;
use crate::commerce::allocation::allocate;
use crate::ids::{CourseId, UserId};

/// The shortest code, characters.
pub const CODE_LENGTH_MIN: usize = 4;
/// The longest code, characters.
pub const CODE_LENGTH_MAX: usize = 32;
/// The most uses of one coupon: it remembers who has used it.
pub const USES_MAX: u32 = 100_000;
/// The most courses that one coupon names.
pub const COURSES_MAX: usize = 100;

/// The code that people type, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "Arc<str>", try_from = "Arc<str>")]
pub struct Code(Arc<str>);

impl Code {
    /// Reads a code: 4 to 32 letters, digits, hyphens and underscores of ASCII; written in upper case from then on.
    ///
    /// # Errors
    /// [`Refusal::CodeInvalid`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        let fits = (CODE_LENGTH_MIN..=CODE_LENGTH_MAX).contains(&text.len());
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if fits && text.bytes().all(clean) {
            Ok(Code(text.to_ascii_uppercase().into()))
        } else {
            Err(Refusal::CodeInvalid)
        }
    }

    /// The code in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Code> for Arc<str> {
    fn from(code: Code) -> Arc<str> {
        code.0
    }
}

impl TryFrom<Arc<str>> for Code {
    type Error = Refusal;

    fn try_from(text: Arc<str>) -> Result<Self, Refusal> {
        Code::parse(&text)
    }
}

/// Who issued a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Issuer {
    /// A creator (店铺券): it serves their own courses only.
    Creator(UserId),
    /// The platform (平台券).
    Platform,
}

/// What a coupon takes off the lines it applies to, never more than they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Benefit {
    /// An amount (立减).
    Fixed {
        /// How much.
        off: Money,
    },
    /// A part (折扣), rounded down to the minor unit.
    Percent {
        /// The part, 1/10,000.
        off_bps: u16,
        /// The most that it takes off, if that is limited.
        at_most: Option<Money>,
    },
    /// An amount from a sum on (满减).
    Threshold {
        /// What the lines must cost together.
        at_least: Money,
        /// How much.
        off: Money,
    },
}

/// Which courses a coupon applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every course of whoever issued it.
    All,
    /// Those of a category, by its slug.
    Category(Arc<str>),
    /// Some.
    Courses(BTreeSet<CourseId>),
}

/// What a coupon promises; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What people type.
    pub code: Code,
    /// Who issued it.
    pub issuer: Issuer,
    /// What it takes off.
    pub benefit: Benefit,
    /// From what.
    pub scope: Scope,
    /// How many orders it serves, reserved and redeemed together.
    pub limit: u32,
    /// How many of them may be of one buyer.
    pub per_user: u32,
    /// Whether it serves beside another coupon.
    pub stackable: bool,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when an order may be placed with it.
    pub ends_at: Timestamp,
}

/// One line of an order, as a coupon looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The course.
    pub course_id: CourseId,
    /// Its category's slug.
    pub category: Option<Arc<str>>,
    /// Who earns.
    pub creator: UserId,
    /// What is left to pay of it.
    pub price: Money,
}

impl Terms {
    /// The terms, if they make sense at `now`.
    ///
    /// # Errors
    /// [`Refusal::BenefitInvalid`], [`Refusal::LimitInvalid`], [`Refusal::ScopeInvalid`], [`Refusal::ValidityInvalid`].
    pub fn checked(self, now: Timestamp) -> Result<Self, Refusal> {
        let some = |money: Money| !money.is_zero() && money.currency() == SETTLEMENT_CURRENCY;
        let sensible = match self.benefit {
            Benefit::Fixed { off } => some(off),
            Benefit::Percent { off_bps, at_most } => {
                (1..=10_000).contains(&off_bps) && at_most.is_none_or(some)
            }
            Benefit::Threshold { at_least, off } => some(off) && at_least.covers(off),
        };
        if !sensible {
            return Err(Refusal::BenefitInvalid);
        }
        if !(1..=USES_MAX).contains(&self.limit) || !(1..=self.limit).contains(&self.per_user) {
            return Err(Refusal::LimitInvalid);
        }
        if let Scope::Courses(courses) = &self.scope
            && !(1..=COURSES_MAX).contains(&courses.len())
        {
            return Err(Refusal::ScopeInvalid);
        }
        if self.starts_at >= self.ends_at || self.ends_at <= now {
            return Err(Refusal::ValidityInvalid);
        }
        Ok(self)
    }

    /// What the coupon takes off each of these lines.
    ///
    /// # Errors
    /// [`Refusal::NotApplicable`], [`Refusal::BelowThreshold`].
    pub fn discounts(&self, items: &[Item]) -> Result<Vec<Money>, Refusal> {
        let none = Money::zero(SETTLEMENT_CURRENCY);
        let mut base = none;
        let mut eligible = Vec::with_capacity(items.len());
        for item in items {
            let price = if self.applies_to(item) { item.price } else { none };
            base = base.plus(price).map_err(|_| Refusal::NotApplicable)?;
            eligible.push(price);
        }
        if base.is_zero() {
            return Err(Refusal::NotApplicable);
        }
        let off = match self.benefit {
            Benefit::Fixed { off } => off,
            Benefit::Percent { off_bps, at_most } => {
                let part = base.share(off_bps);
                at_most.filter(|most| part.covers(*most)).unwrap_or(part)
            }
            Benefit::Threshold { at_least, .. } if !base.covers(at_least) => {
                return Err(Refusal::BelowThreshold);
            }
            Benefit::Threshold { off, .. } => off,
        };
        // A use that takes nothing off would be a use lost.
        if off.is_zero() {
            return Err(Refusal::NotApplicable);
        }
        let off = if base.covers(off) { off } else { base };
        allocate(off, &eligible).map_err(|_| Refusal::NotApplicable)
    }

    /// The name of the state of a coupon of these terms: `disabled`, `not_started`, `expired`, `exhausted` or `available`.
    pub fn state(&self, disabled_at: Option<Timestamp>, uses: u32, now: Timestamp) -> &'static str {
        if disabled_at.is_some() {
            "disabled"
        } else if now < self.starts_at {
            "not_started"
        } else if now >= self.ends_at {
            "expired"
        } else if uses >= self.limit {
            "exhausted"
        } else {
            "available"
        }
    }

    fn applies_to(&self, item: &Item) -> bool {
        let issued_for = match self.issuer {
            Issuer::Platform => true,
            Issuer::Creator(creator) => creator == item.creator,
        };
        issued_for
            && match &self.scope {
                Scope::All => true,
                Scope::Category(slug) => item.category.as_ref() == Some(slug),
                Scope::Courses(courses) => courses.contains(&item.course_id),
            }
    }
}
