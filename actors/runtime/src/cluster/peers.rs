//! What keepers tell one another directly: it makes hand-offs quick, and nothing depends on it.

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::ownership::Owner;
use crate::placement::Shard;

/// An entity that is in use, so that another node can make it ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hot {
    /// The number of its kind.
    pub kind: i16,
    /// Its id.
    pub id: u128,
    /// The id that places it.
    pub placement: u128,
}

/// The way to the keepers of other nodes. Each call is bounded in time by its caller.
pub trait Peers: Send + Sync + 'static {
    /// Asks whether `to` takes a shard that is served under `epoch`, and tells what is in use there. An answer that does not come
    /// is a yes: whether `to` serves is decided when the shard is handed over.
    fn prepare(&self, to: &Owner, shard: Shard, epoch: i64, hot: Vec<Hot>) -> BoxFuture<'static, bool>;

    /// Tells `to` that it owns a shard, under the epoch that `to` names; the answer is whether it has heard.
    fn open(&self, to: &Owner, shard: Shard) -> BoxFuture<'static, bool>;

    /// Whether there is reason to think that another node does not answer.
    fn suspects(&self, incarnation: Uuid) -> bool;
}

/// No way to anybody: whatever is to be known is read in the tables.
#[derive(Clone, Copy, Debug)]
pub struct Unlinked;

impl Peers for Unlinked {
    fn prepare(&self, _: &Owner, _: Shard, _: i64, _: Vec<Hot>) -> BoxFuture<'static, bool> {
        Box::pin(async { true })
    }

    fn open(&self, _: &Owner, _: Shard) -> BoxFuture<'static, bool> {
        Box::pin(async { false })
    }

    fn suspects(&self, _: Uuid) -> bool {
        false
    }
}
