//! Load shedding: whatever cannot be served soon is refused at once, recommendations first, purchases last.
//!
//! Two signs of overload: requests in progress (entities and stores are behind), and scheduling lag (the
//! processor is; such requests are short, so few are ever in progress and the rest wait unread). How many requests may be
//! in progress is found by [`Concurrency`](super::concurrency::Concurrency); each priority has a share of that, and callbacks
//! a reserve beyond it. A request here pays a few relaxed loads; clocks are read by [`Steering`](super::steering::Steering).

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use lyceum_kernel::Class;
use lyceum_runtime::metrics::Counter;

use super::meters::HTTP_SERVER_SHED_TOTAL;
use super::problem::Problem;
use super::settings::{InFlight, Lag};

/// How important a route is when not everything can be served; the first is shed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Health and metrics: never shed, or an overload would look like a death.
    Probe,
    /// What providers report: it settles money.
    Callback,
    /// Whatever moves money, or logs somebody in who wants to.
    Purchase,
    /// Browsing and studying.
    Read,
    /// What the page can do without.
    Recommend,
}

impl Priority {
    const SHEDDABLE: [Priority; 4] = [
        Priority::Callback,
        Priority::Purchase,
        Priority::Read,
        Priority::Recommend,
    ];

    /// The name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Priority::Probe => "probe",
            Priority::Callback => "callback",
            Priority::Purchase => "purchase",
            Priority::Read => "read",
            Priority::Recommend => "recommend",
        }
    }

    fn index(self) -> usize {
        match self {
            Priority::Probe => 0,
            Priority::Callback => 1,
            Priority::Purchase => 2,
            Priority::Read => 3,
            Priority::Recommend => 4,
        }
    }
}

/// Counts requests in progress and decides which more may begin.
pub(super) struct Admission {
    in_flight: AtomicUsize,
    /// Requests in progress at most, since this was asked last.
    peak: AtomicUsize,
    shares: InFlight,
    in_flight_max: [AtomicUsize; 5],
    lag_max: Lag,
    /// Priorities from this index on are shed because of lag; 5 for none.
    lagging_from: AtomicU8,
    shed: [Option<[Counter; 2]>; 5],
}

/// The right to be in progress.
pub(super) struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(super) fn new(shares: InFlight, lag_max: Lag) -> Self {
        let counter = |priority: Priority| {
            ["in_flight", "lag"].map(|reason| HTTP_SERVER_SHED_TOTAL.with([reason, priority.name()]))
        };
        let mut shed = [None; 5];
        for priority in Priority::SHEDDABLE {
            shed[priority.index()] = Some(counter(priority));
        }
        Admission {
            in_flight: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            in_flight_max: shares.of(shares.start).map(AtomicUsize::new),
            shares,
            lag_max,
            lagging_from: AtomicU8::new(5),
            shed,
        }
    }

    /// Lets a request begin, or refuses it with 503.
    pub(super) fn admit(&self, priority: Priority) -> Result<Permit<'_>, Problem> {
        self.admit_at_once(priority)?;
        let index = priority.index();
        let permit = Permit(&self.in_flight);
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        if before >= self.in_flight_max[index].load(Ordering::Relaxed) {
            drop(permit);
            return Err(self.refuse(index, 0));
        }
        if before >= self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
        }
        Ok(permit)
    }

    /// Lets a request begin that ends before anything else runs on its thread, or refuses it with 503.
    ///
    /// It is never in progress when another one looks, so it is not counted; the processor may still be starved.
    pub(super) fn admit_at_once(&self, priority: Priority) -> Result<(), Problem> {
        let index = priority.index();
        if index >= usize::from(self.lagging_from.load(Ordering::Relaxed)) {
            return Err(self.refuse(index, 1));
        }
        Ok(())
    }

    fn refuse(&self, index: usize, reason: usize) -> Problem {
        if let Some(counters) = &self.shed[index] {
            counters[reason].increment();
        }
        Problem::new(
            Class::Unavailable,
            "http.overloaded",
            "The server is overloaded. Nothing was changed.",
        )
    }

    /// Takes note of the smoothed scheduling lag.
    pub(super) fn lag(&self, lag: Duration) {
        let from = if lag > *self.lag_max.purchase_ms {
            2
        } else if lag > *self.lag_max.read_ms {
            3
        } else if lag > *self.lag_max.recommend_ms {
            4
        } else {
            5
        };
        self.lagging_from.store(from, Ordering::Relaxed);
    }

    /// Lets so many requests be in progress, and each priority its share of them.
    pub(super) fn limit(&self, limit: usize) {
        for (max, share) in self.in_flight_max.iter().zip(self.shares.of(limit)) {
            max.store(share, Ordering::Relaxed);
        }
    }

    /// Requests in progress at most, since this was asked last.
    pub(super) fn peak(&self) -> usize {
        self.peak.swap(self.in_flight(), Ordering::Relaxed)
    }

    /// Requests in progress.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl InFlight {
    /// Requests in progress at which the first are shed when so many may be. Whenever one is, the peak has reached this.
    pub(super) fn first_shed(&self, limit: usize) -> usize {
        self.of(limit)[Priority::Recommend.index()]
    }

    /// Requests in progress at which each priority is shed when so many may be, by [`Priority::index`].
    fn of(&self, limit: usize) -> [usize; 5] {
        let share = |percent: u32| (limit * usize::try_from(percent).unwrap_or(100) / 100).max(1);
        [
            usize::MAX,
            limit + self.callback_reserve,
            limit,
            share(self.read_percent),
            share(self.recommend_percent),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::settings::for_tests;

    fn admission() -> Admission {
        let settings = for_tests(&[
            ("/in_flight/start", 4.into()),
            ("/in_flight/callback_reserve", 1.into()),
        ]);
        Admission::new(settings.in_flight, settings.lag)
    }

    fn admitted(admission: &Admission) -> Vec<&'static str> {
        let all = [
            Priority::Probe,
            Priority::Callback,
            Priority::Purchase,
            Priority::Read,
            Priority::Recommend,
        ];
        all.into_iter()
            .filter(|priority| admission.admit(*priority).is_ok())
            .map(Priority::name)
            .collect()
    }

    #[test]
    fn the_less_important_is_shed_first_as_requests_pile_up() {
        let admission = admission();
        let mut held = Vec::new();
        let expected: [&[&str]; 6] = [
            &["probe", "callback", "purchase", "read", "recommend"],
            &["probe", "callback", "purchase", "read", "recommend"],
            &["probe", "callback", "purchase", "read"],
            &["probe", "callback", "purchase"],
            &["probe", "callback"],
            &["probe"],
        ];

        for names in expected {
            assert_eq!(admitted(&admission), names);
            held.push(
                admission
                    .admit(Priority::Probe)
                    .unwrap_or_else(|_| unreachable!("probes are never shed")),
            );
        }
        drop(held);

        assert_eq!(admission.in_flight(), 0);
        assert_eq!(admitted(&admission).len(), 5);
    }

    #[test]
    fn every_priority_has_its_share_of_the_limit() {
        let shares = for_tests(&[]).in_flight;

        assert_eq!(shares.of(1000), [usize::MAX, 1256, 1000, 750, 500]);
        assert_eq!(shares.of(1), [usize::MAX, 257, 1, 1, 1]);
    }

    #[test]
    fn when_only_recommendations_are_refused_the_peak_says_that_the_limit_was_needed() {
        let admission = admission();
        let held: Vec<_> = (0..4)
            .filter_map(|_| admission.admit(Priority::Recommend).ok())
            .collect();

        assert_eq!(held.len(), 2);
        assert!(admission.peak() >= admission.shares.first_shed(4));
    }

    #[test]
    fn a_lower_limit_holds_at_once_and_the_peak_is_told_once() {
        let admission = admission();
        let held = [Priority::Purchase, Priority::Purchase].map(|priority| admission.admit(priority).ok());

        admission.limit(2);

        assert!(admission.admit(Priority::Purchase).is_err());
        assert!(admission.admit(Priority::Callback).is_ok());
        drop(held);
        assert_eq!([admission.peak(), admission.peak()], [3, 0]);
    }

    #[test]
    fn a_starved_processor_sheds_by_priority_and_callbacks_never() {
        let admission = admission();

        for (lag_ms, count) in [(0, 5), (201, 4), (401, 3), (2001, 2), (60_000, 2), (10, 5)] {
            admission.lag(Duration::from_millis(lag_ms));
            assert_eq!(admitted(&admission).len(), count, "{lag_ms}");
        }
    }
}
