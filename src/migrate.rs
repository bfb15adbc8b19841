//! Applies the embedded migrations of `config/migrations`, once each and in order.
//!
//! Flow: one connection takes an advisory lock, so nodes that start together wait for the first; what is recorded is
//! compared with what is embedded; each missing migration and its record commit in one transaction; finally our
//! role's server-side timeouts are set for this database.
//!
//! Invariant: what was applied never changes. A migration whose text differs from the recorded checksum, and a
//! database that is ahead of this build, are refused before anything is touched.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, NoTls};

use crate::settings::stores::Database;

/// Key of the advisory lock, "lyceum" in ASCII.
const LOCK: i64 = 0x6c79_6365_756d;
/// How long a node waits for another one that migrates.
const LOCK_WAIT: &str =
    "SET lock_timeout = '120s'; SET statement_timeout = 0; SET client_min_messages = warning";

/// One file of `config/migrations`.
struct Migration {
    number: i32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($number:literal $name:literal),* $(,)?) => {
        &[$(Migration { number: $number, name: $name, sql: include_str!(concat!("../config/migrations/", $name, ".sql")) }),*]
    };
}

/// All migrations in order; a test compares the list with the folder.
const MIGRATIONS: &[Migration] = migrations![
    1 "0001_journal",
    2 "0002_accounts",
    3 "0003_catalog",
    4 "0004_commerce",
    5 "0005_recommend",
    6 "0006_traces",
    7 "0007_ages",
    8 "0008_followers",
    9 "0009_cluster",
    10 "0010_audit",
    11 "0011_owned",
    12 "0012_ledger",
    13 "0013_adjustments",
    14 "0014_payers",
    15 "0015_churn",
    16 "0016_discounts",
    17 "0017_webhooks",
    18 "0018_sales",
    19 "0019_refunds",
    20 "0020_payments",
    21 "0021_offers",
    22 "0022_billing",
    23 "0023_coupons",
    24 "0024_bounded_looks",
    25 "0025_listeners",
    26 "0026_rereads",
    27 "0027_memberships",
    28 "0028_models",
    29 "0029_teams",
    30 "0030_orders_checked",
];

/// Why the database was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached or refuses a statement of ours.
    #[error("the database {0}")]
    Database(String),
    /// An applied migration differs from the embedded one.
    #[error("migration {0} was applied with another text; a change needs a new migration")]
    Changed(String),
    /// The database knows a migration that this build does not have.
    #[error("the database has migration {0}, which this build does not know; run the newer build")]
    Ahead(String),
    /// A migration failed and was rolled back.
    #[error("migration {name}, line {line}: {message}")]
    Failed {
        /// File name without `.sql`.
        name: &'static str,
        /// Line of the file that Postgres points at; 1 when it points nowhere.
        line: usize,
        /// What Postgres says.
        message: String,
    },
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        let message = match error.as_db_error() {
            Some(refusal) => format!("refuses: {}", refusal.message()),
            // The address is worth more than "error connecting to server", and its source knows the reason.
            None => match std::error::Error::source(&error) {
                Some(source) => format!("is away: {source}"),
                None => format!("is away: {error}"),
            },
        };
        Self::Database(message)
    }
}

/// Connects, applies what is missing and returns the names of what was applied.
///
/// # Errors
/// See [`MigrateError`]; the database is left at the last migration that committed.
pub async fn run(settings: &Database) -> Result<Vec<&'static str>, MigrateError> {
    let connecting = tokio_postgres::connect(settings.url.expose(), NoTls);
    let (mut client, connection) = tokio::time::timeout(*settings.connect_timeout_ms, connecting)
        .await
        .map_err(|_| MigrateError::Database("does not answer within database.connect_timeout_ms".into()))??;
    let connection = tokio::spawn(connection);
    let applied = apply(&mut client).await;
    if applied.is_ok() {
        set_timeouts(&client, settings).await?;
    }
    drop(client);
    // The connection ends with its client; how it ends changes nothing that was committed.
    let _ = connection.await;
    applied
}

/// Applies what is missing over a connection of its own, and returns the names of what was applied.
///
/// # Errors
/// See [`MigrateError`].
pub async fn apply(client: &mut Client) -> Result<Vec<&'static str>, MigrateError> {
    client.batch_execute(LOCK_WAIT).await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let result = apply_missing(client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    result
}

async fn apply_missing(client: &mut Client) -> Result<Vec<&'static str>, MigrateError> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 number int PRIMARY KEY,
                 name text NOT NULL,
                 checksum text NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now()
             );
             COMMENT ON TABLE schema_migrations IS 'Migrations that were applied, with the checksum of their text.'",
        )
        .await?;
    let rows = client
        .query(
            "SELECT number, name, checksum FROM schema_migrations ORDER BY number",
            &[],
        )
        .await?;
    for row in &rows {
        let (number, name, checksum): (i32, String, String) = (row.get(0), row.get(1), row.get(2));
        match MIGRATIONS.iter().find(|migration| migration.number == number) {
            None => return Err(MigrateError::Ahead(name)),
            Some(migration) if checksum_of(migration.sql) != checksum => {
                return Err(MigrateError::Changed(name));
            }
            Some(_) => {}
        }
    }
    let last = rows.last().map_or(0, |row| row.get(0));
    let mut applied = Vec::new();
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > last) {
        apply_one(client, migration).await?;
        applied.push(migration.name);
    }
    Ok(applied)
}

async fn apply_one(client: &mut Client, migration: &Migration) -> Result<(), MigrateError> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(migration.sql)
        .await
        .map_err(|error| failed(migration, &error))?;
    transaction
        .execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
            &[&migration.number, &migration.name, &checksum_of(migration.sql)],
        )
        .await?;
    transaction
        .commit()
        .await
        .map_err(|error| failed(migration, &error))
}

fn failed(migration: &Migration, error: &tokio_postgres::Error) -> MigrateError {
    let refusal = error.as_db_error();
    let position = match refusal.and_then(|refusal| refusal.position()) {
        Some(tokio_postgres::error::ErrorPosition::Original(position)) => {
            usize::try_from(*position).unwrap_or(0)
        }
        _ => 0,
    };
    let line = 1 + migration
        .sql
        .chars()
        .take(position.saturating_sub(1))
        .filter(|c| *c == '\n')
        .count();
    let message = refusal.map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
    MigrateError::Failed {
        name: migration.name,
        line,
        message,
    }
}

/// Sets the timeouts that the server enforces for our role in this database, for connections made from now on.
async fn set_timeouts(client: &Client, settings: &Database) -> Result<(), MigrateError> {
    let timeouts: [(&str, Duration); 3] = [
        ("statement_timeout", *settings.statement_timeout_ms),
        ("lock_timeout", *settings.lock_timeout_ms),
        (
            "idle_in_transaction_session_timeout",
            *settings.idle_in_transaction_timeout_ms,
        ),
    ];
    let database: String = client
        .query_one("SELECT quote_ident(current_database())", &[])
        .await?
        .get(0);
    // Nodes that start together would collide in the catalog, where Postgres does not wait but fails.
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    for (name, value) in timeouts {
        let millis = value.as_millis();
        client
            .batch_execute(&format!(
                "ALTER ROLE CURRENT_USER IN DATABASE {database} SET {name} = {millis}"
            ))
            .await?;
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(())
}

fn checksum_of(sql: &str) -> String {
    Sha256::digest(sql.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .map(|entries| {
                entries
                    .map(|entry| {
                        entry
                            .expect("readable")
                            .file_name()
                            .to_string_lossy()
                            .into_owned()
                    })
                    .collect()
            })
            .unwrap_or_default();
        files.sort();

        let listed: Vec<String> = MIGRATIONS
            .iter()
            .map(|migration| format!("{}.sql", migration.name))
            .collect();

        assert_eq!(listed, files);
    }

    #[test]
    fn numbers_are_those_of_the_names_and_have_no_gap() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(
                migration.number,
                i32::try_from(index + 1).expect("few migrations")
            );
            assert!(
                migration.name.starts_with(&format!("{:04}_", migration.number)),
                "{}",
                migration.name
            );
        }
    }
}
