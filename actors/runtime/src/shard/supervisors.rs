//! All shard supervisors of a node, and the root above them that starts, restarts and sweeps them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::oneshot;

use super::{ShardMessage, Supervisor};
use crate::cluster::Hot;
use crate::placement::{SHARDS, Shard};
use crate::region::Node;

/// The supervisors of all shards, by shard.
pub struct Supervisors {
    actors: Vec<RwLock<Option<ActorRef<ShardMessage>>>>,
    /// By shard: the newest canary that it has answered.
    canaries: Vec<AtomicU64>,
    node: OnceLock<Arc<Node>>,
}

impl Default for Supervisors {
    fn default() -> Self {
        Supervisors {
            actors: (0..SHARDS).map(|_| RwLock::default()).collect(),
            canaries: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            node: OnceLock::new(),
        }
    }
}

impl Supervisors {
    /// Starts the node's root actor, which starts and restarts the supervisors.
    ///
    /// # Errors
    /// The root actor could not be started.
    pub async fn start(self: &Arc<Self>, node: Arc<Node>) -> Result<(), SpawnErr> {
        // Started twice, the second node is ignored: the first one's supervisors are running.
        let _ = self.node.set(node);
        Actor::spawn(
            None,
            Root {
                supervisors: self.clone(),
            },
            (),
        )
        .await
        .map(|_| ())
    }

    /// Lets every entity finish and stop, at most for `budget`. Returns whether all did.
    pub async fn drain(&self, budget: Duration) -> bool {
        let waits: Vec<_> = (0..=Shard::MAX)
            .filter_map(|shard| {
                let (told, heard) = oneshot::channel();
                self.send(shard, ShardMessage::Drain(told)).then_some(heard)
            })
            .collect();
        tokio::time::timeout(budget, futures_util::future::join_all(waits))
            .await
            .is_ok()
    }

    /// Lets the entities of one shard finish and stop, since another node serves it next. Returns whether all did within
    /// `budget`; requests that come meanwhile wait until the shard has a place.
    pub async fn hand_over(&self, shard: Shard, budget: Duration) -> bool {
        let (told, heard) = oneshot::channel();
        self.send(shard, ShardMessage::HandOver(told))
            && matches!(tokio::time::timeout(budget, heard).await, Ok(Ok(())))
    }

    /// What is in use on `shard`, what was used last first; nothing if it does not say within `budget`.
    pub(crate) async fn hottest(&self, shard: Shard, budget: Duration) -> Vec<Hot> {
        let (told, heard) = oneshot::channel();
        if !self.send(shard, ShardMessage::Hot(told)) {
            return Vec::new();
        }
        match tokio::time::timeout(budget, heard).await {
            Ok(Ok(hot)) => hot,
            _ => Vec::new(),
        }
    }

    /// Lets what is not in use on `shard` stop while it is still served, at most for `budget`: what has stopped before need not be waited
    /// for when it is handed over.
    pub(crate) async fn thin(&self, shard: Shard, budget: Duration) {
        let (told, heard) = oneshot::channel();
        if self.send(shard, ShardMessage::Thin(told)) {
            // Whatever is left stops when it is sealed.
            let _ = tokio::time::timeout(budget, heard).await;
        }
    }

    /// Lets entities of `shard` start. Before the shard is served, so that no request is sent away.
    pub fn open(&self, shard: Shard) {
        self.send(shard, ShardMessage::Open);
    }

    /// Forgets whatever lives on `shard`, which another node serves by now.
    pub fn forget(&self, shard: Shard) {
        self.send(shard, ShardMessage::HandOver(oneshot::channel().0));
    }

    /// Asks every shard for a turn.
    pub(crate) fn canary(&self, number: u64) {
        for shard in 0..=Shard::MAX {
            self.send(shard, ShardMessage::Canary(number));
        }
    }

    /// The newest canary that each shard has answered.
    pub(crate) fn canaries(&self) -> impl Iterator<Item = (Shard, u64)> {
        (0..=Shard::MAX).map(|shard| (shard, self.canaries[usize::from(shard)].load(Ordering::Acquire)))
    }

    pub(crate) fn send(&self, shard: Shard, message: ShardMessage) -> bool {
        let slot = self.actors[usize::from(shard)]
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        slot.as_ref()
            .is_some_and(|actor| actor.send_message(message).is_ok())
    }

    /// A shard has answered a canary.
    pub(super) fn sang(&self, shard: Shard, number: u64) {
        self.canaries[usize::from(shard)].store(number, Ordering::Release);
    }

    async fn start_shard(self: &Arc<Self>, shard: Shard, root: ActorCell) -> Result<(), SpawnErr> {
        let Some(node) = self.node.get() else {
            return Ok(());
        };
        let supervisor = Supervisor {
            shard,
            node: node.clone(),
            supervisors: self.clone(),
        };
        let (actor, _) = Actor::spawn_linked(None, supervisor, (), root).await?;
        *self.actors[usize::from(shard)]
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(actor);
        Ok(())
    }
}

/// The root of the supervision tree: restarts shard supervisors and sweeps them.
struct Root {
    supervisors: Arc<Supervisors>,
}

/// Which supervisor is which shard's.
struct Shards {
    by_actor: HashMap<ActorId, Shard>,
}

impl Root {
    async fn start_shard(
        &self,
        shard: Shard,
        root: ActorCell,
        shards: &mut Shards,
    ) -> Result<(), ActorProcessingErr> {
        self.supervisors.start_shard(shard, root).await?;
        let started = self.supervisors.actors[usize::from(shard)]
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(actor) = started.as_ref() {
            shards.by_actor.insert(actor.get_id(), shard);
        }
        Ok(())
    }
}

impl Actor for Root {
    type Msg = ();
    type State = Shards;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<Shards, ActorProcessingErr> {
        let mut shards = Shards {
            by_actor: HashMap::new(),
        };
        for shard in 0..=Shard::MAX {
            self.start_shard(shard, myself.get_cell(), &mut shards).await?;
        }
        if let Some(node) = self.supervisors.node.get() {
            // Four looks per timeout passivate an entity at most a quarter late.
            myself.send_interval(node.limits.idle_timeout / 4, || ());
        }
        Ok(shards)
    }

    async fn handle(&self, _: ActorRef<()>, (): (), _: &mut Shards) -> Result<(), ActorProcessingErr> {
        let Some(node) = self.supervisors.node.get() else {
            return Ok(());
        };
        let crowded = node.alive.load(Ordering::Relaxed) > node.limits.alive_max;
        let idle = if crowded {
            node.limits.idle_timeout / 8
        } else {
            node.limits.idle_timeout
        };
        for shard in 0..=Shard::MAX {
            self.supervisors.send(shard, ShardMessage::Sweep(idle));
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        shards: &mut Shards,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(cell, error) = event else {
            return Ok(());
        };
        if let Some(shard) = shards.by_actor.remove(&cell.get_id()) {
            tracing::error!(shard, error, "shard supervisor failed and is started again");
            self.start_shard(shard, myself.get_cell(), shards).await?;
        }
        Ok(())
    }
}
