//! Row 13: clients that are slow, silent, flooding, smuggling or malformed, and what they cost a healthy one.
//!
//! Flow: a healthy client reads at a steady pace all the time → a quiet stretch → each kind of hostility, with quiet
//! stretches between → the healthy client's latency beside hostility against that in the quiet.

mod h2;
mod malformed;
mod slow;
mod smuggling;

use std::time::Duration;

use tokio::time::{sleep, timeout};

pub(crate) use self::malformed::Site as World;
use crate::Failure;
use crate::api::{Client, order, unique};
use crate::healthy::{Healthy, Seen};
use crate::rows::Trial;
use crate::site::Site;
use crate::verdict::Check;

/// Requests of the malformed corpus.
const CORPUS: u64 = 10_000;
/// A quiet stretch: 2,000 answers, of which 20 are slower than the 99th percentile.
const QUIET: Duration = Duration::from_secs(10);
/// Below this the scheduler of a shared machine is measured, not the server.
const RESOLUTION: Duration = Duration::from_millis(2);
/// What hostility may add to the server's memory, bytes: some of the malformed requests register somebody, and a password hash takes
/// 19 MiB on each core while it lasts.
const MEMORY_MAX: u64 = 128 * 1024 * 1024;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(250);
/// Connections of each kind that flood at once, and how often they come back.
const FLOODERS: usize = 2;
const FLOODS: usize = 20;
/// Between two floods of one flooder: together some 20,000 frames a second, as many as one core of an attacker would send.
const FLOOD_PAUSE: Duration = Duration::from_millis(200);
/// Frames of one flood; continuations are of 16 kB and so 32 MB.
const HELPINGS: u32 = 2_000;

/// Tries everything and judges it.
///
/// # Errors
/// The trial itself broke.
pub(crate) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let seed = trial.seed;
    let (_stores, site) = trial.site(&[]).await?;
    let world = world(&site).await?;
    let token = world.tokens.first().ok_or("there is a learner")?.clone();
    let healthy = Healthy::start(site.address)?;
    let mut checks = Vec::new();
    let mut quiet = rest(&healthy).await;
    let memory = site.resident().await?;
    let mut watch = Watch {
        site: &site,
        peak: memory,
    };

    let slow = watch.beside(slow::all(site.address, &token)).await?;
    checks.extend(slow);
    let mut beside = vec![("slow clients", healthy.seen())];
    quiet = quiet.and(&rest(&healthy).await);

    for kind in h2::Flood::ALL {
        let flooded = watch.beside(floods(kind, &site, &token)).await?;
        beside.push((kind.name(), healthy.seen()));
        checks.push(flooded);
    }
    quiet = quiet.and(&rest(&healthy).await);

    let answered = watch
        .beside(malformed::all(site.address, seed, CORPUS, &world))
        .await?;
    beside.push(("malformed requests", healthy.seen()));
    checks.push(Check::judged(
        format!("{CORPUS} malformed requests, seed {seed}: faults"),
        answered.faulty(),
        "0",
        answered.faulty() == 0,
    ));
    for fault in &answered.faults {
        checks.push(Check::judged(fault.clone(), "5xx", "none", false));
    }
    let told = format!("{}, waiting ×{}", answered.told(), answered.waiting);
    checks.push(Check::judged(format!("  answered {told}"), "", "", true));
    checks.extend(smuggling::all(site.address).await);
    quiet = quiet.and(&rest(&healthy).await);

    checks.extend(beside.iter().map(|(name, seen)| compare(name, seen, &quiet)));
    let failed: usize = beside.iter().map(|(_, seen)| seen.failed).sum();
    checks.push(Check::none(
        "requests of the healthy client that failed",
        failed + quiet.failed,
    ));
    checks.push(Check::at_most(
        "memory added at the peak, MiB",
        watch.peak.saturating_sub(memory) / (1024 * 1024),
        MEMORY_MAX / (1024 * 1024),
    ));
    checks.push(Check::none("panics", site.panics()?));
    drop(healthy);
    site.end().await?;
    Ok(checks)
}

/// Everybody and everything that malformed requests refer to.
///
/// # Errors
/// It cannot be made.
pub(crate) async fn world(site: &Site) -> Result<World, Failure> {
    let operator = site.operator().await?;
    let courses = site.courses(20, 100).await?;
    let buyers = site.buyers(2, 10_000).await?;
    let [learner, creator] = buyers.as_slice() else {
        return Err("two were registered".into());
    };
    let course = courses.first().ok_or("courses were published")?;
    let placed = Client::with_token(site.address, &learner.token)
        .post("/v1/orders", &unique("order-"), &order(course), &[201])
        .await?;
    Ok(World {
        tokens: vec![learner.token.clone(), creator.token.clone(), operator.token],
        user: learner.id.clone(),
        courses,
        order: placed["id"].as_str().unwrap_or_default().to_owned(),
        session: "ses_01h455vb4pex5vsknk084sn02q".to_owned(),
    })
}

/// One flood of each kind; how they end is not judged.
pub(crate) async fn flood_once(site: &Site, world: &World) {
    let token = world.tokens.first().map(String::as_str).unwrap_or_default();
    for kind in h2::Flood::ALL {
        // The server may just be away.
        let _ = h2::flood(kind, site.address, token, HELPINGS).await;
    }
}

/// A few malformed requests; how they are answered is not judged.
pub(crate) async fn malformed_once(site: &Site, seed: u64, count: u64, world: &World) {
    malformed::all(site.address, seed, count, world).await;
}

/// What the healthy client sees when nobody else is there.
async fn rest(healthy: &Healthy) -> Seen {
    // What came before this stretch belongs to another.
    drop(healthy.seen());
    sleep(QUIET).await;
    healthy.seen()
}

fn compare(name: &str, beside: &Seen, quiet: &Seen) -> Check {
    let base = quiet.p99().max(RESOLUTION);
    let ratio = beside.p99().as_secs_f64() / base.as_secs_f64();
    let what = format!(
        "healthy p99 beside {name}: {:.1} ms, quiet {:.1} ms; ratio",
        beside.p99().as_secs_f64() * 1000.0,
        quiet.p99().as_secs_f64() * 1000.0,
    );
    Check::judged(what, format!("{ratio:.2}"), "≤ 2", ratio <= 2.0)
}

async fn floods(kind: h2::Flood, site: &Site, token: &str) -> Check {
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|_| async move {
            let mut worst = None;
            for _ in 0..FLOODS {
                match h2::flood(kind, site.address, token, HELPINGS).await {
                    Ok(flooded) if flooded.ended => worst = worst.max(Some(flooded.taken)),
                    Ok(_) if kind.must_end() => return Err("went on".to_owned()),
                    Ok(flooded) => worst = worst.max(Some(flooded.taken)),
                    Err(error) => return Err(error.to_string()),
                }
                sleep(FLOOD_PAUSE).await;
            }
            Ok(worst.unwrap_or(0))
        })
        .collect();
    let what = format!("{} floods of {}: frames taken", FLOODERS * FLOODS, kind.name());
    let limit = if kind.must_end() {
        "ended by the server"
    } else {
        "any"
    };
    let outcomes: Result<Vec<u32>, String> = futures_util::future::join_all(flooders)
        .await
        .into_iter()
        .collect();
    match outcomes {
        Ok(taken) => Check::judged(what, taken.into_iter().max().unwrap_or(0), limit, true),
        Err(reason) => Check::judged(what, reason, limit, false),
    }
}

/// Looks at the server's memory while something else happens.
struct Watch<'a> {
    site: &'a Site,
    peak: u64,
}

impl Watch<'_> {
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(work);
        loop {
            if let Ok(done) = timeout(LOOK, &mut work).await {
                return Ok(done);
            }
            self.peak = self.peak.max(self.site.resident().await?);
        }
    }
}
