//! Entities that are in use on a shard that is handed over: the target starts them as soon as the shard is its own, so that whoever
//! comes next finds them loaded.
//!
//! Best effort and bounded: what is not started so is started by its first request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::peers::Hot;
use crate::placement::Shard;

/// Entities of one shard that are told, at most.
pub(crate) const HOT_MAX: usize = 64;

/// Starts entities of one kind.
pub trait Warm: Send + Sync + 'static {
    /// The number of the kind.
    fn kind(&self) -> i16;

    /// Starts an entity and loads it, without asking it anything.
    fn warm(&self, id: u128, placement: u128);
}

/// What is in use on shards that are about to come.
#[derive(Default)]
pub(super) struct Warmth {
    regions: OnceLock<Vec<Arc<dyn Warm>>>,
    /// No more than there are shards, of as many entities each.
    expected: Mutex<BTreeMap<Shard, Vec<Hot>>>,
}

impl Warmth {
    pub(super) fn warms(&self, regions: Vec<Arc<dyn Warm>>) {
        let _ = self.regions.set(regions);
    }

    pub(super) fn remember(&self, shard: Shard, mut hot: Vec<Hot>) {
        hot.truncate(HOT_MAX);
        self.expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(shard, hot);
    }

    pub(super) fn start(&self, shard: Shard) {
        let hot = self
            .expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&shard)
            .unwrap_or_default();
        let Some(regions) = self.regions.get() else { return };
        for entity in hot {
            if let Some(region) = regions.iter().find(|region| region.kind() == entity.kind) {
                region.warm(entity.id, entity.placement);
            }
        }
    }
}
