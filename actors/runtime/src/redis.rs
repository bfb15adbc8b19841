//! Redis: snapshots and short-lived facts, never an authority for ownership, money or access.
//!
//! Every call has a deadline and is tried once; a client that lost its connection fails at once and reconnects by
//! itself in the background.

use std::time::Duration;

use bytes::Bytes;
use fred::clients::Pool;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy};
use fred::types::{Builder, Expiration};
use futures_util::future::BoxFuture;

use crate::meters::RedisMetrics;
use crate::snapshots::SnapshotStore;
use crate::store_error::StoreError;

/// Redis, by a small pool of multiplexed connections. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    pool: Pool,
    get: RedisMetrics,
    set: RedisMetrics,
}

impl Redis {
    /// Begins to connect and returns at once: a Redis that is away makes calls fail, not the start.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn connect(
        url: &str,
        connections: usize,
        connect_timeout: Duration,
        command_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let config = Config::from_url(url).map_err(StoreError::refused)?;
        let pool = Builder::from_config(config)
            .with_performance_config(|performance: &mut PerformanceConfig| {
                performance.default_command_timeout = command_timeout;
            })
            .with_connection_config(|connection: &mut ConnectionConfig| {
                connection.connection_timeout = connect_timeout;
                connection.internal_command_timeout = connect_timeout;
                // Repeating a command is the caller's decision.
                connection.max_command_attempts = 1;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
            .build_pool(connections.max(1))
            .map_err(StoreError::refused)?;
        pool.connect();
        Ok(Redis {
            pool,
            get: RedisMetrics::new("get"),
            set: RedisMetrics::new("set"),
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Redis is away or too slow.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        timed(&self.get, self.pool.get::<Option<Bytes>, _>(key)).await
    }

    /// Writes a key that expires after `ttl`.
    ///
    /// # Errors
    /// Redis is away or too slow; the key may have been written.
    pub async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        let seconds = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
        timed(
            &self.set,
            self.pool
                .set::<(), _, _>(key, value, Some(Expiration::EX(seconds)), None, false),
        )
        .await
    }

    /// Whether Redis answers within `budget`.
    pub async fn answers(&self, budget: Duration) -> bool {
        let ping = self.pool.ping::<String>(None);
        tokio::time::timeout(budget, ping)
            .await
            .is_ok_and(|answer| answer.is_ok())
    }
}

async fn timed<T>(
    seconds: &RedisMetrics,
    call: impl Future<Output = Result<T, fred::error::Error>>,
) -> Result<T, StoreError> {
    let began = std::time::Instant::now();
    let outcome = call.await;
    let seconds = if outcome.is_ok() {
        &seconds.ok
    } else {
        &seconds.error
    };
    seconds.record(began.elapsed());
    outcome.map_err(StoreError::unavailable)
}

impl SnapshotStore for Redis {
    fn get(&self, key: String) -> BoxFuture<'static, Result<Option<Bytes>, StoreError>> {
        let redis = self.clone();
        Box::pin(async move { Redis::get(&redis, &key).await })
    }

    fn put(&self, key: String, value: Bytes, ttl: Duration) -> BoxFuture<'static, Result<(), StoreError>> {
        let redis = self.clone();
        Box::pin(async move { redis.set(&key, value, ttl).await })
    }
}
