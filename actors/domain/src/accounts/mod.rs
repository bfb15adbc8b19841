//! Accounts: who somebody is, what they may do, and on which devices they are logged in.
//!
//! [`Account`] is journaled: names, credentials, roles, standing. [`Sessions`] holds all logins of one user and may be
//! rebuilt empty: whoever loses a login logs in again. Neither ever sees a password or a token, only their hashes.

mod account;
mod ended;
mod login;
mod role;
mod session;
mod values;

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

pub use account::{Account, Command, Event, Member, Profile, ProfileChange, Standing};
pub use ended::EndedLogins;
pub use login::{Device, EndReason, Login, Policy, SessionState, TokenHash};
pub use role::{Role, Roles};
pub use session::{SessionCommand, SessionEvent, Sessions};
pub use values::{
    Bio, DisplayName, Email, INTERESTS_MAX, Interest, Interests, Language, PASSWORD_CHARS_MAX,
    PASSWORD_CHARS_MIN, PasswordHash, Reason, Username,
};

/// Why a command or a value was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// There is no such account.
    #[error("there is no such account")]
    AccountNotFound,
    /// The id belongs to an account already.
    #[error("this account exists already")]
    AlreadyRegistered,
    /// Another account has this username, in whatever case.
    #[error("this username is taken")]
    UsernameTaken,
    /// Another account has this email address.
    #[error("this email address is taken")]
    EmailTaken,
    /// Not a username.
    #[error(
        "a username has 3 to 32 letters, digits, '_', '-' or '.', and begins and ends with a letter, digit or '_'"
    )]
    UsernameInvalid,
    /// Not an email address that mail can be sent to.
    #[error("this is not an email address")]
    EmailInvalid,
    /// Not a name to display.
    #[error("a display name has 1 to 64 characters, none of them hidden")]
    DisplayNameInvalid,
    /// Not a text about oneself.
    #[error("a bio has at most 500 characters, none of them hidden")]
    BioInvalid,
    /// Not an interest.
    #[error("an interest has 1 to 64 characters, none of them hidden")]
    InterestInvalid,
    /// More interests than a profile holds.
    #[error("a profile has at most 16 interests")]
    TooManyInterests,
    /// Not a reason for an operator's action.
    #[error("a reason has 1 to 500 characters, none of them hidden")]
    ReasonInvalid,
    /// The password is too short or too long.
    #[error("a password has 8 to 64 characters")]
    PasswordLength,
    /// The password is among the first that an attacker tries.
    #[error("this password is too easy to guess")]
    PasswordTooWeak,
    /// Username and password do not belong together; which of them is wrong stays unsaid.
    #[error("username or password is wrong")]
    InvalidCredentials,
    /// The refresh token is not one of ours.
    #[error("this refresh token is not valid")]
    RefreshInvalid,
    /// The refresh token had been used before, so its login was revoked.
    #[error("this refresh token was used before; its session has been revoked")]
    RefreshReused,
    /// The login was revoked or has expired.
    #[error("this session has ended; log in again")]
    SessionEnded,
    /// The user has no such active login.
    #[error("there is no such session")]
    SessionNotFound,
    /// The account is suspended.
    #[error("this account is suspended")]
    AccountSuspended,
    /// The account's state does not allow the change.
    #[error("the account is {state}")]
    WrongState {
        /// The state that refused.
        state: Cow<'static, str>,
    },
    /// The profile has changed since the caller last saw it.
    #[error("the profile has changed meanwhile; read it again")]
    ChangedMeanwhile,
    /// Every account keeps the learner's role.
    #[error("every account keeps the learner role")]
    RoleRequired,
}

impl Error {
    /// The refusal of a change by a state of this name.
    pub(crate) fn wrong_state(state: &'static str) -> Self {
        Error::WrongState { state: state.into() }
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Error::AccountNotFound => "accounts.account_not_found",
            Error::AlreadyRegistered => "accounts.already_registered",
            Error::UsernameTaken => "accounts.username_taken",
            Error::EmailTaken => "accounts.email_taken",
            Error::UsernameInvalid => "accounts.username_invalid",
            Error::EmailInvalid => "accounts.email_invalid",
            Error::DisplayNameInvalid => "accounts.display_name_invalid",
            Error::BioInvalid => "accounts.bio_invalid",
            Error::InterestInvalid => "accounts.interest_invalid",
            Error::TooManyInterests => "accounts.too_many_interests",
            Error::ReasonInvalid => "accounts.reason_invalid",
            Error::PasswordLength => "accounts.password_length",
            Error::PasswordTooWeak => "accounts.password_too_weak",
            Error::InvalidCredentials => "accounts.invalid_credentials",
            Error::RefreshInvalid => "accounts.refresh_invalid",
            Error::RefreshReused => "accounts.refresh_reused",
            Error::SessionEnded => "accounts.session_ended",
            Error::SessionNotFound => "accounts.session_not_found",
            Error::AccountSuspended => "accounts.account_suspended",
            Error::WrongState { .. } => "accounts.wrong_state",
            Error::ChangedMeanwhile => "accounts.changed_meanwhile",
            Error::RoleRequired => "accounts.role_required",
        }
    }

    fn class(&self) -> Class {
        match self {
            Error::AccountNotFound | Error::SessionNotFound => Class::NotFound,
            Error::AlreadyRegistered
            | Error::UsernameTaken
            | Error::EmailTaken
            | Error::WrongState { .. } => Class::Conflict,
            Error::InvalidCredentials
            | Error::RefreshInvalid
            | Error::RefreshReused
            | Error::SessionEnded => Class::Unauthenticated,
            Error::AccountSuspended => Class::Forbidden,
            Error::ChangedMeanwhile => Class::PreconditionFailed,
            Error::UsernameInvalid
            | Error::EmailInvalid
            | Error::DisplayNameInvalid
            | Error::BioInvalid
            | Error::InterestInvalid
            | Error::TooManyInterests
            | Error::ReasonInvalid
            | Error::PasswordLength
            | Error::PasswordTooWeak
            | Error::RoleRequired => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Error::WrongState { state } => Some(state.clone()),
            _ => None,
        }
    }
}
