//! Row 12: Redis is disposable. It is killed and emptied under load; money, access and logins do not notice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Trial;
use crate::Failure;
use crate::api::{Account, Call, Client};
use crate::buying::{Prepared, Shape, Tally};
use crate::judge::{self, Ledger};
use crate::site::Site;
use crate::verdict::Check;

const SHAPE: Shape = Shape {
    clients: 4,
    buyers: 2,
    courses: 800,
    price: 100,
    pace: Duration::ZERO,
    through_provider: 10,
};
/// Before, between and after.
const PHASE: Duration = Duration::from_secs(5);
/// How long Redis is away.
const AWAY: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(10);
/// One request in a thousand may fail.
const FAILED_MAX: f64 = 0.001;
const READS: [&str; 6] = [
    "/v1/courses?limit=20",
    "/v1/me",
    "/v1/me/wallet",
    "/v1/me/courses",
    "/v1/me/recommendations",
    "/v1/me/sessions",
];

/// Kills and empties Redis while people read and buy.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let (stores, site) = trial.site(&[]).await?;
    let ledger = Ledger::watch(&stores);
    let mut buying = Prepared::new(site.address, SHAPE)
        .await?
        .start(&[site.address], &trial.place.out)?;
    let reader = site.buyers(1, 0).await?.pop().ok_or("one was registered")?;
    let reading = Reading::default();
    let faults = async {
        sleep(PHASE).await;
        stores.crash_redis().await?;
        sleep(AWAY).await;
        stores.start().await?;
        sleep(PHASE).await;
        for _ in 0..3 {
            stores.flush_redis().await?;
            sleep(PHASE / 3).await;
        }
        reading.stop.store(true, Ordering::Relaxed);
        Ok::<_, Failure>(())
    };
    let (faults, ()) = tokio::join!(faults, reading.read(&site, &reader));
    faults?;
    buying.stop().await?;

    let bought = Tally::of(&buying.tally.acknowledged);
    let unanswered = Tally::of(&buying.tally.unknown) + Tally::of(&buying.tally.refused);
    let (read, failed) = (
        reading.answered.load(Ordering::Relaxed),
        reading.failed.load(Ordering::Relaxed),
    );
    let all = u64::try_from(read + failed)? + bought + unanswered;
    let wrong = u64::try_from(failed)? + unanswered;
    // Exact far beyond what a minute can hold.
    let share = f64::from(u32::try_from(wrong)?) / f64::from(u32::try_from(all)?.max(1));
    let what =
        format!("of {all} requests ({bought} purchases) through a kill and three FLUSHALL: failed {wrong}");
    let mut checks = vec![Check::judged(
        what,
        format!("{:.3} %", share * 100.0),
        "< 0.1 %",
        share < FAILED_MAX,
    )];
    checks.extend(ledger.judge().await?);
    checks.extend(judge::oracle(&site, &stores, Some(&buying.history)).await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(checks)
}

/// Somebody who reads at a steady pace.
#[derive(Default)]
struct Reading {
    stop: AtomicBool,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Reading {
    async fn read(&self, site: &Site, reader: &Account) {
        let mut client = Client::with_token(site.address, &reader.token);
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for path in READS.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            ticks.tick().await;
            let call = Call {
                method: "GET",
                path,
                key: None,
                body: None,
            };
            let good = matches!(client.call(&call).await, Ok(answer) if answer.status == 200);
            let count = if good { &self.answered } else { &self.failed };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
