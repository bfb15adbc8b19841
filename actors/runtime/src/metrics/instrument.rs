//! What counts. Handles are copied freely and count together; their series lives as long as the program.
//!
//! Everything that is added to is kept in several stripes, each on cache lines of its own; a thread always adds to
//! the same one, so that two cores seldom wait for one another's line. A scrape adds the stripes up.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::facade::Handle;
use super::family::{About, Reading, Type};
use crate::trace::Trace;

/// More threads than this record seldom at the same time.
const STRIPES: usize = 8;
/// Upper bounds of durations in nanoseconds: from a cache hit to the longest request, and what an order may take.
const DURATIONS: [u64; 17] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
];
/// Upper bounds of what is counted in a batch or a queue.
const SIZES: [u64; 10] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000];
const NANOS_PER_SECOND: f64 = 1e9;

/// Whether counters and histograms take notice.
static RECORDING: AtomicBool = AtomicBool::new(true);

/// Has counters and histograms stand still, to measure what they cost. Call it before anything is recorded.
pub fn stand_still() {
    RECORDING.store(false, Relaxed);
}

/// The stripe of this thread.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
    }
    MINE.with(|mine| *mine)
}

/// Something that counts or measures.
pub trait Instrument: Copy + Send + Sync + 'static {
    /// What scrapers call it.
    const TYPE: Type;
    /// A new series of a metric.
    fn new(about: &About) -> Self;
    /// What it holds.
    fn read(&self) -> Reading;
    /// The series for the facade; `None` if it has no such type.
    fn handle(self) -> Option<Handle>;
}

/// Alone on its cache line.
#[derive(Default)]
#[repr(align(64))]
struct Alone<T>(T);

/// Counts what happens.
#[derive(Clone, Copy)]
pub struct Counter(&'static [Alone<AtomicU64>; STRIPES]);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        if RECORDING.load(Relaxed) {
            self.0[stripe()].0.fetch_add(count, Relaxed);
        }
    }

    /// At least so many: for what is counted elsewhere.
    pub(super) fn raise_to(self, count: u64) {
        let others: u64 = self.0[1..].iter().map(|stripe| stripe.0.load(Relaxed)).sum();
        self.0[0].0.fetch_max(count.saturating_sub(others), Relaxed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
impl Instrument for Counter {
    const TYPE: Type = Type::Counter;

    fn new(_: &About) -> Self {
        Counter(Box::leak(Box::default()))
    }

    fn handle(self) -> Option<Handle> {
        Some(self.into())
    }

    fn read(&self) -> Reading {
        let total: u64 = self.0.iter().map(|stripe| stripe.0.load(Relaxed)).sum();
        Reading::Number(total as f64)
    }
}

/// A gauge of things that come and go one by one.
#[derive(Clone, Copy)]
pub struct Level(&'static [Alone<AtomicI64>; STRIPES]);

impl Level {
    /// One has come; it goes when the guard is dropped, perhaps by another thread.
    #[must_use]
    pub fn rise(self) -> Risen {
        self.0[stripe()].0.fetch_add(1, Relaxed);
        Risen(self)
    }
}

/// One of the things that a [`Level`] counts.
pub struct Risen(Level);

impl Drop for Risen {
    fn drop(&mut self) {
        self.0.0[stripe()].0.fetch_sub(1, Relaxed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
impl Instrument for Level {
    const TYPE: Type = Type::Gauge;

    fn new(_: &About) -> Self {
        Level(Box::leak(Box::default()))
    }

    fn handle(self) -> Option<Handle> {
        // It is risen by a guard and cannot be set.
        None
    }

    fn read(&self) -> Reading {
        let level: i64 = self.0.iter().map(|stripe| stripe.0.load(Relaxed)).sum();
        // The stripes are not read at one moment.
        Reading::Number(level.max(0) as f64)
    }
}

/// Is what it was last set to.
#[derive(Clone, Copy)]
pub struct Gauge(&'static AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: impl Into<f64>) {
        self.0.store(value.into().to_bits(), Relaxed);
    }

    /// Adds to it.
    pub(super) fn change(self, by: f64) {
        // The closure always gives a value, so the update cannot fail.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |bits| {
            Some((f64::from_bits(bits) + by).to_bits())
        });
    }
}

impl Instrument for Gauge {
    const TYPE: Type = Type::Gauge;

    fn new(_: &About) -> Self {
        Gauge(Box::leak(Box::default()))
    }

    fn handle(self) -> Option<Handle> {
        Some(self.into())
    }

    fn read(&self) -> Reading {
        Reading::Number(f64::from_bits(self.0.load(Relaxed)))
    }
}

/// Counts values by the range they fall into.
#[derive(Clone, Copy)]
pub struct Histogram(&'static Ranges);

struct Ranges {
    /// Upper bounds, inclusive.
    bounds: &'static [u64],
    /// What one of the metric's unit is in the integers that are recorded.
    per_unit: f64,
    stripes: [Stripe; STRIPES],
    /// The newest of each range.
    exemplars: Mutex<[Option<Exemplar>; DURATIONS.len() + 1]>,
}

#[derive(Default)]
#[repr(align(64))]
struct Stripe {
    /// First, so that it shares a cache line with the shortest durations.
    sum: AtomicU64,
    counts: [AtomicU64; DURATIONS.len() + 1],
}

/// One value that can be looked at closely: the trace it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The value in the metric's unit.
    pub value: f64,
    /// Where it happened.
    pub trace: Trace,
    /// When, in seconds since 1970.
    pub at: f64,
}

/// What a histogram holds.
pub struct HistogramReading {
    /// For each range its upper bound, the number of values in it and an example; the last has no bound.
    pub ranges: Vec<(f64, u64, Option<Exemplar>)>,
    /// The sum of all values.
    pub sum: f64,
}

impl Histogram {
    /// Records a duration.
    pub fn record(&self, duration: Duration) {
        self.count(nanos(duration));
    }

    /// Records a duration, as an exemplar if its trace is sampled.
    pub fn record_in(&self, duration: Duration, trace: Trace) {
        let range = self.count(nanos(duration));
        if trace.sampled {
            let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let mut exemplars = self.0.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
            exemplars[range] = Some(Exemplar {
                value: duration.as_secs_f64(),
                trace,
                at: since_1970.as_secs_f64(),
            });
        }
    }

    /// Records a number of things.
    pub fn record_size(&self, size: usize) {
        self.count(u64::try_from(size).unwrap_or(u64::MAX));
    }

    /// Records a value in the metric's unit; what is no amount is left out.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and negative values and NaN are left out"
    )]
    pub(super) fn record_in_unit(&self, value: f64) {
        if value >= 0.0 {
            self.count((value * self.0.per_unit) as u64);
        }
    }

    fn count(&self, value: u64) -> usize {
        let bounds = self.0.bounds;
        // Most values are small, so looking from the bottom is quicker than halving.
        let range = bounds.iter().position(|bound| value <= *bound);
        let range = range.unwrap_or(bounds.len());
        if RECORDING.load(Relaxed) {
            let stripe = &self.0.stripes[stripe()];
            stripe.counts[range].fetch_add(1, Relaxed);
            stripe.sum.fetch_add(value, Relaxed);
        }
        range
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "sums and bounds are exact enough")]
impl Instrument for Histogram {
    const TYPE: Type = Type::Histogram;

    fn new(about: &About) -> Self {
        let (bounds, per_unit): (&'static [u64], f64) = if about.unit() == "seconds" {
            (&DURATIONS, NANOS_PER_SECOND)
        } else {
            (&SIZES, 1.0)
        };
        Histogram(Box::leak(Box::new(Ranges {
            bounds,
            per_unit,
            stripes: Default::default(),
            exemplars: Mutex::default(),
        })))
    }

    fn handle(self) -> Option<Handle> {
        Some(self.into())
    }

    fn read(&self) -> Reading {
        let Ranges {
            bounds,
            per_unit,
            stripes,
            exemplars,
        } = self.0;
        let exemplars = *exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        let ranges = (0..=bounds.len()).map(|range| {
            let bound = bounds
                .get(range)
                .map_or(f64::INFINITY, |bound| *bound as f64 / per_unit);
            let count = stripes
                .iter()
                .map(|stripe| stripe.counts[range].load(Relaxed))
                .sum();
            (bound, count, exemplars[range])
        });
        let sum: u64 = stripes.iter().map(|stripe| stripe.sum.load(Relaxed)).sum();
        Reading::Histogram(HistogramReading {
            ranges: ranges.collect(),
            sum: sum as f64 / per_unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metric;

    fn read(histogram: &Histogram) -> HistogramReading {
        match histogram.read() {
            Reading::Histogram(reading) => reading,
            Reading::Number(_) => unreachable!("a histogram reads as one"),
        }
    }

    #[test]
    fn a_value_counts_towards_the_first_bound_that_it_does_not_exceed() {
        static SECONDS: Metric<Histogram> = Metric::new("some_seconds", "Some.");
        let histogram = SECONDS.get();

        for micros in [100, 101, 500_000, 60_000_001] {
            histogram.record(Duration::from_micros(micros));
        }

        let reading = read(&histogram);
        let counted: Vec<(f64, u64)> = reading
            .ranges
            .iter()
            .filter(|(_, count, _)| *count > 0)
            .map(|(bound, count, _)| (*bound, *count))
            .collect();
        assert_eq!(
            counted,
            [(0.000_1, 1), (0.000_25, 1), (0.5, 1), (f64::INFINITY, 1)]
        );
        assert!((reading.sum - 60.500_202).abs() < 1e-9, "{}", reading.sum);
    }

    #[test]
    fn only_sampled_durations_become_exemplars() {
        static SECONDS: Metric<Histogram> = Metric::new("other_seconds", "Others.");
        let histogram = SECONDS.get();
        let sampled = Trace {
            trace_id: 7,
            parent_id: 8,
            sampled: true,
        };

        histogram.record_in(Duration::from_millis(1), Trace::default());
        histogram.record_in(Duration::from_millis(3), sampled);

        let exemplars: Vec<Exemplar> = read(&histogram)
            .ranges
            .iter()
            .filter_map(|range| range.2)
            .collect();
        assert_eq!(exemplars.len(), 1);
        assert_eq!((exemplars[0].value, exemplars[0].trace), (0.003, sampled));
    }

    #[test]
    fn what_many_threads_add_is_all_there() {
        static ALL: Metric<Counter> = Metric::new("all_total", "All.");
        static OPEN: Metric<Level> = Metric::new("open", "Open.");

        std::thread::scope(|scope| {
            for _ in 0..STRIPES * 2 {
                scope.spawn(|| {
                    let (all, open) = (ALL.get(), OPEN.get());
                    for _ in 0..1_000 {
                        all.increment();
                        drop(open.rise());
                    }
                    std::mem::forget(open.rise());
                });
            }
        });

        assert!(matches!(ALL.get().read(), Reading::Number(total) if total == 16_000.0));
        assert!(matches!(OPEN.get().read(), Reading::Number(level) if level == 16.0));
    }
}
