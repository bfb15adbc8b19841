//! The one way to reach an entity of some kind, wherever it lives.
//!
//! A request takes a permit (bounded admission), finds the entity's actor in the region's table or has its shard
//! start one, and waits for the answer until its deadline. Every outcome is said: see [`AskError`].

mod creation;
mod remote;
mod warming;

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use ractor::ActorCell;
use tokio::sync::oneshot;

use self::creation::Creations;
pub(crate) use self::remote::Far;
use self::remote::{Asked, Found};
use crate::ask::{AskError, Heard, Outcome, Permit, Reply, Request, Told};
use crate::context::Context;
use crate::entity::{CommandOf, Entity, EntityRef, ErrorOf, Key};
use crate::journal::Journal;
use crate::link::{PeerTransport, Regions};
use crate::meters::KindMetrics;
use crate::ownership::ShardMap;
use crate::pace::Pace;
use crate::placement::{SHARDS, Shard, shard_of};
use crate::resident::{Resident, Supervised};
use crate::shard::{ShardMessage, Supervisors};
use crate::shell::{Shell, Start, recorded_answer};
use crate::snapshots::SnapshotStore;
use crate::trace::{self, Trace};

/// Limits on actors; each a setting.
#[derive(Clone, Debug)]
pub struct ActorLimits {
    /// Requests on their way to entities of one kind, at most.
    pub admission_max: usize,
    /// Requests waiting in one entity's mailbox, at most.
    pub mailbox_max: u32,
    /// Requests waiting for one entity that is starting or restarting, at most.
    pub parked_max: usize,
    /// Requests waiting for shards that are changing hands, at most, for entities of one kind.
    pub moving_max: usize,
    /// Entities alive on this node; above it they are passivated eight times as early.
    pub alive_max: usize,
    /// How long an entity may be idle before it is passivated.
    pub idle_timeout: Duration,
    /// How long a command that nobody waits for may stay in a mailbox.
    pub tell_timeout: Duration,
    /// The first restart delay; it doubles with each failure.
    pub backoff_min: Duration,
    /// The longest restart delay.
    pub backoff_max: Duration,
    /// More failures than this within the window quarantine an entity for as long.
    pub failures_max: usize,
    /// The window in which failures count.
    pub failure_window: Duration,
}

impl Default for ActorLimits {
    fn default() -> Self {
        ActorLimits {
            admission_max: 20_000,
            mailbox_max: 4_096,
            parked_max: 256,
            moving_max: 4_096,
            alive_max: 1_000_000,
            idle_timeout: Duration::from_secs(600),
            tell_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(10),
            failures_max: 5,
            failure_window: Duration::from_secs(60),
        }
    }
}

/// What every region of a node shares.
pub struct Node {
    /// Where decisions become durable.
    pub journal: Arc<dyn Journal>,
    /// Where snapshotted entities are kept.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Which shards this node owns, and under which epochs.
    pub shards: Arc<ShardMap>,
    /// The way to other nodes.
    pub peers: Arc<dyn PeerTransport>,
    /// The regions of this node, as requests of other nodes find them.
    pub regions: Arc<Regions>,
    /// Limits on actors.
    pub limits: ActorLimits,
    /// The shard supervisors.
    pub supervisors: Arc<Supervisors>,
    /// Entities alive, of all kinds.
    pub alive: AtomicUsize,
    /// How fast entities of all kinds answer.
    pub pace: Arc<Pace>,
    /// The beginning of this node's monotonic time.
    pub started: Instant,
}

/// What the shells of one region share.
pub(crate) struct Shared<E: Entity> {
    pub(crate) entity: E,
    pub(crate) node: Arc<Node>,
    pub(crate) metrics: KindMetrics,
    pub(crate) table: papaya::HashMap<u128, Arc<Resident<E>>>,
    creations: Creations,
    admitted: Arc<AtomicUsize>,
    /// Requests that wait for a shard that is changing hands.
    moving: Arc<AtomicUsize>,
}

/// A request for an entity that is not in the table, on its way to the shard that starts it.
pub(crate) trait Activation: Send {
    fn entity(&self) -> EntityRef;
    /// Hands the request to the entity if it is alive after all.
    fn deliver(self: Box<Self>) -> Result<(), Box<dyn Activation>>;
    /// Starts the entity's actor under `supervisor` and hands it the request.
    fn start(self: Box<Self>, supervisor: ActorCell) -> Option<Arc<dyn Supervised>>;
    /// Answers instead of the entity.
    fn refuse(self: Box<Self>, refusal: Refusal);
}

/// Why a shard does not start an entity.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Overloaded,
    Quarantined,
    Stopping,
    /// The shard is being handed over or was lost: whoever serves it next is to be asked.
    Moving,
}

struct Activate<E: Entity> {
    shared: Arc<Shared<E>>,
    key: E::Key,
    request: Box<Request<E>>,
}

impl<E: Entity> Activation for Activate<E> {
    fn entity(&self) -> EntityRef {
        EntityRef {
            kind: E::KIND.number,
            id: self.key.id(),
        }
    }

    fn deliver(self: Box<Self>) -> Result<(), Box<dyn Activation>> {
        let Activate { shared, key, request } = *self;
        let undelivered = match shared.table.pin().get(&key.id()) {
            Some(resident) => resident.send(request).err(),
            None => Some(request),
        };
        undelivered.map_or(Ok(()), |request| {
            Err(Box::new(Activate { shared, key, request }) as Box<dyn Activation>)
        })
    }

    fn start(self: Box<Self>, supervisor: ActorCell) -> Option<Arc<dyn Supervised>> {
        let Activate { shared, key, request } = *self;
        let (introduce, introduced) = oneshot::channel();
        let shell = Shell {
            shared: shared.clone(),
        };
        let started = ractor::ActorRuntime::spawn_linked_instant(
            None,
            shell,
            Start {
                key,
                resident: introduced,
            },
            supervisor,
        );
        // Only a name that is taken makes this fail, and entities have none.
        let Ok((actor, _)) = started else {
            request.reply.send(Err(AskError::Unavailable));
            return None;
        };
        let resident = Arc::new(Resident::new(shared.clone(), key, actor));
        resident.touch(Instant::now());
        if shared.table.pin().insert(key.id(), resident.clone()).is_none() {
            shared.node.alive.fetch_add(1, Ordering::Relaxed);
        }
        let _ = introduce.send(resident.clone());
        if let Err(request) = resident.send(request) {
            request.reply.send(Err(AskError::Unavailable));
        }
        Some(resident)
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let refused = match refusal {
            Refusal::Overloaded => AskError::Overloaded,
            Refusal::Quarantined => AskError::Quarantined,
            Refusal::Stopping => AskError::Unavailable,
            Refusal::Moving => return Region { shared: self.shared }.reroute(self.key, *self.request),
        };
        self.request.reply.send(Err(refused));
    }
}

/// Reaches the entities of one kind. Cheap to clone.
pub struct Region<E: Entity> {
    shared: Arc<Shared<E>>,
}

impl<E: Entity> Clone for Region<E> {
    fn clone(&self) -> Self {
        Region {
            shared: self.shared.clone(),
        }
    }
}

impl<E: Entity> Region<E> {
    /// Opens the region of one kind on a node. Open each kind once.
    pub fn open(node: Arc<Node>, entity: E) -> Self {
        let regions = node.regions.clone();
        let shared = Arc::new(Shared {
            entity,
            metrics: KindMetrics::new(E::KIND.name),
            node,
            table: papaya::HashMap::with_hasher(RandomState::new()),
            creations: Creations::default(),
            admitted: Arc::default(),
            moving: Arc::default(),
        });
        regions.open(E::KIND.number, shared.clone());
        Region { shared }
    }

    /// Carries out a command and answers a question about the state after it, once that state is durable.
    ///
    /// # Errors
    /// See [`AskError`]; after every one but `Unknown` and `Failed` nothing has changed.
    pub async fn ask(
        &self,
        key: E::Key,
        command: CommandOf<E>,
        question: E::Question,
        context: &Context,
    ) -> Result<E::Answer, AskError<ErrorOf<E>>> {
        Ok(self.request(key, Some(command), question, context).await?.answer)
    }

    /// Answers a question about the state: at once and here if the entity is alive and quiet, else in its turn.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn read(
        &self,
        key: E::Key,
        question: E::Question,
        context: &Context,
    ) -> Result<E::Answer, AskError<ErrorOf<E>>> {
        let question = match self.read_here(key, question) {
            Ok(outcome) => return outcome,
            Err(question) => question,
        };
        Ok(self.request(key, None, question, context).await?.answer)
    }

    /// The answer that the named operation was given when it was carried out, if it was.
    ///
    /// For callers that cannot build their command any more because what it refers to has changed since.
    ///
    /// # Errors
    /// The record is of another body, or cannot be read now.
    pub async fn recorded(&self, context: &Context) -> Result<Option<E::Answer>, AskError<ErrorOf<E>>> {
        match context.operation {
            Some(operation) => {
                let recorded = recorded_answer(&self.shared, operation).await?;
                Ok(recorded.map(|answered| answered.answer))
            }
            None => Ok(None),
        }
    }

    /// Sends a command that nobody waits for: at most once, and dropped under overload.
    pub fn tell(&self, key: E::Key, command: CommandOf<E>) {
        if self.serves(key) {
            return self.tell_here(key, command, trace::current());
        }
        let context = Context::within(self.shared.node.limits.tell_timeout);
        self.tell_elsewhere(key, command, context);
    }

    fn tell_here(&self, key: E::Key, command: CommandOf<E>, trace: Trace) {
        let Some(permit) = self.admit() else { return };
        let now = Instant::now();
        let request = Request {
            command: Some(command),
            question: None,
            operation: None,
            trace,
            deadline: now + self.shared.node.limits.tell_timeout,
            queued_at: now,
            waiting: Some(self.shared.metrics.mailbox_depth.rise()),
            reply: Reply::unheard(key.id(), permit),
        };
        // Whoever tells does not wait, so there is nobody to hear a refusal.
        self.send(key, Box::new(request), now);
    }

    /// The live entity's mailbox depth and idle time, if it is alive on this node.
    pub fn explain(&self, id: u128) -> Option<(u32, Option<Duration>)> {
        let table = self.shared.table.pin();
        let resident = table.get(&id)?;
        Some((resident.depth(), resident.idle(Instant::now())))
    }

    /// Entities of this kind alive on this node.
    pub fn alive(&self) -> usize {
        self.shared.table.len()
    }

    /// Gives the question back unless the answer is at hand.
    fn read_here(&self, key: E::Key, question: E::Question) -> Result<Outcome<E>, E::Question> {
        let epoch = self.shared.node.shards.serving_epoch(shard_of(key.placement()));
        if epoch == 0 {
            return Err(question);
        }
        match self.shared.table.pin().get(&key.id()) {
            Some(resident) => resident.read(question, epoch),
            None => Err(question),
        }
    }

    async fn request(
        &self,
        key: E::Key,
        command: Option<CommandOf<E>>,
        question: E::Question,
        context: &Context,
    ) -> Heard<E> {
        if !self.serves(key) {
            return self.anywhere(key, command, question, context).await;
        }
        let permit = self.admit().ok_or(AskError::Overloaded)?;
        let (reply, outcome) = Reply::channel(key.id(), permit);
        let changes = command.is_some();
        let asked = Instant::now();
        let request = Request {
            command,
            question: Some(question),
            // A question alone has no effect that a repetition could double.
            operation: context.operation.filter(|_| changes),
            trace: context.trace,
            deadline: context.deadline,
            queued_at: asked,
            waiting: Some(self.shared.metrics.mailbox_depth.rise()),
            reply,
        };
        let asking = self.shared.node.pace.asked(asked);
        self.send(key, Box::new(request), asked);
        let heard = match tokio::time::timeout_at(context.deadline.into(), outcome).await {
            Ok(Ok(Told::Heard(heard))) => heard,
            Ok(Ok(Told::Returned(returned))) => {
                asking.void();
                let (command, question) = *returned;
                return self.anywhere(key, command, question, context).await;
            }
            // A reply is answered even when it is dropped.
            Ok(Err(_)) => Err(AskError::Failed),
            Err(_) if changes => Err(AskError::Unknown),
            Err(_) => Err(AskError::Expired),
        };
        if counts(&heard) {
            asking.answered();
        } else {
            asking.void();
        }
        heard
    }

    /// Asks whoever serves the shard. What is asked of this node needs no room for it: it is boxed.
    fn anywhere<'a>(
        &'a self,
        key: E::Key,
        command: Option<CommandOf<E>>,
        question: E::Question,
        context: &'a Context,
    ) -> BoxFuture<'a, Heard<E>> {
        Box::pin(async move {
            let asked = Asked {
                command,
                question: Some(question),
            };
            match self.elsewhere(key, asked, context).await? {
                Found::There(heard) => heard,
                Found::Here(Asked {
                    command,
                    question: Some(question),
                    // Only a shard that changes hands again leads here once more, and the deadline ends it.
                }) => self.request(key, command, question, context).await,
                Found::Here(Asked { question: None, .. }) => Err(AskError::Unavailable),
            }
        })
    }

    /// Sends a request to its entity on this node; whoever waits is told if that does not come to pass.
    fn send(&self, key: E::Key, request: Box<Request<E>>, now: Instant) {
        let shard = shard_of(key.placement());
        let shards = &self.shared.node.shards;
        if !shards.serving_at(shard, now) {
            if shards.serving_epoch(shard) == 0 {
                // It has begun to change hands since the sender looked.
                return self.clone().reroute(key, *request);
            }
            self.count_late(shard, request.command.is_some());
            return request.reply.send(Err(AskError::NotOwner));
        }
        let request = match self.shared.table.pin().get(&key.id()) {
            Some(resident) if resident.depth() >= self.shared.node.limits.mailbox_max => {
                return request.reply.send(Err(AskError::Overloaded));
            }
            // Its mailbox closed a moment ago: the shard waits for the end and starts it again.
            Some(resident) => resident.send(request).err(),
            None => Some(request),
        };
        let Some(request) = request else { return };
        let activation = Activate {
            shared: self.shared.clone(),
            key,
            request,
        };
        // A supervisor that is not there drops it, which answers as well.
        self.activate(shard, activation);
    }

    fn activate(&self, shard: Shard, activation: Activate<E>) {
        let activation = ShardMessage::Activate(Box::new(activation));
        self.shared.node.supervisors.send(shard, activation);
    }

    /// Counts a command for a shard that this node would serve if its lease had not ended: it may have another owner.
    fn count_late(&self, shard: Shard, changes: bool) {
        if changes && self.shared.node.shards.serving_epoch(shard) != 0 {
            self.shared.metrics.fenced.increment();
            self.shared.node.shards.refuse();
        }
    }

    fn serves(&self, key: E::Key) -> bool {
        self.shared.node.shards.serving(shard_of(key.placement()))
    }

    fn admit(&self) -> Option<Permit> {
        Permit::take(&self.shared.admitted, self.shared.node.limits.admission_max)
    }
}

/// Whether an outcome tells how fast an entity answers.
fn counts<E: Entity>(heard: &Heard<E>) -> bool {
    matches!(
        heard,
        Ok(_) | Err(AskError::Refused(_) | AskError::Unknown | AskError::Expired)
    )
}

const _: () = assert!(SHARDS == Shard::MAX as usize + 1);
