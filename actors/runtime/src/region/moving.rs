//! Requests that meet a shard while it changes hands.

use std::time::Instant;

use super::Region;
use crate::ask::{AskError, Reply, Request};
use crate::cluster::Warm;
use crate::entity::{Entity, Key};
use crate::ownership::Place;
use crate::placement::{Shard, shard_of};
use crate::trace::Trace;

impl<E: Entity> Warm for Region<E> {
    fn kind(&self) -> i16 {
        E::KIND.number
    }

    fn warm(&self, id: u128, placement: u128) {
        let Some(permit) = self.admit() else { return };
        let now = Instant::now();
        // It changes nothing and asks nothing; to be begun, an entity has to be recovered.
        let request = Request {
            command: None,
            question: None,
            operation: None,
            trace: Trace::default(),
            deadline: now + self.shared.node.limits.tell_timeout,
            queued_at: now,
            waiting: Some(self.shared.metrics.mailbox_depth.rise()),
            reply: Reply::unheard(id, permit),
        };
        let _ = self.send(E::Key::from_parts(id, placement), Box::new(request), now);
    }
}

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
