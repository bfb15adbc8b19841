//! Entities that are started before anybody asks them, since they were in use where their shard comes from.

use std::time::Instant;

use super::Region;
use crate::ask::{Reply, Request};
use crate::cluster::Warm;
use crate::entity::{Entity, Key};
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
        self.send(E::Key::from_parts(id, placement), Box::new(request), now);
    }
}
