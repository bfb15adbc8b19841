//! Accounts bound to the runtime: the [`Accounts`] and [`Sessions`] entities and what stands around them.
//!
//! Flow of a suspension: `Suspend` commits together with an [`AccountsFlow::EndSessions`] message. The commit enters
//! [`Revoked`] on every node, by signal or through the journal, where the guard finds it before any access token expires;
//! the message's delivery ends every login of the user. A crash between any two of these steps only delays the rest,
//! because the message is delivered again. What the logins' own memory loses in a crash after it, the account has on
//! record: see [`Identity::refresh`].

mod flow;
mod identity;
mod keys;
mod passwords;
mod revoked;
mod rows;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::accounts::{
    Account, Device, Email, EndReason, Error, Event, Interests, Login, Member, PasswordHash, Policy, Profile,
    Roles, SessionEvent, SessionState, Standing, TokenHash, Username,
};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Durability, Effects, Entity, Kind};
use serde::{Deserialize, Serialize};

use crate::meters::REFRESH_REUSE_TOTAL;
use crate::redaction::redact;

pub use flow::AccountsFlow;
pub use identity::{Admitted, Identity, Registration};
pub use keys::{KeySet, KeySettings, Keys, SigningKey};
pub use passwords::{HashCost, Password, Passwords};
pub use revoked::Revoked;
pub use rows::AccountQueries;
pub use tokens::{RefreshToken, TokenSecret};

/// Whatever lay in a buffer when an account was erased has been written so long afterwards.
const WRITTEN_AFTER: Duration = Duration::from_mins(1);

/// Hears which interests a user has chosen, after the commit; it must be quick and may be lost with the process.
pub type InterestsChosen = Arc<dyn Fn(UserId, &Interests) + Send + Sync>;

/// Hears which login of a user made room for another; it must be quick and may be lost with the process.
pub type Displaced = Arc<dyn Fn(UserId, SessionId) + Send + Sync>;

/// Binds [`Account`].
pub struct Accounts {
    interests_chosen: InterestsChosen,
    revoked: Arc<Revoked>,
}

impl Accounts {
    /// Accounts whose changed interests are signalled to `interests_chosen`, and the logins that end to `revoked`.
    pub fn new(interests_chosen: InterestsChosen, revoked: Arc<Revoked>) -> Self {
        Accounts {
            interests_chosen,
            revoked,
        }
    }
}

/// Binds [`lyceum_domain::accounts::Sessions`].
#[derive(Clone)]
pub struct Sessions {
    revoked: Arc<Revoked>,
    displaced: Displaced,
    /// How long a snapshot is kept: no login outlives it.
    ttl: Duration,
}

/// What can be asked about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountQuestion {
    /// Who it is, suspended or not.
    View,
    /// Who it is; refused if they are suspended.
    ActiveView,
    /// As `ActiveView`; refused also if a login of theirs has ended.
    LoginOf {
        /// The login.
        session_id: SessionId,
        /// When it began.
        began: Timestamp,
    },
    /// As `View`, with the hash of the password.
    Credentials,
}

/// What is known about an open account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The name they log in with.
    pub username: Username,
    /// Where mail reaches them.
    pub email: Email,
    /// What they may do.
    pub roles: Roles,
    /// Whether they may use the platform.
    pub standing: Standing,
    /// What they may edit themselves.
    pub profile: Profile,
    /// When they registered.
    pub registered_at: Timestamp,
    /// Rises with every change.
    pub version: u64,
    /// Only in the answer to [`AccountQuestion::Credentials`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<PasswordHash>,
}

/// What can be asked about the logins of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionQuestion {
    /// The active logins, the oldest first.
    Active,
    /// The login that a named operation began; without a name, the login of this id.
    Begun {
        /// The login, if the operation has begun no other.
        session_id: SessionId,
        /// The hash of the operation's name.
        attempt: Option<TokenHash>,
    },
    /// One login, given that the token of this hash serves next.
    Served {
        /// The login.
        session_id: SessionId,
        /// The token's hash.
        token: TokenHash,
    },
}

/// One login as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginView {
    /// The login.
    pub id: SessionId,
    /// What it was done from.
    pub device: Device,
    /// When it began.
    pub started_at: Timestamp,
    /// When its token was last refreshed.
    pub refreshed_at: Timestamp,
    /// When it expires unless it is refreshed before.
    pub expires_at: Timestamp,
}

impl Sessions {
    /// Binds logins; those that end are put into `revoked`. Every other end is on record in the account before it is
    /// here; that one made room for another is decided here, and `displaced` puts it on record.
    pub fn new(revoked: Arc<Revoked>, displaced: Displaced, policy: Policy) -> Self {
        Sessions {
            revoked,
            displaced,
            ttl: policy.absolute,
        }
    }
}

impl Entity for Accounts {
    type State = Account;
    type Key = UserId;
    type Question = AccountQuestion;
    type Answer = AccountView;

    const KIND: Kind = Kind {
        name: "account",
        number: 1,
    };

    fn durability(&self) -> Durability {
        // An account changes a few times in its life: recovery seldom reads more than a handful of events.
        Durability::Journaled { snapshot_every: 64 }
    }

    fn answer(&self, state: &Account, question: AccountQuestion, _: Timestamp) -> Result<AccountView, Error> {
        match question {
            AccountQuestion::View => state.member().map(view),
            AccountQuestion::ActiveView => state.active().map(view),
            AccountQuestion::LoginOf { session_id, began } => {
                let member = state.active()?;
                if member.ended.contains(session_id, began) {
                    return Err(Error::SessionEnded);
                }
                Ok(view(member))
            }
            AccountQuestion::Credentials => state.member().map(|member| AccountView {
                password_hash: Some(member.password_hash.clone()),
                ..view(member)
            }),
        }
    }

    fn effects(&self, key: UserId, state: &Account, events: &[Event], now: Timestamp, effects: &mut Effects) {
        if events.iter().any(Event::ends_logins) {
            let (revoked, ended) = (self.revoked.clone(), events.to_vec());
            effects.after_commit(move || ended.iter().for_each(|event| revoked.take(key, event, now)));
        }
        if matches!(events, [Event::LoginEnded { .. }]) {
            return;
        }
        rows::write(key, state, now, effects);
        for event in events {
            let (reason, except) = match event {
                Event::Suspended { .. } => (EndReason::AccountClosed, None),
                Event::Erased { .. } => {
                    redact(key, Self::KIND, effects);
                    effects.message(now, &AccountsFlow::EraseSubscriber { user: key });
                    // At once, and again when what still lay in buffers has been written.
                    for due in [now, now.plus(WRITTEN_AFTER)] {
                        effects.message(due, &AccountsFlow::EraseLearner { user: key });
                    }
                    (EndReason::AccountClosed, None)
                }
                Event::PasswordChanged { keep_session, .. } => (EndReason::PasswordChanged, *keep_session),
                Event::ProfileChanged { change } => {
                    if let Some(interests) = change.interests.clone() {
                        let chosen = self.interests_chosen.clone();
                        effects.after_commit(move || chosen(key, &interests));
                    }
                    continue;
                }
                Event::RoleRevoked { .. } => (EndReason::RoleRevoked, None),
                Event::Registered { .. }
                | Event::Reinstated
                | Event::LoginEnded { .. }
                | Event::RoleGranted { .. }
                | Event::Redacted => continue,
            };
            effects.message(
                now,
                &AccountsFlow::EndSessions {
                    user: key,
                    reason,
                    except,
                    until: now,
                },
            );
        }
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        match constraint {
            "accounts_username_unique" => Some(Error::UsernameTaken),
            "accounts_email_unique" => Some(Error::EmailTaken),
            _ => None,
        }
    }
}

impl Entity for Sessions {
    type State = lyceum_domain::accounts::Sessions;
    type Key = UserId;
    type Question = SessionQuestion;
    type Answer = Vec<LoginView>;

    const KIND: Kind = Kind {
        name: "session",
        number: 2,
    };

    fn durability(&self) -> Durability {
        // A rotation that is lost with Redis' last second logs one device out; an end that is lost is on record in the
        // account. Nothing else follows from it.
        Durability::Snapshotted {
            ttl: self.ttl,
            flush_after: Duration::from_millis(200),
        }
    }

    fn answer(
        &self,
        state: &Self::State,
        question: SessionQuestion,
        now: Timestamp,
    ) -> Result<Vec<LoginView>, Error> {
        match question {
            SessionQuestion::Active => Ok(state
                .active(now)
                .map(|(id, login)| login_view(id, login))
                .collect()),
            SessionQuestion::Begun { session_id, attempt } => {
                let begun = attempt.and_then(|attempt| state.begun_by(attempt));
                let (id, login) = begun
                    .or_else(|| Some((session_id, state.login(session_id)?)))
                    .filter(|(_, login)| login.state(now) == SessionState::Active)
                    .ok_or(Error::SessionEnded)?;
                Ok(vec![login_view(id, login)])
            }
            SessionQuestion::Served { session_id, token } => {
                let login = state.login(session_id).ok_or(Error::SessionEnded)?;
                match login.revoked {
                    Some((EndReason::RefreshReused, _)) => Err(Error::RefreshReused),
                    None if login.serves(token) && login.state(now) == SessionState::Active => {
                        Ok(vec![login_view(session_id, login)])
                    }
                    _ => Err(Error::SessionEnded),
                }
            }
        }
    }

    fn effects(
        &self,
        user: UserId,
        _: &Self::State,
        events: &[SessionEvent],
        _: Timestamp,
        effects: &mut Effects,
    ) {
        for event in events {
            let (SessionEvent::Revoked { session_id, .. } | SessionEvent::ReuseDetected { session_id, .. }) =
                event
            else {
                continue;
            };
            if matches!(event, SessionEvent::ReuseDetected { .. }) {
                effects.after_commit(|| REFRESH_REUSE_TOTAL.get().increment());
            }
            let (revoked, session_id) = (self.revoked.clone(), *session_id);
            effects.after_commit(move || revoked.add(session_id));
            let SessionEvent::Revoked { reason, .. } = event else {
                continue;
            };
            if *reason == EndReason::Displaced {
                let displaced = self.displaced.clone();
                effects.after_commit(move || displaced(user, session_id));
            }
        }
    }
}

fn view(member: &Member) -> AccountView {
    AccountView {
        username: member.username.clone(),
        email: member.email.clone(),
        roles: member.roles,
        standing: member.standing.clone(),
        profile: member.profile.clone(),
        registered_at: member.registered_at,
        version: member.version,
        password_hash: None,
    }
}

fn login_view(id: SessionId, login: &Login) -> LoginView {
    LoginView {
        id,
        device: login.device.clone(),
        started_at: login.started_at,
        refreshed_at: login.refreshed_at,
        expires_at: login.expires_at,
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::accounts::{Command, DisplayName, Reason};
    use lyceum_kernel::Aggregate;

    use super::*;

    fn accounts() -> Accounts {
        Accounts::new(
            Arc::new(|_, _| {}),
            Arc::new(Revoked::new(Duration::from_secs(600))),
        )
    }

    fn member() -> Account {
        let mut account = Account::default();
        decide(
            &mut account,
            Command::Register {
                username: Username::parse("Ada").expect("valid"),
                email: Email::parse("Ada@example.com").expect("valid"),
                display_name: DisplayName::parse("Ada").expect("valid"),
                password_hash: PasswordHash::new("$hash"),
                roles: Roles::default(),
                interests: Interests::default(),
            },
        );
        account
    }

    fn decide(account: &mut Account, command: Command) -> (Vec<Event>, Effects) {
        let events = account.decide(command, Timestamp::EPOCH).expect("allowed");
        for event in &events {
            account.apply(event);
        }
        let mut effects = Effects::default();
        accounts().effects(
            UserId::from_u128(7),
            account,
            &events,
            Timestamp::EPOCH,
            &mut effects,
        );
        (events, effects)
    }

    #[test]
    fn a_suspension_sends_a_message_that_ends_every_login() {
        let mut account = member();

        let (_, effects) = decide(
            &mut account,
            Command::Suspend {
                reason: Reason::parse("spam").expect("valid"),
            },
        );

        let sent: Vec<AccountsFlow> = effects
            .messages()
            .map(|(_, payload)| serde_json::from_str(payload).expect("our own message"))
            .collect();
        let (user, reason) = (UserId::from_u128(7), EndReason::AccountClosed);
        assert_eq!(
            sent,
            [AccountsFlow::EndSessions {
                user,
                reason,
                except: None,
                until: Timestamp::EPOCH,
            }]
        );
    }

    #[test]
    fn erasure_leaves_nothing_personal_in_the_row_and_redacts_the_journal() {
        let mut account = member();

        let (_, effects) = decide(&mut account, Command::Erase);

        let written = format!("{:?}", effects.rows().collect::<Vec<_>>());
        assert!(!written.to_lowercase().contains("ada"), "{written}");
        assert!(written.contains("redact"), "{written}");
        let user = UserId::from_u128(7);
        let sent: Vec<AccountsFlow> = effects
            .messages()
            .map(|(_, payload)| serde_json::from_str(payload).expect("our own message"))
            .collect();
        assert!(sent.contains(&AccountsFlow::EraseSubscriber { user }), "{sent:?}");
        let forgotten = |flow: &&AccountsFlow| **flow == AccountsFlow::EraseLearner { user };
        assert_eq!(sent.iter().filter(forgotten).count(), 2, "{sent:?}");
    }

    #[test]
    fn only_the_question_for_credentials_is_answered_with_the_hash() {
        let account = member();

        for (question, shown) in [
            (AccountQuestion::View, false),
            (AccountQuestion::ActiveView, false),
            (AccountQuestion::Credentials, true),
        ] {
            let view = accounts()
                .answer(&account, question, Timestamp::EPOCH)
                .expect("open");

            assert_eq!(
                serde_json::to_string(&view)
                    .expect("serialises")
                    .contains("$hash"),
                shown
            );
        }
    }
}
