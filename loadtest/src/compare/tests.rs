//! A seeded difference is found, equal groups are not told apart, and what cannot be compared is refused.

use std::time::Duration;

use super::*;
use crate::outcome::{Completion, Tally};
use crate::report::fixture;

const REPLICATES: usize = 200;

/// A group of short made-up runs that are slower by a factor.
fn group(name: &str, runs: u64, factor: f64, cpu_s: Option<f64>) -> Vec<(String, Recording)> {
    (0..runs)
        .map(|run| {
            let mut random = fastrand::Rng::with_seed(run + if name == "a" { 100 } else { 200 });
            // Runs differ a little as a whole, as they do on real machines.
            let mood = 1.0 + 0.01 * (random.f64() - 0.5);
            let mut recording = fixture::calm(1);
            recording.run.duration = Duration::from_secs(20);
            recording.run.target_cpu = cpu_s.map(|cpu_s| Duration::from_secs_f64(cpu_s * mood));
            recording.tally = tally(&mut random, factor * mood);
            (format!("{name}-{run}"), recording)
        })
        .collect()
}

fn tally(random: &mut fastrand::Rng, factor: f64) -> Tally {
    let mut tally = Tally::new(["browse"], Duration::from_secs(20));
    let browse = tally.id("browse").unwrap();
    for request in 0..4_000 {
        let intended = Duration::from_millis(request * 5);
        let spread = (0..4).map(|_| random.f64() - 0.5).sum::<f64>();
        let took = Duration::from_secs_f64(0.002 * factor * spread.exp());
        tally.offered(browse, intended);
        tally.started(browse, intended, Duration::ZERO);
        tally.completed(
            browse,
            Completion {
                intended,
                started: intended,
                ended: intended + took,
                result: Ok(()),
            },
        );
    }
    tally
}

fn answers(comparison: &Comparison) -> Vec<(&str, Answer)> {
    let answer = |difference: &Difference| (difference.figure, difference.answer);
    comparison.figures.iter().map(answer).collect()
}

#[test]
fn a_slower_build_is_found_slower_by_as_much() {
    let (a, b) = (group("a", 5, 1.0, Some(4.0)), group("b", 5, 1.1, Some(3.0)));

    let comparison = compare(&a, &b, 1, REPLICATES).unwrap();

    assert_eq!(
        answers(&comparison),
        [
            ("p50_ms", Answer::Worse),
            ("p99_ms", Answer::Worse),
            ("goodput_per_s", Answer::NoDifference),
            ("cpu_us_per_request", Answer::Better),
        ]
    );
    let p50 = &comparison.figures[0];
    assert!((0.08..0.12).contains(&p50.change), "{p50:?}");
    assert!(p50.low.unwrap() < p50.change && p50.change < p50.high.unwrap());
}

#[test]
fn equal_builds_are_no_different() {
    let (a, b) = (group("a", 5, 1.0, Some(4.0)), group("b", 5, 1.0, Some(4.0)));

    let comparison = compare(&a, &b, 1, REPLICATES).unwrap();

    for (figure, answer) in answers(&comparison) {
        assert_eq!(answer, Answer::NoDifference, "{figure}");
    }
}

#[test]
fn the_same_seed_gives_the_same_intervals() {
    let (a, b) = (group("a", 3, 1.0, None), group("b", 3, 1.02, None));
    let json = |seed| serde_json::to_string(&compare(&a, &b, seed, REPLICATES).unwrap()).unwrap();

    assert_eq!(json(7), json(7));
    assert_ne!(json(7), json(8));
}

#[test]
fn one_run_of_each_says_nothing_about_cpu_time() {
    let (a, b) = (group("a", 1, 1.0, Some(4.0)), group("b", 1, 1.5, Some(8.0)));

    let comparison = compare(&a, &b, 1, REPLICATES).unwrap();

    assert_eq!(comparison.figures[0].answer, Answer::Worse);
    assert_eq!(comparison.figures[3].answer, Answer::Unknown);
    assert!(render(&comparison).contains("One run of each"));
}

#[test]
fn groups_of_different_sizes_are_compared_unpaired() {
    let (a, b) = (group("a", 4, 1.0, None), group("b", 6, 1.2, None));

    let comparison = compare(&a, &b, 1, REPLICATES).unwrap();

    assert!(!comparison.paired);
    assert_eq!(comparison.figures[0].answer, Answer::Worse);
}

#[test]
fn invalid_runs_and_other_scenarios_are_refused() {
    let (a, mut b) = (group("a", 1, 1.0, None), group("b", 1, 1.0, None));
    b[0].1.invalid.push("the generator was late".to_owned());
    let other = vec![("c".to_owned(), fixture::stormy(1))];

    assert!(compare(&a, &b, 1, REPLICATES).is_err());
    assert!(compare(&a, &other, 1, REPLICATES).is_err());
    assert!(compare(&a, &[], 1, REPLICATES).is_err());
}
