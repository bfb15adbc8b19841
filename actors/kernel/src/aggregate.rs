//! The shape every domain state machine has.
//!
//! A command is *decided* against the current state into events, or refused; events are *applied* to reach the
//! next state. Both are pure, so the same events always rebuild the same state.

use crate::{Coded, Timestamp};

/// One consistency boundary: the state that a single command may change at once.
///
/// Invariant: `apply` never fails. Whatever could go wrong is found by `decide`, which records in the event
/// everything `apply` needs.
pub trait Aggregate: Default {
    /// An imperative: what somebody wants to happen.
    type Command;
    /// A fact in the past tense: what happened.
    type Event;
    /// Why a command was refused.
    type Error: Coded;

    /// Decides a command against this state at the time `now`.
    ///
    /// An empty list means that the command was already carried out: nothing new happened.
    ///
    /// # Errors
    /// A refusal, which changes nothing.
    fn decide(&self, command: Self::Command, now: Timestamp) -> Result<Vec<Self::Event>, Self::Error>;

    /// Moves this state forward by one event.
    fn apply(&mut self, event: &Self::Event);
}
