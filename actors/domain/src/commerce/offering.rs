//! What somebody offers to everybody at terms that never change: a bundle, a membership plan, a group price. `offered → withdrawn`.
//!
//! Each kind of terms brings its own rules and refusals; this is the machine they share. Another price is another offering, and
//! one that is withdrawn leaves alone whatever was agreed upon it.
//!
//! Invariants: terms never change; what was withdrawn is offered no more.

use std::fmt::Debug;
use std::sync::Arc;

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use super::oversight::Deed;
use crate::ids::UserId;
use crate::text::is_hidden;

#[cfg(test)]
mod tests;

/// The longest title, characters.
pub const TITLE_CHARS_MAX: usize = 120;

/// What an offering offers.
pub trait Terms: Clone + Debug + PartialEq {
    /// The same as they are kept, if they make sense.
    ///
    /// # Errors
    /// Which rule they break.
    fn checked(self) -> Result<Self, Error>;

    /// There is no such offering.
    fn not_found() -> Error;

    /// It is offered no more.
    fn withdrawn() -> Error;
}

/// One offering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Offering<T> {
    /// Nobody has offered it.
    #[default]
    Absent,
    /// For everybody to take.
    Offered {
        /// What, and for how much.
        offer: T,
    },
    /// Offered no more.
    Withdrawn {
        /// What was offered.
        offer: T,
    },
}

/// What whoever offers wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command<T> {
    /// Offer it.
    Offer(T),
    /// Offer it no more; what was agreed upon it is not concerned.
    Withdraw {
        /// Who wants that.
        by: UserId,
        /// The operator's reasons, if it is somebody else's.
        #[serde(default)]
        deed: Option<Deed>,
    },
}

/// What happened to an offering. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<T> {
    /// It is offered.
    Offered {
        /// What, and for how much.
        offer: T,
        /// When.
        at: Timestamp,
    },
    /// It is offered no more.
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

impl<T: Terms> Aggregate for Offering<T> {
    type Command = Command<T>;
    type Event = Event<T>;
    type Error = Error;

    fn decide(&self, command: Command<T>, now: Timestamp) -> Result<Vec<Event<T>>, Error> {
        match (self, command) {
            (Offering::Absent, Command::Offer(offer)) => {
                let offer = offer.checked()?;
                Ok(vec![Event::Offered { offer, at: now }])
            }
            // Redelivered under its id.
            (_, Command::Offer(_)) | (Offering::Withdrawn { .. }, Command::Withdraw { .. }) => Ok(vec![]),
            (Offering::Absent, Command::Withdraw { .. }) => Err(T::not_found()),
            (Offering::Offered { .. }, Command::Withdraw { by, deed }) => Ok(vec![Event::Withdrawn {
                by,
                at: now,
                deed: deed.map(Deed::checked).transpose()?,
            }]),
        }
    }

    fn apply(&mut self, event: &Event<T>) {
        *self = match (std::mem::take(self), event) {
            (_, Event::Offered { offer, .. }) => Offering::Offered { offer: offer.clone() },
            (Offering::Offered { offer }, Event::Withdrawn { .. }) => Offering::Withdrawn { offer },
            // `decide` makes no other pair.
            (unchanged, Event::Withdrawn { .. }) => unchanged,
        };
    }
}

impl<T: Terms> Offering<T> {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            Offering::Absent => "absent",
            Offering::Offered { .. } => "offered",
            Offering::Withdrawn { .. } => "withdrawn",
        }
    }

    /// What it offers, or has offered.
    ///
    /// # Errors
    /// [`Terms::not_found`].
    pub fn offer(&self) -> Result<&T, Error> {
        match self {
            Offering::Absent => Err(T::not_found()),
            Offering::Offered { offer } | Offering::Withdrawn { offer } => Ok(offer),
        }
    }

    /// What it offers to whoever wants it now.
    ///
    /// # Errors
    /// [`Terms::not_found`], [`Terms::withdrawn`].
    pub fn for_sale(&self) -> Result<&T, Error> {
        match self {
            Offering::Withdrawn { .. } => Err(T::withdrawn()),
            Offering::Absent | Offering::Offered { .. } => self.offer(),
        }
    }
}

/// A title as it is kept; `None` if it is empty, too long, or cannot be seen.
pub(super) fn title(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= TITLE_CHARS_MAX;
    (fits && !text.chars().any(is_hidden)).then(|| text.into())
}
