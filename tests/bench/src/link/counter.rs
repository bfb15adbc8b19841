//! The smallest entity worth asking: it counts, and answers with the text that it is asked with.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use lyceum_kernel::{Aggregate, Class, Coded, Id, IdKind, Prefix, Timestamp};
use lyceum_runtime::journal::{Entry, History, Journal, Recorded};
use lyceum_runtime::link::{Alone, PeerTransport, Regions};
use lyceum_runtime::{
    ActorLimits, Durability, Effects, Entity, EntityRef, Kind, MemorySnapshots, Node, Owner, Pace, Region,
    ShardMap, StoreError, Supervisors,
};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// Bytes of the text, so that a request and its answer have about 256.
pub(super) const TEXT_BYTES: usize = 224;

pub(super) enum CounterKind {}

impl IdKind for CounterKind {
    const PREFIX: Prefix = "cnt";
}

pub(super) type CounterId = Id<CounterKind>;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counter {
    total: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Add(i64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Event {
    Added(i64),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Error {}

impl std::fmt::Display for Error {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Error {}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match *self {}
    }

    fn class(&self) -> Class {
        match *self {}
    }
}

impl Aggregate for Counter {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, Command::Add(amount): Command, _: Timestamp) -> Result<Vec<Event>, Error> {
        Ok(vec![Event::Added(amount)])
    }

    fn apply(&mut self, Event::Added(amount): &Event) {
        self.total += amount;
    }
}

/// The binding of [`Counter`].
pub(super) struct Counters {
    durability: Durability,
}

impl Entity for Counters {
    type State = Counter;
    type Key = CounterId;
    type Question = String;
    type Answer = String;

    const KIND: Kind = Kind {
        name: "counter",
        number: 99,
    };

    fn durability(&self) -> Durability {
        self.durability
    }

    fn answer(&self, _: &Counter, question: String, _: Timestamp) -> Result<String, Error> {
        Ok(question)
    }

    fn effects(&self, _: CounterId, _: &Counter, _: &[Event], _: Timestamp, _: &mut Effects) {}
}

/// Commits everything at once and keeps nothing.
struct Forgetful;

impl Journal for Forgetful {
    fn submit(&self, entry: Entry) {
        let done = match entry {
            Entry::Write(mut submission) => submission.done.take(),
            Entry::Barrier(_, done) => Some(done),
        };
        if let Some(done) = done {
            done(Ok(()));
        }
    }

    fn load(&self, _: EntityRef) -> BoxFuture<'static, Result<History, StoreError>> {
        Box::pin(async { Ok(History::default()) })
    }

    fn operation(&self, _: u128) -> BoxFuture<'static, Result<Option<Recorded>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}

/// A node with one region of counters.
pub(super) struct Started {
    pub(super) counters: Region<Counters>,
    /// What other nodes find.
    pub(super) regions: Arc<Regions>,
}

/// Starts a node that serves every shard, or none if another does.
///
/// # Errors
/// An actor could not be started.
pub(super) async fn start(
    durability: Durability,
    elsewhere: Option<(Arc<dyn PeerTransport>, Owner)>,
) -> Result<Started, Failure> {
    let shards = Arc::new(ShardMap::default());
    let peers: Arc<dyn PeerTransport> = match elsewhere {
        None => {
            (0..=u8::MAX).for_each(|shard| shards.serve(shard, 1));
            Arc::new(Alone)
        }
        Some((peers, owner)) => {
            for shard in 0..=u8::MAX {
                shards.learn(shard, owner.clone());
            }
            peers
        }
    };
    let supervisors = Arc::new(Supervisors::default());
    let regions = Arc::new(Regions::default());
    let node = Arc::new(Node {
        journal: Arc::new(Forgetful),
        snapshots: Arc::new(MemorySnapshots::default()),
        shards,
        peers,
        regions: regions.clone(),
        limits: ActorLimits::default(),
        supervisors: supervisors.clone(),
        alive: AtomicUsize::new(0),
        pace: Arc::new(Pace::new(Duration::from_millis(100))),
        started: Instant::now(),
    });
    supervisors.start(node.clone()).await?;
    Ok(Started {
        counters: Region::open(node, Counters { durability }),
        regions,
    })
}
