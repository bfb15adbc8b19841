//! The machine that the generator runs on, and the CPU time that it uses, as Linux tells them in `/proc`.

use std::fs;
use std::thread;
use std::time::Duration;

/// What a figure has to be read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cores that the generator may use.
    pub cpus: usize,
    /// The processor's name, or `unknown`.
    pub model: String,
    /// Memory in bytes; 0 if it is not known.
    pub memory_bytes: u64,
}

impl Machine {
    /// Describes the machine that this process runs on.
    #[must_use]
    pub fn here() -> Self {
        Machine {
            cpus: thread::available_parallelism().map_or(1, usize::from),
            model: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_bytes: field("/proc/meminfo", "MemTotal")
                .and_then(|total| total.trim_end_matches("kB").trim().parse::<u64>().ok())
                .map_or(0, |kibibytes| kibibytes * 1024),
        }
    }
}

/// Returns the CPU time that this process has used, threads that have ended included; zero where the kernel does not tell.
#[must_use]
pub fn process_cpu() -> Duration {
    let ticks = || {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name, in parentheses, may hold spaces: fields are counted after it. User and system time are 14th and 15th.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        Some(times.next()?.ok()? + times.next()?.ok()?)
    };
    // Linux shows programs 100 ticks a second, whatever its own clock is.
    ticks().map_or(Duration::ZERO, |ticks| Duration::from_millis(ticks * 10))
}

/// Reads the value of the first line `name : value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_core_and_a_process_that_works_uses_it() {
        let machine = Machine::here();

        assert!(machine.cpus >= 1);
        while process_cpu() == Duration::ZERO {
            std::hint::spin_loop();
        }
    }
}
