//! What the runtime's region and shell do with a request, step by step: route, recover, replay, decide, submit, answer.
//!
//! A mirror, since the originals are actors; whatever they ask the shard map is asked of the real one.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use std::cell::Cell;

use lyceum_runtime::{Place as Where, Shard};

use crate::core::{Break, Core, MS, SECOND, Time};
use crate::database::{Reply, Statement, Turn};
use crate::domain::{Command, Fact, Key, Question, Said, State};
use crate::node::{Node, NodeEvent, NodeId, Peer, Why, node_of};
use crate::writer::{Done, Entry, Write};

const HOPS_MAX: u32 = 2;

/// Something asked of an entity.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) key: Key,
    pub(crate) command: Option<Command>,
    pub(crate) question: Question,
    pub(crate) operation: Option<u128>,
    pub(crate) deadline: Time,
    pub(crate) asker: Asker,
    /// The node that has sent it on, and its number there.
    pub(crate) from: Option<(NodeId, u64)>,
    pub(crate) hops: u32,
}

/// Who hears the answer in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker {
    /// A client, and the number of its attempt.
    Client(usize, u64),
    /// The relay of the node itself.
    Relay(u64),
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done(Said),
    Refused(&'static str, i64),
    Unknown,
    Unavailable,
    NotOwner,
}

/// One stretch of memory.
#[derive(Default)]
pub(crate) struct Lineage {
    pub(crate) failed: Cell<bool>,
    pub(crate) in_flight: Cell<u32>,
}

/// A live entity.
pub(crate) struct Entity {
    state: State,
    recovered: bool,
    epoch: i64,
    version: i64,
    operations: BTreeMap<u128, Option<Said>>,
    lineage: Rc<Lineage>,
    mailbox: VecDeque<Request>,
    /// Waiting for the journal, so that nothing else begins.
    busy: bool,
}

impl Entity {
    fn new(key: Key) -> Self {
        Entity {
            state: State::new(key),
            recovered: false,
            epoch: 0,
            version: 0,
            operations: BTreeMap::new(),
            lineage: Rc::default(),
            mailbox: VecDeque::new(),
            busy: false,
        }
    }

    /// Whether it has nothing to do and nothing in flight.
    pub(crate) fn at_rest(&self) -> bool {
        !self.busy && self.mailbox.is_empty() && self.lineage.in_flight.get() == 0
    }
}

impl Node {
    /// Takes a request to whoever serves it.
    pub(crate) fn ask(&mut self, core: &mut Core, mut request: Request) {
        let shard = request.key.shard();
        match self.shards.place_at(shard, self.instant(core.now)) {
            Where::Here => self.enter(core, request),
            Where::Sealed => {
                let id = core.id();
                let left = request.deadline.saturating_sub(core.now);
                self.parked.insert(id, request);
                self.later(core, left, NodeEvent::ParkTimeout(id));
            }
            Where::Nowhere => self.reply(core, request, Answer::NotOwner),
            Where::There(owner) => {
                if let Some((from, id)) = request.from {
                    let moved = Peer::Moved(id, shard, owner.epoch, owner.incarnation);
                    return self.tell(core, from, moved);
                }
                if request.hops > HOPS_MAX || core.now + 20 * MS >= request.deadline {
                    return self.reply(core, request, Answer::NotOwner);
                }
                request.hops += 1;
                let id = core.id();
                let left = request.deadline.saturating_sub(core.now);
                self.later(core, left, NodeEvent::AskTimeout(id));
                self.tell(core, node_of(owner.incarnation), Peer::Ask(id, request.clone()));
                self.remote.insert(id, request);
            }
        }
    }

    /// Requests that waited for a shard go on if it has a place.
    pub(crate) fn settle_parked(&mut self, core: &mut Core) {
        let now = self.instant(core.now);
        let ready: Vec<u64> = self
            .parked
            .iter()
            .filter(|(_, request)| self.shards.place_at(request.key.shard(), now) != Where::Sealed)
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            if let Some(request) = self.parked.remove(&id) {
                self.ask(core, request);
            }
        }
    }

    /// The shard is not this node's any more: its entities end.
    pub(crate) fn forget(&mut self, core: &mut Core, shard: Shard) {
        let keys: Vec<Key> = self
            .entities
            .keys()
            .filter(|key| key.shard() == shard)
            .copied()
            .collect();
        for key in keys {
            let Some(entity) = self.entities.get_mut(&key) else {
                continue;
            };
            // One that waits for the journal goes on with the request it has begun, and then ends.
            let first = usize::from(entity.busy);
            let waiting: Vec<Request> = entity.mailbox.drain(first.min(entity.mailbox.len())..).collect();
            if !entity.busy {
                self.entities.remove(&key);
            }
            for request in waiting {
                self.reply(core, request, Answer::NotOwner);
            }
        }
        self.settle_parked(core);
    }

    fn enter(&mut self, core: &mut Core, request: Request) {
        let key = request.key;
        let (epoch, held) = (self.shards.epoch(key.shard()), self.held(core));
        let entity = self.entities.entry(key).or_insert_with(|| Entity::new(key));
        if request.command.is_none()
            && entity.recovered
            && entity.at_rest()
            && !entity.lineage.failed.get()
            && entity.epoch == epoch
            && held
        {
            // A quiet entity is read where it is asked.
            return self.look(core, request);
        }
        entity.mailbox.push_back(request);
        self.work(core, key);
    }

    /// An entity takes its requests, one after the other, until it has to wait.
    fn work(&mut self, core: &mut Core, key: Key) {
        loop {
            let (epoch, held) = (self.shards.epoch(key.shard()), self.held(core));
            let Some(entity) = self.entities.get_mut(&key) else {
                return;
            };
            if entity.busy {
                return;
            }
            let Some(request) = entity.mailbox.front() else {
                break;
            };
            let stale = !entity.recovered || entity.epoch != epoch || entity.lineage.failed.get();
            if request.deadline <= core.now || epoch == 0 || !held {
                let answer = if request.deadline <= core.now {
                    Answer::Unavailable
                } else {
                    Answer::NotOwner
                };
                if let Some(request) = entity.mailbox.pop_front() {
                    self.reply(core, request, answer);
                }
                continue;
            }
            if stale {
                entity.busy = true;
                if entity.lineage.in_flight.get() == 0 {
                    self.recover(core, key);
                }
                return;
            }
            let Some(request) = entity.mailbox.pop_front() else {
                return;
            };
            self.begin(core, request);
        }
        self.look_whether_stopped(core, key.shard());
    }

    fn recover(&mut self, core: &mut Core, key: Key) {
        let epoch = self.shards.epoch(key.shard());
        if let Some(entity) = self.entities.get_mut(&key) {
            entity.recovered = false;
            // Before anything is read, so that what is read is as new as the epoch.
            entity.epoch = epoch;
            entity.lineage = Rc::default();
            self.commit_call(core, Statement::Load(key), Why::Load(key));
        }
    }

    pub(crate) fn loaded(&mut self, core: &mut Core, key: Key, reply: Reply) {
        let Some(entity) = self.entities.get_mut(&key) else {
            return;
        };
        entity.busy = false;
        let Some(request) = entity.mailbox.pop_front() else {
            return;
        };
        match reply {
            Reply::Loaded(turns) => {
                let facts: Vec<Rc<Vec<Fact>>> = turns.iter().map(|(facts, _)| facts.clone()).collect();
                entity.state = State::replay(key, &facts);
                entity.version = i64::try_from(facts.len()).unwrap_or(i64::MAX);
                entity.operations = turns
                    .iter()
                    .filter_map(|(_, operation)| operation.map(|id| (id, None)))
                    .collect();
                entity.recovered = true;
                // As the shell does: what was begun goes on.
                self.begin(core, request);
            }
            _ => self.reply(core, request, Answer::Unavailable),
        }
        self.work(core, key);
        self.end_if_forgotten(key);
    }

    fn end_if_forgotten(&mut self, key: Key) {
        if self.shards.epoch(key.shard()) == 0 && self.entities.get(&key).is_some_and(|entity| !entity.busy) {
            self.entities.remove(&key);
        }
    }

    /// The request's turn has come, and the memory is as new as it gets.
    fn begin(&mut self, core: &mut Core, request: Request) {
        let Some(entity) = self.entities.get_mut(&request.key) else {
            return;
        };
        if let Some(id) = request.operation
            && core.broken != Some(Break::Replay)
            && let Some(said) = entity.operations.get(&id)
        {
            match said.clone().filter(|_| entity.lineage.in_flight.get() > 0) {
                Some(said) => self.after_commits(core, request, Answer::Done(said)),
                None => self.answer_from_record(core, request, None),
            }
            return;
        }
        if request.command.is_some() {
            self.turn(core, request);
        } else {
            self.look(core, request);
        }
    }

    fn look(&mut self, core: &mut Core, request: Request) {
        let now = self.wall(core);
        let Some(entity) = self.entities.get(&request.key) else {
            return;
        };
        let answer = match self
            .bindings
            .answer(&entity.state, entity.version, request.question, now)
        {
            Ok(said) => Answer::Done(said),
            Err(code) => Answer::Refused(code, entity.version),
        };
        self.after_commits(core, request, answer);
    }

    /// Decides, applies, hands over; the asker hears once the commit has returned.
    fn turn(&mut self, core: &mut Core, mut request: Request) {
        let now = self.wall(core);
        let key = request.key;
        let Some(entity) = self.entities.get_mut(&key) else {
            return;
        };
        let Some(command) = request.command.take() else {
            return;
        };
        request.command = Some(command.clone());
        let facts = match entity.state.decide(command, now) {
            Ok(facts) => facts,
            Err(code) => {
                let refused = Answer::Refused(code, entity.version);
                return self.after_commits(core, request, refused);
            }
        };
        entity.state.apply(&facts);
        let version = entity.version + i64::from(!facts.is_empty());
        let said = match self
            .bindings
            .answer(&entity.state, version, request.question, now)
        {
            Ok(said) => said,
            Err(code) => return self.after_commits(core, request, Answer::Refused(code, version)),
        };
        if facts.is_empty() {
            return self.after_commits(core, request, Answer::Done(said));
        }
        entity.version = version;
        let said = Said {
            recorded: request.operation.is_some(),
            ..said
        };
        if let Some(id) = request.operation {
            entity.operations.insert(id, Some(said.clone()));
        }
        let outgoing = self.bindings.outgoing(key, &entity.state, &facts, now);
        let turn = Turn {
            key,
            shard: key.shard(),
            epoch: entity.epoch,
            version,
            facts: Rc::new(facts),
            operation: request.operation.map(|id| (id, said.clone())),
            outgoing: Rc::new(outgoing),
        };
        let lineage = entity.lineage.clone();
        lineage.in_flight.set(lineage.in_flight.get() + 1);
        let shard = turn.shard;
        let write = Write {
            turn,
            lineage,
            request,
            said,
        };
        self.submit(core, shard, Entry::Write(Box::new(write)));
    }

    /// Answers once the commits that the answer was derived from have returned.
    fn after_commits(&mut self, core: &mut Core, request: Request, answer: Answer) {
        let Some(entity) = self.entities.get(&request.key) else {
            return;
        };
        let lineage = entity.lineage.clone();
        let epoch = entity.epoch;
        if lineage.in_flight.get() == 0 {
            return self.derived(core, request, answer, &lineage, epoch, true);
        }
        let shard = request.key.shard();
        self.submit(
            core,
            shard,
            Entry::Barrier(Box::new((request, answer, lineage, epoch))),
        );
    }

    pub(crate) fn derived(
        &mut self,
        core: &mut Core,
        request: Request,
        answer: Answer,
        lineage: &Lineage,
        epoch: i64,
        passed: bool,
    ) {
        if !passed || lineage.failed.get() {
            self.answer_from_record(core, request, Some(Answer::Unavailable));
        } else if !self.held(core) || self.shards.epoch(request.key.shard()) != epoch {
            // Another owner may have changed what the answer was derived from.
            self.reply(core, request, Answer::NotOwner);
        } else {
            self.reply(core, request, answer);
        }
    }

    /// Answers from the record of a named operation; with `otherwise` if there is none, or by carrying it out.
    fn answer_from_record(&mut self, core: &mut Core, request: Request, otherwise: Option<Answer>) {
        let Some(operation) = request.operation else {
            return self.reply(core, request, otherwise.unwrap_or(Answer::Unavailable));
        };
        let id = core.id();
        if otherwise.is_none()
            && let Some(entity) = self.entities.get_mut(&request.key)
        {
            entity.busy = true;
        }
        self.records.insert(id, (request, otherwise));
        self.commit_call(core, Statement::Operation(operation), Why::Record(id));
    }

    pub(crate) fn recorded(&mut self, core: &mut Core, id: u64, reply: Reply) {
        let Some((request, otherwise)) = self.records.remove(&id) else {
            return;
        };
        let key = request.key;
        let waits = otherwise.is_none();
        if let Some(entity) = self.entities.get_mut(&key).filter(|_| waits) {
            entity.busy = false;
        }
        match reply {
            Reply::Record(Some(said)) => self.reply(core, request, Answer::Done(said)),
            Reply::Record(None) => match otherwise {
                Some(answer) => self.reply(core, request, answer),
                // It looked repeated and is not on record: carry it out.
                None => self.turn(core, request),
            },
            _ => self.reply(core, request, Answer::Unavailable),
        }
        if waits {
            self.work(core, key);
            self.end_if_forgotten(key);
        }
    }

    /// A decision was committed, or was not.
    pub(crate) fn committed(&mut self, core: &mut Core, write: Write, done: Done) {
        let Write {
            turn,
            lineage,
            request,
            said,
        } = write;
        lineage.in_flight.set(lineage.in_flight.get() - 1);
        if done != Done::Committed {
            lineage.failed.set(true);
        }
        match done {
            Done::Committed => self.reply(core, request, Answer::Done(said)),
            Done::Unknown => self.reply(core, request, Answer::Unknown),
            Done::Unavailable => self.reply(core, request, Answer::Unavailable),
            Done::Fenced => self.reply(core, request, Answer::NotOwner),
            Done::Repeated => self.answer_from_record(core, request, Some(Answer::Unavailable)),
        }
        let key = turn.key;
        if let Some(entity) = self.entities.get_mut(&key)
            && entity.lineage.in_flight.get() == 0
        {
            let waits = entity.busy && Rc::ptr_eq(&entity.lineage, &lineage) && !entity.mailbox.is_empty();
            let recording = self
                .records
                .values()
                .any(|(request, otherwise)| request.key == key && otherwise.is_none());
            if waits && !recording {
                self.recover(core, key);
            }
        }
        self.look_whether_stopped(core, key.shard());
    }

    /// Tells whoever asked.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "whoever has answered is done with the request"
    )]
    pub(crate) fn reply(&mut self, core: &mut Core, request: Request, answer: Answer) {
        if let Some((from, id)) = request.from {
            return self.tell(core, from, Peer::Answer(id, answer));
        }
        match request.asker {
            Asker::Client(client, attempt) => {
                let delay = core.travel();
                if core.rough && core.dice.chance(1, 40) {
                    return;
                }
                let event = crate::client::ClientEvent::Answer(attempt, answer);
                core.after(delay.min(SECOND), crate::core::Event::Client(client, event));
            }
            Asker::Relay(delivery) => self.delivered(core, delivery, answer),
        }
    }
}
