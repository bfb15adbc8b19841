//! Draws new ids. Rules never do: they are given the ids they need inside their commands.

use lyceum_kernel::Id;
use uuid::{NoContext, Timestamp, Uuid};

use crate::clock;

/// A new id: a `UUIDv7`, so that ids sort by creation to the millisecond, on whichever node.
pub fn new<K>() -> Id<K> {
    Id::from_u128(uuid().as_u128())
}

fn uuid() -> Uuid {
    if clock::correction_ms() == 0 {
        return Uuid::now_v7();
    }
    let millis = u64::try_from(clock::now().as_millis()).unwrap_or(0);
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, millis / 1000, nanos))
}
