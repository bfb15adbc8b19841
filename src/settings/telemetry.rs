//! Settings of logs and traces.

use serde::{Deserialize, Serialize};

use super::Checks;
use crate::telemetry::otlp;

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Shape of a log line.
    pub log_format: LogFormat,
    /// Levels by module, in `tracing`'s filter language.
    pub log_filter: String,
    /// Lines waiting to be written, at most.
    pub log_queue_max: usize,
    /// Whether counters and histograms are kept.
    pub metrics: bool,
    /// One request in so many begins a trace that is kept; 0 for none.
    pub trace_sample: u32,
    /// Where spans are sent; empty for nowhere.
    pub otlp_url: String,
    /// Spans waiting to be sent, at most.
    pub otlp_queue_max: usize,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Telemetry {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log_filter) {
            checks.refuse(
                "telemetry.log_filter",
                format!("`{}` is not a filter: {error}", self.log_filter),
            );
        }
        checks.range("telemetry.log_queue_max", self.log_queue_max, 64..=10_000_000);
        if !self.otlp_url.is_empty() && otlp::endpoint(&self.otlp_url).is_none() {
            checks.refuse(
                "telemetry.otlp_url",
                format!("`{}` is not of the form http://host:port", self.otlp_url),
            );
        }
    }
}
