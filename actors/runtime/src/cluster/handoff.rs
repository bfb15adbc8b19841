//! Drives hand-offs: carries out what the [steward](super::steward) says and tells it what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::peers::Peers;
use super::steward::{Action, Event, Handoff, Outcome};
use super::store::Store;
use crate::journal::Entry;
use crate::meters::ClusterMetrics;
use crate::ownership::Owner;
use crate::placement::Shard;
use crate::region::Node;

/// The pause between two looks at who owns a shard whose hand-over has an unknown outcome.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// So many steps of a hand-off are told; one that goes as planned has four.
const LAPS_MAX: usize = 16;

/// How long the steps of a hand-off may take; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct HandoffLimits {
    /// For each of the preparations: to list what is in use, for the target to say that it takes the shard, and for what is idle to stop.
    pub prepare: Duration,
    /// For the shard's entities to finish and stop.
    pub seal: Duration,
    /// For the target to hear that the shard is its own.
    pub open: Duration,
}

impl Default for HandoffLimits {
    fn default() -> Self {
        HandoffLimits {
            prepare: Duration::from_millis(500),
            seal: Duration::from_secs(3),
            open: Duration::from_millis(500),
        }
    }
}

/// Hands shards of one node to others.
pub(super) struct Hands {
    pub(super) node: Arc<Node>,
    pub(super) store: Arc<Store>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) limits: HandoffLimits,
    pub(super) name: String,
    pub(super) incarnation: Uuid,
    pub(super) metrics: ClusterMetrics,
}

impl Hands {
    /// Hands a shard that is owned under `epoch` to another node, and answers how that ended.
    pub(super) async fn hand_off(&self, shard: Shard, epoch: i64, to: Owner, reason: &str) -> Outcome {
        let (mut handoff, mut action) = Handoff::begin(shard, epoch, self.incarnation, to.incarnation);
        let mut sealed_at = None;
        let next = Owner {
            epoch: epoch + 1,
            ..to
        };
        // Which step took how long, for whoever asks why a shard was away.
        let mut laps = Vec::new();
        loop {
            let began = Instant::now();
            let event = match action {
                Action::Prepare => self.prepare(shard, epoch, &next).await,
                Action::Seal => {
                    sealed_at = Some(Instant::now());
                    self.seal(shard, epoch).await
                }
                Action::Flip => self.flip(&handoff, reason).await,
                Action::Look => self.look(shard).await,
                Action::Retake => self.retake(shard, epoch).await,
                Action::Open(_) => {
                    let opened = self.peers.open(&next, shard);
                    // One that was not told reads it in the table.
                    let _ = tokio::time::timeout(self.limits.open, opened).await;
                    Event::Opened
                }
                Action::End(outcome) => {
                    tracing::debug!(shard, ?outcome, ?laps, reason, "a hand-off has ended");
                    self.end(shard, next, outcome, sealed_at);
                    return outcome;
                }
            };
            // Looking for an owner may go on for as long as Postgres is away.
            if laps.len() < LAPS_MAX {
                laps.push((action, began.elapsed()));
            }
            action = handoff.on(event);
        }
    }

    async fn prepare(&self, shard: Shard, epoch: i64, to: &Owner) -> Event {
        let limit = self.limits.prepare;
        let hot = self.node.supervisors.hottest(shard, limit).await;
        let prepared = tokio::time::timeout(limit, self.peers.prepare(to, shard, epoch, hot)).await;
        let prepared = prepared.unwrap_or(true);
        // What is idle is let go of only once it is known that the shard leaves.
        if prepared {
            self.node.supervisors.thin(shard, limit).await;
        }
        Event::Prepared(prepared)
    }

    /// Lets the entities finish and stop; what they left in the journal's queue is committed then.
    async fn seal(&self, shard: Shard, epoch: i64) -> Event {
        if self.node.shards.seal(shard) != Some(epoch) {
            return Event::Sealed(false);
        }
        let began = Instant::now();
        if !self.node.supervisors.hand_over(shard, self.limits.seal).await {
            return Event::Sealed(false);
        }
        let (told, passed) = oneshot::channel();
        let barrier = Entry::Barrier(
            shard,
            Box::new(move |outcome| {
                // Nobody is left to tell when the time is up.
                let _ = told.send(outcome.is_ok());
            }),
        );
        self.node.journal.submit(barrier);
        let left = self.limits.seal.saturating_sub(began.elapsed());
        Event::Sealed(matches!(tokio::time::timeout(left, passed).await, Ok(Ok(true))))
    }

    async fn flip(&self, handoff: &Handoff, reason: &str) -> Event {
        let (shard, epoch) = (handoff.shard, handoff.epoch);
        let from = (self.incarnation, self.name.as_str());
        match self.store.flip((shard, epoch), from, handoff.to, reason).await {
            Ok(Some(epoch)) => Event::Flipped(epoch),
            Ok(None) => Event::FlipUnsure,
            Err(error) => {
                tracing::warn!(shard, %error, "the outcome of a hand-over is unknown");
                Event::FlipUnsure
            }
        }
    }

    async fn retake(&self, shard: Shard, epoch: i64) -> Event {
        match self.store.retake(shard, epoch, self.incarnation).await {
            Ok(Some(epoch)) => Event::Retaken(epoch),
            Ok(None) => Event::FlipUnsure,
            Err(error) => {
                tracing::warn!(shard, %error, "whether a shard was retaken is unknown");
                Event::FlipUnsure
            }
        }
    }

    async fn look(&self, shard: Shard) -> Event {
        match self.store.owner(shard).await {
            Ok((epoch, owner)) => Event::Found(epoch, owner),
            Err(_) => {
                tokio::time::sleep(LOOK_PAUSE).await;
                Event::NotFound
            }
        }
    }

    /// Serves a shard on as before.
    pub(super) fn keep(&self, shard: Shard) {
        self.node.supervisors.open(shard);
        self.node.shards.unseal(shard);
    }

    fn end(&self, shard: Shard, to: Owner, outcome: Outcome, sealed_at: Option<Instant>) {
        match outcome {
            Outcome::Moved(epoch) => {
                if let Some(sealed_at) = sealed_at {
                    self.metrics.handoff.record(sealed_at.elapsed());
                }
                // Whoever waits goes there now.
                self.node.shards.learn(shard, Owner { epoch, ..to });
            }
            Outcome::Kept => self.keep(shard),
            Outcome::Retaken(epoch) => {
                self.node.supervisors.open(shard);
                self.node.shards.open(shard, epoch);
            }
            Outcome::Lost(epoch) => {
                tracing::warn!(shard, epoch, "a shard was lost while it was handed over");
                self.node.shards.fence(shard);
            }
        }
    }
}
