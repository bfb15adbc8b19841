//! Many nodes as one system: who belongs to it, who owns which shard, and how shards change hands.
//!
//! What is decided is pure and lies in files of its own, without clock or IO: [`lease`], [`judge`], [`allocation`], [`steward`] over the
//! [`members`] that one look at the tables shows.

pub mod allocation;
pub mod judge;
pub mod lease;
pub mod members;
pub mod steward;
