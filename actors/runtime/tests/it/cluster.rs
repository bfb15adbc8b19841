//! Several nodes over one Postgres, in one process: shards that change hands, and members that come and go.

use std::sync::Arc;
use std::time::Duration;

use lyceum_runtime::cluster::members::Wanted;
use lyceum_runtime::cluster::wishes::{want, wish};
use lyceum_runtime::journal::postgres::{JournalSettings, PostgresJournal};
use lyceum_runtime::{
    ActorLimits, AskError, Cluster, ClusterSettings, Database, DatabaseSettings, Fate, Membership, ids,
    shard_of,
};

use crate::counter::{Bench, Command, CounterId, Error, soon};
use crate::journal::Store;

const LIMIT: Duration = Duration::from_secs(20);

/// One member with its entities.
struct Peer {
    bench: Bench,
    cluster: Arc<Cluster>,
}

impl Peer {
    async fn join(store: &Store, name: &str) -> Peer {
        Peer::join_over(&store.database, &store.settings, name).await
    }

    async fn join_over(database: &Database, stores: &DatabaseSettings, name: &str) -> Peer {
        let settings = ClusterSettings {
            link: format!("{name}:1"),
            settle: Duration::ZERO,
            ..ClusterSettings::default()
        };
        let member = Membership::new(name.to_owned());
        let cluster = Cluster::join(&member, database.clone(), stores, settings)
            .await
            .unwrap();
        let shards = cluster.shards().clone();
        let (journal, _) = PostgresJournal::start(
            &JournalSettings::default(),
            stores,
            database.clone(),
            &shards,
            member.incarnation,
        );
        let bench = Bench::start(Arc::new(journal), shards, ActorLimits::default()).await;
        cluster.begin(bench.node.clone()).await.unwrap();
        Peer { bench, cluster }
    }

    fn owned(&self) -> usize {
        self.cluster
            .shards()
            .all()
            .filter(|(_, epoch)| *epoch > 0)
            .count()
    }

    async fn add(&self, id: CounterId) -> Result<i64, AskError<Error>> {
        self.bench.counters.ask(id, Command::Add(1), (), &soon()).await
    }
}

/// Waits for a condition with pauses, since others need the cores.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"));
}

fn some_ids() -> Vec<CounterId> {
    (0..64).map(|_| ids::new()).collect()
}

/// Adds one to each counter at whichever peer owns it; the last shards may still be on their way.
async fn add_everywhere(peers: &[&Peer], ids: &[CounterId], expected: i64) {
    let adding = async {
        for id in ids {
            let mut asked = peers.iter().cycle();
            let counted = loop {
                match asked.next().expect("a peer").add(*id).await {
                    Ok(counted) => break counted,
                    Err(AskError::NotOwner | AskError::Unavailable) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error:?}"),
                }
            };
            assert_eq!(counted, expected);
        }
    };
    tokio::time::timeout(LIMIT, adding)
        .await
        .expect("every shard has an owner");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_member_claims_everything_and_the_second_gets_its_half() {
    let store = Store::create().await;
    let ids = some_ids();
    let one = Peer::join(&store, "one").await;
    assert_eq!(one.owned(), 256);
    add_everywhere(&[&one], &ids, 1).await;

    let other = Peer::join(&store, "other").await;

    until("they share the shards", || {
        other.owned() >= 120 && one.owned() + other.owned() == 256
    })
    .await;
    add_everywhere(&[&one, &other], &ids, 2).await;
    let moves = "SELECT count(*) FROM shard_moves WHERE reason = 'balance' AND to_node = 'other'";
    assert!(store.count(moves).await >= 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_drains_hands_all_shards_off_while_somebody_writes() {
    let store = Store::create().await;
    let ids = some_ids();
    let one = Arc::new(Peer::join(&store, "one").await);
    let other = Peer::join(&store, "other").await;
    until("they share the shards", || other.owned() >= 120).await;
    add_everywhere(&[&one, &other], &ids, 1).await;

    let writers = ids.iter().map(|id| {
        let (one, id) = (one.clone(), *id);
        tokio::spawn(async move {
            let mut added = 0;
            loop {
                match one.add(id).await {
                    Ok(_) => added += 1,
                    // It is elsewhere by now, and there is no link here. Nothing is lost on the way, and nothing is unknown.
                    Err(AskError::NotOwner | AskError::Unavailable) => return added,
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();

    assert!(one.cluster.hand_all_off(LIMIT).await);

    assert_eq!(one.owned(), 0);
    assert!(!one.cluster.serves());
    until("the other has them", || other.owned() == 256).await;
    for (id, writer) in ids.iter().zip(writers) {
        let added: i64 = writer.await.unwrap();
        assert_eq!(other.add(*id).await, Ok(added + 2));
    }
    one.cluster.leave().await.unwrap();
    assert_eq!(
        store
            .count("SELECT count(*) FROM members WHERE state = 'left'")
            .await,
        1
    );
    // The last one has nobody to hand anything to.
    assert!(other.cluster.hand_all_off(LIMIT).await);
    other.cluster.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_of_a_member_that_stalls_are_claimed_after_its_lease() {
    let store = Store::create().await;
    let other = Peer::join(&store, "other").await;
    let (database, settings) = (store.database.clone(), store.settings.clone());
    let stalling = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ids = some_ids();
    let one = stalling
        .spawn(async move { Peer::join_over(&database, &settings, "one").await })
        .await
        .unwrap();
    until("it has some", || one.owned() >= 120).await;

    stalling.shutdown_background();

    until("the other has them all", || other.owned() == 256).await;
    let dead = "SELECT count(*) FROM members WHERE state = 'dead' AND ended_because = 'lease over'";
    assert_eq!(store.count(dead).await, 1);
    assert!(!one.cluster.holds_lease());
    add_everywhere(&[&other], &ids, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_the_same_name_does_not_wait_for_the_lease() {
    let store = Store::create().await;
    let ids = some_ids();
    let one = Peer::join(&store, "one").await;
    add_everywhere(&[&one], &ids, 1).await;

    let again = Peer::join(&store, "one").await;

    assert_eq!(again.owned(), 256);
    assert_eq!(one.cluster.ended().await, Fate::Superseded);
    until("it has let go", || one.owned() == 0).await;
    add_everywhere(&[&one, &again], &ids, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_move_a_shard_drain_a_member_and_evict_one() {
    let store = Store::create().await;
    let one = Peer::join(&store, "one").await;
    let other = Peer::join(&store, "other").await;
    until("they share the shards", || other.owned() >= 120).await;
    let (shard, _) = one.cluster.shards().all().find(|(_, epoch)| *epoch > 0).unwrap();

    let operator = store.database.client().await.unwrap();
    wish(&**operator, shard, "other", "because").await.unwrap();
    until("it has moved", || other.cluster.shards().serving(shard)).await;
    let view = one.cluster.view().await.unwrap();
    assert!(
        view.moves.iter().any(|moved| moved.reason == "wished: because"),
        "{view:?}"
    );
    assert_eq!(view.members.len(), 2);

    assert!(want(&**operator, "other", Wanted::Draining).await.unwrap());
    until("it is drained", || other.owned() == 0 && one.owned() == 256).await;
    assert!(!other.cluster.serves() && other.cluster.holds_lease());
    assert!(want(&**operator, "other", Wanted::Serving).await.unwrap());
    until("it serves again", || other.owned() >= 120).await;

    assert!(want(&**operator, "other", Wanted::Dead).await.unwrap());
    assert!(!want(&**operator, "nobody", Wanted::Dead).await.unwrap());
    assert_eq!(other.cluster.ended().await, Fate::Dead);
    until("its shards are claimed", || one.owned() == 256).await;
    until("it has let go", || other.owned() == 0).await;
    other.cluster.note_fenced().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_is_raised_by_hand_is_noticed() {
    let store = Store::create().await;
    let one = Peer::join(&store, "one").await;
    let id: CounterId = ids::new();
    one.add(id).await.unwrap();
    let shard = shard_of(id.as_u128());

    store
        .database
        .execute(
            "UPDATE shard_owner SET epoch = epoch + 1, incarnation = NULL WHERE shard = $1",
            &[&i16::from(shard)],
        )
        .await
        .unwrap();

    until("it is claimed again", || one.cluster.shards().epoch(shard) == 3).await;
    assert_eq!(one.add(id).await, Ok(2));
}
