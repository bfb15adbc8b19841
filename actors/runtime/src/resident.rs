//! One live entity, as its region's table, its shard supervisor, its own actor and its readers see it.
//!
//! The state lies here and not in the actor, so that a question about a quiet entity is answered by whoever asks,
//! without a visit to the mailbox. Only the actor changes it, within a turn and under the lock; a reader never waits
//! for the lock: when the entity is busy, the question goes through the mailbox like everything else.
//!
//! Invariant: a reader only sees a state that is recovered under the epoch its shard is served under, durable (nothing is in
//! flight, nothing has failed) and younger than every command that was in the mailbox when it looked; and it looked while the lease was held.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use lyceum_kernel::Timestamp;
use ractor::{ActorId, ActorRef, ActorStatus, MessagingErr};

use crate::ask::{AskError, Envelope, Outcome, Request};
use crate::clock;
use crate::cluster::Hot;
use crate::entity::{Entity, ErrorOf, Key};
use crate::journal::Lineage;
use crate::metrics::Risen;
use crate::region::Shared;

/// One live entity, as the table, its shard and its own shell see it.
pub(crate) struct Resident<E: Entity> {
    shared: Arc<Shared<E>>,
    key: E::Key,
    actor: ActorRef<Envelope<E>>,
    /// Requests sent to the actor and not yet dealt with.
    depth: AtomicU32,
    /// Those of them that may change the state.
    commands: AtomicU32,
    last_used_ms: AtomicU64,
    memory: RwLock<Memory<E>>,
    _alive: Risen,
}

/// What an entity knows.
pub(crate) struct Memory<E: Entity> {
    /// What has been decided, durable or not.
    pub(crate) state: E::State,
    /// The fate of what is in flight; `None` until the state is recovered.
    pub(crate) lineage: Option<Arc<Lineage>>,
    /// The epoch of the shard that it was recovered under: another one may have another history.
    pub(crate) epoch: i64,
}

impl<E: Entity> Memory<E> {
    fn in_flight(&self) -> u32 {
        self.lineage.as_ref().map_or(0, |lineage| lineage.in_flight())
    }
}

impl<E: Entity> Resident<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>, key: E::Key, actor: ActorRef<Envelope<E>>) -> Self {
        Resident {
            _alive: shared.metrics.alive.rise(),
            shared,
            key,
            actor,
            depth: AtomicU32::new(0),
            commands: AtomicU32::new(0),
            last_used_ms: AtomicU64::new(0),
            memory: RwLock::new(Memory {
                state: E::State::default(),
                lineage: None,
                epoch: 0,
            }),
        }
    }

    pub(crate) fn touch(&self, now: Instant) {
        let millis = now.duration_since(self.shared.node.started).as_millis();
        self.last_used_ms
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Answers a question in its turn.
    pub(crate) fn answer(&self, question: E::Question, now: Timestamp) -> Result<E::Answer, ErrorOf<E>> {
        // Shared with other readers: a turn that shut them out would send them all to the mailbox.
        let memory = self.look();
        self.shared.entity.answer(&memory.state, question, now)
    }

    /// What the entity knows, to be written down.
    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Memory<E>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the entity knows, for its actor to change. Nobody holds it for longer than a turn.
    pub(crate) fn memory(&self) -> RwLockWriteGuard<'_, Memory<E>> {
        // A reader's panic leaves the state as it was; the actor's own ends the actor and this memory with it.
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a question here and now, or gives it back. `epoch` is the one that the shard is served under.
    pub(crate) fn read(&self, question: E::Question, epoch: i64) -> Result<Outcome<E>, E::Question> {
        // Whoever sent a command before must find it carried out; one that has ended has to be started again.
        if self.commands.load(Ordering::Acquire) > 0 || self.actor.get_status() != ActorStatus::Running {
            return Err(question);
        }
        let Ok(memory) = self.memory.try_read() else {
            return Err(question);
        };
        // In this order: what ends has failed before.
        let durable = memory
            .lineage
            .as_ref()
            .is_some_and(|lineage| lineage.in_flight() == 0 && !lineage.has_failed());
        if !durable || memory.epoch != epoch {
            return Err(question);
        }
        let answer = self.shared.entity.answer(&memory.state, question, clock::now());
        // After the look at the memory, so that nobody else can have changed the entity before it.
        let now = Instant::now();
        if !self.shared.node.shards.held(now) {
            return Ok(Err(AskError::NotOwner));
        }
        self.touch(now);
        self.shared.metrics.quick_reads.increment();
        Ok(answer.map_err(AskError::Refused))
    }

    /// Requests that wait or are being dealt with.
    pub(crate) fn depth(&self) -> u32 {
        self.depth.load(Ordering::Acquire)
    }

    /// The actor has dealt with a request; whatever it changed is visible to readers.
    pub(crate) fn dealt_with(&self, command: bool) {
        self.commands.fetch_sub(u32::from(command), Ordering::Release);
        self.depth.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn send(&self, request: Box<Request<E>>) -> Result<(), Box<Request<E>>> {
        self.depth.fetch_add(1, Ordering::Relaxed);
        self.commands
            .fetch_add(u32::from(request.command.is_some()), Ordering::Relaxed);
        match self.actor.send_message(Envelope::Request(request)) {
            Err(MessagingErr::SendErr(Envelope::Request(request))) => Err(request),
            _ => Ok(()),
        }
    }
}

/// A live entity without its type, as its shard supervises it.
pub(crate) trait Supervised: Send + Sync {
    fn actor_id(&self) -> ActorId;
    /// What another node would start it by, and when it was used last.
    fn heat(&self) -> (u64, Hot);
    /// How long it has not been used; `None` while something is waiting or in flight.
    fn idle(&self, now: Instant) -> Option<Duration>;
    /// Takes it out of the table, so that new requests go through the shard.
    fn forget(&self);
    /// Whether it runs and is linked to its supervisor.
    fn has_started(&self) -> bool;
    /// Lets it finish what it has and stop. Only for one that [has started](Supervised::has_started).
    fn drain(&self);
    fn passivated(&self, because: Passivation);
    fn restarted(&self);
    /// Counts it as quarantined until the guard is dropped.
    fn quarantined(&self) -> Risen;
}

/// Why an entity is stopped in good order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passivation {
    /// It was not used for a while.
    Idle,
    /// The node leaves.
    Drain,
}

impl<E: Entity> Supervised for Resident<E> {
    fn actor_id(&self) -> ActorId {
        self.actor.get_id()
    }

    fn heat(&self) -> (u64, Hot) {
        let hot = Hot {
            kind: E::KIND.number,
            id: self.key.id(),
            placement: self.key.placement(),
        };
        (self.last_used_ms.load(Ordering::Relaxed), hot)
    }

    fn idle(&self, now: Instant) -> Option<Duration> {
        let in_flight = match self.memory.try_read() {
            Ok(memory) => memory.in_flight(),
            Err(TryLockError::Poisoned(memory)) => memory.into_inner().in_flight(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let busy = self.depth() > 0 || in_flight > 0;
        let used = Duration::from_millis(self.last_used_ms.load(Ordering::Relaxed));
        (!busy).then(|| now.duration_since(self.shared.node.started).saturating_sub(used))
    }

    fn forget(&self) {
        let table = self.shared.table.pin();
        if table
            .get(&self.key.id())
            .is_some_and(|found| found.actor.get_id() == self.actor.get_id())
        {
            table.remove(&self.key.id());
            self.shared.node.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn has_started(&self) -> bool {
        self.actor.get_status() >= ActorStatus::Running
    }

    fn drain(&self) {
        // A mailbox that is closed already has nothing to drain.
        let _ = self.actor.drain();
    }

    fn passivated(&self, because: Passivation) {
        let metrics = &self.shared.metrics;
        match because {
            Passivation::Idle => metrics.passivations_idle.increment(),
            Passivation::Drain => metrics.passivations_drain.increment(),
        }
    }

    fn restarted(&self) {
        self.shared.metrics.restarts.increment();
    }

    fn quarantined(&self) -> Risen {
        self.shared.metrics.quarantined.rise()
    }
}
