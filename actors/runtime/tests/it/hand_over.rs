//! A shard that leaves a node and comes back: what waits, what is forgotten, what is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_runtime::cluster::Warm;
use lyceum_runtime::journal::memory::MemoryJournal;
use lyceum_runtime::{ActorLimits, AskError, Owner, ids, shard_of};
use uuid::Uuid;

use crate::counter::{Bench, Command, CounterId, all_shards, scraped, soon, until};

const BUDGET: Duration = Duration::from_secs(10);

async fn bench(journal: &MemoryJournal) -> Bench {
    Bench::start(Arc::new(journal.clone()), all_shards(), ActorLimits::default()).await
}

async fn add(bench: &Bench, id: CounterId) -> Result<i64, AskError<crate::counter::Error>> {
    bench.counters.ask(id, Command::Add(1), (), &soon()).await
}

fn elsewhere(epoch: i64) -> Owner {
    Owner {
        incarnation: Uuid::from_u128(1),
        epoch,
        link: "nowhere:1".into(),
    }
}

#[tokio::test]
async fn a_sealed_shard_finishes_what_was_begun_and_keeps_the_rest_waiting() {
    let journal = MemoryJournal::default();
    let bench = Arc::new(bench(&journal).await);
    let id: CounterId = ids::new();
    let shard = shard_of(id.as_u128());
    add(&bench, id).await.unwrap();
    journal.hold();
    let (first, second) = (bench.clone(), bench.clone());
    let begun = tokio::spawn(async move { add(&first, id).await });
    until("it is in flight", || journal.held() == 1).await;

    assert_eq!(bench.shards.seal(shard), Some(1));
    let waiting = tokio::spawn(async move { add(&second, id).await });
    let supervisors = bench.supervisors.clone();
    let handing_over = tokio::spawn(async move { supervisors.hand_over(shard, BUDGET).await });
    journal.release();

    assert_eq!(begun.await.unwrap(), Ok(2));
    assert!(handing_over.await.unwrap());
    assert_eq!(bench.counters.alive(), 0);
    assert!(!waiting.is_finished());

    // It did not happen after all.
    bench.supervisors.open(shard);
    bench.shards.unseal(shard);
    assert_eq!(waiting.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn whoever_waited_for_a_shard_that_went_elsewhere_is_told_so() {
    let journal = MemoryJournal::default();
    let bench = Arc::new(bench(&journal).await);
    let id: CounterId = ids::new();
    let shard = shard_of(id.as_u128());
    add(&bench, id).await.unwrap();

    bench.shards.seal(shard);
    assert!(bench.supervisors.hand_over(shard, BUDGET).await);
    let waiter = bench.clone();
    let waiting = tokio::spawn(async move { add(&waiter, id).await });
    assert_eq!(bench.shards.learn(shard, elsewhere(2)), Some(1));

    // There is no link here, so it was never sent.
    assert_eq!(waiting.await.unwrap(), Err(AskError::Unavailable));
}

#[tokio::test]
async fn a_shard_that_comes_back_under_another_epoch_is_read_from_the_journal() {
    let journal = MemoryJournal::default();
    let (one, other) = (bench(&journal).await, bench(&journal).await);
    let id: CounterId = ids::new();
    let shard = shard_of(id.as_u128());
    add(&one, id).await.unwrap();
    assert_eq!(one.counters.read(id, (), &soon()).await, Ok(1));

    // Lost without a word, with the entity alive.
    one.shards.learn(shard, elsewhere(2));
    assert_eq!(add(&other, id).await, Ok(2));
    assert_eq!(
        one.counters.read(id, (), &soon()).await,
        Err(AskError::Unavailable)
    );
    assert!(one.shards.open(shard, 3));

    assert_eq!(one.counters.read(id, (), &soon()).await, Ok(2));
    assert_eq!(add(&one, id).await, Ok(3));
}

#[tokio::test]
async fn whoever_is_forgotten_leaves_memory() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id: CounterId = ids::new();
    let shard = shard_of(id.as_u128());
    add(&bench, id).await.unwrap();

    bench.shards.learn(shard, elsewhere(2));
    bench.supervisors.forget(shard);

    until("it is gone", || bench.counters.alive() == 0).await;
    bench.supervisors.open(shard);
    bench.shards.open(shard, 3);
    assert_eq!(add(&bench, id).await, Ok(2));
}

#[tokio::test]
async fn nothing_is_answered_after_the_end_of_the_lease_though_nobody_has_noticed_it() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id: CounterId = ids::new();
    add(&bench, id).await.unwrap();
    let quick = scraped("actor_quick_reads_total");
    let now = Instant::now();
    bench.shards.lease_until(now);

    assert!(bench.shards.serving(shard_of(id.as_u128())), "nobody has noticed");
    assert_eq!(
        bench.counters.read(id, (), &soon()).await,
        Err(AskError::NotOwner)
    );
    assert_eq!(add(&bench, id).await, Err(AskError::NotOwner));
    assert_eq!(scraped("actor_quick_reads_total"), quick);

    bench.shards.lease_until(now + BUDGET);
    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(1));
}

#[tokio::test]
async fn an_entity_that_is_warmed_is_recovered_and_nothing_else() {
    let journal = MemoryJournal::default();
    let (one, other) = (bench(&journal).await, bench(&journal).await);
    let id: CounterId = ids::new();
    add(&one, id).await.unwrap();
    let quick = scraped("actor_quick_reads_total");

    other.counters.warm(id.as_u128(), id.as_u128());
    until("it is idle", || {
        other
            .counters
            .explain(id.as_u128())
            .is_some_and(|(_, idle)| idle.is_some())
    })
    .await;

    assert_eq!(other.counters.read(id, (), &soon()).await, Ok(1));
    assert_eq!(scraped("actor_quick_reads_total"), quick + 1);
    assert_eq!(journal.history(crate::counter::entity(id)).turns.len(), 1);
}
