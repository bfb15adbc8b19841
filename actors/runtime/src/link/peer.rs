//! One other node as this one calls it: at most one pipe, opened when it is wanted.
//!
//! `Idle → Opening → Open → Idle`, and after a failed attempt `Resting` for a while that doubles, with jitter. Who asks
//! while the pipe opens waits for that, within the deadline and a bound; who asks while it rests is refused at once, so a
//! node that is gone costs nobody more than an attempt now and then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::LinkSettings;
use super::handshake::{self, HandshakeError, Identity, jitter};
use super::pipe::{End, Pipe};
use super::tls::Tls;
use super::transport::Lost;
use crate::meters::LinkMetrics;

/// A pipe that lasted so long was a good one: the next attempt need not wait.
const LASTING: Duration = Duration::from_secs(1);

/// What every peer of a node shares.
pub(super) struct Caller {
    pub(super) settings: LinkSettings,
    pub(super) identity: Identity,
    pub(super) tls: Option<Tls>,
    pub(super) metrics: LinkMetrics,
    pub(super) stopped: watch::Receiver<bool>,
}

/// One other node.
pub(super) struct Peer {
    incarnation: Uuid,
    address: Arc<str>,
    state: Mutex<State>,
    changed: Notify,
    /// Requests that wait for the pipe to open.
    waiting: AtomicUsize,
}

enum State {
    Idle { backoff: Duration },
    Opening,
    Open(Arc<Pipe>),
    Resting { until: Instant, backoff: Duration },
}

/// One of the requests that wait for the pipe to open.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    pub(super) fn new(incarnation: Uuid, address: Arc<str>, caller: &Caller) -> Self {
        Peer {
            incarnation,
            address,
            state: Mutex::new(State::Idle {
                backoff: caller.settings.reconnect_min,
            }),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether nothing is open or about to be.
    pub(super) fn away(&self) -> bool {
        matches!(*self.state(), State::Idle { .. } | State::Resting { .. })
    }

    /// Whether it was not reached when it was tried last, and is not tried again yet.
    pub(super) fn rests(&self) -> bool {
        matches!(*self.state(), State::Resting { until, .. } if Instant::now() < until)
    }

    /// The open pipe; opens one if need be.
    pub(super) async fn pipe(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        deadline: Instant,
    ) -> Result<Arc<Pipe>, Lost> {
        if let State::Open(pipe) = &*self.state()
            && pipe.usable()
        {
            return Ok(pipe.clone());
        }
        let _waits = Waits(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= caller.settings.in_flight_max {
            return Err(Lost::Overloaded);
        }
        let opened = async {
            let mut attempted = false;
            loop {
                let changed = self.changed.notified();
                if let Some(found) = self.look(caller, attempted) {
                    return found;
                }
                attempted = true;
                changed.await;
            }
        };
        match tokio::time::timeout_at(deadline.into(), opened).await {
            Ok(opened) => opened,
            Err(_) => Err(Lost::Expired),
        }
    }

    /// What is to be had now; nothing while the pipe opens.
    fn look(self: &Arc<Self>, caller: &Arc<Caller>, attempted: bool) -> Option<Result<Arc<Pipe>, Lost>> {
        let mut state = self.state();
        let backoff = match &*state {
            State::Open(pipe) if pipe.usable() => return Some(Ok(pipe.clone())),
            // It has said goodbye, and has not gone yet.
            State::Open(_) => return Some(Err(Lost::Rejected)),
            State::Opening => return None,
            State::Resting { until, .. } if attempted || Instant::now() < *until => {
                return Some(Err(Lost::Rejected));
            }
            State::Idle { backoff } | State::Resting { backoff, .. } => *backoff,
        };
        *state = State::Opening;
        tokio::spawn(self.clone().live(caller.clone(), backoff));
        None
    }

    /// Opens a pipe and keeps it until it ends.
    async fn live(self: Arc<Self>, caller: Arc<Caller>, backoff: Duration) {
        // Whatever becomes of this task, nobody waits for it for ever.
        let mut rests = Rests {
            peer: &self,
            backoff,
            shortest: caller.settings.reconnect_min,
            longest: caller.settings.reconnect_max,
        };
        let mut stopped = caller.stopped.clone();
        let (mut reader, mut writer, pipe) = tokio::select! {
            opened = self.open(&caller) => match opened {
                Ok(opened) => opened,
                Err(error) => {
                    caller.metrics.unreachable.increment();
                    tracing::warn!(peer = %self.incarnation, address = %self.address, %error, "no pipe to a peer");
                    return;
                }
            },
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let opened = Instant::now();
        let open = caller.metrics.outbound.rise();
        *self.state() = State::Open(pipe.clone());
        self.changed.notify_waiters();
        let settings = &caller.settings;
        let end = tokio::select! {
            end = pipe.run(&mut reader, &mut writer, settings.limits(), settings.ping_interval, settings.ping_timeout) => end,
            _ = stopped.wait_for(|stopped| *stopped) => End::Stopped,
        };
        drop(open);
        caller.metrics.ended(&end);
        tracing::info!(peer = %self.incarnation, address = %self.address, %end, "pipe to a peer has ended");
        if opened.elapsed() >= LASTING {
            rests.backoff = Duration::ZERO;
        }
    }

    async fn open(
        &self,
        caller: &Caller,
    ) -> Result<
        (
            Box<dyn AsyncRead + Send + Unpin>,
            Box<dyn AsyncWrite + Send + Unpin>,
            Arc<Pipe>,
        ),
        HandshakeError,
    > {
        let settings = &caller.settings;
        let opened = async {
            let stream = TcpStream::connect(&*self.address).await?;
            stream.set_nodelay(true)?;
            let (reader, writer, met) = match &caller.tls {
                None => {
                    let mut stream = stream;
                    let met = handshake::call(&mut stream, &caller.identity, self.incarnation).await?;
                    let (reader, writer) = stream.into_split();
                    (Box::new(reader) as Box<_>, Box::new(writer) as Box<_>, met)
                }
                Some(tls) => {
                    let mut stream = tls.connect(stream).await?;
                    let met = handshake::call(&mut stream, &caller.identity, self.incarnation).await?;
                    let (reader, writer) = tokio::io::split(stream);
                    (Box::new(reader) as Box<_>, Box::new(writer) as Box<_>, met)
                }
            };
            let in_flight_max = settings.in_flight_max.min(met.in_flight_max);
            let pipe = Pipe::new(settings.limits(), settings.queue_bytes_max, in_flight_max);
            Ok((reader, writer, Arc::new(pipe)))
        };
        match tokio::time::timeout(settings.connect_timeout, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a peer rest when its pipe has ended or could not be opened.
struct Rests<'a> {
    peer: &'a Peer,
    /// Zero if the next attempt may come at once.
    backoff: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Drop for Rests<'_> {
    fn drop(&mut self) {
        let backoff = self.backoff.min(self.longest);
        *self.peer.state() = State::Resting {
            until: Instant::now() + jitter(backoff),
            backoff: (backoff * 2).max(self.shortest).min(self.longest),
        };
        self.peer.changed.notify_waiters();
    }
}
