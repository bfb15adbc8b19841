//! A connection to Postgres of the cluster's own, so that neither a busy pool nor a slow query comes between a node and its lease.
//!
//! It is opened when it is needed, closed when anything but a refusal goes wrong, and each call has a deadline of its own. Calls
//! that are under way together share it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use crate::store_error::StoreError;

/// The pause between two attempts to connect, so that a store that is away is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// One connection, when there is one.
pub(super) struct Store {
    config: Config,
    timeout: Duration,
    state: Mutex<State>,
}

struct State {
    open: Option<Arc<Open>>,
    again_after: Instant,
}

struct Open {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Store {
    /// A connection under this name whose calls take no longer than `timeout`, connecting included.
    pub(super) fn new(config: &Config, name: &str, timeout: Duration) -> Self {
        let mut config = config.clone();
        config.application_name(name).connect_timeout(timeout);
        Store {
            config,
            timeout,
            state: Mutex::new(State {
                open: None,
                again_after: Instant::now(),
            }),
        }
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// The store is away, too slow, or refuses.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let answered = tokio::time::timeout(self.timeout, async {
            let open = self.open().await?;
            let outcome = open.query(sql, params).await;
            if let Err(error) = &outcome
                && error
                    .as_db_error()
                    .is_none_or(|refused| !is_of_the_statement(refused.code().code()))
            {
                self.close(&open).await;
            }
            Ok(outcome?)
        })
        .await;
        match answered {
            Ok(outcome) => outcome,
            Err(_) => {
                // Whatever the server still does with it, nobody waits for this connection any more.
                self.state.lock().await.open = None;
                Err(StoreError::unavailable("no answer in time"))
            }
        }
    }

    /// Runs a statement and returns its only row.
    ///
    /// # Errors
    /// As [`Store::query`]; or there is no row.
    pub(super) async fn query_one(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, StoreError> {
        let rows = self.query(sql, params).await?;
        rows.into_iter()
            .next()
            .ok_or_else(|| StoreError::refused("no row where there is always one"))
    }

    async fn open(&self) -> Result<Arc<Open>, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(open) = state.open.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(open.clone());
        }
        state.open = None;
        tokio::time::sleep_until(state.again_after.into()).await;
        state.again_after = Instant::now() + RECONNECT_PAUSE;
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        let open = Arc::new(Open {
            client,
            statements: Mutex::default(),
        });
        state.open = Some(open.clone());
        Ok(open)
    }

    async fn close(&self, failed: &Arc<Open>) {
        let mut state = self.state.lock().await;
        if state.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, failed)) {
            state.open = None;
        }
    }
}

impl Open {
    async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let known = self.statements.lock().await.get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(sql).await?;
                self.statements.lock().await.insert(sql, statement.clone());
                statement
            }
        };
        self.client.query(&statement, params).await
    }
}

/// Whether a refusal speaks of the statement alone, so that the connection is as good as before.
fn is_of_the_statement(code: &str) -> bool {
    !["08", "25", "53", "57", "58", "XX"]
        .iter()
        .any(|class| code.starts_with(class))
}
