//! The seeded simulator: the cluster's rules, the journal's contract and the domain, in worlds where everything goes wrong.
//!
//! A world runs under a time of its own, in one thread, without IO: a seed says all of it, so what a seed found once it finds
//! again. What is driven is the product's own: lease, judge, allocation, duties and steward of the cluster, the shard map, buyers and
//! payments with their messages and postings. What is a model says so.
//!
//! ```text
//! core       time, queue, dice, network             faults     what goes wrong
//! world      all of it, and whether it comes to rest   checks     what must hold
//! database   the tables and what their statements promise (model); statement
//! node       clocks, lease, connections             keeper     looks and claims; handoff
//! shell      what region and entity shell do (model)   writer     what the journal's writers do (model)
//! relay, provider, client                           who else there is
//! domain     buyers and payments
//! ```

mod checks;
mod client;
mod core;
mod database;
mod dice;
mod domain;
mod faults;
mod handoff;
mod keeper;
mod node;
mod provider;
mod relay;
mod shell;
mod statement;
mod trace;
mod world;
mod writer;

pub use self::core::Break;
use self::world::World;

/// What became of one world.
#[derive(Clone, Debug)]
pub struct Report {
    /// All of it follows from this.
    pub seed: u64,
    /// The hash of the trace: the same for the same seed.
    pub hash: u64,
    /// Lines of the trace.
    pub steps: u64,
    /// What was wrong.
    pub violations: Vec<String>,
    /// Answers that clients got.
    pub acknowledged: u64,
    /// Changes of owners of shards.
    pub moves: u64,
    /// Commits that the fence refused.
    pub fenced: u64,
    /// The trace, if it was to be kept.
    pub lines: Vec<String>,
}

/// Runs the world of a seed, perhaps without one of its safeguards, and keeps its trace if somebody wants to read it.
#[must_use]
pub fn run(seed: u64, broken: Option<Break>, keep: bool) -> Report {
    let mut world = World::new(seed, broken, keep);
    world.run();
    let checks = world.core.checks;
    Report {
        seed,
        hash: world.core.trace.hash(),
        steps: world.core.trace.steps,
        violations: checks.violations,
        acknowledged: checks.acknowledged,
        moves: checks.moves,
        fenced: checks.fenced,
        lines: world.core.trace.into_lines(),
    }
}

/// Runs seeds `from` to `to` on as many threads, in order, until one is wrong, and tells each to `each`.
///
/// Returns the lowest seed that was wrong.
pub fn search(
    from: u64,
    to: u64,
    threads: u64,
    broken: Option<Break>,
    each: impl Fn(&Report) + Sync,
) -> Option<Report> {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, PoisonError};
    let next = AtomicU64::new(from);
    let worst: Mutex<Option<Report>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to {
                return;
            }
            let report = run(seed, broken, false);
            each(&report);
            if !report.violations.is_empty() {
                next.store(to, Ordering::Relaxed);
                let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                if worst.as_ref().is_none_or(|worst| report.seed < worst.seed) {
                    *worst = Some(report);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    worst.into_inner().unwrap_or_else(PoisonError::into_inner)
}
