//! Logins that ended while their access tokens are still valid.
//!
//! An access token is believed without asking anybody, so the guard looks here. An entry lives as long as the longest
//! access token: after that the token has expired by itself. Entries are written through to Redis and read back when
//! the process starts; if Redis loses them, an ended login's last access token works until it expires, which is the
//! most that is ever at stake.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lyceum_domain::ids::SessionId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Redis, StoreError, clock};
use rustc_hash::FxBuildHasher;
use tokio::sync::{mpsc, oneshot};

const PREFIX: &str = "revoked:";
/// What the clock of a node that verifies tokens may be behind.
const LEEWAY: Duration = Duration::from_secs(60);
/// Two seconds in all, which a start without Redis can bear.
const ATTEMPTS_MAX: u32 = 10;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long a logout waits for Redis, which answers within a millisecond when it is well.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);
/// Entries waiting to be written to Redis. A mass suspension of a thousand users with twenty logins each fits; what
/// does not is kept in memory alone.
const QUEUE_MAX: usize = 20_000;
/// Entries kept, at 60 bytes each: ten minutes of 300 logouts a second. A login above it stays good for its last access
/// token, which is better than no memory.
const ENTRIES_MAX: usize = 200_000;

/// The set of ended logins.
#[derive(Debug)]
pub struct Revoked {
    /// Each with the time at which its last access token expires.
    until: papaya::HashMap<SessionId, Timestamp, FxBuildHasher>,
    queue: mpsc::Sender<Write>,
    lifetime: Duration,
}

/// What the writer is given, in order.
#[derive(Debug)]
enum Write {
    Entry(SessionId, Timestamp),
    /// Tells that everything before it has been written or given up.
    Settle(oneshot::Sender<()>),
}

impl Revoked {
    /// Reads what Redis holds and starts writing through to it. `lifetime` is that of an access token.
    ///
    /// An unreachable Redis is logged and leaves the set empty: logins go on working without it.
    pub async fn start(redis: Redis, lifetime: Duration) -> Arc<Self> {
        let lifetime = lifetime + LEEWAY;
        let (queue, written) = mpsc::channel(QUEUE_MAX);
        let revoked = Arc::new(Revoked {
            until: papaya::HashMap::with_hasher(FxBuildHasher),
            queue,
            lifetime,
        });
        // Redis connects in the background, so the first attempts of a process may come too early.
        let mut attempts = tokio::time::interval(RETRY_INTERVAL);
        for attempt in 1..=ATTEMPTS_MAX {
            attempts.tick().await;
            match revoked.load(&redis).await {
                Ok(()) => break,
                Err(error) if attempt == ATTEMPTS_MAX => {
                    tracing::warn!(%error, "ended logins could not be read back");
                }
                Err(_) => {}
            }
        }
        tokio::spawn(write_through(redis, written, lifetime));
        revoked
    }

    /// Whether the access tokens of a login are no longer good.
    pub fn contains(&self, session_id: SessionId) -> bool {
        // Most of the time nothing is, and then a request pays one load.
        !self.until.is_empty() && self.until.pin().contains_key(&session_id)
    }

    /// Adds a login that ended at `now`.
    pub fn add(&self, session_id: SessionId, now: Timestamp) {
        let until = now.plus(self.lifetime);
        if self.until.len() >= ENTRIES_MAX {
            self.sweep(now);
        }
        if self.until.len() < ENTRIES_MAX {
            self.until.pin().insert(session_id, until);
        } else {
            tracing::error!("too many ended logins to remember");
        }
        if self.queue.try_send(Write::Entry(session_id, until)).is_err() {
            tracing::warn!("an ended login is known to this node only");
        }
    }

    /// Waits until what was added so far would survive this process, for as long as that is worth a caller's time.
    pub async fn settle(&self) {
        let (told, heard) = oneshot::channel();
        if self.queue.try_send(Write::Settle(told)).is_ok() {
            // Without Redis the entry is known to this node only, and the caller is answered all the same.
            let _ = tokio::time::timeout(SETTLE_TIMEOUT, heard).await;
        }
    }

    /// Forgets the logins whose access tokens have all expired. Call it about once a minute.
    pub fn sweep(&self, now: Timestamp) {
        self.until.pin().retain(|_, until| *until > now);
    }

    async fn load(&self, redis: &Redis) -> Result<(), StoreError> {
        // Their exact ends are in Redis' own expiry; a full lifetime from now is never too short.
        let until = clock::now().plus(self.lifetime);
        for key in redis.keys(PREFIX, ENTRIES_MAX).await? {
            if let Some(session_id) = key.strip_prefix(PREFIX).and_then(|text| text.parse().ok()) {
                self.until.pin().insert(session_id, until);
            }
        }
        Ok(())
    }
}

async fn write_through(redis: Redis, mut written: mpsc::Receiver<Write>, lifetime: Duration) {
    while let Some(write) = written.recv().await {
        match write {
            Write::Entry(session_id, until) => {
                let value = Bytes::from(until.to_string());
                if let Err(error) = redis.set(&format!("{PREFIX}{session_id}"), value, lifetime).await {
                    tracing::warn!(%error, "an ended login is known to this node only");
                }
            }
            // Whoever waited may have gone.
            Write::Settle(told) => drop(told.send(())),
        }
    }
}
