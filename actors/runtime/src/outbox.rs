//! The outbox relay: delivers what commits left behind, at least once, and everything that was due later.
//!
//! Messages that are due at their commit arrive here directly from the writer; the table is read for the rest:
//! timers, messages of an earlier life of this node, and what overflowed. A message is deleted after its delivery,
//! put off after a failure, and moved to `dead_letters` when it is refused or has failed too often by our own fault.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lyceum_kernel::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use crate::database::Database;
use crate::effects::Message;
use crate::entity::EntityRef;
use crate::meters::OutboxMetrics;
use crate::ownership::ShardMap;
use crate::placement::Shard;
use crate::store_error::StoreError;
use crate::trace::{self, Span, SpanKind, Trace};
use crate::worker;

/// Limits of the relay; each a setting.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// How often the table is read for what is due.
    pub poll_every: Duration,
    /// Messages read at once, at most.
    pub poll_max: i64,
    /// Deliveries under way at once, at most.
    pub concurrency_max: usize,
    /// Deliveries that end in a fault before a message is given up.
    pub faults_max: i16,
    /// The longest pause between two deliveries of one message.
    pub retry_max: Duration,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            poll_every: Duration::from_millis(250),
            poll_max: 1_000,
            concurrency_max: 256,
            faults_max: 3,
            retry_max: Duration::from_secs(60),
        }
    }
}

/// A message that a writer has just committed.
#[derive(Clone, Debug)]
pub struct CommittedMessage {
    pub(crate) sender: EntityRef,
    pub(crate) shard: Shard,
    pub(crate) message: Message,
}

/// A queue that outlives the worker that reads it.
type Shared<T> = Arc<tokio::sync::Mutex<mpsc::Receiver<T>>>;

/// One message to deliver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Stays the same when the message is delivered again.
    pub id: u128,
    /// Whose commit sent it.
    pub sender: EntityRef,
    /// The sender's shard.
    pub shard: Shard,
    /// How often it could not be delivered before.
    pub attempts: i16,
    /// How often of these it was our own fault.
    pub faults: i16,
    /// The JSON payload.
    pub payload: String,
    /// The trace of the decision that sent it.
    pub trace: Trace,
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryError {
    /// Somebody is away: try again for as long as it takes.
    Unavailable,
    /// Our own fault: try again a few times.
    Fault(String),
    /// It can never succeed.
    Refused(String),
    /// Its time has not come: it is delivered then, and this was no attempt.
    NotYet {
        /// When.
        until: Timestamp,
    },
}

/// Delivers messages; receivers must bear repetition.
pub trait Deliver: Send + Sync + 'static {
    /// Delivers one message.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>>;
}

/// The relay of one node.
pub struct Relay {
    database: Database,
    shards: Arc<ShardMap>,
    settings: OutboxSettings,
    deliver: Arc<dyn Deliver>,
    /// Under way or delivered, and not yet deleted: not to be read again.
    underway: Mutex<HashSet<u128>>,
    places: Arc<Semaphore>,
    delivered: mpsc::Sender<Uuid>,
    metrics: OutboxMetrics,
}

impl Relay {
    /// Starts the relay's workers.
    pub fn start(
        database: Database,
        shards: Arc<ShardMap>,
        settings: OutboxSettings,
        deliver: Arc<dyn Deliver>,
        committed: mpsc::Receiver<Vec<CommittedMessage>>,
    ) {
        let (delivered, deletions) = mpsc::channel(settings.concurrency_max * 16);
        let relay = Arc::new(Relay {
            places: Arc::new(Semaphore::new(settings.concurrency_max)),
            database,
            shards,
            settings,
            deliver,
            underway: Mutex::default(),
            delivered,
            metrics: OutboxMetrics::new(),
        });
        let committed = Arc::new(tokio::sync::Mutex::new(committed));
        let deletions = Arc::new(tokio::sync::Mutex::new(deletions));
        let for_committed = relay.clone();
        worker::supervise("outbox relay", move || {
            for_committed.clone().relay(committed.clone())
        });
        let for_deletions = relay.clone();
        worker::supervise("outbox deletion", move || {
            for_deletions.clone().delete(deletions.clone())
        });
        worker::supervise("outbox poll", move || relay.clone().poll());
    }

    /// Delivers what commits hand over directly.
    async fn relay(self: Arc<Self>, committed: Shared<Vec<CommittedMessage>>) {
        let mut committed = committed.lock().await;
        while let Some(messages) = committed.recv().await {
            for CommittedMessage {
                sender,
                shard,
                message: Message {
                    id, payload, trace, ..
                },
            } in messages
            {
                self.clone()
                    .dispatch(Delivery {
                        id,
                        sender,
                        shard,
                        attempts: 0,
                        faults: 0,
                        payload,
                        trace,
                    })
                    .await;
            }
        }
    }

    /// Reads the table for what is due.
    async fn poll(self: Arc<Self>) {
        // A second late, so that what the writer has just handed over is not read as well; but of shards that were just
        // gained the writer was another one.
        // The plain bound is for the index on `due_at`: a bound that depends on the row's shard is none, and every timer would be read.
        const DUE: &str = "SELECT id, kind, entity, shard, attempts, faults, payload::text, trace FROM outbox \
            WHERE due_at <= now() AND shard = ANY ($1) AND due_at <= now() - CASE WHEN shard = ANY ($3) THEN interval '0' ELSE interval '1 second' END \
            ORDER BY due_at LIMIT $2";
        // A message that is put off stays as old as it is.
        const STATE: &str = "SELECT count(*), \
            coalesce(extract(epoch FROM now() - min(coalesce(put_off_since, due_at))), 0)::float8 FROM outbox \
            WHERE due_at <= now() OR put_off_since IS NOT NULL";
        let mut ticks = tokio::time::interval(self.settings.poll_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before: HashSet<i16> = self.owned().into_iter().collect();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Somebody waits for what was due at the shard's last owner: open sagas first of all.
                () = self.shards.gained() => {}
            }
            if let Ok(Some(row)) = self.database.query_opt(STATE, &[]).await {
                #[expect(clippy::cast_precision_loss, reason = "a gauge")]
                self.metrics.pending.set(row.get::<_, i64>(0) as f64);
                self.metrics.oldest.set(row.get::<_, f64>(1));
            }
            let owned = self.owned();
            let gained: Vec<i16> = owned
                .iter()
                .copied()
                .filter(|shard| !before.contains(shard))
                .collect();
            let rows = match self
                .database
                .query(DUE, &[&owned, &self.settings.poll_max, &gained])
                .await
            {
                Ok(rows) => {
                    before = owned.into_iter().collect();
                    rows
                }
                Err(error) => {
                    tracing::warn!(%error, "outbox cannot be read");
                    continue;
                }
            };
            for row in rows {
                let sender = EntityRef {
                    kind: row.get(1),
                    id: row.get::<_, Uuid>(2).as_u128(),
                };
                let shard = Shard::try_from(row.get::<_, i16>(3)).unwrap_or_default();
                let id = row.get::<_, Uuid>(0).as_u128();
                let delivery = Delivery {
                    id,
                    sender,
                    shard,
                    attempts: row.get(4),
                    faults: row.get(5),
                    payload: row.get(6),
                    trace: row
                        .get::<_, Option<&str>>(7)
                        .and_then(|text| Trace::parse(text.as_bytes()))
                        .unwrap_or_default(),
                };
                self.clone().dispatch(delivery).await;
            }
        }
    }

    fn owned(&self) -> Vec<i16> {
        (0..=Shard::MAX)
            .filter(|shard| self.shards.serving(*shard))
            .map(i16::from)
            .collect()
    }

    /// Delivers one message beside the others, as soon as there is a place for it.
    async fn dispatch(self: Arc<Self>, delivery: Delivery) {
        // Whoever serves the shard next reads it in the table.
        if !self.shards.serving(delivery.shard) || !self.underway().insert(delivery.id) {
            return;
        }
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return;
        };
        tokio::spawn(async move {
            let mut span = Span::begin(delivery.trace, SpanKind::Consumer, "outbox delivery");
            span.note("attempts", i64::from(delivery.attempts));
            let deliver = async { self.deliver.deliver(delivery.clone()).await };
            let deliver = trace::scope(span.context(), deliver);
            let outcome = AssertUnwindSafe(deliver)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(DeliveryError::Fault("the delivery panicked".to_owned())));
            drop(place);
            span.ended(outcome.is_ok());
            drop(span);
            match self.settle(&delivery, outcome).await {
                Ok(()) => {}
                Err(error) => {
                    // It stays in the table and is read again.
                    tracing::warn!(%error, "outbox message could not be settled");
                    self.underway().remove(&delivery.id);
                }
            }
        });
    }

    async fn settle(
        &self,
        delivery: &Delivery,
        outcome: Result<(), DeliveryError>,
    ) -> Result<(), StoreError> {
        let id = Uuid::from_u128(delivery.id);
        match outcome {
            Ok(()) => {
                self.metrics.delivered.increment();
                self.delivered.send(id).await.map_err(StoreError::unavailable)
            }
            Err(DeliveryError::Refused(reason)) => self.bury(id, &reason).await,
            Err(DeliveryError::Fault(reason)) if delivery.faults + 1 >= self.settings.faults_max => {
                self.bury(id, &reason).await
            }
            Err(DeliveryError::NotYet { until }) => {
                // At least the shortest pause, so that nobody turns in circles over a time that is past.
                const LATER: &str = "UPDATE outbox SET due_at = greatest(to_timestamp($2::bigint / 1000.0), \
                    now() + $3::bigint * interval '1 millisecond') WHERE id = $1";
                let (until, pause) = (until.as_millis(), self.pause(0));
                self.database.execute(LATER, &[&id, &until, &pause]).await?;
                self.underway().remove(&delivery.id);
                Ok(())
            }
            Err(error @ (DeliveryError::Fault(_) | DeliveryError::Unavailable)) => {
                const PUT_OFF: &str = "UPDATE outbox SET attempts = least(attempts + 1, 32767), faults = faults + $3, \
                    put_off_since = coalesce(put_off_since, due_at), \
                    due_at = now() + $2::bigint * interval '1 millisecond' WHERE id = $1";
                self.metrics.postponed.increment();
                let pause = self.pause(delivery.attempts);
                let fault = i16::from(matches!(error, DeliveryError::Fault(_)));
                self.database.execute(PUT_OFF, &[&id, &pause, &fault]).await?;
                self.underway().remove(&delivery.id);
                Ok(())
            }
        }
    }

    /// Half a second, doubling with each attempt.
    fn pause(&self, attempts: i16) -> i64 {
        let pause = Duration::from_millis(500).saturating_mul(1 << attempts.clamp(0, 16));
        i64::try_from(pause.min(self.settings.retry_max).as_millis()).unwrap_or(i64::MAX)
    }

    async fn bury(&self, id: Uuid, reason: &str) -> Result<(), StoreError> {
        const BURY: &str = "WITH dead AS (DELETE FROM outbox WHERE id = $1 RETURNING *) \
            INSERT INTO dead_letters (id, shard, kind, entity, attempts, payload, reason) \
            SELECT id, shard, kind, entity, attempts, payload, $2 FROM dead";
        tracing::error!(message.id = %id, reason, "outbox message given up");
        self.metrics.dead_letters.increment();
        self.metrics.buried.increment();
        self.database.execute(BURY, &[&id, &reason]).await?;
        self.underway().remove(&id.as_u128());
        Ok(())
    }

    /// Deletes what was delivered, many at a time.
    async fn delete(self: Arc<Self>, deletions: Shared<Uuid>) {
        const DELETE: &str = "DELETE FROM outbox WHERE id = ANY ($1)";
        let mut deletions = deletions.lock().await;
        let mut ids = Vec::new();
        while deletions.recv_many(&mut ids, 512).await > 0 {
            while let Err(error) = self.database.execute(DELETE, &[&ids]).await {
                tracing::warn!(%error, "delivered messages cannot be deleted yet");
                tokio::time::sleep(self.settings.poll_every).await;
            }
            let mut underway = self.underway();
            for id in ids.drain(..) {
                underway.remove(&id.as_u128());
            }
        }
    }

    fn underway(&self) -> std::sync::MutexGuard<'_, HashSet<u128>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
