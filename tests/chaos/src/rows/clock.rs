//! Row 6, last part: one of three nodes has a wall clock that is two minutes ahead. That decides nothing: it serves like the others, its
//! shards are taken over as quickly, and what it wrote is in order.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::Trial;
use super::cluster::Scene;
use super::takeover::within;
use crate::Failure;
use crate::fleet::{Fleet, NAMES};
use crate::verdict::Check;
use crate::windows::{Count, percentile, unserved};

/// Where Debian's package `libfaketime` puts it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Who is ahead.
const AHEAD: usize = 1;
const LASTS: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(5);
const STRAGGLERS: Duration = Duration::from_millis(2100);
const TAKEOVER_MAX: Duration = Duration::from_secs(2);

/// Sets a clock, where there is a library for that.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let library = std::env::var("FAKETIME_LIBRARY").unwrap_or_else(|_| LIBRARY.to_owned());
    if !Path::new(&library).exists() {
        let what = "a clock that is 120 s ahead: not tried, since there is no libfaketime";
        return Ok(vec![Check::judged(what, "skipped", "any", true)]);
    }
    let stores = trial.stores().await?;
    let mut fleet = Fleet::start(trial.place, &stores, 3, false).await?;
    fleet.terminate(AHEAD).await?;
    fleet.nodes[AHEAD].environment = vec![
        ("LD_PRELOAD", library),
        ("FAKETIME", "+120s".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    fleet.launch(AHEAD)?;
    fleet.ready(AHEAD).await?;
    let addresses = fleet.addresses();
    let mut scene = Scene::through(trial, stores, fleet, &addresses).await?;
    let prober = scene.probe()?;
    sleep(LASTS).await;
    let calm = Count::of(prober.seen().iter());
    let mut windows = Vec::new();
    for victim in [AHEAD, 0] {
        scene.calm(3, Duration::from_secs(2)).await?;
        prober.seen();
        let shards = scene.tables.owned(NAMES[victim]).await?;
        let at = scene.fleet.kill(victim).await?;
        sleep(WINDOW + STRAGGLERS).await;
        windows.extend(unserved(&prober.seen(), &shards, victim, at, at + WINDOW).into_values());
        scene.fleet.launch(victim)?;
        scene.fleet.ready(victim).await?;
    }
    drop(prober);
    let mut checks = vec![
        Check::none(
            format!("{} with a clock 120 s ahead: {}", NAMES[AHEAD], calm.told()),
            calm.failed(),
        ),
        within(
            "  takeover from it, and by it, p99",
            percentile(&windows, 99),
            TAKEOVER_MAX,
        ),
    ];
    checks.extend(scene.judge().await?);
    Ok(checks)
}
