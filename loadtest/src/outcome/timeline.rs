//! What happened when: intervals of one second, wider only in runs of more than an hour.
//!
//! Arrivals, drops and latencies belong to the interval of their intended start, so that a fault is seen at the time that
//! it hit; requests sent belong to the interval of their sending, completions and errors to that of their end.
//!
//! Invariant: there are at most [`INTERVALS_MAX`] intervals of at most 12 kB; what comes later is counted in the last one.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::kind::ErrorKind;
use super::tally::MergeError;

/// The most intervals that a run is divided into.
pub const INTERVALS_MAX: usize = 3_600;

/// What a run may last beyond its plan, waiting for its last answers, before intervals are shared.
const DRAIN: Duration = Duration::from_secs(60);

/// Significant decimal digits of an interval's histogram: an error of at most 1 %.
const DIGITS: u8 = 2;

/// The intervals of a run, from its start without gaps.
#[derive(Clone, Debug)]
pub struct Timeline {
    width_s: u64,
    intervals: Vec<Interval>,
}

/// What happened in one interval.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Arrivals intended in it.
    pub offered: u64,
    /// Requests sent in it.
    pub started: u64,
    /// Requests that ended in it, well or not.
    pub completed: u64,
    /// Arrivals intended in it that were never sent.
    pub dropped: u64,
    /// Requests that failed in it, by kind.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// From the intended start to the end of good answers intended in it, in microseconds.
    pub latency: Histogram<u32>,
    /// The latest that the generator was in it, in microseconds.
    pub lag_max_us: u64,
}

impl Timeline {
    /// Makes an empty timeline for a run of the planned length.
    #[must_use]
    pub fn new(planned: Duration) -> Self {
        Timeline::of_width((planned + DRAIN).as_secs().div_ceil(INTERVALS_MAX as u64).max(1))
    }

    /// Makes an empty timeline with intervals of this width.
    pub(crate) fn of_width(width_s: u64) -> Self {
        Timeline {
            width_s,
            intervals: Vec::new(),
        }
    }

    /// Returns the length of an interval.
    #[must_use]
    pub fn width(&self) -> Duration {
        Duration::from_secs(self.width_s)
    }

    /// Returns the intervals in order; the first begins with the run.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Returns the interval of this time since the start, made if it is the first of its kind.
    pub(crate) fn at(&mut self, time: Duration) -> &mut Interval {
        let index = usize::try_from(time.as_secs() / self.width_s).unwrap_or(usize::MAX);
        self.nth(index)
    }

    /// Returns the interval of this number, made if it is the first of its kind.
    pub(crate) fn nth(&mut self, index: usize) -> &mut Interval {
        let index = index.min(INTERVALS_MAX - 1);
        if index >= self.intervals.len() {
            self.intervals.resize_with(index + 1, Interval::default);
        }
        &mut self.intervals[index]
    }

    /// Returns the interval before the one of this time, if there is one.
    pub(crate) fn before(&self, time: Duration) -> Option<&Interval> {
        let index = usize::try_from(time.as_secs() / self.width_s)
            .ok()?
            .checked_sub(1)?;
        self.intervals.get(index)
    }

    /// Adds the intervals of a run that began `shift` intervals later.
    pub(crate) fn merge(&mut self, other: &Timeline, shift: usize) -> Result<(), MergeError> {
        if self.width_s != other.width_s {
            return Err(MergeError::Width(self.width_s, other.width_s));
        }
        for (index, theirs) in other.intervals.iter().enumerate() {
            self.nth(index + shift).merge(theirs);
        }
        Ok(())
    }
}

impl Default for Interval {
    fn default() -> Self {
        Interval {
            offered: 0,
            started: 0,
            completed: 0,
            dropped: 0,
            errors: BTreeMap::new(),
            latency: histogram(),
            lag_max_us: 0,
        }
    }
}

impl Interval {
    /// Counts a good answer that was intended in it.
    pub(crate) fn answered(&mut self, latency_us: u64) {
        // Unlike the saturating way, this one lets the histogram grow.
        self.latency
            .record(latency_us)
            .expect("an interval's histogram grows as needed");
    }

    fn merge(&mut self, other: &Interval) {
        self.offered += other.offered;
        self.started += other.started;
        self.completed += other.completed;
        self.dropped += other.dropped;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        self.lag_max_us = self.lag_max_us.max(other.lag_max_us);
        add(&mut self.latency, &other.latency);
    }
}

/// Makes an empty histogram of interval precision, which grows with the values that it meets.
pub(crate) fn histogram() -> Histogram<u32> {
    Histogram::new(DIGITS).expect("two digits are allowed")
}

/// Adds one histogram of interval precision to another.
pub(crate) fn add(ours: &mut Histogram<u32>, theirs: &Histogram<u32>) {
    ours.add(theirs).expect("an interval's histogram grows as needed");
}
