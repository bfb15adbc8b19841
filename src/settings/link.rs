//! Settings of the link between nodes.

use std::net::SocketAddr;
use std::time::Duration;

use lyceum_runtime::link::{LinkSettings, TlsFiles};
use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Secret};

/// How this node speaks with the others of its cluster.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Address it listens on; empty for a node without others.
    pub listen: String,
    /// Address at which the others reach it; empty for the one it listens on.
    pub advertise: String,
    /// What every node of the cluster knows, and nobody else.
    pub secret: Secret,
    /// This node's certificate; empty for a link without TLS.
    pub tls_cert: String,
    /// Its private key.
    pub tls_key: String,
    /// The certificate of the authority that signs those of all nodes.
    pub tls_ca: String,
    /// The name that all certificates bear.
    pub tls_name: String,
    /// Pause between two pings.
    pub ping_interval_ms: Millis,
    /// Silence after which a pipe is ended.
    pub ping_timeout_ms: Millis,
    /// Requests under way to one node.
    pub in_flight_max: usize,
    /// Longest wait for a connection and its handshake.
    pub connect_timeout_ms: Millis,
    /// First pause before another attempt; it doubles.
    pub reconnect_min_ms: Millis,
    /// Longest pause before another attempt.
    pub reconnect_max_ms: Millis,
    /// Bytes of one frame.
    pub frame_bytes_max: usize,
    /// Bytes of one message, which may take several frames.
    pub message_bytes_max: usize,
    /// Bytes waiting to be written to one node.
    pub queue_bytes_max: usize,
    /// Pipes from other nodes.
    pub pipes_max: usize,
}

impl Link {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        const MIB: usize = 1024 * 1024;
        checks.range("link.in_flight_max", self.in_flight_max, 1..=65_536);
        checks.range("link.frame_bytes_max", self.frame_bytes_max, 4096..=16 * MIB);
        checks.range(
            "link.message_bytes_max",
            self.message_bytes_max,
            self.frame_bytes_max..=64 * MIB,
        );
        checks.range("link.queue_bytes_max", self.queue_bytes_max, 65_536..=1024 * MIB);
        checks.range("link.pipes_max", self.pipes_max, 1..=10_000);
        checks.duration(
            "link.connect_timeout_ms",
            *self.connect_timeout_ms,
            Duration::from_millis(10)..=Duration::from_secs(30),
        );
        checks.duration(
            "link.ping_interval_ms",
            *self.ping_interval_ms,
            Duration::from_millis(10)..=Duration::from_secs(10),
        );
        checks.duration(
            "link.ping_timeout_ms",
            *self.ping_timeout_ms,
            // One ping may be late.
            *self.ping_interval_ms * 2..=Duration::from_mins(1),
        );
        checks.duration(
            "link.reconnect_min_ms",
            *self.reconnect_min_ms,
            Duration::from_millis(1)..=*self.reconnect_max_ms,
        );
        if !self.listen.is_empty() {
            self.check_addresses(checks);
        }
    }

    fn check_addresses(&self, checks: &mut Checks<'_>) {
        match self.listen.parse::<SocketAddr>() {
            Err(_) => checks.refuse(
                "link.listen",
                format!("`{}` is not an address and port", self.listen),
            ),
            Ok(listen) if listen.ip().is_unspecified() && self.advertise.is_empty() => checks.refuse(
                "link.advertise",
                "has no value, and other nodes cannot be told to reach this one at every address",
            ),
            Ok(_) => {}
        }
        let files = [&self.tls_cert, &self.tls_key, &self.tls_ca];
        if files.iter().all(|file| file.is_empty()) {
            checks.secret("link.secret", &self.secret, 16);
        } else if files.iter().any(|file| file.is_empty()) {
            checks.refuse(
                "link.tls_cert",
                "TLS needs link.tls_cert, link.tls_key and link.tls_ca, or none of them",
            );
        }
    }

    /// What the link is started with, if this node has one.
    pub(super) fn link(&self) -> Option<LinkSettings> {
        // An address that cannot be read was refused before.
        let listen = self.listen.parse().ok()?;
        let tls = (!self.tls_cert.is_empty()).then(|| TlsFiles {
            cert: self.tls_cert.clone().into(),
            key: self.tls_key.clone().into(),
            ca: self.tls_ca.clone().into(),
            name: self.tls_name.clone(),
        });
        Some(LinkSettings {
            listen,
            advertise: self.advertise.clone(),
            secret: self.secret.expose().into(),
            tls,
            ping_interval: *self.ping_interval_ms,
            ping_timeout: *self.ping_timeout_ms,
            in_flight_max: self.in_flight_max,
            connect_timeout: *self.connect_timeout_ms,
            reconnect_min: *self.reconnect_min_ms,
            reconnect_max: *self.reconnect_max_ms,
            frame_bytes_max: self.frame_bytes_max,
            message_bytes_max: self.message_bytes_max,
            queue_bytes_max: self.queue_bytes_max,
            pipes_max: self.pipes_max,
        })
    }
}
