//! The link: how the nodes of a cluster ask one another.
//!
//! ```text
//! Region (a shard that another node serves) → PeerTransport::call → Peer → Pipe ══ TCP ══ Server → Regions → Region
//! ```
//!
//! One pipe for each ordered pair of nodes carries all requests of one to the other, told apart by an id, and their answers
//! back: length-delimited frames over TCP, under TLS if certificates are set. Both sides make sure of each
//! other by a handshake first. Per pipe there is a bound on requests under way, on both sides, and on bytes waiting; the
//! caller pings, and either side ends a pipe that is silent for too long.
//!
//! Outcomes are told apart: what was never sent is [`Lost::Rejected`] and can be sent again; what may have been sent and is
//! not answered is [`Lost::Unknown`]. A request carries the time that is left to its asker, and is not begun after it; what
//! a node finds in a pipe after it stood still for longer than the pings allow is not begun at all.
//!
//! Invariant: a node never passes a request of another node on; if it does not serve the shard, it says who does.

mod frame;
mod handshake;
mod notice;
mod outgoing;
mod peer;
mod pipe;
mod regions;
mod server;
mod tls;
mod transport;
mod wire;

use std::collections::hash_map::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use self::handshake::Identity;
use self::notice::Listener;
pub use self::notice::{Hot, Notice, Notices, NotifyError};
use self::peer::{Caller, Peer};
pub(crate) use self::pipe::End;
pub use self::regions::{Incoming, Regions, Responder, Served};
use self::server::Server;
use self::tls::Tls;
pub use self::tls::{TlsError, TlsFiles};
pub use self::transport::{Alone, Answer, Call, Header, Lost, PeerTransport, Status};
pub(crate) use self::wire::{Asked, Heard, Moved};
use crate::meters::LinkMetrics;
use crate::ownership::Owner;

/// Peers remembered before those that are away are forgotten.
const PEERS_KEPT: usize = 64;

/// How a node speaks with others; each bound a setting.
#[derive(Clone)]
pub struct LinkSettings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where others reach it, `host:port`; empty for where it listens.
    pub advertise: String,
    /// What every node of the cluster knows, and nobody else.
    pub secret: Vec<u8>,
    /// Certificates, if TLS is spoken.
    pub tls: Option<TlsFiles>,
    /// Between two pings of a pipe.
    pub ping_interval: Duration,
    /// Silence after which a pipe is ended.
    pub ping_timeout: Duration,
    /// Requests under way over one pipe, at most, and such that wait for it to open.
    pub in_flight_max: usize,
    /// For a connection, TLS and the handshake.
    pub connect_timeout: Duration,
    /// Before a second attempt to open a pipe; it doubles.
    pub reconnect_min: Duration,
    /// Between attempts, at most.
    pub reconnect_max: Duration,
    /// Bytes of a frame.
    pub frame_bytes_max: usize,
    /// Bytes of a message, which may take several frames.
    pub message_bytes_max: usize,
    /// Bytes that wait to be written to one pipe before requests are refused.
    pub queue_bytes_max: usize,
    /// Pipes from other nodes.
    pub pipes_max: usize,
}

impl std::fmt::Debug for LinkSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tls = self.tls.is_some();
        formatter
            .debug_struct("LinkSettings")
            .field("listen", &self.listen)
            .field("tls", &tls)
            .finish_non_exhaustive()
    }
}

impl Default for LinkSettings {
    fn default() -> Self {
        LinkSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: String::new(),
            secret: Vec::new(),
            tls: None,
            ping_interval: Duration::from_millis(200),
            ping_timeout: Duration::from_millis(1000),
            in_flight_max: 4096,
            connect_timeout: Duration::from_millis(500),
            reconnect_min: Duration::from_millis(20),
            reconnect_max: Duration::from_secs(1),
            frame_bytes_max: 1024 * 1024,
            message_bytes_max: 4 * 1024 * 1024,
            queue_bytes_max: 8 * 1024 * 1024,
            pipes_max: 256,
        }
    }
}

impl LinkSettings {
    fn limits(&self) -> frame::Limits {
        frame::Limits {
            frame_max: self.frame_bytes_max,
            message_max: self.message_bytes_max,
        }
    }
}

/// Why the link did not start.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is taken.
    #[error("link.listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The certificates cannot be used.
    #[error("link.tls: {0}")]
    Tls(#[from] TlsError),
}

/// A node's link to all others: what it asks of them, and what they ask of it.
pub struct Link {
    caller: Arc<Caller>,
    server: Arc<Server>,
    peers: papaya::HashMap<Uuid, Arc<Peer>>,
    address: SocketAddr,
    notices: Arc<Listener>,
    stop: watch::Sender<bool>,
}

impl Link {
    /// Listens, and answers for `regions`.
    ///
    /// # Errors
    /// The address is taken, or the certificates cannot be used.
    pub async fn start(
        settings: LinkSettings,
        incarnation: Uuid,
        regions: Arc<Regions>,
    ) -> Result<Arc<Self>, LinkError> {
        let tls = settings.tls.as_ref().map(Tls::read).transpose()?;
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let notices = Arc::new(Listener::new());
        let caller = Arc::new(Caller {
            identity: Identity {
                incarnation,
                secret: settings.secret.clone(),
                in_flight_max: settings.in_flight_max,
            },
            tls,
            metrics: LinkMetrics::new(),
            stopped,
            settings,
        });
        let server = Arc::new(Server::new(caller.clone(), regions, notices.clone()));
        tokio::spawn(server.clone().listen(listener));
        Ok(Arc::new(Link {
            caller,
            server,
            peers: papaya::HashMap::with_hasher(RandomState::new()),
            address,
            notices,
            stop,
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where others reach it: what goes into [`Owner::link`].
    pub fn advertised(&self) -> Arc<str> {
        match self.caller.settings.advertise.as_str() {
            "" => self.address.to_string().into(),
            advertise => advertise.into(),
        }
    }

    /// Hands notices to `notices` from now on; the first to say so stays.
    pub fn hear(&self, notices: Arc<dyn Notices>) {
        let _ = self.notices.set(notices);
    }

    /// Tells the keeper of the node that `owner` names something, and waits until it is done.
    ///
    /// # Errors
    /// It is not done, or nobody knows whether it is.
    pub async fn notify(&self, owner: &Owner, notice: Notice, deadline: Instant) -> Result<(), NotifyError> {
        let payload = serde_json::to_vec(&notice).expect("ids and numbers can be written");
        let pipe = self.peer(owner).pipe(&self.caller, deadline).await?;
        let head = |id| wire::notice(id, deadline.saturating_duration_since(Instant::now()));
        let answer = pipe.ask(frame::NOTICE, head, &payload, deadline).await?;
        match answer.status {
            Status::Done => Ok(()),
            Status::Refused => Err(NotifyError::Declined(
                String::from_utf8_lossy(&answer.payload).into_owned(),
            )),
            Status::Unreadable => Err(NotifyError::Unreadable),
            Status::Failed | Status::Unknown => Err(NotifyError::Lost(Lost::Unknown)),
            Status::Unavailable
            | Status::Overloaded
            | Status::Expired
            | Status::NotOwner
            | Status::Quarantined
            | Status::KeyReused
            | Status::Moved => Err(NotifyError::Busy),
        }
    }

    /// Whether the pipe to another node broke, or could not be opened, and is not open again.
    pub fn suspects(&self, incarnation: Uuid) -> bool {
        self.peers
            .pin()
            .get(&incarnation)
            .is_some_and(|peer| peer.rests())
    }

    /// Lets other nodes know that nothing more is taken, and answers what they have sent, at most for `budget`. Returns
    /// whether all was answered. What this node asks of others goes on.
    pub async fn drain(&self, budget: Duration) -> bool {
        self.server.goodbye(budget).await
    }

    /// Ends every pipe and takes no new one.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn peer(&self, owner: &Owner) -> Arc<Peer> {
        let peers = self.peers.pin();
        if let Some(peer) = peers.get(&owner.incarnation) {
            return peer.clone();
        }
        if peers.len() >= PEERS_KEPT {
            // Whoever is still wanted is met again.
            peers.retain(|_, peer| !peer.away());
        }
        let peer = || Arc::new(Peer::new(owner.incarnation, owner.link.clone(), &self.caller));
        peers.get_or_insert_with(owner.incarnation, peer).clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop();
    }
}

impl PeerTransport for Link {
    fn call<'a>(&'a self, owner: &'a Owner, call: Call) -> BoxFuture<'a, Result<Answer, Lost>> {
        let peer = self.peer(owner);
        Box::pin(async move {
            let began = Instant::now();
            if call.deadline <= began {
                return self.caller.metrics.lost(Lost::Expired);
            }
            let asked = async {
                let pipe = peer.pipe(&self.caller, call.deadline).await?;
                // Of which the way to the peer may have taken its part.
                let left = || call.deadline.saturating_duration_since(Instant::now());
                let head = |id| wire::request(id, &call.header, left());
                pipe.ask(frame::REQUEST, head, &call.payload, call.deadline).await
            };
            match asked.await {
                Ok(answer) => {
                    self.caller.metrics.answered(answer.status, began.elapsed());
                    Ok(answer)
                }
                Err(lost) => self.caller.metrics.lost(lost),
            }
        })
    }
}
