//! Carries accepted events into the table of interactions, in batches, behind the answer.
//!
//! Flow: a profile records its signals into a bounded buffer; one worker writes what has gathered; closing the
//! worker writes the rest. Nothing waits for it: when the store is away the buffer fills, and what does not fit
//! is dropped and counted. Profiles hold the newest signals themselves, so only training misses them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::{Activity, ActivityWeights, EventId, Signal};
use lyceum_kernel::Timestamp;
use lyceum_runtime::clock;
use lyceum_runtime::metrics::{Counter, Histogram};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;
use uuid::Uuid;

use super::rows::RecommendRows;
use crate::meters::{RECOMMEND_EVENTS_DROPPED_TOTAL, RECOMMEND_FEEDBACK_LAG_SECONDS};

/// Limits of the buffer; each a setting.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// Events waiting to be written, at most; above it they are dropped. 50,000 are about 5 MB.
    pub buffer_max: usize,
    /// Events written by one statement, at most.
    pub batch_max: usize,
    /// How long events gather before they are written: each statement is a transaction.
    pub gather: Duration,
    /// How often a batch is tried before it is dropped.
    pub attempts_max: u32,
}

impl Default for SinkSettings {
    fn default() -> Self {
        SinkSettings {
            buffer_max: 50_000,
            batch_max: 1_000,
            gather: Duration::from_millis(200),
            attempts_max: 5,
        }
    }
}

/// One accepted event on its way to the table.
#[derive(Clone, Debug)]
pub(super) struct Interaction {
    pub(super) id: Uuid,
    pub(super) user: UserId,
    pub(super) course: CourseId,
    pub(super) activity: Activity,
    pub(super) value: f32,
    pub(super) weight: f32,
    pub(super) at: Timestamp,
    pub(super) event_id: Option<EventId>,
    pub(super) recorded: Timestamp,
}

/// Where profiles leave their signals. Cheap to clone.
#[derive(Clone)]
pub struct Sink {
    sender: mpsc::Sender<Interaction>,
    pub(super) rows: RecommendRows,
    pub(super) weights: Arc<ActivityWeights>,
    pub(super) recorded: Arc<AtomicU64>,
    elsewhere: Arc<AtomicU64>,
    pub(super) rated: Arc<Mutex<BTreeSet<CourseId>>>,
    dropped: Counter,
}

/// The worker that empties the buffer.
pub struct SinkWorker {
    worker: JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Sink {
    /// Starts the worker.
    pub fn start(
        rows: RecommendRows,
        weights: ActivityWeights,
        settings: SinkSettings,
    ) -> (Sink, SinkWorker) {
        let (sender, receiver) = mpsc::channel(settings.buffer_max.max(1));
        let (stop, stopped) = mpsc::channel(1);
        let dropped = RECOMMEND_EVENTS_DROPPED_TOTAL.get();
        let rated = Arc::<Mutex<BTreeSet<CourseId>>>::default();
        let writer = Writer {
            rows: rows.clone(),
            receiver,
            stopped,
            settings,
            rated: rated.clone(),
            dropped,
            lag: RECOMMEND_FEEDBACK_LAG_SECONDS.get(),
        };
        let sink = Sink {
            sender,
            rows,
            weights: Arc::new(weights),
            recorded: Arc::default(),
            elsewhere: Arc::default(),
            rated,
            dropped,
        };
        (
            sink,
            SinkWorker {
                worker: tokio::spawn(writer.run()),
                stop,
            },
        )
    }

    /// Records signals of a user. Never waits: what does not fit is dropped and counted.
    pub fn record(&self, user: UserId, signals: &[Signal]) {
        let recorded = clock::now();
        for signal in signals {
            let interaction = Interaction {
                id: Uuid::now_v7(),
                user,
                course: signal.course,
                activity: signal.activity,
                value: signal.value,
                weight: self.weights.of(signal.activity, signal.value),
                at: signal.at,
                event_id: signal.id,
                recorded,
            };
            if self.sender.try_send(interaction).is_err() {
                self.dropped.increment();
            }
        }
        self.recorded.fetch_add(signals.len() as u64, Ordering::Relaxed);
    }

    /// Events recorded by this node since it started.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Events recorded by all nodes since this one started, as far as it has heard.
    pub fn recorded_everywhere(&self) -> u64 {
        self.recorded() + self.elsewhere.load(Ordering::Relaxed)
    }

    /// Counts events that another node has recorded.
    pub(crate) fn recorded_elsewhere(&self, events: u64) {
        self.elsewhere.fetch_add(events, Ordering::Relaxed);
    }

    /// The courses of which ratings were written by this node since the last call.
    pub(crate) fn take_rated(&self) -> BTreeSet<CourseId> {
        std::mem::take(&mut *lock(&self.rated))
    }
}

impl SinkWorker {
    /// Writes what is left and ends. Signals recorded afterwards are dropped.
    pub async fn close(self) {
        // A worker that ended already has nothing left to write.
        let _ = self.stop.send(()).await;
        if let Err(error) = self.worker.await {
            warn!(%error, "interaction writer ended badly");
        }
    }
}

struct Writer {
    rows: RecommendRows,
    receiver: mpsc::Receiver<Interaction>,
    stopped: mpsc::Receiver<()>,
    settings: SinkSettings,
    rated: Arc<Mutex<BTreeSet<CourseId>>>,
    dropped: Counter,
    lag: Histogram,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.settings.batch_max);
        loop {
            tokio::select! {
                count = self.receiver.recv_many(&mut batch, self.settings.batch_max) => {
                    if count == 0 {
                        return;
                    }
                }
                _ = self.stopped.recv(), if !self.receiver.is_closed() => {
                    // Closed, the receiver still hands out what is buffered, and then ends the loop.
                    self.receiver.close();
                    continue;
                }
            }
            self.write(&batch).await;
            batch.clear();
            if !self.receiver.is_closed() && self.receiver.len() < self.settings.batch_max {
                tokio::select! {
                    () = tokio::time::sleep(self.settings.gather) => {}
                    _ = self.stopped.recv() => self.receiver.close(),
                }
            }
        }
    }

    async fn write(&self, batch: &[Interaction]) {
        // Whoever closes the sink is leaving and cannot wait for a store that is away.
        let attempts_max = if self.receiver.is_closed() {
            1
        } else {
            self.settings.attempts_max
        };
        for attempt in 1..=attempts_max {
            match self.rows.insert(batch).await {
                Ok(_) => {
                    note_rated(&self.rated, batch);
                    let now = clock::now();
                    self.lag.record(
                        batch
                            .first()
                            .map_or(Duration::ZERO, |oldest| now.since(oldest.recorded)),
                    );
                    return;
                }
                Err(error) if attempt == attempts_max => {
                    self.dropped.add(batch.len() as u64);
                    warn!(%error, events = batch.len(), "interactions dropped");
                }
                Err(_) => tokio::time::sleep(self.settings.gather * attempt).await,
            }
        }
    }
}

/// Remembers which courses were rated, once their ratings can be read.
pub(super) fn note_rated(rated: &Mutex<BTreeSet<CourseId>>, batch: &[Interaction]) {
    let ratings = batch.iter().filter(|one| one.activity == Activity::Rate);
    let mut courses = ratings.map(|one| one.course).peekable();
    if courses.peek().is_some() {
        lock(rated).extend(courses);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use lyceum_domain::recommend::Settings;
    use lyceum_runtime::{Database, DatabaseSettings};

    use super::*;

    #[tokio::test]
    async fn a_store_that_is_away_holds_up_neither_recording_nor_closing() {
        let soon = Duration::from_millis(50);
        let nowhere = DatabaseSettings::from_url("postgres://nobody@127.0.0.1:1/none", 1, soon, soon, soon);
        let database = Database::new(&nowhere.expect("an address")).expect("a pool");
        let settings = SinkSettings {
            buffer_max: 2,
            gather: Duration::ZERO,
            ..SinkSettings::default()
        };
        let (sink, worker) = Sink::start(
            RecommendRows::new(database),
            Settings::default().weights,
            settings,
        );
        let course = CourseId::from_u128(1);
        let signal = Signal {
            id: None,
            activity: Activity::View,
            course,
            at: Timestamp::EPOCH,
            value: 0.0,
        };

        sink.record(UserId::from_u128(1), &[signal; 100]);
        worker.close().await;

        assert_eq!(sink.recorded(), 100);
    }
}
