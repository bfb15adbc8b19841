//! Gauges that have to be looked up: shards, connections, open sagas, the balance of the ledger.

use std::sync::Arc;
use std::time::Duration;

use lyceum_runtime::{Database, ShardMap, StoreError, look_up, supervise};

use crate::meters::{LEDGER_IMBALANCE_MINOR_UNITS, OPEN_STATES, SAGA_IN_STATE, SAGA_OLDEST_AGE_SECONDS};

/// How often the cheap ones are looked up; a scraper seldom comes more often.
const EVERY: Duration = Duration::from_secs(5);
/// The ledger is added up once in so many looks: it is read from its beginning.
const LEDGER_EVERY: u32 = 12;
const OPEN_SAGAS: &str = "SELECT state, count(*), extract(epoch FROM now() - min(since))::float8 \
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
    for looks in (0..LEDGER_EVERY).cycle() {
        ticks.tick().await;
        look_up(&database, &shards);
        if let Err(error) = of_stores(&database, looks == 0).await {
            tracing::warn!(%error, "gauges could not be looked up");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges: exact up to 2^53")]
async fn of_stores(database: &Database, with_ledger: bool) -> Result<(), StoreError> {
    let open = database.query(OPEN_SAGAS, &[]).await?;
    // A state that has emptied since the last look is 0 again, not what it was.
    for state in OPEN_STATES {
        let row = open.iter().find(|row| row.get::<_, &str>(0) == *state);
        let (count, age) = row.map_or((0, 0.0), |row| (row.get::<_, i64>(1), row.get(2)));
        SAGA_IN_STATE.with([state]).set(count as f64);
        SAGA_OLDEST_AGE_SECONDS.with([state]).set(age);
    }
    if with_ledger && let Some(row) = database.query_opt(IMBALANCE, &[]).await? {
        LEDGER_IMBALANCE_MINOR_UNITS
            .get()
            .set(row.get::<_, i64>(0) as f64);
    }
    Ok(())
}
