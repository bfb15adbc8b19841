//! Settings of the stores: Postgres, Redis, the journal's group commit and the outbox.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Secret};

/// Postgres, and how long anything waits for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Where it is and who we are there.
    pub url: Secret,
    /// Connections for queries; each journal writer has one of its own besides.
    pub pool_size: usize,
    /// Longest wait for a connection of the pool.
    pub pool_wait_timeout_ms: Millis,
    /// Longest wait for a new connection.
    pub connect_timeout_ms: Millis,
    /// Longest statement, enforced by the server for our role.
    pub statement_timeout_ms: Millis,
    /// Longest wait for a lock, enforced by the server for our role.
    pub lock_timeout_ms: Millis,
    /// Longest pause inside a transaction, enforced by the server for our role.
    pub idle_in_transaction_timeout_ms: Millis,
}

impl Database {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.secret("database.url", &self.url, 12);
        checks.range("database.pool_size", self.pool_size, 1..=1000);
        let milliseconds = Duration::from_millis(10)..=Duration::from_mins(1);
        checks.duration(
            "database.pool_wait_timeout_ms",
            *self.pool_wait_timeout_ms,
            milliseconds.clone(),
        );
        checks.duration(
            "database.connect_timeout_ms",
            *self.connect_timeout_ms,
            milliseconds.clone(),
        );
        checks.duration(
            "database.lock_timeout_ms",
            *self.lock_timeout_ms,
            milliseconds.clone(),
        );
        checks.duration(
            "database.idle_in_transaction_timeout_ms",
            *self.idle_in_transaction_timeout_ms,
            milliseconds,
        );
    }
}

/// Redis, which may vanish at any time.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is.
    pub url: Secret,
    /// Connections, each carrying many commands at once.
    pub pool_size: usize,
    /// Longest wait for a new connection.
    pub connect_timeout_ms: Millis,
    /// Longest wait for the answer to a command.
    pub command_timeout_ms: Millis,
}

impl Redis {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.secret("redis.url", &self.url, 8);
        checks.range("redis.pool_size", self.pool_size, 1..=64);
        let milliseconds = Duration::from_millis(10)..=Duration::from_secs(30);
        checks.duration(
            "redis.connect_timeout_ms",
            *self.connect_timeout_ms,
            milliseconds.clone(),
        );
        checks.duration("redis.command_timeout_ms", *self.command_timeout_ms, milliseconds);
    }
}

/// Group commit: how much one transaction takes and how much may wait for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Writers, each with a connection and a part of the shards.
    pub writers: usize,
    /// Most rows of one transaction.
    pub batch_rows_max: usize,
    /// Most batches that wait for one writer.
    pub queue_max: usize,
    /// Events of one entity after which its state is saved, to keep its next start short.
    pub snapshot_every: u32,
}

impl Journal {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("journal.writers", self.writers, 1..=64);
        checks.range("journal.batch_rows_max", self.batch_rows_max, 1..=10_000);
        checks.range("journal.queue_max", self.queue_max, 16..=1_000_000);
        checks.range("journal.snapshot_every", self.snapshot_every, 1..=100_000);
    }
}

/// The relay that carries messages to other entities and to providers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    /// Pause between two looks for due messages when nobody signalled one.
    pub poll_ms: Millis,
    /// Most messages taken at once.
    pub batch_max: usize,
    /// Deliveries that made the receiver fail before a message goes to the dead letters.
    pub faults_max: u16,
    /// Deliveries under way at once.
    pub concurrency_max: usize,
    /// Longest pause between two deliveries of one message.
    pub retry_max_ms: Millis,
}

impl Outbox {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.duration(
            "outbox.poll_ms",
            *self.poll_ms,
            Duration::from_millis(10)..=Duration::from_mins(1),
        );
        checks.range("outbox.batch_max", self.batch_max, 1..=10_000);
        checks.range("outbox.faults_max", self.faults_max, 1..=1000);
        checks.range("outbox.concurrency_max", self.concurrency_max, 1..=10_000);
        checks.duration(
            "outbox.retry_max_ms",
            *self.retry_max_ms,
            Duration::from_secs(1)..=Duration::from_hours(1),
        );
    }
}

/// How many commits may be repetitions, of all journal writers together.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Retries per hundred commits that succeed.
    pub percent: u32,
    /// Retries a second that are let through whatever succeeds.
    pub per_second: u32,
}

impl Retries {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("retries.percent", self.percent, 0..=100);
        // Without any, nothing would ever find out that the store is well again.
        checks.range("retries.per_second", self.per_second, 1..=100_000);
    }
}
