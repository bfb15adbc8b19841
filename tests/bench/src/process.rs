//! Processes under measurement: started with their output in a file, waited for, watched through `/proc`, ended.
//!
//! Whatever was started is ended when its handle is dropped, so a failed run leaves nothing behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::http::{Connection, request};

/// The kernel's unit of CPU time in `/proc`: `USER_HZ` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(2);
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const END_TIMEOUT: Duration = Duration::from_secs(25);

/// A running program.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts a program; what it prints goes to `<logs>/<name>.log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &str)],
        logs: &Path,
    ) -> Result<Self, Failure> {
        let log = File::create(logs.join(format!("{name}.log")))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        Ok(Process { name, child })
    }

    /// Waits until `GET path` is answered with 200.
    ///
    /// # Errors
    /// The program ended, or took longer than a minute.
    pub(crate) async fn ready(&mut self, address: SocketAddr, path: &str) -> Result<(), Failure> {
        let began = Instant::now();
        let probe = request("GET", path, None, None, None);
        while began.elapsed() < READY_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended with {status}; its log says why", self.name).into());
            }
            if let Ok(mut connection) = Connection::open(address).await
                && let Ok(answer) = connection.exchange(&probe).await
                && answer.status == 200
            {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("{} is not ready after {READY_TIMEOUT:?}; see its log", self.name).into())
    }

    /// CPU time used so far, in user and kernel mode, by all threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        cpu_of(&self.child.id().to_string())
    }

    /// CPU time that this process itself has used so far.
    pub(crate) fn own_cpu() -> Result<Duration, Failure> {
        cpu_of("self")
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        resident_of(&self.child.id().to_string())
    }

    /// Resident memory of this process itself, bytes.
    pub(crate) fn own_resident() -> Result<u64, Failure> {
        resident_of("self")
    }

    /// Asks the program to end, and kills it when it does not.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        let asked = Instant::now();
        while asked.elapsed() < END_TIMEOUT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("{} did not end within {END_TIMEOUT:?}", self.name).into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on the loopback interface that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn cpu_of(process: &str) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let ticks = cpu_ticks(&stat).ok_or("/proc/<pid>/stat has another form")?;
    Ok(TICK * ticks)
}

/// `utime + stime`; the name of the program in brackets may contain anything.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(field(11)? + field(12)?)
}

fn resident_of(process: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes = resident_kib(&status).ok_or("/proc/<pid>/status has another form")?;
    Ok(kibibytes * 1024)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_the_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 1 1";

        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (x"), None);
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(
            resident_kib("Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t9\n"),
            Some(1234)
        );
        assert_eq!(resident_kib("Name:\tx\n"), None);
    }
}
