//! The row of each account, written with its events, and the queries that read it.
//!
//! The row exists for what one entity cannot know: that a username or an email address is taken, and whose it is.

use lyceum_domain::accounts::{Account, Standing, Username};
use lyceum_domain::ids::UserId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Database, Effects, StoreError, Table, Value, row};

/// One row for each account. The constraints `accounts_username_unique` and `accounts_email_unique` refuse the
/// second of two registrations under one name.
static ACCOUNTS: Table = Table {
    name: "accounts",
    statement: "INSERT INTO accounts (user_id, username, username_key, email, email_key, display_name, roles, state, \
                interests, created_at, changed_at) \
                SELECT u, n, nk, e, ek, d, r::jsonb, s, i::jsonb, to_timestamp(c / 1000.0), to_timestamp(m / 1000.0) \
                FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
                $8::text[], $9::text[], $10::bigint[], $11::bigint[]) AS t(u, n, nk, e, ek, d, r, s, i, c, m) \
                ON CONFLICT (user_id) DO UPDATE SET username = excluded.username, \
                username_key = excluded.username_key, email = excluded.email, email_key = excluded.email_key, \
                display_name = excluded.display_name, roles = excluded.roles, state = excluded.state, \
                interests = excluded.interests, changed_at = excluded.changed_at",
    columns: &[
        Column::Uuid,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Json,
        Column::Text,
        Column::Json,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

/// Writes the row of an account as it is after a decision.
pub(super) fn write(user: UserId, account: &Account, now: Timestamp, effects: &mut Effects) {
    let Account::Open(member) = account else {
        if let Account::Erased { at } = account {
            let none = || Value::Null;
            let (list, state) = (Value::Static("[]"), account.state());
            effects.row(
                &ACCOUNTS,
                row![
                    user,
                    none(),
                    none(),
                    none(),
                    none(),
                    none(),
                    list.clone(),
                    state,
                    list,
                    *at,
                    now
                ],
            );
        }
        return;
    };
    let state = match member.standing {
        Standing::Active => "active",
        Standing::Suspended { .. } => "suspended",
    };
    effects.row(
        &ACCOUNTS,
        row![
            user,
            member.username.to_string(),
            member.username.key(),
            member.email.to_string(),
            member.email.key(),
            member.profile.display_name.to_string(),
            Value::json(&member.roles),
            state,
            Value::json(&member.profile.interests),
            member.registered_at,
            now
        ],
    );
}

/// Finds accounts by what one entity does not know.
#[derive(Clone)]
pub struct AccountQueries {
    database: Database,
}

impl AccountQueries {
    /// Reads through `database`.
    pub fn new(database: Database) -> Self {
        AccountQueries { database }
    }

    /// Finds whose username it is.
    ///
    /// # Errors
    /// The database does not answer in time.
    pub async fn user_of(&self, username: &Username) -> Result<Option<UserId>, StoreError> {
        let row = self
            .database
            .query_opt(
                "SELECT user_id FROM accounts WHERE username_key = $1",
                &[&username.key()],
            )
            .await?;
        Ok(row.map(|row| UserId::from_u128(row.get::<_, uuid::Uuid>(0).as_u128())))
    }
}
