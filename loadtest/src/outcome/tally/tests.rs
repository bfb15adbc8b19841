//! Tallies count what happens and merge exactly.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn answered(tally: &mut Tally, name: &str, intended_ms: u64, started_ms: u64, ended_ms: u64) {
    let id = tally.id(name).unwrap();
    let at = Duration::from_millis;
    tally.offered(id, at(intended_ms));
    tally.started(id, at(started_ms), Duration::from_micros(started_ms % 7));
    tally.completed(
        id,
        Completion {
            intended: at(intended_ms),
            started: at(started_ms),
            ended: at(ended_ms),
            result: if ended_ms.is_multiple_of(13) {
                Err(ErrorKind::Timeout)
            } else {
                Ok(())
            },
        },
    );
}

#[test]
fn two_workers_merge_to_what_one_would_have_counted() {
    let empty = Tally::new(["browse", "buy"], 60 * SECOND);
    let (mut one, mut left, mut right) = (empty.clone(), empty.clone(), empty);
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..20_000 {
        let intended = random.u64(0..60_000);
        let started = intended + random.u64(0..50);
        let ended = started + random.u64(0..3_000);
        let name = if random.bool() { "browse" } else { "buy" };
        let half = if random.bool() { &mut left } else { &mut right };
        answered(&mut one, name, intended, started, ended);
        answered(half, name, intended, started, ended);
    }

    left.merge(&right).unwrap();

    assert_eq!(left.lag, one.lag);
    for (ours, theirs) in left.operations.iter().zip(&one.operations) {
        assert_eq!(ours.latency, theirs.latency);
        assert_eq!(ours.service, theirs.service);
        assert_eq!(ours.failed, theirs.failed);
        assert_eq!(ours.errors, theirs.errors);
        assert_eq!(
            (ours.offered, ours.started, ours.completed, ours.dropped),
            (theirs.offered, theirs.started, theirs.completed, theirs.dropped)
        );
    }
    assert_eq!(left.timeline.intervals().len(), one.timeline.intervals().len());
    for (ours, theirs) in left.timeline.intervals().iter().zip(one.timeline.intervals()) {
        assert_eq!(ours.latency, theirs.latency);
        assert_eq!(ours.errors, theirs.errors);
        assert_eq!(
            (ours.offered, ours.started, ours.completed),
            (theirs.offered, theirs.started, theirs.completed)
        );
    }
}

#[test]
fn a_stall_shows_in_the_latency_where_it_began_and_not_in_the_service_time() {
    let mut tally = Tally::new(["browse"], 10 * SECOND);

    answered(&mut tally, "browse", 2_100, 4_000, 4_001);

    let browse = tally.operation("browse").unwrap();
    assert!(browse.latency.max() > 1_900_000);
    assert!(browse.service.max() < 1_100);
    assert!(tally.timeline.intervals()[2].latency.max() > 1_880_000);
    assert_eq!(tally.timeline.intervals()[4].completed, 1);
}

#[test]
fn failures_do_not_touch_the_percentiles_of_good_answers() {
    let mut tally = Tally::new(["browse"], 10 * SECOND);

    answered(&mut tally, "browse", 0, 0, 13);

    let browse = tally.operation("browse").unwrap();
    assert_eq!((browse.ok(), browse.failures()), (0, 1));
    assert!(browse.latency.is_empty());
    assert_eq!(browse.failed.len(), 1);
}

#[test]
fn a_long_run_has_wider_intervals_and_a_late_answer_is_in_the_last_one() {
    let mut tally = Tally::new(["browse"], 24 * 3600 * SECOND);

    answered(&mut tally, "browse", 0, 0, u64::from(u32::MAX) * 1000);

    assert_eq!(tally.timeline.width(), 25 * SECOND);
    assert_eq!(
        tally.timeline.intervals().len(),
        super::super::timeline::INTERVALS_MAX
    );
    assert_eq!(tally.operation("browse").unwrap().completed, 1);
}

#[test]
fn runs_of_different_plans_do_not_merge() {
    let mut short = Tally::new(["browse"], 60 * SECOND);
    let long = Tally::new(["browse"], 24 * 3600 * SECOND);

    assert_eq!(short.merge(&long), Err(MergeError::Width(1, 25)));
}

#[test]
fn generators_that_began_later_are_shifted_and_bring_their_own_operations() {
    let mut first = Tally::new(["browse"], 60 * SECOND);
    let mut second = Tally::new(["browse", "buy"], 60 * SECOND);
    answered(&mut first, "browse", 100, 100, 101);
    answered(&mut second, "buy", 100, 100, 101);

    first.merge_shifted(&second, 3).unwrap();

    assert_eq!(first.operation("buy").unwrap().completed, 1);
    assert_eq!(first.timeline.intervals()[3].completed, 1);
}
