//! What learners did before they came here: events of another system, written into the table of interactions.
//!
//! Unlike the events of [`Sink::record`] they are written before the answer, keep their own times however old they
//! are, and have ids of their own: writing them again changes nothing. A profile that is rebuilt afterwards knows them.

use std::sync::atomic::Ordering;

use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::{Activity, ActivityWeights};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{StoreError, clock};
use uuid::Uuid;

use super::sink::{Interaction, Sink, note_rated};

/// Events of one statement, at most.
const BATCH_MAX: usize = 1_000;

/// One event of another system.
#[derive(Clone, Copy, Debug)]
pub struct PastEvent {
    /// Identifies it for good.
    pub id: u128,
    /// Who did it.
    pub user: UserId,
    /// With which course.
    pub course: CourseId,
    /// What.
    pub activity: Activity,
    /// Stars of a rating, share of a progress, else 0.
    pub value: f32,
    /// When.
    pub at: Timestamp,
}

impl Sink {
    /// Writes events of another system; those that are here already stay as they are. Returns how many were new.
    ///
    /// # Errors
    /// The database is away.
    pub async fn import(&self, events: &[PastEvent]) -> Result<u64, StoreError> {
        let recorded = clock::now();
        let mut new = 0;
        for batch in events.chunks(BATCH_MAX) {
            let batch: Vec<Interaction> = batch
                .iter()
                .map(|event| interaction(event, &self.weights, recorded))
                .collect();
            new += self.rows.insert(&batch).await?;
            note_rated(&self.rated, &batch);
        }
        // The trainer counts what is worth a new model.
        self.recorded.fetch_add(new, Ordering::Relaxed);
        Ok(new)
    }
}

fn interaction(event: &PastEvent, weights: &ActivityWeights, recorded: Timestamp) -> Interaction {
    Interaction {
        id: Uuid::from_u128(event.id),
        user: event.user,
        course: event.course,
        activity: event.activity,
        value: event.value,
        weight: weights.of(event.activity, event.value),
        at: event.at,
        event_id: None,
        recorded,
    }
}
