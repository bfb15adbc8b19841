//! One login on one device: its states, its limits, and the hashes of the tokens that refresh it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::text::is_hidden;

const DEVICE_CHARS_MAX: usize = 120;

/// One login on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// What it was done from, as the client said.
    pub device: Device,
    /// When it began.
    pub started_at: Timestamp,
    /// When its token was last refreshed.
    pub refreshed_at: Timestamp,
    /// When it expires unless it is refreshed before.
    pub expires_at: Timestamp,
    /// When it expires whatever happens.
    pub ends_at: Timestamp,
    /// Why and when it was revoked, if it was.
    pub revoked: Option<(EndReason, Timestamp)>,
    /// The hash of what names the operation that began it, if it has a name.
    #[serde(default)]
    pub(super) attempt: Option<TokenHash>,
    /// The hash of the token that serves next.
    pub(super) current: TokenHash,
    /// Hashes of tokens that have served, the latest last.
    pub(super) spent: VecDeque<TokenHash>,
}

/// Limits on logins, given with each command because they are settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long a login lasts without being refreshed.
    pub idle: Duration,
    /// How long a login lasts at most.
    pub absolute: Duration,
    /// How many logins one user may have; the oldest gives way.
    pub logins_max: usize,
    /// How many spent token hashes a login keeps. An older one is refused without revoking anything.
    pub spent_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Policy {
            idle: DAY * 30,
            absolute: DAY * 90,
            logins_max: 20,
            spent_max: 32,
        }
    }
}

/// Where a login stands at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its refresh token is good.
    Active,
    /// Ended before its time.
    Revoked,
    /// Ended by time.
    Expired,
}

/// Why a login was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The user logged out.
    LoggedOut,
    /// A refresh token was presented twice.
    RefreshReused,
    /// The user has logged in on too many devices since.
    Displaced,
    /// The password was changed elsewhere.
    PasswordChanged,
    /// The account was suspended or erased.
    AccountClosed,
    /// A role was taken away, which the access tokens still carry.
    RoleRevoked,
}

/// The name of a device: at most 120 visible characters of whatever the client sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Device(Arc<str>);

/// The SHA-256 of a refresh token, or of what names a login. In JSON 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl Login {
    /// Where the login stands at the time `now`.
    pub fn state(&self, now: Timestamp) -> SessionState {
        if self.revoked.is_some() {
            SessionState::Revoked
        } else if now >= self.expires_at {
            SessionState::Expired
        } else {
            SessionState::Active
        }
    }

    /// Whether `hash` is that of the token that serves next.
    pub fn serves(&self, hash: TokenHash) -> bool {
        self.revoked.is_none() && self.current == hash
    }

    /// Whether it is as it began: its first token serves next.
    pub(super) fn is_unused(&self) -> bool {
        self.revoked.is_none() && self.spent.is_empty()
    }

    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.state(now) == SessionState::Active
    }
}

impl Device {
    /// The device's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Device {
    fn from(text: &str) -> Self {
        let kept: String = text
            .chars()
            .filter(|c| !is_hidden(*c))
            .take(DEVICE_CHARS_MAX)
            .collect();
        Device(kept.into())
    }
}

impl From<String> for Device {
    fn from(text: String) -> Self {
        Device::from(text.as_str())
    }
}

impl TokenHash {
    /// Takes the 32 bytes of a SHA-256.
    pub fn new(hash: [u8; 32]) -> Self {
        TokenHash(hash)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let nibbles = hash.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles
            .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
            .collect()
    }
}

impl TryFrom<String> for TokenHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(Error::RefreshInvalid);
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = digit(digits[0])
                .zip(digit(digits[1]))
                .ok_or(Error::RefreshInvalid)?;
            *byte = high << 4 | low;
        }
        Ok(TokenHash(hash))
    }
}
