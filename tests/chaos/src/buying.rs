//! Clients that buy without end, and write down what they are about to ask and what they were told.
//!
//! Flow of a purchase: intent on disk → request → outcome on disk; what was not answered, or not carried out, is asked again under
//! the same key until it is. A client stops between two attempts when it is told to; an attempt whose outcome nobody knows stays
//! unknown in the history. A buyer can own a course once, so a client has several buyers and goes through all courses with each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lyceum_oracle::history::{History, Intent, Outcome};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;
use crate::api::{Account, Call, Client, order, unique};
use crate::site;

/// Between two attempts at one purchase.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Clocks may differ by a second, so the oracle counts what happened just before a history as part of it.
const APART: Duration = Duration::from_millis(1500);

/// What a load is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients at once.
    pub clients: usize,
    /// Buyers of each client.
    pub buyers: usize,
    /// Courses that each buyer buys.
    pub courses: usize,
    /// What each course costs, minor units.
    pub price: i64,
    /// Between two purchases of one client.
    pub pace: Duration,
    /// Every so many purchases one is paid through the provider.
    pub through_provider: usize,
}

/// What became of requests so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Purchases that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Purchases that were refused; none should be.
    pub refused: AtomicU64,
    /// Attempts without an answer, or with 503.
    pub unknown: AtomicU64,
}

impl Tally {
    /// One of its numbers.
    #[must_use]
    pub fn of(number: &AtomicU64) -> u64 {
        number.load(Ordering::Relaxed)
    }
}

/// A load that is under way.
pub struct Buying {
    /// What became of its requests so far.
    pub tally: Arc<Tally>,
    /// Where the history is.
    pub history: PathBuf,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Result<(), Failure>>,
}

/// Buyers and courses, ready to be bought.
pub struct Prepared {
    shape: Shape,
    buyers: Vec<Account>,
    courses: Vec<String>,
}

impl Prepared {
    /// Publishes the courses, registers the buyers and fills their wallets.
    ///
    /// # Errors
    /// It is refused.
    pub async fn new(address: SocketAddr, shape: Shape) -> Result<Self, Failure> {
        let courses = site::courses(address, shape.courses, shape.price).await?;
        let balance = shape.price * i64::try_from(shape.courses)?;
        let buyers = site::buyers(address, shape.clients * shape.buyers, balance).await?;
        sleep(APART).await;
        Ok(Prepared {
            shape,
            buyers,
            courses,
        })
    }

    /// Starts buying, at all of these addresses alike; the history goes to `folder`.
    ///
    /// # Errors
    /// The history cannot be written.
    pub fn start(self, addresses: &[SocketAddr], folder: &Path) -> Result<Buying, Failure> {
        let path = folder.join("history.jsonl");
        // A history of an earlier trial is of another database.
        let _ = std::fs::remove_file(&path);
        let history = History::open(&path)?;
        let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let courses: Arc<[String]> = self.courses.into();
        let mut clients = JoinSet::new();
        for (number, buyers) in self.buyers.chunks(self.shape.buyers).enumerate() {
            let one = One {
                number: u64::try_from(number)?,
                addresses: addresses.into(),
                history: history.clone(),
                tally: tally.clone(),
                stop: stop.clone(),
                pace: self.shape.pace,
                through_provider: self.shape.through_provider,
            };
            clients.spawn(one.buy_all(buyers.to_vec(), courses.clone()));
        }
        Ok(Buying {
            tally,
            history: path,
            stop,
            clients,
        })
    }
}

impl Buying {
    /// Lets every client finish what it is at, and waits for that.
    ///
    /// # Errors
    /// A client could not go on: the history cannot be written.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Whether everything that was for sale has been bought.
    #[must_use]
    pub fn exhausted(&mut self) -> bool {
        while self.clients.try_join_next().is_some() {}
        self.clients.is_empty()
    }
}

struct One {
    number: u64,
    /// Where it asks; another one whenever it was not answered well.
    addresses: Arc<[SocketAddr]>,
    history: History,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    pace: Duration,
    through_provider: usize,
}

impl One {
    async fn buy_all(self, buyers: Vec<Account>, courses: Arc<[String]>) -> Result<(), Failure> {
        for buyer in &buyers {
            let mut client = Client::with_token(self.address(self.number), &buyer.token);
            for (number, course) in courses.iter().enumerate() {
                if !self.buy(&mut client, buyer, course, number).await? {
                    return Ok(());
                }
                sleep(self.pace).await;
            }
        }
        Ok(())
    }

    /// Buys a course; `false` once told to stop.
    async fn buy(
        &self,
        client: &mut Client,
        buyer: &Account,
        course: &str,
        number: usize,
    ) -> Result<bool, Failure> {
        let body = if number.is_multiple_of(self.through_provider) {
            json!({"items": [{"course_id": course}], "payment_method": "sandbox", "payment_token": "tok_ok"})
        } else {
            order(course)
        };
        let key = unique("key-");
        let intent = self.intent(buyer, &key, &body);
        let call = Call {
            method: "POST",
            path: "/v1/orders",
            key: Some(&key),
            body: Some(&body),
        };
        for attempt in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let ticket = self.history.begin(&intent).await?;
            let outcome = match client.call(&call).await {
                Ok(answer) => Outcome::of_answer(answer.status, &answer.body),
                Err(error) => Outcome::Unknown {
                    why: error.to_string(),
                },
            };
            let count = match &outcome {
                Outcome::Acknowledged { .. } => Some(&self.tally.acknowledged),
                // The same request is still at work elsewhere: it is not refused.
                Outcome::Refused {
                    http: 409 | 429,
                    code,
                } if code.as_deref().is_some_and(is_under_way) => None,
                Outcome::Refused { .. } => Some(&self.tally.refused),
                Outcome::Unknown { .. } => None,
            };
            self.history.end(ticket, outcome).await?;
            if let Some(count) = count {
                count.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            self.tally.unknown.fetch_add(1, Ordering::Relaxed);
            sleep(RETRY_PAUSE).await;
            if self.addresses.len() > 1 {
                *client = Client::with_token(self.address(self.number + attempt), &buyer.token);
            }
        }
        Ok(false)
    }

    fn address(&self, number: u64) -> SocketAddr {
        self.addresses[usize::try_from(number).unwrap_or(0) % self.addresses.len()]
    }

    fn intent(&self, buyer: &Account, key: &str, body: &Value) -> Intent {
        Intent {
            client: self.number,
            kind: "buy".to_owned(),
            method: "POST".to_owned(),
            path: "/v1/orders".to_owned(),
            idempotency_key: Some(key.to_owned()),
            user: Some(buyer.username.clone()),
            body: body.to_string(),
        }
    }
}

fn is_under_way(code: &str) -> bool {
    code.starts_with("http.")
}
