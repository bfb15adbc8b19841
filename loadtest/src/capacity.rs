//! Finds the capacity of a target: the highest rate of starts at which the thresholds of a scenario hold.
//!
//! Flow: the rate doubles from a low one until a step fails, then the interval between the last good and the first bad
//! rate is halved until it is within 5 % or the steps are used up. A step is a short run of one rate; it fails when a
//! threshold does. A step that the generator itself could not do says nothing about the target: it is tried once more,
//! since another program may have been busy, and then ends the search.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::Failure;
use crate::arrival::Profile;
use crate::engine::{self, Options};
use crate::outcome::{Board, Recording, Verdict};
use crate::scenario::Scenario;

/// Good and bad rates this close are the same.
const CLOSE: f64 = 1.05;

/// How the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Starts a second to begin with.
    pub from: f64,
    /// Starts a second that are not exceeded.
    pub to: f64,
    /// Length of a step.
    pub step: Duration,
    /// Steps at most.
    pub steps: usize,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capacity {
    /// The highest rate that passed, in starts a second; 0 if none did.
    pub rate: f64,
    /// The lowest rate that did not, if there is one.
    pub failed_at: Option<f64>,
    /// Whether the generator, not the target, set the limit.
    pub limited_by_generator: bool,
    /// The steps in order.
    pub steps: Vec<Step>,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Starts a second.
    pub rate: f64,
    /// `pass`, `thresholds` or `invalid`.
    pub verdict: &'static str,
    /// Requests a second that were answered well.
    pub goodput: f64,
    /// 99th percentile of all requests from their intended start, in milliseconds.
    pub p99_ms: f64,
    /// Why it did not pass.
    pub reasons: Vec<String>,
}

/// Searches by runs against the target; `tell` hears of each step.
///
/// # Errors
/// The scenario has no thresholds, or a run fails.
pub fn find(
    scenario: &Scenario,
    options: &Options,
    search: &Search,
    stop: &watch::Receiver<bool>,
    mut tell: impl FnMut(&Step),
) -> Result<Capacity, Failure> {
    if scenario.thresholds.is_empty() {
        return Err(Failure::new(
            "the scenario has no thresholds, so any rate would do: say what must hold.",
        ));
    }
    let mut seed = options.seed;
    bisect(search, |rate| {
        let step = Arc::new(Scenario {
            profile: Profile::flat(rate, search.step),
            chaos: Vec::new(),
            canary: None,
            ..scenario.clone()
        });
        let options = Options {
            seed,
            ..options.clone()
        };
        seed = seed.wrapping_add(1);
        let mut prepared = engine::prepare(&step, &options)?;
        let board = Arc::new(Board::new(options.workers));
        let recording = engine::run(&step, &options, &mut prepared, &board, stop)?;
        if *stop.borrow() {
            return Err(Failure::new("the search was interrupted."));
        }
        let step = Step::of(rate, &recording);
        tell(&step);
        Ok((step, recording.verdict()))
    })
}

impl Step {
    fn of(rate: f64, recording: &Recording) -> Self {
        let total = recording.tally.total();
        Step {
            rate,
            verdict: recording.verdict().name(),
            goodput: total.ok() as f64 / recording.run.duration.as_secs_f64(),
            p99_ms: total.latency.value_at_quantile(0.99) as f64 / 1e3,
            reasons: recording.reasons(),
        }
    }
}

fn bisect(
    search: &Search,
    mut attempt: impl FnMut(f64) -> Result<(Step, Verdict), Failure>,
) -> Result<Capacity, Failure> {
    let mut found = Capacity {
        rate: 0.0,
        failed_at: None,
        limited_by_generator: false,
        steps: Vec::new(),
    };
    let mut rate = search.from.min(search.to);
    let mut again = true;
    while found.steps.len() < search.steps {
        let (step, verdict) = attempt(rate)?;
        found.steps.push(step);
        match verdict {
            Verdict::Pass => found.rate = rate,
            Verdict::Thresholds => found.failed_at = Some(rate),
            Verdict::Invalid if again => {
                again = false;
                continue;
            }
            Verdict::Invalid => {
                found.limited_by_generator = true;
                break;
            }
        }
        again = true;
        rate = match found.failed_at {
            None if found.rate >= search.to => break,
            None => (found.rate * 2.0).min(search.to),
            // Below a first rate that is too high, the search goes down towards nothing.
            Some(bad) if found.rate == 0.0 => bad / 2.0,
            Some(bad) if bad / found.rate <= CLOSE => break,
            Some(bad) => f64::midpoint(found.rate, bad),
        };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(capacity: f64, generator: f64, steps: usize) -> Capacity {
        let search = Search {
            from: 100.0,
            to: 10_000.0,
            step: Duration::from_secs(1),
            steps,
        };
        bisect(&search, |rate| {
            let verdict = if rate > generator {
                Verdict::Invalid
            } else if rate > capacity {
                Verdict::Thresholds
            } else {
                Verdict::Pass
            };
            let step = Step {
                rate,
                verdict: verdict.name(),
                goodput: rate,
                p99_ms: 1.0,
                reasons: Vec::new(),
            };
            Ok((step, verdict))
        })
        .unwrap()
    }

    #[test]
    fn the_capacity_is_found_within_five_percent_from_below() {
        let found = found(1_234.0, f64::INFINITY, 20);

        assert!(
            found.rate <= 1_234.0 && found.rate * CLOSE >= 1_234.0,
            "{found:?}"
        );
        assert!(
            found
                .failed_at
                .is_some_and(|bad| bad > 1_234.0 && bad / found.rate <= CLOSE)
        );
    }

    #[test]
    fn a_first_rate_that_is_too_high_is_halved() {
        let found = found(30.0, f64::INFINITY, 20);

        assert!(found.rate <= 30.0 && found.rate * CLOSE >= 30.0, "{found:?}");
    }

    #[test]
    fn the_search_is_bounded_and_knows_its_own_limit() {
        assert_eq!(found(1_234.0, f64::INFINITY, 3).steps.len(), 3);
        assert_eq!(found(1e9, f64::INFINITY, 20).rate, 10_000.0);

        let limited = found(1e9, 1_000.0, 20);
        assert!(limited.limited_by_generator);
        assert_eq!(limited.rate, 800.0);
        let rates: Vec<_> = limited.steps.iter().map(|step| step.rate).collect();
        assert_eq!(rates, [100.0, 200.0, 400.0, 800.0, 1600.0, 1600.0]);
    }
}
