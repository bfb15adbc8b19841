//! Row 1, on three nodes: Postgres stops as by a power failure five times under load. Everybody serves again by himself soon after it is
//! back, nobody is declared dead for it, and nothing is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::NoTls;

use super::Trial;
use super::cluster::Scene;
use super::takeover::within;
use crate::Failure;
use crate::ownership::Tables;
use crate::stores::Stores;
use crate::verdict::Check;
use crate::windows::{percentile, unserved};

const CRASHES: usize = 5;
const CALM: Duration = Duration::from_secs(3);
/// What is looked at once Postgres is back.
const WINDOW: Duration = Duration::from_secs(8);
const STRAGGLERS: Duration = Duration::from_millis(2100);
const SERVES_AFTER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// Crashes Postgres.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let mut scene = Scene::set(trial, false).await?;
    let prober = scene.probe()?;
    let every: BTreeSet<u8> = scene.canaries.iter().map(|canary| canary.shard).collect();
    let starts = scene.tables.members().await?.len();
    let mut windows = Vec::new();
    for _ in 0..CRASHES {
        sleep(CALM).await;
        prober.seen();
        scene.stores.crash().await?;
        let (started, back) = tokio::join!(scene.stores.start(), answers(&scene.stores));
        started?;
        sleep((back + WINDOW + STRAGGLERS).saturating_duration_since(Instant::now())).await;
        let seen = prober.seen();
        let crash: Vec<Duration> = unserved(&seen, &every, usize::MAX, back, back + WINDOW)
            .into_values()
            .collect();
        eprintln!(
            "lyceum-chaos: served {:?} after Postgres was back",
            percentile(&crash, 100)
        );
        windows.extend(crash);
    }
    drop(prober);
    // Its own connection was cut as well.
    scene.tables = Tables::open(&scene.stores).await?;
    let begun = scene.tables.members().await?.len() - starts;
    let mut checks = vec![
        within(
            format!(
                "three nodes, {CRASHES} crashes of Postgres: every shard is served again, once it is back, p50"
            ),
            percentile(&windows, 50),
            SERVES_AFTER,
        ),
        within("  the longest", percentile(&windows, 100), SERVES_AFTER),
        Check::none("  nodes that were declared dead for it", begun),
    ];
    checks.extend(scene.judge().await?);
    Ok(checks)
}

/// Waits until Postgres takes connections.
async fn answers(stores: &Stores) -> Instant {
    loop {
        if let Ok((client, connection)) = tokio_postgres::connect(&stores.readable, NoTls).await {
            drop(client);
            // What it has to say goodbye about is of no interest.
            let _ = connection.await;
            return Instant::now();
        }
        sleep(LOOK).await;
    }
}
