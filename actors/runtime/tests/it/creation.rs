//! Creations over the journal in memory: one entity for each named operation, whenever it is repeated.

use std::sync::Arc;

use lyceum_runtime::journal::CommitError;
use lyceum_runtime::journal::memory::{Fault, MemoryJournal};
use lyceum_runtime::{ActorLimits, AskError};

use crate::counter::{Bench, Command, all_shards, named, until};

async fn bench(journal: &MemoryJournal) -> Bench {
    Bench::start(Arc::new(journal.clone()), all_shards(), ActorLimits::default()).await
}

#[tokio::test]
async fn a_creation_that_is_repeated_answers_for_the_entity_it_made() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let create = |context| {
        let counters = bench.counters.clone();
        async move { counters.create(Command::Add(2), (), &context).await }
    };
    let first = create(named(7, 1)).await.unwrap();

    let repeated = create(named(7, 1)).await;
    // The row of a creation may collide with that of its first time before its name does.
    journal.script([Some(Fault::Refuse(CommitError::Constraint(
        "counters_total_check".into(),
    )))]);
    let collided = create(named(7, 1)).await;
    let other_body = create(named(7, 2)).await;
    let other = create(named(8, 1)).await.unwrap();

    assert_eq!((repeated, collided), (Ok(first), Ok(first)));
    assert_eq!(other_body, Err(AskError::KeyReused));
    assert_ne!(other.0, first.0);
    assert_eq!(journal.rows().len(), 2);
}

#[tokio::test]
async fn repetitions_of_a_creation_under_way_meet_at_one_entity() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    journal.hold();
    let create = || {
        let counters = bench.counters.clone();
        tokio::spawn(async move { counters.create(Command::Add(2), (), &named(7, 1)).await })
    };

    let crowd: Vec<_> = (0..64).map(|_| create()).collect();
    until("one decides and the others wait for its commit", || {
        journal.held() == 64
    })
    .await;
    journal.release();

    let mut made = Vec::new();
    for create in crowd {
        made.push(create.await.unwrap().unwrap());
    }
    assert_eq!(made, vec![made[0]; 64]);
    assert_eq!(journal.rows().len(), 1);
}

#[tokio::test]
async fn repetitions_that_met_at_an_attempt_which_the_journal_refuses_find_the_record() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let create = || {
        let counters = bench.counters.clone();
        tokio::spawn(async move { counters.create(Command::Add(2), (), &named(7, 1)).await })
    };
    let made = create().await.unwrap();
    journal.hold();

    let (late, later) = (create(), create());
    until("one attempts and one waits for it", || journal.held() == 2).await;
    journal.release();

    assert_eq!((late.await.unwrap(), later.await.unwrap()), (made.clone(), made));
}
