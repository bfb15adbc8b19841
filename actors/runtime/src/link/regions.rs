//! The regions of a node, as requests of other nodes find them: by the number of the kind.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use super::server::Responder;
use super::wire::Header;

/// A request of another node.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What is said about it.
    pub header: Header,
    /// When it was read.
    pub received: Instant,
    /// When it is not begun any more.
    pub deadline: Instant,
    /// Command and question as JSON.
    pub payload: Bytes,
}

/// Answers the requests of other nodes for entities of one kind.
pub trait Served: Send + Sync + 'static {
    /// Takes a request and sees to it that it is answered; never waits.
    fn serve(self: Arc<Self>, incoming: Incoming, responder: Responder);
}

/// The regions of a node by kind.
pub struct Regions {
    by_kind: papaya::HashMap<i16, Arc<dyn Served>>,
}

impl Default for Regions {
    fn default() -> Self {
        Regions {
            by_kind: papaya::HashMap::with_hasher(RandomState::new()),
        }
    }
}

impl Regions {
    /// Lets `served` answer for entities of a kind.
    pub fn open(&self, kind: i16, served: Arc<dyn Served>) {
        self.by_kind.pin().insert(kind, served);
    }

    pub(super) fn find(&self, kind: i16) -> Option<Arc<dyn Served>> {
        self.by_kind.pin().get(&kind).cloned()
    }
}
