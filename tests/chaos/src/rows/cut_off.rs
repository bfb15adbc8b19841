//! Row 6, further parts: a node that is cut off from the others, from Postgres, or that stands still for half a minute and goes on. Each
//! shard has one owner throughout, nothing is written late, and the node comes back by itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::Trial;
use super::cluster::Scene;
use super::frozen::{DETECTED_MAX, MEMORY_MAX, MIB};
use super::takeover::within;
use crate::Failure;
use crate::fleet::NAMES;
use crate::prober::Canary;
use crate::proxy::Faults;
use crate::verdict::Check;
use crate::windows::{Count, percentile, unserved};
use crate::wire::{Wire, request};

/// Who is cut off, and who stands still.
const VICTIM: usize = 0;
const FROZEN: usize = 1;
const OTHERS: [usize; 2] = [0, 2];
/// How long the network is cut.
const CUT: Duration = Duration::from_secs(10);
const FROZEN_FOR: Duration = Duration::from_secs(30);
/// Before and after each.
const CALM: Duration = Duration::from_secs(3);
/// Until the last canary has been answered or given up.
const STRAGGLERS: Duration = Duration::from_millis(2100);
/// A node that lost its lease begins again.
const REJOIN_MAX: Duration = Duration::from_secs(20);
/// By the rule for a node that is lost; a silent network is noticed as late as a silent node.
const TAKEOVER_MAX: Duration = Duration::from_secs(2);
/// Somebody who wrote to a node that stood still hears of it when it goes on.
const LATE_TIMEOUT: Duration = Duration::from_secs(10);

/// Cuts and heals, stops and continues.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let scene = Scene::set(trial, true).await?;
    let mut checks = from_the_others(&scene).await?;
    checks.extend(from_postgres(&scene).await?);
    checks.extend(standing_still(&scene).await?);
    checks.extend(scene.judge().await?);
    Ok(checks)
}

/// Its links are cut, and it still reaches Postgres: nobody may take anything from it.
async fn from_the_others(scene: &Scene) -> Result<Vec<Check>, Failure> {
    let before = scene
        .tables
        .until(NAMES[VICTIM], &["serving"], REJOIN_MAX)
        .await?;
    let prober = scene.probe()?;
    sleep(CALM).await;
    prober.seen();
    scene.fleet.cut(VICTIM, true)?;
    let cut = Instant::now();
    sleep(CUT).await;
    scene.fleet.cut(VICTIM, false)?;
    let healed = Instant::now();
    sleep(CALM + STRAGGLERS).await;
    let seen = prober.seen();
    let count = Count::of(seen.iter().filter(|seen| seen.due >= cut && seen.due < healed));
    let every: BTreeSet<u8> = scene.canaries.iter().map(|canary| canary.shard).collect();
    let back = unserved(&seen, &every, usize::MAX, healed, healed + CALM);
    let back: Vec<Duration> = back.into_values().collect();
    let after = scene
        .tables
        .until(NAMES[VICTIM], &["serving"], REJOIN_MAX)
        .await?;
    Ok(vec![
        Check::judged(
            format!(
                "{VICTIM_TOLD} cut off from the others for {CUT:?}, not from Postgres: {}",
                count.told()
            ),
            format!("{:.1} %", count.percent()),
            "told",
            true,
        ),
        Check::none("  of these without any answer", count.silent),
        within(
            "  every shard is reached from everywhere again, after it healed",
            percentile(&back, 100),
            TAKEOVER_MAX,
        ),
        Check::judged(
            "  it stayed the same incarnation",
            after.incarnation == before.incarnation,
            "true",
            after.incarnation == before.incarnation,
        ),
    ])
}

const VICTIM_TOLD: &str = NAMES[VICTIM];

/// It hears the others and not Postgres: it has to stop by itself.
async fn from_postgres(scene: &Scene) -> Result<Vec<Check>, Failure> {
    let prober = scene.probe()?;
    sleep(CALM).await;
    prober.seen();
    let before = scene
        .tables
        .until(NAMES[VICTIM], &["serving"], REJOIN_MAX)
        .await?;
    let shards = scene.tables.owned(NAMES[VICTIM]).await?;
    let proxy = scene.fleet.nodes[VICTIM]
        .database
        .as_ref()
        .ok_or("it has a proxy")?;
    proxy.set(Faults::partition());
    let cut = Instant::now();
    sleep(CUT).await;
    proxy.set(Faults::default());
    let healed = Instant::now();
    let back = rejoined(scene, NAMES[VICTIM], &before.incarnation).await?;
    scene.calm(3, CALM + STRAGGLERS).await?;
    let seen = prober.seen();
    let windows = unserved(&seen, &shards, VICTIM, cut, cut + CUT / 2);
    let windows: Vec<Duration> = windows.into_values().collect();
    let after = Count::of(
        seen.iter()
            .filter(|seen| seen.through != VICTIM && seen.due >= healed),
    );
    Ok(vec![
        within(
            format!(
                "{VICTIM_TOLD} cut off from Postgres alone for {CUT:?}: its shards are served elsewhere, p99"
            ),
            percentile(&windows, 99),
            TAKEOVER_MAX,
        ),
        within("  it rejoins by itself as a new incarnation", back, REJOIN_MAX),
        Check::none("  canaries that fail once it healed", after.failed()),
    ])
}

/// It stands still while writes pile up in front of it, and goes on when others own its shards.
async fn standing_still(scene: &Scene) -> Result<Vec<Check>, Failure> {
    let name = NAMES[FROZEN];
    let prober = scene.probe()?;
    sleep(CALM).await;
    let before = scene.tables.until(name, &["serving"], REJOIN_MAX).await?;
    let shards = scene.tables.owned(name).await?;
    let memory = scene.resident(OTHERS)?;
    let frozen = scene.fleet.freeze(FROZEN).await?;
    let late: Vec<&Canary> = scene
        .canaries
        .iter()
        .filter(|canary| shards.contains(&canary.shard))
        .collect();
    let mut wires = Vec::new();
    for canary in &late {
        let mut wire = Wire::open(scene.fleet.nodes[FROZEN].http).await?;
        let bearer = format!("Bearer {}", canary.token);
        let body = json!({"bio": "late"});
        let written = request("PATCH", "/v1/me", &[("authorization", &bearer)], Some(&body));
        wire.send(&written).await?;
        wires.push(wire);
    }
    let (dead, grown) = tokio::try_join!(
        scene.dead_after(name, frozen, FROZEN_FOR),
        scene.grown(OTHERS, memory, frozen + FROZEN_FOR)
    )?;
    prober.seen();
    scene.fleet.thaw(FROZEN).await?;
    let thawed = Instant::now();
    let mut done = 0_usize;
    for wire in &mut wires {
        if let Ok(Ok(Some(answer))) = timeout(LATE_TIMEOUT, wire.answer(false)).await {
            done += usize::from(answer.status == 200);
        }
    }
    let back = rejoined(scene, name, &before.incarnation).await?;
    scene.calm(3, CALM + STRAGGLERS).await?;
    let after = prober.seen();
    let after = Count::of(
        after
            .iter()
            .filter(|seen| seen.through != FROZEN && seen.due >= thawed),
    );
    let members = scene.tables.members().await?;
    let fenced = members
        .iter()
        .find(|member| member.incarnation == before.incarnation);
    Ok(vec![
        Check::at_least(
            format!(
                "{name} stood still for {FROZEN_FOR:?}: late writes that it refused, of {} sent to it meanwhile",
                late.len()
            ),
            fenced.map_or(0, |member| member.fenced),
            1,
        ),
        within("  declared dead after", dead, DETECTED_MAX),
        Check::at_most("  memory that the others gained, MiB", grown / MIB, MEMORY_MAX),
        Check::judged(
            "  late writes that were carried out by their new owners",
            done,
            "any",
            true,
        ),
        within("  it rejoins by itself as a new incarnation", back, REJOIN_MAX),
        Check::none("  canaries that fail once it goes on", after.failed()),
    ])
}

/// Waits until a node serves as another incarnation.
async fn rejoined(scene: &Scene, name: &str, before: &str) -> Result<Duration, Failure> {
    let began = Instant::now();
    loop {
        let left = REJOIN_MAX.saturating_sub(began.elapsed());
        let now = scene.tables.until(name, &["serving"], left).await?;
        if now.incarnation != before {
            return Ok(began.elapsed());
        }
        if left.is_zero() {
            return Err(format!("{name} still is the incarnation that was lost").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
