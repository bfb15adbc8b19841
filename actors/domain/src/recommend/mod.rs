//! What to study next: one user's signals, a model of the catalog, and the ranking that brings them together.
//!
//! Flow: learners' activities become signals in their [`Profile`]; what many of them took up ([`Takings`]) becomes a [`Trained`];
//! with the catalog's [`Features`] that is a [`Model`]; [`rank`] applies it to a profile and makes a list in which every
//! item carries the [`Reason`]s that its score is made of.
//!
//! What the formulas are and what each is worth is compared in [`evaluation`] over [`models`]; what requests are answered
//! from is among them.

mod artefact;
mod content;
pub mod evaluation;
mod model;
pub mod models;
mod profile;
mod ranking;
mod scoring;
mod settings;
mod signal;
mod takings;
mod trained;

pub use artefact::{ArtefactError, FORMAT as ARTEFACT_FORMAT};
pub use content::{Features, slug};
pub use model::{Model, Neighbours, Source};
pub use profile::{Command, Event, Profile};
pub use ranking::{Reason, ReasonKind, Recommendation, candidates, rank};
pub use scoring::Scratch;
pub use settings::{ActivityWeights, ContentSettings, ListSettings, ModelLimits, Settings};
pub use signal::{Activity, EventId, Observation, Recent, Signal, Tally};
pub use takings::{Gathered, Takings};
pub use trained::Trained;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

/// The most events one observation may carry.
pub const EVENTS_MAX: usize = 100;
/// The most interests one profile holds.
pub const INTERESTS_MAX: usize = 20;
/// The longest interest, in bytes of its slug.
pub const INTEREST_BYTES_MAX: usize = 64;

/// Why the recommender refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The batch is too large.
    #[error("at most {EVENTS_MAX} events are accepted at once")]
    TooManyEvents,
    /// A rating is not from 1 to 5, a progress not from 0 to 1, or a value is missing.
    #[error("event {position} needs a value: a rating from 1 to 5, a progress from 0 to 1")]
    ValueOutOfRange {
        /// The event's position in its batch, from 0.
        position: u32,
    },
    /// More interests than a profile holds.
    #[error("at most {INTERESTS_MAX} interests are kept")]
    TooManyInterests,
    /// An interest without a letter or digit, or one that is too long.
    #[error("an interest is a word of at most {INTEREST_BYTES_MAX} bytes")]
    InterestInvalid,
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Error::TooManyEvents => "recommend.too_many_events",
            Error::ValueOutOfRange { .. } => "recommend.value_out_of_range",
            Error::TooManyInterests => "recommend.too_many_interests",
            Error::InterestInvalid => "recommend.interest_invalid",
        }
    }

    fn class(&self) -> Class {
        Class::Unprocessable
    }
}
