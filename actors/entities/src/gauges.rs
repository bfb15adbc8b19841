//! Gauges that have to be looked up: shards, connections, open sagas, the balance of the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lyceum_runtime::{Database, ShardMap, StoreError, supervise};
use metrics::gauge;

/// How often the cheap ones are looked up; a scraper seldom comes more often.
const EVERY: Duration = Duration::from_secs(5);
/// The ledger is added up once in so many looks: it is read from its beginning.
const LEDGER_EVERY: u32 = 12;
const OPEN_SAGAS: &str = "SELECT state, count(*), extract(epoch FROM now() - min(updated_at))::float8 \
    FROM sagas GROUP BY state";
/// What every account adds up to, per currency; anything but 0 is money made or lost.
const IMBALANCE: &str = "SELECT coalesce(sum(abs(total)), 0)::bigint FROM \
    (SELECT sum(amount) AS total FROM ledger_entries GROUP BY currency) AS currencies";

/// Keeps the gauges current for as long as the node lives.
pub(crate) fn keep(database: Database, shards: Arc<ShardMap>) {
    supervise("gauges", move || look(database.clone(), shards.clone()));
}

async fn look(database: Database, shards: Arc<ShardMap>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut states = BTreeSet::new();
    for looks in (0..LEDGER_EVERY).cycle() {
        ticks.tick().await;
        of_node(&database, &shards);
        if let Err(error) = of_stores(&database, &mut states, looks == 0).await {
            tracing::warn!(%error, "gauges could not be looked up");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges of small counts")]
fn of_node(database: &Database, shards: &ShardMap) {
    let (mut serving, mut fenced, mut unassigned) = (0_u32, 0_u32, 0_u32);
    for (shard, epoch) in shards.all() {
        match (epoch, shards.fenced_at(shard)) {
            (0, Some(_)) => fenced += 1,
            (0, None) => unassigned += 1,
            _ => serving += 1,
        }
    }
    for (state, count) in [
        ("serving", serving),
        ("fenced", fenced),
        ("unassigned", unassigned),
    ] {
        gauge!("shards", "state" => state).set(f64::from(count));
    }
    let (used, open) = database.connections();
    gauge!("db_pool_connections", "state" => "used").set(used as f64);
    gauge!("db_pool_connections", "state" => "idle").set(open.saturating_sub(used) as f64);
}

#[expect(clippy::cast_precision_loss, reason = "gauges: exact up to 2^53")]
async fn of_stores(
    database: &Database,
    states: &mut BTreeSet<String>,
    with_ledger: bool,
) -> Result<(), StoreError> {
    let open = database.query(OPEN_SAGAS, &[]).await?;
    // A state that has emptied since the last look is 0 again, not what it was.
    for state in states.iter() {
        gauge!("saga_in_state", "state" => state.clone()).set(0.0);
        gauge!("saga_oldest_age_seconds", "state" => state.clone()).set(0.0);
    }
    for row in open {
        let state: String = row.get(0);
        gauge!("saga_in_state", "state" => state.clone()).set(row.get::<_, i64>(1) as f64);
        gauge!("saga_oldest_age_seconds", "state" => state.clone()).set(row.get::<_, f64>(2));
        states.insert(state);
    }
    if with_ledger && let Some(row) = database.query_opt(IMBALANCE, &[]).await? {
        gauge!("ledger_imbalance_minor_units").set(row.get::<_, i64>(0) as f64);
    }
    Ok(())
}
