//! Access tokens that the server did not issue: signed with its own key for somebody else, or with another key.

use std::time::{Duration, SystemTime};

use lyceum::http::{SigningKey, TokenSettings, Tokens};
use lyceum_domain::accounts::{Role, Roles};
use lyceum_kernel::Timestamp;

use super::{Site, User};

/// Signs tokens with a key of its choice.
pub(crate) struct Mint {
    key: SigningKey,
}

impl Mint {
    /// Has the site's own key.
    pub(crate) async fn of(site: &Site) -> Self {
        let database = site.stores.connect().await;
        let row = database
            .query_one(
                "SELECT kid, seed FROM signing_keys ORDER BY generation DESC LIMIT 1",
                &[],
            )
            .await
            .unwrap();
        let seed = row.get::<_, Vec<u8>>(1).try_into().unwrap();
        let key = SigningKey {
            kid: row.get(0),
            seed,
        };
        Mint { key }
    }

    /// Has another key of the same name.
    pub(crate) fn forger(&self) -> Self {
        let key = SigningKey {
            kid: self.key.kid.clone(),
            seed: [7; 32],
        };
        Mint { key }
    }

    /// A token of a user, as an operator, issued some time ago.
    pub(crate) fn token(&self, user: &User, settings: TokenSettings, age: Duration) -> String {
        let tokens = Tokens::new(settings, std::slice::from_ref(&self.key)).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let issued = i64::try_from((now - age).as_millis()).unwrap();
        let roles = Roles::default().with(Role::Operator);
        let (user_id, session) = (user.id.parse().unwrap(), user.session.parse().unwrap());
        tokens
            .sign(
                user_id,
                (session, Timestamp::from_millis(issued)),
                roles,
                Timestamp::from_millis(issued),
            )
            .unwrap()
            .text
    }
}
