//! The called side: takes connections, makes sure who calls, and hands requests to the regions.
//!
//! A request costs no task: it goes from the reading loop into its entity's mailbox, and the answer from the entity's
//! commit into the queue of the pipe. One caller has one pipe; its next one ends the last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::frame::{self, Inflow};
use super::handshake::{self, HandshakeError};
use super::notice::{Listener, Notice};
use super::outgoing::{Outgoing, Unqueued};
use super::peer::Caller;
use super::pipe::End;
use super::regions::{Incoming, Regions};
use super::wire::{self, Status};
use crate::seldom::{Seldom, brief};

/// How long a listener that cannot accept rests: out of file descriptors, usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
static REFUSED: Seldom = Seldom::new();

/// What all connections of the called side share.
pub(super) struct Server {
    /// Settings and identity are the same on both sides.
    pub(super) caller: Arc<Caller>,
    pub(super) regions: Arc<Regions>,
    pub(super) notices: Arc<Listener>,
    inbounds: Mutex<HashMap<Uuid, Arc<Inbound>>>,
}

/// The called side of one connection.
pub(super) struct Inbound {
    outgoing: Outgoing,
    in_flight: AtomicUsize,
    /// Its caller has opened another one.
    replaced: Notify,
}

/// The promise to answer one request over the pipe it came by.
pub struct Responder {
    inbound: Arc<Inbound>,
    id: u64,
    answered: bool,
}

impl Responder {
    /// Answers with a status, for an entity, and with what belongs to the status.
    pub fn send(mut self, status: Status, entity: u128, payload: &[u8]) {
        self.answered = true;
        self.say(status, entity, payload);
    }

    fn say(&self, status: Status, entity: u128, payload: &[u8]) {
        let head = wire::answer(self.id, status, entity);
        if self.inbound.outgoing.say(frame::ANSWER, &head, payload) == Err(Unqueued::TooLarge) {
            tracing::error!(bytes = payload.len(), "an answer is longer than a message may be");
            let head = wire::answer(self.id, Status::Failed, entity);
            let _ = self.inbound.outgoing.say(frame::ANSWER, &head, &[]);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered {
            self.say(Status::Failed, 0, &[]);
        }
        self.inbound.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    pub(super) fn new(caller: Arc<Caller>, regions: Arc<Regions>, notices: Arc<Listener>) -> Self {
        Server {
            caller,
            regions,
            notices,
            inbounds: Mutex::default(),
        }
    }

    /// Accepts connections until the link is stopped.
    pub(super) async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut stopped = self.caller.stopped.clone();
        let places = Arc::new(Semaphore::new(self.caller.settings.pipes_max));
        let accept = async {
            loop {
                // Nobody closes the semaphore.
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, address)) => {
                        let server = self.clone();
                        tokio::spawn(async move {
                            server.connection(stream, address).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the link cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn connection(&self, stream: TcpStream, address: std::net::SocketAddr) {
        let mut stopped = self.caller.stopped.clone();
        let met = self.greet(stream);
        let met = tokio::time::timeout(self.caller.settings.connect_timeout, met).await;
        let (mut reader, mut writer, from) = match met {
            Ok(Ok(met)) => met,
            Ok(Err(error)) => {
                self.caller.metrics.refused.increment();
                if let Some(others) = REFUSED.pass() {
                    tracing::warn!(%address, error = brief(&error), others, "a caller is refused");
                }
                return;
            }
            Err(_) => {
                self.caller.metrics.refused.increment();
                if let Some(others) = REFUSED.pass() {
                    tracing::warn!(%address, others, "a caller took too long to say who it is");
                }
                return;
            }
        };
        let settings = &self.caller.settings;
        let inbound = Arc::new(Inbound {
            outgoing: Outgoing::new(settings.limits(), settings.queue_bytes_max),
            in_flight: AtomicUsize::new(0),
            replaced: Notify::new(),
        });
        if let Some(last) = self.inbounds().insert(from, inbound.clone()) {
            last.replaced.notify_one();
        }
        let open = self.caller.metrics.inbound.rise();
        let end = tokio::select! {
            end = self.read(&mut reader, &inbound, from) => end,
            written = inbound.outgoing.write(&mut writer) => written.err().map_or(End::Stopped, End::Io),
            () = inbound.replaced.notified() => End::Closed,
            _ = stopped.wait_for(|stopped| *stopped) => End::Stopped,
        };
        drop(open);
        inbound.outgoing.close();
        self.caller.metrics.ended(&end);
        tracing::info!(peer = %from, %end, "pipe from a peer has ended");
        let mut inbounds = self.inbounds();
        if inbounds
            .get(&from)
            .is_some_and(|found| Arc::ptr_eq(found, &inbound))
        {
            inbounds.remove(&from);
        }
    }

    async fn greet(
        &self,
        mut stream: TcpStream,
    ) -> Result<
        (
            Box<dyn AsyncRead + Send + Unpin>,
            Box<dyn AsyncWrite + Send + Unpin>,
            Uuid,
        ),
        HandshakeError,
    > {
        stream.set_nodelay(true)?;
        match &self.caller.tls {
            None => {
                let from = handshake::answer(&mut stream, &self.caller.identity).await?;
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer), from))
            }
            Some(tls) => {
                let mut stream = tls.accept(stream).await?;
                let from = handshake::answer(&mut stream, &self.caller.identity).await?;
                let (reader, writer) = tokio::io::split(stream);
                Ok((Box::new(reader), Box::new(writer), from))
            }
        }
    }

    async fn read(&self, reader: &mut (impl AsyncRead + Unpin), inbound: &Arc<Inbound>, from: Uuid) -> End {
        let settings = &self.caller.settings;
        let mut inflow = Inflow::new(settings.limits());
        let mut last = Instant::now();
        loop {
            if !inbound.outgoing.has_room(settings.ping_timeout).await {
                return End::Silent;
            }
            // A caller pings all the time, so one that is silent for so long is gone.
            let patience = settings.ping_timeout + settings.ping_interval;
            let now = match tokio::time::timeout(patience, inflow.fill(reader)).await {
                Ok(Ok(0)) => return End::Closed,
                Ok(Ok(_)) => Instant::now(),
                Ok(Err(error)) => return End::Io(error),
                Err(_) => return End::Silent,
            };
            // What is found after this node stood still has been given up by its caller: none of it is begun.
            if now.duration_since(last) > settings.ping_timeout {
                return End::Stale;
            }
            last = now;
            loop {
                // What is answered at once, and is long, is not asked for faster than it is fetched.
                if !inbound.outgoing.has_room(settings.ping_timeout).await {
                    return End::Silent;
                }
                let taken = match inflow.next() {
                    Ok(Some((kind, message))) => self.take(kind, &message, inbound, from, now),
                    Ok(None) => break,
                    Err(error) => return End::Frame(error),
                };
                if let Err(garbled) = taken {
                    return End::Garbled(garbled);
                }
            }
        }
    }

    fn take(
        &self,
        kind: u8,
        message: &Bytes,
        inbound: &Arc<Inbound>,
        from: Uuid,
        now: Instant,
    ) -> Result<(), wire::Garbled> {
        match kind {
            frame::REQUEST => {
                let wire::Request {
                    id,
                    budget,
                    header,
                    payload,
                } = wire::Request::read(message)?;
                let Some(responder) = self.admit(inbound, id) else {
                    return Ok(());
                };
                let incoming = Incoming {
                    header,
                    received: now,
                    deadline: now + budget,
                    payload,
                };
                match self.regions.find(header.kind) {
                    Some(region) => region.serve(incoming, responder),
                    None => responder.send(Status::Unreadable, header.entity, &[]),
                }
            }
            frame::NOTICE => {
                let (id, budget, payload) = wire::read_notice(message)?;
                if let Some(responder) = self.admit(inbound, id) {
                    self.hear(from, now + budget, &payload, responder);
                }
            }
            frame::PING => {
                // A pipe that is closing needs no pong.
                let _ = inbound.outgoing.say(frame::PONG, &[], &[]);
            }
            // Whatever a later version may add without expecting an answer.
            _ => {}
        }
        Ok(())
    }

    /// A place for one more request of this caller, which is refused if it has taken all.
    fn admit(&self, inbound: &Arc<Inbound>, id: u64) -> Option<Responder> {
        let responder = Responder {
            inbound: inbound.clone(),
            id,
            answered: false,
        };
        let before = inbound.in_flight.fetch_add(1, Ordering::AcqRel);
        if before >= self.caller.settings.in_flight_max {
            responder.send(Status::Overloaded, 0, &[]);
            return None;
        }
        Some(responder)
    }

    fn hear(&self, from: Uuid, deadline: Instant, payload: &Bytes, responder: Responder) {
        let Ok(notice) = serde_json::from_slice::<Notice>(payload) else {
            return responder.send(Status::Unreadable, 0, &[]);
        };
        if notice == Notice::Ping {
            return responder.send(Status::Done, 0, &[]);
        }
        let Some(notices) = self.notices.get() else {
            return responder.send(Status::Unavailable, 0, &[]);
        };
        let followed = notices.notice(from, notice);
        tokio::spawn(async move {
            match tokio::time::timeout_at(deadline.into(), followed).await {
                Ok(Ok(())) => responder.send(Status::Done, 0, &[]),
                Ok(Err(why)) => responder.send(Status::Refused, 0, why.as_bytes()),
                Err(_) => responder.send(Status::Expired, 0, &[]),
            }
        });
    }

    /// Tells every caller to send nothing more, and waits until what they have sent is answered, at most for `budget`.
    pub(super) async fn goodbye(&self, budget: Duration) -> bool {
        let inbounds: Vec<_> = self.inbounds().values().cloned().collect();
        for inbound in &inbounds {
            // One that is closed hears it anyway.
            let _ = inbound.outgoing.say(frame::GOODBYE, &[], &[]);
        }
        let ends = Instant::now() + budget;
        let busy = || {
            inbounds
                .iter()
                .any(|inbound| inbound.in_flight.load(Ordering::Acquire) > 0)
        };
        while busy() && Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        !busy()
    }

    fn inbounds(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Inbound>>> {
        self.inbounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
