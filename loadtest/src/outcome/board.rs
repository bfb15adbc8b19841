//! Where workers hang out how things stand, for the live view to read.
//!
//! A worker publishes a [`Beat`] a few times a second, never per request; the view reads at its own pace. A worker that
//! is late shows its last beat. Locks are held for a copy only.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::timeline;

/// How things stand with one worker, counted since the start of the run.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// When it was taken, since the start of the run.
    pub at: Duration,
    /// Arrivals that the schedule had.
    pub offered: u64,
    /// Requests sent.
    pub started: u64,
    /// Requests that ended, well or not.
    pub completed: u64,
    /// Arrivals that were never sent.
    pub dropped: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Latencies of the last full interval, in microseconds.
    pub latency: Option<Histogram<u32>>,
}

impl Beat {
    /// Makes a beat of this time with nothing counted yet.
    #[must_use]
    pub fn at(at: Duration) -> Self {
        Beat {
            at,
            ..Beat::default()
        }
    }

    /// Returns how many requests are unanswered.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.completed)
    }

    fn merge(&mut self, other: &Beat) {
        self.at = self.at.max(other.at);
        self.offered += other.offered;
        self.started += other.started;
        self.completed += other.completed;
        self.dropped += other.dropped;
        self.errors += other.errors;
        if let Some(theirs) = &other.latency {
            timeline::add(self.latency.get_or_insert_with(timeline::histogram), theirs);
        }
    }
}

/// The last beats of all workers and the faults that are being injected.
#[derive(Debug, Default)]
pub struct Board {
    beats: Mutex<Vec<Beat>>,
    chaos: Mutex<Vec<String>>,
}

impl Board {
    /// Makes a board for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Board {
            beats: Mutex::new(vec![Beat::default(); workers]),
            chaos: Mutex::default(),
        }
    }

    /// Replaces the beat of one worker, the first being 0.
    pub fn publish(&self, worker: usize, beat: Beat) {
        if let Some(place) = lock(&self.beats).get_mut(worker) {
            *place = beat;
        }
    }

    /// Returns the sum over all workers.
    #[must_use]
    pub fn total(&self) -> Beat {
        let mut total = Beat::default();
        for beat in lock(&self.beats).iter() {
            total.merge(beat);
        }
        total
    }

    /// Shows a fault from now on.
    pub fn chaos_began(&self, name: &str) {
        lock(&self.chaos).push(name.to_owned());
    }

    /// Shows the fault no longer.
    pub fn chaos_ended(&self, name: &str) {
        let mut chaos = lock(&self.chaos);
        if let Some(index) = chaos.iter().position(|shown| shown == name) {
            chaos.remove(index);
        }
    }

    /// Returns the faults that are being injected.
    #[must_use]
    pub fn chaos(&self) -> Vec<String> {
        lock(&self.chaos).clone()
    }
}

/// Locks whatever happened to the last holder: the view shows figures, it does not decide by them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
