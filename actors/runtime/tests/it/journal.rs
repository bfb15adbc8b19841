//! The journal over a real Postgres: group commit, fence, bisection, replay, outbox.
//!
//! Each test makes a database of its own next to the one that `LYCEUM_TEST_DATABASE_URL` names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lyceum_kernel::Timestamp;
use lyceum_runtime::journal::postgres::{JournalSettings, PostgresJournal};
use lyceum_runtime::journal::{CommitError, Entry, Journal, Submission, Turn};
use lyceum_runtime::{
    ActorLimits, AskError, Database, DatabaseSettings, Deliver, Delivery, DeliveryError, Effects, Membership,
    OutboxSettings, Relay, Shard, ShardMap, ids, shard_of,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::counter::{Bench, Command, CounterId, Error, entity, named, soon, until};
use crate::databases::{connect, drop_all};

/// The migrations of what the runtime keeps itself.
const MIGRATIONS: &str = concat!(
    include_str!("../../../../config/migrations/0001_journal.sql"),
    include_str!("../../../../config/migrations/0006_traces.sql"),
    include_str!("../../../../config/migrations/0009_cluster.sql")
);
const COUNTERS: &str =
    "CREATE TABLE counters (id uuid PRIMARY KEY, total bigint NOT NULL CHECK (total >= 0))";

const LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Store {
    pub(crate) settings: DatabaseSettings,
    pub(crate) database: Database,
    admin_url: String,
    name: String,
}

impl Drop for Store {
    fn drop(&mut self) {
        drop_all(self.admin_url.clone(), vec![self.name.clone()]);
    }
}

impl Store {
    pub(crate) async fn create() -> Store {
        let url =
            std::env::var("LYCEUM_TEST_DATABASE_URL").expect("`make test` sets LYCEUM_TEST_DATABASE_URL");
        let name = format!("runtime_{}", Uuid::now_v7().simple());
        connect(&url)
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let mut settings = DatabaseSettings::from_url(&url, 4, LIMIT, LIMIT, LIMIT).unwrap();
        settings.config.dbname(&name);
        let database = Database::new(&settings).unwrap();
        database
            .client()
            .await
            .unwrap()
            .batch_execute(&format!("{MIGRATIONS}; {COUNTERS}"))
            .await
            .unwrap();
        Store {
            settings,
            database,
            admin_url: url,
            name,
        }
    }

    /// Claims every shard for a new incarnation and starts a node over it.
    pub(crate) async fn node(&self) -> Bench {
        let member = Membership::new("test".into());
        let shards = member.claim_all(&self.database).await.unwrap();
        self.node_with(&member, shards).await
    }

    async fn node_with(&self, member: &Membership, shards: Arc<ShardMap>) -> Bench {
        let settings = JournalSettings::default();
        let (journal, _) = PostgresJournal::start(
            &settings,
            &self.settings,
            self.database.clone(),
            &shards,
            member.incarnation,
        );
        Bench::start(Arc::new(journal), shards, ActorLimits::default()).await
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.database.query_opt(sql, &[]).await.unwrap().unwrap().get(0)
    }
}

pub(crate) fn new() -> CounterId {
    ids::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_rows_operations_and_messages_commit_together_and_survive_a_restart() {
    let store = Store::create().await;
    let bench = store.node().await;
    let id = new();
    for operation in 0..10 {
        bench
            .counters
            .ask(id, Command::Add(1), (), &named(operation, 0))
            .await
            .unwrap();
    }

    let restarted = store.node().await;

    assert_eq!(restarted.counters.read(id, (), &soon()).await, Ok(10));
    assert_eq!(
        restarted
            .counters
            .ask(id, Command::Add(1), (), &named(3, 0))
            .await,
        Ok(4)
    );
    assert_eq!(store.count("SELECT total FROM counters").await, 10);
    assert_eq!(store.count("SELECT count(*) FROM events").await, 10);
    assert_eq!(store.count("SELECT count(*) FROM operations").await, 10);
    assert_eq!(store.count("SELECT count(*) FROM outbox").await, 10);
    assert_eq!(store.count("SELECT version FROM snapshots").await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_decisions_of_many_entities_all_commit_and_one_poisoned_fails_alone() {
    let store = Store::create().await;
    let bench = store.node().await;

    let asks: Vec<_> = (0..200)
        .map(|number| {
            let counters = bench.counters.clone();
            tokio::spawn(async move {
                let command = if number == 77 {
                    Command::Poison
                } else {
                    Command::Add(1)
                };
                counters.ask(new(), command, (), &soon()).await
            })
        })
        .collect();
    let mut committed = 0;
    let mut refused = Vec::new();
    for ask in asks {
        match ask.await.unwrap() {
            Ok(_) => committed += 1,
            Err(error) => refused.push(error),
        }
    }

    assert_eq!(committed, 199);
    assert_eq!(refused, [AskError::Refused(Error::Poisoned)]);
    assert_eq!(store.count("SELECT count(*) FROM events").await, 199);
    assert_eq!(bench.signals.load(Ordering::SeqCst), 199);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_epoch_refuses_the_next_write_and_the_shard_stops_serving() {
    let store = Store::create().await;
    let bench = store.node().await;
    let (fenced, other) = (new(), new());
    let shard = shard_of(fenced.as_u128());
    assert_ne!(
        shard,
        shard_of(other.as_u128()),
        "two ids on one shard: run again"
    );
    bench
        .counters
        .ask(fenced, Command::Add(1), (), &soon())
        .await
        .unwrap();
    let raise = "UPDATE shard_owner SET epoch = epoch + 1 WHERE shard = $1";
    store.database.execute(raise, &[&i16::from(shard)]).await.unwrap();

    let refused = bench.counters.ask(fenced, Command::Add(1), (), &soon()).await;
    let served = bench.counters.ask(other, Command::Add(1), (), &soon()).await;

    assert_eq!(refused, Err(AskError::NotOwner));
    assert_eq!(served, Ok(1));
    assert!(!bench.shards.serving(shard));
    assert_eq!(
        store
            .count("SELECT total FROM counters WHERE total = 1 LIMIT 1")
            .await,
        1
    );
    assert_eq!(store.count("SELECT count(*) FROM events").await, 2);
}

#[tokio::test]
async fn a_decision_made_after_its_shard_was_fenced_fails_alone() {
    let store = Store::create().await;
    let member = Membership::new("test".into());
    let shards = member.claim_all(&store.database).await.unwrap();
    let settings = JournalSettings {
        writers: 1,
        ..JournalSettings::default()
    };
    let database = store.database.clone();
    let (journal, _) =
        PostgresJournal::start(&settings, &store.settings, database, &shards, member.incarnation);
    shards.fence(1);

    // Submitted without a pause, they are taken for one batch.
    let decided = [1, 2].map(|shard| {
        let (told, heard) = oneshot::channel();
        journal.submit(decision(shard, shards.epoch(shard), told));
        heard
    });
    let mut outcomes = Vec::new();
    for outcome in decided {
        outcomes.push(outcome.await.unwrap());
    }

    assert_eq!(outcomes, [Err(CommitError::Fenced), Ok(())]);
}

fn decision(shard: Shard, epoch: i64, told: oneshot::Sender<Result<(), CommitError>>) -> Entry {
    let turn = Turn {
        version: 1,
        events: "[]".into(),
    };
    Entry::Write(Box::new(Submission {
        entity: entity(new()),
        shard,
        epoch,
        lineage: Arc::default(),
        turn: Some(turn),
        at: Timestamp::EPOCH,
        operation: None,
        effects: Effects::default(),
        snapshot: None,
        done: Some(Box::new(move |outcome| told.send(outcome).unwrap())),
    }))
}

#[tokio::test]
async fn a_database_that_only_reads_makes_every_decision_of_a_batch_unavailable() {
    let store = Store::create().await;
    let member = Membership::new("test".into());
    let shards = member.claim_all(&store.database).await.unwrap();
    let mut settings = store.settings.clone();
    settings.config.options("-c default_transaction_read_only=on");
    let (journal, _) = PostgresJournal::start(
        &JournalSettings::default(),
        &settings,
        store.database.clone(),
        &shards,
        member.incarnation,
    );

    let decided = [1, 2, 3].map(|shard| {
        let (told, heard) = oneshot::channel();
        journal.submit(decision(shard, shards.epoch(shard), told));
        heard
    });

    for outcome in decided {
        assert_eq!(outcome.await.unwrap(), Err(CommitError::Unavailable));
    }
}

/// Panics at the first delivery.
#[derive(Default)]
struct Clumsy {
    deliveries: AtomicU32,
}

impl Deliver for Clumsy {
    fn deliver(&self, _: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>> {
        assert!(self.deliveries.fetch_add(1, Ordering::SeqCst) > 0, "on purpose");
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_panics_is_made_again() {
    let store = Store::create().await;
    let bench = store.node().await;
    let clumsy = Arc::new(Clumsy::default());
    let (_committed, committed) = mpsc::channel(1);
    let (database, shards) = (store.database.clone(), bench.shards.clone());
    Relay::start(
        database,
        shards,
        OutboxSettings::default(),
        clumsy.clone(),
        committed,
    );

    bench
        .counters
        .ask(new(), Command::Add(1), (), &soon())
        .await
        .unwrap();
    until("it is delivered again", || {
        clumsy.deliveries.load(Ordering::SeqCst) == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_incarnation_cannot_write_after_a_claim() {
    let store = Store::create().await;
    let first = store.node().await;
    let id = new();
    first
        .counters
        .ask(id, Command::Add(1), (), &soon())
        .await
        .unwrap();
    let second = store.node().await;
    second
        .counters
        .ask(id, Command::Add(1), (), &soon())
        .await
        .unwrap();

    // Its connections were ended by the claim, so the first answer may be that the outcome is unknown.
    let mut late = first.counters.ask(id, Command::Add(1), (), &soon()).await;
    for _ in 0..20 {
        if late == Err(AskError::NotOwner) {
            break;
        }
        assert!(late.is_err(), "{late:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        late = first.counters.ask(id, Command::Add(1), (), &soon()).await;
    }

    assert_eq!(late, Err(AskError::NotOwner));
    assert_eq!(second.counters.read(id, (), &soon()).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_used_under_two_entities_at_once_has_one_effect() {
    let store = Store::create().await;
    let bench = store.node().await;

    let asks: Vec<_> = (0..16)
        .map(|_| {
            let counters = bench.counters.clone();
            tokio::spawn(async move { counters.ask(new(), Command::Add(5), (), &named(1, 1)).await })
        })
        .collect();

    for ask in asks {
        assert_eq!(ask.await.unwrap(), Ok(5));
    }
    assert_eq!(store.count("SELECT count(*) FROM events").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_is_found_again_after_a_restart() {
    let store = Store::create().await;
    let create = async |bench: &Bench, fingerprint| {
        let context = named(1, fingerprint);
        bench.counters.create(Command::Add(5), (), &context).await
    };
    let made = create(&store.node().await, 1).await.unwrap();

    let restarted = store.node().await;

    assert_eq!(create(&restarted, 1).await, Ok(made));
    assert_eq!(create(&restarted, 2).await, Err(AskError::KeyReused));
    assert_eq!(store.count("SELECT count(*) FROM events").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_reconnects_after_its_connections_are_cut() {
    let store = Store::create().await;
    let bench = store.node().await;
    let id = new();
    bench
        .counters
        .ask(id, Command::Add(1), (), &named(0, 0))
        .await
        .unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE 'lyceum 0%'";
    store.database.query(cut, &[]).await.unwrap();

    let mut outcome = bench.counters.ask(id, Command::Add(1), (), &named(1, 0)).await;
    for _ in 0..100 {
        if outcome.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        outcome = bench.counters.ask(id, Command::Add(1), (), &named(1, 0)).await;
    }

    assert_eq!(outcome, Ok(2));
    assert_eq!(store.count("SELECT count(*) FROM events").await, 2);
}
