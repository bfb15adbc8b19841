//! The thread that writes a history: whatever is queued goes to disk with one `write` and one `fsync`.
//!
//! It ends with its last sender, or with the first failure: after a failed `fsync` nobody knows what is durable, so
//! every later append is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use tokio::sync::{mpsc, oneshot};

use super::reader;

/// Lines that share one `fsync`, at most.
const BATCH_LINES: usize = 1_024;

/// A line, and whom to tell that it is durable.
pub(super) struct Write {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: oneshot::Sender<()>,
}

/// Opens the file for appending and gives the highest number in it.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (requests, whole) = reader::parse(&bytes)?;
    let whole = u64::try_from(whole).map_err(io::Error::other)?;
    file.set_len(whole)?;
    file.seek(SeekFrom::Start(whole))?;
    file.sync_all()?;
    // A new file is found after a crash only if its folder is durable as well.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, requests.last().map_or(0, |request| request.id)))
}

/// Writes until nobody can append any more.
pub(super) fn run(mut file: File, mut queue: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH_LINES);
    let mut bytes = Vec::new();
    while queue.blocking_recv_many(&mut batch, BATCH_LINES) > 0 {
        bytes.clear();
        for write in &batch {
            bytes.extend_from_slice(&write.bytes);
        }
        if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
            // Dropping the queue and the batch tells everybody.
            return;
        }
        for write in batch.drain(..) {
            // A caller that no longer waits needs no answer.
            let _ = write.durable.send(());
        }
    }
}
