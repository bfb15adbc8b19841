//! Looks at the load at regular moments and moves the limits of [`Admission`].
//!
//! Flow, at each tick of the sweeper: how late did it run → the smoothed lag sheds by priority → at the end of a window, what entities'
//! answers took becomes the next limit on requests in progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_runtime::Pace;
use lyceum_runtime::metrics::Gauge;

use super::admission::Admission;
use super::concurrency::{Concurrency, Counts};
use super::meters::{HTTP_SERVER_IN_FLIGHT, HTTP_SERVER_IN_FLIGHT_LIMIT};
use super::settings::InFlight;

/// What is known of the load between two ticks.
pub(super) struct Steering {
    period: Duration,
    expected: Instant,
    lag: LagGauge,
    concurrency: Concurrency,
    pace: Arc<Pace>,
    in_flight: Gauge,
    limit: Gauge,
}

impl Steering {
    /// Begins at this moment; ticks are to come `period` apart.
    pub(super) fn new(bounds: InFlight, pace: Arc<Pace>, period: Duration, now: Instant) -> Self {
        let limit = HTTP_SERVER_IN_FLIGHT_LIMIT.get();
        limit.set(gauged(bounds.start));
        Steering {
            period,
            expected: now,
            lag: LagGauge::default(),
            concurrency: Concurrency::new(bounds, now),
            pace,
            in_flight: HTTP_SERVER_IN_FLIGHT.get(),
            limit,
        }
    }

    /// Looks, and moves the limits.
    pub(super) fn tick(&mut self, admission: &Admission, now: Instant) {
        let late = now.saturating_duration_since(self.expected);
        self.expected = now + self.period;
        admission.lag(self.lag.observe(late, self.period));
        let counted = || {
            let (answers, peak) = (self.pace.take(), admission.peak());
            Counts { answers, peak }
        };
        if let Some(limit) = self.concurrency.tick(now, late, counted) {
            admission.limit(limit);
            self.limit.set(gauged(limit));
        }
        self.in_flight.set(gauged(admission.in_flight()));
    }
}

fn gauged(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Smooths how late a regular task runs.
#[derive(Debug, Default)]
struct LagGauge {
    smoothed_s: f64,
}

impl LagGauge {
    /// The gauge after one more tick came late by `late`; ticks are `period` apart.
    fn observe(&mut self, late: Duration, period: Duration) -> Duration {
        // Each tick weighs as much as its share of a second; one long pause counts as at most a second.
        let weight = period.as_secs_f64().min(1.0);
        self.smoothed_s += (late.as_secs_f64().min(5.0) - self.smoothed_s) * weight;
        Duration::from_secs_f64(self.smoothed_s.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admission::Priority;
    use crate::http::settings::for_tests;

    const PERIOD: Duration = Duration::from_millis(50);

    #[test]
    fn lag_must_last_to_count_and_is_forgotten_within_seconds() {
        let mut gauge = LagGauge::default();
        let period = Duration::from_millis(50);

        let once = gauge.observe(Duration::from_millis(500), period);
        let lasting = (0..60)
            .map(|_| gauge.observe(Duration::from_millis(500), period))
            .last()
            .unwrap();
        let after = (0..100)
            .map(|_| gauge.observe(Duration::ZERO, period))
            .last()
            .unwrap();

        assert!(once < Duration::from_millis(50), "{once:?}");
        assert!(lasting > Duration::from_millis(400), "{lasting:?}");
        assert!(after < Duration::from_millis(10), "{after:?}");
    }

    #[test]
    fn slow_answers_lower_the_limit_within_a_second_and_lag_is_told_apart() {
        let settings = for_tests(&[("/in_flight/min", 1.into()), ("/in_flight/start", 4.into())]);
        let admission = Admission::new(settings.in_flight, settings.lag);
        let pace = Arc::new(Pace::new(*settings.in_flight.target_ms));
        let began = Instant::now();
        let mut steering = Steering::new(settings.in_flight, pace.clone(), PERIOD, began);
        let held: Vec<_> = (0..4)
            .filter_map(|_| admission.admit(Priority::Purchase).ok())
            .collect();

        for tick in 0..20 {
            pace.answered(Duration::from_secs(1));
            pace.answered(Duration::from_secs(1));
            steering.tick(&admission, began + PERIOD * tick);
        }
        drop(held);

        let taken: Vec<_> = (0..4)
            .map_while(|_| admission.admit(Priority::Purchase).ok())
            .collect();
        assert!(taken.len() < 4, "{}", taken.len());
        assert!(admission.admit_at_once(Priority::Recommend).is_ok());
    }
}
