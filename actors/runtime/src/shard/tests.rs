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
}

impl Supervised for Quiet {
    fn actor_id(&self) -> ActorId {
        self.actor
    }

    fn heat(&self) -> (u64, Hot) {
        unreachable!("nobody asks")
    }

    fn idle(&self, _: Instant) -> Option<Duration> {
        None
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
    forgotten: Option<Arc<AtomicUsize>>,
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
        Some(Arc::new(Quiet {
            actor: supervisor.get_id(),
            forgotten: self.forgotten.expect("on purpose"),
        }))
    }

    fn refuse(self: Box<Self>, _: Refusal) {}
}

#[tokio::test]
async fn a_supervisor_that_fails_forgets_its_entities() {
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
    let forgotten = Arc::new(AtomicUsize::new(0));

    for forgotten in [Some(forgotten.clone()), None] {
        let begin = ShardMessage::Activate(Box::new(Begin { forgotten }));
        assert!(supervisors.send(7, begin));
    }

    let all_forgotten = async {
        while forgotten.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_forgotten)
        .await
        .expect("it is forgotten");
}

#[test]
fn rests_double_up_to_the_longest_and_jitter_only_shortens_them() {
    let (min, max) = (Duration::from_millis(50), Duration::from_secs(10));

    assert_eq!(rest_after(1, min, max, 0), min);
    assert_eq!(rest_after(3, min, max, 0), min * 4);
    assert_eq!(rest_after(60, min, max, 0), max);
    assert!((max * 3 / 4..max).contains(&rest_after(60, min, max, 255)));
}
