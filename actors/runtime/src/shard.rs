//! Shard supervisors: one actor for each of the 256 shards starts, watches and passivates its entities.
//!
//! An entity is `live`, `stopping` (its mailbox is closed, the next one waits for its end), `resting` after a
//! failure, or `quarantined` after too many. Requests that arrive meanwhile are parked, within a bound.
//! Supervisors outlive their entities: no failure of an entity reaches another one.

mod supervisors;

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

pub use self::supervisors::Supervisors;
use crate::cluster::{HOT_MAX, Hot};
use crate::entity::EntityRef;
use crate::journal::Entry;
use crate::metrics::Risen;
use crate::placement::Shard;
use crate::region::{Activation, Node, Refusal};
use crate::resident::{Passivation, Supervised};

/// Who was asked no longer ago is in use: who comes next is likely to ask the same again. What was done with before would only be started
/// for nothing, just when a node has most to start.
const IN_USE: Duration = Duration::from_secs(5);

/// What a shard supervisor can be told.
pub(crate) enum ShardMessage {
    /// A request for an entity that is not in its region's table.
    Activate(Box<dyn Activation>),
    /// Passivate what has been idle for so long.
    Sweep(Duration),
    /// An entity's rest or quarantine is over.
    Wake(EntityRef),
    /// Let every entity finish and stop; told when all have.
    Drain(oneshot::Sender<()>),
    /// The same, because another node is about to serve the shard, or does: requests go there.
    HandOver(oneshot::Sender<()>),
    /// The shard is served by this node, again or for the first time.
    Open,
    /// Say what is in use, what was used last first.
    Hot(oneshot::Sender<Vec<Hot>>),
    /// Passivate what is not in use, while the shard is still served; told when it has stopped.
    Thin(oneshot::Sender<()>),
    /// A turn that does nothing but show that there are turns.
    Canary(u64),
}

/// The supervisor of one shard.
struct Supervisor {
    shard: Shard,
    node: Arc<Node>,
    supervisors: Arc<Supervisors>,
}

type Parked = Vec<Box<dyn Activation>>;

enum Slot {
    Live(Arc<dyn Supervised>),
    /// Passivated or failing; starts again when its end is reported.
    Stopping(Arc<dyn Supervised>, Parked),
    /// Failed; starts again when it is woken.
    Resting(Parked),
    /// Failed too often; forgotten when it is woken.
    Quarantined(#[expect(dead_code, reason = "counts as long as it is there")] Risen),
}

#[derive(Default)]
struct Entities {
    slots: HashMap<EntityRef, Slot>,
    by_actor: HashMap<ActorId, EntityRef>,
    failures: HashMap<EntityRef, VecDeque<Instant>>,
    stage: Stage,
    /// Who wants to know when nothing is stopping any more.
    thinned: Option<oneshot::Sender<()>>,
}

/// Whether entities may start.
#[derive(Default)]
enum Stage {
    #[default]
    Open,
    /// The node or the shard leaves: nothing starts, requests are refused for this reason, and somebody may want to
    /// know when the last entity has ended.
    Leaving(Refusal, Option<oneshot::Sender<()>>),
}

impl Actor for Supervisor {
    type Msg = ShardMessage;
    type State = Entities;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<ShardMessage>, (): ()) -> Result<Entities, ActorProcessingErr> {
        Ok(Entities::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        entities: &mut Entities,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Activate(activation) => self.activate(&myself, activation, entities),
            ShardMessage::Sweep(idle) => self.sweep(idle, entities),
            ShardMessage::Wake(entity) => match entities.slots.remove(&entity) {
                Some(Slot::Resting(parked)) => self.start_again(&myself, parked, entities),
                Some(Slot::Quarantined(_)) => drop(entities.failures.remove(&entity)),
                Some(other) => drop(entities.slots.insert(entity, other)),
                None => {}
            },
            ShardMessage::Drain(ended) => self.leave(&myself, Refusal::Stopping, ended, entities),
            // A node that leaves has said so for good: whoever waits for its entities must not be told that they have ended.
            ShardMessage::HandOver(ended) => {
                if !matches!(entities.stage, Stage::Leaving(Refusal::Stopping, _)) {
                    self.leave(&myself, Refusal::Moving, ended, entities);
                }
            }
            ShardMessage::Open => {
                if matches!(entities.stage, Stage::Leaving(Refusal::Moving, _)) {
                    entities.stage = Stage::Open;
                }
            }
            ShardMessage::Hot(told) => {
                // Nobody is left to tell when the time is up.
                let _ = told.send(entities.hottest(Instant::now()));
            }
            ShardMessage::Thin(told) => {
                self.sweep(IN_USE, entities);
                entities.thinned = Some(told);
                entities.report_ended();
            }
            ShardMessage::Canary(number) => {
                self.supervisors.sang(self.shard, number);
            }
        }
        Ok(())
    }

    /// Keeps an entity's end to this entity: the default would stop the supervisor with it.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ShardMessage>,
        event: SupervisionEvent,
        entities: &mut Entities,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, ..) => self.ended(&myself, cell.get_id(), entities),
            SupervisionEvent::ActorFailed(cell, error) => {
                tracing::error!(shard = self.shard, error, "entity failed");
                self.failed(&myself, cell.get_id(), entities);
            }
            // What was still starting when the drain began is drained now.
            SupervisionEvent::ActorStarted(_) if entities.leaving().is_some() => {
                self.sweep(Duration::ZERO, entities);
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl Supervisor {
    fn activate(
        &self,
        myself: &ActorRef<ShardMessage>,
        activation: Box<dyn Activation>,
        entities: &mut Entities,
    ) {
        let entity = activation.entity();
        let leaving = entities.leaving();
        match (entities.slots.get_mut(&entity), leaving) {
            (None, Some(refusal)) => activation.refuse(refusal),
            (None, None) => self.start(myself, vec![activation], entities),
            (Some(slot @ Slot::Live(_)), _) => {
                // Undeliverable although live: it has failed, and the report of it is on its way.
                if let Err(activation) = activation.deliver()
                    && let Slot::Live(resident) = slot
                {
                    let resident = resident.clone();
                    resident.forget();
                    *slot = Slot::Stopping(resident, vec![activation]);
                }
            }
            (Some(Slot::Stopping(_, parked) | Slot::Resting(parked)), _) => {
                if parked.len() < self.node.limits.parked_max {
                    parked.push(activation);
                } else {
                    activation.refuse(Refusal::Overloaded);
                }
            }
            (Some(Slot::Quarantined(_)), _) => activation.refuse(Refusal::Quarantined),
        }
    }

    /// Starts an entity for the first of the parked requests and hands it the others.
    fn start(&self, myself: &ActorRef<ShardMessage>, parked: Parked, entities: &mut Entities) {
        let mut parked = parked.into_iter();
        let Some(first) = parked.next() else { return };
        let entity = first.entity();
        let Some(resident) = first.start(myself.get_cell()) else {
            return;
        };
        entities.by_actor.insert(resident.actor_id(), entity);
        entities.slots.insert(entity, Slot::Live(resident));
        for activation in parked {
            if let Err(activation) = activation.deliver() {
                activation.refuse(Refusal::Stopping);
            }
        }
    }

    /// Starts an entity that has ended, unless the node or the shard is leaving.
    fn start_again(&self, myself: &ActorRef<ShardMessage>, parked: Parked, entities: &mut Entities) {
        match entities.leaving() {
            None => self.start(myself, parked, entities),
            Some(refusal) => parked
                .into_iter()
                .for_each(|activation| activation.refuse(refusal)),
        }
    }

    /// Lets every entity finish and stop; `ended` is told when all have.
    fn leave(
        &self,
        myself: &ActorRef<ShardMessage>,
        refusal: Refusal,
        ended: oneshot::Sender<()>,
        entities: &mut Entities,
    ) {
        entities.stage = Stage::Leaving(refusal, Some(ended));
        if matches!(refusal, Refusal::Moving) {
            // Who rests here can begin elsewhere.
            let resting: Vec<EntityRef> = entities
                .slots
                .iter()
                .filter(|(_, slot)| matches!(slot, Slot::Resting(_) | Slot::Quarantined(_)))
                .map(|(entity, _)| *entity)
                .collect();
            for entity in resting {
                if let Some(Slot::Resting(parked)) = entities.slots.remove(&entity) {
                    self.start_again(myself, parked, entities);
                }
            }
            entities.failures.clear();
        }
        self.sweep(Duration::ZERO, entities);
        entities.report_ended();
    }

    fn sweep(&self, idle_for: Duration, entities: &mut Entities) {
        let now = Instant::now();
        let draining = entities.leaving().is_some();
        let window = self.node.limits.failure_window;
        for slot in entities.slots.values_mut() {
            // One that is drained before it has started never ends, as far as its supervisor hears.
            if let Slot::Live(resident) = slot
                && resident.has_started()
                && (draining || resident.idle(now).is_some_and(|idle| idle >= idle_for))
            {
                resident.forget();
                resident.passivated(if draining {
                    Passivation::Drain
                } else {
                    Passivation::Idle
                });
                resident.drain();
                let resident = resident.clone();
                *slot = Slot::Stopping(resident, Vec::new());
            }
        }
        entities.failures.retain(|_, times| {
            times
                .back()
                .is_some_and(|last| now.duration_since(*last) < window)
        });
    }

    fn ended(&self, myself: &ActorRef<ShardMessage>, actor: ActorId, entities: &mut Entities) {
        let Some(entity) = entities.by_actor.remove(&actor) else {
            return;
        };
        if let Some(slot) = entities.slots.remove(&entity) {
            match slot {
                Slot::Stopping(_, parked) => self.start_again(myself, parked, entities),
                Slot::Live(resident) => resident.forget(),
                other => {
                    entities.slots.insert(entity, other);
                }
            }
        }
        entities.report_ended();
    }

    fn failed(&self, myself: &ActorRef<ShardMessage>, actor: ActorId, entities: &mut Entities) {
        let Some(entity) = entities.by_actor.remove(&actor) else {
            return;
        };
        let now = Instant::now();
        let (resident, parked) = match entities.slots.remove(&entity) {
            Some(Slot::Live(resident)) => {
                resident.forget();
                (resident, Vec::new())
            }
            Some(Slot::Stopping(resident, parked)) => (resident, parked),
            // Whoever rests or is quarantined has no actor that could fail.
            Some(Slot::Resting(_) | Slot::Quarantined(_)) | None => return,
        };
        resident.restarted();
        let limits = &self.node.limits;
        let times = entities.failures.entry(entity).or_default();
        times.push_back(now);
        times.retain(|time| now.duration_since(*time) < limits.failure_window);
        if times.len() > limits.failures_max {
            tracing::error!(
                shard = self.shard,
                entity.kind = entity.kind,
                "entity quarantined"
            );
            parked
                .into_iter()
                .for_each(|activation| activation.refuse(Refusal::Quarantined));
            entities
                .slots
                .insert(entity, Slot::Quarantined(resident.quarantined()));
            myself.send_after(limits.failure_window, move || ShardMessage::Wake(entity));
        } else {
            let rest = rest_after(times.len(), limits.backoff_min, limits.backoff_max, entity.id);
            entities.slots.insert(entity, Slot::Resting(parked));
            // It failed without waiting for its commits; what is loaded next has to include them.
            let (told, heard) = oneshot::channel();
            let passed = Box::new(move |_| {
                let _ = told.send(());
            });
            self.node.journal.submit(Entry::Barrier(self.shard, passed));
            let myself = myself.clone();
            tokio::spawn(async move {
                // Dropped unanswered, the barrier has passed as well.
                let _ = heard.await;
                tokio::time::sleep(rest).await;
                // A supervisor that is gone has nothing resting.
                let _ = myself.send_message(ShardMessage::Wake(entity));
            });
        }
        entities.report_ended();
    }
}

/// A supervisor that fails takes its entities' actors with it, and nobody else would take them out of the table.
impl Drop for Entities {
    fn drop(&mut self) {
        for slot in self.slots.values() {
            if let Slot::Live(resident) = slot {
                resident.forget();
            }
        }
    }
}

impl Entities {
    /// Why requests are refused, if the node or the shard is leaving.
    fn leaving(&self) -> Option<Refusal> {
        match self.stage {
            Stage::Open => None,
            Stage::Leaving(refusal, _) => Some(refusal),
        }
    }

    fn hottest(&self, now: Instant) -> Vec<Hot> {
        let in_use = |resident: &dyn Supervised| resident.idle(now).is_none_or(|idle| idle <= IN_USE);
        let live = self.slots.values().filter_map(|slot| match slot {
            Slot::Live(resident) => in_use(resident.as_ref()).then(|| resident.heat()),
            Slot::Stopping(..) | Slot::Resting(_) | Slot::Quarantined(_) => None,
        });
        let mut hot: Vec<(u64, Hot)> = live.collect();
        hot.sort_unstable_by_key(|(used, hot)| (Reverse(*used), hot.id));
        hot.truncate(HOT_MAX);
        hot.into_iter().map(|(_, hot)| hot).collect()
    }

    /// Tells whoever waits for it that everything has ended, or everything that was to.
    fn report_ended(&mut self) {
        let stopping = |slot: &Slot| matches!(slot, Slot::Stopping(..));
        // Whoever has stopped waiting need not be looked for something to tell.
        self.thinned.take_if(|told| told.is_closed());
        if self.thinned.is_some() && !self.slots.values().any(stopping) {
            // Nobody is left to tell when the time is up.
            let _ = self.thinned.take().map(|told| told.send(()));
        }
        let left = self
            .slots
            .values()
            .any(|slot| matches!(slot, Slot::Live(_) | Slot::Stopping(..)));
        if !left
            && let Stage::Leaving(_, ended) = &mut self.stage
            && let Some(ended) = ended.take()
        {
            let _ = ended.send(());
        }
    }
}

/// The delay before restart number `failures`: doubling from `min` to `max`, up to a quarter less by jitter.
///
/// The jitter comes from the entity's own random bits, which spreads entities that failed together.
fn rest_after(failures: usize, min: Duration, max: Duration, entity: u128) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    let delay = min.saturating_mul(1 << doublings).min(max);
    let jitter = u32::try_from(entity % 256).unwrap_or(0);
    delay - delay / 1024 * jitter
}

#[cfg(test)]
mod tests;
