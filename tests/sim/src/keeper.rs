//! The keeper of a node: carries out what the runtime's duties, judge and steward say, by calls that may fail.

use std::collections::BTreeMap;
use std::time::Duration;

use lyceum_runtime::cluster::duties::{self, Burial};
use lyceum_runtime::cluster::judge::Judge;
use lyceum_runtime::cluster::lease::LeaseTerms;
use lyceum_runtime::cluster::members::{Member, MemberState, Roll};
use lyceum_runtime::cluster::steward::{Action, Event as Told};
use lyceum_runtime::{Owner, SHARDS, Shard};
use uuid::Uuid;

use crate::core::{Core, MS};
use crate::database::{Reply, Statement, name};
use crate::handoff::Moving;
use crate::node::{Node, NodeEvent, NodeId, Peer, Stage, Why, machine, node_of};

/// How long a shard stays before it is moved for balance; shorter than in earnest, so that runs are short.
const SETTLE: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_millis(500);
/// At once, which here is between two polls: in earnest it is two, and who has ended makes room for the next at once.
const MOVES_MAX: usize = 4;
const DRAIN_MOVES_MAX: usize = 16;

/// Which step of a look a call is.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Members,
    Owners,
    Bury(Uuid),
    EndBackends(Vec<(Shard, i64)>),
    Claim,
    State(MemberState),
    GiveUp,
}

/// What a keeper knows.
pub(crate) struct Keeper {
    judge: Judge,
    judge_at: Duration,
    began: Duration,
    pub(crate) roll: Roll,
    since: u64,
    owned_since: Vec<Duration>,
    orphaned: BTreeMap<Shard, Duration>,
    pub(crate) moving: BTreeMap<Shard, Moving>,
    backlog: Vec<(Shard, Uuid)>,
    burials: Vec<Burial>,
    looking: bool,
    pub(crate) load: u32,
}

impl Keeper {
    pub(crate) fn new(terms: LeaseTerms) -> Self {
        Keeper {
            judge: Judge::new(terms),
            judge_at: Duration::ZERO,
            began: Duration::ZERO,
            roll: Roll::default(),
            since: 0,
            owned_since: vec![Duration::ZERO; SHARDS],
            orphaned: BTreeMap::new(),
            moving: BTreeMap::new(),
            backlog: Vec::new(),
            burials: Vec::new(),
            looking: false,
            load: 0,
        }
    }
}

/// Turns a second of a shard: some are hot.
pub(crate) fn load_of(shard: Shard) -> u32 {
    if shard.is_multiple_of(16) { 200 } else { 10 }
}

impl Node {
    pub(crate) fn poll(&mut self, core: &mut Core) {
        if self.stage == Stage::Joining {
            return;
        }
        let delay = core.dice.between(100 * MS, 130 * MS);
        self.later(core, delay, NodeEvent::Poll);
        if !self.keeper.looking {
            self.keeper.looking = true;
            self.keeper.began = self.mono(core.now);
            self.keeper_call(core, Statement::Members, Why::Keep(Purpose::Members));
        }
    }

    fn me(&self) -> Option<&Member> {
        self.keeper.roll.members.get(&self.incarnation)
    }

    pub(crate) fn keep(&mut self, core: &mut Core, purpose: Purpose, reply: Reply) {
        if self.stage == Stage::Joining {
            return;
        }
        match (purpose, reply) {
            (Purpose::Members, Reply::Members(members)) => {
                self.keeper.roll.members = members;
                let owners = Statement::Owners(self.keeper.since);
                self.keeper_call(core, owners, Why::Keep(Purpose::Owners));
            }
            (Purpose::Owners, Reply::Owners(since, owners)) => {
                let now = self.mono(core.now);
                self.keeper.judge_at = self.keeper.began;
                self.keeper.since = since;
                for (shard, owner, age) in owners {
                    self.keeper.roll.owners[usize::from(shard)] = owner;
                    self.keeper.owned_since[usize::from(shard)] =
                        now.saturating_sub(Duration::from_micros(age));
                }
                self.keeper.judge.look(now, &self.keeper.roll);
                self.follow(core);
                let expired = self.keeper.judge.expired(self.keeper.judge_at);
                self.keeper.burials = duties::burials(&self.keeper.roll, &expired, self.incarnation);
                self.bury(core);
            }
            (Purpose::Bury(dead), Reply::Done(buried)) => {
                if buried {
                    self.keeper.roll.members.remove(&dead);
                }
                self.bury(core);
            }
            (Purpose::EndBackends(mine), Reply::Done(_)) => {
                self.keeper_call(core, Statement::Claim(mine), Why::Keep(Purpose::Claim));
            }
            (Purpose::Claim, Reply::Claimed(claimed)) => {
                for (shard, epoch) in claimed {
                    self.serve(core, shard, epoch);
                }
                self.change_state(core);
            }
            (Purpose::State(state), Reply::Done(_)) => {
                if let Some(me) = self.keeper.roll.members.get_mut(&self.incarnation) {
                    me.state = state;
                }
                self.give_up(core);
            }
            (Purpose::GiveUp, Reply::Done(_)) => self.give_up(core),
            _ => {
                // Everything is read again.
                self.keeper.since = 0;
                self.keeper.looking = false;
            }
        }
    }

    fn follow(&mut self, core: &mut Core) {
        let moving = &self.keeper.moving;
        let roll = &self.keeper.roll;
        let followed = duties::follow(&self.shards, roll, self.incarnation, |shard| {
            moving.contains_key(&shard)
        });
        for (shard, epoch) in followed.gained {
            self.serve(core, shard, epoch);
        }
        for shard in followed.lost {
            core.note(format_args!("{} has lost {shard}", self.id));
            self.forget(core, shard);
        }
        self.settle_parked(core);
    }

    /// Serves a shard that is its own.
    pub(crate) fn serve(&mut self, core: &mut Core, shard: Shard, epoch: i64) {
        if self.shards.knows(shard, epoch) {
            return;
        }
        if self.shards.open(shard, epoch) {
            core.note(format_args!("{} serves {shard} under {epoch}", self.id));
            core.checks.gained.push((self.id, Some(shard)));
            self.settle_parked(core);
        }
    }

    fn bury(&mut self, core: &mut Core) {
        if let Some(burial) = self.keeper.burials.pop() {
            let why = Why::Keep(Purpose::Bury(burial.incarnation));
            return self.keeper_call(core, Statement::Bury(burial), why);
        }
        self.claim(core);
    }

    fn claim(&mut self, core: &mut Core) {
        let now = self.mono(core.now);
        duties::note_orphans(&mut self.keeper.orphaned, &self.keeper.roll, now);
        let may = self.me().is_some_and(|me| me.state == MemberState::Serving)
            && self.held(core)
            && self.stage == Stage::Serving;
        if self.keeper.orphaned.is_empty() || !may {
            return self.change_state(core);
        }
        let orphaned = &self.keeper.orphaned;
        let mut mine = duties::claims(&self.keeper.roll, self.incarnation, orphaned, now, GRACE);
        mine.retain(|(shard, _)| !self.stuck.contains(shard) && !self.keeper.moving.contains_key(shard));
        if mine.is_empty() {
            return self.change_state(core);
        }
        let owners = mine
            .iter()
            .filter_map(|(shard, _)| self.keeper.roll.owners[usize::from(*shard)].incarnation);
        let dead: Vec<Uuid> = owners.collect();
        let end = Statement::EndBackends(dead);
        self.keeper_call(core, end, Why::Keep(Purpose::EndBackends(mine)));
    }

    fn change_state(&mut self, core: &mut Core) {
        let leaving = self.stage == Stage::Leaving;
        match self.me().and_then(|me| duties::wanted_state(me, leaving)) {
            Some(state) => {
                core.note(format_args!("{} becomes {}", self.id, state.as_str()));
                self.keeper_call(core, Statement::SetState(state), Why::Keep(Purpose::State(state)));
            }
            None => self.give_up(core),
        }
    }

    fn give_up(&mut self, core: &mut Core) {
        for shard in self.stuck.clone() {
            if !self.keeper.moving.contains_key(&shard) && self.shards.fence(shard) {
                core.note(format_args!("{} gives {shard} up", self.id));
                self.forget(core, shard);
            }
        }
        let abandoned = duties::abandoned(&self.shards, &self.keeper.roll, self.incarnation);
        let abandoned = abandoned
            .into_iter()
            .find(|(shard, _)| !self.keeper.moving.contains_key(shard));
        if let Some((shard, epoch)) = abandoned {
            // Once it is done the table says so; until then it is tried again.
            self.keeper.roll.owners[usize::from(shard)].incarnation = None;
            self.keeper.since = 0;
            let give_up = Statement::GiveUp { shard, epoch };
            return self.keeper_call(core, give_up, Why::Keep(Purpose::GiveUp));
        }
        self.start_hand_offs(core);
        self.keeper.looking = false;
    }

    fn start_hand_offs(&mut self, core: &mut Core) {
        let draining = self.me().is_some_and(|me| me.state == MemberState::Draining);
        let max = if draining { DRAIN_MOVES_MAX } else { MOVES_MAX };
        let free = max.saturating_sub(self.keeper.moving.len());
        let owned: Vec<(Shard, u32)> = (0..=Shard::MAX)
            .filter(|shard| self.shards.epoch(*shard) != 0)
            .map(|shard| (shard, load_of(shard)))
            .collect();
        self.keeper.load = owned.iter().map(|(_, load)| load).sum();
        let members = &self.keeper.roll.members;
        let others = members
            .values()
            .any(|member| member.incarnation != self.incarnation && member.state == MemberState::Serving);
        // With nobody left to hand off to, it leaves with what it owns: whoever starts next claims that.
        if self.stage == Stage::Leaving && draining && (owned.is_empty() || !others) {
            return self.leave(core);
        }
        if free == 0 || !self.held(core) {
            return;
        }
        let roll = &self.keeper.roll;
        let mine: Vec<(Shard, u32)> = roll
            .owned_by(self.incarnation)
            .map(|(shard, _)| (shard, load_of(shard)))
            .filter(|(shard, _)| self.shards.serving(*shard) && !self.keeper.moving.contains_key(shard))
            .collect();
        let shards: Vec<Shard> = mine.iter().map(|(shard, _)| *shard).collect();
        let state = self.me().map(|me| me.state);
        if state != Some(MemberState::Serving) {
            self.keeper.backlog.clear();
        }
        let planned = match state {
            Some(MemberState::Draining) => {
                let mut all = duties::drain(roll, self.incarnation, &shards);
                all.truncate(free);
                all
            }
            Some(MemberState::Serving) => {
                let now = self.mono(core.now);
                let frozen = roll.unsettled()
                    || !self.keeper.judge.suspects(now).is_empty()
                    || !self.keeper.orphaned.is_empty();
                if frozen {
                    self.keeper.backlog.clear();
                } else if self.keeper.backlog.is_empty() && self.keeper.moving.is_empty() {
                    let mut since = self.keeper.owned_since.iter();
                    let calm = since.all(|since| now.saturating_sub(*since) >= SETTLE);
                    let mut arrived = mine;
                    arrived.retain(|(shard, _)| {
                        let since = self.keeper.owned_since[usize::from(*shard)];
                        duties::has_arrived(now.saturating_sub(since))
                    });
                    self.keeper.backlog = duties::balance(roll, self.incarnation, &arrived, calm);
                }
                let left = self.keeper.backlog.len().saturating_sub(free);
                let mut next = self.keeper.backlog.split_off(left);
                next.retain(|(shard, to)| shards.contains(shard) && duties::may_be_given(roll, *to));
                next
            }
            _ => Vec::new(),
        };
        for (shard, to) in planned {
            self.hand_off(core, shard, to);
        }
    }

    /// Another node has said something.
    pub(crate) fn told(&mut self, core: &mut Core, from: NodeId, message: Peer) {
        match message {
            Peer::Ask(id, mut request) => {
                request.from = Some((from, id));
                self.ask(core, request);
            }
            Peer::Answer(id, answer) => {
                if let Some(request) = self.remote.remove(&id) {
                    self.reply(core, request, answer);
                }
            }
            Peer::Moved(id, shard, epoch, incarnation) => {
                let owner = Owner {
                    incarnation,
                    epoch,
                    link: name(machine(node_of(incarnation))).into(),
                };
                if self.shards.learn(shard, owner).is_some() {
                    self.forget(core, shard);
                }
                if let Some(request) = self.remote.remove(&id) {
                    self.ask(core, request);
                }
            }
            Peer::Prepare(shard, epoch) => {
                let takes = self.stage == Stage::Serving && self.held(core) && !self.stuck.contains(&shard);
                self.tell(core, from, Peer::Prepared(shard, epoch, takes));
            }
            Peer::Prepared(shard, epoch, takes) => {
                let asked = self.keeper.moving.get(&shard);
                if asked.is_some_and(|moving| {
                    moving.action == Action::Prepare && moving.handoff.epoch == epoch && moving.to == from
                }) {
                    self.moved_on(core, shard, Told::Prepared(takes));
                }
            }
            Peer::Open(shard, epoch) => {
                if self.stage != Stage::Joining {
                    self.serve(core, shard, epoch);
                    self.tell(core, from, Peer::Opened(shard, epoch));
                }
            }
            Peer::Opened(shard, epoch) => {
                let asked = self.keeper.moving.get(&shard);
                if asked.is_some_and(|moving| moving.action == Action::Open(epoch)) {
                    self.moved_on(core, shard, Told::Opened);
                }
            }
        }
    }
}
