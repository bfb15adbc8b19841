//! Row 6, first part: a node is lost under load, ten times; its shards are served elsewhere within two seconds, and the others notice
//! nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use super::Trial;
use super::cluster::Scene;
use crate::Failure;
use crate::fleet::NAMES;
use crate::verdict::Check;
use crate::windows::{Count, percentile, unserved};

const KILLS: usize = 10;
/// What is looked at after a kill.
const WINDOW: Duration = Duration::from_secs(5);
/// Until the last canary of the window has been answered or given up.
const STRAGGLERS: Duration = Duration::from_millis(2100);
/// Before each kill, once the shards are balanced.
const CALM: Duration = Duration::from_secs(2);
const P50_MAX: Duration = Duration::from_millis(1500);
const P99_MAX: Duration = Duration::from_secs(2);

/// Kills one node after the other.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let mut scene = Scene::set(trial, false).await?;
    let prober = scene.probe()?;
    let covered: BTreeSet<u8> = scene.canaries.iter().map(|canary| canary.shard).collect();
    let (mut taken, mut others, mut rejoining) = (Vec::new(), Vec::new(), Vec::new());
    for kill in 0..KILLS {
        scene.calm(3, CALM).await?;
        rejoining.extend(prober.seen());
        let victim = kill % scene.fleet.nodes.len();
        let owned = scene.tables.owned(NAMES[victim]).await?;
        let lost: BTreeSet<u8> = owned.intersection(&covered).copied().collect();
        let at = scene.fleet.kill(victim).await?;
        sleep(WINDOW + STRAGGLERS).await;
        let seen = prober.seen();
        let windows = unserved(&seen, &lost, victim, at, at + WINDOW);
        eprintln!(
            "lyceum-chaos: kill {} of {}: {} shards not served for {:?} to {:?}",
            kill + 1,
            NAMES[victim],
            windows.len(),
            windows.values().min().unwrap_or(&Duration::ZERO),
            windows.values().max().unwrap_or(&Duration::ZERO),
        );
        taken.extend(windows.into_values());
        others.extend(
            seen.iter()
                .filter(|seen| seen.due >= at && seen.due < at + WINDOW && !lost.contains(&seen.shard))
                .copied(),
        );
        scene.fleet.launch(victim)?;
        scene.fleet.ready(victim).await?;
    }
    scene.calm(3, CALM).await?;
    rejoining.extend(prober.seen());
    drop(prober);
    let others = Count::of(others.iter());
    let rejoining = Count::of(rejoining.iter());
    let mut checks = vec![
        Check::at_least("shards of killed nodes that canaries watched", taken.len(), 100),
        within(
            "takeover of a shard, as its callers see it: p50",
            percentile(&taken, 50),
            P50_MAX,
        ),
        within(
            "takeover of a shard, as its callers see it: p99",
            percentile(&taken, 99),
            P99_MAX,
        ),
        within(
            "takeover of a shard: the longest",
            percentile(&taken, 100),
            P99_MAX,
        ),
        Check::judged(
            format!("other shards meanwhile: {}", others.told()),
            format!("{:.3} %", others.percent()),
            "< 1 %",
            others.percent() < 1.0,
        ),
        Check::judged(
            format!("before, and while nodes come back: {}", rejoining.told()),
            rejoining.failed(),
            "0",
            rejoining.failed() == 0,
        ),
    ];
    checks.extend(scene.judge().await?);
    Ok(checks)
}

/// A time that must not be above its limit.
pub(super) fn within(what: impl Into<String>, figure: Duration, limit: Duration) -> Check {
    let told = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    Check::judged(what, told(figure), format!("≤ {}", told(limit)), figure <= limit)
}
