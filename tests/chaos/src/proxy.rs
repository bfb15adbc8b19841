//! A TCP proxy that misbehaves as a network does: late, slow, silent, in slices, or with a reset.
//!
//! Flow: a client connects → the proxy connects upstream → two lanes (up: towards upstream, down: towards the client) carry
//! bytes, each obeying its own [`Lane`]. [`Proxy::set`] changes everything at run time, for open connections as well.
//! Invariants: bytes are never reordered, changed or lost unless the connection ends; a silent lane reads nothing, so
//! its sender is stopped by TCP and memory stays within `IN_FLIGHT_CHUNKS` × `CHUNK_BYTES` a lane; connections beyond
//! `CONNECTIONS_MAX` are reset.

pub mod control;
mod lane;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections at once.
const CONNECTIONS_MAX: usize = 4096;
/// Bytes read at once, and the unit of what is under way.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks of one lane that may be late at once; with 16 KiB each that is 1 MiB.
const IN_FLIGHT_CHUNKS: usize = 64;
/// Whoever is upstream is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// First pause after a failed accept: file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// How late each byte is.
    pub latency: Duration,
    /// By how much the latency varies upwards; bytes never overtake one another.
    pub jitter: Duration,
    /// Bytes written at once; `None` writes what came.
    pub slice_bytes: Option<usize>,
    /// Bytes a second; `None` is as fast as it goes.
    pub bytes_per_second: Option<u32>,
    /// Whether nothing is carried at all, as when packets are dropped; what was sent arrives when it ends.
    pub silent: bool,
}

/// What happens to all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From clients towards upstream.
    pub up: Lane,
    /// From upstream towards clients.
    pub down: Lane,
    /// Whether every connection, open or new, is answered with a TCP reset.
    pub reset: bool,
}

impl Faults {
    /// A network partition: connections are accepted, nothing passes.
    #[must_use]
    pub fn partition() -> Self {
        let silent = Lane {
            silent: true,
            ..Lane::default()
        };
        Faults {
            up: silent,
            down: silent,
            reset: false,
        }
    }

    /// Whether a new connection reaches upstream.
    fn connects(&self) -> bool {
        !self.up.silent
    }
}

/// A running proxy; it ends, and its connections are cut, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    faults: Arc<watch::Sender<Faults>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on `listen` (port 0 takes a free one) and carries to `upstream`, faultlessly at first.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(listen: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (faults, watching) = watch::channel(Faults::default());
        let accepting = tokio::spawn(accept(listener, upstream, watching));
        Ok(Proxy {
            address,
            faults: Arc::new(faults),
            accepting,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens from now on.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// What happens at present.
    #[must_use]
    pub fn faults(&self) -> Faults {
        *self.faults.borrow()
    }

    fn switch(&self) -> Arc<watch::Sender<Faults>> {
        self.faults.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections live in a set that ends with this task.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, faults: watch::Receiver<Faults>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Collects those that have ended, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            reset(&client);
            continue;
        };
        let faults = faults.clone();
        connections.spawn(async move {
            // How a connection ends is between the two that it connects.
            let _ = carry(client, upstream, faults).await;
            drop(seat);
        });
    }
}

/// Makes the end of this connection a reset.
fn reset(stream: &TcpStream) {
    // It may be gone already, which is as good.
    let _ = stream.set_zero_linger();
}

async fn carry(client: TcpStream, upstream: SocketAddr, faults: watch::Receiver<Faults>) -> io::Result<()> {
    let mut resets = faults.clone();
    let mut opens = faults.clone();
    let open = async {
        // Accepted and not connected: all that one sees who knocks at a partition.
        if opens.wait_for(Faults::connects).await.is_err() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        timeout(CONNECT_TIMEOUT, TcpStream::connect(upstream)).await?
    };
    let server = tokio::select! {
        server = open => server,
        _ = resets.wait_for(|faults| faults.reset) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            reset(&client);
            return Err(error);
        }
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = tokio::select! {
        ended = lane::both(&client, &server, &faults) => ended,
        _ = resets.wait_for(|faults| faults.reset) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    if ended.is_err() {
        // An end that was no end of file must not look like one.
        reset(&client);
        reset(&server);
    }
    ended
}

#[cfg(test)]
mod tests;
