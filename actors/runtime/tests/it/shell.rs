//! The entity shell over the journal in memory: every promise of an ask, with scripted faults.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use lyceum_runtime::journal::CommitError;
use lyceum_runtime::journal::memory::{Fault, MemoryJournal};
use lyceum_runtime::{ActorLimits, AskError, Context, Durability, ids};

use crate::counter::{Bench, Command, CounterId, Error, all_shards, entity, named, scraped, soon, until};

async fn bench(journal: &MemoryJournal) -> Bench {
    Bench::start(Arc::new(journal.clone()), all_shards(), ActorLimits::default()).await
}

fn new() -> CounterId {
    ids::new()
}

#[tokio::test]
async fn a_command_is_answered_with_the_state_after_it() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();

    let answers = [
        bench.counters.ask(id, Command::Add(2), (), &soon()).await,
        bench.counters.ask(id, Command::Add(3), (), &soon()).await,
    ];

    assert_eq!(answers, [Ok(2), Ok(5)]);
    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(5));
    assert_eq!(journal.history(entity(id)).turns.len(), 2);
    assert_eq!(bench.signals.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_question_about_a_quiet_entity_is_answered_at_once_and_about_a_busy_one_in_its_turn() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    let at_once = || bench.counters.read(id, (), &soon()).now_or_never();
    assert_eq!(at_once(), None, "it is not alive yet");
    bench
        .counters
        .ask(id, Command::Add(2), (), &soon())
        .await
        .unwrap();
    until("quiet", || at_once() == Some(Ok(2))).await;

    journal.hold();
    let counters = bench.counters.clone();
    let adding = tokio::spawn(async move { counters.ask(id, Command::Add(3), (), &soon()).await });
    until("in flight", || journal.held() == 1).await;
    let while_in_flight = at_once();
    journal.release();

    assert_eq!(while_in_flight, None, "what it would say may still vanish");
    assert_eq!(adding.await.unwrap(), Ok(5));
    until("quiet again", || at_once() == Some(Ok(5))).await;
    assert!(scraped("actor_quick_reads_total") >= 2);
}

#[tokio::test]
async fn a_question_after_a_failed_commit_is_answered_from_what_was_committed() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    bench
        .counters
        .ask(id, Command::Add(2), (), &soon())
        .await
        .unwrap();
    journal.script([Some(Fault::Refuse(CommitError::Unavailable))]);

    let failed = bench.counters.ask(id, Command::Add(3), (), &soon()).await;

    assert_eq!(failed, Err(AskError::Unavailable));
    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(2));
}

#[tokio::test]
async fn a_refusal_is_told_and_changes_nothing() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();

    let refused = bench.counters.ask(id, Command::Add(-1), (), &soon()).await;

    assert_eq!(refused, Err(AskError::Refused(Error::Negative)));
    assert!(journal.history(entity(id)).turns.is_empty());
}

#[tokio::test]
async fn a_repeated_operation_has_one_effect_and_one_answer() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    let first = bench.counters.ask(id, Command::Add(2), (), &named(7, 1)).await;
    bench
        .counters
        .ask(id, Command::Add(10), (), &soon())
        .await
        .unwrap();

    let repeated = bench.counters.ask(id, Command::Add(2), (), &named(7, 1)).await;
    let other_body = bench.counters.ask(id, Command::Add(3), (), &named(7, 2)).await;

    assert_eq!((first, repeated), (Ok(2), Ok(2)));
    assert_eq!(other_body, Err(AskError::KeyReused));
    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(12));
}

#[tokio::test]
async fn concurrent_repeats_of_an_operation_all_hear_the_answer_of_the_one_that_happened() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    journal.hold();

    let asks: Vec<_> = (0..64)
        .map(|_| {
            let counters = bench.counters.clone();
            tokio::spawn(async move { counters.ask(id, Command::Add(2), (), &named(7, 1)).await })
        })
        .collect();
    until("the command and 63 barriers wait for the commit", || {
        journal.held() == 64
    })
    .await;
    journal.release();

    for ask in asks {
        assert_eq!(ask.await.unwrap(), Ok(2));
    }
    assert_eq!(journal.history(entity(id)).turns.len(), 1);
}

#[tokio::test]
async fn nobody_hears_of_a_state_before_its_commit() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    bench
        .counters
        .ask(id, Command::Add(1), (), &soon())
        .await
        .unwrap();
    journal.hold();

    let counters = bench.counters.clone();
    let write = tokio::spawn(async move { counters.ask(id, Command::Add(1), (), &soon()).await });
    until("the write is in flight", || journal.held() == 1).await;
    let counters = bench.counters.clone();
    let read = tokio::spawn(async move { counters.read(id, (), &soon()).await });
    until("the read waits behind it", || journal.held() == 2).await;
    assert!(!read.is_finished() && !write.is_finished());
    journal.release();

    assert_eq!(write.await.unwrap(), Ok(2));
    assert_eq!(read.await.unwrap(), Ok(2));
}

#[tokio::test]
async fn a_failed_commit_takes_everything_decided_on_it_along_and_the_entity_reloads() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    bench
        .counters
        .ask(id, Command::Add(1), (), &soon())
        .await
        .unwrap();
    journal.hold();
    let asks: Vec<_> = (0..2)
        .map(|_| {
            let counters = bench.counters.clone();
            tokio::spawn(async move { counters.ask(id, Command::Add(1), (), &soon()).await })
        })
        .collect();
    until("both are in flight", || journal.held() == 2).await;
    journal.script([Some(Fault::Refuse(CommitError::Fault("on purpose".into())))]);
    journal.release();

    for ask in asks {
        assert_eq!(ask.await.unwrap(), Err(AskError::Unavailable));
    }
    assert_eq!(bench.counters.ask(id, Command::Add(1), (), &soon()).await, Ok(2));
    assert_eq!(journal.history(entity(id)).turns.len(), 2);
}

#[tokio::test]
async fn an_operation_with_unknown_outcome_is_found_by_its_repetition() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    journal.script([Some(Fault::LoseReply)]);

    let unknown = bench.counters.ask(id, Command::Add(2), (), &named(7, 1)).await;
    let repeated = bench.counters.ask(id, Command::Add(2), (), &named(7, 1)).await;

    assert_eq!(unknown, Err(AskError::Unknown));
    assert_eq!(repeated, Ok(2));
    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(2));
}

#[tokio::test]
async fn an_operation_recorded_under_another_entity_is_replayed_not_repeated() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    bench
        .counters
        .ask(new(), Command::Add(2), (), &named(7, 1))
        .await
        .unwrap();
    let created_again = new();

    let repeated = bench
        .counters
        .ask(created_again, Command::Add(2), (), &named(7, 1))
        .await;

    assert_eq!(repeated, Ok(2));
    assert!(journal.history(entity(created_again)).turns.is_empty());
}

#[tokio::test]
async fn a_violated_constraint_is_the_refusal_the_binding_says() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    journal.script([Some(Fault::Refuse(CommitError::Constraint(
        "counters_total_check".into(),
    )))]);

    let refused = bench.counters.ask(new(), Command::Poison, (), &soon()).await;

    assert_eq!(refused, Err(AskError::Refused(Error::Poisoned)));
}

#[tokio::test]
async fn a_passivated_entity_recovers_from_snapshot_and_tail_and_remembers_its_operations() {
    let journal = MemoryJournal::default();
    let limits = ActorLimits {
        idle_timeout: Duration::from_millis(20),
        ..ActorLimits::default()
    };
    let bench = Bench::start(Arc::new(journal.clone()), all_shards(), limits).await;
    let id = new();
    for operation in 0..6 {
        bench
            .counters
            .ask(id, Command::Add(1), (), &named(operation, 0))
            .await
            .unwrap();
    }
    until("it is passivated", || bench.counters.alive() == 0).await;

    let repeated = bench.counters.ask(id, Command::Add(1), (), &named(2, 0)).await;
    let next = bench.counters.ask(id, Command::Add(1), (), &named(6, 0)).await;

    assert_eq!((repeated, next), (Ok(3), Ok(7)));
}

#[tokio::test]
async fn requests_are_answered_while_their_entity_is_passivated_again_and_again() {
    let journal = MemoryJournal::default();
    let limits = ActorLimits {
        idle_timeout: Duration::from_millis(20),
        ..ActorLimits::default()
    };
    let bench = Bench::start(Arc::new(journal), all_shards(), limits).await;
    let id = new();

    for total in 1..=100 {
        assert_eq!(
            bench.counters.ask(id, Command::Add(1), (), &soon()).await,
            Ok(total)
        );
        if total % 20 == 0 {
            until("it is passivated", || bench.counters.alive() == 0).await;
        }
    }
}

#[tokio::test]
async fn a_panic_ends_one_entity_and_too_many_quarantine_it() {
    let journal = MemoryJournal::default();
    let limits = ActorLimits {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(1),
        failures_max: 3,
        ..ActorLimits::default()
    };
    let bench = Bench::start(Arc::new(journal), all_shards(), limits).await;
    let (bad, good) = (new(), new());
    bench
        .counters
        .ask(good, Command::Add(1), (), &soon())
        .await
        .unwrap();
    bench
        .counters
        .ask(bad, Command::Add(1), (), &soon())
        .await
        .unwrap();

    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes.push(bench.counters.ask(bad, Command::Panic, (), &soon()).await);
    }

    assert_eq!(outcomes[..4], vec![Err(AskError::Failed); 4]);
    assert_eq!(outcomes[4], Err(AskError::Quarantined));
    assert_eq!(scraped("actor_quarantined"), 1);
    assert_eq!(
        bench.counters.ask(good, Command::Add(1), (), &soon()).await,
        Ok(2)
    );
}

#[tokio::test]
async fn a_signal_that_panics_is_lost_and_nothing_else_is() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();

    let answer = bench.counters.ask(id, Command::Startle, (), &soon()).await;
    let next = bench.counters.ask(id, Command::Add(1), (), &soon()).await;

    assert_eq!((answer, next), (Ok(0), Ok(1)));
    assert_eq!(bench.signals.load(Ordering::SeqCst), 2, "the signals beside it");
    let (_, idle) = bench.counters.explain(id.as_u128()).unwrap();
    assert!(idle.is_some(), "nothing is in flight");
}

#[tokio::test]
async fn an_entity_that_failed_reloads_only_after_its_last_commits() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    journal.hold();
    let counters = bench.counters.clone();
    let write = tokio::spawn(async move { counters.ask(id, Command::Add(1), (), &soon()).await });
    until("the write is in flight", || journal.held() == 1).await;

    let failed = bench.counters.ask(id, Command::Panic, (), &soon()).await;
    let counters = bench.counters.clone();
    let read = tokio::spawn(async move { counters.read(id, (), &soon()).await });
    until("the restart waits behind the write", || journal.held() == 2).await;
    journal.release();

    assert_eq!(failed, Err(AskError::Failed));
    assert_eq!(write.await.unwrap(), Ok(1));
    assert_eq!(read.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn work_whose_deadline_has_passed_is_not_begun() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    let context = Context {
        deadline: Instant::now() - Duration::from_millis(1),
        ..soon()
    };

    let expired = bench.counters.ask(id, Command::Add(1), (), &context).await;

    assert!(
        matches!(expired, Err(AskError::Expired | AskError::Unknown)),
        "{expired:?}"
    );
    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(0));
}

#[tokio::test]
async fn a_flood_is_refused_beyond_the_bound_and_the_rest_is_answered() {
    let journal = MemoryJournal::default();
    let limits = ActorLimits {
        admission_max: 10,
        ..ActorLimits::default()
    };
    let bench = Bench::start(Arc::new(journal.clone()), all_shards(), limits).await;
    let id = new();
    journal.hold();
    let admitted: Vec<_> = (0..10)
        .map(|_| {
            let counters = bench.counters.clone();
            tokio::spawn(async move { counters.ask(id, Command::Add(1), (), &soon()).await })
        })
        .collect();
    until("ten are in flight", || journal.held() == 10).await;

    let refused = bench.counters.ask(id, Command::Add(1), (), &soon()).await;
    journal.release();

    assert_eq!(refused, Err(AskError::Overloaded));
    for ask in admitted {
        assert!(ask.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_shard_that_is_not_owned_is_not_served() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    bench.shards.fence(lyceum_runtime::shard_of(id.as_u128()));

    let refused = bench.counters.ask(id, Command::Add(1), (), &soon()).await;

    assert_eq!(refused, Err(AskError::NotOwner));
}

#[tokio::test]
async fn a_drain_finishes_what_was_begun_and_refuses_what_comes_after() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    let id = new();
    bench
        .counters
        .ask(id, Command::Add(1), (), &soon())
        .await
        .unwrap();
    journal.hold();
    let counters = bench.counters.clone();
    let begun = tokio::spawn(async move { counters.ask(id, Command::Add(1), (), &soon()).await });
    until("it is in flight", || journal.held() == 1).await;
    let supervisors = bench.supervisors.clone();
    let drain = tokio::spawn(async move { supervisors.drain(Duration::from_secs(10)).await });
    until("the drain has begun", || bench.counters.alive() == 0).await;
    journal.release();

    assert_eq!(begun.await.unwrap(), Ok(2));
    assert!(drain.await.unwrap());
    assert_eq!(
        bench.counters.ask(new(), Command::Add(1), (), &soon()).await,
        Err(AskError::Unavailable)
    );
}

#[tokio::test]
async fn a_drain_ends_entities_that_are_only_starting() {
    let journal = MemoryJournal::default();
    let bench = bench(&journal).await;
    for _ in 0..100 {
        bench.counters.tell(new(), Command::Add(1));
    }

    assert!(bench.supervisors.drain(Duration::from_secs(5)).await);
    assert_eq!(bench.counters.alive(), 0);
}

#[tokio::test]
async fn a_snapshotted_entity_is_written_behind_and_survives_passivation() {
    let journal = MemoryJournal::default();
    let limits = ActorLimits {
        idle_timeout: Duration::from_millis(20),
        ..ActorLimits::default()
    };
    let durability = Durability::Snapshotted {
        ttl: Duration::from_secs(60),
        flush_after: Duration::from_millis(1),
    };
    let bench = Bench::start_as(Arc::new(journal.clone()), all_shards(), limits, durability).await;
    let id = new();

    for _ in 0..20 {
        bench
            .counters
            .ask(id, Command::Add(1), (), &soon())
            .await
            .unwrap();
        tokio::task::yield_now().await;
    }
    until("it is passivated", || bench.counters.alive() == 0).await;

    assert_eq!(bench.counters.read(id, (), &soon()).await, Ok(20));
    assert!(journal.history(entity(id)).turns.is_empty());
}
