//! The logins of one user, one per device: `active → refreshed → … → revoked | expired`.
//!
//! A refresh token serves once and is replaced by the next. One that is presented a second time has been copied, and
//! whether thief or owner came first cannot be told: the login it belongs to is revoked whole. Only SHA-256 hashes of
//! tokens are known here.
//!
//! Invariants: at most [`Policy::logins_max`] active logins; a login that has ended never becomes active again.

use std::collections::{BTreeMap, VecDeque};

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Device, EndReason, Error, Login, Policy, TokenHash};
use crate::ids::SessionId;

/// How many ended logins are remembered, so that a token of theirs is told what became of it.
const ENDED_MAX: usize = 20;

/// All logins of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    logins: BTreeMap<SessionId, Login>,
}

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
        /// The hash of what names the operation, if it has a name: repeating it begins no other login.
        attempt: Option<TokenHash>,
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
        /// Those that began later stay as well: whoever says this may be heard late, or twice.
        until: Timestamp,
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
        /// The hash of what names the operation, if it has a name.
        attempt: Option<TokenHash>,
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

    /// The login that a named operation began.
    pub fn begun_by(&self, attempt: TokenHash) -> Option<(SessionId, &Login)> {
        let (id, login) = self
            .logins
            .iter()
            .find(|(_, login)| login.attempt == Some(attempt))?;
        Some((*id, login))
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
                attempt,
                policy,
            } => {
                if let Some((_, login)) = attempt.and_then(|attempt| self.begun_by(attempt)) {
                    // Repeated: already true. Its first token is all that can be told again.
                    return if login.is_unused() {
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
                    attempt,
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
            SessionCommand::LogOutAll {
                reason,
                except,
                until,
            } => Ok(self
                .active(now)
                .filter(|(id, login)| Some(*id) != except && login.started_at <= until)
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
                attempt,
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
                    attempt: *attempt,
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

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
