//! How an entity's memory comes back from its store, and when it may be kept.
//!
//! Memory belongs to the epoch its shard was served under when it was recovered. Under any other the shard may have been
//! somebody else's in between, so the memory is recovered again before it is used.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Shell;
use super::live::Live;
use crate::entity::{Durability, Entity, EntityRef, Key};
use crate::journal::Entry;
use crate::store_error::StoreError;

impl<E: Entity> Shell<E> {
    /// Whether this node still owns the shard under the epoch of this memory, so that nobody has written a newer one.
    pub(super) fn owns(&self, live: &Live<E>) -> bool {
        let shards = &self.shared.node.shards;
        live.epoch == shards.epoch(live.shard) && shards.held(Instant::now())
    }

    /// Waits until everything this entity has submitted is answered.
    pub(super) async fn settle(&self, live: &Live<E>) -> Result<(), StoreError> {
        if live.lineage.in_flight() == 0 {
            return Ok(());
        }
        let (told, heard) = oneshot::channel();
        let done = Box::new(move |passed| {
            let _ = told.send(passed);
        });
        self.shared.node.journal.submit(Entry::Barrier(live.shard, done));
        match heard.await {
            Ok(passed) => passed.map_err(StoreError::unavailable),
            Err(_) => Err(StoreError::unavailable("the journal's writer failed")),
        }
    }

    /// Loads the state, after everything submitted on the old one has been answered.
    pub(super) async fn recover(&self, live: &mut Live<E>) -> Result<(), StoreError> {
        // A commit still under way would be missing from what is loaded.
        self.settle(live).await?;
        live.recovered = false;
        // Before anything is read, so that what is read is as new as the epoch.
        live.epoch = self.shared.node.shards.epoch(live.shard);
        live.lineage = Arc::default();
        live.resident.memory().lineage = None;
        live.recent = Vec::new();
        let state = match self.shared.entity.durability() {
            Durability::Journaled { .. } => {
                let entity = EntityRef {
                    kind: E::KIND.number,
                    id: live.key.id(),
                };
                let history = self.shared.node.journal.load(entity).await?;
                live.replay(history)?
            }
            Durability::Snapshotted { .. } => {
                let found = match self.shared.node.snapshots.get(live.snapshot_key()).await {
                    Err(_) if self.shared.entity.rebuilds() => None,
                    found => found?,
                };
                match found.map(|bytes| serde_json::from_slice(&bytes)) {
                    Some(Ok(state)) => self.shared.entity.confirm(live.key, state).await,
                    Some(Err(error)) => {
                        tracing::warn!(entity.kind = E::KIND.name, %error, "unreadable snapshot rebuilt");
                        self.shared.entity.rebuild(live.key).await?
                    }
                    None => self.shared.entity.rebuild(live.key).await?,
                }
            }
        };
        let mut memory = live.resident.memory();
        memory.state = state;
        memory.lineage = Some(live.lineage.clone());
        memory.epoch = live.epoch;
        drop(memory);
        live.recovered = true;
        Ok(())
    }
}
