//! Gauges that have to be looked up: shards, connections, open sagas.

use std::sync::Arc;
use std::time::Duration;

use lyceum_runtime::{Database, ShardMap, StoreError, look_up, supervise};

use crate::meters::{OPEN_STATES, SAGA_IN_STATE, SAGA_OLDEST_AGE_SECONDS};

/// How often the cheap ones are looked up; a scraper seldom comes more often.
const EVERY: Duration = Duration::from_secs(5);
const OPEN_SAGAS: &str = "SELECT state, count(*), extract(epoch FROM now() - min(since))::float8 \
    FROM sagas GROUP BY state";
/// Keeps the gauges current for as long as the node lives.
pub(crate) fn keep(database: Database, shards: Arc<ShardMap>) {
    supervise("gauges", move || look(database.clone(), shards.clone()));
}

async fn look(database: Database, shards: Arc<ShardMap>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look_up(&database, &shards);
        if let Err(error) = of_stores(&database).await {
            tracing::warn!(%error, "gauges could not be looked up");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges: exact up to 2^53")]
async fn of_stores(database: &Database) -> Result<(), StoreError> {
    let open = database.query(OPEN_SAGAS, &[]).await?;
    // A state that has emptied since the last look is 0 again, not what it was.
    for state in OPEN_STATES {
        let row = open.iter().find(|row| row.get::<_, &str>(0) == *state);
        let (count, age) = row.map_or((0, 0.0), |row| (row.get::<_, i64>(1), row.get(2)));
        SAGA_IN_STATE.with([state]).set(count as f64);
        SAGA_OLDEST_AGE_SECONDS.with([state]).set(age);
    }
    Ok(())
}
