//! The machinery of Lyceum: actors, shards, journal and stores. It knows no domain.
//!
//! ```text
//! Root ─┬─ shard supervisor 0 ─┬─ entity (shell)     one actor per live entity, of any kind
//!       │                      └─ entity (shell)
//!       ├─ …
//!       └─ shard supervisor 255
//! workers: journal writers · journal loaders · outbox relay, poll, deletion
//! CpuPool: actix SyncArbiter threads
//! ```
//!
//! [`Region::ask`] is the one way to reach an entity; [`Journal`](journal::Journal) is where its decisions become
//! durable; [`Effects`] is what they change beside its events.

mod ask;
mod batcher;
pub mod clock;
pub mod cluster;
mod context;
mod cpu;
mod database;
mod effects;
mod entity;
mod freshness;
pub mod ids;
pub mod journal;
pub mod link;
mod membership;
mod meters;
pub mod metrics;
mod outbox;
mod ownership;
mod pace;
mod placement;
mod redis;
mod region;
mod resident;
mod retry;
mod seldom;
mod shard;
mod shell;
mod snapshots;
mod store_error;
mod stream;
pub mod trace;
mod worker;

pub use ask::AskError;
pub use batcher::{BatchLimits, Batcher};
pub use cluster::{Cluster, ClusterSettings, Fate};
pub use context::{Context, Operation};
pub use cpu::{CpuError, CpuPool, Niceness};
pub use database::{Database, DatabaseSettings};
pub use effects::{Column, Effects, Message, RowChange, Table, Value, Values};
pub use entity::{CommandOf, Durability, Entity, EntityRef, ErrorOf, EventOf, Key, Kind};
pub use freshness::Mark;
pub use membership::Membership;
pub use meters::{METERS, look_up};
pub use outbox::{CommittedMessage, Deliver, Delivery, DeliveryError, OutboxSettings, Relay};
pub use ownership::{Owner, Place, ShardMap};
pub use pace::{Answers, Asking, Pace};
pub use placement::{SHARDS, Shard, shard_of};
pub use redis::Redis;
pub use region::{ActorLimits, Node, Region};
pub use retry::RetryLimits;
pub use shard::Supervisors;
pub use snapshots::{MemorySnapshots, SnapshotStore};
pub use store_error::StoreError;
pub use stream::{Followed, Position, Stream};
pub use trace::Trace;
pub use worker::supervise;
