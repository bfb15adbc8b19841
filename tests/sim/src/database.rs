//! A model of the database: the tables of the cluster and the journal, with what their statements promise.
//!
//! Each statement is carried out at one moment, which is what its locks come to. What is on its way when the server ends may have been
//! carried out or not, and nobody is told. Its clock is its own, and may be set forward.

use std::collections::BTreeMap;
use std::rc::Rc;

use lyceum_kernel::Timestamp;
use lyceum_runtime::cluster::duties::{Burial, Cause};
use lyceum_runtime::cluster::members::{Member, MemberState, Ownership, Roll, Wanted};
use lyceum_runtime::{SHARDS, Shard};
use uuid::Uuid;

use crate::core::{Break, Core, MS, Time, micros};
use crate::domain::{Fact, Key, Said};
pub(crate) use crate::statement::{Call, Reply, Statement, Turn};

struct MemberRow {
    member: Member,
    lease_until: Time,
    ended: Option<&'static str>,
}

#[derive(Clone, Copy, Default)]
struct OwnerRow {
    owner: Ownership,
    claimed_at: Time,
    changed: u64,
}

pub(crate) struct EventRow {
    pub(crate) version: i64,
    pub(crate) facts: Rc<Vec<Fact>>,
    pub(crate) operation: Option<u128>,
}

/// The server.
pub(crate) struct Database {
    pub(crate) up: bool,
    pub(crate) generation: u64,
    /// By its own clock.
    started: Time,
    /// Millionths that its clock is fast or slow.
    ppm: i64,
    /// How far its clock was set forward.
    jumped: Time,
    /// How much earlier than due messages are given out, so that nobody has to wait for timers.
    pub(crate) timers_ahead: Time,
    members: BTreeMap<Uuid, MemberRow>,
    owners: Vec<OwnerRow>,
    changes: u64,
    backends_ended: BTreeMap<Uuid, Time>,
    pub(crate) events: BTreeMap<Key, Vec<EventRow>>,
    pub(crate) operations: BTreeMap<u128, Vec<Said>>,
    pub(crate) outbox: BTreeMap<u64, (Shard, Timestamp, Rc<str>)>,
    messages: u64,
    /// What the wall clocks show when the world begins.
    pub(crate) epoch_ms: i64,
}

impl Database {
    pub(crate) fn new(core: &mut Core) -> Self {
        Database {
            up: true,
            generation: 1,
            started: 0,
            ppm: i64::try_from(core.dice.below(20_001)).unwrap_or(0) - 10_000,
            jumped: 0,
            timers_ahead: 0,
            members: BTreeMap::new(),
            owners: vec![OwnerRow::default(); SHARDS],
            changes: 1,
            backends_ended: BTreeMap::new(),
            events: BTreeMap::new(),
            operations: BTreeMap::new(),
            outbox: BTreeMap::new(),
            messages: 0,
            epoch_ms: 1_700_000_000_000,
        }
    }

    fn clock(&self, now: Time) -> Time {
        let drift = i64::try_from(now).unwrap_or(i64::MAX) / 1000 * self.ppm / 1000;
        // Two starts before the world begins, so that a clock that is slow is not negative.
        (now + self.jumped + 10_000 * MS).saturating_add_signed(drift)
    }

    /// Sets its clock forward.
    pub(crate) fn jump(&mut self, by: Time) {
        self.jumped += by;
    }

    /// Ends: all connections are gone.
    pub(crate) fn stop(&mut self) {
        self.up = false;
        self.generation += 1;
    }

    /// Starts anew.
    pub(crate) fn start(&mut self, now: Time) {
        self.up = true;
        self.generation += 1;
        self.started = self.clock(now);
    }

    fn expired(&self, row: &MemberRow, core: &Core) -> bool {
        self.clock(core.now) > row.lease_until.max(self.started + micros(core.terms.ttl))
    }

    fn lives(&self, incarnation: Uuid) -> bool {
        self.members
            .get(&incarnation)
            .is_some_and(|row| row.ended.is_none())
    }

    /// The tables as one look would show them.
    pub(crate) fn roll(&self) -> Roll {
        Roll {
            members: self
                .members
                .iter()
                .filter(|(_, row)| row.ended.is_none())
                .map(|(incarnation, row)| (*incarnation, row.member.clone()))
                .collect(),
            owners: self.owners.iter().map(|row| row.owner).collect(),
        }
    }

    /// What an operator writes.
    pub(crate) fn want(&mut self, machine: usize, wanted: Option<Wanted>) {
        let name = name(machine);
        for row in self.members.values_mut() {
            if row.ended.is_none() && row.member.node == name {
                row.member.wanted = wanted;
            }
        }
    }

    /// Carries a statement out; `None` is an answer that nobody gets.
    pub(crate) fn execute(&mut self, call: &Call, core: &mut Core) -> Reply {
        if !self.up {
            return Reply::Unreached;
        }
        if call.generation != self.generation {
            return Reply::Broken;
        }
        let me = call.incarnation;
        match &call.statement {
            Statement::Supersede(machine) => {
                let name = name(*machine);
                for row in self.members.values_mut() {
                    if row.ended.is_none() && row.member.node == name {
                        row.ended = Some("superseded");
                    }
                }
                Reply::Done(true)
            }
            Statement::Join(machine) => {
                let name = name(*machine);
                if self
                    .members
                    .values()
                    .any(|row| row.ended.is_none() && row.member.node == name)
                {
                    return Reply::Done(false);
                }
                let lease_until = self.clock(core.now) + micros(core.terms.ttl);
                let member = Member {
                    incarnation: me,
                    link: name.clone(),
                    node: name,
                    state: MemberState::Joining,
                    wanted: None,
                    http: String::new(),
                    version: String::new(),
                    renewals: 0,
                    expired: false,
                    load: 0,
                };
                self.members.insert(
                    me,
                    MemberRow {
                        member,
                        lease_until,
                        ended: None,
                    },
                );
                Reply::Done(true)
            }
            Statement::Renew { load } => {
                let until = self.clock(core.now) + micros(core.terms.ttl);
                let row = self.members.get_mut(&me).filter(|row| row.ended.is_none());
                Reply::Done(row.is_some_and(|row| {
                    row.lease_until = until;
                    row.member.renewals += 1;
                    row.member.load = *load;
                    true
                }))
            }
            Statement::EndOf => Reply::Ended(self.members.get(&me).and_then(|row| row.ended)),
            Statement::SetState(state) => {
                let row = self.members.get_mut(&me).filter(|row| row.ended.is_none());
                Reply::Done(row.is_some_and(|row| {
                    row.member.state = *state;
                    true
                }))
            }
            Statement::Leave => {
                if let Some(row) = self.members.get_mut(&me).filter(|row| row.ended.is_none()) {
                    row.ended = Some("drained");
                }
                Reply::Done(true)
            }
            Statement::Members => {
                let mut members = BTreeMap::new();
                for (incarnation, row) in self.members.iter().filter(|(_, row)| row.ended.is_none()) {
                    let mut member = row.member.clone();
                    member.expired = self.expired(row, core);
                    members.insert(*incarnation, member);
                }
                Reply::Members(members)
            }
            Statement::Owners(since) => {
                let clock = self.clock(core.now);
                let changed = self
                    .owners
                    .iter()
                    .zip(0..=Shard::MAX)
                    .filter(|(row, _)| row.changed >= *since);
                let owners = changed
                    .map(|(row, shard)| (shard, row.owner, clock.saturating_sub(row.claimed_at)))
                    .collect();
                Reply::Owners(self.changes, owners)
            }
            Statement::Bury(burial) => {
                let Burial {
                    incarnation: dead,
                    renewals,
                    because,
                } = burial;
                let buried = self.members.get(dead).is_some_and(|row| {
                    row.ended.is_none()
                        && match because {
                            Cause::Evicted => row.member.wanted == Some(Wanted::Dead),
                            Cause::LeaseOver => row.member.renewals == *renewals && self.expired(row, core),
                        }
                });
                let until = self.clock(core.now) + micros(core.terms.ttl);
                if let Some(row) = self.members.get_mut(dead).filter(|_| buried) {
                    row.ended = Some(because.as_str());
                    if *because == Cause::Evicted {
                        row.lease_until = until;
                    }
                    core.note(format_args!("db {dead} is dead: {}", because.as_str()));
                }
                Reply::Done(buried)
            }
            Statement::EndBackends(dead) => {
                // It is only asked to end, and may be late.
                if core.dice.chance(1, 2) {
                    for incarnation in dead {
                        self.backends_ended.insert(*incarnation, core.now);
                    }
                }
                Reply::Done(true)
            }
            Statement::Claim(wanted) => {
                let may = self
                    .members
                    .get(&me)
                    .is_some_and(|row| row.ended.is_none() && row.member.state == MemberState::Serving);
                let mut claimed = Vec::new();
                for (shard, epoch) in wanted.iter().filter(|_| may) {
                    let owner = self.owners[usize::from(*shard)].owner;
                    if owner.epoch == *epoch
                        && owner.incarnation.is_none_or(|owner| self.claimable(owner, core))
                    {
                        self.own(*shard, me, core);
                        claimed.push((*shard, epoch + 1));
                    }
                }
                Reply::Claimed(claimed)
            }
            Statement::Flip { shard, epoch, to } => {
                let serves = self
                    .members
                    .get(to)
                    .is_some_and(|row| row.ended.is_none() && row.member.state == MemberState::Serving);
                let owner = self.owners[usize::from(*shard)].owner;
                let flips = serves && owner.epoch == *epoch && owner.incarnation == Some(me);
                if flips {
                    self.own(*shard, *to, core);
                }
                Reply::Flipped(flips.then_some(epoch + 1))
            }
            Statement::Retake { shard, epoch } => {
                let owner = self.owners[usize::from(*shard)].owner;
                let retaken = owner.epoch == *epoch && owner.incarnation == Some(me) && self.lives(me);
                if retaken {
                    self.own(*shard, me, core);
                }
                Reply::Flipped(retaken.then_some(epoch + 1))
            }
            Statement::Owner(shard) => {
                let owner = self.owners[usize::from(*shard)].owner;
                Reply::Owner(owner.epoch, owner.incarnation)
            }
            Statement::GiveUp { shard, epoch } => {
                self.changes += 1;
                let row = &mut self.owners[usize::from(*shard)];
                if row.owner.incarnation == Some(me) && row.owner.epoch == *epoch {
                    row.owner.incarnation = None;
                    row.changed = self.changes;
                }
                Reply::Done(true)
            }
            Statement::Commit(turns) => {
                let ended = self.backends_ended.get(&me).is_some_and(|at| call.sent < *at);
                if ended {
                    return Reply::Broken;
                }
                self.commit(me, turns, core)
            }
            Statement::Load(key) => Reply::Loaded(
                self.events
                    .get(key)
                    .into_iter()
                    .flatten()
                    .map(|row| (row.facts.clone(), row.operation))
                    .collect(),
            ),
            Statement::Operation(id) => Reply::Record(
                self.operations
                    .get(id)
                    .and_then(|said| said.first())
                    .filter(|_| core.broken != Some(Break::Replay))
                    .cloned(),
            ),
            Statement::Due(shards) => {
                let ahead = self.clock(core.now) + self.timers_ahead;
                let now = self
                    .epoch_ms
                    .saturating_add_unsigned(ahead.saturating_sub(10_000 * MS) / MS);
                let due = self
                    .outbox
                    .iter()
                    .filter(|(_, (shard, due, _))| due.as_millis() <= now && shards.contains(shard));
                Reply::Due(
                    due.take(64)
                        .map(|(id, (_, _, payload))| (*id, payload.clone()))
                        .collect(),
                )
            }
            Statement::Delivered(id) => {
                self.outbox.remove(id);
                Reply::Done(true)
            }
        }
    }

    /// Whether what a member owned may be claimed: it is dead, and cannot believe that it is not.
    fn claimable(&self, owner: Uuid, core: &Core) -> bool {
        self.members.get(&owner).is_none_or(|row| match row.ended {
            None => false,
            // Nobody has told it; it may answer from memory for as long as its last lease.
            Some("evicted" | "superseded") => self.clock(core.now) > row.lease_until,
            Some(_) => true,
        })
    }

    fn own(&mut self, shard: Shard, incarnation: Uuid, core: &mut Core) {
        self.changes += 1;
        let clock = self.clock(core.now);
        let row = &mut self.owners[usize::from(shard)];
        row.owner = Ownership {
            epoch: row.owner.epoch + 1,
            incarnation: Some(incarnation),
        };
        row.claimed_at = clock;
        row.changed = self.changes;
        core.checks.owned(shard, row.owner.epoch, incarnation);
    }

    /// All or nothing: the fence, the operations, the versions.
    fn commit(&mut self, me: Uuid, turns: &[Turn], core: &mut Core) -> Reply {
        let is_stale = |turn: &&Turn| {
            let owner = self.owners[usize::from(turn.shard)].owner;
            owner.epoch != turn.epoch || owner.incarnation != Some(me)
        };
        let stale: Vec<Shard> = turns.iter().filter(is_stale).map(|turn| turn.shard).collect();
        if !stale.is_empty() && core.broken != Some(Break::Fence) {
            core.checks.fenced += 1;
            core.note(format_args!("db fences {me} off {stale:?}"));
            return Reply::Fenced(stale);
        }
        let mut versions: BTreeMap<Key, i64> = BTreeMap::new();
        for (number, turn) in turns.iter().enumerate() {
            let repeated = turn
                .operation
                .as_ref()
                .is_some_and(|(id, _)| self.operations.contains_key(id));
            if repeated && core.broken != Some(Break::Replay) {
                return Reply::Refused(number, true);
            }
            let last = versions.get(&turn.key).copied().unwrap_or_else(|| {
                self.events
                    .get(&turn.key)
                    .map_or(0, |rows| rows.last().map_or(0, |row| row.version))
            });
            if turn.version <= last && core.broken != Some(Break::Unique) {
                return Reply::Refused(number, false);
            }
            versions.insert(turn.key, turn.version);
        }
        for turn in turns {
            let owner = self.owners[usize::from(turn.shard)].owner;
            core.checks.wrote(turn, me, owner);
            self.events.entry(turn.key).or_default().push(EventRow {
                version: turn.version,
                facts: turn.facts.clone(),
                operation: turn.operation.as_ref().map(|(id, _)| *id),
            });
            if let Some((id, said)) = &turn.operation {
                self.operations.entry(*id).or_default().push(said.clone());
            }
            for (due, payload) in &turn.outgoing.messages {
                self.messages += 1;
                self.outbox
                    .insert(self.messages, (turn.shard, *due, payload.as_str().into()));
            }
            core.note(format_args!(
                "db {} is at {} by {me} under {} of {}",
                turn.key, turn.version, turn.epoch, turn.shard
            ));
        }
        Reply::Done(true)
    }
}

/// The name of a node.
pub(crate) fn name(machine: usize) -> String {
    format!("node-{machine}")
}
