//! Accounts over HTTP: registration, logins, one's own profile, and what operators do to accounts.
//!
//! Texts are checked by the domain's own constructors, each problem with the place it comes from.

mod wire;

use lyceum_domain::accounts::{
    Bio, Command, DisplayName, Email, Error, Interest, Interests, ProfileChange, Reason, Role, Username,
};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_entities::accounts::{
    AccountQuestion, AccountView, Admitted, LoginView, Password, Registration, Revoked,
};
use lyceum_entities::commerce;
use lyceum_runtime::AskError;

use self::wire::{
    LogInBody, Nothing, PasswordBody, ProfileBody, RefreshBody, RegisterBody, RoleBody, SessionBody,
    SuspendBody, TokensBody, UserBody, UserWithBalance, session_body, user_body,
};
use super::{Api, Caller, Page, Problem, ProblemBody, Reply, Request, Revocations};

impl Revocations for Revoked {
    fn revoked(&self, caller: &Caller) -> bool {
        self.ended(caller.user, caller.session, caller.began)
    }
}

/// `POST /v1/users`: registers.
///
/// # Errors
/// 409 `accounts.username_taken`, `accounts.email_taken`; 422 `accounts.username_invalid`, `accounts.email_invalid`,
/// `accounts.display_name_invalid`, `accounts.interest_invalid`, `accounts.too_many_interests`,
/// `accounts.password_length`, `accounts.password_too_weak`.
#[utoipa::path(
    post, path = "/v1/users", tag = "accounts", request_body = RegisterBody, security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 201, body = UserBody, headers(("Location" = String, description = "the user"))),
        (status = 409, body = ProblemBody,
            description = "`accounts.username_taken`, `accounts.email_taken`"),
        (status = 422, body = ProblemBody, description = "`accounts.username_invalid`, `accounts.email_invalid`, \
            `accounts.display_name_invalid`, `accounts.interest_invalid`, `accounts.too_many_interests`, \
            `accounts.password_length`, `accounts.password_too_weak`"),
    )
)]
pub async fn register(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let RegisterBody {
        username,
        password,
        email,
        display_name,
        interests,
    } = request.json().await?;
    let registration = Registration {
        username: at("/username", Username::parse(&username))?,
        email: at("/email", Email::parse(&email))?,
        display_name: display_name
            .map(|text| at("/display_name", DisplayName::parse(&text)))
            .transpose()?,
        password: Password::new(password),
        interests: parse_interests(&interests)?,
    };

    let registered = api
        .platform
        .identity
        .register(registration, &request.context())
        .await;

    let (user, view) = registered.map_err(|error| password_at("/password", error))?;
    let version = view.version;
    Ok(Reply::created(format!("/v1/users/{user}"), &user_body(user, view)).version(version))
}

/// `POST /v1/sessions`: logs in.
///
/// # Errors
/// 401 `accounts.invalid_credentials`; 403 `accounts.account_suspended`.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "accounts", request_body = LogInBody, security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 201, body = TokensBody, headers(("Location" = String, description = "the session"))),
        (status = 401, body = ProblemBody, description = "`accounts.invalid_credentials`"),
        (status = 403, body = ProblemBody, description = "`accounts.account_suspended`"),
    )
)]
pub async fn log_in(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let LogInBody {
        username,
        password,
        device,
    } = request.json().await?;
    let device = device
        .as_deref()
        .or(request.user_agent())
        .unwrap_or("unknown device");

    let password = Password::new(password);
    let admitted = api
        .platform
        .identity
        .log_in(&username, password, device.into(), &request.context())
        .await?;

    let location = format!("/v1/sessions/{}", admitted.login.id);
    Ok(Reply::created(location, &tokens_body(api, admitted)?))
}

/// `POST /v1/sessions/refresh`: exchanges a refresh token for new tokens.
///
/// # Errors
/// 401 `accounts.refresh_invalid`, `accounts.refresh_reused`, `accounts.session_ended`; 403
/// `accounts.account_suspended`.
#[utoipa::path(
    post, path = "/v1/sessions/refresh", tag = "accounts", request_body = RefreshBody, security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = TokensBody),
        (status = 401, body = ProblemBody,
            description = "`accounts.refresh_invalid`, `accounts.refresh_reused`, `accounts.session_ended`"),
        (status = 403, body = ProblemBody, description = "`accounts.account_suspended`"),
    )
)]
pub async fn refresh(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let RefreshBody { refresh_token } = request.json().await?;

    let admitted = api
        .platform
        .identity
        .refresh(&refresh_token, &request.context())
        .await?;

    Ok(Reply::ok(&tokens_body(api, admitted)?))
}

/// `DELETE /v1/sessions/{id}`: logs out one of one's own logins.
///
/// # Errors
/// 404 `accounts.session_not_found`, also for somebody else's.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "accounts",
    params(("id" = String, Path, description = "the session")),
    responses(
        (status = 204, description = "logged out"),
        (status = 404, body = ProblemBody, description = "`accounts.session_not_found`"),
    )
)]
pub async fn log_out(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let session_id: SessionId = request.path("id")?;

    api.platform
        .identity
        .log_out(caller.user, session_id, &request.context())
        .await?;

    Ok(Reply::no_content())
}

/// `GET /v1/me/sessions`: one's own active logins, the oldest first; never more than fit one page.
///
/// # Errors
/// None of its own.
#[utoipa::path(
    get, path = "/v1/me/sessions", tag = "accounts",
    responses((status = 200, body = Page<SessionBody>))
)]
pub async fn list_sessions(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;

    let logins = api
        .platform
        .identity
        .logins(caller.user, &request.context())
        .await?;

    let session = |login: LoginView| {
        let current = login.id == caller.session;
        session_body(caller.user, login, current)
    };
    Ok(Reply::ok(&Page {
        data: logins.into_iter().map(session).collect(),
        next: None,
    }))
}

/// `GET /v1/me`: one's own profile.
///
/// # Errors
/// 403 `accounts.account_suspended`; 404 `accounts.account_not_found`.
#[utoipa::path(
    get, path = "/v1/me", tag = "accounts",
    responses(
        (status = 200, body = UserBody, headers(("ETag" = String, description = "the version"))),
        (status = 304, description = "not changed since"),
        (status = 403, body = ProblemBody, description = "`accounts.account_suspended`"),
        (status = 404, body = ProblemBody, description = "`accounts.account_not_found`"),
    )
)]
pub async fn me(api: &Api, request: Request) -> Result<Reply, Problem> {
    let Caller { user, .. } = request.caller()?;

    let view = api
        .platform
        .accounts
        .read(user, AccountQuestion::ActiveView, &request.context())
        .await?;

    Ok(user_reply(user, view))
}

/// `PATCH /v1/me`: edits one's own profile.
///
/// # Errors
/// 403 `accounts.account_suspended`; 412 `accounts.changed_meanwhile`, `http.stale`; 422
/// `accounts.display_name_invalid`, `accounts.bio_invalid`, `accounts.interest_invalid`, `accounts.too_many_interests`.
#[utoipa::path(
    patch, path = "/v1/me", tag = "accounts", request_body = ProfileBody,
    params(("If-Match" = Option<String>, Header, description = "the ETag of what is edited")),
    responses(
        (status = 200, body = UserBody, headers(("ETag" = String, description = "the version"))),
        (status = 403, body = ProblemBody, description = "`accounts.account_suspended`"),
        (status = 412, body = ProblemBody, description = "`accounts.changed_meanwhile`, `http.stale`"),
        (status = 422, body = ProblemBody, description = "`accounts.display_name_invalid`, `accounts.bio_invalid`, \
            `accounts.interest_invalid`, `accounts.too_many_interests`"),
    )
)]
pub async fn change_me(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let Caller { user, .. } = request.caller()?;
    let expected_version = request.if_match_version()?;
    let ProfileBody {
        display_name,
        bio,
        language,
        interests,
        preferences,
    } = request.json().await?;
    let change = ProfileChange {
        display_name: display_name
            .map(|text| at("/display_name", DisplayName::parse(&text)))
            .transpose()?,
        bio: bio.map(|text| at("/bio", Bio::parse(&text))).transpose()?,
        language,
        personalised: preferences.and_then(|change| change.personalised_recommendations),
        interests: interests.map(|texts| parse_interests(&texts)).transpose()?,
    };

    let command = Command::ChangeProfile {
        change,
        expected_version,
    };
    let view = api
        .platform
        .accounts
        .ask(user, command, AccountQuestion::ActiveView, &request.context())
        .await?;

    Ok(user_reply(user, view))
}

/// `POST /v1/me/password`: changes one's own password; every other login ends.
///
/// # Errors
/// 401 `accounts.invalid_credentials`; 403 `accounts.account_suspended`; 422 `accounts.password_length`,
/// `accounts.password_too_weak`.
#[utoipa::path(
    post, path = "/v1/me/password", tag = "accounts", request_body = PasswordBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 204, description = "changed"),
        (status = 401, body = ProblemBody, description = "`accounts.invalid_credentials`"),
        (status = 403, body = ProblemBody, description = "`accounts.account_suspended`"),
        (status = 422, body = ProblemBody,
            description = "`accounts.password_length`, `accounts.password_too_weak`"),
    )
)]
pub async fn change_password(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let Caller { user, session, .. } = request.caller()?;
    let PasswordBody {
        current_password,
        new_password,
    } = request.json().await?;

    let (current, new) = (Password::new(current_password), Password::new(new_password));
    let changed = api
        .platform
        .identity
        .change_password(user, current, new, session, &request.context())
        .await;

    changed.map_err(|error| password_at("/new_password", error))?;
    Ok(Reply::no_content())
}

/// `GET /v1/users/{id}`: a user with their balance, for themselves and for operators.
///
/// # Errors
/// 404 `accounts.account_not_found`, also for somebody else's.
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "accounts",
    params(("id" = String, Path, description = "the user")),
    responses(
        (status = 200, body = UserWithBalance),
        (status = 404, body = ProblemBody, description = "`accounts.account_not_found`"),
    )
)]
pub async fn user(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let user: UserId = request.path("id")?;
    if user != caller.user && !caller.roles.contains(Role::Operator) {
        return Err(Problem::from_error(&Error::AccountNotFound));
    }

    let context = request.context();
    let view = api
        .platform
        .accounts
        .read(user, AccountQuestion::View, &context)
        .await?;
    let wallet = api
        .platform
        .buyers
        .read(user, commerce::Question::Wallet, &context)
        .await?;
    let commerce::Answer::Wallet { balance, .. } = wallet else {
        return Err(Problem::internal("a wallet was asked for"));
    };

    Ok(Reply::ok(&UserWithBalance {
        user: user_body(user, view),
        balance,
    }))
}

/// `POST /admin/v1/users/{id}/suspend`: locks an account out and ends its logins.
///
/// # Errors
/// 404 `accounts.account_not_found`; 409 `accounts.wrong_state`; 422 `accounts.reason_invalid`.
#[utoipa::path(
    post, path = "/admin/v1/users/{id}/suspend", tag = "operators", request_body = SuspendBody,
    params(("id" = String, Path, description = "the user"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = UserBody),
        (status = 404, body = ProblemBody, description = "`accounts.account_not_found`"),
        (status = 409, body = ProblemBody, description = "`accounts.wrong_state` with `current_state`"),
        (status = 422, body = ProblemBody, description = "`accounts.reason_invalid`"),
    )
)]
pub async fn suspend(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let SuspendBody { reason } = request.json().await?;
    let reason = at("/reason", Reason::parse(&reason))?;

    change_account(api, &request, Command::Suspend { reason }).await
}

/// `POST /admin/v1/users/{id}/reinstate`: lets a suspended account in again.
///
/// # Errors
/// 404 `accounts.account_not_found`; 409 `accounts.wrong_state`.
#[utoipa::path(
    post, path = "/admin/v1/users/{id}/reinstate", tag = "operators",
    params(("id" = String, Path, description = "the user"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = UserBody),
        (status = 404, body = ProblemBody, description = "`accounts.account_not_found`"),
        (status = 409, body = ProblemBody, description = "`accounts.wrong_state` with `current_state`"),
    )
)]
pub async fn reinstate(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    request.json_if_any::<Nothing>().await?;

    change_account(api, &request, Command::Reinstate).await
}

/// `POST /admin/v1/users/{id}/roles`: gives a role or takes it away.
///
/// A role that is given counts from the next refresh on; when one is taken away the user's logins end.
///
/// # Errors
/// 404 `accounts.account_not_found`; 409 `accounts.wrong_state`; 422 `accounts.role_required`.
#[utoipa::path(
    post, path = "/admin/v1/users/{id}/roles", tag = "operators", request_body = RoleBody,
    params(("id" = String, Path, description = "the user"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = UserBody),
        (status = 404, body = ProblemBody, description = "`accounts.account_not_found`"),
        (status = 409, body = ProblemBody, description = "`accounts.wrong_state` with `current_state`"),
        (status = 422, body = ProblemBody, description = "`accounts.role_required`"),
    )
)]
pub async fn change_role(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let RoleBody { role, granted } = request.json().await?;

    let command = if granted {
        Command::GrantRole { role }
    } else {
        Command::RevokeRole { role }
    };
    change_account(api, &request, command).await
}

/// Carries out an operator's command on the account in the path.
async fn change_account(api: &Api, request: &Request, command: Command) -> Result<Reply, Problem> {
    let user: UserId = request.path("id")?;
    let view = api
        .platform
        .accounts
        .ask(user, command, AccountQuestion::View, &request.context())
        .await?;
    Ok(user_reply(user, view))
}

/// Says where in the body a refused value was.
fn at<T>(pointer: impl Into<String>, parsed: Result<T, Error>) -> Result<T, Problem> {
    parsed.map_err(|error| Problem::from_error(&error).at(pointer, error.to_string()))
}

/// Says where in the body a refused password was.
fn password_at(pointer: &str, error: AskError<Error>) -> Problem {
    match error {
        AskError::Refused(error @ (Error::PasswordLength | Error::PasswordTooWeak)) => {
            Problem::from_error(&error).at(pointer, error.to_string())
        }
        error => Problem::from(error),
    }
}

fn parse_interests(texts: &[String]) -> Result<Interests, Problem> {
    let mut interests = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        interests.push(at(format!("/interests/{index}"), Interest::parse(text))?);
    }
    at("/interests", Interests::new(interests))
}

fn user_reply(user: UserId, view: AccountView) -> Reply {
    let version = view.version;
    Reply::ok(&user_body(user, view)).version(version)
}

fn tokens_body(api: &Api, admitted: Admitted) -> Result<TokensBody, Problem> {
    let at = admitted.at();
    let Admitted {
        user,
        roles,
        login,
        refresh_token,
    } = admitted;
    let access = api
        .tokens
        .sign(user, (login.id, login.started_at), roles, at)
        .map_err(Problem::internal)?;
    Ok(TokensBody {
        access_token: access.text,
        token_type: "Bearer",
        expires_in: access.expires_in_s,
        refresh_token: refresh_token.reveal(),
        session: session_body(user, login, true),
    })
}
