//! `HAProxy` in front of the nodes of a trial, as `make cluster` puts it there: config/dev/haproxy.cfg with other addresses.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::Failure;
use crate::fleet::NAMES;
use crate::process::{Process, free_address};

const CONFIGURATION: &str = include_str!("../../../config/dev/haproxy.cfg");
/// Its checks run five times a second.
const SEEN_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// A load balancer that runs.
pub struct Balancer {
    /// Where it takes requests.
    pub address: SocketAddr,
    socket: std::path::PathBuf,
    _process: Process,
}

impl Balancer {
    /// Starts it for these nodes, of which some may not run yet.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start(nodes: &[SocketAddr], out: &Path) -> Result<Self, Failure> {
        let address = free_address()?;
        let out = out.canonicalize()?;
        let (file, socket) = (out.join("haproxy.cfg"), out.join("haproxy.sock"));
        std::fs::write(&file, configuration(address, nodes))?;
        let arguments = ["-db".to_owned(), "-f".to_owned(), file.display().to_string()];
        let environment = [("SOCKET", socket.display().to_string())];
        let mut process = Process::start("haproxy", Path::new("haproxy"), &arguments, &environment, &out)?;
        process.ready(address, "/readyz").await?;
        Ok(Balancer {
            address,
            socket,
            _process: process,
        })
    }

    /// Waits until it sends requests to a node.
    ///
    /// # Errors
    /// It does not.
    pub async fn sees(&self, number: usize) -> Result<(), Failure> {
        let began = Instant::now();
        let server = format!("nodes,{},", NAMES[number]);
        while began.elapsed() < SEEN_TIMEOUT {
            let mut socket = UnixStream::connect(&self.socket).await?;
            socket.write_all(b"show stat\n").await?;
            let mut told = String::new();
            socket.read_to_string(&mut told).await?;
            let up = told.lines().find(|line| line.starts_with(&server));
            if up.is_some_and(|line| line.split(',').any(|field| field == "UP")) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(format!(
            "HAProxy sends nothing to {} after {SEEN_TIMEOUT:?}",
            NAMES[number]
        )
        .into())
    }
}

fn configuration(address: SocketAddr, nodes: &[SocketAddr]) -> String {
    let lines = CONFIGURATION
        .lines()
        .filter(|line| !line.trim_start().starts_with("server "));
    let mut text: String = lines
        .map(|line| line.replace("127.0.0.1:8080", &address.to_string()) + "\n")
        .collect();
    for (name, node) in NAMES.iter().zip(nodes) {
        text.push_str(&format!("    server {name} {node}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_differ_from_what_make_cluster_uses() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));

        let same = configuration(address(8080), &[8081, 8082, 8083].map(address));

        assert_eq!(same.trim_end(), CONFIGURATION.trim_end());
    }
}
