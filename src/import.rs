//! `lyceum import`: brings a data set into the running system.
//!
//! ```text
//! files → dataset (records with derived ids) → client (batches) → POST /admin/v1/imports → entities
//! ```
//!
//! The server that runs is the only one that touches the shards; without one a node is started for as long as it
//! takes. Order: creators, courses, histories, learners. So whoever can log in finds their history, and an import that
//! was broken off is continued by starting it again: what is there already is met by its ids and stays as it is.

mod believable;
mod client;
mod dataset;
pub(crate) mod files;
mod identity;
pub mod record;
mod server;
mod text;

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

pub use client::{Client, ImportError, TokenSource};
pub use identity::{derived, number};
pub use record::Receipt;
pub use server::with_server;

use crate::settings::Settings;
use crate::telemetry::Metrics;
use dataset::Dataset;

/// Imports the data set in `folder` and prints a summary and the logins of its first users.
///
/// # Errors
/// A file cannot be read, no server can be reached or started, or it refuses a batch.
pub async fn run(
    settings: Settings,
    metrics: Metrics,
    folder: &Path,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let dataset = Dataset::read(folder)?;
    let work = with_server(settings, metrics, |client| async move {
        let begun = Instant::now();
        let creators = client.send("creators", dataset.creators()).await?;
        let courses = client.send("courses", dataset.courses()).await?;
        let histories = client.send("histories", dataset.histories()).await?;
        let learners = client.send("learners", dataset.learners()).await?;

        let mut out = io::stdout().lock();
        for (what, receipt) in [
            ("creators", &creators),
            ("courses", &courses),
            ("histories", &histories),
            ("learners", &learners),
        ] {
            write_receipt(&mut out, what, receipt)?;
        }
        writeln!(
            out,
            "{} events in {:.1} s",
            dataset.event_count(),
            begun.elapsed().as_secs_f64()
        )?;
        for (username, password) in dataset.logins() {
            writeln!(out, "login: {username} {password}")?;
        }
        Ok(())
    });
    // Boxed: it holds a whole node if none runs.
    Box::pin(work).await
}

/// Writes what became of one kind of records, with the first refusals.
pub(crate) fn write_receipt(out: &mut impl Write, what: &str, receipt: &Receipt) -> io::Result<()> {
    let Receipt {
        applied,
        unchanged,
        refused,
        refusals,
    } = receipt;
    writeln!(
        out,
        "{what}: {applied} imported, {unchanged} there already, {refused} refused"
    )?;
    for refusal in refusals {
        writeln!(out, "  refused: {} ({})", refusal.detail, refusal.code)?;
    }
    Ok(())
}
