//! Row 2: nobody is charged twice, whatever the provider answers and whenever the server dies.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::Trial;
use crate::Failure;
use crate::buying::{Prepared, Shape, Tally};
use crate::judge::{self, Ledger};
use crate::sandbox::Provider;
use crate::verdict::Check;

/// Two thousand purchases, all through the provider, in about a minute.
const SHAPE: Shape = Shape {
    clients: 40,
    buyers: 1,
    courses: 50,
    price: 100,
    pace: Duration::from_secs(1),
    through_provider: 1,
};
const SAGAS: u64 = 2_000;
const KILL_EVERY: Duration = Duration::from_secs(3);
/// The load ends by itself long before.
const LASTS_MAX: Duration = Duration::from_secs(180);

/// Kills the server while it pays through a provider that fails.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let (stores, site) = trial.site(&[]).await?;
    let provider = Provider::at(site.sandbox_address);
    let prepared = Prepared::new(site.address, SHAPE).await?;
    let charged_before = provider.charges().await?.len();
    let ledger = Ledger::watch(&stores);
    // Half of the callbacks never come, so that payments whose answer was lost have to be asked for.
    provider
        .fail(&json!({
            "seed": trial.seed,
            "answers": {"lost_pct": 20, "error_pct": 5, "stall_pct": 5, "stall_ms": 30_000},
            "callbacks": {"missing_pct": 50},
        }))
        .await?;

    let mut buying = prepared.start(&[site.address], &trial.place.out)?;
    let began = Instant::now();
    let mut kills = 0_u32;
    while !buying.exhausted() && began.elapsed() < LASTS_MAX {
        sleep(KILL_EVERY).await;
        site.kill().await?;
        kills += 1;
    }
    trial.ready(&site).await?;
    buying.stop().await?;
    let counts = provider.counts().await?;
    provider.heal().await?;

    let mut checks = vec![
        Check::at_least(
            format!("sagas begun, through {kills} kills"),
            Tally::of(&buying.tally.acknowledged),
            SAGAS,
        ),
        Check::judged(
            "purchases refused",
            Tally::of(&buying.tally.refused),
            "0",
            Tally::of(&buying.tally.refused) == 0,
        ),
    ];
    for (what, name) in [
        (
            "answers lost after the provider had done its work",
            "answers_lost",
        ),
        ("answers with 503", "answers_failed"),
        ("answers that stalled for 30 s", "answers_stalled"),
        ("callbacks that never came", "callbacks_missing"),
    ] {
        checks.push(Check::at_least(what, counts.of(name)?, 1));
    }
    // It waits until everything rests, 120 s at most, and compares the provider's sum with the ledger's.
    checks.extend(judge::oracle(&site, &stores, Some(&buying.history)).await?);
    let charges = provider.charges().await?;
    let twice = charges.values().filter(|count| **count > 1).count();
    checks.push(Check::none("payments charged twice", twice));
    checks.push(Check::at_least(
        "payments charged once",
        (charges.len() - charged_before - twice) as u64,
        SAGAS,
    ));
    checks.extend(ledger.judge().await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(checks)
}
