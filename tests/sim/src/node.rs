//! One start of a node: its clocks, its lease, its connections. What it keeps, serves and writes is in files of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lyceum_kernel::Timestamp;
use lyceum_runtime::cluster::lease::{Due, Lease, LeaseTerms};
use lyceum_runtime::cluster::members::MemberState;
use lyceum_runtime::{Shard, ShardMap};
use uuid::Uuid;

use crate::core::{Break, Core, Event, MS, Place, SECOND, Time, micros};
use crate::database::{Call, Reply, Statement};
use crate::domain::{Bindings, Key};
use crate::keeper::{Keeper, Purpose};
use crate::provider::Says;
use crate::relay::Delivery;
use crate::shell::{Answer, Entity, Request};
use crate::writer::Writer;

/// Identifies a start of a node for good; says which machine it is on.
pub(crate) type NodeId = u64;

/// Machines at most, and the factor that their number is hidden by in a [`NodeId`].
pub(crate) const MACHINES_MAX: u64 = 16;
const LEASE_CALL: Time = 600 * MS;
const KEEPER_CALL: Time = SECOND;
const COMMIT_CALL: Time = 1500 * MS;

/// The machine of a node.
pub(crate) fn machine(node: NodeId) -> usize {
    usize::try_from(node % MACHINES_MAX).unwrap_or(0)
}

/// The incarnation of a node.
pub(crate) fn incarnation(node: NodeId) -> Uuid {
    Uuid::from_u128(node.into())
}

/// The node of an incarnation.
pub(crate) fn node_of(incarnation: Uuid) -> NodeId {
    NodeId::try_from(incarnation.as_u128()).unwrap_or(0)
}

/// What happens to a node.
pub(crate) enum NodeEvent {
    Heart,
    LeaseEnds,
    Poll,
    Relay,
    CallTimeout(u64),
    Reply(u64, u64, Reply),
    Peer(NodeId, Peer),
    Ask(Request),
    AskTimeout(u64),
    ParkTimeout(u64),
    HandTimeout(Shard, u32),
    Provided(u64, Option<Says>),
    End,
}

/// What nodes say to one another.
#[derive(Clone)]
pub(crate) enum Peer {
    Ask(u64, Request),
    Answer(u64, Answer),
    Moved(u64, Shard, i64, Uuid),
    Prepare(Shard, i64),
    Prepared(Shard, i64, bool),
    Open(Shard, i64),
    Opened(Shard, i64),
}

/// Why a call was made.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    Supersede,
    Join,
    Begin,
    Renew(Duration),
    EndOf,
    Leave,
    Keep(Purpose),
    Hand(Shard),
    Write(usize),
    Load(Key),
    Record(u64),
    Due,
    Delivered,
}

/// What it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Joining,
    Serving,
    Leaving,
}

/// One start of a node.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Uuid,
    origin: Time,
    /// Millionths that its monotonic clock is fast or slow.
    ppm: i64,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) wall_ms: i64,
    base: Instant,
    pub(crate) shards: ShardMap,
    pub(crate) stage: Stage,
    pub(crate) ended: bool,
    pub(crate) frozen: bool,
    /// Since when nothing but the lease thread runs.
    pub(crate) stalled: Option<Time>,
    pub(crate) stuck: BTreeSet<Shard>,
    lease: Lease,
    pub(crate) calls: BTreeMap<u64, Why>,
    pub(crate) generation: u64,
    pub(crate) keeper: Keeper,
    pub(crate) entities: BTreeMap<Key, Entity>,
    pub(crate) writers: [Writer; 2],
    pub(crate) remote: BTreeMap<u64, Request>,
    pub(crate) parked: BTreeMap<u64, Request>,
    pub(crate) records: BTreeMap<u64, (Request, Option<Answer>)>,
    pub(crate) deliveries: BTreeMap<u64, Delivery>,
    pub(crate) bindings: Bindings,
    pub(crate) deferred: Vec<NodeEvent>,
}

impl Node {
    pub(crate) fn start(core: &mut Core, machine: usize, generation: u64, wall_ms: i64) -> Self {
        let id = core.id() * MACHINES_MAX + u64::try_from(machine).unwrap_or(0);
        let shards = ShardMap::of(incarnation(id));
        shards.revoke_lease();
        let terms = match core.broken {
            Some(Break::Margin) => LeaseTerms {
                margin: Duration::ZERO,
                ..core.terms
            },
            _ => core.terms,
        };
        let mut node = Node {
            id,
            incarnation: incarnation(id),
            origin: core.now,
            ppm: i64::try_from(core.dice.below(20_001)).unwrap_or(0) - 10_000,
            wall_ms,
            // After the map was made, so that no moment is before its own first.
            base: Instant::now(),
            shards,
            stage: Stage::Joining,
            ended: false,
            frozen: false,
            stalled: None,
            stuck: BTreeSet::new(),
            lease: Lease::new(terms),
            calls: BTreeMap::new(),
            generation,
            keeper: Keeper::new(terms),
            entities: BTreeMap::new(),
            writers: [Writer::default(), Writer::default()],
            remote: BTreeMap::new(),
            parked: BTreeMap::new(),
            records: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            bindings: Bindings::default(),
            deferred: Vec::new(),
        };
        core.note(format_args!("{} starts", node.id));
        node.call(core, Statement::Supersede(machine), Why::Supersede, KEEPER_CALL);
        node
    }

    /// Its monotonic clock.
    pub(crate) fn mono(&self, now: Time) -> Duration {
        let since = i64::try_from(now - self.origin).unwrap_or(i64::MAX);
        let shown = since + since / 1000 * self.ppm / 1000;
        Duration::from_micros(u64::try_from(shown).unwrap_or(0))
    }

    /// How much true time passes until its monotonic clock shows this, at least.
    fn until(&self, now: Time, at: Duration) -> Time {
        let left = micros(at.saturating_sub(self.mono(now)));
        left + left / 90 + 1
    }

    /// The moment as the runtime's own types have it.
    pub(crate) fn instant(&self, now: Time) -> Instant {
        self.base + self.mono(now)
    }

    /// Its wall clock.
    pub(crate) fn wall(&self, core: &Core) -> Timestamp {
        let shown = 1_700_000_000_000 + i64::try_from(core.now / MS).unwrap_or(0) + self.wall_ms;
        Timestamp::from_millis(shown)
    }

    pub(crate) fn held(&self, core: &Core) -> bool {
        self.shards.held(self.instant(core.now))
    }

    /// Whether an event is for the lease thread, which runs when nothing else does.
    pub(crate) fn is_of_the_heart(&self, event: &NodeEvent) -> bool {
        match event {
            NodeEvent::Heart | NodeEvent::LeaseEnds => true,
            NodeEvent::CallTimeout(call) | NodeEvent::Reply(call, ..) => {
                matches!(self.calls.get(call), Some(Why::Renew(_) | Why::EndOf))
            }
            _ => false,
        }
    }

    /// Something happens to it after a while by its own clock.
    pub(crate) fn later(&self, core: &mut Core, delay: Time, event: NodeEvent) {
        core.after(delay, Event::Node(self.id, event));
    }

    /// Sends a statement.
    pub(crate) fn call(&mut self, core: &mut Core, statement: Statement, why: Why, timeout: Time) {
        let id = core.id();
        self.calls.insert(id, why);
        let call = Call {
            id,
            node: self.id,
            machine: machine(self.id),
            incarnation: self.incarnation,
            generation: self.generation,
            sent: core.now,
            statement,
        };
        let from = Place::Machine(machine(self.id));
        core.send(from, Place::Database, Event::Database(Box::new(call)), true);
        self.later(core, timeout, NodeEvent::CallTimeout(id));
    }

    pub(crate) fn commit_call(&mut self, core: &mut Core, statement: Statement, why: Why) {
        self.call(core, statement, why, COMMIT_CALL);
    }

    pub(crate) fn keeper_call(&mut self, core: &mut Core, statement: Statement, why: Why) {
        self.call(core, statement, why, KEEPER_CALL);
    }

    /// Says something to another node.
    pub(crate) fn tell(&self, core: &mut Core, to: NodeId, message: Peer) {
        let places = (Place::Machine(machine(self.id)), Place::Machine(machine(to)));
        if core.rough && core.dice.chance(1, 40) {
            let again = Event::Node(to, NodeEvent::Peer(self.id, message.clone()));
            core.send(places.0, places.1, again, false);
        }
        let event = Event::Node(to, NodeEvent::Peer(self.id, message));
        core.send(places.0, places.1, event, false);
    }

    /// Something has happened to it.
    pub(crate) fn on(&mut self, core: &mut Core, event: NodeEvent) {
        match event {
            NodeEvent::Heart => self.beat(core),
            NodeEvent::LeaseEnds => {
                if self.shards.end_lease(self.instant(core.now)) {
                    core.note(format_args!("{} has no lease any more", self.id));
                }
            }
            NodeEvent::Poll => self.poll(core),
            NodeEvent::Relay => self.relay(core),
            NodeEvent::CallTimeout(call) => {
                if let Some(why) = self.calls.remove(&call) {
                    self.heard(core, why, Reply::Broken);
                }
            }
            NodeEvent::Reply(call, generation, reply) => {
                self.generation = self.generation.max(generation);
                if let Some(why) = self.calls.remove(&call) {
                    self.heard(core, why, reply);
                }
            }
            NodeEvent::Peer(from, message) => self.told(core, from, message),
            NodeEvent::Ask(request) => self.ask(core, request),
            NodeEvent::AskTimeout(id) => {
                if let Some(request) = self.remote.remove(&id) {
                    self.reply(core, request, Answer::Unknown);
                }
            }
            NodeEvent::ParkTimeout(id) => {
                if let Some(request) = self.parked.remove(&id) {
                    self.reply(core, request, Answer::Unavailable);
                }
            }
            NodeEvent::HandTimeout(shard, step) => self.hand_timed_out(core, shard, step),
            NodeEvent::Provided(delivery, says) => self.provided(core, delivery, says),
            NodeEvent::End => self.ended = true,
        }
    }

    fn beat(&mut self, core: &mut Core) {
        let now = self.mono(core.now);
        let alive = self.stalled.map_or(now, |since| self.mono(since));
        match self.lease.due(now, alive) {
            Due::Renew => {
                self.lease.sent(now);
                let load = self.keeper.load;
                self.call(core, Statement::Renew { load }, Why::Renew(now), LEASE_CALL);
            }
            Due::Wait(next) => {
                let delay = self.until(core.now, next);
                self.later(core, delay, NodeEvent::Heart);
            }
            Due::Stalled => self.later(core, 20 * MS, NodeEvent::Heart),
        }
    }

    fn renewed(&mut self, core: &mut Core, sent: Duration, reply: &Reply) {
        match reply {
            Reply::Done(true) => {
                let now = self.mono(core.now);
                let from = if core.broken == Some(Break::Margin) {
                    now
                } else {
                    sent
                };
                let ends = self.lease.granted(from);
                if now < ends {
                    if !self.held(core) {
                        core.note(format_args!("{} holds its lease", self.id));
                        core.checks.gained.push((self.id, None));
                    }
                    let ends_at = if core.broken == Some(Break::Lease) {
                        self.base + Duration::from_secs(1 << 20)
                    } else {
                        self.base + ends
                    };
                    self.shards.lease_until(ends_at);
                    let delay = self.until(core.now, ends);
                    self.later(core, delay, NodeEvent::LeaseEnds);
                }
                self.beat(core);
            }
            Reply::Done(false) => {
                self.shards.revoke_lease();
                self.call(core, Statement::EndOf, Why::EndOf, LEASE_CALL);
            }
            _ => {
                self.shards.end_lease(self.instant(core.now));
                self.beat(core);
            }
        }
    }

    /// This incarnation has ended; whatever waits is answered, and a new one may follow.
    fn dies(&mut self, core: &mut Core, why: &str) {
        core.note(format_args!("{} has ended: {why}", self.id));
        self.shards.revoke_lease();
        for shard in 0..=Shard::MAX {
            if self.shards.fence(shard) {
                self.forget(core, shard);
            }
        }
        let delay = core.dice.between(MS, 100 * MS);
        self.later(core, delay, NodeEvent::End);
        if why != "drained" {
            let again = delay + core.dice.between(20 * MS, 300 * MS);
            core.after(again, Event::Start(machine(self.id)));
        }
    }

    fn heard(&mut self, core: &mut Core, why: Why, reply: Reply) {
        match (why, reply) {
            (Why::Supersede, Reply::Done(_)) => {
                let join = Statement::Join(machine(self.id));
                self.call(core, join, Why::Join, KEEPER_CALL);
            }
            (Why::Join, Reply::Done(true)) => {
                self.beat(core);
                let serve = Statement::SetState(MemberState::Serving);
                self.call(core, serve, Why::Begin, KEEPER_CALL);
            }
            (Why::Begin, Reply::Done(true)) => {
                self.stage = Stage::Serving;
                self.later(core, 0, NodeEvent::Poll);
                let delay = core.dice.below(250 * MS);
                self.later(core, delay, NodeEvent::Relay);
            }
            (Why::Supersede | Why::Join | Why::Begin, _) => {
                // A start that fails is a process that ends, and is started again.
                core.note(format_args!("{} cannot start", self.id));
                self.shards.revoke_lease();
                self.ended = true;
                let delay = core.dice.between(50 * MS, 500 * MS);
                core.after(delay, Event::Start(machine(self.id)));
            }
            (Why::Renew(sent), reply) => self.renewed(core, sent, &reply),
            (Why::EndOf, Reply::Ended(because)) => self.dies(core, because.unwrap_or("gone")),
            (Why::EndOf, _) => self.beat(core),
            (Why::Leave, reply) => {
                // Its lease ends by itself if the database could not be told.
                let left = matches!(reply, Reply::Done(true));
                core.note(format_args!("{} has left: {left}", self.id));
                self.ended = true;
                let delay = core.dice.between(100 * MS, SECOND);
                core.after(delay, Event::Start(machine(self.id)));
            }
            (Why::Keep(purpose), reply) => self.keep(core, purpose, reply),
            (Why::Hand(shard), reply) => self.handed(core, shard, reply),
            (Why::Write(writer), reply) => self.written(core, writer, reply),
            (Why::Load(key), reply) => self.loaded(core, key, reply),
            (Why::Record(id), reply) => self.recorded(core, id, reply),
            (Why::Due, reply) => self.due(core, reply),
            (Why::Delivered, _) => {}
        }
    }

    /// Leaves for good, once it owns nothing.
    pub(crate) fn leave(&mut self, core: &mut Core) {
        self.shards.revoke_lease();
        self.call(core, Statement::Leave, Why::Leave, KEEPER_CALL);
    }
}
