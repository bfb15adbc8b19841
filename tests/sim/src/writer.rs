//! The journal's writers: what waits is committed together, one batch at a time, and each decision is answered.

use std::collections::VecDeque;
use std::rc::Rc;

use lyceum_runtime::Shard;

use crate::core::Core;
use crate::database::{Reply, Statement, Turn};
use crate::domain::Said;
use crate::node::{Node, Why};
use crate::shell::{Answer, Lineage, Request};

const BATCH_MAX: usize = 32;

/// What waits.
pub(crate) enum Entry {
    /// A decision.
    Write(Box<Write>),
    /// An answer that is given after everything before it.
    Barrier(Box<(Request, Answer, Rc<Lineage>, i64)>),
    /// A hand-off that goes on after everything before it.
    Hand(Shard, u32),
}

/// A decision with whoever waits for it.
pub(crate) struct Write {
    pub(crate) turn: Turn,
    pub(crate) lineage: Rc<Lineage>,
    pub(crate) request: Request,
    pub(crate) said: Said,
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Committed,
    Unknown,
    Unavailable,
    Fenced,
    Repeated,
}

/// One writer.
#[derive(Default)]
pub(crate) struct Writer {
    queue: VecDeque<Entry>,
    batch: Vec<Write>,
    barriers: Vec<Entry>,
    busy: bool,
}

impl Node {
    /// Queues an entry with the writer of its shard.
    pub(crate) fn submit(&mut self, core: &mut Core, shard: Shard, entry: Entry) {
        let writer = usize::from(shard % 2);
        self.writers[writer].queue.push_back(entry);
        self.take(core, writer);
    }

    fn take(&mut self, core: &mut Core, number: usize) {
        let writer = &mut self.writers[number];
        if writer.busy || writer.queue.is_empty() {
            return;
        }
        writer.busy = true;
        for _ in 0..BATCH_MAX {
            match writer.queue.pop_front() {
                Some(Entry::Write(write)) => writer.batch.push(*write),
                Some(barrier) => writer.barriers.push(barrier),
                None => break,
            }
        }
        self.attempt(core, number);
    }

    /// Refuses what cannot be committed, and commits the rest.
    fn attempt(&mut self, core: &mut Core, number: usize) {
        let mut left = Vec::new();
        for write in std::mem::take(&mut self.writers[number].batch) {
            if write.lineage.failed.get() {
                self.committed(core, write, Done::Unavailable);
            } else if self.shards.epoch(write.turn.shard) != write.turn.epoch
                && core.broken != Some(crate::core::Break::Fence)
            {
                self.committed(core, write, Done::Fenced);
            } else {
                left.push(write);
            }
        }
        if left.is_empty() {
            for barrier in std::mem::take(&mut self.writers[number].barriers) {
                match barrier {
                    Entry::Barrier(waiting) => {
                        let (request, answer, lineage, epoch) = *waiting;
                        self.derived(core, request, answer, &lineage, epoch, true);
                    }
                    Entry::Hand(shard, step) => self.barrier_passed(core, shard, step),
                    Entry::Write(_) => {}
                }
            }
            self.writers[number].busy = false;
            return self.take(core, number);
        }
        let turns: Vec<Turn> = left.iter().map(|write| write.turn.clone()).collect();
        self.writers[number].batch = left;
        self.commit_call(core, Statement::Commit(Rc::new(turns)), Why::Write(number));
    }

    pub(crate) fn written(&mut self, core: &mut Core, number: usize, reply: Reply) {
        let mut batch = std::mem::take(&mut self.writers[number].batch);
        let all = match reply {
            Reply::Done(_) => Done::Committed,
            Reply::Unreached => Done::Unavailable,
            Reply::Fenced(stale) => {
                for shard in stale {
                    if self.shards.fence(shard) {
                        core.note(format_args!("{} was fenced off {shard}", self.id));
                    }
                }
                self.writers[number].batch = batch;
                return self.attempt(core, number);
            }
            Reply::Refused(at, repeated) => {
                let refused = batch.remove(at.min(batch.len() - 1));
                self.writers[number].batch = batch;
                let done = if repeated {
                    Done::Repeated
                } else {
                    Done::Unavailable
                };
                self.committed(core, refused, done);
                return self.attempt(core, number);
            }
            _ => Done::Unknown,
        };
        for write in batch {
            self.committed(core, write, all);
        }
        self.attempt(core, number);
    }
}
