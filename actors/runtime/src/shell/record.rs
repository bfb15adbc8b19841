//! The records of named operations: a repeated one is answered with what it was answered the first time.

use std::sync::Arc;

use crate::ask::{Answered, AskError, Reply};
use crate::context::Operation;
use crate::entity::{Entity, ErrorOf};
use crate::region::Shared;

/// Answers from the record of a named operation that was carried out before; with `otherwise` if it was not.
pub(super) fn answer_from_record<E: Entity>(
    shared: Arc<Shared<E>>,
    operation: Option<Operation>,
    reply: Reply<E>,
    otherwise: AskError<ErrorOf<E>>,
) {
    let Some(operation) = operation else {
        return reply.send(Err(otherwise));
    };
    tokio::spawn(async move {
        let found = recorded_answer(&shared, operation).await;
        reply.tell(found.and_then(|answered| answered.ok_or(otherwise)));
    });
}

/// The recorded answer of an operation, if it was carried out with the same body.
pub(crate) async fn recorded_answer<E: Entity>(
    shared: &Shared<E>,
    operation: Operation,
) -> Result<Option<Answered<E>>, AskError<ErrorOf<E>>> {
    match shared.node.journal.operation(operation.id).await {
        Ok(None) => Ok(None),
        Ok(Some(found)) if found.operation.fingerprint != operation.fingerprint => {
            shared.metrics.conflicts.increment();
            Err(AskError::KeyReused)
        }
        Ok(Some(found)) => match serde_json::from_str(&found.answer) {
            Ok(answer) => {
                shared.metrics.replayed.increment();
                Ok(Some(Answered {
                    entity: found.entity.id,
                    answer,
                }))
            }
            Err(error) => {
                tracing::error!(entity.kind = E::KIND.name, %error, "unreadable recorded answer");
                Err(AskError::Unavailable)
            }
        },
        Err(_) => Err(AskError::Unavailable),
    }
}
