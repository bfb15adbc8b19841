//! Many nodes as one system: who belongs to it, who owns which shard, and how shards change hands.
//!
//! ```text
//! lease thread ── renews ──▶ members ◀── reads, buries ── keeper ── claims, flips ──▶ shard_owner
//!      └── grants, ends ──▶ ShardMap ◀── serves, learns, seals ─────┘
//! ```
//!
//! Lifecycle of a member: [`Cluster::join`] → joining, with a lease → [`Cluster::begin`] → serving, with shards →
//! [`Cluster::hand_all_off`] → draining → [`Cluster::leave`] → left. Or it is declared dead at any time, which it finds when it renews:
//! see [`Cluster::ended`].
//!
//! What is decided is pure and lies in files of its own, without clock or IO: [`lease`], [`judge`], [`allocation`], [`duties`], [`steward`] over
//! the [`members`] that one look at the tables shows. The tables are right; peers make things quicker and nothing depends on them.

pub mod allocation;
pub mod duties;
mod handoff;
mod heart;
pub mod judge;
mod keeper;
pub mod lease;
mod linked;
mod load;
pub mod members;
mod peers;
mod plan;
pub mod steward;
mod store;
mod table;
mod view;
mod warmth;
pub mod wishes;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use self::handoff::HandoffLimits;
use self::handoff::Hands;
pub use self::heart::Fate;
use self::heart::{Heart, Pulse, sing};
use self::keeper::Keeper;
use self::lease::LeaseTerms;
pub use self::linked::Linked;
use self::load::Load;
use self::members::{MemberState, Roll};
pub use self::peers::{Hot, Peers, Unlinked};
use self::store::Store;
use self::table::Joining;
pub use self::view::{ClusterView, MemberView, MoveView, ShardView};
pub(crate) use self::warmth::HOT_MAX;
pub use self::warmth::Warm;
use self::warmth::Warmth;
use crate::database::{Database, DatabaseSettings};
use crate::membership::Membership;
use crate::meters::ClusterMetrics;
use crate::ownership::ShardMap;
use crate::placement::Shard;
use crate::region::Node;
use crate::store_error::StoreError;
use crate::worker;

/// Members whose lease lasts.
const LIVING: &str =
    "SELECT count(*) FROM members WHERE state NOT IN ('left', 'dead') AND lease_until > clock_timestamp()";
/// How often a node that runs alone looks whether members live.
const ALONE_LOOK: Duration = Duration::from_secs(1);
/// How often a start looks whether it may serve.
const BEGIN_PAUSE: Duration = Duration::from_millis(10);

/// How a member behaves; each a setting.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// Where its API listens, for operators.
    pub http: String,
    /// Where its link listens, for the other members.
    pub link: String,
    /// What it runs, for operators.
    pub version: String,
    /// The terms of its lease.
    pub lease: LeaseTerms,
    /// How often the tables are looked at.
    pub poll_every: Duration,
    /// How long one call to the tables may take.
    pub call_timeout: Duration,
    /// How long an orphan waits for its heir before anybody claims it.
    pub claim_grace: Duration,
    /// How long a shard stays before it is moved for balance.
    pub settle: Duration,
    /// Hand-offs at once for balance.
    pub moves_max: usize,
    /// The pause between two hand-offs for balance.
    pub move_pause: Duration,
    /// Hand-offs at once of a member that drains.
    pub drain_moves_max: usize,
    /// How long a start waits until every shard is served by somebody.
    pub begin_timeout: Duration,
    /// Limits on the steps of a hand-off.
    pub handoff: HandoffLimits,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        ClusterSettings {
            http: String::new(),
            link: String::new(),
            version: String::new(),
            lease: LeaseTerms::default(),
            poll_every: Duration::from_millis(100),
            call_timeout: Duration::from_secs(1),
            claim_grace: Duration::from_millis(500),
            settle: Duration::from_secs(10),
            moves_max: 2,
            move_pause: Duration::from_millis(10),
            drain_moves_max: 2,
            begin_timeout: Duration::from_secs(10),
            handoff: HandoffLimits::default(),
        }
    }
}

/// What this node itself wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not begun.
    Joining,
    /// It serves.
    Serving,
    /// It is about to end.
    Leaving,
}

/// This node's place among others, or alone.
pub struct Cluster {
    settings: ClusterSettings,
    node: String,
    incarnation: Uuid,
    /// Whether it is a member; alone it owns every shard from the start, without a lease.
    joined: bool,
    shards: Arc<ShardMap>,
    database: Database,
    /// For looks, which nothing is to hold up.
    watching: Arc<Store>,
    /// For changes.
    steering: Arc<Store>,
    pulse: Arc<Pulse>,
    fate: watch::Sender<Fate>,
    stage: AtomicU8,
    wake: Notify,
    seen: watch::Sender<Arc<Roll>>,
    peers: OnceLock<Arc<dyn Peers>>,
    warmth: Warmth,
    parts: OnceLock<Arc<Node>>,
    metrics: ClusterMetrics,
}

impl Cluster {
    /// Claims every shard of everybody, and shares them with nobody.
    ///
    /// # Errors
    /// The database is away or refuses; or members of a cluster live there, who would claim everything back at once.
    pub async fn alone(
        member: &Membership,
        database: Database,
        stores: &DatabaseSettings,
    ) -> Result<Arc<Self>, StoreError> {
        let living = database.query_opt(LIVING, &[]).await?;
        if living.is_some_and(|row| row.get::<_, i64>(0) > 0) {
            return Err(StoreError::refused(
                "members of a cluster live on this database; join them with --join-from-database",
            ));
        }
        let shards = member.claim_all(&database).await?;
        let settings = ClusterSettings::default();
        Ok(Arc::new(Cluster::new(
            member, shards, database, stores, settings, false,
        )))
    }

    /// Joins the cluster of this database, with a lease and without shards.
    ///
    /// # Errors
    /// The database is away or refuses, or there is no thread for the lease.
    pub async fn join(
        member: &Membership,
        database: Database,
        stores: &DatabaseSettings,
        settings: ClusterSettings,
    ) -> Result<Arc<Self>, StoreError> {
        let shards = Arc::new(ShardMap::of(member.incarnation));
        shards.revoke_lease();
        let cluster = Arc::new(Cluster::new(member, shards, database, stores, settings, true));
        let joining = Joining {
            incarnation: cluster.incarnation,
            node: &cluster.node,
            http: &cluster.settings.http,
            link: &cluster.settings.link,
            version: &cluster.settings.version,
        };
        cluster
            .steering
            .join(&joining, cluster.settings.lease.ttl)
            .await?;
        let heart = Heart {
            store: Store::new(&stores.config, "lyceum lease", cluster.settings.lease.ttl / 2),
            incarnation: cluster.incarnation,
            terms: cluster.settings.lease,
            shards: cluster.shards.clone(),
            pulse: cluster.pulse.clone(),
            fate: cluster.fate.clone(),
            metrics: cluster.metrics.clone(),
        };
        heart.start().map_err(StoreError::unavailable)?;
        Ok(cluster)
    }

    fn new(
        member: &Membership,
        shards: Arc<ShardMap>,
        database: Database,
        stores: &DatabaseSettings,
        settings: ClusterSettings,
        joined: bool,
    ) -> Self {
        let store = || Arc::new(Store::new(&stores.config, "lyceum keeper", settings.call_timeout));
        Cluster {
            watching: store(),
            steering: store(),
            node: member.node.clone(),
            incarnation: member.incarnation,
            settings,
            joined,
            shards,
            database,
            pulse: Arc::new(Pulse::new()),
            fate: watch::Sender::new(Fate::Living),
            stage: AtomicU8::new(0),
            wake: Notify::new(),
            seen: watch::Sender::default(),
            peers: OnceLock::new(),
            warmth: Warmth::default(),
            parts: OnceLock::new(),
            metrics: ClusterMetrics::new(),
        }
    }

    /// Who this node's keeper talks to. Before [`Cluster::begin`], or never.
    pub fn link(&self, peers: Arc<dyn Peers>) {
        // The first one stays: hand-offs may be under way through it.
        let _ = self.peers.set(peers);
    }

    /// Begins to serve, and returns once every shard is served by somebody. Everything that serves shards has started by then.
    ///
    /// # Errors
    /// The database is away or refuses, this member is dead already, or some shard stays without an owner.
    pub async fn begin(self: &Arc<Self>, parts: Arc<Node>) -> Result<(), StoreError> {
        let _ = self.parts.set(parts.clone());
        if !self.joined {
            let cluster = self.clone();
            worker::supervise("cluster watch", move || cluster.clone().watch_for_members());
            return Ok(());
        }
        if !self
            .steering
            .set_state(self.incarnation, MemberState::Serving)
            .await?
        {
            return Err(StoreError::refused(
                "this member was declared dead while it started",
            ));
        }
        self.stage.store(1, Ordering::Release);
        let (pulse, supervisors, terms) =
            (self.pulse.clone(), parts.supervisors.clone(), self.settings.lease);
        worker::supervise("cluster canary", move || {
            sing(pulse.clone(), supervisors.clone(), terms)
        });
        let hands = Arc::new(Hands {
            node: parts,
            store: self.steering.clone(),
            peers: self.peers.get().cloned().unwrap_or_else(|| Arc::new(Unlinked)),
            limits: self.settings.handoff,
            name: self.node.clone(),
            incarnation: self.incarnation,
            metrics: self.metrics.clone(),
        });
        let cluster = self.clone();
        worker::supervise("cluster keeper", move || {
            Keeper::new(cluster.clone(), hands.clone()).keep()
        });
        let placed = async {
            while !self.shards.placed() {
                tokio::time::sleep(BEGIN_PAUSE).await;
            }
        };
        tokio::time::timeout(self.settings.begin_timeout, placed)
            .await
            .map_err(|_| StoreError::unavailable("some shards are served by nobody"))
    }

    /// Ends this node, which runs alone and has no lease that would, once members live: they claim its shards at once, and what it answers
    /// from memory is old from then on.
    async fn watch_for_members(self: Arc<Self>) {
        loop {
            tokio::time::sleep(ALONE_LOOK).await;
            match self.database.query_opt(LIVING, &[]).await {
                Ok(Some(row)) if row.get::<_, i64>(0) > 0 => break,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "whether members live cannot be read"),
            }
        }
        tracing::error!("members of a cluster live on this database; this node, which runs alone, ends");
        self.let_go();
        self.fate.send_replace(Fate::Superseded);
        std::future::pending::<()>().await;
    }

    /// This start of the node.
    pub fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What this node knows of the shards.
    pub fn shards(&self) -> &Arc<ShardMap> {
        &self.shards
    }

    /// Whether this node may serve: its lease is held, and it was not told to drain.
    pub fn serves(&self) -> bool {
        if !self.joined {
            return true;
        }
        let draining = self
            .seen
            .borrow()
            .members
            .get(&self.incarnation)
            .map(|me| me.state)
            == Some(MemberState::Draining);
        self.holds_lease() && !draining && self.stage() != Stage::Leaving
    }

    /// Whether this node's lease is held; alone it always is.
    pub fn holds_lease(&self) -> bool {
        self.shards.held(Instant::now())
    }

    /// Waits until this membership has ended, and answers how. Alone it ends when members join its database.
    pub async fn ended(&self) -> Fate {
        let mut fate = self.fate.subscribe();
        match fate.wait_for(|fate| *fate != Fate::Living).await {
            Ok(fate) => *fate,
            Err(_) => std::future::pending().await,
        }
    }

    /// The other keeper has handed this shard over, as is heard over the link: serves it, if the table says so too. A peer that is
    /// wrong, or lies, would else have two nodes answer.
    ///
    /// Returns whether this node serves it under this epoch.
    pub async fn opened(&self, shard: Shard, epoch: i64) -> bool {
        if !self.joined || self.stage() == Stage::Joining {
            return false;
        }
        if self.shards.epoch(shard) != epoch {
            match self.watching.owner(shard).await {
                Ok(owner) if owner == (epoch, Some(self.incarnation)) => self.serve(shard, epoch),
                // What is true all the same is found at the next look.
                Ok(_) | Err(_) => return false,
            }
        }
        self.shards.epoch(shard) == epoch
    }

    /// Whether this node takes a shard that another keeper wants to hand over; if so, it remembers what is in use there, and starts it
    /// when the shard is its own.
    pub fn takes(&self, shard: Shard, hot: Vec<Hot>) -> bool {
        let takes = self.joined && self.serves() && !self.pulse.stuck().contains(&shard);
        if takes {
            self.warmth.remember(shard, hot);
        }
        takes
    }

    /// Regions whose entities are started when a shard is handed over with them in use. Once, before [`Cluster::begin`].
    pub fn warms(&self, regions: Vec<Arc<dyn Warm>>) {
        self.warmth.warms(regions);
    }

    /// Hands every shard to others, at most for `budget`. Returns whether none is left, or nobody else is there to have them.
    pub async fn hand_all_off(&self, budget: Duration) -> bool {
        self.stage.store(2, Ordering::Release);
        if !self.joined {
            return true;
        }
        let mut seen = self.seen.subscribe();
        self.wake.notify_one();
        let handed_off = seen.wait_for(|roll| {
            let draining = roll
                .members
                .get(&self.incarnation)
                .is_none_or(|me| me.state == MemberState::Draining);
            let others = roll
                .members
                .values()
                .any(|member| member.incarnation != self.incarnation && member.state == MemberState::Serving);
            draining && (!others || self.shards.all().all(|(_, epoch)| epoch == 0))
        });
        matches!(tokio::time::timeout(budget, handed_off).await, Ok(Ok(_)))
    }

    /// Leaves for good: whatever it still owns may be claimed at once. Everything that serves has ended by then.
    ///
    /// # Errors
    /// The database is away or refuses; then the lease ends by itself.
    pub async fn leave(&self) -> Result<(), StoreError> {
        if !self.joined {
            return Ok(());
        }
        self.shards.revoke_lease();
        let left = self.steering.leave(self.incarnation, self.shards.refused()).await;
        self.fate.send_replace(Fate::Left);
        left
    }

    /// Notes on the row of this incarnation, which is dead, how many of its late writes were refused.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn note_fenced(&self) -> Result<(), StoreError> {
        self.steering
            .note_fenced(self.incarnation, self.shards.refused())
            .await
    }

    fn fate(&self) -> watch::Receiver<Fate> {
        self.fate.subscribe()
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Joining,
            1 => Stage::Serving,
            _ => Stage::Leaving,
        }
    }

    /// Serves a shard that the table says is this node's, unless it is known already.
    fn serve(&self, shard: Shard, epoch: i64) {
        if self.shards.knows(shard, epoch) {
            return;
        }
        if let Some(parts) = self.parts.get() {
            // First, so that whoever is let in by the map finds the door open.
            parts.supervisors.open(shard);
            if self.shards.open(shard, epoch) {
                self.warmth.start(shard);
            }
        }
    }

    /// Serves nothing any more.
    fn let_go(&self) {
        self.shards.revoke_lease();
        for shard in 0..=Shard::MAX {
            if self.shards.fence(shard)
                && let Some(parts) = self.parts.get()
            {
                parts.supervisors.forget(shard);
            }
        }
    }

    /// The keeper has looked.
    fn seen(&self, roll: &Roll) {
        self.seen.send_replace(Arc::new(roll.clone()));
    }
}
