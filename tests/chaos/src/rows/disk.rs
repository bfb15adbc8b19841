//! Row 11: the disk of Postgres is full. The node says that it is not ready, loses nothing, and recovers when there is room.
//!
//! Postgres lies on a small tmpfs, which a file fills up. It gives up when it cannot extend its log; as an init system would,
//! the trial starts it again every second, in vain while the disk is full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Trial;
use crate::Failure;
use crate::buying::{Prepared, Shape, Tally};
use crate::judge;
use crate::process::status;
use crate::site::Site;
use crate::stores::Stores;
use crate::verdict::{Check, Outcome};

const SHAPE: Shape = Shape {
    clients: 8,
    buyers: 2,
    courses: 800,
    price: 100,
    pace: Duration::ZERO,
    through_provider: 10,
};
const BEFORE: Duration = Duration::from_secs(5);
const FULL: Duration = Duration::from_secs(15);
const AFTER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);
const NOT_READY_MAX: Duration = Duration::from_secs(5);
const RECOVERED_MAX: Duration = Duration::from_secs(60);
const BLOCK: usize = 64 * 1024;

/// Fills the disk under load and empties it again.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let stores = match Stores::fresh(&trial.place.stores, "full").await {
        Ok(stores) => stores,
        Err(reason) if reason.to_string().contains("needs root") => {
            return Ok(Outcome::Skipped(reason.to_string()));
        }
        Err(failure) => return Err(failure),
    };
    let tried = fill(trial, &stores).await;
    stores.stop().await?;
    tried.map(Outcome::Tried)
}

async fn fill(trial: &Trial<'_>, stores: &Stores) -> Result<Vec<Check>, Failure> {
    let site = trial.site_over(stores, &[]).await?;
    let mut buying = Prepared::new(site.address, SHAPE)
        .await?
        .start(&[site.address], &trial.place.out)?;
    sleep(BEFORE).await;
    let before = Tally::of(&buying.tally.acknowledged);

    let filler = Filler::new(&stores.folder().await?)?;
    let full = Instant::now();
    // Writes go on until the log's last segment is used up; from then on nothing can be acknowledged.
    let (refused, unready) = first_refusal(&site, &buying.tally, full).await;
    while full.elapsed() < FULL {
        // It fails as long as there is no room.
        let _ = stores.start().await;
        sleep(LOOK * 10).await;
    }
    drop(filler);
    let freed = Instant::now();
    while !site.is_ready().await && freed.elapsed() < RECOVERED_MAX {
        let _ = stores.start().await;
        sleep(LOOK).await;
    }
    let recovered = freed.elapsed();
    let at = Tally::of(&buying.tally.acknowledged);
    sleep(AFTER).await;
    let after = Tally::of(&buying.tally.acknowledged) - at;
    buying.stop().await?;

    let seconds = |time: Option<Duration>| {
        time.map_or_else(
            || "never".to_owned(),
            |time| format!("{:.1} s", time.as_secs_f64()),
        )
    };
    let told = unready
        .zip(refused)
        .map(|(unready, refused)| unready.saturating_sub(refused));
    let mut checks = vec![
        Check::at_least("acknowledged before", before, 100),
        Check::judged(
            "first write that failed, after the disk was full",
            seconds(refused),
            "any",
            refused.is_some(),
        ),
        Check::judged(
            "not ready, after that",
            seconds(told),
            "≤ 5 s",
            told.is_some_and(|told| told <= NOT_READY_MAX),
        ),
        Check::judged(
            "ready again by itself, after there was room",
            seconds(Some(recovered)),
            "≤ 60 s",
            recovered < RECOVERED_MAX,
        ),
        Check::at_least("acknowledged afterwards", after, 100),
    ];
    checks.extend(judge::oracle(&site, stores, Some(&buying.history)).await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(checks)
}

/// When writes began to fail, and when the node said so, both since the disk was full.
async fn first_refusal(site: &Site, tally: &Tally, full: Instant) -> (Option<Duration>, Option<Duration>) {
    let unknown = Tally::of(&tally.unknown);
    let (mut refused, mut unready) = (None, None);
    while full.elapsed() < FULL && unready.is_none() {
        if refused.is_none() && Tally::of(&tally.unknown) > unknown {
            refused = Some(full.elapsed());
        }
        if refused.is_some() && status(site.address, "/readyz").await == Some(503) {
            unready = Some(full.elapsed());
        }
        sleep(LOOK).await;
    }
    (refused, unready)
}

/// A file that takes all the room there is.
struct Filler(PathBuf);

impl Filler {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("filler");
        let mut file = File::create(&path)?;
        let block = vec![0; BLOCK];
        // Ends with "no space left on device", which is what it is for.
        while file.write_all(&block).is_ok() {}
        Ok(Filler(path))
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // If it cannot be removed, the stop of the instance removes the disk.
        let _ = std::fs::remove_file(&self.0);
    }
}
