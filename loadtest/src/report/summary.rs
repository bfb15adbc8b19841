//! `summary.json`, schema `lyceum-load/2`: a run for programs.
//!
//! Fields keep their order, names and units; a change that a reader could notice makes a `lyceum-load/3`. Times are
//! milliseconds where the name ends in `_ms`, seconds where it ends in `_s`; rates are per second.
//!
//! | field | what it holds |
//! |---|---|
//! | `schema` | `lyceum-load/2` |
//! | `scenario`, `target`, `commit`, `seed`, `command` | what ran against what, and how to repeat it |
//! | `started`, `started_unix_ms`, `duration_s` | when, in UTC, and for how long without the drain |
//! | `machine` | `cpus`, `model`, `memory_bytes` of the generator's machine |
//! | `verdict` | `result` (`pass`, `thresholds`, `invalid`) and its `reasons` |
//! | `generator` | `count`, `cpu_s`, `lag_p50_ms`, `lag_p99_ms`, `lag_max_ms`, `dropped` |
//! | `target_cpu_s` | CPU time of the target during the run, or null |
//! | `totals` | as an operation, named `all` |
//! | `operations` | `name`, `offered`, `started`, `completed`, `dropped`, `ok`, `failed`, `errors` by kind, `goodput_per_s`, and `latency_from_intended`, `service_time` (of good answers), `failed_latency`: `count`, `p50_ms` … `p999_ms`, `max_ms`, `mean_ms`, or null |
//! | `interval_s`, `timeline` | for each interval `t_s`, counts, `in_flight` at its end, `p50_ms`, `p99_ms`, `max_ms` or null, `lag_max_ms` |
//! | `heat_map` | `bucket_upper_ms`, and for each interval the `counts` of good answers by position in it, where there are any |
//! | `thresholds` | `expression`, `value` or null, `passed` |
//! | `chaos` | `name`, `target`, `at_s`, `ended_s`, `unavailable_ms` (0 if never), `unavailable_from_s` or null |

mod heat;
mod restore;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::{Counter, Histogram};
use serde::{Deserialize, Serialize};

pub use heat::HeatMap;

use super::format::rfc3339;
use crate::outcome::timeline::Timeline;
use crate::outcome::{self, ChaosSpan, Recording};

/// The schema that is written and read.
pub const SCHEMA: &str = "lyceum-load/2";

/// A run for programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the table above says what each field holds")]
pub struct Summary {
    pub schema: String,
    pub scenario: String,
    pub target: String,
    pub commit: String,
    pub seed: u64,
    pub command: String,
    pub started: String,
    pub started_unix_ms: u64,
    pub duration_s: f64,
    pub machine: MachineFacts,
    pub verdict: Verdict,
    pub generator: Generator,
    pub target_cpu_s: Option<f64>,
    pub totals: Operation,
    pub operations: Vec<Operation>,
    pub interval_s: u64,
    pub timeline: Vec<Moment>,
    pub heat_map: HeatMap,
    pub thresholds: Vec<Threshold>,
    pub chaos: Vec<Chaos>,
}

/// Where the generator ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct MachineFacts {
    pub cpus: usize,
    pub model: String,
    pub memory_bytes: u64,
}

/// What the run amounts to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Verdict {
    pub result: String,
    pub reasons: Vec<String>,
}

/// How the generator itself did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Generator {
    pub count: u32,
    pub cpu_s: f64,
    pub lag_p50_ms: f64,
    pub lag_p99_ms: f64,
    pub lag_max_ms: f64,
    pub dropped: u64,
}

/// The counts and latencies of one operation, or of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Operation {
    pub name: String,
    pub offered: u64,
    pub started: u64,
    pub completed: u64,
    pub dropped: u64,
    pub ok: u64,
    pub failed: u64,
    pub errors: BTreeMap<String, u64>,
    pub goodput_per_s: f64,
    pub latency_from_intended: Option<Latencies>,
    pub service_time: Option<Latencies>,
    pub failed_latency: Option<Latencies>,
}

/// A histogram in a few figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Latencies {
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    pub mean_ms: f64,
}

/// One interval of the timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Moment {
    pub t_s: u64,
    pub offered: u64,
    pub started: u64,
    pub completed: u64,
    pub dropped: u64,
    pub failed: u64,
    pub errors: BTreeMap<String, u64>,
    pub in_flight: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub lag_max_ms: f64,
}

/// A threshold and how it was met.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Threshold {
    pub expression: String,
    pub value: Option<f64>,
    pub passed: bool,
}

/// A fault injected and what clients noticed of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct Chaos {
    pub name: String,
    pub target: String,
    pub at_s: f64,
    pub ended_s: f64,
    pub unavailable_ms: f64,
    pub unavailable_from_s: Option<f64>,
}

impl Summary {
    /// Summarizes a recording.
    #[must_use]
    pub fn of(recording: &Recording) -> Self {
        let Recording {
            run,
            tally,
            thresholds,
            chaos,
            ..
        } = recording;
        let total = tally.total();
        let since_epoch = run.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let lag = tally.lag();
        Summary {
            schema: SCHEMA.to_owned(),
            scenario: run.scenario.clone(),
            target: run.target.clone(),
            commit: run.commit.clone(),
            seed: run.seed,
            command: run.command.clone(),
            started: rfc3339(run.started),
            started_unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            duration_s: run.duration.as_secs_f64(),
            machine: MachineFacts {
                cpus: run.machine.cpus,
                model: run.machine.model.clone(),
                memory_bytes: run.machine.memory_bytes,
            },
            verdict: Verdict {
                result: recording.verdict().name().to_owned(),
                reasons: recording.reasons(),
            },
            generator: Generator {
                count: run.generators,
                cpu_s: run.generator_cpu.as_secs_f64(),
                lag_p50_ms: millis(lag.value_at_quantile(0.5)),
                lag_p99_ms: millis(lag.value_at_quantile(0.99)),
                lag_max_ms: millis(lag.max()),
                dropped: total.dropped,
            },
            target_cpu_s: run.target_cpu.map(|cpu| cpu.as_secs_f64()),
            totals: Operation::of(&total, run.duration),
            operations: tally
                .operations()
                .iter()
                .map(|operation| Operation::of(operation, run.duration))
                .collect(),
            interval_s: tally.timeline().width().as_secs(),
            timeline: moments(tally.timeline()),
            heat_map: HeatMap::of(tally.timeline()),
            thresholds: thresholds.iter().map(Threshold::of).collect(),
            chaos: chaos.iter().map(Chaos::of).collect(),
        }
    }

    /// Renders it as JSON for people and programs, with a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("strings, numbers and maps by strings are JSON");
        json.push('\n');
        json
    }

    /// Reads it back.
    ///
    /// # Errors
    /// A sentence: it is no JSON of this schema.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let summary: Summary = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if summary.schema != SCHEMA {
            return Err(format!("the schema is `{}`, not `{SCHEMA}`", summary.schema));
        }
        Ok(summary)
    }
}

impl Operation {
    fn of(operation: &outcome::Operation, duration: Duration) -> Self {
        Operation {
            name: operation.name.clone(),
            offered: operation.offered,
            started: operation.started,
            completed: operation.completed,
            dropped: operation.dropped,
            ok: operation.ok(),
            failed: operation.failures(),
            errors: by_name(&operation.errors),
            goodput_per_s: rounded(operation.ok() as f64 / duration.as_secs_f64().max(f64::MIN_POSITIVE)),
            latency_from_intended: Latencies::of(&operation.latency),
            service_time: Latencies::of(&operation.service),
            failed_latency: Latencies::of(&operation.failed),
        }
    }
}

impl Latencies {
    /// Sums a histogram of microseconds up; `None` if it is empty.
    #[must_use]
    pub fn of<C: Counter>(histogram: &Histogram<C>) -> Option<Self> {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Latencies {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: millis(histogram.max()),
            mean_ms: rounded(histogram.mean() / 1000.0),
        })
    }
}

impl Threshold {
    fn of(threshold: &outcome::Threshold) -> Self {
        Threshold {
            expression: threshold.expression.clone(),
            value: threshold.value,
            passed: threshold.passed,
        }
    }
}

impl Chaos {
    fn of(span: &ChaosSpan) -> Self {
        Chaos {
            name: span.name.clone(),
            target: span.target.clone(),
            at_s: span.at.as_secs_f64(),
            ended_s: span.ended.as_secs_f64(),
            unavailable_ms: span
                .unavailable
                .map_or(0.0, |window| window.length().as_secs_f64() * 1000.0),
            unavailable_from_s: span.unavailable.map(|window| window.from.as_secs_f64()),
        }
    }
}

fn moments(timeline: &Timeline) -> Vec<Moment> {
    let mut in_flight = 0u64;
    let mut moments = Vec::new();
    for (index, interval) in (0u64..).zip(timeline.intervals()) {
        in_flight = (in_flight + interval.started).saturating_sub(interval.completed);
        let latencies = Latencies::of(&interval.latency);
        moments.push(Moment {
            t_s: index * timeline.width().as_secs(),
            offered: interval.offered,
            started: interval.started,
            completed: interval.completed,
            dropped: interval.dropped,
            failed: interval.failures(),
            errors: by_name(&interval.errors),
            in_flight,
            p50_ms: latencies.as_ref().map(|latencies| latencies.p50_ms),
            p99_ms: latencies.as_ref().map(|latencies| latencies.p99_ms),
            max_ms: latencies.as_ref().map(|latencies| latencies.max_ms),
            lag_max_ms: millis(interval.lag_max_us),
        });
    }
    moments
}

fn by_name(errors: &BTreeMap<outcome::ErrorKind, u64>) -> BTreeMap<String, u64> {
    errors
        .iter()
        .map(|(kind, count)| (kind.to_string(), *count))
        .collect()
}

/// Microseconds as milliseconds.
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Three decimals are all that the instruments can tell apart.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
