//! One journal writer: takes what waits, commits it together, answers each, and never lets one spoil the rest.
//!
//! A batch ends in one of these ways: committed; *fenced*, so the shards it names are given up and the rest is
//! tried again; refused by a constraint, so it is split until the one decision at fault fails alone; transient, so
//! it is tried again a few times, as long as the budget that all writers share allows; the store cannot write at all,
//! so all of it is unavailable; or the connection broke, so its outcome is unknown and every entity in it reloads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Config, Error, NoTls};
use uuid::Uuid;

use super::super::{CommitError, Entry, Submission};
use super::batch::{Plan, Prepared, commit};
use super::{Committed, Condition, JournalSettings};
use crate::clock;
use crate::meters::JournalMetrics;
use crate::outbox::CommittedMessage;
use crate::ownership::ShardMap;
use crate::retry::RetryBudget;

/// Raised by the `fence` function; its detail lists the shards.
const FENCED: &str = "LY001";
/// How often a batch that failed for a passing reason is tried again.
const TRANSIENT_RETRIES: u32 = 3;
/// The pause between two attempts to connect, so that a store that is away is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

type Batch = Vec<Box<Submission>>;

pub(super) struct Writer {
    config: Config,
    incarnation: Uuid,
    shards: Arc<ShardMap>,
    batch_max: usize,
    commit_timeout: Duration,
    committed: Committed,
    condition: Arc<Condition>,
    metrics: JournalMetrics,
    retries: Arc<RetryBudget>,
    connection: Option<Prepared>,
    reconnect_after: Instant,
}

impl Writer {
    pub(super) fn new(
        config: Config,
        incarnation: Uuid,
        shards: Arc<ShardMap>,
        settings: &JournalSettings,
        committed: Committed,
        condition: Arc<Condition>,
        retries: Arc<RetryBudget>,
    ) -> Self {
        Writer {
            config,
            incarnation,
            shards,
            batch_max: settings.batch_max,
            commit_timeout: settings.commit_timeout,
            committed,
            condition,
            metrics: JournalMetrics::new(),
            retries,
            connection: None,
            reconnect_after: Instant::now(),
        }
    }

    /// Serves its queue until every sender is gone.
    pub(super) async fn run(mut self, queue: Arc<Mutex<mpsc::Receiver<Entry>>>) {
        let mut queue = queue.lock().await;
        let mut entries = Vec::with_capacity(self.batch_max);
        while queue.recv_many(&mut entries, self.batch_max).await > 0 {
            let mut batch = Batch::with_capacity(entries.len());
            let mut barriers = Vec::new();
            for entry in entries.drain(..) {
                match entry {
                    Entry::Write(submission) => batch.push(submission),
                    Entry::Barrier(_, done) => barriers.push(done),
                }
            }
            self.write(batch).await;
            for done in barriers {
                done(Ok(()));
            }
        }
    }

    /// Commits what can be committed of a batch and answers all of it.
    ///
    /// Boxed because a batch that is split calls this for each half.
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut batch = self.admissible(batch);
            let mut repeated = false;
            for left in (0..=TRANSIENT_RETRIES).rev() {
                if batch.is_empty() {
                    return;
                }
                let error = match self.attempt(Plan::of(&batch)).await {
                    Ok(()) => {
                        self.retries.succeeded(repeated);
                        return self.succeed(batch).await;
                    }
                    Err(Failure::Database(error)) => error,
                    Err(Failure::Unreached) => return self.unavailable(batch),
                    Err(Failure::Broken) => {
                        self.condition.refused();
                        self.metrics.unknown.add(batch.len() as u64);
                        return fail(batch, &CommitError::Unknown);
                    }
                };
                match Fault::of(error.code()) {
                    Fault::Fenced => self.give_up_shards(&error),
                    Fault::Transient if left > 0 && self.retries.allows() => repeated = true,
                    Fault::Transient => return self.unavailable(batch),
                    Fault::Store => {
                        tracing::error!(%error, "the journal cannot write");
                        // A new connection may find the server that can.
                        self.connection = None;
                        return self.unavailable(batch);
                    }
                    Fault::Decision => return self.isolate(batch, &error).await,
                }
                batch = self.admissible(batch);
            }
            self.unavailable(batch);
        })
    }

    fn unavailable(&self, batch: Batch) {
        self.condition.refused();
        self.metrics.unavailable.add(batch.len() as u64);
        fail(batch, &CommitError::Unavailable);
    }

    /// Refuses what was decided on a state that vanished, or for a shard that is not owned any more.
    fn admissible(&self, batch: Batch) -> Batch {
        let mut admissible = Batch::with_capacity(batch.len());
        for mut submission in batch {
            if submission.lineage.has_failed() {
                submission.finish(Err(CommitError::Superseded));
            } else if submission.epoch == 0 || self.shards.epoch(submission.shard) != submission.epoch {
                self.metrics.fenced.increment();
                self.shards.refuse();
                submission.finish(Err(CommitError::Fenced));
            } else {
                admissible.push(submission);
            }
        }
        admissible
    }

    async fn attempt(&mut self, plan: Plan) -> Result<(), Failure> {
        let incarnation = self.incarnation;
        let timeout = self.commit_timeout;
        let connection = self.connection().await.ok_or(Failure::Unreached)?;
        let began = Instant::now();
        let outcome = tokio::time::timeout(timeout, commit(connection, incarnation, &plan)).await;
        self.metrics.commit.record(began.elapsed());
        self.metrics.batch_size.record_size(plan.submissions);
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.classify(&error)),
            Err(_) => {
                tracing::error!("a group commit timed out");
                self.connection = None;
                Err(Failure::Broken)
            }
        }
    }

    fn classify(&mut self, error: &Error) -> Failure {
        match error.as_db_error() {
            // The server is going down and has said so instead of committing, or after it.
            Some(refused) if refused.code().code().starts_with("57P") => {
                self.connection = None;
                Failure::Broken
            }
            Some(refused) => Failure::Database(Box::new(refused.clone())),
            None => {
                tracing::warn!(%error, "journal connection lost");
                self.connection = None;
                Failure::Broken
            }
        }
    }

    async fn succeed(&mut self, batch: Batch) {
        self.condition.committed();
        let mut messages = Vec::new();
        let now = clock::now();
        for submission in &batch {
            let due = submission
                .effects
                .messages
                .iter()
                .filter(|message| message.due <= now);
            messages.extend(due.map(|message| CommittedMessage {
                sender: submission.entity,
                shard: submission.shard,
                message: message.clone(),
            }));
        }
        if !messages.is_empty() {
            // What the relay cannot take now it will read from the table.
            let _ = self.committed.try_send(messages);
        }
        for mut submission in batch {
            submission.finish(Ok(()));
        }
    }

    /// Splits a refused batch until the decision at fault stands alone; order is kept.
    async fn isolate(&mut self, mut batch: Batch, error: &DbError) {
        if batch.len() == 1 {
            return fail(batch, &refusal(error));
        }
        self.metrics.bisected.increment();
        let rest = batch.split_off(batch.len() / 2);
        self.write(batch).await;
        self.write(rest).await;
    }

    fn give_up_shards(&self, error: &DbError) {
        let shards = error
            .detail()
            .unwrap_or_default()
            .split(',')
            .filter_map(|shard| shard.parse().ok());
        for shard in shards {
            if self.shards.fence(shard) {
                tracing::error!(shard, "shard has another owner; this node stops serving it");
            }
        }
    }

    async fn connection(&mut self) -> Option<&mut Prepared> {
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.client.is_closed())
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            if Instant::now() < self.reconnect_after {
                return None;
            }
            // The driver's own limit ends with the TCP handshake; a frozen server accepts and then says nothing.
            match tokio::time::timeout(self.commit_timeout, self.config.connect(NoTls)).await {
                Ok(Ok((client, connection))) => {
                    tokio::spawn(connection);
                    self.connection = Some(Prepared::new(client));
                }
                failed => {
                    match failed {
                        Ok(Err(error)) => tracing::warn!(%error, "journal cannot connect"),
                        _ => tracing::warn!("journal cannot connect in time"),
                    }
                    self.reconnect_after = Instant::now() + RECONNECT_PAUSE;
                }
            }
        }
        self.connection.as_mut()
    }
}

/// Why an attempt to commit failed.
enum Failure {
    /// No connection: certainly not committed.
    Unreached,
    /// The connection ended on the way: perhaps committed.
    Broken,
    /// Refused: certainly not committed.
    Database(Box<DbError>),
}

fn fail(batch: Batch, error: &CommitError) {
    for mut submission in batch {
        submission.finish(Err(error.clone()));
    }
}

/// Whose fault it is that the database refused a batch; whatever it is, nothing was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A shard has another owner.
    Fenced,
    /// Nobody's: the same batch may pass.
    Transient,
    /// The server's, so every decision would fail alike: to look for one at fault would ask a server in trouble
    /// twice as often as there are decisions, and blame each of them.
    Store,
    /// That of one decision in the batch.
    Decision,
}

impl Fault {
    fn of(code: &SqlState) -> Self {
        const TRANSIENT: [SqlState; 7] = [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::QUERY_CANCELED,
            SqlState::DISK_FULL,
            SqlState::OUT_OF_MEMORY,
            SqlState::TOO_MANY_CONNECTIONS,
        ];
        // Transaction state (read-only above all), resources, intervention, system (I/O), configuration file.
        const STORE: [&str; 5] = ["25", "53", "57", "58", "F0"];
        if code.code() == FENCED {
            Fault::Fenced
        } else if TRANSIENT.contains(code) {
            Fault::Transient
        } else if STORE.iter().any(|class| code.code().starts_with(class)) {
            Fault::Store
        } else {
            Fault::Decision
        }
    }
}

fn refusal(error: &DbError) -> CommitError {
    match error.constraint() {
        Some("operations_pkey") => CommitError::DuplicateOperation,
        // Another turn of this version exists: this memory was not the newest.
        Some("events_pkey") => CommitError::Superseded,
        Some(constraint) => CommitError::Constraint(constraint.to_owned()),
        None => CommitError::Fault(format!("{} ({})", error.message(), error.code().code())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_one_decision_can_cause_is_looked_for_in_the_batch() {
        for (code, fault) in [
            ("LY001", Fault::Fenced),
            ("40001", Fault::Transient),
            ("53100", Fault::Transient),
            ("25006", Fault::Store),
            ("53400", Fault::Store),
            ("58030", Fault::Store),
            ("22003", Fault::Decision),
            ("23505", Fault::Decision),
            // An oversized value is reported as an internal error, and one decision can bring it.
            ("XX000", Fault::Decision),
        ] {
            assert_eq!(Fault::of(&SqlState::from_code(code)), fault, "{code}");
        }
    }
}
