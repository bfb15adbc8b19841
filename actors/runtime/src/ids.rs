//! Draws new ids. Rules never do: they are given the ids they need inside their commands.

use lyceum_kernel::Id;
use uuid::Uuid;

/// A new id: a `UUIDv7`, so that ids sort by creation to the millisecond.
pub fn new<K>() -> Id<K> {
    Id::from_u128(Uuid::now_v7().as_u128())
}
