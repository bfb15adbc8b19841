//! Figures of this process, read from `/proc` when they are asked for, so that nobody samples in vain.
//!
//! One that cannot be read is left out.

use std::fs;

use lyceum_runtime::metrics::{Area, Computed, Gauge, Label, Metric, Type};

use super::lines;

/// Clock ticks a second in `/proc/self/stat`: Linux has told user space 100 on every architecture for decades.
const TICKS_PER_SECOND: f64 = 100.0;

static PROCESS_CPU_SECONDS_TOTAL: Computed = Computed::new(
    Type::Counter,
    "process_cpu_seconds_total",
    "Processor time used, in user and system mode.",
    || Some((stat(11)? + stat(12)?) / TICKS_PER_SECOND),
)
.worry("its rate nears the number of cores");
static PROCESS_RESIDENT_MEMORY_BYTES: Computed = Computed::new(
    Type::Gauge,
    "process_resident_memory_bytes",
    "Memory in use.",
    || Some(number_after(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")? * 1024.0),
)
.worry("grows for hours while `actor_alive` does not");
static PROCESS_OPEN_FDS: Computed = Computed::new(
    Type::Gauge,
    "process_open_fds",
    "Open file descriptors.",
    open_files,
)
.worry("nears `process_max_fds`");
static PROCESS_MAX_FDS: Computed = Computed::new(
    Type::Gauge,
    "process_max_fds",
    "File descriptors that may be open.",
    || number_after(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files"),
);
static PROCESS_THREADS: Computed = Computed::new(Type::Gauge, "process_threads", "Threads.", || stat(17));
static PROCESS_START_TIME_SECONDS: Computed = Computed::new(
    Type::Gauge,
    "process_start_time_seconds",
    "When the process started, in seconds since 1970.",
    || Some(boot_time()? + stat(19)? / TICKS_PER_SECOND),
)
.worry("is young although nobody restarted it");
static LOG_LINES_LOST_TOTAL: Computed = Computed::new(
    Type::Counter,
    "log_lines_lost_total",
    "Log lines that found no room in the queue to the writer.",
    || Some(f64::from(lines::lost())),
)
.worry("rises: whatever reads stderr is too slow");
static BUILD_INFO: Metric<Gauge> = Metric::new("build_info", "Always 1; the labels say what is running.")
    .labels(&[
        Label::program("version", "the version of the package"),
        Label::program("commit", "the commit it was built from, if the build was told"),
    ]);

/// The metrics of the process.
pub(super) static METERS: &[Area] = &[Area {
    title: "Process",
    families: &[
        &PROCESS_CPU_SECONDS_TOTAL,
        &PROCESS_RESIDENT_MEMORY_BYTES,
        &PROCESS_OPEN_FDS,
        &PROCESS_MAX_FDS,
        &PROCESS_THREADS,
        &PROCESS_START_TIME_SECONDS,
        &LOG_LINES_LOST_TOTAL,
        &BUILD_INFO,
    ],
}];

/// Says what is running.
pub(super) fn identify() {
    let commit = option_env!("LYCEUM_COMMIT").unwrap_or("unknown");
    BUILD_INFO.with([env!("CARGO_PKG_VERSION"), commit]).set(1.0);
}

/// A field of `/proc/self/stat`, counted from the one after the program's name.
fn stat(index: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name is in parentheses and may hold spaces; what follows it does not.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(index)?.parse().ok()
}

fn open_files() -> Option<f64> {
    // Reading the folder opens one more.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
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
    use lyceum_runtime::metrics::Reading;

    use super::*;

    #[test]
    fn process_figures_are_read_from_proc() {
        identify();

        for family in METERS.iter().flat_map(|area| area.families) {
            let mut series = 0;
            family.read(&mut |_, reading| {
                assert!(matches!(reading, Reading::Number(number) if number >= 0.0));
                series += 1;
            });
            assert_eq!(series, 1, "{}", family.about().name);
        }
    }
}
