//! The smallest aggregate that shows everything: a counter that refuses, panics on demand and writes a row.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lyceum_kernel::{Aggregate, Class, Coded, Id, IdKind, Prefix, Timestamp};
use lyceum_runtime::journal::Journal;
use lyceum_runtime::link::Alone;
use lyceum_runtime::metrics::{Format, render};
use lyceum_runtime::{
    ActorLimits, Column, Context, Durability, Effects, Entity, EntityRef, Kind, METERS, MemorySnapshots,
    Node, Operation, Pace, Region, ShardMap, Supervisors, Table, row,
};
use serde::{Deserialize, Serialize};

pub(crate) enum CounterKind {}

impl IdKind for CounterKind {
    const PREFIX: Prefix = "cnt";
}

pub(crate) type CounterId = Id<CounterKind>;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counter {
    total: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Add(i64),
    Panic,
    /// Writes a row that the database refuses.
    Poison,
    /// Sends a signal that panics.
    Startle,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    Added { amount: i64 },
    Poisoned,
    Startled,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Error {
    #[error("a counter counts up")]
    Negative,
    #[error("poisoned")]
    Poisoned,
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        "counter.refused"
    }

    fn class(&self) -> Class {
        Class::Unprocessable
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        None
    }
}

impl Aggregate for Counter {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, _: Timestamp) -> Result<Vec<Event>, Error> {
        match command {
            Command::Add(amount) if amount < 0 => Err(Error::Negative),
            Command::Add(amount) => Ok(vec![Event::Added { amount }]),
            Command::Poison => Ok(vec![Event::Poisoned]),
            Command::Startle => Ok(vec![Event::Startled]),
            Command::Panic => panic!("on purpose"),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Added { amount } = event {
            self.total += amount;
        }
    }
}

pub(crate) static COUNTERS: Table = Table {
    name: "counters",
    statement: "INSERT INTO counters (id, total) SELECT * FROM unnest($1::uuid[], $2::bigint[]) \
        ON CONFLICT (id) DO UPDATE SET total = excluded.total",
    columns: &[Column::Uuid, Column::Int],
    key: 1,
};

/// The binding of [`Counter`].
pub(crate) struct Counters {
    pub(crate) durability: Durability,
    pub(crate) signals: Arc<AtomicU32>,
}

impl Entity for Counters {
    type State = Counter;
    type Key = CounterId;
    type Question = ();
    type Answer = i64;

    const KIND: Kind = Kind {
        name: "counter",
        number: 99,
    };

    fn durability(&self) -> Durability {
        self.durability
    }

    fn answer(&self, state: &Counter, (): (), _: Timestamp) -> Result<i64, Error> {
        Ok(state.total)
    }

    fn effects(
        &self,
        key: CounterId,
        state: &Counter,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        // The table refuses negative totals.
        let poisoned = events.iter().any(|event| matches!(event, Event::Poisoned));
        effects.row(&COUNTERS, row![key, if poisoned { -1 } else { state.total }]);
        effects.message(now, &state.total);
        if events.iter().any(|event| matches!(event, Event::Startled)) {
            effects.after_commit(|| panic!("on purpose"));
        }
        let signals = self.signals.clone();
        effects.after_commit(move || {
            signals.fetch_add(1, Ordering::SeqCst);
        });
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        (constraint == "counters_total_check").then_some(Error::Poisoned)
    }
}

/// A node with one region of counters.
pub(crate) struct Bench {
    pub(crate) counters: Region<Counters>,
    pub(crate) shards: Arc<ShardMap>,
    pub(crate) supervisors: Arc<Supervisors>,
    pub(crate) node: Arc<Node>,
    pub(crate) signals: Arc<AtomicU32>,
}

impl Bench {
    pub(crate) async fn start(journal: Arc<dyn Journal>, shards: Arc<ShardMap>, limits: ActorLimits) -> Self {
        Bench::start_as(
            journal,
            shards,
            limits,
            Durability::Journaled { snapshot_every: 4 },
        )
        .await
    }

    pub(crate) async fn start_as(
        journal: Arc<dyn Journal>,
        shards: Arc<ShardMap>,
        limits: ActorLimits,
        durability: Durability,
    ) -> Self {
        let supervisors = Arc::new(Supervisors::default());
        let node = Arc::new(Node {
            journal,
            snapshots: Arc::new(MemorySnapshots::default()),
            shards: shards.clone(),
            peers: Arc::new(Alone),
            regions: Arc::default(),
            limits,
            supervisors: supervisors.clone(),
            alive: AtomicUsize::new(0),
            pace: Arc::new(Pace::new(Duration::from_millis(100))),
            started: Instant::now(),
        });
        supervisors.start(node.clone()).await.unwrap();
        let signals = Arc::new(AtomicU32::new(0));
        let counters = Region::open(
            node.clone(),
            Counters {
                durability,
                signals: signals.clone(),
            },
        );
        Bench {
            counters,
            shards,
            supervisors,
            node,
            signals,
        }
    }
}

/// A map that serves every shard under epoch 1.
pub(crate) fn all_shards() -> Arc<ShardMap> {
    let shards = ShardMap::default();
    (0..=u8::MAX).for_each(|shard| shards.serve(shard, 1));
    Arc::new(shards)
}

pub(crate) fn soon() -> Context {
    Context::within(Duration::from_secs(10))
}

pub(crate) fn named(id: u128, fingerprint: u128) -> Context {
    soon().with_operation(Operation { id, fingerprint })
}

pub(crate) fn entity(id: CounterId) -> EntityRef {
    EntityRef {
        kind: Counters::KIND.number,
        id: id.as_u128(),
    }
}

/// What a scrape shows of the counters' metric of this name.
pub(crate) fn scraped(name: &str) -> u64 {
    let series = format!("{name}{{kind=\"counter\"}} ");
    let scrape = render(METERS, Format::Prometheus);
    let line = scrape.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap().parse().unwrap()
}

/// Waits until `condition` holds, at most ten seconds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}
