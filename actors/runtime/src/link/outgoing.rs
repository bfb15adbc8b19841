//! What waits to be written to a pipe, and the loop that writes it.
//!
//! Whoever has something to say appends its frame here and goes on; the loop takes all there is and writes it with one
//! call. So small frames share a call to the kernel when there are many, and none waits when there are few.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::frame::{self, Limits};

/// Room that is kept between batches; what a burst needed besides is given back.
const KEPT: usize = 256 * 1024;

/// Frames on their way to a pipe.
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    /// Something was put into an empty queue, or it was closed.
    filled: Notify,
    /// A batch was written.
    written: Notify,
    limits: Limits,
    bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// The newest request in the queue.
    newest: u64,
    /// The newest request that the loop has taken: it may have been sent, and all before it.
    taken: u64,
    closed: bool,
}

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unqueued {
    Closed,
    Full,
    TooLarge,
}

impl Outgoing {
    pub(super) fn new(limits: Limits, bytes_max: usize) -> Self {
        Outgoing {
            queue: Mutex::default(),
            filled: Notify::new(),
            written: Notify::new(),
            limits,
            bytes_max,
        }
    }

    /// Queues a request, unless too much is waiting. Ids rise.
    pub(super) fn request(&self, id: u64, kind: u8, header: &[u8], payload: &[u8]) -> Result<(), Unqueued> {
        let mut queue = self.queue();
        if queue.bytes.len() > self.bytes_max {
            return Err(Unqueued::Full);
        }
        queue.newest = id;
        self.push(queue, kind, header, payload)
    }

    /// Queues what must not be refused for want of room: answers, of which no more are made than requests are taken.
    pub(super) fn say(&self, kind: u8, header: &[u8], payload: &[u8]) -> Result<(), Unqueued> {
        self.push(self.queue(), kind, header, payload)
    }

    fn push(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        kind: u8,
        header: &[u8],
        payload: &[u8],
    ) -> Result<(), Unqueued> {
        if queue.closed {
            return Err(Unqueued::Closed);
        }
        if header.len() + payload.len() > self.limits.message_max {
            return Err(Unqueued::TooLarge);
        }
        let first = queue.bytes.is_empty();
        frame::push(&mut queue.bytes, kind, header, payload, self.limits);
        drop(queue);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes nothing more, and returns the newest request that may have been sent.
    pub(super) fn close(&self) -> u64 {
        let mut queue = self.queue();
        queue.closed = true;
        queue.bytes = Vec::new();
        let taken = queue.taken;
        drop(queue);
        self.filled.notify_one();
        self.written.notify_one();
        taken
    }

    /// Waits until what is queued is within its bound. Returns whether that came to pass within `patience`.
    pub(super) async fn has_room(&self, patience: Duration) -> bool {
        let room = async {
            while self.queue().bytes.len() > self.bytes_max {
                self.written.notified().await;
            }
        };
        if self.queue().bytes.len() <= self.bytes_max {
            return true;
        }
        tokio::time::timeout(patience, room).await.is_ok()
    }

    /// Writes what is queued for as long as the pipe is open.
    pub(super) async fn write(&self, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut batch = Vec::new();
        loop {
            self.filled.notified().await;
            // Whoever is about to say something may do so first: then one call to the kernel serves them all.
            tokio::task::yield_now().await;
            while self.take(&mut batch) {
                writer.write_all(&batch).await?;
                writer.flush().await?;
                self.written.notify_one();
                batch.clear();
                batch.shrink_to(KEPT);
            }
            if self.queue().closed {
                return Ok(());
            }
        }
    }

    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut queue = self.queue();
        std::mem::swap(&mut queue.bytes, batch);
        queue.taken = queue.newest;
        !batch.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
