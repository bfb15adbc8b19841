//! Requests that meet a shard while it changes hands.

use std::time::Instant;

use super::Region;
use crate::ask::{AskError, Request};
use crate::entity::{Entity, Key};
use crate::ownership::Place;
use crate::placement::{Shard, shard_of};

impl<E: Entity> Region<E> {
    /// Waits while a shard is being handed over.
    pub(super) async fn wait_for(&self, shard: Shard, deadline: Instant) {
        let shards = &self.shared.node.shards;
        if shards.place(shard) == Place::Sealed {
            let _ = tokio::time::timeout_at(deadline.into(), shards.settled(shard)).await;
        }
    }

    /// Sends a request that came too late for a sealed shard, as soon as the shard has a place.
    pub(super) async fn send_again(self, key: E::Key, request: Box<Request<E>>) {
        let shards = self.shared.node.shards.clone();
        let shard = shard_of(key.placement());
        let settled = shards.settled(shard);
        // One that waits too long finds its deadline passed.
        let _ = tokio::time::timeout_at(request.deadline.into(), settled).await;
        if !shards.serving(shard) {
            return request.reply.send(Err(AskError::NotOwner));
        }
        // Its reply is told what becomes of it, also when it is dropped.
        let _ = self.send(key, request, Instant::now());
    }
}
