//! Which core runs what, so that a load generator does not take from the server what it is to measure.
//!
//! Half of the cores that this process may use belong to what is measured, the others to whoever measures. Programs are started under `taskset`; the stores, which a
//! script starts as services, are moved with all their processes once they run.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Failure;

/// A list of cores as `taskset` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(String);

impl Cores {
    /// Divides the cores between what is measured and whoever measures.
    ///
    /// # Errors
    /// Why this cannot be done on this machine: there is one core only, or no `taskset`.
    pub async fn divided() -> Result<(Cores, Cores), String> {
        let version = Command::new("taskset").arg("--version").output().await;
        if !version.is_ok_and(|output| output.status.success()) {
            return Err("there is no taskset to give programs their cores".to_owned());
        }
        // Not their number: a container may own the cores 6 and 7 of a machine.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        divided(&allowed(&status)).ok_or_else(|| "server and generator need a core each".to_owned())
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

/// The cores that a process may use, by its `/proc/*/status`, which lists them as in `0-1,4`.
fn allowed(status: &str) -> Vec<u32> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or_default();
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

fn divided(cores: &[u32]) -> Option<(Cores, Cores)> {
    let (measured, measuring) = cores.split_at(cores.len() / 2);
    let listed = |cores: &[u32]| Cores(cores.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    (!measured.is_empty()).then(|| (listed(measured), listed(measuring)))
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

    fn lists(list: &str) -> Option<[String; 2]> {
        let status = format!("Cpus_allowed:\tff\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n");
        divided(&allowed(&status)).map(|(measured, measuring)| [measured.0, measuring.0])
    }

    #[test]
    fn half_of_the_cores_measure_and_one_alone_cannot_be_divided() {
        let halves = |measured: &str, measuring: &str| Some([measured.to_owned(), measuring.to_owned()]);

        assert_eq!(lists("0"), None);
        assert_eq!(lists("0-1"), halves("0", "1"));
        assert_eq!(lists("0-4"), halves("0,1", "2,3,4"));
    }

    #[test]
    fn a_container_divides_the_cores_that_it_has_and_not_the_first_of_the_machine() {
        assert_eq!(lists("3,6-7,12"), Some(["3,6".to_owned(), "7,12".to_owned()]));
        assert_eq!(lists(""), None);
    }
}
