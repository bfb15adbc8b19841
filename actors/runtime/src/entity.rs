//! What an entity is to the runtime: an aggregate with a key, a durability class, and the effects of its events.
//!
//! A domain binds each of its aggregates once by implementing [`Entity`] on a type of its own; everything else
//! (mailbox, recovery, commit, replay, passivation) is the same for all and lives in `shell`.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::hash::Hash;
use std::time::Duration;

use lyceum_kernel::{Aggregate, Id, IdKind, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::effects::Effects;
use crate::store_error::StoreError;

/// A kind of entity. Name and number are stored with every event: neither may ever change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// For metrics, logs and operators: `buyer`.
    pub name: &'static str,
    /// For tables.
    pub number: i16,
}

impl Kind {
    /// The key under which a snapshotted entity of this kind is kept.
    pub fn snapshot_key(self, id: u128) -> String {
        format!("entity:{}:{id:032x}", self.name)
    }
}

/// Where an entity's state lives when no actor holds it.
#[derive(Clone, Copy, Debug)]
pub enum Durability {
    /// Postgres: every decision is committed before anybody hears of it.
    Journaled {
        /// A snapshot is written after so many decisions, so that recovery reads at most that many.
        snapshot_every: u32,
    },
    /// Redis: written behind; seconds of freshness may be lost, so never money, access or content.
    Snapshotted {
        /// How long a snapshot is kept after its last write.
        ttl: Duration,
        /// How long a change may wait to be written.
        flush_after: Duration,
    },
}

/// The key of an entity: its id, and the id that places it on a shard.
///
/// Things that belong together (a user's sessions, wallet, orders and payments) are placed by the same id and
/// so live on the same node.
pub trait Key: Copy + Eq + Hash + Debug + Send + Sync + 'static {
    /// Identifies the entity among its kind.
    fn id(self) -> u128;
    /// Chooses the shard.
    fn placement(self) -> u128;
    /// The key with these parts.
    fn from_parts(id: u128, placement: u128) -> Self;
}

impl<K: IdKind + 'static> Key for Id<K> {
    fn id(self) -> u128 {
        self.as_u128()
    }

    fn placement(self) -> u128 {
        self.as_u128()
    }

    fn from_parts(id: u128, _: u128) -> Self {
        Id::from_u128(id)
    }
}

/// An aggregate bound to the runtime.
///
/// Commands, questions, answers and refusals are data, so that they can cross from one node to another.
pub trait Entity: Sized + Send + Sync + 'static {
    /// The aggregate.
    type State: Aggregate<
            Command: Serialize + DeserializeOwned + Send + 'static,
            Event: Serialize + DeserializeOwned + Send + Sync + 'static,
            Error: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        > + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// What identifies and places it.
    type Key: Key;
    /// What can be asked about the state.
    type Question: Serialize + DeserializeOwned + Send + 'static;
    /// The answers; stored as the reply of a named operation, so old ones must stay readable.
    type Answer: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// Name and number of the kind.
    const KIND: Kind;

    /// Where the state lives.
    fn durability(&self) -> Durability;

    /// Answers a question about the state.
    ///
    /// # Errors
    /// A refusal, for instance that there is no such thing.
    fn answer(
        &self,
        state: &Self::State,
        question: Self::Question,
        now: Timestamp,
    ) -> Result<Self::Answer, ErrorOf<Self>>;

    /// The step of the saga that `events` are about, in a state before or after them; asked for both, so that
    /// [`Entity::effects`] can tell how it moved.
    fn saga_step(&self, state: &Self::State, events: &[EventOf<Self>]) -> Option<&'static str> {
        let _ = (state, events);
        None
    }

    /// Collects the rows, messages and signals of one decision; `state` is the state after `events`.
    ///
    /// Only journaled entities have rows and messages; signals of snapshotted ones run at once.
    fn effects(
        &self,
        key: Self::Key,
        state: &Self::State,
        events: &[EventOf<Self>],
        now: Timestamp,
        effects: &mut Effects,
    );

    /// The refusal that a violated database constraint stands for.
    fn refusal(&self, constraint: &str) -> Option<ErrorOf<Self>> {
        let _ = constraint;
        None
    }

    /// The state of a snapshotted entity whose snapshot is missing or unreadable.
    fn rebuild(&self, key: Self::Key) -> impl Future<Output = Result<Self::State, StoreError>> + Send {
        let _ = key;
        ready(Ok(Self::State::default()))
    }

    /// The state that a snapshot holds, put right by what is written elsewhere and is newer: snapshots follow answers by a moment
    /// that a crash may fall into.
    fn confirm(&self, key: Self::Key, state: Self::State) -> impl Future<Output = Self::State> + Send {
        let _ = key;
        ready(state)
    }

    /// Whether [`Entity::rebuild`] finds all that a snapshot holds, so that it also serves while they are out of reach.
    fn rebuilds(&self) -> bool {
        false
    }
}

/// The commands of an entity.
pub type CommandOf<E> = <<E as Entity>::State as Aggregate>::Command;
/// The events of an entity.
pub type EventOf<E> = <<E as Entity>::State as Aggregate>::Event;
/// The refusals of an entity.
pub type ErrorOf<E> = <<E as Entity>::State as Aggregate>::Error;

/// Names one entity across kinds, as tables do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityRef {
    /// [`Kind::number`].
    pub kind: i16,
    /// [`Key::id`].
    pub id: u128,
}
