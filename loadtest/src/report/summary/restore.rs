//! From a summary and its histogram log back to the recording that they were made of.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::{Chaos, Moment, Operation, Summary, Threshold};
use crate::outcome::timeline::Timeline;
use crate::outcome::{self, ChaosSpan, Interval, Machine, Recording, Run, Tally, Window};
use crate::report::hlog;

impl Summary {
    /// Makes a recording of it and the histogram log beside it.
    ///
    /// # Errors
    /// A sentence: the log is damaged or an error kind is unknown.
    pub(in crate::report) fn into_recording(self, log: &str) -> Result<Recording, String> {
        let mut operations = Vec::new();
        for operation in &self.operations {
            operations.push(operation.restore()?);
        }
        let mut timeline = Timeline::of_width(self.interval_s.max(1));
        for (index, moment) in self.timeline.iter().enumerate() {
            *timeline.nth(index) = moment.restore()?;
        }
        let lag = hlog::decode(log, &mut operations, &mut timeline)?;
        let invalid = match self.verdict.result.as_str() {
            // Reasons begin with what makes a run invalid; those of thresholds are made anew.
            "invalid" => {
                let failed = self
                    .thresholds
                    .iter()
                    .filter(|threshold| !threshold.passed)
                    .count();
                let own = self.verdict.reasons.len().saturating_sub(failed);
                self.verdict.reasons[..own].to_vec()
            }
            _ => Vec::new(),
        };
        Ok(Recording {
            run: Run {
                scenario: self.scenario,
                target: self.target,
                commit: self.commit,
                seed: self.seed,
                command: self.command,
                started: UNIX_EPOCH + Duration::from_millis(self.started_unix_ms),
                duration: seconds(self.duration_s)?,
                machine: Machine {
                    cpus: self.machine.cpus,
                    model: self.machine.model,
                    memory_bytes: self.machine.memory_bytes,
                },
                generators: self.generator.count,
                generator_cpu: seconds(self.generator.cpu_s)?,
                target_cpu: self.target_cpu_s.map(seconds).transpose()?,
            },
            tally: Tally::from_parts(operations, timeline, lag),
            thresholds: self.thresholds.into_iter().map(Threshold::restore).collect(),
            chaos: self
                .chaos
                .into_iter()
                .map(Chaos::restore)
                .collect::<Result<_, String>>()?,
            invalid,
        })
    }
}

impl Operation {
    fn restore(&self) -> Result<outcome::Operation, String> {
        let mut operation = outcome::Operation::new(self.name.clone());
        operation.offered = self.offered;
        operation.started = self.started;
        operation.completed = self.completed;
        operation.dropped = self.dropped;
        operation.errors = by_kind(&self.errors)?;
        Ok(operation)
    }
}

impl Moment {
    fn restore(&self) -> Result<Interval, String> {
        Ok(Interval {
            offered: self.offered,
            started: self.started,
            completed: self.completed,
            dropped: self.dropped,
            errors: by_kind(&self.errors)?,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float saturates when it is made an integer, and no lag is that long"
            )]
            lag_max_us: (self.lag_max_ms * 1000.0).round() as u64,
            ..Interval::default()
        })
    }
}

impl Threshold {
    fn restore(self) -> outcome::Threshold {
        outcome::Threshold {
            expression: self.expression,
            value: self.value,
            passed: self.passed,
        }
    }
}

impl Chaos {
    fn restore(self) -> Result<ChaosSpan, String> {
        let unavailable = match self.unavailable_from_s {
            Some(from_s) => Some(Window {
                from: seconds(from_s)?,
                to: seconds(from_s)? + seconds(self.unavailable_ms / 1000.0)?,
            }),
            None => None,
        };
        Ok(ChaosSpan {
            name: self.name,
            target: self.target,
            at: seconds(self.at_s)?,
            ended: seconds(self.ended_s)?,
            unavailable,
        })
    }
}

fn by_kind(errors: &BTreeMap<String, u64>) -> Result<BTreeMap<outcome::ErrorKind, u64>, String> {
    errors
        .iter()
        .map(|(name, count)| match name.parse() {
            Ok(kind) => Ok((kind, *count)),
            Err(unknown) => Err(format!("{unknown}")),
        })
        .collect()
}

fn seconds(value: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(value).map_err(|error| format!("{value} seconds: {error}"))
}
