//! A request on its way to an entity, and the promise to answer it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::context::Operation;
use crate::entity::{CommandOf, Entity, ErrorOf};
use crate::metrics::Risen;
use crate::region::Far;
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

/// What whoever waits on this node is told.
pub(crate) enum Told<E: Entity> {
    /// What became of it.
    Heard(Heard<E>),
    /// The shard began to change hands before the request was begun: here are its command and question again.
    Returned(Box<(Option<CommandOf<E>>, E::Question)>),
}

/// Who waits for an answer.
enum Listener<E: Entity> {
    Nobody,
    /// A caller on this node.
    Near(oneshot::Sender<Told<E>>),
    /// A caller on another node.
    Far(Box<Far<E>>),
}

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
    listener: Listener<E>,
    /// Who is asked.
    entity: u128,
    begun: bool,
    _permit: Permit,
}

impl<E: Entity> Reply<E> {
    fn to(listener: Listener<E>, entity: u128, permit: Permit) -> Self {
        Reply {
            listener,
            entity,
            begun: false,
            _permit: permit,
        }
    }

    pub(crate) fn channel(entity: u128, permit: Permit) -> (Self, oneshot::Receiver<Told<E>>) {
        let (sender, receiver) = oneshot::channel();
        (Reply::to(Listener::Near(sender), entity, permit), receiver)
    }

    /// A promise to a caller on another node.
    pub(crate) fn far(far: Box<Far<E>>, entity: u128, permit: Permit) -> Self {
        Reply::to(Listener::Far(far), entity, permit)
    }

    /// A promise to nobody.
    pub(crate) fn unheard(entity: u128, permit: Permit) -> Self {
        Reply::to(Listener::Nobody, entity, permit)
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
        self.listener.take().tell(outcome);
    }

    /// The caller on another node, if it is one: what it is told then is not for this reply to say.
    pub(crate) fn take_far(&mut self) -> Option<Box<Far<E>>> {
        match self.listener.take() {
            Listener::Far(far) => Some(far),
            other => {
                self.listener = other;
                None
            }
        }
    }
}

impl<E: Entity> Listener<E> {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Listener::Nobody)
    }

    fn tell(self, outcome: Heard<E>) {
        match self {
            Listener::Nobody => {}
            // The asker may have given up at its deadline; then nobody needs the answer.
            Listener::Near(sender) => drop(sender.send(Told::Heard(outcome))),
            Listener::Far(far) => far.tell(outcome),
        }
    }
}

impl<E: Entity> Drop for Reply<E> {
    fn drop(&mut self) {
        self.listener.take().tell(Err(if self.begun {
            AskError::Failed
        } else {
            AskError::Unavailable
        }));
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

impl<E: Entity> Request<E> {
    /// Gives a request that was not begun back to a caller on this node.
    pub(crate) fn give_back(mut self) {
        if let (Listener::Near(sender), Some(question)) = (self.reply.listener.take(), self.question) {
            // Whoever has given up at its deadline does not ask again.
            let _ = sender.send(Told::Returned(Box::new((self.command, question))));
        }
    }
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
