//! The journal: where decisions become durable, and where lost memory comes back from.
//!
//! A [`Submission`] is one decision with everything it changes. Submissions of one shard commit in the order they
//! were submitted; each is answered through its `done` once *its* commit has returned. After a failure the
//! [`Lineage`] it belongs to is over: whatever the same memory submitted later is refused unseen, and the entity
//! reloads. A [`Entry::Barrier`] changes nothing and is answered after everything submitted before it.

pub mod memory;
pub mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::BoxFuture;
use lyceum_kernel::Timestamp;

use crate::context::Operation;
use crate::effects::Effects;
use crate::entity::EntityRef;
use crate::placement::Shard;
use crate::store_error::StoreError;

/// Answers a submission once, after its commit.
pub type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// Why a submission was not committed, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The connection broke or timed out around `COMMIT`: it may have happened.
    #[error("the outcome of the commit is unknown")]
    Unknown,
    /// Certainly not committed: the store is away or the queue is full.
    #[error("the journal is unavailable")]
    Unavailable,
    /// Certainly not committed: this node does not own the shard any more.
    #[error("the shard has another owner")]
    Fenced,
    /// Certainly not committed: an earlier submission of the same memory failed.
    #[error("decided on a state that was never committed")]
    Superseded,
    /// Certainly not committed: the operation is recorded already.
    #[error("the operation was recorded before")]
    DuplicateOperation,
    /// Certainly not committed: a constraint of the database refused it.
    #[error("constraint {0}")]
    Constraint(String),
    /// Certainly not committed: the database refused it for a reason that is our fault.
    #[error("fault: {0}")]
    Fault(String),
}

/// One stretch of an entity's memory, from a load to the first failed commit.
#[derive(Debug, Default)]
pub struct Lineage {
    failed: AtomicBool,
    in_flight: AtomicU32,
}

impl Lineage {
    /// Whether a commit of this memory has failed, so that it must not be trusted.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Ends this memory.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// How many submissions have not been answered.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts a submission until the guard is dropped, be it by a panic: an entity that seems busy for ever is never
    /// passivated.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }
}

/// One submission that has not been answered.
pub(crate) struct InFlight(Arc<Lineage>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The events of one decision: one journal row.
#[derive(Clone, Debug)]
pub struct Turn {
    /// 1 for the first decision of an entity, then without gaps.
    pub version: i64,
    /// A JSON array of events.
    pub events: String,
}

/// The state after a turn, so that recovery can begin there.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The version of the turn it includes.
    pub version: i64,
    /// The state as JSON.
    pub state: String,
    /// The ids of the operations carried out so far, oldest first.
    pub operations: Vec<u128>,
}

/// One decision with everything that commits with it.
pub struct Submission {
    /// Whose decision it is.
    pub entity: EntityRef,
    /// The shard that owns the entity.
    pub shard: Shard,
    /// The epoch the shard is owned under.
    pub epoch: i64,
    /// The memory it was decided on.
    pub lineage: Arc<Lineage>,
    /// The events, if anything happened.
    pub turn: Option<Turn>,
    /// When it was decided.
    pub at: Timestamp,
    /// The operation and the answer to give when it is repeated.
    pub operation: Option<(Operation, String)>,
    /// Rows, messages and signals.
    pub effects: Effects,
    /// A snapshot to keep.
    pub snapshot: Option<Snapshot>,
    /// Told the outcome, once; also when the submission is dropped, which leaves it unknown.
    pub done: Option<Done>,
}

/// What can be put into the journal's queue.
pub enum Entry {
    /// A decision to commit.
    Write(Box<Submission>),
    /// Answered after everything of its shard that was submitted before.
    Barrier(Shard, Done),
}

impl Entry {
    /// The shard whose order it keeps.
    pub fn shard(&self) -> Shard {
        match self {
            Entry::Write(submission) => submission.shard,
            Entry::Barrier(shard, _) => *shard,
        }
    }

    pub(crate) fn finish(self, outcome: Result<(), CommitError>) {
        match self {
            Entry::Write(mut submission) => submission.finish(outcome),
            Entry::Barrier(_, done) => done(outcome),
        }
    }
}

impl Submission {
    pub(crate) fn finish(&mut self, outcome: Result<(), CommitError>) {
        let Some(done) = self.done.take() else { return };
        if outcome.is_err() {
            self.lineage.fail();
        } else {
            self.effects.send_signals();
        }
        done(outcome);
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        self.finish(Err(CommitError::Unknown));
    }
}

/// What the journal holds of one entity.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The turns after it, in order, each with the operation that caused it.
    pub turns: Vec<(Turn, Option<u128>)>,
}

/// The record of an operation that was carried out.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Whose operation it was.
    pub entity: EntityRef,
    /// Id and fingerprint.
    pub operation: Operation,
    /// The answer that was given, as JSON.
    pub answer: String,
}

/// Where decisions become durable.
pub trait Journal: Send + Sync + 'static {
    /// Queues an entry; `done` of it is called exactly once, also when the queue is full or closed.
    fn submit(&self, entry: Entry);

    /// Loads one entity. Submissions that are still in flight may or may not be included.
    fn load(&self, entity: EntityRef) -> BoxFuture<'static, Result<History, StoreError>>;

    /// Finds the record of an operation.
    fn operation(&self, id: u128) -> BoxFuture<'static, Result<Option<Recorded>, StoreError>>;
}
