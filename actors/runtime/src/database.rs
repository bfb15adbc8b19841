//! Postgres for everything but the journal's own writers: a pool, prepared statements, and a deadline on every call.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

use crate::meters;
use crate::metrics::Histogram;
use crate::store_error::StoreError;

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Where it is and who we are.
    pub config: Config,
    /// Connections in the pool, at most.
    pub pool_size: usize,
    /// How long to wait for a connection of the pool.
    pub wait_timeout: Duration,
    /// How long to wait for a new connection.
    pub connect_timeout: Duration,
    /// How long one statement may take, measured here; the server's own limit is set on each connection.
    pub statement_timeout: Duration,
}

impl DatabaseSettings {
    /// Reads a `postgres://user:password@host:port/database` address; every connection gets deadlines.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn from_url(
        url: &str,
        pool_size: usize,
        wait_timeout: Duration,
        connect_timeout: Duration,
        statement_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let mut config: Config = url.parse().map_err(StoreError::refused)?;
        let millis = statement_timeout.as_millis();
        config
            .connect_timeout(connect_timeout)
            .tcp_user_timeout(connect_timeout + statement_timeout)
            .keepalives_idle(Duration::from_secs(10))
            .options(format!(
                "-c statement_timeout={millis} -c lock_timeout={millis} -c idle_in_transaction_session_timeout={millis}"
            ));
        Ok(DatabaseSettings {
            config,
            pool_size,
            wait_timeout,
            connect_timeout,
            statement_timeout,
        })
    }
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    statement_timeout: Duration,
    wait: Histogram,
}

impl Database {
    /// Makes the pool; nothing is connected before the first call.
    ///
    /// # Errors
    /// The pool's settings contradict each other.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let mut config = settings.config.clone();
        config.application_name("lyceum pool");
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(config, NoTls, recycling))
            .max_size(settings.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.wait_timeout),
                create: Some(settings.connect_timeout),
                recycle: Some(settings.connect_timeout),
            })
            .build()
            .map_err(StoreError::refused)?;
        Ok(Database {
            pool,
            statement_timeout: settings.statement_timeout,
            wait: meters::pool_wait(),
        })
    }

    /// Runs a query and returns all of its rows.
    ///
    /// # Errors
    /// The store is away, too slow, or refuses.
    pub async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        self.timed(async {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, params).await?)
        })
        .await
    }

    /// Runs a query that returns at most one row.
    ///
    /// # Errors
    /// The store is away, too slow, or refuses; or there are several rows.
    pub async fn query_opt(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        let client = self.client().await?;
        self.timed(async {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query_opt(&statement, params).await?)
        })
        .await
    }

    /// Reads what may be too much for memory: in one snapshot, `page` rows at a time, each of which `each` is given in order.
    ///
    /// # Errors
    /// The store is away, refuses, or a page takes longer than a statement may.
    pub async fn stream(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        page: i32,
        mut each: impl FnMut(&Row) + Send,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let (transaction, portal) = self
            .timed(async {
                let transaction = client.build_transaction().read_only(true).start().await?;
                let statement = transaction.prepare_cached(sql).await?;
                let portal = transaction.bind(&statement, params).await?;
                Ok((transaction, portal))
            })
            .await?;
        loop {
            let rows = self
                .timed(async { Ok(transaction.query_portal(&portal, page).await?) })
                .await?;
            rows.iter().for_each(&mut each);
            if rows.is_empty() {
                // A reader has nothing to commit: the connection is given back as it was.
                return self.timed(async { Ok(transaction.rollback().await?) }).await;
            }
        }
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// The store is away, too slow, or refuses.
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let client = self.client().await?;
        self.timed(async {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.execute(&statement, params).await?)
        })
        .await
    }

    /// Whether Postgres answers a trivial query within `budget`.
    pub async fn answers(&self, budget: Duration) -> bool {
        tokio::time::timeout(budget, self.query("SELECT 1", &[]))
            .await
            .is_ok_and(|answer| answer.is_ok())
    }

    /// Connections in use, and open.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.size)
    }

    /// A connection of the pool, for the few places that need a transaction or a stream of their own.
    ///
    /// # Errors
    /// None became free, or none could be opened, in time.
    pub async fn client(&self) -> Result<Object, StoreError> {
        let began = std::time::Instant::now();
        let client = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => StoreError::from(error),
            other => StoreError::unavailable(other),
        });
        self.wait.record(began.elapsed());
        client
    }

    async fn timed<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        // The server's own limit ends the statement; a little later we stop waiting for a server that is gone.
        match tokio::time::timeout(self.statement_timeout * 2, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::unavailable("no answer in time")),
        }
    }
}
