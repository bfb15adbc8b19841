//! Row 8: callbacks in any order, late, often, never, forged and old: what we believe is what the provider knows.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::Trial;
use crate::Failure;
use crate::buying::{Prepared, Shape, Tally};
use crate::judge::{self, Ledger};
use crate::sandbox::Provider;
use crate::verdict::Check;

/// A thousand purchases, all through the provider: an event each.
const SHAPE: Shape = Shape {
    clients: 20,
    buyers: 1,
    courses: 50,
    price: 100,
    pace: Duration::from_millis(300),
    through_provider: 1,
};
const EVENTS: u64 = 1_000;
const LASTS_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
/// Late ones come while everything else has long ended, and the last of three a little later.
const LATE_MS: u64 = 20_000;
const SHUFFLE_MS: u64 = 2_000;
/// The last sending, tries of the forged ones included, is over by then.
const SENT_MAX: Duration = Duration::from_secs(60);

/// Disturbs every callback while the answers, too, say nothing for half of the charges.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let (stores, site) = trial.site(&[]).await?;
    let provider = Provider::at(site.sandbox_address);
    let prepared = Prepared::new(site.address, SHAPE).await?;
    let before = told(&provider).await?;
    let ledger = Ledger::watch(&stores);
    // A payment whose answer was lost hears of its charge by the callback or by asking, whichever is first.
    let disturbed = json!({
        "copies": 3, "shuffle_ms": SHUFFLE_MS, "late_pct": 10, "late_ms": LATE_MS,
        "missing_pct": 5, "forged_pct": 1, "old_pct": 1,
    });
    let plan = json!({"seed": trial.seed, "answers": {"lost_pct": 50}, "callbacks": disturbed});
    provider.fail(&plan).await?;

    let mut buying = prepared.start(&[site.address], &trial.place.out)?;
    let began = Instant::now();
    while !buying.exhausted() && began.elapsed() < LASTS_MAX {
        sleep(LOOK).await;
    }
    buying.stop().await?;
    // From here on whoever asks is answered: with every second answer lost, the pauses between questions alone could add up to more than 120 s.
    provider
        .fail(&json!({"seed": trial.seed, "callbacks": disturbed}))
        .await?;
    // Waits until all payments rest, 120 s at most: what never came was asked for.
    let mut checks = vec![
        Check::at_least(
            "charges that cause an event each",
            Tally::of(&buying.tally.acknowledged),
            EVENTS,
        ),
        Check::judged(
            "purchases refused",
            Tally::of(&buying.tally.refused),
            "0",
            Tally::of(&buying.tally.refused) == 0,
        ),
    ];
    checks.extend(judge::oracle(&site, &stores, Some(&buying.history)).await?);

    let ended = Instant::now();
    let counts = loop {
        let counts = provider.counts().await?;
        let (missing, forged, old) = (
            counts.of("callbacks_missing")?,
            counts.of("forged_refused")? + counts.of("forged_accepted")?,
            counts.of("old_refused")? + counts.of("old_accepted")?,
        );
        let true_ones = EVENTS - (missing + forged + old).min(EVENTS);
        let acknowledged = counts.of("callbacks_acknowledged")? - before;
        if acknowledged >= 3 * true_ones || ended.elapsed() > SENT_MAX {
            checks.push(Check::judged(
                "callbacks acknowledged, three of each",
                acknowledged,
                format!("= {}", 3 * true_ones),
                acknowledged == 3 * true_ones,
            ));
            break counts;
        }
        sleep(LOOK).await;
    };
    for (what, name) in [
        ("events that came 20 s late", "callbacks_late"),
        ("events that never came", "callbacks_missing"),
        ("forged callbacks refused", "forged_refused"),
        ("old callbacks refused", "old_refused"),
    ] {
        checks.push(Check::at_least(what, counts.of(name)?, 1));
    }
    for (what, name) in [
        ("forged callbacks accepted", "forged_accepted"),
        ("old callbacks accepted", "old_accepted"),
    ] {
        checks.push(Check::none(what, usize::try_from(counts.of(name)?)?));
    }
    let charges = provider.charges().await?;
    let twice = charges.values().filter(|count| **count > 1).count();
    checks.push(Check::none("payments charged twice", twice));
    // Late callbacks came after the oracle looked: they must have changed nothing.
    checks.extend(judge::oracle(&site, &stores, Some(&buying.history)).await?);
    checks.extend(ledger.judge().await?);
    checks.push(Check::none("panics", site.panics()?));
    provider.heal().await?;
    site.end().await?;
    Ok(checks)
}

/// Waits until somebody has acknowledged every callback so far; how many there were.
async fn told(provider: &Provider) -> Result<u64, Failure> {
    let began = Instant::now();
    loop {
        let charges: usize = provider.charges().await?.values().sum();
        let acknowledged = provider.counts().await?.of("callbacks_acknowledged")?;
        if acknowledged >= charges as u64 {
            return Ok(acknowledged);
        }
        if began.elapsed() > SENT_MAX {
            return Err("callbacks are not acknowledged although nothing disturbs them".into());
        }
        sleep(LOOK).await;
    }
}
