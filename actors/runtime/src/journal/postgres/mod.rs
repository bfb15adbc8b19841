//! The journal in Postgres: writers that group-commit, and loaders that recover many entities in one query.
//!
//! Each writer owns the shards whose number modulo the number of writers is its own, so the submissions of a
//! shard pass through one queue and commit in order. A writer takes whatever waits, up to a bound, without
//! lingering: a lone submission commits at once, a crowd shares one commit.

mod batch;
mod columns;
mod condition;
mod loader;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

pub use self::condition::Condition;
use self::loader::{Load, Loader};
use self::writer::Writer;
use super::{CommitError, Entry, History, Journal, Recorded};
use crate::context::Operation;
use crate::database::{Database, DatabaseSettings};
use crate::entity::EntityRef;
use crate::outbox::CommittedMessage;
use crate::ownership::ShardMap;
use crate::retry::{RetryBudget, RetryLimits};
use crate::store_error::StoreError;
use crate::worker;

/// Limits of the journal; each a setting.
#[derive(Clone, Debug)]
pub struct JournalSettings {
    /// How many writers, each with a connection of its own.
    pub writers: usize,
    /// Decisions in one group commit, at most.
    pub batch_max: usize,
    /// Decisions waiting for one writer, at most.
    pub queue_max: usize,
    /// How many loaders, each with a connection of its own.
    pub loaders: usize,
    /// Entities recovered by one query, at most.
    pub load_batch_max: usize,
    /// How long one group commit may take before its outcome counts as unknown.
    pub commit_timeout: Duration,
    /// How many commits may be repetitions, of all writers together.
    pub retries: RetryLimits,
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings {
            writers: 1,
            batch_max: 512,
            queue_max: 32_768,
            loaders: 2,
            load_batch_max: 256,
            commit_timeout: Duration::from_secs(5),
            retries: RetryLimits::default(),
        }
    }
}

/// The journal in Postgres.
pub struct PostgresJournal {
    writers: Vec<mpsc::Sender<Entry>>,
    loads: mpsc::Sender<Load>,
    database: Database,
    condition: Arc<Condition>,
}

/// Told the messages of a commit as soon as it has returned, so that they need not be read back.
pub(crate) type Committed = mpsc::Sender<Vec<CommittedMessage>>;

impl PostgresJournal {
    /// Starts writers and loaders for the incarnation that owns the shards of `shards`.
    ///
    /// Returns the journal and the messages it commits, for the outbox relay.
    pub fn start(
        settings: &JournalSettings,
        database: &DatabaseSettings,
        pool: Database,
        shards: &Arc<ShardMap>,
        incarnation: Uuid,
    ) -> (Self, mpsc::Receiver<Vec<CommittedMessage>>) {
        let (committed, messages) = mpsc::channel(settings.queue_max);
        let condition = Arc::<Condition>::default();
        let retries = Arc::new(RetryBudget::new(settings.retries));
        let mut config = database.config.clone();
        config.application_name(format!("lyceum {incarnation}"));
        let writers = (0..settings.writers)
            .map(|_| {
                let (sender, queue) = mpsc::channel(settings.queue_max);
                let queue = Arc::new(Mutex::new(queue));
                let (config, shards, settings) = (config.clone(), shards.clone(), settings.clone());
                let (committed, condition, retries) = (committed.clone(), condition.clone(), retries.clone());
                worker::supervise("journal writer", move || {
                    let (config, shards) = (config.clone(), shards.clone());
                    let (committed, condition, retries) =
                        (committed.clone(), condition.clone(), retries.clone());
                    Writer::new(
                        config,
                        incarnation,
                        shards,
                        &settings,
                        committed,
                        condition,
                        retries,
                    )
                    .run(queue.clone())
                });
                sender
            })
            .collect();
        let (loads, queue) = mpsc::channel(settings.queue_max);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..settings.loaders {
            let (config, settings, queue) = (config.clone(), settings.clone(), queue.clone());
            let timeout = database.statement_timeout;
            worker::supervise("journal loader", move || {
                Loader::new(config.clone(), &settings, timeout).run(queue.clone())
            });
        }
        (
            PostgresJournal {
                writers,
                loads,
                database: pool,
                condition,
            },
            messages,
        )
    }

    /// Whether the store takes commits, as long as the journal lives.
    pub fn condition(&self) -> Arc<Condition> {
        self.condition.clone()
    }
}

impl Journal for PostgresJournal {
    fn submit(&self, entry: Entry) {
        let writer = &self.writers[usize::from(entry.shard()) % self.writers.len()];
        if let Err(TrySendError::Full(entry) | TrySendError::Closed(entry)) = writer.try_send(entry) {
            entry.finish(Err(CommitError::Unavailable));
        }
    }

    fn load(&self, entity: EntityRef) -> BoxFuture<'static, Result<History, StoreError>> {
        let (reply, loaded) = tokio::sync::oneshot::channel();
        let queued = self.loads.try_send(Load { entity, reply });
        Box::pin(async move {
            queued.map_err(|_| StoreError::unavailable("too many entities are being recovered"))?;
            loaded
                .await
                .map_err(|_| StoreError::unavailable("recovery was interrupted"))?
        })
    }

    fn operation(&self, id: u128) -> BoxFuture<'static, Result<Option<Recorded>, StoreError>> {
        const FIND: &str = "SELECT kind, entity, fingerprint, answer::text FROM operations WHERE id = $1";
        let database = self.database.clone();
        Box::pin(async move {
            let found = database.query_opt(FIND, &[&Uuid::from_u128(id)]).await?;
            Ok(found.map(|row| Recorded {
                entity: EntityRef {
                    kind: row.get(0),
                    id: row.get::<_, Uuid>(1).as_u128(),
                },
                operation: Operation {
                    id,
                    fingerprint: row.get::<_, Uuid>(2).as_u128(),
                },
                answer: row.get(3),
            }))
        })
    }
}
