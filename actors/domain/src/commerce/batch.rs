//! A batch of redeem codes (兑换码) for one course: `open → cancelled`, or over at its end; each code `issued → redeemed`.
//!
//! Operators issue codes; whoever redeems one has access to the course, without money. The batch knows its codes by their
//! numbers alone: what people type is random, derived outside, and nothing but its hash is kept beside them.
//!
//! Invariants: a code is redeemed by one person, once; none is redeemed after the batch was cancelled or its time is over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lyceum_kernel::{Aggregate, Class, Coded, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use super::oversight::Deed;
use crate::ids::{CodeId, CourseId, UserId};

#[cfg(test)]
mod tests;

/// The most codes of one batch: they are drawn, written and answered together.
pub const CODES_MAX: u16 = 500;

/// One batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    issued: Option<Box<Issued>>,
}

/// A batch that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// What its codes give.
    pub terms: Terms,
    /// Who issued it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// Since when none of its codes can be redeemed.
    pub cancelled_at: Option<Timestamp>,
    /// Who has redeemed which code.
    pub redeemed: BTreeMap<u16, UserId>,
}

/// What the codes of a batch give; it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Access to which course.
    pub course_id: CourseId,
    /// How many codes there are, numbered from 0.
    pub count: u16,
    /// Until when they can be redeemed.
    pub expires_at: Timestamp,
}

/// What an operator, or the holder of a code, wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Issue codes.
    Issue {
        /// What they give.
        terms: Terms,
        /// Who issues them, and why.
        deed: Deed,
    },
    /// Let no further code be redeemed.
    Cancel {
        /// Who wants that, and why.
        deed: Deed,
    },
    /// Redeem a code.
    Redeem {
        /// Its number.
        number: u16,
        /// The hash by which it was found.
        code: CodeId,
        /// Who has it.
        user: UserId,
        /// The version of the course that is current.
        course_version: u32,
    },
}

/// What happened to a batch. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Codes were issued.
    Issued {
        /// What they give.
        terms: Terms,
        /// Who issued them.
        by: UserId,
        /// When.
        at: Timestamp,
        /// The operator's reasons; missing in what is from before they had to give any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deed: Option<Deed>,
    },
    /// No further code can be redeemed.
    Cancelled {
        /// Who wanted that.
        by: UserId,
        /// When.
        at: Timestamp,
        /// The operator's reasons; missing in what is from before they had to give any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deed: Option<Deed>,
    },
    /// A code was redeemed.
    Redeemed {
        /// Its number.
        number: u16,
        /// Its hash.
        code: CodeId,
        /// By whom.
        user: UserId,
        /// The version of the course that was current.
        course_version: u32,
        /// When.
        at: Timestamp,
    },
}

/// Why a code is not redeemed, or a batch cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such batch.
    #[error("there is no such batch of codes")]
    BatchNotFound,
    /// No code reads like that.
    #[error("there is no such code")]
    Unknown,
    /// Somebody has redeemed it.
    #[error("the code has been redeemed")]
    Used,
    /// Its time is over.
    #[error("the code is not valid any more")]
    Expired,
    /// Whoever issued it, or bought it, has taken it back.
    #[error("the code has been taken back")]
    Cancelled,
    /// It belongs to an order that is not paid.
    #[error("the code is not valid before its order is paid")]
    Unpaid,
    /// Too few or too many codes.
    #[error("a batch has from 1 to {CODES_MAX} codes")]
    CountInvalid,
    /// Its time is over before it begins.
    #[error("codes must be valid for some time")]
    ValidityInvalid,
    /// What was given has been redeemed, so that its money stays.
    #[error("the gift has been redeemed and is not refunded")]
    GiftRedeemed,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::BatchNotFound => "commerce.code_batch_not_found",
            Refusal::Unknown => "commerce.code_unknown",
            Refusal::Used => "commerce.code_used",
            Refusal::Expired => "commerce.code_expired",
            Refusal::Cancelled => "commerce.code_cancelled",
            Refusal::Unpaid => "commerce.code_unpaid",
            Refusal::CountInvalid => "commerce.code_count_invalid",
            Refusal::ValidityInvalid => "commerce.code_validity_invalid",
            Refusal::GiftRedeemed => "commerce.gift_redeemed",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::BatchNotFound => Class::NotFound,
            Refusal::Used | Refusal::GiftRedeemed => Class::Conflict,
            Refusal::Unknown
            | Refusal::Expired
            | Refusal::Cancelled
            | Refusal::Unpaid
            | Refusal::CountInvalid
            | Refusal::ValidityInvalid => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        matches!(self, Refusal::Used | Refusal::GiftRedeemed).then_some(Cow::Borrowed("redeemed"))
    }
}

impl Aggregate for Batch {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        let Some(issued) = &self.issued else {
            return match command {
                Command::Issue { terms, deed } => {
                    let (terms, deed) = (terms.checked(now)?, deed.checked()?);
                    Ok(vec![Event::Issued {
                        terms,
                        by: deed.operator,
                        at: now,
                        deed: Some(deed),
                    }])
                }
                Command::Cancel { .. } => Err(Refusal::BatchNotFound.into()),
                Command::Redeem { .. } => Err(Refusal::Unknown.into()),
            };
        };
        match command {
            // Redelivered under its id.
            Command::Issue { .. } => Ok(vec![]),
            Command::Cancel { deed } => {
                let deed = deed.checked()?;
                Ok(match issued.cancelled_at {
                    None => vec![Event::Cancelled {
                        by: deed.operator,
                        at: now,
                        deed: Some(deed),
                    }],
                    Some(_) => vec![],
                })
            }
            Command::Redeem {
                number,
                code,
                user,
                course_version,
            } => {
                if number >= issued.terms.count {
                    return Err(Refusal::Unknown.into());
                }
                match issued.redeemed.get(&number) {
                    // Whoever asks again has it.
                    Some(holder) if *holder == user => return Ok(vec![]),
                    Some(_) => return Err(Refusal::Used.into()),
                    None => {}
                }
                if issued.cancelled_at.is_some() {
                    return Err(Refusal::Cancelled.into());
                }
                if now >= issued.terms.expires_at {
                    return Err(Refusal::Expired.into());
                }
                Ok(vec![Event::Redeemed {
                    number,
                    code,
                    user,
                    course_version,
                    at: now,
                }])
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match (&mut self.issued, event) {
            (_, Event::Issued { terms, by, at, .. }) => {
                self.issued = Some(Box::new(Issued {
                    terms: *terms,
                    by: *by,
                    at: *at,
                    cancelled_at: None,
                    redeemed: BTreeMap::new(),
                }));
            }
            (Some(issued), Event::Cancelled { at, .. }) => issued.cancelled_at = Some(*at),
            (Some(issued), Event::Redeemed { number, user, .. }) => {
                issued.redeemed.insert(*number, *user);
            }
            // `decide` makes none of them before the first.
            (None, Event::Cancelled { .. } | Event::Redeemed { .. }) => {}
        }
    }
}

impl Batch {
    /// The batch, if it exists.
    ///
    /// # Errors
    /// [`Refusal::BatchNotFound`].
    pub fn issued(&self) -> Result<&Issued, Error> {
        self.issued.as_deref().ok_or(Error::Code(Refusal::BatchNotFound))
    }
}

impl Issued {
    /// The name of the state at `now`: `open`, `cancelled` or `expired`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        if self.cancelled_at.is_some() {
            "cancelled"
        } else if now >= self.terms.expires_at {
            "expired"
        } else {
            "open"
        }
    }
}

impl Terms {
    fn checked(self, now: Timestamp) -> Result<Self, Refusal> {
        if !(1..=CODES_MAX).contains(&self.count) {
            return Err(Refusal::CountInvalid);
        }
        if self.expires_at <= now {
            return Err(Refusal::ValidityInvalid);
        }
        Ok(self)
    }
}
