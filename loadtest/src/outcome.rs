//! What a run did, in memory: counts, histograms, a timeline, the judgement of thresholds and the faults injected.
//!
//! Each worker fills a [`Tally`] of its own without locks, in tens of nanoseconds per request; the tallies merge exactly
//! when the run ends, and so do those of several generators. The report, the comparison and the verdict all read the
//! [`Recording`], and nothing else.
//!
//! Three clocks meet here, all as the time since the start of the run: a request is *intended* at the moment that the
//! arrival process chose, *started* when the generator sent it, *ended* when its answer was complete. Latency runs from
//! the intended start, so a stalled server cannot hide by holding the generator up; service time runs from the start.
//!
//! Invariants: offered = started + dropped once a run has ended; completed = ok + all errors; in flight = started −
//! completed; memory is bounded by the number of operations and [`timeline::INTERVALS_MAX`], not by requests.

mod board;
mod kind;
mod machine;
mod tally;
pub mod timeline;

use std::time::{Duration, SystemTime};

pub use board::{Beat, Board};
pub use kind::ErrorKind;
pub use machine::{Machine, process_cpu};
pub(crate) use tally::histogram;
pub use tally::{Completion, MergeError, Operation, OperationId, Tally};
pub use timeline::{Interval, Timeline};

/// Everything that is known about one run when it has ended.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What was run, where and when.
    pub run: Run,
    /// What the requests did: the merged tallies of all workers.
    pub tally: Tally,
    /// Each threshold of the scenario with the value that it was judged by.
    pub thresholds: Vec<Threshold>,
    /// The faults injected, in the order of their beginning.
    pub chaos: Vec<ChaosSpan>,
    /// Why the figures cannot be trusted, as sentences; empty when they can.
    pub invalid: Vec<String>,
}

/// The circumstances of a run: enough to repeat it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Name of the scenario.
    pub scenario: String,
    /// Base address of what was loaded.
    pub target: String,
    /// The commit that the target says it was built from, or `unknown`.
    pub commit: String,
    /// Seed of arrivals, journeys and keys.
    pub seed: u64,
    /// The command line that repeats the run.
    pub command: String,
    /// When the first arrival was due.
    pub started: SystemTime,
    /// From the first arrival to the end of the last stage; the drain that follows is not part of it.
    pub duration: Duration,
    /// Where the generator ran.
    pub machine: Machine,
    /// How many generators ran side by side: more than one after `lyceum-load merge`.
    pub generators: u32,
    /// CPU time that the generator used.
    pub generator_cpu: Duration,
    /// CPU time that the target used meanwhile, if it could be learned.
    pub target_cpu: Option<Duration>,
}

/// A threshold of the scenario and how it was met.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// As the scenario has it, such as `p99(browse) < 5ms`.
    pub expression: String,
    /// What was measured, in the unit of the expression; `None` when there was nothing to measure.
    pub value: Option<f64>,
    /// Whether it held.
    pub passed: bool,
}

/// A fault injected on purpose, and what clients noticed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaosSpan {
    /// What was done, such as `sigstop`.
    pub name: String,
    /// To whom, such as `owner_of:course`.
    pub target: String,
    /// When the fault was injected, since the start of the run.
    pub at: Duration,
    /// When it was lifted, since the start of the run; equal to `at` for a blow such as SIGKILL.
    pub ended: Duration,
    /// When canaries went unanswered because of it, since the start of the run; `None` if each was answered.
    pub unavailable: Option<Window>,
}

/// A stretch of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning, since the start of the run.
    pub from: Duration,
    /// Its end, since the start of the run.
    pub to: Duration,
}

impl Window {
    /// Returns how long it lasts.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// What a run amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every threshold held.
    Pass,
    /// The figures are sound, and at least one threshold did not hold.
    Thresholds,
    /// The generator itself fell short: the figures say nothing about the target.
    Invalid,
}

impl Verdict {
    /// Returns the process' exit code for it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Thresholds => 99,
            Verdict::Invalid => 98,
        }
    }

    /// Returns its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Thresholds => "thresholds",
            Verdict::Invalid => "invalid",
        }
    }
}

impl Recording {
    /// Judges the run: an invalid one is invalid whatever its thresholds say.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.invalid.is_empty() {
            Verdict::Invalid
        } else if self.thresholds.iter().any(|threshold| !threshold.passed) {
            Verdict::Thresholds
        } else {
            Verdict::Pass
        }
    }

    /// Says in sentences why the verdict is not `pass`.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let failed = self.thresholds.iter().filter(|threshold| !threshold.passed);
        self.invalid
            .iter()
            .cloned()
            .chain(failed.map(|threshold| match threshold.value {
                Some(value) => format!("{} does not hold: {value:.3}", threshold.expression),
                None => format!("{} has nothing to measure", threshold.expression),
            }))
            .collect()
    }
}
