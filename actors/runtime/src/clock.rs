//! The wall clock, read here and handed to whatever needs the present.

use std::time::{SystemTime, UNIX_EPOCH};

use lyceum_kernel::Timestamp;

/// The present, by this node's wall clock.
///
/// Nothing that decides ownership uses it: leases run on the database's clock and on monotonic time.
pub fn now() -> Timestamp {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
