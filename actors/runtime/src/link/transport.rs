//! What the regions of a node need of the other nodes: to be asked something, once.

use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use super::wire::{Answer, Header, Status};
use crate::ownership::Owner;

/// A command or question on its way to another node.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is said about it.
    pub header: Header,
    /// Command and question as JSON.
    pub payload: Bytes,
    /// When nobody waits for an answer any more; it is not begun after that.
    pub deadline: Instant,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It was never sent; nothing changed.
    #[error("never sent")]
    Rejected,
    /// Too much is on its way to that node; nothing changed.
    #[error("too much is on its way already")]
    Overloaded,
    /// The deadline passed before it was sent; nothing changed.
    #[error("expired before it was sent")]
    Expired,
    /// It is longer than a message may be; nothing changed.
    #[error("longer than a message may be")]
    TooLarge,
    /// It was sent, and what became of it is not known.
    #[error("sent, and not answered")]
    Unknown,
}

/// The way to other nodes.
pub trait PeerTransport: Send + Sync + 'static {
    /// Asks the node that `owner` names, once, and waits for its answer until the deadline.
    fn call<'a>(&'a self, owner: &'a Owner, call: Call) -> BoxFuture<'a, Result<Answer, Lost>>;
}

/// A node without others.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl PeerTransport for Alone {
    fn call<'a>(&'a self, _: &'a Owner, _: Call) -> BoxFuture<'a, Result<Answer, Lost>> {
        Box::pin(async { Err(Lost::Rejected) })
    }
}
