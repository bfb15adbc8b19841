//! Row 10: planned change is invisible. Behind the load balancer one node after the other is drained, ended and started again, then a
//! fourth one joins; nobody is answered worse for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{interval, sleep};

use super::Trial;
use super::cluster::Scene;
use super::takeover::within;
use crate::Failure;
use crate::balancer::Balancer;
use crate::buying::Tally;
use crate::fleet::Fleet;
use crate::prober::Prober;
use crate::verdict::{Check, Outcome};
use crate::windows::Count;
use crate::wire::{Wire, request};

/// Longer than the balancer takes to look away.
const NOTICE_MS: u32 = 1000;
/// Reads and writes of 64 people, each so often: 160 a second; purchases are the rest of 200.
const EVERY: Duration = Duration::from_millis(400);
/// For each node, and for the newcomer.
const LASTS: Duration = Duration::from_secs(60);
/// Of these, before it is told to end.
const BEFORE: Duration = Duration::from_secs(10);
const STRAGGLERS: Duration = Duration::from_millis(2100);
const RATE_MIN: u64 = 200;
const EXIT_MAX: Duration = Duration::from_secs(25);
const SEALED_MAX: f64 = 0.05;
const JOINED_MAX: Duration = Duration::from_secs(30);
/// How often the nodes are asked how long shards were sealed: one that ends takes its count along.
const SCRAPE: Duration = Duration::from_millis(100);

/// Tries it where there is a balancer.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let found = tokio::process::Command::new("haproxy").arg("-v").output().await;
    if !found.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Skipped(
            "there is no haproxy to send requests elsewhere".to_owned(),
        ));
    }
    change(trial).await.map(Outcome::Tried)
}

async fn change(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let stores = trial.stores().await?;
    let settings = [
        ("http.proxies_trusted", "1".to_owned()),
        ("http.drain_notice_ms", NOTICE_MS.to_string()),
    ];
    let mut fleet = Fleet::start_with(trial.place, &stores, 3, false, &settings).await?;
    let fourth = fleet.add().await?;
    let balancer = Balancer::start(&fleet.addresses(), &trial.place.out).await?;
    let mut scene = Scene::through(trial, stores, fleet, &[balancer.address]).await?;
    let sealed = Sealed::watch(&scene.fleet.addresses());
    let prober = Prober::start(&[balancer.address], &scene.canaries, EVERY)?;
    let (began, bought_before) = (Instant::now(), Tally::of(&scene.buying.tally.acknowledged));
    let mut exits = Vec::new();
    for number in 0..3 {
        let round = Instant::now();
        sleep(BEFORE).await;
        exits.push(scene.fleet.terminate(number).await?);
        scene.fleet.launch(number)?;
        scene.fleet.ready(number).await?;
        balancer.sees(number).await?;
        sleep(LASTS.saturating_sub(round.elapsed())).await;
    }
    let lasted = began.elapsed();
    let asked = Tally::of(&scene.buying.tally.acknowledged) - bought_before;
    sleep(STRAGGLERS).await;
    let seen = prober.seen();
    let rolled = Count::of(seen.iter());
    let unwell = troubles(&scene);

    let joined = Instant::now();
    scene.fleet.launch(fourth)?;
    scene.fleet.ready(fourth).await?;
    let balanced = scene.tables.balanced(4, JOINED_MAX).await;
    let joined_after = joined.elapsed();
    sleep(LASTS.saturating_sub(joined.elapsed())).await;
    let four = Count::of(prober.seen().iter());
    drop(prober);
    let unwell_later = troubles(&scene) - unwell;

    let rate = (u64::try_from(rolled.all)? + asked) / lasted.as_secs().max(1);
    let slowest = exits.iter().max().copied().unwrap_or_default();
    let (moves, p99) = sealed.p99();
    let mut checks = vec![
        Check::at_least("requests a second while three nodes are replaced", rate, RATE_MIN),
        Check::none(
            format!("  reads and writes of profiles: {}", rolled.told()),
            rolled.failed(),
        ),
        Check::judged("  purchases not answered well at once", unwell, "0", unwell == 0),
        within("  the slowest exit", slowest, EXIT_MAX),
        Check::judged(
            format!("seal to open of {moves} shards, p99 not above"),
            format!("{:.0} ms", p99 * 1000.0),
            "≤ 50 ms",
            moves > 0 && p99 <= SEALED_MAX,
        ),
        Check::none(format!("a fourth node joins: {}", four.told()), four.failed()),
        Check::judged(
            "  purchases not answered well at once",
            unwell_later,
            "0",
            unwell_later == 0,
        ),
        within("  until it has its share of the shards", joined_after, JOINED_MAX),
    ];
    if let Err(failure) = balanced {
        checks.push(Check::judged(format!("  {failure}"), "never", "even", false));
    }
    checks.extend(scene.judge().await?);
    Ok(checks)
}

/// Purchases that were not acknowledged at the first attempt.
fn troubles(scene: &Scene) -> u64 {
    let tally = &scene.buying.tally;
    tally.unknown.load(Ordering::Relaxed) + tally.refused.load(Ordering::Relaxed)
}

/// Counts of one start of a node, by upper bound, as it told them last; and those of its starts that have ended.
type Counts = BTreeMap<usize, (Vec<(f64, u64)>, Vec<(f64, u64)>)>;

/// How long shards were sealed, as the nodes count it.
struct Sealed {
    counts: Arc<Mutex<Counts>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Sealed {
    fn watch(nodes: &[SocketAddr]) -> Self {
        let counts = Arc::<Mutex<Counts>>::default();
        let (nodes, noted) = (nodes.to_vec(), counts.clone());
        let watching = tokio::spawn(async move {
            let mut ticks = interval(SCRAPE);
            loop {
                ticks.tick().await;
                for (number, address) in nodes.iter().enumerate() {
                    let Some(told) = scrape(*address).await else {
                        continue;
                    };
                    let mut counts = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    let (ended, last) = counts.entry(number).or_default();
                    let total = |counts: &[(f64, u64)]| counts.last().map_or(0, |(_, count)| *count);
                    if total(&told) < total(last) {
                        // It has begun anew.
                        add(ended, last);
                    }
                    *last = told;
                }
            }
        });
        Sealed { counts, watching }
    }

    /// How many hand-overs there were, and a bound that 99 of 100 did not exceed.
    fn p99(&self) -> (u64, f64) {
        let mut all = Vec::new();
        for (ended, last) in self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            add(&mut all, ended);
            add(&mut all, last);
        }
        let total = all.last().map_or(0, |(_, count)| *count);
        let bound = all.iter().find(|(_, count)| count * 100 >= total * 99);
        (total, bound.map_or(f64::INFINITY, |(bound, _)| *bound))
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn add(sum: &mut Vec<(f64, u64)>, other: &[(f64, u64)]) {
    if sum.is_empty() {
        *sum = other.to_vec();
        return;
    }
    for (sum, other) in sum.iter_mut().zip(other) {
        sum.1 += other.1;
    }
}

/// The cumulative counts of `shard_handoff_seconds`.
async fn scrape(address: SocketAddr) -> Option<Vec<(f64, u64)>> {
    let scraped = async {
        let mut wire = Wire::open(address).await.ok()?;
        let asked = request("GET", "/metrics", &[("connection", "close")], None);
        wire.send(&asked).await.ok()?;
        wire.answer(false).await.ok()?
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), scraped)
        .await
        .ok()??;
    Some(buckets(&String::from_utf8_lossy(&answer.body)))
}

fn buckets(text: &str) -> Vec<(f64, u64)> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("shard_handoff_seconds_bucket{le=\""));
    let bucket = |line: &str| {
        let (bound, count) = line.split_once("\"} ")?;
        Some((
            bound.replace("+Inf", "inf").parse().ok()?,
            count.trim().parse().ok()?,
        ))
    };
    lines.filter_map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_counts_are_read_and_added() {
        let text = "# TYPE shard_handoff_seconds histogram\nshard_handoff_seconds_bucket{le=\"0.05\"} 3\nshard_handoff_seconds_bucket{le=\"+Inf\"} 4\n";
        let read = buckets(text);
        assert_eq!(read, [(0.05, 3), (f64::INFINITY, 4)]);

        let mut sum = Vec::new();
        add(&mut sum, &read);
        add(&mut sum, &read);
        assert_eq!(sum, [(0.05, 6), (f64::INFINITY, 8)]);
    }
}
