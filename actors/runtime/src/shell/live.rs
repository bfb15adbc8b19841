//! The memory of one live entity, and how it is rebuilt, remembered and written behind.
//!
//! Invariant: the state in its [`Resident`] is what the journal's turns up to `version` make of
//! nothing, unless `lineage` has failed.

use std::sync::Arc;

use lyceum_kernel::Aggregate;
use ractor::ActorRef;

use crate::ask::Envelope;
use crate::context::Operation;
use crate::effects::to_json;
use crate::entity::{Durability, Entity, Key};
use crate::journal::{History, Lineage, Snapshot};
use crate::placement::Shard;
use crate::region::Shared;
use crate::resident::Resident;
use crate::store_error::StoreError;

/// How many operation ids an entity remembers, and answers in flight; older ones are looked up in the journal.
pub(super) const OPERATIONS_MAX: usize = 4096;

/// The memory of one entity: a cache of the journal that may vanish at any message.
pub(crate) struct Live<E: Entity> {
    pub(super) key: E::Key,
    pub(super) shard: Shard,
    pub(super) resident: Arc<Resident<E>>,
    pub(super) recovered: bool,
    /// The shard's epoch when the memory was recovered: it is of no use under another.
    pub(super) epoch: i64,
    pub(super) version: i64,
    pub(super) snapshot_version: i64,
    pub(super) operations: Vec<u128>,
    /// Whether `operations` is all there ever were.
    pub(super) operations_complete: bool,
    /// Answers of operations whose commit is in flight.
    pub(super) recent: Vec<(Operation, E::Answer)>,
    pub(super) lineage: Arc<Lineage>,
    pub(super) flush: Flush,
}

/// Where a snapshotted entity's last change is on its way to the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    Clean,
    Waiting,
    Writing { dirty: bool },
}

impl<E: Entity> Live<E> {
    pub(super) fn snapshot_key(&self) -> String {
        E::KIND.snapshot_key(self.key.id())
    }

    pub(super) fn encode(&self) -> bytes::Bytes {
        to_json(&self.resident.look().state).into()
    }

    /// Notes a change of a snapshotted entity and sees to it that it is flushed in time.
    pub(super) fn change(&mut self, myself: &ActorRef<Envelope<E>>, shared: &Shared<E>) {
        let Durability::Snapshotted { flush_after, .. } = shared.entity.durability() else {
            return;
        };
        match self.flush {
            Flush::Clean => {
                self.flush = Flush::Waiting;
                myself.send_after(flush_after, || Envelope::Flush);
            }
            Flush::Waiting => {}
            Flush::Writing { .. } => self.flush = Flush::Writing { dirty: true },
        }
    }

    pub(super) fn flushed(&mut self, myself: &ActorRef<Envelope<E>>, shared: &Shared<E>) {
        let changed_meanwhile = self.flush == Flush::Writing { dirty: true };
        self.flush = Flush::Clean;
        if changed_meanwhile {
            self.change(myself, shared);
        }
    }

    pub(super) fn remember(&mut self, operation: u128) {
        if self.operations.len() >= OPERATIONS_MAX {
            // Half at a time, so that the cost of moving is spread over many operations.
            self.operations.drain(..OPERATIONS_MAX / 2);
            self.operations_complete = false;
        }
        self.operations.push(operation);
    }

    pub(super) fn take_snapshot(&mut self, state: &E::State) -> Snapshot {
        self.snapshot_version = self.version;
        Snapshot {
            version: self.version,
            state: to_json(state),
            operations: self.operations.clone(),
        }
    }

    /// Rebuilds the state from the journal.
    pub(super) fn replay(&mut self, history: History) -> Result<E::State, StoreError> {
        let mut state = E::State::default();
        self.version = 0;
        self.operations = Vec::new();
        self.operations_complete = true;
        if let Some(snapshot) = history.snapshot {
            state = serde_json::from_str(&snapshot.state).map_err(StoreError::refused)?;
            self.version = snapshot.version;
            self.operations = snapshot.operations;
            self.operations_complete = self.operations.len() < OPERATIONS_MAX / 2;
        }
        self.snapshot_version = self.version;
        for (turn, operation) in history.turns {
            if turn.version != self.version + 1 {
                return Err(StoreError::refused(format_args!(
                    "version {} follows {}",
                    turn.version, self.version
                )));
            }
            let events: Vec<crate::entity::EventOf<E>> =
                serde_json::from_str(&turn.events).map_err(StoreError::refused)?;
            for event in &events {
                state.apply(event);
            }
            self.version = turn.version;
            if let Some(operation) = operation {
                self.remember(operation);
            }
        }
        Ok(state)
    }
}
