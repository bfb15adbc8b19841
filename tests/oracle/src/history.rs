//! The history of the clients: what they were about to ask, and what they were told, as JSON lines on disk.
//!
//! Lifecycle of a request: [`History::begin`] returns once the intent is durable, then the request is sent, then
//! [`History::end`] makes its outcome durable. One thread writes; everything that is queued shares one `fsync`.
//!
//! Invariants: no request is sent before its intent is on disk, so an effect without an intent is a phantom. An intent
//! without an outcome (the client died, or hung up) says only "perhaps". An outcome is never written twice.

use std::io;
use std::path::Path;

use tokio::sync::{mpsc, oneshot};

mod line;
mod reader;
mod writer;

pub use line::{Intent, Outcome, sha256};
pub use reader::{Request, read};

use line::{Line, now_us};
use writer::Write;

/// Requests that wait for the disk; beyond it callers wait for room. A client waits for its own line, so this is
/// about the number of clients.
const QUEUE_LINES: usize = 4_096;

/// Appends the requests of any number of clients to one file; clones share it.
#[derive(Clone, Debug)]
pub struct History {
    lines: mpsc::Sender<Write>,
    next: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

/// A request whose intent is on disk and whose outcome is not.
#[derive(Debug)]
#[must_use = "a request without an outcome counts as unknown"]
pub struct Ticket {
    id: u64,
}

impl History {
    /// Opens a history, which goes on if the file exists; a last line that was torn by a crash is cut off.
    ///
    /// # Errors
    /// When the file cannot be opened, or holds something else than a history.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, last) = writer::open(path)?;
        let (lines, queue) = mpsc::channel(QUEUE_LINES);
        std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || writer::run(file, queue))?;
        Ok(Self {
            lines,
            next: std::sync::Arc::new(std::sync::atomic::AtomicU64::new(last + 1)),
        })
    }

    /// Records what a client is about to ask; the request may be sent when this has returned.
    ///
    /// # Errors
    /// When the line is not known to be durable: the request must not be sent.
    pub async fn begin(&self, intent: &Intent) -> io::Result<Ticket> {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.append(&Line::Intent {
            id,
            at_unix_us: now_us(),
            intent: intent.clone(),
        })
        .await?;
        Ok(Ticket { id })
    }

    /// Records what the client was told.
    ///
    /// # Errors
    /// When the line is not known to be durable: whoever reads the history may take the outcome for unknown.
    pub async fn end(&self, ticket: Ticket, outcome: Outcome) -> io::Result<()> {
        self.append(&Line::Outcome {
            id: ticket.id,
            at_unix_us: now_us(),
            outcome,
        })
        .await
    }

    async fn append(&self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let (durable, answer) = oneshot::channel();
        let gone = || io::Error::other("the history is no longer written");
        self.lines
            .send(Write { bytes, durable })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("lyceum-history-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join("history.jsonl")
    }

    fn buy(client: u64) -> Intent {
        Intent {
            client,
            kind: "buy".to_owned(),
            method: "POST".to_owned(),
            path: "/v1/orders".to_owned(),
            idempotency_key: Some(format!("key-{client}")),
            user: Some("ada".to_owned()),
            body: r#"{"items":[]}"#.to_owned(),
        }
    }

    #[tokio::test]
    async fn what_was_begun_and_ended_is_read_back_in_order() {
        let path = folder("order");
        let history = History::open(&path).unwrap();

        let first = history.begin(&buy(1)).await.unwrap();
        let second = history.begin(&buy(2)).await.unwrap();
        let answer = Outcome::of_answer(201, br#"{"id":"ord_1"}"#);
        history.end(second, answer.clone()).await.unwrap();
        drop(first);

        let requests = read(&path).unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!((&requests[0].intent, &requests[0].outcome), (&buy(1), &None));
        assert_eq!(requests[1].outcome, Some(answer));
        assert!(requests[1].ended_at_unix_us >= Some(requests[1].begun_at_unix_us));
    }

    #[tokio::test]
    async fn a_torn_last_line_is_passed_over_and_cut_off_when_the_history_goes_on() {
        let path = folder("torn");
        let history = History::open(&path).unwrap();
        let ticket = history.begin(&buy(1)).await.unwrap();
        history.end(ticket, Outcome::of_answer(402, b"{}")).await.unwrap();
        let mut torn = fs::read(&path).unwrap();
        torn.truncate(torn.len() - 9);
        fs::write(&path, &torn).unwrap();

        assert_eq!(read(&path).unwrap()[0].outcome, None);
        let again = History::open(&path).unwrap();
        let ticket = again.begin(&buy(2)).await.unwrap();

        let requests = read(&path).unwrap();
        assert_eq!(
            requests.iter().map(|request| request.id).collect::<Vec<_>>(),
            [1, ticket.id]
        );
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_that_names_it() {
        let path = folder("broken");
        fs::write(&path, "{\"line\":\"int\n{}\n").unwrap();

        let refused = read(&path).unwrap_err();

        assert!(refused.to_string().contains("line 1"), "{refused}");
    }
}
