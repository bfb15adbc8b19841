//! Logs and metrics of the process.
//!
//! [`start`] runs once, before anything else: from then on `tracing` writes to stderr (stdout is for results) and
//! `metrics` records. [`Metrics::render`] is what `/metrics` answers; process figures are read from `/proc` at that
//! moment, so nobody samples in vain.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::telemetry::{LogFormat, Telemetry};

/// Upper bounds of duration histograms, seconds: from a cache hit to the longest request.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds of histograms that count things in a batch or a queue.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
/// Clock ticks a second in `/proc/self/stat`: Linux has told user space 100 on every architecture for decades.
const TICKS_PER_SECOND: f64 = 100.0;

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of `telemetry.log_filter` cannot be read.
    #[error("telemetry.log_filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A subscriber is installed already.
    #[error("logs are set up already: {0}")]
    Logs(#[from] tracing_subscriber::util::TryInitError),
    /// The recorder refused its buckets.
    #[error("metrics: {0}")]
    Buckets(#[from] metrics_exporter_prometheus::BuildError),
    /// A recorder is installed already.
    #[error("metrics are set up already")]
    Recorder,
}

/// Renders what the process has counted.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Renders all metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        write_process(&mut text);
        text
    }

    /// Folds recorded samples into their histograms for ever; without it, memory grows while nobody scrapes.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

/// Installs the log subscriber and the metrics recorder of this process.
///
/// # Errors
/// When either is installed already.
pub fn start(settings: &Telemetry) -> Result<Metrics, TelemetryError> {
    start_logs(settings)?;
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), SIZES)?
        .set_buckets_for_metric(Matcher::Suffix("_depth".into()), SIZES)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Recorder)?;
    let commit = option_env!("LYCEUM_COMMIT").unwrap_or("unknown");
    metrics::gauge!("build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => commit).set(1.0);
    Ok(Metrics { handle })
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
        .with_writer(io::stderr);
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

/// Appends the figures of this process; one that cannot be read is left out.
fn write_process(text: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may hold spaces; what follows it does not.
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());

    if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
        write_metric(
            text,
            "process_cpu_seconds_total",
            "counter",
            (user + system) / TICKS_PER_SECOND,
        );
    }
    if let (Some(started), Some(booted)) = (ticks(19), boot_time()) {
        write_metric(
            text,
            "process_start_time_seconds",
            "gauge",
            booted + started / TICKS_PER_SECOND,
        );
    }
    if let Some(threads) = ticks(17) {
        write_metric(text, "process_threads", "gauge", threads);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = number_after(&status, "VmRSS:") {
        write_metric(text, "process_resident_memory_bytes", "gauge", kibibytes * 1024.0);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // Reading the folder opens one more.
        let count = u32::try_from(open.count().saturating_sub(1)).unwrap_or(u32::MAX);
        write_metric(text, "process_open_fds", "gauge", f64::from(count));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(limit) = number_after(&limits, "Max open files") {
        write_metric(text, "process_max_fds", "gauge", limit);
    }
}

fn write_metric(text: &mut String, name: &str, kind: &str, value: f64) {
    // Writing to a `String` cannot fail.
    let _ = write!(text, "# TYPE {name} {kind}\n{name} {value}\n\n");
}

/// Seconds since 1970 at which the machine started.
fn boot_time() -> Option<f64> {
    number_after(&fs::read_to_string("/proc/stat").ok()?, "btime ")
}

/// The number that follows a label at the beginning of a line.
fn number_after(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_figures_are_read_from_proc() {
        let mut text = String::new();

        write_process(&mut text);

        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_threads",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            assert!(
                text.contains(&format!("\n{name} ")),
                "{name} is missing in {text}"
            );
        }
    }
}
