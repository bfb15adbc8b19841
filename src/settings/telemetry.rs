//! Settings of logs and metrics.

use serde::{Deserialize, Serialize};

use super::Checks;

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Shape of a log line.
    pub log_format: LogFormat,
    /// Levels by module, in `tracing`'s filter language.
    pub log_filter: String,
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
    }
}
