//! The hand-offs of a node: carries out what the runtime's steward says, by calls and messages that may be lost.

use lyceum_runtime::cluster::steward::{Action, Event as Told, Handoff, Outcome};
use lyceum_runtime::{Owner, Shard};
use uuid::Uuid;

use crate::core::{Core, MS, SECOND};
use crate::database::{Reply, Statement, name};
use crate::node::{Node, NodeEvent, NodeId, Peer, Why, machine, node_of};
use crate::writer::Entry;

/// A hand-off under way.
pub(crate) struct Moving {
    pub(crate) handoff: Handoff,
    pub(crate) action: Action,
    pub(crate) step: u32,
    pub(crate) to: NodeId,
    /// The entities have stopped, and the journal is waited for.
    stopped: bool,
}

impl Node {
    pub(crate) fn hand_off(&mut self, core: &mut Core, shard: Shard, to: Uuid) {
        let epoch = self.shards.epoch(shard);
        core.note(format_args!("{} hands {shard} off to {}", self.id, node_of(to)));
        let (handoff, action) = Handoff::begin(shard, epoch, self.incarnation, to);
        let moving = Moving {
            handoff,
            action,
            step: 0,
            to: node_of(to),
            stopped: false,
        };
        self.keeper.moving.insert(shard, moving);
        self.act(core, shard);
    }

    /// Tells a hand-off what became of its last action.
    pub(crate) fn moved_on(&mut self, core: &mut Core, shard: Shard, event: Told) {
        if let Some(moving) = self.keeper.moving.get_mut(&shard) {
            moving.action = moving.handoff.on(event);
            moving.step += 1;
            self.act(core, shard);
        }
    }

    fn act(&mut self, core: &mut Core, shard: Shard) {
        let Some(moving) = self.keeper.moving.get(&shard) else {
            return;
        };
        let Moving {
            handoff,
            action,
            step,
            to,
            ..
        } = moving;
        let (epoch, step, to, action) = (handoff.epoch, *step, *to, *action);
        match action {
            Action::Prepare => {
                self.tell(core, to, Peer::Prepare(shard, epoch));
                self.later(core, 500 * MS, NodeEvent::HandTimeout(shard, step));
            }
            Action::Seal => {
                if self.shards.seal(shard) == Some(epoch) {
                    self.later(core, 3 * SECOND, NodeEvent::HandTimeout(shard, step));
                    self.look_whether_stopped(core, shard);
                } else {
                    self.moved_on(core, shard, Told::Sealed(false));
                }
            }
            Action::Flip => {
                let to = handoff.to;
                self.keeper_call(core, Statement::Flip { shard, epoch, to }, Why::Hand(shard));
            }
            Action::Look => self.keeper_call(core, Statement::Owner(shard), Why::Hand(shard)),
            Action::Retake => {
                self.keeper_call(core, Statement::Retake { shard, epoch }, Why::Hand(shard));
            }
            Action::Open(epoch) => {
                self.tell(core, to, Peer::Open(shard, epoch));
                self.later(core, 500 * MS, NodeEvent::HandTimeout(shard, step));
            }
            Action::End(outcome) => self.hand_off_ended(core, shard, to, outcome),
        }
    }

    fn hand_off_ended(&mut self, core: &mut Core, shard: Shard, to: NodeId, outcome: Outcome) {
        core.note(format_args!("{} handed {shard} off: {outcome:?}", self.id));
        self.keeper.moving.remove(&shard);
        match outcome {
            Outcome::Moved(epoch) => {
                let owner = Owner {
                    incarnation: crate::node::incarnation(to),
                    epoch,
                    link: name(machine(to)).into(),
                };
                self.shards.learn(shard, owner);
            }
            Outcome::Kept => {
                self.shards.unseal(shard);
                core.checks.gained.push((self.id, Some(shard)));
            }
            Outcome::Retaken(epoch) => {
                self.shards.open(shard, epoch);
                core.checks.gained.push((self.id, Some(shard)));
            }
            Outcome::Lost(_) => {
                self.shards.fence(shard);
                self.forget(core, shard);
            }
        }
        self.settle_parked(core);
    }

    pub(crate) fn hand_timed_out(&mut self, core: &mut Core, shard: Shard, step: u32) {
        let Some(moving) = self
            .keeper
            .moving
            .get(&shard)
            .filter(|moving| moving.step == step)
        else {
            return;
        };
        let event = match moving.action {
            Action::Prepare => Told::Prepared(true),
            Action::Seal => Told::Sealed(false),
            Action::Open(_) => Told::Opened,
            Action::Look => Told::NotFound,
            Action::Flip | Action::Retake | Action::End(_) => return,
        };
        self.moved_on(core, shard, event);
    }

    /// A call for a hand-off was answered.
    pub(crate) fn handed(&mut self, core: &mut Core, shard: Shard, reply: Reply) {
        let Some(moving) = self.keeper.moving.get(&shard) else {
            return;
        };
        let event = match (moving.action, reply) {
            (Action::Flip, Reply::Flipped(Some(epoch))) => Told::Flipped(epoch),
            (Action::Retake, Reply::Flipped(Some(epoch))) => Told::Retaken(epoch),
            (Action::Flip | Action::Retake, _) => Told::FlipUnsure,
            (Action::Look, Reply::Owner(epoch, owner)) => Told::Found(epoch, owner),
            _ => {
                let step = moving.step;
                return self.later(core, 50 * MS, NodeEvent::HandTimeout(shard, step));
            }
        };
        self.moved_on(core, shard, event);
    }

    /// Goes on with a hand-off when the last entity of its shard has come to rest.
    pub(crate) fn look_whether_stopped(&mut self, core: &mut Core, shard: Shard) {
        let Some(moving) = self.keeper.moving.get_mut(&shard) else {
            return;
        };
        if moving.action != Action::Seal || moving.stopped {
            return;
        }
        let mut entities = self.entities.iter().filter(|(key, _)| key.shard() == shard);
        if entities.all(|(_, entity)| entity.at_rest()) {
            moving.stopped = true;
            let step = moving.step;
            self.entities.retain(|key, _| key.shard() != shard);
            self.submit(core, shard, Entry::Hand(shard, step));
        }
    }

    /// What was submitted before a hand-off is committed.
    pub(crate) fn barrier_passed(&mut self, core: &mut Core, shard: Shard, step: u32) {
        let waits = |moving: &&Moving| moving.step == step && moving.action == Action::Seal;
        if self.keeper.moving.get(&shard).as_ref().is_some_and(waits) {
            self.moved_on(core, shard, Told::Sealed(true));
        }
    }
}
