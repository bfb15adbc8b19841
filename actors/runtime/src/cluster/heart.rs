//! Keeps the lease: a thread of its own, so that nothing the node does delays a renewal, and a canary, so that a node that does
//! nothing any more does not renew.
//!
//! The canary runs through the main runtime and every shard supervisor. As long as it comes back in time the thread renews; when it
//! does not, the lease ends and others claim the shards. A single shard whose supervisor is stuck is told to the
//! keeper, which gives it up, and holds nothing else back.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use super::lease::{Due, Lease, LeaseTerms};
use super::store::Store;
use crate::meters::ClusterMetrics;
use crate::ownership::ShardMap;
use crate::placement::{SHARDS, Shard};
use crate::shard::Supervisors;

/// How often the canary is sent.
const CANARY_EVERY: Duration = Duration::from_millis(100);
/// How often a node that stalls is looked at.
const STALLED_PAUSE: Duration = Duration::from_millis(20);
/// More stuck shards than this are no trouble of single shards.
const STUCK_MAX: usize = SHARDS / 4;

/// How a member's membership ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives.
    Living,
    /// It was declared dead; as another incarnation it may come back.
    Dead,
    /// Another process was started under its name, so it must not come back.
    Superseded,
    /// It has left.
    Left,
}

/// What the node tells its lease thread.
pub(super) struct Pulse {
    origin: Instant,
    /// When a turn had passed everywhere last, in milliseconds since `origin`; `MAX` until the first is sent.
    alive: AtomicU64,
    /// Turns a second of all shards.
    pub(super) load: AtomicU32,
    stuck: Mutex<BTreeSet<Shard>>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Pulse {
            origin: Instant::now(),
            alive: AtomicU64::new(u64::MAX),
            load: AtomicU32::new(0),
            stuck: Mutex::default(),
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn alive(&self) -> Duration {
        Duration::from_millis(self.alive.load(Ordering::Acquire))
    }

    fn live(&self, at: Duration) {
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.alive.store(millis, Ordering::Release);
    }

    /// The shards whose supervisors do not answer.
    pub(super) fn stuck(&self) -> BTreeSet<Shard> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends canaries through the node for as long as it lives.
pub(super) async fn sing(pulse: Arc<Pulse>, supervisors: Arc<Supervisors>, terms: LeaseTerms) {
    let mut ticks = tokio::time::interval(CANARY_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A start after a panic goes on counting.
    let mut number = supervisors.canaries().map(|(_, heard)| heard).max().unwrap_or(0);
    let mut sent = None;
    loop {
        ticks.tick().await;
        let now = pulse.now();
        let silent: BTreeSet<Shard> = supervisors
            .canaries()
            .filter(|(_, heard)| *heard < number)
            .map(|(shard, _)| shard)
            .collect();
        // Whoever answers again is not stuck any more.
        pulse
            .stuck
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|shard| silent.contains(shard));
        let late = sent.is_some_and(|sent| now.saturating_sub(sent) > terms.stall_max / 2);
        if late && silent.len() <= STUCK_MAX {
            pulse
                .stuck
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&silent);
        }
        let stuck = pulse.stuck();
        if silent.is_subset(&stuck) {
            pulse.live(sent.unwrap_or(now));
            number += 1;
            supervisors.canary(number);
            sent = Some(now);
        }
    }
}

/// The lease thread of one incarnation.
pub(super) struct Heart {
    pub(super) store: Store,
    pub(super) incarnation: Uuid,
    pub(super) terms: LeaseTerms,
    pub(super) shards: Arc<ShardMap>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) fate: watch::Sender<Fate>,
    pub(super) metrics: ClusterMetrics,
}

impl Heart {
    /// Starts the thread; it ends with the membership.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn start(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || runtime.block_on(self.beat()))
            .map(drop)
    }

    async fn beat(self) {
        let mut fate = self.fate.subscribe();
        let mut lease = Lease::new(self.terms);
        loop {
            let until = match lease.due(self.pulse.now(), self.pulse.alive()) {
                Due::Renew => {
                    self.renew(&mut lease).await;
                    continue;
                }
                Due::Wait(next) => next,
                Due::Stalled => self.pulse.now() + STALLED_PAUSE,
            };
            if self.over() {
                return;
            }
            tokio::select! {
                () = self.watch_lease(&lease, until) => {}
                _ = fate.changed() => {}
            }
        }
    }

    /// Waits until then, and takes the lease away when it ends before.
    async fn watch_lease(&self, lease: &Lease, until: Duration) {
        let at = |since_origin: Duration| tokio::time::Instant::from_std(self.pulse.origin + since_origin);
        if let Some(ends) = lease.ends().filter(|ends| *ends <= until) {
            tokio::time::sleep_until(at(ends)).await;
            self.suspend();
        }
        tokio::time::sleep_until(at(until)).await;
    }

    async fn renew(&self, lease: &mut Lease) {
        let sent = self.pulse.now();
        lease.sent(sent);
        let load = i32::try_from(self.pulse.load.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
        let renewal = self
            .store
            .renew(self.incarnation, self.terms.ttl, load, self.shards.refused());
        let mut renewal = std::pin::pin!(renewal);
        let far = sent + self.terms.ttl;
        let renewed = loop {
            tokio::select! {
                renewed = &mut renewal => break renewed,
                () = self.watch_lease(lease, far), if lease.held(self.pulse.now()) => {}
            }
        };
        match renewed {
            Ok(true) => {
                let ends = lease.granted(sent);
                let now = self.pulse.now();
                if now < ends {
                    if !self.shards.held(Instant::now()) {
                        tracing::info!("the lease is held");
                    }
                    self.shards.lease_until(self.pulse.origin + ends);
                }
                self.metrics
                    .lease_remaining
                    .set(ends.saturating_sub(now).as_secs_f64());
            }
            Ok(false) => self.end().await,
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed");
                self.suspend();
            }
        }
    }

    /// Takes the lease away if it has ended: nothing is served from then on.
    fn suspend(&self) {
        if self.shards.end_lease(Instant::now()) {
            self.metrics.lease_remaining.set(0.0);
            tracing::error!("the lease has ended; this node serves nothing until it is renewed");
        }
    }

    async fn end(&self) {
        self.shards.revoke_lease();
        self.metrics.lease_remaining.set(0.0);
        let fate = match self.store.end_of(self.incarnation).await {
            Ok(Some(because)) if because == "superseded" => Fate::Superseded,
            Ok(Some(because)) if because == "drained" => Fate::Left,
            // A row that is gone was deleted by somebody who meant it.
            Ok(_) => Fate::Dead,
            // It is asked again with the next renewal.
            Err(_) => return,
        };
        tracing::error!(?fate, "this incarnation has ended");
        self.fate.send_replace(fate);
    }

    fn over(&self) -> bool {
        *self.fate.borrow() != Fate::Living
    }
}
