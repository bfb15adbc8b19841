//! Which shards this node owns, and under which epochs.
//!
//! Ownership saves work; what makes writes safe is the fence inside every commit, which compares shard, epoch and
//! incarnation with the database. A shard whose write was fenced is not served again by this incarnation.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::placement::{SHARDS, Shard};

/// Marks a shard that is not served.
const NOT_OWNED: i64 = 0;

/// The epochs under which this node serves its shards.
#[derive(Debug)]
pub struct ShardMap {
    epochs: Vec<AtomicI64>,
    fenced: Vec<AtomicI64>,
}

impl Default for ShardMap {
    fn default() -> Self {
        let unowned = || (0..SHARDS).map(|_| AtomicI64::new(NOT_OWNED)).collect();
        ShardMap {
            epochs: unowned(),
            fenced: unowned(),
        }
    }
}

impl ShardMap {
    /// Serves `shard` under `epoch`, which is at least 1.
    pub fn serve(&self, shard: Shard, epoch: i64) {
        self.epochs[usize::from(shard)].store(epoch, Ordering::Release);
    }

    /// Stops serving `shard` because the database names another owner. Returns whether it was served.
    pub fn fence(&self, shard: Shard) -> bool {
        let epoch = self.epochs[usize::from(shard)].swap(NOT_OWNED, Ordering::AcqRel);
        if epoch == NOT_OWNED {
            return false;
        }
        self.fenced[usize::from(shard)].store(epoch, Ordering::Release);
        true
    }

    /// Whether this node serves `shard`.
    pub fn serving(&self, shard: Shard) -> bool {
        self.epoch(shard) != NOT_OWNED
    }

    /// The epoch `shard` is served under; 0 if it is not served.
    pub fn epoch(&self, shard: Shard) -> i64 {
        self.epochs[usize::from(shard)].load(Ordering::Acquire)
    }

    /// The epoch under which `shard` was fenced, if it was.
    pub fn fenced_at(&self, shard: Shard) -> Option<i64> {
        let epoch = self.fenced[usize::from(shard)].load(Ordering::Acquire);
        (epoch != NOT_OWNED).then_some(epoch)
    }

    /// Every shard with the epoch it is served under (0: not served).
    pub fn all(&self) -> impl Iterator<Item = (Shard, i64)> {
        (0..=Shard::MAX).map(|shard| (shard, self.epoch(shard)))
    }

    /// Whether every shard is served.
    pub fn complete(&self) -> bool {
        self.all().all(|(_, epoch)| epoch != NOT_OWNED)
    }
}
