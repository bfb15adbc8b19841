//! The database, as the oracle may see it: through a role that can only read, in snapshots.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, IsolationLevel, NoTls, Transaction};

use crate::Failure;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection behind a client; it ends some time after the client.
#[derive(Debug)]
pub struct Connected(JoinHandle<()>);

impl Connected {
    /// Ends the connection, so that nobody finds the database in use afterwards.
    pub async fn close(self, client: Client) {
        drop(client);
        // A connection that is stuck ends with the process.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.0).await;
    }
}

/// Opens a connection for reading.
///
/// # Errors
/// When the database cannot be reached, is none of Lyceum's, or when the role may write: a checker that could change what
/// it checks proves nothing.
pub async fn connect(url: &str) -> Result<(Client, Connected), Failure> {
    let (client, connection) = tokio::time::timeout(CONNECT_TIMEOUT, tokio_postgres::connect(url, NoTls))
        .await
        .map_err(|_| "the database did not answer within 10 s")??;
    let connected = Connected(tokio::spawn(async {
        // Whoever uses the client hears of its errors.
        let _ = connection.await;
    }));
    // Reading a whole journal takes longer than any statement of the product.
    client
        .batch_execute(
            "SET statement_timeout = '300s'; SET default_transaction_read_only = on; SET timezone = 'UTC'",
        )
        .await?;
    let may_write: bool = client
        .query_one(
            "SELECT bool_or(has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) FROM pg_class AS c \
             WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace",
            &[],
        )
        .await?
        .get::<_, Option<bool>>(0)
        .ok_or("the database has no tables")?;
    if may_write {
        return Err("the role may write; the oracle takes one that may only read (lyceum_read)".into());
    }
    Ok((client, connected))
}

/// Begins to read one state of the database, whatever is committed meanwhile.
///
/// # Errors
/// When the connection is gone.
pub async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, Failure> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    Ok(transaction)
}
