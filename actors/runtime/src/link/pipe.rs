//! The calling side of one connection: requests by id, their answers, and the watch over the other side.
//!
//! Life: made when the handshake is done → asks and hears → leaving, when the other side says goodbye and what is under
//! way is still answered → closed. Closing ends every request that is under way: as [`Lost::Unknown`] if it may have been
//! sent, as [`Lost::Rejected`] if not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::frame::{self, Inflow, Limits};
use super::outgoing::{Outgoing, Unqueued};
use super::transport::Lost;
use super::wire::Answer;

/// Bits of an id that say where its request waits; the others count.
const SLOT_BITS: u32 = 16;
/// As many requests as those bits tell apart.
pub(super) const SLOTS_MAX: usize = 1 << SLOT_BITS;

type Told = oneshot::Sender<Result<Answer, Lost>>;

/// The calling side of one connection.
pub(super) struct Pipe {
    outgoing: Outgoing,
    waiting: Mutex<Waiting>,
    /// Whether anything came since the watch looked last.
    heard: AtomicBool,
}

/// Requests that have no answer.
struct Waiting {
    slots: Vec<Option<(u64, Told)>>,
    free: Vec<usize>,
    count: u64,
    in_flight_max: usize,
    leaving: bool,
    closed: bool,
}

/// Why a pipe has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("closed by the other side")]
    Closed,
    #[error("{0}")]
    Frame(#[from] frame::FrameError),
    #[error("{0}")]
    Garbled(#[from] super::wire::Garbled),
    #[error("silent for too long")]
    Silent,
    #[error("stopped for so long that the other side has given up")]
    Stale,
    #[error("stopped")]
    Stopped,
}

impl Pipe {
    pub(super) fn new(limits: Limits, queue_bytes_max: usize, in_flight_max: usize) -> Self {
        Pipe {
            outgoing: Outgoing::new(limits, queue_bytes_max),
            waiting: Mutex::new(Waiting {
                slots: Vec::new(),
                free: Vec::new(),
                count: 0,
                in_flight_max: in_flight_max.min(SLOTS_MAX),
                leaving: false,
                closed: false,
            }),
            heard: AtomicBool::new(false),
        }
    }

    /// Whether it takes requests.
    pub(super) fn usable(&self) -> bool {
        let waiting = self.waiting();
        !waiting.closed && !waiting.leaving
    }

    /// Sends a request whose header `head` writes for its id, and waits for its answer until the deadline.
    pub(super) async fn ask<const HEAD: usize>(
        &self,
        kind: u8,
        head: impl FnOnce(u64) -> [u8; HEAD],
        payload: &[u8],
        deadline: Instant,
    ) -> Result<Answer, Lost> {
        let (told, heard) = oneshot::channel();
        let _place = self.send(kind, head, payload, told)?;
        match tokio::time::timeout_at(deadline.into(), heard).await {
            Ok(Ok(outcome)) => outcome,
            // Nobody drops a place without telling.
            Ok(Err(_)) => Err(Lost::Unknown),
            // What is queued is sent, however late.
            Err(_) => Err(Lost::Unknown),
        }
    }

    fn send<const HEAD: usize>(
        &self,
        kind: u8,
        head: impl FnOnce(u64) -> [u8; HEAD],
        payload: &[u8],
        told: Told,
    ) -> Result<Place<'_>, Lost> {
        let mut waiting = self.waiting();
        if waiting.closed || waiting.leaving {
            return Err(Lost::Rejected);
        }
        let slot = waiting.free_slot().ok_or(Lost::Overloaded)?;
        waiting.count += 1;
        let id = waiting.count << SLOT_BITS | slot as u64;
        // Under the lock, so that ids rise in the queue as well.
        if let Err(unqueued) = self.outgoing.request(id, kind, &head(id), payload) {
            waiting.free.push(slot);
            return Err(match unqueued {
                Unqueued::Closed => Lost::Rejected,
                Unqueued::Full => Lost::Overloaded,
                Unqueued::TooLarge => Lost::TooLarge,
            });
        }
        waiting.slots[slot] = Some((id, told));
        Ok(Place { pipe: self, id })
    }

    /// Reads, writes and watches until the pipe ends, and ends what is under way.
    pub(super) async fn run(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        limits: Limits,
        ping_interval: Duration,
        ping_timeout: Duration,
    ) -> End {
        // Also when this future is dropped with its runtime.
        let closing = Closing(self);
        let end = tokio::select! {
            end = self.read(reader, limits) => end,
            written = self.outgoing.write(writer) => written.err().map_or(End::Stopped, End::Io),
            () = self.watch(ping_interval, ping_timeout) => End::Silent,
        };
        drop(closing);
        end
    }

    async fn read(&self, reader: &mut (impl AsyncRead + Unpin), limits: Limits) -> End {
        let mut inflow = Inflow::new(limits);
        let mut answers = Vec::new();
        loop {
            match inflow.fill(reader).await {
                Ok(0) => return End::Closed,
                Ok(_) => self.heard.store(true, Ordering::Relaxed),
                Err(error) => return End::Io(error),
            }
            loop {
                match inflow.next() {
                    Ok(Some((frame::ANSWER, message))) => match Answer::read(&message) {
                        Ok(answer) => answers.push(answer),
                        Err(garbled) => return End::Garbled(garbled),
                    },
                    Ok(Some((frame::GOODBYE, _))) => self.waiting().leaving = true,
                    // A pong says what any frame says; what a later version may add is of no concern.
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return End::Frame(error),
                }
            }
            if self.deliver(&mut answers) {
                return End::Closed;
            }
        }
    }

    /// Hands answers to whoever waits for them. Returns whether the other side is leaving and nothing is left.
    fn deliver(&self, answers: &mut Vec<(u64, Answer)>) -> bool {
        let mut waiting = self.waiting();
        let told: smallvec::SmallVec<[_; 64]> = answers
            .drain(..)
            // Whoever gave up at its deadline needs no answer.
            .filter_map(|(id, answer)| Some((waiting.take(id)?, answer)))
            .collect();
        let finished = waiting.leaving && waiting.free.len() == waiting.slots.len();
        drop(waiting);
        for (waits, answer) in told {
            let _ = waits.send(Ok(answer));
        }
        finished
    }

    /// Pings, and returns once nothing has come for too long. Only looks that came in time count: a process that was
    /// stopped itself first reads what came meanwhile.
    async fn watch(&self, interval: Duration, timeout: Duration) {
        let mut looks = tokio::time::interval(interval);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = Duration::ZERO;
        loop {
            looks.tick().await;
            if self.heard.swap(false, Ordering::Relaxed) {
                silent = Duration::ZERO;
            } else if silent >= timeout {
                return;
            }
            silent += interval;
            // A closed pipe ends by itself.
            let _ = self.outgoing.say(frame::PING, &[], &[]);
        }
    }

    /// Ends the pipe and every request that is under way.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let sent = self.outgoing.close();
        let left = std::mem::take(&mut waiting.slots);
        waiting.free.clear();
        drop(waiting);
        for (id, waits) in left.into_iter().flatten() {
            let lost = if id <= sent { Lost::Unknown } else { Lost::Rejected };
            let _ = waits.send(Err(lost));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// A place for one more request, unless all are taken.
    fn free_slot(&mut self) -> Option<usize> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.slots.len();
        (slot < self.in_flight_max).then(|| {
            self.slots.push(None);
            slot
        })
    }

    fn take(&mut self, id: u64) -> Option<Told> {
        let slot = usize::try_from(id).unwrap_or(usize::MAX) % SLOTS_MAX;
        let place = self.slots.get_mut(slot)?;
        let (_, told) = place.take_if(|(waits, _)| *waits == id)?;
        self.free.push(slot);
        Some(told)
    }
}

/// A request's place; given back when nobody waits any more.
struct Place<'a> {
    pipe: &'a Pipe,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        drop(self.pipe.waiting().take(self.id));
    }
}

struct Closing<'a>(&'a Pipe);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
