//! Which shards this node owns, and under which epochs.
//!
//! Ownership saves work; what makes writes safe is the fence inside every commit, which compares shard, epoch and
//! incarnation with the database. A shard whose write was fenced is not served again by this incarnation.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::placement::{SHARDS, Shard};

/// Marks a shard that is not served.
const NOT_OWNED: i64 = 0;

/// What this node knows of a shard's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This node serves it.
    Here,
    /// It is changing hands: nobody new begins.
    Sealed,
    /// Another node serves it, as far as this one knows.
    There(Owner),
    /// Nobody is known to serve it.
    Nowhere,
}

/// The node that serves a shard. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which start of which node.
    pub incarnation: Uuid,
    /// The epoch it serves the shard under.
    pub epoch: i64,
    /// Where its link listens: `host:port`.
    pub link: Arc<str>,
}

/// The epochs under which this node serves its shards, and what it knows of the others.
#[derive(Debug)]
pub struct ShardMap {
    epochs: Vec<AtomicI64>,
    fenced: Vec<AtomicI64>,
    elsewhere: RwLock<Vec<Elsewhere>>,
    changed: Notify,
}

/// What is known of a shard that is not served here.
#[derive(Clone, Debug, Default)]
struct Elsewhere {
    owner: Option<Owner>,
    /// The epoch it was sealed under, while it is changing hands.
    sealed: i64,
}

impl Default for ShardMap {
    fn default() -> Self {
        let unowned = || (0..SHARDS).map(|_| AtomicI64::new(NOT_OWNED)).collect();
        ShardMap {
            epochs: unowned(),
            fenced: unowned(),
            elsewhere: RwLock::new(vec![Elsewhere::default(); SHARDS]),
            changed: Notify::new(),
        }
    }
}

impl ShardMap {
    /// Serves `shard` under `epoch`, which is at least 1.
    pub fn serve(&self, shard: Shard, epoch: i64) {
        self.change(shard, |elsewhere| elsewhere.sealed = NOT_OWNED);
        self.epochs[usize::from(shard)].store(epoch, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// What this node knows of `shard`.
    pub fn place(&self, shard: Shard) -> Place {
        if self.serving(shard) {
            return Place::Here;
        }
        let elsewhere = self.elsewhere.read().unwrap_or_else(PoisonError::into_inner);
        let elsewhere = &elsewhere[usize::from(shard)];
        match &elsewhere.owner {
            Some(owner) if owner.epoch > elsewhere.sealed => Place::There(owner.clone()),
            _ if elsewhere.sealed != NOT_OWNED => Place::Sealed,
            _ => Place::Nowhere,
        }
    }

    /// Takes note that `owner` serves `shard`; what is known of a later epoch stays.
    pub fn learn(&self, shard: Shard, owner: Owner) {
        self.change(shard, |elsewhere| {
            let known = elsewhere.owner.as_ref().map_or(NOT_OWNED, |known| known.epoch);
            if owner.epoch > known {
                elsewhere.owner = Some(owner);
            }
        });
        self.changed.notify_waiters();
    }

    /// Lets nobody new begin on `shard`, because it is changing hands.
    pub fn seal(&self, shard: Shard) {
        let epoch = self.epochs[usize::from(shard)].swap(NOT_OWNED, Ordering::AcqRel);
        if epoch != NOT_OWNED {
            self.change(shard, |elsewhere| elsewhere.sealed = epoch);
        }
    }

    /// Serves a sealed `shard` again under the epoch it had.
    pub fn unseal(&self, shard: Shard) {
        let epoch = self.change(shard, |elsewhere| std::mem::take(&mut elsewhere.sealed));
        if epoch != NOT_OWNED {
            self.serve(shard, epoch);
        }
    }

    /// Waits until `shard` has a place: here or with another node.
    pub async fn settled(&self, shard: Shard) {
        loop {
            let changed = self.changed.notified();
            if matches!(self.place(shard), Place::Here | Place::There(_)) {
                return;
            }
            changed.await;
        }
    }

    fn change<T>(&self, shard: Shard, change: impl FnOnce(&mut Elsewhere) -> T) -> T {
        let mut elsewhere = self.elsewhere.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut elsewhere[usize::from(shard)])
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
