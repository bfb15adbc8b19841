//! The rules of supervision that need no real entity.

use std::sync::atomic::{AtomicUsize, Ordering};

use ractor::ActorCell;

use super::*;
use crate::journal::memory::MemoryJournal;
use crate::ownership::ShardMap;
use crate::pace::Pace;
use crate::region::ActorLimits;
use crate::snapshots::MemorySnapshots;

/// An entity that only counts how often it is forgotten.
struct Quiet {
    actor: ActorId,
    forgotten: Arc<AtomicUsize>,
    idle_for: Option<Duration>,
}

impl Supervised for Quiet {
    fn actor_id(&self) -> ActorId {
        self.actor
    }

    fn heat(&self) -> (u64, Hot) {
        unreachable!("nobody asks")
    }

    fn idle(&self, _: Instant) -> Option<Duration> {
        self.idle_for
    }

    fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    fn has_started(&self) -> bool {
        true
    }

    fn drain(&self) {}

    fn passivated(&self, _: Passivation) {}

    fn restarted(&self) {}

    fn quarantined(&self) -> Risen {
        unreachable!("it never fails")
    }
}

/// A request that starts a quiet entity, or fails its supervisor.
struct Begin {
    forgotten: Option<(Arc<AtomicUsize>, Option<Duration>)>,
}

impl Activation for Begin {
    fn entity(&self) -> EntityRef {
        EntityRef {
            kind: 0,
            id: u128::from(self.forgotten.is_some()),
        }
    }

    fn deliver(self: Box<Self>) -> Result<(), Box<dyn Activation>> {
        Ok(())
    }

    fn start(self: Box<Self>, supervisor: ActorCell) -> Option<Arc<dyn Supervised>> {
        let (forgotten, idle_for) = self.forgotten.expect("on purpose");
        Some(Arc::new(Quiet {
            actor: supervisor.get_id(),
            forgotten,
            idle_for,
        }))
    }

    fn refuse(self: Box<Self>, _: Refusal) {}
}

async fn started() -> Arc<Supervisors> {
    let supervisors = Arc::new(Supervisors::default());
    let node = Node {
        journal: Arc::new(MemoryJournal::default()),
        snapshots: Arc::new(MemorySnapshots::default()),
        shards: Arc::new(ShardMap::default()),
        peers: Arc::new(crate::link::Alone),
        regions: Arc::default(),
        limits: ActorLimits::default(),
        supervisors: supervisors.clone(),
        alive: AtomicUsize::new(0),
        pace: Arc::new(Pace::new(Duration::from_millis(100))),
        started: Instant::now(),
    };
    supervisors.start(Arc::new(node)).await.expect("it starts");
    supervisors
}

async fn is_forgotten(forgotten: &AtomicUsize) {
    let all_forgotten = async {
        while forgotten.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_forgotten)
        .await
        .expect("it is forgotten");
}

#[tokio::test]
async fn a_supervisor_that_fails_forgets_its_entities() {
    let supervisors = started().await;
    let forgotten = Arc::new(AtomicUsize::new(0));

    for forgotten in [Some((forgotten.clone(), None)), None] {
        let begin = ShardMessage::Activate(Box::new(Begin { forgotten }));
        assert!(supervisors.send(7, begin));
    }

    is_forgotten(&forgotten).await;
}

#[test]
fn rests_double_up_to_the_longest_and_jitter_only_shortens_them() {
    let (min, max) = (Duration::from_millis(50), Duration::from_secs(10));

    assert_eq!(rest_after(1, min, max, 0), min);
    assert_eq!(rest_after(3, min, max, 0), min * 4);
    assert_eq!(rest_after(60, min, max, 0), max);
    assert!((max * 3 / 4..max).contains(&rest_after(60, min, max, 255)));
}

#[tokio::test]
async fn only_what_is_not_in_use_stops_before_its_shard_is_sealed() {
    let supervisors = started().await;
    let (used, idle) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let begin = |forgotten: &Arc<AtomicUsize>, idle_for| {
        let forgotten = Some((forgotten.clone(), idle_for));
        ShardMessage::Activate(Box::new(Begin { forgotten }))
    };

    for (shard, idle_for) in [(7, None), (9, Some(IN_USE / 2))] {
        assert!(supervisors.send(shard, begin(&used, idle_for)));
        let thinned = supervisors.thin(shard, Duration::from_secs(60));
        tokio::time::timeout(Duration::from_secs(10), thinned)
            .await
            .expect("nothing has to stop");
    }
    assert!(supervisors.send(8, begin(&idle, Some(IN_USE * 2))));
    // It is told to stop, and never does.
    supervisors.thin(8, Duration::ZERO).await;

    is_forgotten(&idle).await;
    assert_eq!(used.load(Ordering::SeqCst), 0);
}

#[test]
fn whoever_thins_a_shard_is_told_when_nothing_is_stopping_any_more() {
    let mut entities = Entities::default();
    let (told, mut heard) = oneshot::channel();
    let quiet = Quiet {
        actor: ActorId::Local(1),
        forgotten: Arc::default(),
        idle_for: None,
    };
    let stops = EntityRef { kind: 0, id: 1 };
    entities
        .slots
        .insert(stops, Slot::Stopping(Arc::new(quiet), Vec::new()));
    entities.thinned = Some(told);

    entities.report_ended();
    assert!(heard.try_recv().is_err());
    entities.slots.remove(&stops);
    entities.report_ended();

    assert_eq!(heard.try_recv(), Ok(()));
}
