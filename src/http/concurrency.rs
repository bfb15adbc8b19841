//! How many requests may be in progress at once: found by trying, since it depends on machine, stores and load.
//!
//! Additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the increase and decrease algorithms for
//! congestion avoidance in computer networks", 1989), looked at once per window. Only a window in which the limit was needed, since requests
//! came near enough to it for the first to be refused, moves it beyond where it began, or lowers it:
//!
//! - Congested, it falls by a fifth: more than a tenth of the entities' answers took longer than the target, or the scheduler was late for
//!   most of the last ticks, so that even ready-made answers wait.
//! - At ease, it rises by its square root, as Netflix's concurrency-limits does: a small limit probes gently, a large one does
//!   not take minutes. At ease means that enough was answered to know, and that at the rate of the answers whoever waits has
//!   one within the target. Silence is not ease.
//! - Otherwise it stays. Below its beginning it rises at ease also when it was not needed: what a storm took away would else
//!   be missing in the first second of the next burst, however long ago the storm was.
//!
//! So the queue in front of entities and journal stays about as long as the target, and what does not fit is refused at
//! the door, where a refusal costs least. Of slowness that has another cause than concurrency, a node that is not busy learns nothing.
//!
//! The rule has no clock of its own: [`Concurrency::tick`] is told the time.

use std::time::{Duration, Instant};

use lyceum_runtime::Answers;

use super::settings::InFlight;

/// Fewer answers say nothing about how long answers take.
const ANSWERS_MIN: u32 = 8;
/// Ticks whose median says how late the scheduler runs: two pauses among them are no starvation, however long.
const TICKS: usize = 5;

/// What was counted in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answers of entities, and who still waits for one.
    pub(super) answers: Answers,
    /// Requests in progress, at most.
    pub(super) peak: usize,
}

/// The limit, and the window that will change it.
#[derive(Debug)]
pub(super) struct Concurrency {
    bounds: InFlight,
    limit: usize,
    began: Instant,
    /// How late the last ticks ran, in a ring that outlives the window: after a pause a window may have one tick only.
    late: [Duration; TICKS],
    ticks: usize,
}

impl Concurrency {
    /// Begins in between: from the top, the first overload of a node would queue for a second before the limit bites.
    pub(super) fn new(bounds: InFlight, now: Instant) -> Self {
        Concurrency {
            bounds,
            limit: bounds.start,
            began: now,
            late: [Duration::ZERO; TICKS],
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
        self.late[self.ticks] = late;
        self.ticks = (self.ticks + 1) % TICKS;
        let window = now.saturating_duration_since(self.began);
        if window < *self.bounds.window_ms {
            return None;
        }
        self.began = now;
        self.limit = self.bounds.next(self.limit, window, median(self.late), counted());
        Some(self.limit)
    }
}

fn median(mut late: [Duration; TICKS]) -> Duration {
    late.sort_unstable();
    late[TICKS / 2]
}

impl InFlight {
    /// The limit after a window of such length, in which ticks were late by so much.
    fn next(&self, limit: usize, window: Duration, late: Duration, counts: Counts) -> usize {
        let Counts { answers, peak } = counts;
        let congested = late > *self.late_ms || too_slow(answers);
        let needed = peak >= self.first_shed(limit);
        let raised = limit + limit.isqrt();
        let next = match (needed, congested) {
            (true, true) => limit * 4 / 5,
            (true, false) if self.at_ease(window, counts) => raised,
            (false, false) if limit < self.start && self.at_ease(window, counts) => raised.min(self.start),
            _ => limit,
        };
        next.clamp(self.min, self.max)
    }

    /// Whether enough was answered to know, and whoever waits has an answer within the target: by Little's law the mean wait is
    /// the number of those who wait over the rate of answers.
    fn at_ease(&self, window: Duration, Counts { answers, peak }: Counts) -> bool {
        // Where hardly anything may be in progress, hardly anything is answered.
        let enough = ANSWERS_MIN.min(u32::try_from(peak).unwrap_or(u32::MAX));
        answers.all >= enough
            && window.saturating_mul(answers.waiting) <= self.target_ms.saturating_mul(answers.all)
    }
}

/// A tenth is borne.
fn too_slow(answers: Answers) -> bool {
    answers.all >= ANSWERS_MIN && answers.slow > answers.all / 10
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
            ("/in_flight/late_ms", 25.into()),
        ])
        .in_flight
    }

    /// All who are in progress wait for an answer.
    fn counts(all: u32, slow: u32, peak: usize) -> Counts {
        let waiting = u32::try_from(peak).unwrap();
        let answers = Answers { all, slow, waiting };
        Counts { answers, peak }
    }

    fn next(limit: usize, counts: Counts) -> usize {
        bounds().next(limit, WINDOW, Duration::ZERO, counts)
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
    fn a_tenth_of_slow_answers_is_borne_and_more_cost_a_fifth() {
        assert_eq!(next(500, counts(1000, 100, 300)), 522);
        assert_eq!(next(500, counts(1000, 101, 300)), 400);
    }

    #[test]
    fn while_postgres_is_frozen_and_nothing_is_answered_it_does_not_rise() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(bounds(), now);
        concurrency.limit = 512;

        let limits: Vec<_> = (1..=20)
            .map(|window| concurrency.tick(now + WINDOW * window, Duration::ZERO, || counts(0, 0, 512)))
            .collect();

        assert_eq!(limits, [Some(512); 20]);
    }

    #[test]
    fn while_most_wait_and_a_few_quick_answers_come_it_does_not_rise() {
        // 40 in 250 ms: whoever is last of 300 waits for two seconds.
        assert_eq!(next(500, counts(40, 0, 300)), 500);
        assert_eq!(next(500, counts(7, 0, 300)), 500);
    }

    #[test]
    fn once_the_asks_of_a_frozen_postgres_are_given_up_it_falls() {
        assert_eq!(next(512, counts(200, 200, 512)), 409);
    }

    #[test]
    fn where_few_may_be_in_progress_few_answers_are_enough() {
        let few = Answers {
            all: 3,
            slow: 0,
            waiting: 1,
        };

        assert_eq!(
            next(
                10,
                Counts {
                    answers: few,
                    peak: 6
                }
            ),
            10
        );
        let bounds = InFlight { min: 1, ..bounds() };
        let raised = bounds.next(
            3,
            WINDOW,
            Duration::ZERO,
            Counts {
                answers: few,
                peak: 3,
            },
        );
        assert_eq!(raised, 4);
    }

    #[test]
    fn one_slow_answer_of_eight_on_a_nearly_idle_node_changes_nothing() {
        assert_eq!(next(1000, counts(8, 1, 3)), 1000);
        assert_eq!(next(512, counts(8, 8, 255)), 512);
    }

    #[test]
    fn what_a_storm_took_comes_back_in_the_calm_and_no_more_than_that() {
        let mut stores = Stores::new();
        stores.concurrency.limit = 64;

        let limits = stores.limits(60, 2000, 20);

        assert!(limits[11] > 170, "{limits:?}");
        assert_eq!(limits.last(), Some(&1000));
        assert_eq!(stores.limits(10, 2000, 20), [1000; 10]);
    }

    #[test]
    fn in_the_calm_it_stays_where_it_is_while_answers_are_slow() {
        assert_eq!(next(64, counts(1000, 101, 20)), 64);
    }

    #[test]
    fn recommendations_alone_raise_it_although_they_may_use_half_of_it_only() {
        assert_eq!(next(500, counts(1000, 0, 250)), 522);
        let bounds = InFlight {
            start: 500,
            ..bounds()
        };
        assert_eq!(
            bounds.next(500, WINDOW, Duration::ZERO, counts(1000, 0, 249)),
            500
        );
    }

    #[test]
    fn reads_alone_raise_it_although_they_may_use_a_third_of_it_only() {
        let shares = InFlight {
            read_percent: 33,
            recommend_percent: 33,
            ..bounds()
        };

        let raised = shares.next(500, WINDOW, Duration::ZERO, counts(1000, 0, 165));

        assert_eq!(raised, 522);
    }

    #[test]
    fn a_starved_processor_lowers_it_too_and_never_below_the_minimum() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(bounds(), now);
        let late = Duration::from_millis(26);

        let within = concurrency.tick(now + WINDOW / 2, late, || unreachable!("the window is not over"));
        let ended: Vec<_> = (1..=30)
            .map(|window| concurrency.tick(now + WINDOW * window, late, || counts(0, 0, 900)))
            .collect();

        assert_eq!(within, None);
        assert_eq!(ended[..3], [Some(1000), Some(800), Some(640)]);
        assert_eq!(ended.last(), Some(&Some(10)));
    }

    #[test]
    fn one_pause_of_the_scheduler_is_no_starvation_although_its_window_has_no_other_tick() {
        let now = Instant::now();
        let mut concurrency = Concurrency::new(bounds(), now);
        let pause = Duration::from_millis(600);

        let ended = concurrency.tick(now + pause, pause, || counts(0, 0, 900));

        assert_eq!(ended, Some(1000));
    }
}
