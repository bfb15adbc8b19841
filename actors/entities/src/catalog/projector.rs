//! Keeps a node's snapshot complete: loads it at start, then follows the commits of all nodes.
//!
//! A commit of this node reaches the snapshot by its signal at once; the journal's stream brings what other nodes
//! commit, and whatever a signal lost. Changes are read from the rows and not from the events, so a course that
//! changed a hundred times in a batch is read once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::ids::{CourseId, UserId};
use lyceum_runtime::{Database, Entity, Mark, Position, StoreError, Stream, supervise};
use tokio::sync::Mutex;

use super::{CatalogQueries, CatalogSnapshot, Courses};
use crate::accounts::Accounts;

/// Courses read from their rows at once, at most.
const READ_MAX: usize = 500;
/// How often the journal is looked at for what other nodes committed.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How long to wait before trying a store again that was away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Follows the catalog of all nodes for one snapshot.
pub struct Projector {
    snapshot: Arc<CatalogSnapshot>,
    queries: CatalogQueries,
    stream: Mutex<Stream>,
}

impl Projector {
    /// Loads the snapshot and makes ready to follow from there.
    ///
    /// # Errors
    /// The store is away.
    pub async fn load(
        database: &Database,
        snapshot: Arc<CatalogSnapshot>,
        mark: Arc<Mark>,
    ) -> Result<Self, StoreError> {
        let queries = CatalogQueries::new(database.clone());
        // Before the rows are read: what is committed in between is read twice rather than never.
        let position: Position = Stream::end(database).await?;
        snapshot.set_names(queries.creator_names().await?);
        for course in queries.live_courses().await? {
            snapshot.put(course);
        }
        let kinds = [Courses::KIND.number, Accounts::KIND.number];
        let stream = Stream::follow(database.clone(), &kinds, position, POLL_EVERY)
            // Entries never go back to an older revision, so an open transaction of somebody need not be waited for.
            .early()
            .marking(mark);
        Ok(Projector {
            snapshot,
            queries,
            stream: Mutex::new(stream),
        })
    }

    /// Starts the workers that keep the snapshot current for as long as the node lives.
    pub fn start(self) {
        let projector = Arc::new(self);
        let for_names = projector.clone();
        let snapshot = projector.snapshot.clone();
        supervise("catalog projector", move || projector.clone().follow());
        supervise("catalog names", move || for_names.clone().name_creators());
        supervise("catalog counters", move || snapshot.clone().fold_forever());
    }

    async fn follow(self: Arc<Self>) {
        // Never contended: one worker runs at a time, and one that panicked gives it back.
        let mut stream = self.stream.lock().await;
        loop {
            let turns = stream.next().await;
            let (courses, accounts): (Vec<_>, Vec<_>) = turns
                .into_iter()
                .partition(|turn| turn.entity.kind == Courses::KIND.number);
            // Names change rarely; whoever is no creator is not looked up.
            self.snapshot
                .ask_names(accounts.into_iter().map(|turn| UserId::from_u128(turn.entity.id)));
            let changed: BTreeSet<_> = courses
                .into_iter()
                .map(|turn| CourseId::from_u128(turn.entity.id))
                .collect();
            let missed: Vec<CourseId> = changed.into_iter().collect();
            for ids in missed.chunks(READ_MAX) {
                while let Err(error) = self.refresh(ids).await {
                    tracing::warn!(%error, "catalog snapshot cannot be refreshed yet");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    async fn refresh(&self, ids: &[CourseId]) -> Result<(), StoreError> {
        let known = self.queries.revisions(ids).await?;
        let outdated = |(id, revision): &(CourseId, u64)| {
            self.snapshot
                .get(*id)
                .is_none_or(|entry| entry.revision < *revision)
        };
        let ids: Vec<CourseId> = known.into_iter().filter(outdated).map(|(id, _)| id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for course in self.queries.live_courses_of(&ids).await? {
            self.snapshot.put(course);
        }
        Ok(())
    }

    async fn name_creators(self: Arc<Self>) {
        loop {
            let creators = self.snapshot.unnamed().await;
            match self.queries.names_of(&creators).await {
                Ok(names) => self.snapshot.set_names(names),
                Err(error) => {
                    tracing::warn!(%error, "names of creators cannot be read yet");
                    tokio::time::sleep(RETRY_AFTER).await;
                    self.snapshot.put_back(creators);
                }
            }
        }
    }
}
