//! The counts and histograms of one worker's requests, and their exact merging.
//!
//! A request passes `offered`, then either `dropped` or `started` and, later, `completed`. Histograms hold microseconds
//! with three significant digits up to [`LATENCY_MAX`], where longer ones are counted too. Good answers and failures
//! have histograms of their own: a refusal that comes at once must not make the percentiles of good answers better.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::board::Beat;
use super::kind::ErrorKind;
use super::timeline::{Interval, Timeline};

/// The longest latency told apart; it is above every deadline of a client.
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(600);

/// Significant decimal digits of an operation's histograms: an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// The place of an operation in its tally; the same in every tally made with the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId(usize);

/// The counts and histograms of a set of operations over a run.
#[derive(Clone, Debug)]
pub struct Tally {
    operations: Vec<Operation>,
    timeline: Timeline,
    lag: Histogram<u64>,
}

/// How a started request ended.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// When it should have started, since the start of the run.
    pub intended: Duration,
    /// When it was sent, since the start of the run.
    pub started: Duration,
    /// When its answer was complete or it failed, since the start of the run.
    pub ended: Duration,
    /// Whether the answer was one that the journey expects.
    pub result: Result<(), ErrorKind>,
}

/// The counts and histograms of one operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name in scenarios and reports, such as `browse`.
    pub name: String,
    /// Arrivals that the schedule had.
    pub offered: u64,
    /// Requests sent.
    pub started: u64,
    /// Requests that ended, well or not.
    pub completed: u64,
    /// Arrivals that were never sent, because the generator had no place for them.
    pub dropped: u64,
    /// Requests that failed, by kind.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// From the intended start to the end of good answers, in microseconds.
    pub latency: Histogram<u64>,
    /// From the sending to the end of good answers, in microseconds.
    pub service: Histogram<u64>,
    /// From the intended start to the end of failures, in microseconds.
    pub failed: Histogram<u64>,
}

/// Why two tallies do not merge.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Their intervals differ in width.
    #[error("one run has intervals of {0} s, the other of {1} s: only runs of similar length merge")]
    Width(u64, u64),
}

impl Tally {
    /// Makes an empty tally for these operations and a run of the planned length.
    #[must_use]
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>, planned: Duration) -> Self {
        Tally {
            operations: names
                .into_iter()
                .map(|name| Operation::new(name.into()))
                .collect(),
            timeline: Timeline::new(planned),
            lag: histogram(),
        }
    }

    /// Makes a tally of parts read back from a run's files.
    pub(crate) fn from_parts(operations: Vec<Operation>, timeline: Timeline, lag: Histogram<u64>) -> Self {
        Tally {
            operations,
            timeline,
            lag,
        }
    }

    /// Returns the place of the operation of this name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<OperationId> {
        self.operations
            .iter()
            .position(|operation| operation.name == name)
            .map(OperationId)
    }

    /// Counts an arrival of the schedule.
    pub fn offered(&mut self, operation: OperationId, intended: Duration) {
        self.operations[operation.0].offered += 1;
        self.timeline.at(intended).offered += 1;
    }

    /// Counts an arrival that is given up unsent.
    pub fn dropped(&mut self, operation: OperationId, intended: Duration) {
        self.operations[operation.0].dropped += 1;
        self.timeline.at(intended).dropped += 1;
    }

    /// Counts a request sent at `started`; `lag` is how late the generator itself was, waiting for the target not included.
    pub fn started(&mut self, operation: OperationId, started: Duration, lag: Duration) {
        self.operations[operation.0].started += 1;
        let lag_us = micros(lag);
        self.lag.saturating_record(lag_us);
        let interval = self.timeline.at(started);
        interval.started += 1;
        interval.lag_max_us = interval.lag_max_us.max(lag_us);
    }

    /// Counts the end of a started request.
    pub fn completed(&mut self, operation: OperationId, completion: Completion) {
        let Completion {
            intended,
            started,
            ended,
            result,
        } = completion;
        let latency_us = micros(ended.saturating_sub(intended));
        let operation = &mut self.operations[operation.0];
        operation.completed += 1;
        let interval = self.timeline.at(ended);
        interval.completed += 1;
        match result {
            Ok(()) => {
                operation.latency.saturating_record(latency_us);
                operation
                    .service
                    .saturating_record(micros(ended.saturating_sub(started)));
                // By the intended second: a stall shows where it began, not where it was over.
                self.timeline.at(intended).answered(latency_us);
            }
            Err(kind) => {
                operation.failed.saturating_record(latency_us);
                *operation.errors.entry(kind).or_default() += 1;
                *interval.errors.entry(kind).or_default() += 1;
            }
        }
    }

    /// Returns the operations in the order of the scenario.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Returns the operation of this name.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.id(name).map(|id| &self.operations[id.0])
    }

    /// Returns what happened when.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Returns how late the generator sent, in microseconds.
    #[must_use]
    pub fn lag(&self) -> &Histogram<u64> {
        &self.lag
    }

    /// Sums all operations up into one named `all`.
    #[must_use]
    pub fn total(&self) -> Operation {
        let mut total = Operation::new("all".to_owned());
        for operation in &self.operations {
            total.merge(operation);
        }
        total
    }

    /// Tells the live view how things stand `now`.
    #[must_use]
    pub fn beat(&self, now: Duration) -> Beat {
        let mut beat = Beat::at(now);
        for operation in &self.operations {
            beat.offered += operation.offered;
            beat.started += operation.started;
            beat.completed += operation.completed;
            beat.dropped += operation.dropped;
            beat.errors += operation.failures();
        }
        // The second before the current one: its requests have mostly ended.
        if let Some(interval) = self.timeline.before(now) {
            beat.latency = Some(interval.latency.clone());
        }
        beat
    }

    /// Adds what another worker counted over the same run.
    ///
    /// # Errors
    /// The intervals have different widths: they belong to runs of different plans.
    pub fn merge(&mut self, other: &Tally) -> Result<(), MergeError> {
        self.merge_shifted(other, 0)
    }

    /// Adds what a generator counted that began `shift` intervals later.
    pub(crate) fn merge_shifted(&mut self, other: &Tally, shift: usize) -> Result<(), MergeError> {
        self.timeline.merge(&other.timeline, shift)?;
        for theirs in &other.operations {
            match self.operations.iter_mut().find(|ours| ours.name == theirs.name) {
                Some(ours) => ours.merge(theirs),
                None => self.operations.push(theirs.clone()),
            }
        }
        add(&mut self.lag, &other.lag);
        Ok(())
    }
}

impl Operation {
    /// Makes an operation to which nothing has happened.
    pub(crate) fn new(name: String) -> Self {
        Operation {
            name,
            offered: 0,
            started: 0,
            completed: 0,
            dropped: 0,
            errors: BTreeMap::new(),
            latency: histogram(),
            service: histogram(),
            failed: histogram(),
        }
    }

    /// Returns how many requests failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Returns how many requests were answered as expected.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.completed - self.failures()
    }

    fn merge(&mut self, other: &Operation) {
        self.offered += other.offered;
        self.started += other.started;
        self.completed += other.completed;
        self.dropped += other.dropped;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        add(&mut self.latency, &other.latency);
        add(&mut self.service, &other.service);
        add(&mut self.failed, &other.failed);
    }
}

impl Interval {
    /// Returns how many requests failed in it.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Makes an empty histogram of whole-run precision.
pub(crate) fn histogram() -> Histogram<u64> {
    let max_us = u64::try_from(LATENCY_MAX.as_micros()).expect("ten minutes fit in 64 bits");
    Histogram::new_with_bounds(1, max_us, DIGITS)
        .expect("the bounds are in order and the digits at most five")
}

/// Adds one histogram of whole-run precision to another.
pub(crate) fn add(ours: &mut Histogram<u64>, theirs: &Histogram<u64>) {
    ours.add(theirs)
        .expect("every whole-run histogram has the same bounds");
}

/// Returns the microseconds of a duration within what histograms tell apart.
pub(crate) fn micros(duration: Duration) -> u64 {
    let capped = duration.min(LATENCY_MAX);
    capped.as_secs() * 1_000_000 + u64::from(capped.subsec_micros())
}

#[cfg(test)]
mod tests;
