//! The durable file under the book: append-only JSON lines, synced before anybody hears of them.
//!
//! A decision is applied to the book in memory and queued for the writer thread under one lock, so that file order is
//! decision order. The writer takes whatever is queued, writes and syncs it once, and only then wakes the callers
//! and releases the callbacks. Reads queue too (without bytes): no answer tells of a fact that can still vanish.
//!
//! Invariant: a file that cannot be written ends the process; at start it is replayed and a torn last line dropped.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::sync::{mpsc as async_mpsc, oneshot};
use tracing::{error, info, warn};

use crate::book::{Book, Decided, Event, Fact};

/// The most submissions of one sync: bounds how long the first of them waits for the last one's bytes.
const BATCH_MAX: usize = 4096;

/// The book and the file that remembers it.
pub(crate) struct Store {
    inner: Mutex<Inner>,
}

struct Inner {
    book: Book,
    writer: mpsc::Sender<Submission>,
}

/// What the writer makes durable before it wakes `done`; a read has no line.
struct Submission {
    line: Vec<u8>,
    event: Option<Event>,
    done: oneshot::Sender<()>,
}

impl Store {
    /// Opens or creates the file, replays it and starts the writer; committed callbacks go to `events`.
    ///
    /// # Errors
    /// The file cannot be read or written, another process holds it, or a line before the last is damaged.
    pub(crate) fn open(path: &Path, events: async_mpsc::UnboundedSender<Event>) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock()
            .map_err(|error| io::Error::other(format!("the file is in use: {error}")))?;
        let mut book = replay(&mut file)?;
        if !book.is_opened() {
            // The hasher's random keys are the only randomness this program needs.
            let random = RandomState::new().hash_one(crate::clock::seconds()) >> 32;
            let fact = Fact::Opened {
                instance: u32::try_from(random).unwrap_or_default().max(1),
            };
            book.apply(&fact);
            file.write_all(&line(&fact))?;
            file.sync_all()?;
            sync_directory(path)?;
        }
        let (writer, submissions) = mpsc::channel();
        std::thread::Builder::new()
            .name("sandbox-writer".into())
            .spawn(move || write(file, &submissions, &events))?;
        Ok(Store {
            inner: Mutex::new(Inner { book, writer }),
        })
    }

    /// Decides against the book and returns the answer once everything it tells of is durable.
    pub(crate) async fn commit<T>(&self, decide: impl FnOnce(&Book) -> Decided<T>) -> T {
        let (done, durable) = oneshot::channel();
        let answer = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Decided { fact, answer } = decide(&inner.book);
            let event = fact.as_ref().and_then(|fact| inner.book.apply(fact));
            let line = fact.as_ref().map(line).unwrap_or_default();
            inner
                .writer
                .send(Submission { line, event, done })
                .expect("the writer lives as long as the process");
            answer
        };
        durable.await.expect("the writer answers or ends the process");
        answer
    }

    /// Reads from the book; like every answer, what it tells of is durable.
    pub(crate) async fn read<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.commit(|book| Decided {
            fact: None,
            answer: look(book),
        })
        .await
    }
}

/// The writer thread: one write and one sync for whatever is queued.
fn write(
    mut file: File,
    submissions: &mpsc::Receiver<Submission>,
    events: &async_mpsc::UnboundedSender<Event>,
) {
    let mut bytes = Vec::new();
    let mut batch = Vec::new();
    while let Ok(first) = submissions.recv() {
        batch.push(first);
        batch.extend(submissions.try_iter().take(BATCH_MAX - 1));
        for submission in &batch {
            bytes.extend_from_slice(&submission.line);
        }
        if !bytes.is_empty() {
            let written = file.write_all(&bytes).and_then(|()| file.sync_data());
            if let Err(cause) = written {
                error!(%cause, "the file cannot be written; stopping, so that no answer outlives its fact");
                std::process::abort();
            }
            bytes.clear();
        }
        for Submission { event, done, .. } in batch.drain(..) {
            if let Some(event) = event {
                // Without a receiver (in tests) the callback stays undelivered, as after a crash.
                let _ = events.send(event);
            }
            let _ = done.send(());
        }
    }
}

/// Rebuilds the book from the file and leaves the file's end behind the last whole line.
fn replay(file: &mut File) -> io::Result<Book> {
    let mut book = Book::default();
    let mut good_bytes = 0;
    let mut torn = None;
    let mut reader = BufReader::new(&mut *file);
    let mut text = Vec::new();
    let mut number = 0_u64;
    while reader.read_until(b'\n', &mut text)? > 0 {
        number += 1;
        if let Some(torn_number) = torn {
            return Err(io::Error::other(format!(
                "line {torn_number} is damaged and not the last one"
            )));
        }
        let whole = text.ends_with(b"\n");
        match serde_json::from_slice::<Fact>(&text) {
            Ok(fact) if whole => {
                book.apply(&fact);
                good_bytes += text.len() as u64;
            }
            Ok(_) | Err(_) => torn = Some(number),
        }
        text.clear();
    }
    if let Some(number) = torn {
        warn!(
            line = number,
            "dropped a torn last line, which nobody was answered about"
        );
        file.set_len(good_bytes)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(good_bytes))?;
    info!(
        charges = book.charges().len(),
        refunds = book.refunds().len(),
        "replayed"
    );
    Ok(book)
}

fn line(fact: &Fact) -> Vec<u8> {
    let mut line = serde_json::to_vec(fact).expect("facts have text keys only");
    line.push(b'\n');
    line
}

/// Makes a new file's name durable too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::book::{Charge, ChargeOrder, Refund, RefundOrder, Refusal, State};
    use crate::tokens::Token;
    use crate::wire::Wire;

    /// A file of its own for one test, removed afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("lyceum-sandbox-{name}-{}.jsonl", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Scratch(path)
        }

        fn open(&self) -> Store {
            // The writer thread of a store that was just dropped may still hold the lock for a moment.
            for _ in 0..10_000 {
                if let Ok(store) = Store::open(&self.0, async_mpsc::unbounded_channel().0) {
                    return store;
                }
                std::thread::yield_now();
            }
            Store::open(&self.0, async_mpsc::unbounded_channel().0).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    async fn charge(store: &Store, key: &str) -> Result<Arc<Charge>, Refusal> {
        let order = ChargeOrder {
            amount: 100,
            currency: "CNY".into(),
            token: Token::Ok,
            reference: "pay_1".into(),
            callback_url: Some("http://127.0.0.1:1/".into()),
            wire: Wire::Sandbox,
        };
        store.commit(|book| book.charge(key, &order, "now".into())).await
    }

    async fn refund(store: &Store, key: &str, charge_id: &str) -> Result<Arc<Refund>, Refusal> {
        let order = RefundOrder {
            charge_id: charge_id.into(),
            amount: 40,
            currency: "CNY".into(),
            reference: "ref_1".into(),
        };
        store.commit(|book| book.refund(key, &order, "now".into())).await
    }

    #[tokio::test]
    async fn a_restart_replays_charges_closed_keys_and_pending_callbacks() {
        let scratch = Scratch::new("restart");
        let first = {
            let store = scratch.open();
            store.commit(|book| book.close("closed")).await;
            let charged = charge(&store, "k").await.unwrap();
            refund(&store, "r", &charged.id).await.unwrap();
            charged
        };

        let store = scratch.open();

        assert_eq!(charge(&store, "k").await.as_ref(), Ok(&first));
        assert_eq!(
            refund(&store, "r", &first.id).await.map(|refund| refund.state),
            Ok(State::Succeeded)
        );
        assert_eq!(charge(&store, "closed").await, Err(Refusal::KeyClosed));
        assert_eq!(
            store
                .read(|book| (book.charges().len(), book.undelivered().len()))
                .await,
            (1, 2)
        );
    }

    #[tokio::test]
    async fn a_torn_last_line_is_dropped_and_writing_goes_on_behind_the_last_whole_one() {
        let scratch = Scratch::new("torn");
        charge(&scratch.open(), "whole").await.unwrap();
        let mut file = OpenOptions::new().append(true).open(&scratch.0).unwrap();
        file.write_all(br#"{"type":"charged","id":"ch_"#).unwrap();

        charge(&scratch.open(), "next").await.unwrap();

        let store = scratch.open();
        let keys: Vec<String> = store
            .read(|book| book.charges().iter().map(|charge| charge.key.clone()).collect())
            .await;
        assert_eq!(keys, ["whole", "next"]);
    }

    #[tokio::test]
    async fn a_damaged_line_in_the_middle_is_never_skipped() {
        let scratch = Scratch::new("damaged");
        std::fs::write(
            &scratch.0,
            "{\"type\":\"opened\",\"instance\":1}\n{broken\n{\"type\":\"closed\",\"key\":\"k\"}\n",
        )
        .unwrap();

        let opened = Store::open(&scratch.0, async_mpsc::unbounded_channel().0);

        assert!(opened.is_err_and(|error| error.to_string().contains("line 2")));
    }

    #[tokio::test]
    async fn sixty_four_callers_with_one_key_make_one_charge() {
        let scratch = Scratch::new("race");
        let store = Arc::new(scratch.open());

        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let store = Arc::clone(&store);
            callers.spawn(async move { charge(&store, "k").await.unwrap().id.clone() });
        }
        let mut ids = callers.join_all().await;
        ids.dedup();

        assert_eq!(ids.len(), 1);
        assert_eq!(store.read(|book| book.charges().len()).await, 1);
    }
}
