//! The account of one person: `absent → active ⇄ suspended`, `active | suspended → erased`.
//!
//! Invariants: every account has the learner role; [`Member::version`] rises with every change that its owner sees, so
//! that an edit of what the editor has not seen is refused; after erasure nothing personal is left in the state.

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Bio, DisplayName, Email, EndedLogins, Error, Interests, Language, PasswordHash, Reason, Role, Roles,
    Username,
};
use crate::ids::SessionId;

/// One person's account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Account {
    /// Nobody has registered under this id.
    #[default]
    Absent,
    /// Somebody has.
    Open(Box<Member>),
    /// The personal data is gone; the id stays, because the ledger refers to it.
    Erased {
        /// When it was erased.
        at: Timestamp,
    },
}

/// What is known of somebody whose account is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name they log in with.
    pub username: Username,
    /// Where mail reaches them.
    pub email: Email,
    /// The hash of their password.
    pub password_hash: PasswordHash,
    /// What they may do.
    pub roles: Roles,
    /// Whether they may do anything at all.
    pub standing: Standing,
    /// What they may edit themselves.
    pub profile: Profile,
    /// When they registered.
    pub registered_at: Timestamp,
    /// How many changes led here; the first is 1.
    pub version: u64,
    /// Which of their logins have ended.
    #[serde(default)]
    pub ended: EndedLogins,
}

/// Whether somebody may use the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// They may.
    Active,
    /// An operator has locked them out.
    Suspended {
        /// Why.
        reason: Reason,
        /// Since when.
        since: Timestamp,
    },
}

/// What somebody may edit of their own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name others see.
    pub display_name: DisplayName,
    /// What they say about themselves.
    pub bio: Bio,
    /// The language they read in.
    pub language: Language,
    /// Whether recommendations may use what they do.
    pub personalised: bool,
    /// What they want to learn.
    pub interests: Interests,
}

/// The parts of a profile to replace; the others stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileChange {
    /// The name others see.
    pub display_name: Option<DisplayName>,
    /// What they say about themselves.
    pub bio: Option<Bio>,
    /// The language they read in.
    pub language: Option<Language>,
    /// Whether recommendations may use what they do.
    pub personalised: Option<bool>,
    /// What they want to learn.
    pub interests: Option<Interests>,
}

/// What somebody wants to happen to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Opens the account. Username and email are unique across accounts, which the tables see to.
    Register {
        /// The name to log in with.
        username: Username,
        /// Where mail reaches them.
        email: Email,
        /// The name others see.
        display_name: DisplayName,
        /// The hash of the password.
        password_hash: PasswordHash,
        /// Roles beyond the learner's.
        roles: Roles,
        /// What they want to learn.
        interests: Interests,
    },
    /// Edits the profile.
    ChangeProfile {
        /// What to replace.
        change: ProfileChange,
        /// The version the editor saw, if they said so.
        expected_version: Option<u64>,
    },
    /// Replaces the password; every other login ends.
    ChangePassword {
        /// The hash of the new password.
        password_hash: PasswordHash,
        /// The hash the old password was checked against, so that of two changes at once only one wins.
        replaces: PasswordHash,
        /// The login it is done from, which stays.
        keep_session: Option<SessionId>,
    },
    /// Locks the account out.
    Suspend {
        /// Why.
        reason: Reason,
    },
    /// Lets a suspended account in again.
    Reinstate,
    /// Puts on record that a login has ended.
    EndLogin {
        /// The login.
        session_id: SessionId,
    },
    /// Gives a role.
    GrantRole {
        /// The role.
        role: Role,
    },
    /// Takes a role away.
    RevokeRole {
        /// The role.
        role: Role,
    },
    /// Removes the personal data for good.
    Erase,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The account was opened.
    Registered {
        /// The name to log in with.
        username: Username,
        /// Where mail reaches them.
        email: Email,
        /// The name others see.
        display_name: DisplayName,
        /// The hash of the password.
        password_hash: PasswordHash,
        /// All roles.
        roles: Roles,
        /// What they want to learn.
        interests: Interests,
        /// When.
        at: Timestamp,
    },
    /// The profile was edited.
    ProfileChanged {
        /// What was replaced.
        change: ProfileChange,
    },
    /// The password was replaced.
    PasswordChanged {
        /// The hash of the new password.
        password_hash: PasswordHash,
        /// The one login that stays.
        keep_session: Option<SessionId>,
        /// When; the other logins that began until then have ended.
        #[serde(default)]
        at: Timestamp,
    },
    /// The account was locked out.
    Suspended {
        /// Why.
        reason: Reason,
        /// When.
        at: Timestamp,
    },
    /// The account was let in again.
    Reinstated,
    /// A login was ended.
    LoginEnded {
        /// The login.
        session_id: SessionId,
    },
    /// A role was given.
    RoleGranted {
        /// The role.
        role: Role,
    },
    /// A role was taken away.
    RoleRevoked {
        /// The role.
        role: Role,
    },
    /// The personal data was removed.
    Erased {
        /// When.
        at: Timestamp,
    },
    /// Stands in the journal where an event was whose personal data has been removed since.
    Redacted,
}

impl Account {
    /// The state by its name in the API.
    pub fn state(&self) -> &'static str {
        match self {
            Account::Absent => "absent",
            Account::Open(member) => match member.standing {
                Standing::Active => "active",
                Standing::Suspended { .. } => "suspended",
            },
            Account::Erased { .. } => "erased",
        }
    }

    /// Whoever the account belongs to.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`] if it was never opened or is erased.
    pub fn member(&self) -> Result<&Member, Error> {
        match self {
            Account::Open(member) => Ok(member),
            Account::Absent | Account::Erased { .. } => Err(Error::AccountNotFound),
        }
    }

    /// Whoever the account belongs to, if they may use it.
    ///
    /// # Errors
    /// As [`Account::member`], and [`Error::AccountSuspended`].
    pub fn active(&self) -> Result<&Member, Error> {
        let member = self.member()?;
        match member.standing {
            Standing::Active => Ok(member),
            Standing::Suspended { .. } => Err(Error::AccountSuspended),
        }
    }

    /// The account for a command that needs it open.
    fn open(&self) -> Result<&Member, Error> {
        match self {
            Account::Absent => Err(Error::AccountNotFound),
            Account::Open(member) => Ok(member),
            Account::Erased { .. } => Err(Error::wrong_state(self.state())),
        }
    }

    /// The account for a command of its owner.
    fn own(&self) -> Result<&Member, Error> {
        let member = self.open()?;
        match member.standing {
            Standing::Active => Ok(member),
            Standing::Suspended { .. } => Err(Error::AccountSuspended),
        }
    }
}

impl Profile {
    /// Whether `change` would leave everything as it is.
    fn has(&self, change: &ProfileChange) -> bool {
        let ProfileChange {
            display_name,
            bio,
            language,
            personalised,
            interests,
        } = change;
        display_name.as_ref().is_none_or(|new| *new == self.display_name)
            && bio.as_ref().is_none_or(|new| *new == self.bio)
            && language.is_none_or(|new| new == self.language)
            && personalised.is_none_or(|new| new == self.personalised)
            && interests.as_ref().is_none_or(|new| *new == self.interests)
    }

    fn change(&mut self, change: &ProfileChange) {
        let ProfileChange {
            display_name,
            bio,
            language,
            personalised,
            interests,
        } = change.clone();
        self.display_name = display_name.unwrap_or_else(|| self.display_name.clone());
        self.bio = bio.unwrap_or_else(|| self.bio.clone());
        self.language = language.unwrap_or(self.language);
        self.personalised = personalised.unwrap_or(self.personalised);
        self.interests = interests.unwrap_or_else(|| self.interests.clone());
    }
}

impl Aggregate for Account {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match command {
            Command::Register {
                username,
                email,
                display_name,
                password_hash,
                roles,
                interests,
            } => match self {
                Account::Absent => {
                    let roles = roles.with(Role::Learner);
                    let at = now;
                    Ok(vec![Event::Registered {
                        username,
                        email,
                        display_name,
                        password_hash,
                        roles,
                        interests,
                        at,
                    }])
                }
                Account::Open(_) | Account::Erased { .. } => Err(Error::AlreadyRegistered),
            },
            Command::ChangeProfile {
                change,
                expected_version,
            } => {
                let member = self.own()?;
                if expected_version.is_some_and(|expected| expected != member.version) {
                    return Err(Error::ChangedMeanwhile);
                }
                if member.profile.has(&change) {
                    return Ok(vec![]);
                }
                Ok(vec![Event::ProfileChanged { change }])
            }
            Command::ChangePassword {
                password_hash,
                replaces,
                keep_session,
            } => {
                if self.own()?.password_hash != replaces {
                    return Err(Error::InvalidCredentials);
                }
                Ok(vec![Event::PasswordChanged {
                    password_hash,
                    keep_session,
                    at: now,
                }])
            }
            Command::Suspend { reason } => match self.open()?.standing {
                Standing::Active => Ok(vec![Event::Suspended { reason, at: now }]),
                Standing::Suspended { .. } => Err(Error::wrong_state(self.state())),
            },
            Command::Reinstate => match self.open()?.standing {
                Standing::Active => Err(Error::wrong_state(self.state())),
                Standing::Suspended { .. } => Ok(vec![Event::Reinstated]),
            },
            Command::EndLogin { session_id } => {
                let known = self.open()?.ended.lists(session_id);
                Ok(if known {
                    vec![]
                } else {
                    vec![Event::LoginEnded { session_id }]
                })
            }
            Command::GrantRole { role } => {
                let known = self.open()?.roles.contains(role);
                Ok(if known {
                    vec![]
                } else {
                    vec![Event::RoleGranted { role }]
                })
            }
            Command::RevokeRole { role: Role::Learner } => {
                self.open()?;
                Err(Error::RoleRequired)
            }
            Command::RevokeRole { role } => {
                let known = self.open()?.roles.contains(role);
                Ok(if known {
                    vec![Event::RoleRevoked { role }]
                } else {
                    vec![]
                })
            }
            Command::Erase => {
                self.open()?;
                Ok(vec![Event::Erased { at: now }])
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Registered {
                username,
                email,
                display_name,
                password_hash,
                roles,
                interests,
                at,
            } => {
                *self = Account::Open(Box::new(Member {
                    username: username.clone(),
                    email: email.clone(),
                    password_hash: password_hash.clone(),
                    roles: *roles,
                    standing: Standing::Active,
                    profile: Profile {
                        display_name: display_name.clone(),
                        bio: Bio::default(),
                        language: Language::default(),
                        personalised: true,
                        interests: interests.clone(),
                    },
                    registered_at: *at,
                    version: 1,
                    ended: EndedLogins::default(),
                }));
            }
            Event::Erased { at } => *self = Account::Erased { at: *at },
            Event::Redacted => {}
            Event::LoginEnded { session_id } => {
                if let Account::Open(member) = self {
                    member.ended.end(*session_id);
                }
            }
            _ => {
                let Account::Open(member) = self else { return };
                member.version += 1;
                member.apply(event);
            }
        }
    }
}

impl Member {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::ProfileChanged { change } => self.profile.change(change),
            Event::PasswordChanged {
                password_hash,
                keep_session,
                at,
            } => {
                self.password_hash = password_hash.clone();
                self.ended.end_all(*at, *keep_session);
            }
            Event::Suspended { reason, at } => {
                self.ended.end_all(*at, None);
                self.standing = Standing::Suspended {
                    reason: reason.clone(),
                    since: *at,
                };
            }
            Event::Reinstated => self.standing = Standing::Active,
            Event::RoleGranted { role } => self.roles = self.roles.with(*role),
            Event::RoleRevoked { role } => self.roles = self.roles.without(*role),
            Event::Registered { .. } | Event::LoginEnded { .. } | Event::Erased { .. } | Event::Redacted => {}
        }
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
