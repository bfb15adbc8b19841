//! What accounts look like on the wire.

use lyceum_domain::accounts::{
    Bio, Device, DisplayName, Email, Interests, Language, Role, Roles, Standing, Username,
};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_entities::accounts::{AccountView, LoginView};
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::shapes;

/// What somebody registers with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterBody {
    /// 3 to 32 letters and digits of any script, `_`, `-` and `.`; unique whatever its case.
    #[schema(example = "ada")]
    pub(super) username: String,
    /// 8 to 64 characters; what is guessed easily is refused.
    #[schema(format = Password, min_length = 8, max_length = 64)]
    pub(super) password: String,
    /// Unique.
    #[schema(example = "ada@example.com")]
    pub(super) email: String,
    /// 1 to 64 characters; the username if left out.
    pub(super) display_name: Option<String>,
    /// Up to 16 subjects, for the first recommendations.
    #[serde(default)]
    pub(super) interests: Vec<String>,
}

/// Proof of who somebody is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogInBody {
    /// The username, in any case.
    pub(super) username: String,
    /// The password.
    #[schema(format = Password)]
    pub(super) password: String,
    /// What the device is called in the list of logins; the User-Agent if left out.
    pub(super) device: Option<String>,
}

/// A refresh token to exchange.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshBody {
    /// The token from the last answer; it serves once.
    pub(super) refresh_token: String,
}

/// What to change of one's own profile; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileBody {
    /// 1 to 64 characters.
    pub(super) display_name: Option<String>,
    /// Up to 500 characters.
    pub(super) bio: Option<String>,
    /// The language to read the platform in.
    #[schema(value_type = Option<String>, pattern = "^(zh|en)$", example = "zh")]
    pub(super) language: Option<Language>,
    /// Up to 16 subjects; replaces all earlier ones.
    pub(super) interests: Option<Vec<String>>,
    /// What else may be set.
    pub(super) preferences: Option<PreferencesChange>,
}

/// Preferences to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreferencesChange {
    /// Whether recommendations may use what one does.
    pub(super) personalised_recommendations: Option<bool>,
}

/// A change of password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// The password so far.
    #[schema(format = Password)]
    pub(super) current_password: String,
    /// The password from now on.
    #[schema(format = Password, min_length = 8, max_length = 64)]
    pub(super) new_password: String,
}

/// Why an account is suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspendBody {
    /// 1 to 500 characters.
    pub(super) reason: String,
}

/// A role to give or to take away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleBody {
    /// The role.
    #[schema(value_type = String, pattern = "^(learner|creator|operator)$", example = "creator")]
    pub(super) role: Role,
    /// Whether the account has it from now on; true if left out.
    #[serde(default = "yes")]
    pub(super) granted: bool,
}

/// A user as they and operators see them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserBody {
    /// The id.
    #[schema(value_type = String, example = "usr_01h455vb4pex5vsknk084sn02q")]
    pub(super) id: UserId,
    /// The name to log in with.
    #[schema(value_type = String)]
    pub(super) username: Username,
    /// Where mail reaches them.
    #[schema(value_type = String)]
    pub(super) email: Email,
    /// The name others see.
    #[schema(value_type = String)]
    pub(super) display_name: DisplayName,
    /// What they say about themselves.
    #[schema(value_type = String)]
    pub(super) bio: Bio,
    /// The language they read in.
    #[schema(value_type = String, example = "zh")]
    pub(super) language: Language,
    /// What they want to learn.
    #[schema(value_type = Vec<String>)]
    pub(super) interests: Interests,
    /// What else they have set.
    pub(super) preferences: Preferences,
    /// What they may do.
    #[schema(value_type = Vec<String>)]
    pub(super) roles: Roles,
    /// `active` or `suspended`.
    pub(super) state: &'static str,
    /// When they registered.
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
}

/// What somebody has set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preferences {
    /// Whether recommendations may use what one does.
    pub(super) personalised_recommendations: bool,
}

/// A user and the money in their wallet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserWithBalance {
    /// The user.
    #[serde(flatten)]
    pub(super) user: UserBody,
    /// What the wallet holds, beside what is held for open orders.
    #[schema(value_type = shapes::Money)]
    pub(super) balance: Money,
}

/// One login on one device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionBody {
    /// The id.
    #[schema(value_type = String, example = "ses_01h455vb4pex5vsknk084sn02q")]
    pub(super) id: SessionId,
    /// Whose it is.
    #[schema(value_type = String, example = "usr_01h455vb4pex5vsknk084sn02q")]
    pub(super) user_id: UserId,
    /// What it was done from.
    #[schema(value_type = String)]
    pub(super) device: Device,
    /// Whether this request comes from it.
    pub(super) current: bool,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
    /// When its token was last refreshed.
    #[schema(value_type = String, format = DateTime)]
    pub(super) refreshed_at: Timestamp,
    /// When it ends unless it is refreshed before.
    #[schema(value_type = String, format = DateTime)]
    pub(super) expires_at: Timestamp,
}

/// The tokens of a login.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokensBody {
    /// Goes into `Authorization: Bearer …`.
    pub(super) access_token: String,
    /// Always `Bearer`.
    pub(super) token_type: &'static str,
    /// Seconds until the access token expires.
    pub(super) expires_in: u32,
    /// Serves once, at `POST /v1/sessions/refresh`.
    pub(super) refresh_token: String,
    /// The login.
    pub(super) session: SessionBody,
}

/// The body of a request that needs none: absent, or `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Renders a user.
pub(super) fn user_body(id: UserId, view: AccountView) -> UserBody {
    let AccountView {
        username,
        email,
        roles,
        standing,
        profile,
        registered_at,
        ..
    } = view;
    UserBody {
        id,
        username,
        email,
        display_name: profile.display_name,
        bio: profile.bio,
        language: profile.language,
        interests: profile.interests,
        preferences: Preferences {
            personalised_recommendations: profile.personalised,
        },
        roles,
        state: match standing {
            Standing::Active => "active",
            Standing::Suspended { .. } => "suspended",
        },
        created_at: registered_at,
    }
}

/// Renders a login; `current` if the request comes from it.
pub(super) fn session_body(user_id: UserId, login: LoginView, current: bool) -> SessionBody {
    let LoginView {
        id,
        device,
        started_at,
        refreshed_at,
        expires_at,
    } = login;
    SessionBody {
        id,
        user_id,
        device,
        current,
        created_at: started_at,
        refreshed_at,
        expires_at,
    }
}

fn yes() -> bool {
    true
}
