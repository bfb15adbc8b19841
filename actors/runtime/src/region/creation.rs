//! Making entities under ids that are drawn for them, once however often a named operation is repeated.
//!
//! A drawn id says nothing of the operation, so a repetition does not find the entity by itself. Repetitions that are
//! under way together meet here at one id, and that entity tells first from repeated. A later one makes its attempt
//! under another id, which the journal refuses because an operation is recorded once; it is answered from the record.
//! So only what is repeated is ever looked up, and a crowd of repetitions costs the journal one commit.

use lyceum_kernel::{Id, IdKind};

use super::Region;
use crate::ask::AskError;
use crate::context::Context;
use crate::entity::{CommandOf, Entity, ErrorOf};
use crate::ids;
use crate::shell::recorded_answer;

/// The named creations under way, each with the id it makes its entity under. No more than requests are under way.
#[derive(Default)]
pub(super) struct Creations(papaya::HashMap<u128, u128>);

/// One creation that others can meet, until it has been answered or given up.
struct Underway<'a> {
    creations: &'a Creations,
    operation: u128,
}

impl Creations {
    /// The id that an operation under way has drawn; if it is not under way, it is from now on, and has drawn `id`.
    fn meet(&self, operation: u128, id: u128) -> (u128, Option<Underway<'_>>) {
        match self.0.pin().try_insert(operation, id) {
            Ok(_) => {
                let creations = self;
                (id, Some(Underway { creations, operation }))
            }
            Err(met) => (*met.current, None),
        }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.creations.0.pin().remove(&self.operation);
    }
}

impl<K: IdKind + 'static, E: Entity<Key = Id<K>>> Region<E> {
    /// Makes an entity with a command, and answers a question about it; repeating a named operation answers for the
    /// entity that it made the first time.
    ///
    /// # Errors
    /// As [`Region::ask`].
    pub async fn create(
        &self,
        command: CommandOf<E>,
        question: E::Question,
        context: &Context,
    ) -> Result<(Id<K>, E::Answer), AskError<ErrorOf<E>>> {
        let drawn: Id<K> = ids::new();
        let (id, _underway) = match context.operation {
            Some(operation) => self.shared.creations.meet(operation.id, drawn.as_u128()),
            None => (drawn.as_u128(), None),
        };
        let answered = self
            .request(Id::from_u128(id), Some(command), question, context)
            .await?;
        Ok((Id::from_u128(answered.entity), answered.answer))
    }

    /// The entity that the named operation made, with what was answered then, if it has made one.
    ///
    /// For callers that cannot build their command any more because what it refers to has changed since.
    ///
    /// # Errors
    /// As [`Region::recorded`].
    pub async fn created(
        &self,
        context: &Context,
    ) -> Result<Option<(Id<K>, E::Answer)>, AskError<ErrorOf<E>>> {
        let Some(operation) = context.operation else {
            return Ok(None);
        };
        let recorded = recorded_answer(&self.shared, operation).await?;
        Ok(recorded.map(|answered| (Id::from_u128(answered.entity), answered.answer)))
    }
}
