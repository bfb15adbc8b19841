//! Who wants to hear of anything, on every node: whoever does not costs a purchase one look into a map.
//!
//! A node adds whoever it commits an endpoint for at once, and reads of the others in the journal a moment later. Nobody is
//! ever taken out: an announcement that nobody waits for finds no endpoint and ends there.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::ids::UserId;
use lyceum_runtime::{Database, Entity, StoreError, Stream, supervise};
use papaya::HashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::Subscribers;

/// How often the journal is looked at: an endpoint hears of what happens a second later, on whichever node.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// The users who have endpoints, 16 bytes each. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<HashMap<UserId, (), FxBuildHasher>>);

impl Listeners {
    /// Whether somebody may want to hear of what happens to them.
    pub(crate) fn hears(&self, user: UserId) -> bool {
        !self.0.is_empty() && self.0.pin().contains_key(&user)
    }

    /// Adds somebody.
    pub(super) fn add(&self, user: UserId) {
        self.0.pin().insert(user, ());
    }

    /// Reads who has endpoints, and follows the journal from there for as long as the node lives.
    ///
    /// # Errors
    /// The store is away: a node that does not know who hears would sell without telling.
    pub(crate) async fn start(database: &Database) -> Result<Self, StoreError> {
        const ALL: &str = "SELECT DISTINCT user_id FROM webhook_endpoints WHERE state = 'enabled'";
        let listeners = Listeners::default();
        // Before the table is read: what is committed in between is read twice rather than never.
        let position = Stream::end(database).await?;
        for row in database.query(ALL, &[]).await? {
            listeners.add(UserId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128()));
        }
        // People only ever come, so the order does not matter and nobody's open transaction holds them up.
        let stream = Stream::follow(
            database.clone(),
            &[Subscribers::KIND.number],
            position,
            POLL_EVERY,
        )
        .early();
        let (stream, followed) = (Arc::new(Mutex::new(stream)), listeners.clone());
        supervise("webhook listeners", move || {
            followed.clone().follow(stream.clone())
        });
        Ok(listeners)
    }

    async fn follow(self, stream: Arc<Mutex<Stream>>) {
        // Never contended: one worker runs at a time, and one that panicked gives it back.
        let mut stream = stream.lock().await;
        loop {
            for turn in stream.next().await {
                self.add(UserId::from_u128(turn.entity.id));
            }
        }
    }
}
