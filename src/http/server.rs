//! Listeners: accept connections within their limits, sweep them, drain them.
//!
//! Drain: report "not ready" and end each answer with `Connection: close` → keep the door open for the load
//! balancer's sake → refuse connections → close idle ones, GOAWAY → wait for open requests → cut what is left. The listener of metrics and
//! health stays until the end, so that "not ready" can be seen.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_entities::Takes;
use lyceum_runtime::Pace;
use lyceum_runtime::metrics::{Counter, Gauge};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::connection::{Link, Protocols};
use super::guard::Revocations;
use super::health::Lifecycle;
use super::limits::Limits;
use super::meters::{HTTP_CONNECTIONS, HTTP_SERVER_SHED_TOTAL};
use super::pulse::{Clock, Order, Patience};
use super::registry::{Census, Full, Registry};
use super::route::{Route, RouteError, Routes};
use super::service::Edge;
use super::settings::HttpSettings;
use super::steering::Steering;
use super::token::Tokens;

/// How often connections are looked at; their limits are seconds.
const SWEEP: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// First pause after a failed accept; it doubles up to a second. Mostly file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections to the operators' listener: probes, a scraper, a few people.
const OPERATIONS_CONNECTIONS_MAX: usize = 256;
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// `http.operations_listen` is not an address.
    #[error("http.operations_listen is not an address")]
    Address(#[from] std::net::AddrParseError),
    /// The routes contradict each other.
    #[error(transparent)]
    Routes(#[from] RouteError),
}

/// What a server is made of, beside its settings.
pub struct Parts<A> {
    /// What handlers reach.
    pub api: Arc<A>,
    /// The routes of the API.
    pub routes: Vec<Route<A>>,
    /// The routes of metrics, health and operators; on the API's listener unless they have their own.
    pub operations: Vec<Route<A>>,
    /// Verifies access tokens.
    pub tokens: Arc<Tokens>,
    /// Knows which sessions were revoked.
    pub revocations: Arc<dyn Revocations>,
    /// Told when the server drains.
    pub lifecycle: Arc<Lifecycle>,
    /// Tells how fast entities answer.
    pub pace: Arc<Pace>,
}

/// A running server.
pub struct Server {
    api: Listener,
    operations: Option<Listener>,
    sweeper: JoinHandle<()>,
    limits: Arc<Limits>,
    lifecycle: Arc<Lifecycle>,
    drain_notice: Duration,
    drain_timeout: Duration,
}

struct Listener {
    address: SocketAddr,
    registry: Arc<Registry>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens and serves until it is drained or dropped.
    ///
    /// # Errors
    /// When an address is taken or the routes contradict each other.
    pub fn start<A: Send + Sync + 'static>(
        parts: Parts<A>,
        settings: &HttpSettings,
    ) -> Result<Self, ServerError> {
        let edge = Arc::new(Edge::new(
            parts.api,
            settings,
            parts.tokens,
            parts.revocations,
            parts.lifecycle.clone(),
        ));
        let limits = edge.limits.clone();
        let clock = Arc::new(Clock::new());
        let protocols = Protocols::new(settings);

        let mut routes = parts.routes;
        let mut operations_routes = None;
        if settings.operations_listen.is_empty() {
            routes.extend(parts.operations);
        } else {
            operations_routes = Some(parts.operations);
        }
        let open = |address: SocketAddr, routes, registry: Arc<Registry>| -> Result<Listener, ServerError> {
            let acceptor = Acceptor {
                listener: listen(address).map_err(|error| ServerError::Listen(address, error))?,
                registry: registry.clone(),
                clock: clock.clone(),
                protocols: protocols.clone(),
                edge: edge.clone(),
                routes: Arc::new(Routes::new(routes)?),
                refused: [Full::Connections, Full::Address].map(refusals),
            };
            let address = acceptor.listener.local_addr().unwrap_or(address);
            Ok(Listener {
                address,
                registry,
                accepting: tokio::spawn(acceptor.run()),
            })
        };
        let registry = Registry::new(settings.connections_max, settings.connections_per_address_max);
        let api = open(settings.listen, routes, registry)?;
        let operations = match operations_routes {
            None => None,
            Some(routes) => {
                let registry = Registry::new(OPERATIONS_CONNECTIONS_MAX, OPERATIONS_CONNECTIONS_MAX);
                Some(open(settings.operations_listen.parse()?, routes, registry)?)
            }
        };

        let patience = Patience {
            header: *settings.header_timeout_ms,
            idle: *settings.idle_timeout_ms,
            write: *settings.write_timeout_ms,
        };
        let registries = std::iter::once(&api)
            .chain(&operations)
            .map(|listener| listener.registry.clone())
            .collect();
        let steering = Steering::new(settings.in_flight, parts.pace, SWEEP, Instant::now());
        let sweeper = tokio::spawn(sweep(edge, clock, steering, registries, patience));
        Ok(Server {
            api,
            operations,
            sweeper,
            limits,
            lifecycle: parts.lifecycle,
            drain_notice: *settings.drain_notice_ms,
            drain_timeout: *settings.drain_timeout_ms,
        })
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.api.address
    }

    /// Where metrics, health and operators are served.
    pub fn operations_address(&self) -> SocketAddr {
        self.operations
            .as_ref()
            .map_or(self.api.address, |listener| listener.address)
    }

    /// The rate limits, to be shared with the other nodes.
    pub fn limits(&self) -> Arc<dyn Takes> {
        self.limits.clone()
    }

    /// Reports "not ready" and serves on for a while, so that a load balancer can look away first.
    pub async fn announce(&self) {
        self.lifecycle.drain();
        if !self.drain_notice.is_zero() {
            tokio::time::sleep(self.drain_notice).await;
        }
    }

    /// Finishes open requests and takes no new ones; answers how many connections had to be cut.
    pub async fn drain(self) -> usize {
        self.announce().await;
        let timeout = self.drain_timeout;
        self.close(timeout).await
    }

    /// Like [`Server::drain`], without notice and within `timeout`.
    pub async fn close(mut self, timeout: Duration) -> usize {
        self.lifecycle.drain();
        let cut = self.api.drain(timeout).await;
        if let Some(operations) = &mut self.operations {
            operations.drain(Duration::from_secs(1).min(timeout)).await;
        }
        cut
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for listener in std::iter::once(&self.api).chain(&self.operations) {
            listener.accepting.abort();
            listener.registry.tell_all(Order::Cut);
        }
        self.sweeper.abort();
    }
}

impl Listener {
    async fn drain(&mut self, timeout: Duration) -> usize {
        self.accepting.abort();
        // The socket closes when the task has ended; its outcome, "aborted", says nothing.
        let _ = (&mut self.accepting).await;
        let open = self.registry.tell_all(Order::Drain);
        tracing::info!(connections = open, "http drains");
        if tokio::time::timeout(timeout, self.registry.emptied())
            .await
            .is_ok()
        {
            return 0;
        }
        let cut = self.registry.tell_all(Order::Cut);
        tracing::warn!(connections = cut, "http connections cut at the end of the drain");
        cut
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart must not wait for the old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn refusals(full: Full) -> Counter {
    let reason = match full {
        Full::Connections => "connections",
        Full::Address => "connections_per_address",
    };
    HTTP_SERVER_SHED_TOTAL.with([reason, "any"])
}

/// Accepts the connections of one listener.
struct Acceptor<A> {
    listener: TcpListener,
    registry: Arc<Registry>,
    clock: Arc<Clock>,
    protocols: Protocols,
    edge: Arc<Edge<A>>,
    routes: Arc<Routes<A>>,
    refused: [Counter; 2],
}

impl<A: Send + Sync + 'static> Acceptor<A> {
    async fn run(self) {
        let mut pause = ACCEPT_PAUSE;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE;
                    self.take(stream, peer);
                }
                // The client was gone before we looked.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(error = %error, "accept failed");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        let (seat, pulse) = match self.registry.admit(peer.ip(), &self.clock) {
            Ok(place) => place,
            Err(full) => {
                self.refused[usize::from(full == Full::Address)].increment();
                // A courtesy to HTTP/1.1 clients; whoever does not take it at once goes without.
                let _ = stream.into_std().and_then(|mut stream| stream.write(FULL));
                return;
            }
        };
        // Answers are written whole, so waiting for more to send would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let link = Link {
            edge: self.edge.clone(),
            routes: self.routes.clone(),
            pulse,
            address: peer.ip(),
        };
        let protocols = self.protocols.clone();
        tokio::spawn(async move {
            protocols.serve(stream, Arc::new(link)).await;
            drop(seat);
        });
    }
}

/// Looks at all connections and at the scheduler, for as long as the server lives.
async fn sweep<A>(
    edge: Arc<Edge<A>>,
    clock: Arc<Clock>,
    mut steering: Steering,
    registries: Vec<Arc<Registry>>,
    patience: Patience,
) {
    let connections = connection_gauges();
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        steering.tick(&edge.admission, Instant::now());
        clock.advance();

        let mut census = Census::default();
        for registry in &registries {
            let counted = registry.sweep(&patience);
            for (total, count) in census.iter_mut().flatten().zip(counted.into_iter().flatten()) {
                *total += count;
            }
        }
        for (gauge, count) in connections.iter().zip(census.into_iter().flatten()) {
            gauge.set(count);
        }
    }
}

fn connection_gauges() -> Vec<Gauge> {
    let mut gauges = Vec::new();
    for proto in ["unknown", "http1", "http2"] {
        for state in ["idle", "active"] {
            gauges.push(HTTP_CONNECTIONS.with([proto, state]));
        }
    }
    gauges
}

#[cfg(test)]
mod tests;
