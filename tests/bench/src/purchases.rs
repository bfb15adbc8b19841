//! Durable purchases from a wallet: order, payment, ledger and access in one transaction, with fsync on.
//!
//! No purchase is sent twice and none repeats a buyer and a course. Afterwards the books must hold exactly what was
//! acknowledged and be in balance; else a figure says nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::http::request;
use crate::load::{Load, Sample, Traffic, count, measure};
use crate::report::{Line, Section, progress};
use crate::seed::Seeded;
use crate::site::Site;
use crate::stats::median;

/// Callers at once.
pub(crate) const CONNECTIONS: [usize; 2] = [16, 64];
/// Samples of each.
pub(crate) const ROUNDS: usize = 3;
/// Buyers who take turns.
pub(crate) const BUYERS: usize = 4_000;
const WARM_UP: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(4);
/// Purchases prepared for one sample: more than any system here makes within it.
const PREPARED_PER_SECOND: usize = 30_000;

/// How to load a system with purchases.
pub(crate) fn load_of(address: std::net::SocketAddr, connections: usize) -> Load {
    Load {
        address,
        connections,
        warm_up: WARM_UP,
        window: WINDOW,
    }
}

/// Purchases prepared for one sample.
pub(crate) fn prepared() -> usize {
    let seconds = usize::try_from((WARM_UP + WINDOW).as_secs()).unwrap_or(usize::MAX);
    seconds * PREPARED_PER_SECOND
}

/// Purchases of Lyceum, each a different pair of buyer and course.
pub(crate) struct Purchases<'a> {
    seeded: &'a Seeded,
    tokens: Vec<String>,
    made: usize,
    acknowledged: u64,
}

impl<'a> Purchases<'a> {
    /// Nothing is bought yet.
    pub(crate) fn new(seeded: &'a Seeded) -> Result<Self, Failure> {
        Ok(Purchases {
            seeded,
            tokens: seeded.tokens(BUYERS)?,
            made: 0,
            acknowledged: 0,
        })
    }

    /// Loads a server with purchases for one sample.
    pub(crate) async fn sample(&mut self, site: &Site, connections: usize) -> Result<Sample, Failure> {
        let requests = (self.made..self.made + prepared()).map(|number| {
            let course = self.seeded.courses[number / BUYERS % self.seeded.courses.len()];
            let body = json!({"items": [{"course_id": course}], "payment_method": "wallet"});
            let key = Uuid::now_v7().to_string();
            request(
                "POST",
                "/v1/orders",
                Some(&self.tokens[number % BUYERS]),
                Some(&key),
                Some(&body),
            )
        });
        let requests = Arc::new(requests.collect());
        self.made += prepared();
        let traffic = Traffic {
            requests,
            repeat: false,
            expected: &[201],
        };
        let sample = measure(load_of(site.address, connections), &traffic, &site.process).await?;
        self.acknowledged += sample.acknowledged;
        sample.checked("purchases")
    }

    /// Compares the books with what was acknowledged.
    ///
    /// # Errors
    /// They differ, or the ledger is not in balance.
    pub(crate) async fn check_books(&self, database: &Client) -> Result<(), Failure> {
        let row = database
            .query_one(
                "SELECT (SELECT count(*) FROM orders WHERE state = 'fulfilled'), \
                 (SELECT count(*) FROM orders), \
                 (SELECT count(*) FROM grants WHERE revoked_at IS NULL AND source = 'order'), \
                 (SELECT coalesce(sum(amount), 0)::bigint FROM ledger_entries), \
                 (SELECT (SELECT sum(balance) FROM wallets) - (SELECT sum(wallet_change) FROM ledger_transactions))::bigint",
                &[],
            )
            .await?;
        let found: [i64; 5] = std::array::from_fn(|column| row.get(column));
        let acknowledged = i64::try_from(self.acknowledged)?;
        if found != [acknowledged, acknowledged, acknowledged, 0, 0] {
            return Err(format!(
                "the books differ from {acknowledged} acknowledged purchases: \
                 fulfilled, orders, grants, ledger's sum, wallets' gap are {found:?}"
            )
            .into());
        }
        progress(&format!(
            "books agree with {acknowledged} acknowledged purchases; the ledger adds up to 0"
        ));
        Ok(())
    }
}

/// Measures purchases alone.
///
/// # Errors
/// A purchase was refused, or the books are wrong.
pub(crate) async fn run(site: &Site, seeded: &Seeded, database: &Client) -> Result<Section, Failure> {
    let mut purchases = Purchases::new(seeded)?;
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        progress(&format!("purchases: {connections} connections"));
        let mut samples = Vec::new();
        for _ in 0..ROUNDS {
            samples.push(purchases.sample(site, connections).await?);
        }
        lines.push(Line::new(
            format!("wallet purchase, {connections} connections"),
            figures("orders/s", &samples),
        ));
    }
    purchases.check_books(database).await?;
    Ok(Section {
        title: "Purchases: the whole checkout with all its rows, fsync on",
        lines,
    })
}

/// Medians of several samples, the rate under its name.
pub(crate) fn figures(rate: &'static str, samples: &[Sample]) -> Vec<(&'static str, f64)> {
    let millis = |permille| {
        median(
            samples
                .iter()
                .map(|sample| count(sample.latency.quantile(permille)) / 1e3),
        )
    };
    vec![
        (rate, median(samples.iter().map(Sample::rate))),
        ("p50 ms", millis(500)),
        ("p99 ms", millis(990)),
        ("CPU µs", median(samples.iter().map(Sample::cpu_micros))),
    ]
}
