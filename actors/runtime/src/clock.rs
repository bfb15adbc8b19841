//! The wall clock, read here and handed to whatever needs the present.
//!
//! All nodes mean the same present: that of the database, which every one of them can ask. A node whose own clock differs from it by more
//! than synchronised clocks do would sign tokens that others refuse, and end logins, payments and sales too early or too late; it
//! reads its clock with a correction. Nothing that decides ownership looks here: leases run on the database's clock and on
//! monotonic time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lyceum_kernel::Timestamp;

use crate::database::Database;
use crate::meters::CLOCK_OFFSET_SECONDS;
use crate::store_error::StoreError;

/// Differences up to this, in milliseconds, are what synchronised clocks and a busy machine leave, and are not followed.
const TOLERANCE_MS: i64 = 500;
/// An answer that took longer says too little about when the database read its clock.
const ANSWER_MAX: Duration = Duration::from_millis(400);
/// How often the clocks are compared; a step of the machine's clock is followed within it.
const COMPARE_EVERY: Duration = Duration::from_secs(5);

/// What is added to this node's clock, in milliseconds.
static CORRECTION_MS: AtomicI64 = AtomicI64::new(0);

/// The present: this node's wall clock, or the database's where they differ.
pub fn now() -> Timestamp {
    Timestamp::from_millis(own_ms().saturating_add(correction_ms()))
}

pub(crate) fn correction_ms() -> i64 {
    CORRECTION_MS.load(Ordering::Relaxed)
}

/// Compares this node's clock with the database's, and corrects it if they differ.
///
/// # Errors
/// The database is away.
pub async fn compare(database: &Database) -> Result<(), StoreError> {
    const READ: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let began = Instant::now();
    let Some(row) = database.query_opt(READ, &[]).await? else {
        return Ok(());
    };
    let took = began.elapsed();
    if took > ANSWER_MAX {
        return Ok(());
    }
    let half_ms = i64::try_from(took.as_millis() / 2).unwrap_or(0);
    let ahead_ms = row.get::<_, i64>(0) - (own_ms() - half_ms);
    let before = correction_ms();
    let after = corrected(before, ahead_ms);
    if after != before {
        CORRECTION_MS.store(after, Ordering::Relaxed);
        tracing::warn!(
            before_ms = before,
            after_ms = after,
            "this node's clock differs from the database's"
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    CLOCK_OFFSET_SECONDS.get().set(ahead_ms as f64 / 1000.0);
    Ok(())
}

/// Goes on comparing for as long as the node lives.
pub async fn keep(database: Database) {
    let mut ticks = tokio::time::interval(COMPARE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A database that is away is somebody else's news.
        let _ = compare(&database).await;
    }
}

/// The correction once the database was found to be so far ahead.
fn corrected(before: i64, ahead_ms: i64) -> i64 {
    if ahead_ms.abs() <= TOLERANCE_MS {
        0
    } else if (ahead_ms - before).abs() <= TOLERANCE_MS {
        // Moving a clock is worse than leaving it a little wrong.
        before
    } else {
        ahead_ms
    }
}

fn own_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_nearly_agree_are_left_alone() {
        assert_eq!(corrected(0, 500), 0);
        assert_eq!(corrected(0, -500), 0);
        assert_eq!(corrected(-120_000, -120_400), -120_000);
    }

    #[test]
    fn a_clock_that_is_ahead_is_read_with_a_correction_until_it_is_set_right() {
        assert_eq!(corrected(0, -120_000), -120_000);
        assert_eq!(corrected(-120_000, -60_000), -60_000);
        assert_eq!(corrected(-120_000, 3), 0);
    }
}
