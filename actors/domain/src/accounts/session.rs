//! The logins of one user, one per device: `active → refreshed → … → revoked | expired`.
//!
//! A refresh token serves once and is replaced by the next. One that is presented a second time has been copied, and
//! whether thief or owner came first cannot be told: the login it belongs to is revoked whole. Only SHA-256 hashes of
//! tokens are known here.
//!
//! Invariants: at most [`Policy::logins_max`] active logins; a login that has ended never becomes active again.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::ids::SessionId;

/// How many ended logins are remembered, so that a token of theirs is told what became of it.
const ENDED_MAX: usize = 20;
const DEVICE_CHARS_MAX: usize = 120;

/// All logins of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    logins: BTreeMap<SessionId, Login>,
}

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
    /// The hash of the token that serves next.
    current: TokenHash,
    /// Hashes of tokens that have served, the latest last.
    spent: VecDeque<TokenHash>,
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

/// The name of a device: at most 120 printable characters of whatever the client sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Device(Arc<str>);

/// The SHA-256 of a refresh token. In JSON 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

/// What somebody wants to happen to a user's logins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionCommand {
    /// Begins a login; the credentials were checked before.
    LogIn {
        /// The new login.
        session_id: SessionId,
        /// What it is done from.
        device: Device,
        /// The hash of its first refresh token.
        refresh_hash: TokenHash,
        /// The limits.
        policy: Policy,
    },
    /// Exchanges a refresh token for the next.
    Refresh {
        /// The login.
        session_id: SessionId,
        /// The hash of the token that was presented.
        presented: TokenHash,
        /// The hash of the token that serves next.
        next: TokenHash,
        /// The limits.
        policy: Policy,
    },
    /// Ends one login.
    LogOut {
        /// The login.
        session_id: SessionId,
    },
    /// Ends every login but one.
    LogOutAll {
        /// Why.
        reason: EndReason,
        /// The login that stays.
        except: Option<SessionId>,
    },
}

/// What happened to a user's logins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionEvent {
    /// A login began.
    LoggedIn {
        /// The login.
        session_id: SessionId,
        /// What it was done from.
        device: Device,
        /// The hash of its refresh token.
        refresh_hash: TokenHash,
        /// When.
        at: Timestamp,
        /// When it expires unless refreshed.
        expires_at: Timestamp,
        /// When it expires whatever happens.
        ends_at: Timestamp,
    },
    /// A refresh token was exchanged.
    Refreshed {
        /// The login.
        session_id: SessionId,
        /// The hash of the token that serves next.
        next: TokenHash,
        /// How many spent hashes to keep.
        spent_max: usize,
        /// When.
        at: Timestamp,
        /// When the login expires unless refreshed.
        expires_at: Timestamp,
    },
    /// A token was presented a second time; its login is revoked.
    ReuseDetected {
        /// The login.
        session_id: SessionId,
        /// When.
        at: Timestamp,
    },
    /// A login was ended.
    Revoked {
        /// The login.
        session_id: SessionId,
        /// Why.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
}

impl Sessions {
    /// The login `id`, active or ended not long ago.
    pub fn login(&self, id: SessionId) -> Option<&Login> {
        self.logins.get(&id)
    }

    /// The active logins, the oldest first.
    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = (SessionId, &Login)> {
        let mut active: Vec<_> = self
            .logins
            .iter()
            .filter(|(_, login)| login.is_active(now))
            .collect();
        active.sort_by_key(|(id, login)| (login.started_at, **id));
        active.into_iter().map(|(id, login)| (*id, login))
    }

    fn refresh(
        &self,
        session_id: SessionId,
        presented: TokenHash,
        next: TokenHash,
        policy: Policy,
        now: Timestamp,
    ) -> Result<Vec<SessionEvent>, Error> {
        let login = self.logins.get(&session_id).ok_or(Error::RefreshInvalid)?;
        let spent = login.spent.contains(&presented);
        // A token that never was one of this login's proves nothing and must not end it: whoever knows a session id
        // could log its owner out.
        if !spent && login.current != presented {
            return Err(Error::RefreshInvalid);
        }
        if !login.is_active(now) {
            return Err(Error::SessionEnded);
        }
        // The successor is derived from the request's idempotency key: where it is in place already, this is the same
        // request delivered again.
        if login.spent.back() == Some(&presented) && login.current == next {
            return Ok(vec![]);
        }
        if spent {
            return Ok(vec![SessionEvent::ReuseDetected { session_id, at: now }]);
        }
        let expires_at = now.plus(policy.idle).min(login.ends_at);
        Ok(vec![SessionEvent::Refreshed {
            session_id,
            next,
            spent_max: policy.spent_max,
            at: now,
            expires_at,
        }])
    }

    /// Forgets the logins that ended first, beyond those worth remembering.
    fn forget(&mut self, now: Timestamp) {
        let mut ended: Vec<_> = self
            .logins
            .iter()
            .filter(|(_, login)| !login.is_active(now))
            .map(|(id, login)| (login.refreshed_at, *id))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(ENDED_MAX);
        for (_, id) in ended.into_iter().take(surplus) {
            self.logins.remove(&id);
        }
    }
}

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

    fn is_active(&self, now: Timestamp) -> bool {
        self.state(now) == SessionState::Active
    }
}

impl Aggregate for Sessions {
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Error = Error;

    fn decide(&self, command: SessionCommand, now: Timestamp) -> Result<Vec<SessionEvent>, Error> {
        match command {
            SessionCommand::LogIn {
                session_id,
                device,
                refresh_hash,
                policy,
            } => {
                if let Some(login) = self.logins.get(&session_id) {
                    // Redelivered: already true. Under another token it is somebody else's id.
                    let same = login.serves(refresh_hash);
                    return if same {
                        Ok(vec![])
                    } else {
                        Err(Error::SessionEnded)
                    };
                }
                let active: Vec<SessionId> = self.active(now).map(|(id, _)| id).collect();
                let surplus = (active.len() + 1).saturating_sub(policy.logins_max.max(1));
                let mut events: Vec<SessionEvent> = active
                    .into_iter()
                    .take(surplus)
                    .map(|id| SessionEvent::Revoked {
                        session_id: id,
                        reason: EndReason::Displaced,
                        at: now,
                    })
                    .collect();
                let ends_at = now.plus(policy.absolute);
                let expires_at = now.plus(policy.idle).min(ends_at);
                events.push(SessionEvent::LoggedIn {
                    session_id,
                    device,
                    refresh_hash,
                    at: now,
                    expires_at,
                    ends_at,
                });
                Ok(events)
            }
            SessionCommand::Refresh {
                session_id,
                presented,
                next,
                policy,
            } => self.refresh(session_id, presented, next, policy, now),
            SessionCommand::LogOut { session_id } => match self.logins.get(&session_id) {
                Some(login) if login.is_active(now) => Ok(vec![SessionEvent::Revoked {
                    session_id,
                    reason: EndReason::LoggedOut,
                    at: now,
                }]),
                _ => Err(Error::SessionNotFound),
            },
            SessionCommand::LogOutAll { reason, except } => Ok(self
                .active(now)
                .filter(|(id, _)| Some(*id) != except)
                .map(|(session_id, _)| SessionEvent::Revoked {
                    session_id,
                    reason,
                    at: now,
                })
                .collect()),
        }
    }

    fn apply(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::LoggedIn {
                session_id,
                device,
                refresh_hash,
                at,
                expires_at,
                ends_at,
            } => {
                let login = Login {
                    device: device.clone(),
                    started_at: *at,
                    refreshed_at: *at,
                    expires_at: *expires_at,
                    ends_at: *ends_at,
                    revoked: None,
                    current: *refresh_hash,
                    spent: VecDeque::new(),
                };
                self.logins.insert(*session_id, login);
                self.forget(*at);
            }
            SessionEvent::Refreshed {
                session_id,
                next,
                spent_max,
                at,
                expires_at,
            } => {
                let Some(login) = self.logins.get_mut(session_id) else {
                    return;
                };
                login.spent.push_back(login.current);
                while login.spent.len() > *spent_max {
                    login.spent.pop_front();
                }
                login.current = *next;
                login.refreshed_at = *at;
                login.expires_at = *expires_at;
            }
            SessionEvent::ReuseDetected { session_id, at } => {
                self.revoke(*session_id, EndReason::RefreshReused, *at);
            }
            SessionEvent::Revoked {
                session_id,
                reason,
                at,
            } => self.revoke(*session_id, *reason, *at),
        }
    }
}

impl Sessions {
    fn revoke(&mut self, id: SessionId, reason: EndReason, at: Timestamp) {
        if let Some(login) = self.logins.get_mut(&id) {
            login.revoked = Some((reason, at));
        }
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
            .filter(|c| !c.is_control())
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

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
