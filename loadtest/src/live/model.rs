//! What the view shows: totals, rates over the last second, and a history of as many seconds as fit on a wide terminal.

use std::collections::VecDeque;
use std::time::Duration;

use super::Plan;
use crate::outcome::Beat;

/// Seconds that are remembered; wider terminals are rare.
const HISTORY_MAX: usize = 400;

/// Rates are taken over at least this long, or they would flicker.
const RATE_OVER: Duration = Duration::from_secs(1);

/// How things stand, ready to be drawn.
pub(super) struct Model {
    pub(super) plan: Plan,
    /// Totals since the start.
    pub(super) now: Beat,
    /// Rates over the last second or so.
    pub(super) rates: Rates,
    /// One entry for each second, the last one being the latest.
    pub(super) history: VecDeque<Rates>,
    /// Faults that are being injected.
    pub(super) chaos: Vec<String>,
    /// The totals that rates are counted from.
    mark: Beat,
}

/// Rates per second, and latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) offered: f64,
    pub(super) completed: f64,
    pub(super) failed: f64,
    pub(super) dropped: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Model {
    pub(super) fn new(plan: Plan) -> Self {
        Model {
            plan,
            now: Beat::default(),
            rates: Rates::default(),
            history: VecDeque::new(),
            chaos: Vec::new(),
            mark: Beat::default(),
        }
    }

    /// Takes in the latest totals.
    pub(super) fn update(&mut self, now: &Beat, chaos: Vec<String>) {
        self.now = now.clone();
        self.chaos = chaos;
        let passed = now.at.saturating_sub(self.mark.at);
        if passed < RATE_OVER {
            return;
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed.as_secs_f64();
        let quantile = |part| {
            let latency = now.latency.as_ref();
            latency.map_or(0.0, |latency| latency.value_at_quantile(part) as f64 / 1000.0)
        };
        self.rates = Rates {
            offered: rate(now.offered, self.mark.offered),
            completed: rate(now.completed, self.mark.completed),
            failed: rate(now.errors, self.mark.errors),
            dropped: rate(now.dropped, self.mark.dropped),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
        };
        self.history.push_back(self.rates);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        self.mark = now.clone();
    }

    /// Returns which part of the run is over, from 0 to 1.
    pub(super) fn progress(&self) -> f64 {
        let length_s = self.plan.length.as_secs_f64();
        if length_s > 0.0 {
            (self.now.at.as_secs_f64() / length_s).clamp(0.0, 1.0)
        } else {
            1.0
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::fixture;

    /// A model some way into a made-up run.
    pub(in crate::live) fn halfway() -> Model {
        let mut model = Model::new(Plan {
            scenario: "stormy".to_owned(),
            target: "http://127.0.0.1:8080".to_owned(),
            seed: 42,
            length: Duration::from_secs(120),
        });
        let recording = fixture::stormy(2);
        let mut total = Beat::default();
        for (second, interval) in (1..=60).zip(recording.tally.timeline().intervals()) {
            total.at = Duration::from_secs(second);
            total.offered += interval.offered;
            total.started += interval.started;
            total.completed += interval.completed;
            total.errors += interval.failures();
            total.latency = Some(interval.latency.clone());
            model.update(&total, vec!["sigstop".to_owned()]);
        }
        model
    }

    #[test]
    fn rates_are_over_the_last_second_and_progress_over_the_run() {
        let model = halfway();
        let interval = &fixture::stormy(2).tally.timeline().intervals()[59].clone();

        assert!((model.rates.offered - interval.offered as f64).abs() < 1e-9);
        assert!((model.progress() - 0.5).abs() < 1e-9);
        assert_eq!(model.history.len(), 60);
    }

    #[test]
    fn updates_within_a_second_do_not_make_rates_flicker() {
        let mut model = halfway();
        let before = model.rates;
        let mut soon = model.now.clone();
        soon.at += Duration::from_millis(250);
        soon.offered += 1_000;

        model.update(&soon, Vec::new());

        assert_eq!(model.rates, before);
        assert_eq!(model.now.offered, soon.offered);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut model = halfway();
        for second in 61..2_000 {
            model.update(&Beat::at(Duration::from_secs(second)), Vec::new());
        }

        assert_eq!(model.history.len(), HISTORY_MAX);
    }
}
