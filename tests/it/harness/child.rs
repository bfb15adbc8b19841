//! Programs that tests start: their output goes to a file, and they end with their handle.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;

use super::{Client, random, unique, until};

/// A running program.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a program.
    pub(crate) fn start(program: &Path, arguments: &[String], environment: &[(String, String)]) -> Self {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let log = scratch(&format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .env_remove("LYCEUM_PROFILE")
            .env_remove("LYCEUM_CONFIG")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        Child { name, process, log }
    }

    /// Waits until `GET path` is answered with 200.
    pub(crate) async fn ready(&mut self, address: SocketAddr, path: &str) {
        let client = Client::new(address);
        until(&format!("{} answers {path}", self.name), async || {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("{} ended with {status}: {}", self.name, self.output());
            }
            let answer = client.call("GET", path).try_send().await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end as `kill` does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill failed");
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} ends"), async || self.process.try_wait().unwrap()).await
    }

    /// What it printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended long ago; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let output = self.output();
            let from = output.len().saturating_sub(4000);
            let tail = output.get(from..).unwrap_or(&output);
            eprintln!("the end of what {} printed:\n{tail}", self.name);
        }
        let _ = fs::remove_file(&self.log);
    }
}

/// A path of a file that does not exist yet.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("it-") + "-" + name)
}

/// An address on the loopback interface that nobody listens on, below the ports that outgoing connections take. No other
/// test gets it before this process has ended, although nothing listens there until the server is up.
pub(crate) fn free_address() -> SocketAddr {
    static MINE: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ports");
    fs::create_dir_all(&folder).unwrap();
    for _ in 0..1000 {
        let port = 20_000 + random(12_000);
        let claim = File::create(folder.join(port.to_string())).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if claim.try_lock().is_ok() && TcpListener::bind(address).is_ok() {
            MINE.lock().unwrap().push(claim);
            return address;
        }
    }
    panic!("no port between 20,000 and 32,000 is free");
}
