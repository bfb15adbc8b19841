//! Some worlds hold, the same seed is the same world, and safeguards that are left out are missed.

use lyceum_sim::{Break, Report, run, search};

/// Worlds of a usual test run; `make sim` runs more of them.
const WORLDS: u64 = 50;
/// Worlds within which the loss of a safeguard is noticed.
const FOUND_WITHIN: u64 = 400;

fn explain(report: &Report, flag: &str) -> String {
    format!(
        "seed {}: {:#?}\nagain: cargo run -p lyceum-sim -- run --seed {} --trace{flag}",
        report.seed, report.violations, report.seed
    )
}

#[test]
fn nothing_is_lost_doubled_stale_or_stuck_in_any_world() {
    let found = search(0, WORLDS, 2, None, |_| {});

    assert!(found.is_none(), "{}", explain(&found.expect("a report"), ""));
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [3, 1_000_003] {
        let (one, other) = (run(seed, None, false), run(seed, None, true));

        assert_eq!((one.hash, one.steps), (other.hash, other.steps));
        assert!(one.acknowledged > 20, "{one:?}");
    }
    assert_ne!(run(3, None, false).hash, run(4, None, false).hash);
}

#[track_caller]
fn is_missed(broken: Break) {
    let found = search(0, FOUND_WITHIN, 2, Some(broken), |_| {});

    let report = found.expect("a world that needs it");
    let flag = format!(" --break {}", broken.name());
    eprintln!("{}: {}", broken.name(), explain(&report, &flag));
}

#[test]
fn a_journal_without_its_fence_is_found_out() {
    is_missed(Break::Fence);
}

#[test]
fn a_node_that_serves_on_without_its_lease_is_found_out() {
    is_missed(Break::Lease);
}

#[test]
fn a_lease_that_is_counted_from_its_answer_is_found_out() {
    is_missed(Break::Margin);
}

#[test]
fn an_operation_that_is_carried_out_again_is_found_out() {
    is_missed(Break::Replay);
}
