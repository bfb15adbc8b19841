//! Where log lines go: through a bounded queue to a thread that writes them to stderr.
//!
//! A line is written by whoever has something to say, and a disk that writes back or a pipe that is full lets that thread
//! wait: with the log on the disk of the journal, commits held up requests that read memory for 300 ms. What does not fit into
//! the queue is lost and counted; at the end of the process the queue is written out.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

static LOST: OnceLock<ErrorCounter> = OnceLock::new();
/// Writes out what is queued when it is dropped.
static WRITING: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// How many lines found no room in the queue.
pub(super) fn lost() -> u32 {
    let lost = LOST.get().map_or(0, ErrorCounter::dropped_lines);
    u32::try_from(lost).unwrap_or(u32::MAX)
}

/// Starts the thread, with room for so many lines.
pub(super) fn start(lines_max: usize) -> NonBlocking {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(lines_max)
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    // Started twice, as in tests, the first keeps writing; its lines are counted.
    let _ = LOST.set(writer.error_counter());
    let mut writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if writing.is_none() {
        *writing = Some(guard);
    } else {
        std::mem::forget(guard);
    }
    writer
}

/// Writes out what is queued, for at most a second. Nothing that is logged later is written.
pub(crate) fn finish() {
    drop(WRITING.lock().unwrap_or_else(PoisonError::into_inner).take());
}
