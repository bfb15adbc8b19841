//! Row 7: a node that stands still under load is seen as lost; whoever wants something of it hears 503 from the others, not silence, and
//! they do not pile up what they cannot deliver.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Trial;
use super::cluster::Scene;
use super::takeover::within;
use crate::Failure;
use crate::fleet::NAMES;
use crate::verdict::Check;
use crate::windows::{Count, percentile, unserved};

const FROZEN: usize = 2;
const OTHERS: [usize; 2] = [0, 1];
const FROZEN_FOR: Duration = Duration::from_secs(10);
/// Before, so that memory has settled.
const CALM: Duration = Duration::from_secs(10);
const STRAGGLERS: Duration = Duration::from_millis(2100);
pub(super) const DETECTED_MAX: Duration = Duration::from_secs(2);
/// What a node may hold more while another one stands still, MiB.
pub(super) const MEMORY_MAX: u64 = 32;
pub(super) const MIB: u64 = 1024 * 1024;
const REJOIN_MAX: Duration = Duration::from_secs(20);

/// Stops a node for a while.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let scene = Scene::set(trial, false).await?;
    let prober = scene.probe()?;
    scene.calm(3, CALM).await?;
    prober.seen();
    let shards = scene.tables.owned(NAMES[FROZEN]).await?;
    let before = scene.resident(OTHERS)?;
    let at = scene.fleet.freeze(FROZEN).await?;
    let (dead, grown) = tokio::try_join!(
        scene.dead_after(NAMES[FROZEN], at, FROZEN_FOR),
        scene.grown(OTHERS, before, at + FROZEN_FOR)
    )?;
    sleep(STRAGGLERS).await;
    let seen = prober.seen();
    scene.fleet.thaw(FROZEN).await?;
    let thawed = Instant::now();
    scene
        .tables
        .until(NAMES[FROZEN], &["serving"], REJOIN_MAX)
        .await?;
    let back = thawed.elapsed();
    scene.calm(3, STRAGGLERS).await?;
    drop(prober);

    let windows = unserved(&seen, &shards, FROZEN, at, at + FROZEN_FOR / 2);
    let windows: Vec<Duration> = windows.into_values().collect();
    let during =
        |seen: &&crate::prober::Seen| seen.due >= at && seen.due < at + FROZEN_FOR && seen.through != FROZEN;
    let hurt = Count::of(
        seen.iter()
            .filter(during)
            .filter(|seen| shards.contains(&seen.shard)),
    );
    let others = Count::of(
        seen.iter()
            .filter(during)
            .filter(|seen| !shards.contains(&seen.shard)),
    );
    let through = Count::of(
        seen.iter()
            .filter(|seen| seen.through == FROZEN && seen.due >= at),
    );
    let mut checks = vec![
        within("declared dead after", dead, DETECTED_MAX),
        within(
            "its shards are served elsewhere, p99",
            percentile(&windows, 99),
            DETECTED_MAX,
        ),
        Check::at_most("memory that the others gained, MiB", grown / MIB, MEMORY_MAX),
        Check::none(
            format!(
                "its shards, asked through the others, without an answer: {}",
                hurt.told()
            ),
            hurt.silent + hurt.broken + hurt.wrong,
        ),
        Check::judged(
            format!("other shards: {}", others.told()),
            format!("{:.3} %", others.percent()),
            "< 1 %",
            others.percent() < 1.0,
        ),
        Check::judged(
            "sent into the frozen node before a balancer looked away",
            through.all,
            "any",
            true,
        ),
        within("it rejoins by itself after", back, REJOIN_MAX),
    ];
    checks.extend(scene.judge().await?);
    Ok(checks)
}
