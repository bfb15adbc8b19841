//! How many requests may be in progress at once: found by trying, since it depends on machine, stores and load.
//!
//! Additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the increase and decrease algorithms for
//! congestion avoidance in computer networks", 1989), looked at once per window. A window is congested when more than a
//! tenth of the entities' answers took longer than the target, or when the scheduler ran late by as much; then the limit falls by a
//! fifth. When it was needed and nothing was congested, it rises by its square root, as Netflix's concurrency-limits
//! does: a small limit probes gently, a large one does not take minutes. So the queue in front of entities and journal
//! stays about as long as the target, and what does not fit is refused at the door, where a refusal costs least.
//!
//! The rule has no clock of its own: [`Concurrency::tick`] is told the time.

use std::time::{Duration, Instant};

use super::settings::InFlight;

/// Fewer answers say nothing about how long answers take.
const ANSWERS_MIN: u32 = 8;

/// What was counted in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answers of entities.
    pub(super) answers: u32,
    /// Those that took longer than the target.
    pub(super) slow: u32,
    /// Requests in progress, at most.
    pub(super) peak: usize,
}

/// The limit, and the window that will change it.
#[derive(Debug)]
pub(super) struct Concurrency {
    bounds: InFlight,
    limit: usize,
    began: Instant,
    late: Duration,
    ticks: u32,
}

impl Concurrency {
    /// Begins in between: from the top, the first overload of a node would queue for a second before the limit bites.
    pub(super) fn new(bounds: InFlight, now: Instant) -> Self {
        Concurrency {
            bounds,
            limit: bounds.start,
            began: now,
            late: Duration::ZERO,
            ticks: 0,
        }
    }

    /// Takes note that a regular task ran late by so much. Ends the window if it is over, and returns the limit for the next.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        late: Duration,
        counted: impl FnOnce() -> Counts,
    ) -> Option<usize> {
        self.late += late;
        self.ticks += 1;
        if now.saturating_duration_since(self.began) < *self.bounds.window_ms {
            return None;
        }
        let late = self.late / self.ticks;
        self.limit = self.bounds.next(self.limit, late, counted());
        (self.began, self.late, self.ticks) = (now, Duration::ZERO, 0);
        Some(self.limit)
    }
}

impl InFlight {
    /// The limit after a window in which ticks were late by so much on average.
    fn next(&self, limit: usize, late: Duration, counts: Counts) -> usize {
        let Counts { answers, slow, peak } = counts;
        let slow = answers >= ANSWERS_MIN && slow > answers / 10;
        let next = if slow || late > *self.target_ms {
            // From what was really in progress: a limit far above it would take many windows to bite.
            limit.min(peak) * 4 / 5
        } else if peak > limit / 2 {
            limit + limit.isqrt()
        } else {
            limit
        };
        next.clamp(self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::settings::for_tests;

    const WINDOW: Duration = Duration::from_millis(250);

    fn bounds() -> InFlight {
        for_tests(&[
            ("/in_flight/min", 10.into()),
            ("/in_flight/start", 1000.into()),
            ("/in_flight/max", 1000.into()),
            ("/in_flight/target_ms", 100.into()),
        ])
        .in_flight
    }

    fn counts(answers: u32, slow: u32, peak: usize) -> Counts {
        Counts { answers, slow, peak }
    }

    /// Stores that answer `rate` requests a second and queue the rest, so that an answer takes queue over rate.
    struct Stores {
        concurrency: Concurrency,
        now: Instant,
    }

    impl Stores {
        fn new() -> Self {
            let now = Instant::now();
            Stores {
                concurrency: Concurrency::new(bounds(), now),
                now,
            }
        }

        fn limits(&mut self, windows: usize, rate: u32, offered: usize) -> Vec<usize> {
            let window = |_| {
                self.now += WINDOW;
                let peak = offered.min(self.concurrency.limit);
                let took = f64::from(u32::try_from(peak).unwrap()) / f64::from(rate);
                let answers = rate / 4;
                let slow = if took > 0.1 { answers } else { 0 };
                self.concurrency
                    .tick(self.now, Duration::ZERO, || counts(answers, slow, peak))
                    .unwrap()
            };
            (0..windows).map(window).collect()
        }
    }

    #[test]
    fn under_overload_it_settles_where_answers_take_as_long_as_they_may() {
        // 2000 a second within 100 ms: 200 in progress.
        let limits = Stores::new().limits(60, 2000, 100_000);

        let settled = &limits[20..];
        assert!(
            settled.iter().all(|limit| (150..=230).contains(limit)),
            "{settled:?}"
        );
    }

    #[test]
    fn it_bites_within_seconds_although_it_began_far_above() {
        let limits = Stores::new().limits(12, 2000, 100_000);

        assert!(limits.iter().any(|limit| *limit <= 200), "{limits:?}");
    }

    #[test]
    fn it_opens_again_when_answers_are_quick_and_it_is_needed() {
        let mut stores = Stores::new();
        stores.limits(40, 400, 100_000);

        let limits = stores.limits(120, 100_000, 100_000);

        assert!(limits[0] < 60, "{limits:?}");
        assert_eq!(limits.last(), Some(&1000));
    }

    #[test]
    fn it_does_not_move_while_little_goes_on() {
        let limits = Stores::new().limits(10, 2000, 3);

        assert_eq!(limits, [1000; 10]);
    }

    #[test]
    fn a_few_slow_answers_say_nothing_and_a_tenth_of_many_is_borne() {
        let bounds = bounds();

        assert_eq!(bounds.next(500, Duration::ZERO, counts(7, 7, 10)), 500);
        assert_eq!(bounds.next(500, Duration::ZERO, counts(100, 10, 10)), 500);
        assert_eq!(bounds.next(500, Duration::ZERO, counts(100, 11, 500)), 400);
    }

    #[test]
    fn a_starved_processor_lowers_it_too_and_never_below_the_minimum() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(bounds(), now);
        let late = Duration::from_millis(101);

        let within = concurrency.tick(now + WINDOW / 2, late, || unreachable!("the window is not over"));
        let ended: Vec<_> = (1..=30)
            .map(|window| concurrency.tick(now + WINDOW * window, late, || counts(0, 0, 900)))
            .collect();

        assert_eq!(within, None);
        assert_eq!(ended[0], Some(720));
        assert_eq!(ended.last(), Some(&Some(10)));
    }

    #[test]
    fn one_late_tick_among_punctual_ones_is_no_congestion() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(bounds(), now);
        let counted = || counts(0, 0, 900);

        for tick in 1..5 {
            assert_eq!(
                concurrency.tick(now + WINDOW / 5 * tick, Duration::ZERO, counted),
                None
            );
        }
        let ended = concurrency.tick(now + WINDOW, Duration::from_millis(400), counted);

        assert_eq!(ended, Some(1000));
    }
}
