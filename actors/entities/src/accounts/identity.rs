//! Who somebody is: registers, logs in, refreshes, changes passwords.
//!
//! Each of these needs the account, its sessions and the password hash together, in an order that leaves no gap: a
//! login that races with a suspension either sees the suspension or is ended by it. A login ends in the account first,
//! where that is durable, and then among the sessions, which forget it again if they crash soon enough.

use std::sync::Arc;

use lyceum_domain::accounts::{
    Command, Device, DisplayName, Email, Error, Interests, Policy, Roles, SessionCommand, Username,
};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{AskError, Context, Region, StoreError, clock, ids};

use super::tokens::Nonce;
use super::{
    AccountQueries, AccountQuestion, AccountView, Accounts, LoginView, Password, Passwords, RefreshToken,
    Revoked, SessionQuestion, Sessions, TokenSecret,
};
use crate::meters::AUTH_ATTEMPTS_TOTAL;

/// Registers, logs in, refreshes, changes passwords. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    /// Every account.
    pub accounts: Region<Accounts>,
    /// The logins of every user.
    pub sessions: Region<Sessions>,
    /// Finds accounts by username.
    pub queries: AccountQueries,
    /// Makes and checks hashes.
    pub passwords: Passwords,
    /// Derives refresh tokens.
    pub secret: TokenSecret,
    /// Logins that have ended lately.
    pub revoked: Arc<Revoked>,
    /// Limits on logins.
    pub policy: Policy,
    /// The roles of a new account.
    pub initial_roles: Roles,
}

/// What somebody registers with.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The name to log in with.
    pub username: Username,
    /// Where mail reaches them.
    pub email: Email,
    /// The name others see; the username if none.
    pub display_name: Option<DisplayName>,
    /// The password.
    pub password: Password,
    /// What they want to learn.
    pub interests: Interests,
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub roles: Roles,
    /// The login.
    pub login: LoginView,
    /// The token that refreshes it.
    pub refresh_token: RefreshToken,
}

impl Admitted {
    /// When this was decided: what the access token is issued at.
    pub fn at(&self) -> Timestamp {
        self.login.refreshed_at
    }
}

impl Identity {
    /// Opens an account.
    ///
    /// # Errors
    /// `accounts.username_taken`, `accounts.email_taken`, `accounts.password_length`, `accounts.password_too_weak`.
    pub async fn register(
        &self,
        registration: Registration,
        context: &Context,
    ) -> Result<(UserId, AccountView), AskError<Error>> {
        self.open(registration, self.initial_roles, context).await
    }

    /// Opens an account with every role unless its username is taken already; for the first operator of a new site.
    ///
    /// # Errors
    /// As [`Identity::register`].
    pub async fn ensure_operator(
        &self,
        registration: Registration,
        context: &Context,
    ) -> Result<(), AskError<Error>> {
        if self
            .queries
            .user_of(&registration.username)
            .await
            .map_err(|error| unavailable(&error))?
            .is_some()
        {
            return Ok(());
        }
        let roles = lyceum_domain::accounts::Role::ALL.into_iter().collect();
        match self.open(registration, roles, context).await {
            // Another node was quicker.
            Ok(_) | Err(AskError::Refused(Error::UsernameTaken)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn open(
        &self,
        registration: Registration,
        roles: Roles,
        context: &Context,
    ) -> Result<(UserId, AccountView), AskError<Error>> {
        let Registration {
            username,
            email,
            display_name,
            password,
            interests,
        } = registration;
        let display_name = match display_name {
            Some(name) => name,
            None => DisplayName::parse(username.as_str()).map_err(AskError::Refused)?,
        };
        let known = vec![username.to_string(), email.to_string(), display_name.to_string()];
        let password_hash = self.passwords.hash(password, known).await?;
        let command = Command::Register {
            username,
            email,
            display_name,
            password_hash,
            roles,
            interests,
        };
        self.accounts
            .create(command, AccountQuestion::View, context)
            .await
    }

    /// Begins a login.
    ///
    /// # Errors
    /// `accounts.invalid_credentials`, the same for an unknown user and after the same time;
    /// `accounts.account_suspended`, told only to whoever knows the password.
    pub async fn log_in(
        &self,
        username: &str,
        password: Password,
        device: Device,
        context: &Context,
    ) -> Result<Admitted, AskError<Error>> {
        let admitted = self.try_log_in(username, password, device, context).await;
        let result = match &admitted {
            Ok(_) => "succeeded",
            Err(AskError::Refused(Error::InvalidCredentials)) => "refused",
            Err(AskError::Refused(_)) => "suspended",
            Err(_) => "failed",
        };
        AUTH_ATTEMPTS_TOTAL.with([result]).increment();
        admitted
    }

    async fn try_log_in(
        &self,
        username: &str,
        password: Password,
        device: Device,
        context: &Context,
    ) -> Result<Admitted, AskError<Error>> {
        let began = clock::now();
        let user = match Username::parse(username) {
            Ok(username) => self
                .queries
                .user_of(&username)
                .await
                .map_err(|error| unavailable(&error))?,
            Err(_) => None,
        };
        let hash = match user {
            Some(user) => match self
                .accounts
                .read(user, AccountQuestion::Credentials, &unnamed(context))
                .await
            {
                Ok(view) => view.password_hash,
                Err(AskError::Refused(_)) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let fits = self.passwords.verify(password, hash).await?;
        let user = user
            .filter(|_| fits)
            .ok_or(AskError::Refused(Error::InvalidCredentials))?;
        // Before the login, so that a suspended user leaves no trace.
        self.accounts
            .read(user, AccountQuestion::ActiveView, &unnamed(context))
            .await?;

        let nonce = Nonce::of(context.operation);
        let attempt = context.operation.map(|_| nonce.hash());
        let session_id = ids::new();
        let command = SessionCommand::LogIn {
            session_id,
            device,
            refresh_hash: self.secret.first(user, session_id, &nonce).hash(),
            attempt,
            policy: self.policy,
        };
        let question = SessionQuestion::Begun { session_id, attempt };
        let login = self.login(user, command, question, context).await?;
        // A password that was changed since `began` is not the one that was checked.
        let roles = self.roles(user, login.id, began, context).await?;
        let refresh_token = self.secret.first(user, login.id, &nonce);
        Ok(Admitted {
            user,
            roles,
            login,
            refresh_token,
        })
    }

    /// Exchanges a refresh token for the next.
    ///
    /// # Errors
    /// `accounts.refresh_invalid`, `accounts.refresh_reused`, `accounts.session_ended`, `accounts.account_suspended`.
    pub async fn refresh(&self, presented: &str, context: &Context) -> Result<Admitted, AskError<Error>> {
        let presented: RefreshToken = presented.parse().map_err(AskError::Refused)?;
        // A node that fails right after a logout may load the login as it was before.
        if self.revoked.contains(presented.session_id) {
            return Err(AskError::Refused(Error::SessionEnded));
        }
        let (user, session_id) = (presented.user, presented.session_id);
        let refresh_token = self.secret.next(&presented, &Nonce::of(context.operation));
        let (presented, next) = (presented.hash(), refresh_token.hash());
        let command = SessionCommand::Refresh {
            session_id,
            presented,
            next,
            policy: self.policy,
        };
        let question = SessionQuestion::Served {
            session_id,
            token: next,
        };
        let login = match self.login(user, command, question, context).await {
            Err(AskError::Refused(Error::RefreshReused)) => {
                self.put_on_record(user, session_id, context).await?;
                return Err(AskError::Refused(Error::RefreshReused));
            }
            login => login?,
        };
        let roles = self.roles(user, session_id, login.started_at, context).await?;
        Ok(Admitted {
            user,
            roles,
            login,
            refresh_token,
        })
    }

    /// The active logins of a user, the oldest first; without those that have ended on record, which are left alone.
    ///
    /// # Errors
    /// None of its own.
    pub async fn logins(&self, user: UserId, context: &Context) -> Result<Vec<LoginView>, AskError<Error>> {
        let mut active = self.sessions.read(user, SessionQuestion::Active, context).await?;
        let mut index = 0;
        while let Some(login) = active.get(index) {
            match self.standing(user, login.id, login.started_at, context).await {
                Ok(_) => index += 1,
                Err(AskError::Refused(_)) => drop(active.remove(index)),
                Err(error) => return Err(error),
            }
        }
        Ok(active)
    }

    /// Ends a login. One that has ended on record and not yet among the sessions, because an earlier attempt was cut
    /// off between the two or a crash brought it back, is ended there as well.
    ///
    /// # Errors
    /// `accounts.session_not_found`, also for one that has ended.
    pub async fn log_out(
        &self,
        user: UserId,
        session_id: SessionId,
        context: &Context,
    ) -> Result<(), AskError<Error>> {
        let context = &unnamed(context);
        let active = self.sessions.read(user, SessionQuestion::Active, context).await?;
        if !active.iter().any(|login| login.id == session_id) {
            return Err(AskError::Refused(Error::SessionNotFound));
        }
        self.put_on_record(user, session_id, context).await?;
        let command = SessionCommand::LogOut { session_id };
        match self
            .sessions
            .ask(user, command, SessionQuestion::Active, context)
            .await
        {
            // It was active a moment ago: an earlier attempt was heard late.
            Ok(_) | Err(AskError::Refused(Error::SessionNotFound)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn put_on_record(
        &self,
        user: UserId,
        session_id: SessionId,
        context: &Context,
    ) -> Result<(), AskError<Error>> {
        let command = Command::EndLogin { session_id };
        self.accounts
            .ask(user, command, AccountQuestion::View, &unnamed(context))
            .await?;
        Ok(())
    }

    /// Carries out what begins or prolongs a login of `user`.
    async fn login(
        &self,
        user: UserId,
        command: SessionCommand,
        question: SessionQuestion,
        context: &Context,
    ) -> Result<LoginView, AskError<Error>> {
        let logins = self.sessions.ask(user, command, question, context).await?;
        logins
            .into_iter()
            .next()
            .ok_or(AskError::Refused(Error::SessionEnded))
    }

    /// What the owner of a login may do, read after the login is in place: a suspension that commits later finds the
    /// login and ends it, one that has committed is seen here.
    async fn roles(
        &self,
        user: UserId,
        session_id: SessionId,
        began: Timestamp,
        context: &Context,
    ) -> Result<Roles, AskError<Error>> {
        let standing = self.standing(user, session_id, began, context).await;
        if matches!(standing, Err(AskError::Refused(_))) {
            // The sessions have it as it was before a crash, or it began a moment too late to be ended.
            self.sessions.tell(user, SessionCommand::LogOut { session_id });
        }
        standing
    }

    /// What the owner of a login may do; refused if the account says that they may nothing or that it has ended.
    async fn standing(
        &self,
        user: UserId,
        session_id: SessionId,
        began: Timestamp,
        context: &Context,
    ) -> Result<Roles, AskError<Error>> {
        let question = AccountQuestion::LoginOf { session_id, began };
        let account = self.accounts.read(user, question, &unnamed(context)).await?;
        Ok(account.roles)
    }

    /// Replaces a password; every other login of the user ends.
    ///
    /// # Errors
    /// `accounts.invalid_credentials`, `accounts.password_length`, `accounts.password_too_weak`.
    pub async fn change_password(
        &self,
        user: UserId,
        current: Password,
        new: Password,
        keep_session: SessionId,
        context: &Context,
    ) -> Result<(), AskError<Error>> {
        let view = self
            .accounts
            .read(user, AccountQuestion::Credentials, &unnamed(context))
            .await?;
        let replaces = view.password_hash.ok_or(AskError::Unavailable)?;
        if !self.passwords.verify(current, Some(replaces.clone())).await? {
            // A repeated operation has changed it already, and is answered from its record.
            let repeated = context.operation.is_some() && self.passwords.verify(new, Some(replaces)).await?;
            return if repeated {
                Ok(())
            } else {
                Err(AskError::Refused(Error::InvalidCredentials))
            };
        }
        let known = vec![
            view.username.to_string(),
            view.email.to_string(),
            view.profile.display_name.to_string(),
        ];
        let password_hash = self.passwords.hash(new, known).await?;
        let keep_session = Some(keep_session);
        let command = Command::ChangePassword {
            password_hash,
            replaces,
            keep_session,
        };
        self.accounts
            .ask(user, command, AccountQuestion::View, context)
            .await?;
        Ok(())
    }
}

/// The context of a step that reads: the operation's name belongs to the one step that changes something, and its
/// record would answer in place of the state.
fn unnamed(context: &Context) -> Context {
    Context {
        operation: None,
        ..*context
    }
}

fn unavailable(error: &StoreError) -> AskError<Error> {
    tracing::warn!(%error, "an account could not be looked up");
    AskError::Unavailable
}
