//! What goes wrong in a world: drawn by the dice, one fault after the other, until they end.

use lyceum_runtime::Shard;
use lyceum_runtime::cluster::members::Wanted;

use crate::core::{Event, MS, Place, SECOND, Time};
use crate::node::{Node, NodeId, Stage, machine};
use crate::world::World;

/// Machines at most.
const MACHINES: usize = 8;

impl World {
    /// The next fault, and when the one after it comes.
    pub(crate) fn fault(&mut self) {
        if self.core.now >= self.faults_end {
            return;
        }
        let pause = self.core.dice.between(50 * MS, 1500 * MS);
        self.core.after(pause, Event::Fault);
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let Some(id) = self.core.dice.pick(&ids) else {
            return;
        };
        let lasts = self.core.dice.between(100 * MS, 4 * SECOND);
        match self.core.dice.below(16) {
            0..=1 => self.crash(id),
            2..=3 => self.freeze(id, lasts),
            4 => self.stall(id, lasts),
            5 => {
                let other = self.core.dice.pick(&ids).unwrap_or(id);
                self.cut(Place::Machine(machine(id)), Place::Machine(machine(other)), lasts);
            }
            6..=7 => self.cut(Place::Machine(machine(id)), Place::Database, lasts),
            8 => self.restart_database(lasts / 3),
            9 => {
                if self.machines < MACHINES {
                    self.core.after(0, Event::Start(self.machines));
                    self.machines += 1;
                }
            }
            10..=11 => self.end_in_good_order(id),
            12 => self.want(id),
            13 => {
                let by = i64::try_from(self.core.dice.below(240_000)).unwrap_or(0) - 120_000;
                self.core
                    .note(format_args!("the wall clock of {id} jumps by {by} ms"));
                self.walls[machine(id)] = by;
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.wall_ms = by;
                }
            }
            14 => {
                // Who is evicted has its lease by this clock alone; two rare things at once are one too many.
                let evicting = self.evicted_at.is_some_and(|at| self.core.now - at < 10 * SECOND);
                if !evicting {
                    self.core
                        .note(format_args!("the clock of db jumps by {lasts} us"));
                    self.database.jump(lasts);
                }
            }
            _ => {
                let first = Shard::try_from(self.core.dice.below(256)).unwrap_or(0);
                self.core.note(format_args!("{id} is stuck at {first}"));
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.stuck.extend(first..=first.saturating_add(9));
                    self.core.after(lasts, Event::Thaw(id));
                }
            }
        }
    }

    fn crash(&mut self, id: NodeId) {
        self.core.note(format_args!("{id} is killed"));
        self.nodes.remove(&id);
        let delay = self.core.dice.between(100 * MS, 4 * SECOND);
        self.core.after(delay, Event::Start(machine(id)));
    }

    fn freeze(&mut self, id: NodeId, lasts: Time) {
        if let Some(node) = self.nodes.get_mut(&id) {
            self.core.note(format_args!("{id} freezes for {lasts} us"));
            node.frozen = true;
            self.core.after(lasts, Event::Thaw(id));
        }
    }

    fn stall(&mut self, id: NodeId, lasts: Time) {
        let now = self.core.now;
        if let Some(node) = self.nodes.get_mut(&id) {
            self.core.note(format_args!("{id} stalls for {lasts} us"));
            node.stalled.get_or_insert(now);
            self.core.after(lasts, Event::Thaw(id));
        }
    }

    fn cut(&mut self, one: Place, other: Place, lasts: Time) {
        let ways = self.core.dice.below(3);
        self.core.note(format_args!(
            "{one:?} and {other:?} are cut, {ways}, for {lasts} us"
        ));
        if ways != 1 {
            self.core.cut(one, other);
        }
        if ways != 2 {
            self.core.cut(other, one);
        }
        self.core.after(lasts, Event::Heal(one, other));
    }

    fn restart_database(&mut self, lasts: Time) {
        if self.database.up {
            self.core.note(format_args!("db is down for {lasts} us"));
            self.database.stop();
            self.core.after(lasts, Event::DatabaseUp);
        }
    }

    /// SIGTERM: it hands its shards off and leaves; whoever waits too long kills it.
    fn end_in_good_order(&mut self, id: NodeId) {
        let serving = |node: &&mut Node| node.stage == Stage::Serving;
        if let Some(node) = self.nodes.get_mut(&id).filter(serving) {
            self.core.note(format_args!("{id} is to end"));
            node.stage = Stage::Leaving;
        }
    }

    /// An operator wants something of a member.
    fn want(&mut self, id: NodeId) {
        let wanted = match self.core.dice.below(3) {
            0 => Wanted::Dead,
            1 => Wanted::Draining,
            _ => Wanted::Serving,
        };
        if wanted == Wanted::Dead {
            self.evicted_at = Some(self.core.now);
        }
        self.core.note(format_args!("{id} is wanted {}", wanted.as_str()));
        self.database.want(machine(id), Some(wanted));
    }
}
