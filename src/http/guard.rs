//! Who is asking, and whether they may: bearer token to [`Caller`], access rules, revoked sessions.
//!
//! Verifying a signature costs 30 µs, so a verified token is remembered by its full text until it expires. A
//! revoked session is looked up on every request, remembered token or not.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap};
use lyceum_domain::accounts::{Role, Roles};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_kernel::{Class, Timestamp};
use quick_cache::sync::Cache;

use super::problem::Problem;
use super::token::{TokenError, Tokens, Verified};

/// Who may use a route. Whatever belongs to one person is checked by the handler besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; a valid token is recognised if there is one.
    Public,
    /// Whoever is logged in.
    Caller,
    /// Whoever is logged in and has the role.
    Role(Role),
}

/// A person who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub user: UserId,
    /// The login.
    pub session: SessionId,
    /// When the login began.
    pub began: Timestamp,
    /// The roles at the time the token was issued.
    pub roles: Roles,
}

impl Caller {
    /// Refuses a caller without the role.
    ///
    /// # Errors
    /// 403 `http.forbidden`.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.roles.contains(role) {
            return Ok(());
        }
        Err(Problem::new(
            Class::Forbidden,
            "http.forbidden",
            format!("This needs the role {}.", role.name()),
        ))
    }
}

/// What a request says about who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Nothing.
    Anonymous,
    /// A valid token.
    Known(Caller),
    /// A token that proves nothing.
    Refused(TokenError),
}

impl Identity {
    pub(super) fn caller(&self) -> Result<Caller, Problem> {
        let (code, detail) = match self {
            Identity::Known(caller) => return Ok(*caller),
            Identity::Anonymous => ("http.unauthenticated", "An access token is required.".to_owned()),
            Identity::Refused(error) => (code(*error), error.to_string()),
        };
        Err(Problem::new(Class::Unauthenticated, code, detail))
    }

    pub(super) fn known(&self) -> Option<&Caller> {
        match self {
            Identity::Known(caller) => Some(caller),
            Identity::Anonymous | Identity::Refused(_) => None,
        }
    }

    /// Whether this identity may use a route.
    pub(super) fn admit(&self, access: Access) -> Result<(), Problem> {
        match access {
            Access::Public => Ok(()),
            Access::Caller => self.caller().map(drop),
            Access::Role(role) => self.caller()?.require(role),
        }
    }
}

fn code(error: TokenError) -> &'static str {
    match error {
        TokenError::Expired => "http.token_expired",
        TokenError::Revoked => "http.session_revoked",
        TokenError::Invalid | TokenError::Keys => "http.token_invalid",
    }
}

/// The sessions that were revoked while a token of theirs may still be valid, as far as this node knows.
pub trait Revocations: Send + Sync + 'static {
    /// Whether the session of this caller was revoked.
    fn revoked(&self, caller: &Caller) -> bool;
}

/// Turns tokens into callers.
pub(super) struct Guard {
    tokens: Arc<Tokens>,
    verified: Cache<Box<str>, Verified>,
    revocations: Arc<dyn Revocations>,
}

impl Guard {
    pub(super) fn new(tokens: Arc<Tokens>, verified_max: usize, revocations: Arc<dyn Revocations>) -> Self {
        let verified = Cache::new(verified_max);
        Guard {
            tokens,
            verified,
            revocations,
        }
    }

    /// Who is asking. `now` is only called when there is a token.
    pub(super) fn identify(&self, headers: &HeaderMap, now: impl FnOnce() -> Timestamp) -> Identity {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Identity::Anonymous;
        };
        let token = value
            .to_str()
            .ok()
            .and_then(bearer)
            .filter(|_| values.next().is_none());
        let Some(token) = token else {
            return Identity::Refused(TokenError::Invalid);
        };
        match self.verify(token, now()) {
            Ok(caller) => Identity::Known(caller),
            Err(error) => Identity::Refused(error),
        }
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, TokenError> {
        let remembered = self.verified.get(token);
        let verified = match remembered.filter(|verified| verified.generation == self.tokens.generation()) {
            Some(verified) => verified,
            None => {
                let verified = self.tokens.verify(token, now)?;
                self.verified.insert(token.into(), verified);
                verified
            }
        };
        let dead = if verified.expires <= now {
            TokenError::Expired
        } else if self.revocations.revoked(&verified.caller) {
            TokenError::Revoked
        } else {
            return Ok(verified.caller);
        };
        self.verified.remove(token);
        Err(dead)
    }
}

/// The token of `Bearer <token>`; the scheme's name is case-insensitive.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use lyceum_kernel::Id;

    use super::*;
    use crate::http::token::{SigningKey, TokenSettings};

    const NOW: Timestamp = Timestamp::EPOCH;

    /// Every session is revoked once this is set.
    #[derive(Default)]
    struct Switch(AtomicBool);

    impl Revocations for Switch {
        fn revoked(&self, _: &Caller) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn guard() -> (Guard, Arc<Tokens>, Arc<Switch>) {
        let key = SigningKey {
            kid: "a".into(),
            seed: [1; 32],
        };
        let tokens = Arc::new(Tokens::new(TokenSettings::default(), &[key]).unwrap());
        let revoked = Arc::new(Switch::default());
        (Guard::new(tokens.clone(), 10, revoked.clone()), tokens, revoked)
    }

    fn signed(tokens: &Tokens, roles: Roles) -> String {
        tokens
            .sign(Id::from_u128(1), (Id::from_u128(2), NOW), roles, NOW)
            .unwrap()
            .text
    }

    fn identify(guard: &Guard, values: &[&str], now: Timestamp) -> Identity {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        guard.identify(&headers, || now)
    }

    #[test]
    fn a_bearer_token_becomes_a_caller_and_is_remembered_until_it_expires() {
        let (guard, tokens, _) = guard();
        let token = signed(&tokens, Roles::default());
        let value = format!("bearer {token}");
        let later = NOW.plus(Duration::from_secs(605));

        for _ in 0..2 {
            assert!(matches!(identify(&guard, &[&value], NOW), Identity::Known(_)));
        }
        assert_eq!(
            identify(&guard, &[&value], later),
            Identity::Refused(TokenError::Expired)
        );
    }

    #[test]
    fn a_revoked_session_ends_at_once_although_its_token_is_remembered() {
        let (guard, tokens, revoked) = guard();
        let value = format!("Bearer {}", signed(&tokens, Roles::default()));
        assert!(matches!(identify(&guard, &[&value], NOW), Identity::Known(_)));

        revoked.0.store(true, Ordering::Relaxed);

        assert_eq!(
            identify(&guard, &[&value], NOW),
            Identity::Refused(TokenError::Revoked)
        );
    }

    #[test]
    fn a_remembered_token_ends_with_the_key_that_signed_it() {
        let (guard, tokens, _) = guard();
        let value = format!("Bearer {}", signed(&tokens, Roles::default()));
        assert!(matches!(identify(&guard, &[&value], NOW), Identity::Known(_)));

        tokens
            .rotate(&[SigningKey {
                kid: "b".into(),
                seed: [2; 32],
            }])
            .unwrap();

        assert_eq!(
            identify(&guard, &[&value], NOW),
            Identity::Refused(TokenError::Invalid)
        );
    }

    #[test]
    fn anything_but_one_bearer_token_identifies_nobody() {
        let (guard, tokens, _) = guard();
        let value = format!("Bearer {}", signed(&tokens, Roles::default()));

        assert_eq!(identify(&guard, &[], NOW), Identity::Anonymous);
        for values in [
            &["Bearer"][..],
            &["Basic abc"],
            &["Bearer x"],
            &["Bearer "],
            &[&value, &value],
        ] {
            assert_eq!(
                identify(&guard, values, NOW),
                Identity::Refused(TokenError::Invalid),
                "{values:?}"
            );
        }
    }

    #[test]
    fn roles_are_needed_where_the_route_asks_for_them() {
        let with = |roles| {
            Identity::Known(Caller {
                user: Id::from_u128(1),
                session: Id::from_u128(2),
                began: NOW,
                roles,
            })
        };
        let status = |identity: Identity, access| {
            identity
                .admit(access)
                .map_err(|problem| problem.status().as_u16())
        };
        let operator = Access::Role(Role::Operator);

        assert_eq!(status(Identity::Anonymous, Access::Public), Ok(()));
        assert_eq!(status(Identity::Anonymous, Access::Caller), Err(401));
        assert_eq!(status(Identity::Anonymous, operator), Err(401));
        assert_eq!(status(with(Roles::default()), Access::Caller), Ok(()));
        assert_eq!(status(with(Roles::default()), operator), Err(403));
        assert_eq!(
            status(with(Roles::default().with(Role::Operator)), operator),
            Ok(())
        );
    }
}
