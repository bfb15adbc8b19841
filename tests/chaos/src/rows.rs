//! The promises that are tried on one node and on three, in the order of their rows.
//!
//! Each trial has stores and servers to itself, begins with empty ones and ends with the oracle's word.

mod callbacks;
mod charged_once;
mod clock;
mod cluster;
mod cut_off;
mod disk;
mod durable;
mod frozen;
mod idempotent;
mod ledger;
mod overload;
mod oversold;
mod planned;
mod redis;
mod restarted;
mod takeover;

use std::io::Write;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Failure;
use crate::site::{Place, Site};
use crate::stores::Stores;
use crate::verdict::{Check, Outcome, Verdict};
use crate::{all, hostile};

/// Rows and promises, as the table of promises words them.
const ROWS: [(u8, &str); 13] = [
    (1, "acknowledged is durable"),
    (2, "nobody is charged twice"),
    (3, "idempotent"),
    (4, "never oversold"),
    (5, "the ledger always balances"),
    (6, "one writer per entity"),
    (7, "a frozen peer is seen"),
    (8, "webhooks in any order"),
    (9, "overload keeps goodput"),
    (10, "planned change is invisible"),
    (11, "full disk"),
    (12, "Redis is disposable"),
    (13, "slow and hostile clients"),
];
/// After the last fault of a trial.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// What every trial is given.
pub(crate) struct Trial<'a> {
    pub(crate) place: &'a Place,
    pub(crate) seed: u64,
}

impl Trial<'_> {
    /// Empty stores.
    pub(crate) async fn stores(&self) -> Result<Stores, Failure> {
        Stores::fresh(&self.place.stores, "faults").await
    }

    /// A server over stores.
    pub(crate) async fn site_over(
        &self,
        stores: &Stores,
        settings: &[(&str, String)],
    ) -> Result<Site, Failure> {
        Site::start(self.place, stores, settings).await
    }

    /// A server over empty stores.
    pub(crate) async fn site(&self, settings: &[(&str, String)]) -> Result<(Stores, Site), Failure> {
        let stores = self.stores().await?;
        let site = self.site_over(&stores, settings).await?;
        Ok((stores, site))
    }

    /// Waits until the server is ready, after whatever befell it.
    pub(crate) async fn ready(&self, site: &Site) -> Result<(), Failure> {
        let began = Instant::now();
        while !site.is_ready().await {
            if began.elapsed() > READY_TIMEOUT {
                return Err(format!("the server is not ready {READY_TIMEOUT:?} after the last fault").into());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Tries rows, all of them if none is named; tells whether all held.
///
/// # Errors
/// A row is not among those that are tried, or nobody takes what is printed.
pub async fn run(place: &Place, only: &[u8], seed: u64, out: &mut impl Write) -> Result<bool, Failure> {
    if let Some(unknown) = only
        .iter()
        .find(|row| !ROWS.iter().any(|(known, _)| known == *row))
    {
        let known = ROWS.map(|(row, _)| row.to_string()).join(", ");
        return Err(format!("row {unknown} is not tried here; these are: {known}").into());
    }
    let mut held = true;
    for (row, promise) in ROWS {
        if !only.is_empty() && !only.contains(&row) {
            continue;
        }
        eprintln!("lyceum-chaos: trying row {row}, {promise}");
        let outcome = match try_row(row, &Trial { place, seed }).await {
            Ok(outcome) => outcome,
            Err(failure) => Outcome::Broken(failure.to_string()),
        };
        let verdict = Verdict {
            row,
            promise,
            outcome,
        };
        writeln!(out, "{verdict}")?;
        held &= verdict.held();
    }
    Ok(held)
}

/// Lets everything go wrong at once for so long; tells whether everything held.
///
/// # Errors
/// Nobody takes what is printed.
pub async fn run_all(
    place: &Place,
    lasts: Duration,
    seed: u64,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let outcome = match all::run(&Trial { place, seed }, lasts).await {
        Ok(checks) => Outcome::Tried(checks),
        Err(failure) => Outcome::Broken(failure.to_string()),
    };
    let verdict = Verdict {
        row: 0,
        promise: "everything at once",
        outcome,
    };
    writeln!(out, "{verdict}")?;
    Ok(verdict.held())
}

async fn try_row(row: u8, trial: &Trial<'_>) -> Result<Outcome, Failure> {
    match row {
        1 => durable(trial).await.map(Outcome::Tried),
        2 => charged_once::run(trial).await.map(Outcome::Tried),
        3 => idempotent::run(trial).await.map(Outcome::Tried),
        4 => oversold::run(trial).await.map(Outcome::Tried),
        5 => ledger::run(trial).await.map(Outcome::Tried),
        6 => one_writer(trial).await.map(Outcome::Tried),
        7 => frozen::run(trial).await.map(Outcome::Tried),
        8 => callbacks::run(trial).await.map(Outcome::Tried),
        9 => overload::run(trial).await,
        10 => planned::run(trial).await,
        11 => disk::run(trial).await,
        12 => redis::run(trial).await.map(Outcome::Tried),
        13 => hostile::run(trial).await.map(Outcome::Tried),
        _ => Err(format!("row {row} has no trial").into()),
    }
}

/// Loses nodes, then cuts them off and stops them.
async fn one_writer(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let mut checks = takeover::run(trial).await?;
    checks.extend(told("cut off, and standing still", cut_off::run(trial).await));
    checks.extend(told("a clock that is ahead", clock::run(trial).await));
    Ok(checks)
}

/// Breaks what one node stands on, and what three do.
async fn durable(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let mut checks = durable::run(trial).await?;
    checks.extend(told("three nodes", restarted::run(trial).await));
    Ok(checks)
}

/// A later part of a row: if it breaks, what came of the earlier ones is told all the same.
fn told(part: &str, tried: Result<Vec<Check>, Failure>) -> Vec<Check> {
    tried.unwrap_or_else(|failure| {
        vec![Check::judged(
            format!("{part}: {failure}"),
            "not tried",
            "tried",
            false,
        )]
    })
}
