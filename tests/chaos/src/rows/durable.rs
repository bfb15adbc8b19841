//! Row 1: what was acknowledged is durable, whatever dies. And its control: without durable commits, the same trial does lose.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Trial;
use crate::Failure;
use crate::buying::{Prepared, Shape, Tally};
use crate::judge::{self, Ledger};
use crate::verdict::Check;

const SHAPE: Shape = Shape {
    clients: 8,
    buyers: 3,
    courses: 800,
    price: 100,
    pace: Duration::ZERO,
    through_provider: 10,
};
const LASTS: Duration = Duration::from_secs(60);
const KILL_EVERY: Duration = Duration::from_secs(3);
const CRASHES: u32 = 10;
const ACKNOWLEDGED_MIN: u64 = 3_000;
/// The control loses a fraction of a second at each crash.
const CONTROL_SHAPE: Shape = Shape {
    buyers: 1,
    courses: 400,
    ..SHAPE
};
const CONTROL_CRASHES: u32 = 5;
const CONTROL_PAUSE: Duration = Duration::from_secs(2);
/// Four hundred purchases, made one after the other, may take less than a second where commits do not wait: a crash that comes later finds
/// nothing to lose.
const CONTROL_STRETCH: Duration = Duration::from_millis(200);

/// Kills the server and crashes Postgres under load.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let mut checks = with_durable_commits(trial).await?;
    checks.push(control(trial).await?);
    Ok(checks)
}

async fn with_durable_commits(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let (stores, site) = trial.site(&[]).await?;
    let ledger = Ledger::watch(&stores);
    let mut buying = Prepared::new(site.address, SHAPE)
        .await?
        .start(&[site.address], &trial.place.out)?;
    let began = Instant::now();
    let kills = async {
        let mut kills = 0_u32;
        while began.elapsed() + KILL_EVERY < LASTS {
            sleep(KILL_EVERY).await;
            site.kill().await?;
            kills += 1;
        }
        Ok::<_, Failure>(kills)
    };
    let crashes = async {
        for _ in 0..CRASHES {
            sleep(LASTS / (CRASHES + 1)).await;
            stores.crash().await?;
            stores.start().await?;
        }
        Ok::<_, Failure>(())
    };
    let (kills, crashes) = tokio::join!(kills, crashes);
    crashes?;
    let kills = kills?;
    sleep(LASTS.saturating_sub(began.elapsed())).await;
    let lasted = began.elapsed();
    trial.ready(&site).await?;
    buying.stop().await?;

    let mut checks = vec![
        Check::at_least(
            format!(
                "acknowledged in {:.0} s, through {kills} kills and {CRASHES} crashes of Postgres",
                lasted.as_secs_f64()
            ),
            Tally::of(&buying.tally.acknowledged),
            ACKNOWLEDGED_MIN,
        ),
        Check::judged(
            "purchases refused",
            Tally::of(&buying.tally.refused),
            "0",
            Tally::of(&buying.tally.refused) == 0,
        ),
    ];
    checks.extend(ledger.judge().await?);
    checks.extend(judge::oracle(&site, &stores, Some(&buying.history)).await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(checks)
}

/// The same with `synchronous_commit = off`: if nothing is lost then, the trial proves nothing.
async fn control(trial: &Trial<'_>) -> Result<Check, Failure> {
    let stores = trial.stores().await?;
    // Connections that are opened from now on do not wait for the disk.
    stores
        .execute("ALTER ROLE CURRENT_USER SET synchronous_commit = off")
        .await?;
    let site = trial.site_over(&stores, &[]).await?;
    let prepared = Prepared::new(site.address, CONTROL_SHAPE).await?;
    // What was prepared is to be there after the crash; only purchases may be lost.
    stores
        .execute("CHECKPOINT")
        .await
        .or_else(|_| Ok::<_, Failure>(()))?;
    sleep(CONTROL_PAUSE).await;
    let mut buying = prepared.start(&[site.address], &trial.place.out)?;
    for _ in 0..CONTROL_CRASHES {
        sleep(CONTROL_STRETCH).await;
        stores.crash().await?;
        stores.start().await?;
        if buying.exhausted() {
            break;
        }
    }
    buying.stop().await?;
    trial.ready(&site).await?;
    let lost = judge::lost(&site, &stores, &buying.history).await;
    stores
        .execute("ALTER ROLE CURRENT_USER RESET synchronous_commit")
        .await?;
    site.end().await?;
    Ok(Check::at_least(
        "control: acknowledged and lost with synchronous_commit = off",
        lost?,
        1,
    ))
}
