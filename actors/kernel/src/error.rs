//! Error classes and stable codes.
//!
//! Every refusal of every domain carries a code that clients may rely on (`commerce.order_not_found`) and a
//! class from which the edge alone derives the HTTP status.

use std::borrow::Cow;

/// What kind of refusal an error is; the edge maps each class to one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request cannot be understood (400).
    Malformed,
    /// The caller did not prove who they are (401).
    Unauthenticated,
    /// The caller has not enough money (402).
    PaymentRequired,
    /// The caller is known and not allowed (403).
    Forbidden,
    /// There is no such thing, or it belongs to somebody else (404).
    NotFound,
    /// The state of the thing does not allow it (409).
    Conflict,
    /// The thing has changed since the caller last saw it (412).
    PreconditionFailed,
    /// The request is well formed and a rule refuses it (422).
    Unprocessable,
    /// The caller asks too often or too much (429).
    TooMany,
    /// A store or a part of the system is away; worth another try (503).
    Unavailable,
}

/// An error that clients can tell apart.
pub trait Coded: std::error::Error + Send + Sync + 'static {
    /// The stable code, `area.reason`, never renamed and never reused.
    fn code(&self) -> &'static str;

    /// The class the HTTP status is derived from.
    fn class(&self) -> Class;

    /// The state that refused a transition, for [`Class::Conflict`].
    fn current_state(&self) -> Option<Cow<'static, str>> {
        None
    }
}
