//! The keeper of a node: looks at the tables all the time, and does what follows for this node.
//!
//! Each look: who lives, who owns what → this node serves what is its own and lets go of what is not → whoever's lease is over is
//! declared dead → orphans are claimed, each by the member that is their heir → operators' wishes, a drain, or balance
//! start hand-offs, few at a time. Everything it changes is a compare-and-swap, so that two keepers that see different things do no
//! harm; what it misses in one look it finds in the next.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::duties;
use super::handoff::Hands;
use super::judge::Judge;
use super::members::{Member, MemberState, Roll};
use super::plan::Planned;
use super::steward::Outcome;
use super::{Cluster, Load, Stage};
use crate::ownership::{Owner, Place};
use crate::placement::{SHARDS, Shard};
use crate::store_error::StoreError;

/// How many looks lie between two deletions of what is old.
const RARELY: u32 = 600;
/// How often the loads of shards are taken.
const LOAD_EVERY: Duration = Duration::from_secs(1);

/// One life of the worker.
pub(super) struct Keeper {
    pub(super) cluster: Arc<Cluster>,
    pub(super) hands: Arc<Hands>,
    pub(super) origin: Instant,
    pub(super) judge: Judge,
    /// The moment that the last look shows at least.
    judge_at: Duration,
    pub(super) roll: Roll,
    since: String,
    /// By shard: when it was claimed or handed over.
    pub(super) owned_since: Vec<Instant>,
    /// Since when nobody who lives owns a shard.
    pub(super) orphaned: BTreeMap<Shard, Duration>,
    pub(super) moving: BTreeSet<Shard>,
    /// When a hand-off ended last.
    pub(super) moved_at: Instant,
    /// What is to be moved for balance, until it has been.
    pub(super) backlog: Vec<Planned>,
    /// The hand-offs under way: what became of each, and of which wish.
    underway: JoinSet<(Shard, Outcome, Option<i64>)>,
    pub(super) load: Load,
    load_taken: Instant,
    pub(super) looks: u32,
}

impl Keeper {
    pub(super) fn new(cluster: Arc<Cluster>, hands: Arc<Hands>) -> Self {
        Keeper {
            judge: Judge::new(cluster.settings.lease),
            cluster,
            hands,
            origin: Instant::now(),
            judge_at: Duration::ZERO,
            roll: Roll::default(),
            since: "0".to_owned(),
            owned_since: vec![Instant::now(); SHARDS],
            orphaned: BTreeMap::new(),
            moving: BTreeSet::new(),
            moved_at: Instant::now(),
            backlog: Vec::new(),
            underway: JoinSet::new(),
            load: Load::default(),
            load_taken: Instant::now(),
            looks: 0,
        }
    }

    /// Keeps until the membership ends.
    pub(super) async fn keep(mut self) {
        let mut ticks = tokio::time::interval(self.cluster.settings.poll_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut fate = self.cluster.fate();
        // A keeper that failed has left its hand-offs unfinished; whose the shards are is in the table.
        for shard in 0..=Shard::MAX {
            if self.cluster.shards.place(shard) == Place::Sealed {
                self.hands.node.supervisors.open(shard);
                self.cluster.shards.unseal(shard);
            }
        }
        let move_pause = self.cluster.settings.move_pause;
        loop {
            // The next one for balance need not wait for a look, if it may begin at all.
            let more = !self.backlog.is_empty()
                && self.moving.len() < self.moves_max()
                && self.cluster.shards.held(Instant::now());
            tokio::select! {
                _ = ticks.tick() => {}
                () = tokio::time::sleep(move_pause), if more => {}
                () = self.cluster.wake.notified() => {}
                Some(ended) = self.underway.join_next() => self.ended(ended).await,
                _ = fate.changed() => {}
            }
            if *fate.borrow() != super::Fate::Living {
                self.cluster.let_go();
                return;
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the cluster's tables cannot be read or written");
                // Everything is read again: a server that took over may have other transactions.
                self.since = "0".to_owned();
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let store = self.cluster.watching.clone();
        let ttl = self.cluster.settings.lease.ttl;
        let (began, looked) = (self.origin.elapsed(), Instant::now());
        // In this order: an owner that was read lives, or has ended since. The other way round a member that has just joined would
        // look as one that is gone.
        let (since, owned) = store.owners(&self.since).await?;
        let members = store.members(ttl).await?;
        self.judge_at = began;
        self.since = since;
        self.roll.members = members;
        for owned in owned {
            let index = usize::from(owned.shard);
            self.roll.owners[index] = owned.owner;
            let now = Instant::now();
            self.owned_since[index] = now.checked_sub(owned.age).unwrap_or(now);
        }
        for (shard, owner) in self.roll.shards() {
            self.cluster.shards.correct(shard, owner.epoch, looked);
        }
        self.judge.look(self.origin.elapsed(), &self.roll);
        self.settle();
        self.bury().await?;
        self.claim().await?;
        self.measure();
        self.follow_wishes_for_me().await?;
        self.start_hand_offs().await?;
        self.cluster.seen(&self.roll);
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(RARELY) {
            store.forget_old().await?;
        }
        Ok(())
    }

    pub(super) fn me(&self) -> Option<&Member> {
        self.roll.members.get(&self.cluster.incarnation)
    }

    /// Serves what is this node's and lets go of what is not.
    fn settle(&mut self) {
        let moving = |shard| self.moving.contains(&shard);
        let me = self.cluster.incarnation;
        let followed = duties::follow(&self.cluster.shards, &self.roll, me, moving);
        for (shard, epoch) in followed.gained {
            self.cluster.serve(shard, epoch);
        }
        if !followed.lost.is_empty() {
            let lost = followed.lost;
            tracing::warn!(shards = ?lost, "shards have another owner; this node has stopped serving them");
            lost.iter()
                .for_each(|shard| self.hands.node.supervisors.forget(*shard));
        }
    }

    /// Declares dead whoever's lease is over, and whom an operator wants dead.
    async fn bury(&mut self) -> Result<(), StoreError> {
        let expired = self.judge.expired(self.judge_at);
        for burial in duties::burials(&self.roll, &expired, self.cluster.incarnation) {
            let ttl = self.cluster.settings.lease.ttl;
            if self.cluster.steering.bury(burial, ttl).await? {
                let (incarnation, because) = (burial.incarnation, burial.because.as_str());
                tracing::warn!(%incarnation, because, "member is dead");
                self.roll.members.remove(&incarnation);
            }
        }
        Ok(())
    }

    /// Claims the orphans that are for this node, and those that their heir has not claimed.
    async fn claim(&mut self) -> Result<(), StoreError> {
        let now = self.origin.elapsed();
        duties::note_orphans(&mut self.orphaned, &self.roll, now);
        let may = self.me().is_some_and(|me| me.state == MemberState::Serving)
            && self.cluster.shards.held(Instant::now())
            && self.cluster.stage() == Stage::Serving;
        if self.orphaned.is_empty() || !may {
            return Ok(());
        }
        let stuck = self.cluster.pulse.stuck();
        let (me, grace) = (self.cluster.incarnation, self.cluster.settings.claim_grace);
        let mut mine = duties::claims(&self.roll, me, &self.orphaned, now, grace);
        mine.retain(|(shard, _)| !stuck.contains(shard) && !self.moving.contains(shard));
        if mine.is_empty() {
            return Ok(());
        }
        let owners = mine
            .iter()
            .map(|(shard, _)| self.roll.owners[usize::from(*shard)].incarnation);
        let dead: BTreeSet<Uuid> = owners.flatten().collect();
        self.cluster
            .steering
            .end_backends(&dead.into_iter().collect::<Vec<_>>())
            .await?;
        let claimed = self
            .cluster
            .steering
            .claim(self.cluster.incarnation, &self.cluster.node, &mine)
            .await?;
        for claimed in &claimed {
            if let Some(after) = claimed.after {
                self.cluster.metrics.takeover.record(after);
            }
            self.cluster.serve(claimed.shard, claimed.epoch);
        }
        if !claimed.is_empty() {
            tracing::info!(shards = claimed.len(), "shards claimed");
        }
        Ok(())
    }

    fn measure(&mut self) {
        let elapsed = self.load_taken.elapsed();
        if elapsed >= LOAD_EVERY {
            self.load_taken = Instant::now();
            let shards = &self.cluster.shards;
            let total = self
                .load
                .add(&shards.take_turns(), elapsed, |shard| shards.epoch(shard) != 0);
            self.cluster.pulse.load.store(total, Ordering::Relaxed);
        }
        let now = self.origin.elapsed();
        let suspects = self.judge.suspects(now);
        let count = |state| {
            let members = self.roll.members.values();
            u32::try_from(members.filter(|member| member.state == state).count()).unwrap_or(u32::MAX)
        };
        let metrics = &self.cluster.metrics;
        metrics.joining.set(count(MemberState::Joining));
        metrics.serving.set(count(MemberState::Serving));
        metrics.draining.set(count(MemberState::Draining));
        metrics
            .suspect
            .set(u32::try_from(suspects.len()).unwrap_or(u32::MAX));
    }

    /// Drains, or serves again, when an operator says so.
    async fn follow_wishes_for_me(&mut self) -> Result<(), StoreError> {
        let Some(me) = self.me() else { return Ok(()) };
        let leaving = self.cluster.stage() == Stage::Leaving;
        let Some(wanted) = duties::wanted_state(me, leaving) else {
            return Ok(());
        };
        tracing::info!(state = wanted.as_str(), "this member changes its state");
        self.cluster
            .steering
            .set_state(self.cluster.incarnation, wanted)
            .await?;
        if let Some(me) = self.roll.members.get_mut(&self.cluster.incarnation) {
            me.state = wanted;
        }
        Ok(())
    }

    async fn start_hand_offs(&mut self) -> Result<(), StoreError> {
        let stuck = self.cluster.pulse.stuck();
        for shard in &stuck {
            let shard = *shard;
            if !self.moving.contains(&shard) && self.cluster.shards.fence(shard) {
                tracing::error!(shard, "shard takes no turns; this node gives it up");
            }
        }
        // Also those that could not be given up when they were fenced.
        for (shard, epoch) in duties::abandoned(&self.cluster.shards, &self.roll, self.cluster.incarnation) {
            if !self.moving.contains(&shard) {
                self.cluster
                    .steering
                    .give_up(shard, epoch, self.cluster.incarnation)
                    .await?;
            }
        }
        let max = self.moves_max();
        let free = max.saturating_sub(self.moving.len());
        if free == 0 || !self.cluster.shards.held(Instant::now()) {
            return Ok(());
        }
        for planned in self.plan().await?.into_iter().take(free) {
            self.start(planned);
        }
        Ok(())
    }

    fn start(&mut self, planned: Planned) {
        let Planned {
            shard,
            to,
            reason,
            wish,
        } = planned;
        let Some(member) = self.roll.members.get(&to) else {
            return;
        };
        // Wished twice, it is moved once; the second wish is found to be fulfilled.
        if !self.moving.insert(shard) {
            return;
        }
        let epoch = self.cluster.shards.epoch(shard);
        let to = Owner {
            incarnation: to,
            epoch,
            link: member.link.as_str().into(),
        };
        let hands = self.hands.clone();
        self.underway.spawn(async move {
            let handing_off = AssertUnwindSafe(hands.hand_off(shard, epoch, to, &reason)).catch_unwind();
            let outcome = handing_off.await.unwrap_or_else(|_| {
                // Whose the shard is is in the table, which is read again.
                hands.keep(shard);
                Outcome::Kept
            });
            (shard, outcome, wish)
        });
    }

    async fn ended(&mut self, ended: Result<(Shard, Outcome, Option<i64>), tokio::task::JoinError>) {
        // A hand-off that panics is caught where it runs.
        let Ok((shard, outcome, wish)) = ended else { return };
        self.moving.remove(&shard);
        self.moved_at = Instant::now();
        let Some(wish) = wish else { return };
        let told = match outcome {
            Outcome::Moved(_) => "moved",
            Outcome::Kept | Outcome::Retaken(_) => "it could not be moved now",
            Outcome::Lost(_) => "another owner has claimed it",
        };
        if let Err(error) = self.cluster.steering.fulfil(wish, told).await {
            // It is still open, and is found to be fulfilled.
            tracing::warn!(%error, "what became of a wish could not be noted");
        }
    }
}
