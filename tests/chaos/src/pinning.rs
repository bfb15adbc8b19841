//! Which core runs what, so that a load generator does not take from the server what it is to measure.
//!
//! Half of the cores belong to what is measured, the others to whoever measures. Programs are started under `taskset`; the stores, which a
//! script starts as services, are moved with all their processes once they run.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use tokio::process::Command;

use crate::Failure;

/// A list of cores as `taskset` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(String);

impl Cores {
    /// Divides the cores between what is measured and whoever measures; `None` on a machine that has only one.
    #[must_use]
    pub fn divided() -> Option<(Cores, Cores)> {
        divided(available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// A command that runs a program on these cores.
    #[must_use]
    pub fn command(&self, program: &Path) -> (PathBuf, Vec<String>) {
        let arguments = ["-c", &self.0].map(ToOwned::to_owned);
        let program = program.display().to_string();
        (PathBuf::from("taskset"), [&arguments[..], &[program]].concat())
    }

    /// Moves a process and all its descendants.
    ///
    /// # Errors
    /// It is gone, or belongs to somebody else.
    pub async fn hold(&self, pid: u32) -> Result<(), Failure> {
        let mut pids = vec![pid];
        let mut next = 0;
        while let Some(parent) = pids.get(next).copied() {
            pids.extend(children(parent));
            next += 1;
        }
        for pid in pids {
            let moved = Command::new("taskset")
                .args(["-a", "-c", "-p", &self.0, &pid.to_string()])
                .output()
                .await?;
            // A worker of Postgres may have ended meanwhile.
            if !moved.status.success() && Path::new(&format!("/proc/{pid}")).exists() {
                let said = String::from_utf8_lossy(&moved.stderr);
                return Err(format!("process {pid} cannot be moved to core {}: {said}", self.0).into());
            }
        }
        Ok(())
    }
}

fn divided(count: usize) -> Option<(Cores, Cores)> {
    let half = count / 2;
    let cores = |from: usize, to: usize| Cores(format!("{from}-{to}"));
    (half > 0).then(|| (cores(0, half - 1), cores(half, count - 1)))
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_cores_measure_and_one_alone_cannot_be_divided() {
        let lists = |count| divided(count).map(|(measured, measuring)| [measured.0, measuring.0]);

        assert_eq!(lists(1), None);
        assert_eq!(lists(2), Some(["0-0".to_owned(), "1-1".to_owned()]));
        assert_eq!(lists(5), Some(["0-1".to_owned(), "2-4".to_owned()]));
    }
}
