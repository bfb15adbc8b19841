//! Logs, metrics and traces of the process.
//!
//! [`start`] runs once, before anything else: from then on `tracing` writes to stderr (stdout is for results) and
//! every counter stands at 0. [`Metrics::render`] is what `/metrics` answers, [`catalogue`] what docs/metrics.md says.

pub(crate) mod lines;
pub(crate) mod otlp;
mod process;

use std::io::{self, IsTerminal};

use lyceum_runtime::metrics::{self, Area, Facade, Format};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::http;
use crate::settings::telemetry::{LogFormat, Telemetry};

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of `telemetry.log_filter` cannot be read.
    #[error("telemetry.log_filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A subscriber is installed already.
    #[error("logs are set up already: {0}")]
    Logs(#[from] tracing_subscriber::util::TryInitError),
}

/// Every metric of this process, by area.
pub fn areas() -> impl Iterator<Item = &'static Area> {
    let parts = [
        http::METERS,
        lyceum_runtime::METERS,
        lyceum_entities::METERS,
        otlp::METERS,
        process::METERS,
    ];
    parts.into_iter().flatten()
}

/// The beginning of docs/metrics.md.
const INTRODUCTION: &str = "\
# Metrics

What `GET /metrics` answers, in the Prometheus text format or, for a scraper that accepts it, as OpenMetrics with
exemplars. Names end in their base unit, counters in `_total`; a label's values are words of the program, never data,
so one node has some thousand series at most. Counters begin at 0 when the process starts.

Made by `lyceum metrics > docs/metrics.md`; a test compares the two.
";

/// The list of all metrics as a document.
pub fn catalogue() -> String {
    INTRODUCTION.to_owned() + &metrics::markdown(areas())
}

/// Renders what the process has counted.
#[derive(Clone, Copy, Debug)]
pub struct Metrics(());

impl Metrics {
    /// Writes out every series.
    pub fn render(&self, format: Format) -> String {
        metrics::render(areas(), format)
    }
}

/// Sets up logs and metrics of this process.
///
/// # Errors
/// Logs are set up already, or their filter cannot be read.
pub fn start(settings: &Telemetry) -> Result<Metrics, TelemetryError> {
    start_logs(settings)?;
    if !settings.metrics {
        metrics::stand_still();
    }
    for family in areas().flat_map(|area| area.families) {
        family.begin();
    }
    // A second one in the same process, as in tests, would count into the same series.
    let _ = ::metrics::set_global_recorder(Facade::new(areas()));
    process::identify();
    Ok(Metrics(()))
}

fn start_logs(settings: &Telemetry) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log_filter)?;
    let is_terminal = io::stderr().is_terminal();
    let json = match settings.log_format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !is_terminal,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines::start(settings.log_queue_max));
    if json {
        subscriber
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init()?;
    } else {
        subscriber.with_ansi(is_terminal).finish().try_init()?;
    }
    Ok(())
}
