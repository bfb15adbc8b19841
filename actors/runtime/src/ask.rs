//! A request on its way to an entity, and the promise to answer it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::context::Operation;
use crate::entity::{CommandOf, Entity, ErrorOf};
use crate::metrics::Risen;
use crate::trace::Trace;

/// Why an entity did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError<E> {
    /// A rule refused it; nothing changed.
    Refused(E),
    /// A store is away, or the entity is being reloaded; nothing changed.
    Unavailable,
    /// Too much is waiting already; nothing changed.
    Overloaded,
    /// The deadline passed before it began; nothing changed.
    Expired,
    /// The shard is not served by this node; nothing changed.
    NotOwner,
    /// The entity failed too often and rests for a while; nothing changed.
    Quarantined,
    /// The commit's outcome is unknown, so it may have happened: repeat it with the same operation id.
    Unknown,
    /// The entity failed while carrying it out; it may have happened.
    Failed,
    /// The operation id was used before with another body; nothing changed.
    KeyReused,
}

/// What becomes of a request.
pub(crate) type Outcome<E> = Result<<E as Entity>::Answer, AskError<ErrorOf<E>>>;

/// An answer and the id of the entity whose it is: a repeated operation is answered by the one that carried it out,
/// whichever was asked.
pub(crate) struct Answered<E: Entity> {
    pub(crate) entity: u128,
    pub(crate) answer: E::Answer,
}

/// What the asker hears.
pub(crate) type Heard<E> = Result<Answered<E>, AskError<ErrorOf<E>>>;

/// One of a bounded number of places for requests that are on their way.
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// Takes a place, unless `max` are taken.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Permit> {
        if taken.fetch_add(1, Ordering::AcqRel) >= max {
            taken.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Permit(taken.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The promise to answer one request.
///
/// Dropping it answers too: `Unavailable` if the work never began, `Failed` if it did. So a mailbox that is
/// thrown away with its actor leaves nobody waiting.
pub(crate) struct Reply<E: Entity> {
    sender: Option<oneshot::Sender<Heard<E>>>,
    /// Who is asked.
    entity: u128,
    begun: bool,
    _permit: Permit,
}

impl<E: Entity> Reply<E> {
    pub(crate) fn channel(entity: u128, permit: Permit) -> (Self, oneshot::Receiver<Heard<E>>) {
        let (sender, receiver) = oneshot::channel();
        (
            Reply {
                sender: Some(sender),
                entity,
                begun: false,
                _permit: permit,
            },
            receiver,
        )
    }

    /// A promise to nobody.
    pub(crate) fn unheard(entity: u128, permit: Permit) -> Self {
        Reply {
            sender: None,
            entity,
            begun: false,
            _permit: permit,
        }
    }

    /// From here on a dropped reply means that the entity failed at it.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// Answers for the entity that was asked.
    pub(crate) fn send(self, outcome: Outcome<E>) {
        let entity = self.entity;
        self.tell(outcome.map(|answer| Answered { entity, answer }));
    }

    /// Answers for the entity whose answer it is.
    pub(crate) fn tell(mut self, outcome: Heard<E>) {
        if let Some(sender) = self.sender.take() {
            // The asker may have given up at its deadline; then nobody needs the answer.
            let _ = sender.send(outcome);
        }
    }
}

impl<E: Entity> Drop for Reply<E> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(Err(if self.begun {
                AskError::Failed
            } else {
                AskError::Unavailable
            }));
        }
    }
}

/// A request in an entity's mailbox.
pub(crate) struct Request<E: Entity> {
    pub(crate) command: Option<CommandOf<E>>,
    pub(crate) question: Option<E::Question>,
    pub(crate) operation: Option<Operation>,
    pub(crate) trace: Trace,
    pub(crate) deadline: Instant,
    pub(crate) queued_at: Instant,
    /// Until it is begun.
    pub(crate) waiting: Option<Risen>,
    pub(crate) reply: Reply<E>,
}

/// Everything an entity's mailbox can hold.
pub(crate) enum Envelope<E: Entity> {
    /// Somebody asks.
    Request(Box<Request<E>>),
    /// A snapshotted entity's changes have waited long enough.
    Flush,
    /// The store has, or has not, taken the last flush.
    Flushed(bool),
}
