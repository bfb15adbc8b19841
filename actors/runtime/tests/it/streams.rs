//! Following the journal: every turn once, in order or early, whatever transactions stay open.

use std::sync::Arc;
use std::time::Duration;

use lyceum_runtime::{Entity, Mark, Stream};

use crate::counter::{Command, Counters, soon, until};
use crate::journal::{Store, new};

/// Opens a transaction that has a number, as one that writes has: streams in order wait for it.
const OPEN: &str = "BEGIN; SELECT pg_current_xact_id()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_reads_every_turn_once_and_waits_for_open_transactions() {
    let store = Store::create().await;
    let from = Stream::end(&store.database).await.unwrap();
    let bench = store.node().await;
    let blocker = store.database.client().await.unwrap();
    blocker.batch_execute(OPEN).await.unwrap();
    let ids: Vec<_> = (0..50).map(|_| new()).collect();
    for id in &ids {
        bench
            .counters
            .ask(*id, Command::Add(1), (), &soon())
            .await
            .unwrap();
    }
    let kinds = [Counters::KIND.number];
    let mut stream = Stream::follow(store.database.clone(), &kinds, from, Duration::from_millis(5));
    let early = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    blocker.batch_execute("COMMIT").await.unwrap();

    let mut followed = Vec::new();
    while followed.len() < ids.len() {
        followed.extend(stream.next().await.into_iter().map(|turn| turn.entity.id));
    }

    assert!(early.is_err(), "read past an open transaction");
    assert_eq!(followed, ids.iter().map(|id| id.as_u128()).collect::<Vec<_>>());
    until("nothing is left", || true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_hear_out_of_order_is_told_of_every_turn_once_although_a_transaction_stays_open() {
    let store = Store::create().await;
    let from = Stream::end(&store.database).await.unwrap();
    let bench = store.node().await;
    let blocker = store.database.client().await.unwrap();
    blocker.batch_execute(OPEN).await.unwrap();
    let mark = Arc::new(Mark::default());
    let kinds = [Counters::KIND.number];
    let mut stream = Stream::follow(store.database.clone(), &kinds, from, Duration::from_millis(5))
        .early()
        .marking(mark.clone());
    let mut told = Vec::new();
    let ids: Vec<_> = (0..50).map(|_| new()).collect();
    for id in &ids {
        bench
            .counters
            .ask(*id, Command::Add(1), (), &soon())
            .await
            .unwrap();
        told.extend(stream.next().await.into_iter().map(|turn| turn.entity.id));
    }
    blocker.batch_execute("COMMIT").await.unwrap();

    let more = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;

    assert!(more.is_err(), "told twice");
    assert_eq!(told, ids.iter().map(|id| id.as_u128()).collect::<Vec<_>>());
    assert!(mark.lag() < Duration::from_millis(100), "{:?}", mark.lag());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_hear_out_of_order_is_told_of_more_turns_than_a_look_reads_although_a_transaction_stays_open()
 {
    let store = Store::create().await;
    let from = Stream::end(&store.database).await.unwrap();
    let bench = store.node().await;
    let blocker = store.database.client().await.unwrap();
    blocker.batch_execute(OPEN).await.unwrap();
    let kinds = [Counters::KIND.number];
    let mut stream = Stream::follow(store.database.clone(), &kinds, from, Duration::from_millis(5)).early();
    let ids: Vec<_> = (0..2_500).map(|_| new()).collect();
    for ids in ids.chunks(250) {
        let context = soon();
        let asked = ids
            .iter()
            .map(|id| bench.counters.ask(*id, Command::Add(1), (), &context));
        for outcome in futures_util::future::join_all(asked).await {
            assert_eq!(outcome, Ok(1));
        }
    }

    let mut told = Vec::new();
    let all = async {
        while told.len() < ids.len() {
            told.extend(stream.next().await.into_iter().map(|turn| turn.entity.id));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), all).await;
    blocker.batch_execute("COMMIT").await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;

    assert!(in_time.is_ok(), "stood still after {} turns", told.len());
    assert!(more.is_err(), "told twice");
    told.sort_unstable();
    let mut expected: Vec<_> = ids.iter().map(|id| id.as_u128()).collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
}
