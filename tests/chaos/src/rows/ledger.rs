//! Row 5: the ledger balances at every moment, also while purchases are cut in the middle.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Trial;
use crate::Failure;
use crate::buying::{Prepared, Shape, Tally};
use crate::judge::{self, Ledger};
use crate::verdict::Check;

const SHAPE: Shape = Shape {
    clients: 8,
    buyers: 1,
    courses: 800,
    price: 130,
    pace: Duration::ZERO,
    through_provider: 10,
};
const LASTS: Duration = Duration::from_secs(20);
const KILL_EVERY: Duration = Duration::from_secs(4);

/// Looks every second while buyers buy and the server dies.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let (stores, site) = trial.site(&[]).await?;
    let mut buying = Prepared::new(site.address, SHAPE)
        .await?
        .start(&[site.address], &trial.place.out)?;
    let ledger = Ledger::watch(&stores);
    let began = Instant::now();
    while began.elapsed() < LASTS {
        sleep(KILL_EVERY).await;
        site.kill().await?;
    }
    trial.ready(&site).await?;
    buying.stop().await?;

    let mut checks = vec![Check::at_least(
        "purchases meanwhile",
        Tally::of(&buying.tally.acknowledged),
        100,
    )];
    checks.extend(ledger.judge().await?);
    checks.extend(judge::oracle(&site, &stores, Some(&buying.history)).await?);
    site.end().await?;
    Ok(checks)
}
