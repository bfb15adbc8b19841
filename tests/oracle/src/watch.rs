//! Watching: the ledger sampled while a run goes on, each sample in one snapshot of its own.
//!
//! Only what holds in every committed state and is told at a glance is sampled. A database that is away (it may be what
//! the run is about) makes a sample missed, never a violation.

use std::future::Future;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;

use crate::Failure;
use crate::database;
use crate::invariants::{self, Holds};
use crate::report::Report;

/// A sample that takes longer counts as missed: the database is stuck.
const SAMPLE_LIMIT: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Samples {
    /// Snapshots that were looked at.
    pub samples: u64,
    /// Times at which the database could not be read.
    pub missed: u64,
    /// The longest sample.
    pub slowest_ms: u64,
    /// Violations over all samples.
    pub report: Report,
}

/// Samples until `stop` is over; the last sample is taken after it.
pub async fn watch(url: &str, every: Duration, stop: impl Future<Output = ()>) -> Samples {
    let mut seen = Samples::default();
    let mut client: Option<Client> = None;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    loop {
        let over = tokio::select! {
            () = &mut stop => true,
            _ = ticks.tick() => false,
        };
        let began = Instant::now();
        let sampled = tokio::time::timeout(SAMPLE_LIMIT, sample(url, &mut client, &mut seen.report)).await;
        if matches!(sampled, Ok(Ok(()))) {
            let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            seen.samples += 1;
            seen.slowest_ms = seen.slowest_ms.max(took);
        } else {
            seen.missed += 1;
            client = None;
        }
        if over {
            return seen;
        }
    }
}

async fn sample(url: &str, held: &mut Option<Client>, report: &mut Report) -> Result<(), Failure> {
    let client = match held {
        Some(client) => client,
        None => held.insert(database::connect(url).await?.0),
    };
    let snapshot = database::snapshot(client).await?;
    for invariant in invariants::all().filter(|invariant| invariant.holds == Holds::Sampled) {
        invariants::examine(&snapshot, invariant, report).await?;
    }
    Ok(())
}
