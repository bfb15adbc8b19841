//! Programs of the suite: started with their output in a file, killed, watched through `/proc`, ended with their handle.

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::wire::{Wire, request};

const POLL: Duration = Duration::from_millis(10);
/// A start after a crash recovers Postgres as well.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints is added to `<logs>/<name>.log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        logs: &Path,
    ) -> Result<Self, Failure> {
        let log = logs.join(format!("{name}.log"));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .env_remove("LYCEUM_PROFILE")
            .env_remove("LYCEUM_CONFIG")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        Ok(Process { name, child, log })
    }

    /// Waits until `GET path` is answered with 200.
    ///
    /// # Errors
    /// The program ended, or took longer than a minute.
    pub async fn ready(&mut self, address: SocketAddr, path: &str) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < READY_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!(
                    "{} ended with {status}; {} says why",
                    self.name,
                    self.log.display()
                )
                .into());
            }
            if status(address, path).await == Some(200) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!(
            "{} is not ready after {READY_TIMEOUT:?}; see {}",
            self.name,
            self.log.display()
        )
        .into())
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it has ended, whatever the reason.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        Ok(self.child.wait().await?)
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It does not end within 30 seconds.
    pub async fn end(mut self) -> Result<(), Failure> {
        let pid = self.pid().ok_or("it has ended before")?;
        Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        timeout(END_TIMEOUT, self.child.wait())
            .await
            .map_err(|_| format!("{} did not end within {END_TIMEOUT:?}", self.name))??;
        Ok(())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it printed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn printed(&self) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }
}

/// The status that `GET path` is answered with, if it is.
pub async fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let probe = async {
        let mut wire = Wire::open(address).await.ok()?;
        wire.send(&request("GET", path, &[("connection", "close")], None))
            .await
            .ok()?;
        let answer = wire.answer(false).await.ok()??;
        Some(answer.status)
    };
    timeout(PROBE_TIMEOUT, probe).await.ok()?
}

/// Resident memory of a process, bytes.
///
/// # Errors
/// It has ended.
pub fn resident(pid: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kibibytes = resident_kib(&status).ok_or("/proc/<pid>/status has another form")?;
    Ok(kibibytes * 1024)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// An address on the loopback interface that nobody listens on.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr, Failure> {
    // Below the ports of outgoing connections, so that none of those takes it while the server is away.
    let mut dice = crate::dice::Dice::from_entropy();
    for _ in 0..1000 {
        let port = u16::try_from(20_000 + dice.below(12_000))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port between 20,000 and 32,000 is free".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(
            resident_kib("Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t9\n"),
            Some(1234)
        );
        assert_eq!(resident_kib("Name:\tx\n"), None);
    }
}
