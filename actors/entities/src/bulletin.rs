//! What every node counts for itself and tells the others, so that each knows the sum within a second.
//!
//! ```text
//! purchases, refunds ──┐                         ┌─→ students of the other nodes' snapshots
//! ratings, events ─────┼─ bulletin ─ table ──────┼─→ ratings counted again, trainers told
//! requests of the busy ┘  (at most one a tick)   └─→ rate limits
//! ```
//!
//! The node that counted has counted already and passes over its own bulletins. A bulletin holds sums, so what the others
//! read grows with the courses that are traded and not with the trades. Each node numbers its own without gaps: a reader
//! that finds one missing (it was frozen, or Postgres crashed and emptied the table) counts from the tables again.
//!
//! Counting from the tables cannot tell whether a trade of the last moment is in a bulletin that is still to come. A course
//! that was traded around the count is therefore left as it is, and corrected by the next count that finds it at rest.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lyceum_domain::ids::CourseId;
use lyceum_runtime::{Database, Mark, StoreError, supervise};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalog::{CatalogQueries, CatalogSnapshot, Counted};
use crate::recommend::Sink;

/// How often a bulletin is written and those of others are read.
const TICK: Duration = Duration::from_millis(200);
/// How often purchases and ratings are counted from the tables, for what a crash lost.
const RECOUNT_EVERY: Duration = Duration::from_mins(5);
/// After the first count another follows soon, for the courses that were traded around it.
const SECOND_COUNT: Duration = Duration::from_secs(10);
/// A course that was traded so shortly before or after a count is not at rest; five times what a bulletin takes.
const REST: Duration = Duration::from_secs(1);
/// Rated courses counted again at once; the others wait for the next tick.
const RATED_MAX: usize = 100;
/// Counting ratings again takes at most one part in so many of the time.
const RATED_PAUSE: u32 = 20;
/// Bulletins read at once.
const READ_MAX: i64 = 1_000;
/// How many ticks lie between two deletions of bulletins that everybody has read.
const DELETE_EVERY: u32 = 50;

const POST: &str = "INSERT INTO bulletins (incarnation, number, body) VALUES ($1, $2, $3::text::json) \
    ON CONFLICT DO NOTHING";
const READ: &str = "SELECT incarnation, bulletins.number, body::text FROM bulletins \
    LEFT JOIN unnest($1::uuid[], $2::bigint[]) AS known (incarnation, number) USING (incarnation) \
    WHERE incarnation <> $3 AND bulletins.number > coalesce(known.number, 0) \
    ORDER BY incarnation, bulletins.number LIMIT $4";
const DELETE: &str = "DELETE FROM bulletins WHERE at < now() - interval '1 minute'";

/// Requests that somebody who nears a limit has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The limit.
    pub policy: u8,
    /// Whom it limits, as the edge knows them.
    pub subject: Uuid,
    /// How many requests.
    pub requests: u32,
}

/// Limits that hold for all nodes together.
pub trait Takes: Send + Sync {
    /// What was taken here since the last call, by whoever nears a limit.
    fn taken(&self) -> Vec<Taken>;
    /// Counts what was taken elsewhere.
    fn add(&self, taken: &[Taken]);
}

/// One bulletin. A part that a reader does not know is passed over, one that is missing is empty.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Bulletin {
    /// By how many students each course has changed.
    students: Vec<(CourseId, i64)>,
    /// Courses that were rated.
    rated: Vec<CourseId>,
    /// Events that were recorded for training.
    events: u64,
    taken: Vec<Taken>,
}

impl Bulletin {
    fn is_empty(&self) -> bool {
        self.students.is_empty() && self.rated.is_empty() && self.events == 0 && self.taken.is_empty()
    }
}

/// Writes this node's bulletins and reads the others'.
pub struct Board {
    database: Database,
    incarnation: Uuid,
    catalog: Arc<CatalogSnapshot>,
    queries: CatalogQueries,
    sink: Sink,
    takes: OnceLock<Arc<dyn Takes>>,
    trades: Mutex<Trades>,
    mark: Arc<Mark>,
}

/// What was traded on this node and not yet told, and what was traded lately anywhere.
#[derive(Default)]
struct Trades {
    untold: HashMap<CourseId, i64>,
    lately: HashMap<CourseId, Instant>,
}

/// What the worker remembers from tick to tick.
#[derive(Default)]
struct Desk {
    /// The number of the last bulletin of this node, and its text until it is known to be written.
    number: i64,
    unwritten: Option<String>,
    told_events: u64,
    /// The last bulletin that was read of each other node.
    read: HashMap<Uuid, i64>,
    rated: BTreeSet<CourseId>,
    rated_after: Option<Instant>,
    ticks: u32,
}

impl Board {
    /// Counts from the tables, then writes and reads bulletins for as long as the node lives; `mark` says how far.
    pub(crate) fn start(
        database: Database,
        incarnation: Uuid,
        catalog: Arc<CatalogSnapshot>,
        sink: Sink,
        mark: Arc<Mark>,
    ) -> Arc<Self> {
        let board = Arc::new(Board {
            queries: CatalogQueries::new(database.clone()),
            database,
            incarnation,
            catalog,
            sink,
            takes: OnceLock::new(),
            trades: Mutex::default(),
            mark,
        });
        let desk = Arc::new(tokio::sync::Mutex::new(Desk::default()));
        let worker = board.clone();
        supervise("bulletins", move || worker.clone().work(desk.clone()));
        board
    }

    /// Counts a purchase (1) or a refund (-1) of a course on this node.
    pub(crate) fn trade(&self, course: CourseId, students: i64) {
        let mut trades = self.trades();
        // Within the lock: a count that finds the course at rest has not overlooked this change.
        self.catalog.count_students(course, students);
        *trades.untold.entry(course).or_default() += students;
        trades.lately.insert(course, Instant::now());
    }

    /// Shares these limits with the other nodes. The first that are given stay.
    pub fn share(&self, takes: Arc<dyn Takes>) {
        // There is one edge in a process; a second one has limits of its own.
        let _ = self.takes.set(takes);
    }

    async fn work(self: Arc<Self>, desk: Arc<tokio::sync::Mutex<Desk>>) {
        // Never contended: one worker runs at a time, and one that panicked gives it back.
        let mut desk = desk.lock().await;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count_at = Some(Instant::now());
        let mut first = true;
        loop {
            ticks.tick().await;
            if count_at.is_none_or(|at| at <= Instant::now()) {
                match self.count(&mut desk, first).await {
                    Ok(()) => {
                        let pause = if first { SECOND_COUNT } else { RECOUNT_EVERY };
                        (count_at, first) = (Some(Instant::now() + pause), false);
                    }
                    Err(error) => tracing::warn!(%error, "purchases and ratings cannot be counted yet"),
                }
            }
            match self.exchange(&mut desk).await {
                Ok(true) => {}
                // A bulletin is missing.
                Ok(false) => count_at = None,
                Err(error) => tracing::warn!(%error, "bulletins cannot be exchanged"),
            }
        }
    }

    /// One tick; `false` if a bulletin of somebody is missing.
    async fn exchange(&self, desk: &mut Desk) -> Result<bool, StoreError> {
        let began = Instant::now();
        self.post(desk).await?;
        let gapless = self.read(desk).await?;
        self.count_rated(desk).await?;
        self.mark.reach(began);
        desk.ticks += 1;
        if desk.ticks.is_multiple_of(DELETE_EVERY) {
            self.database.execute(DELETE, &[]).await?;
            self.trades().lately.retain(|_, at| at.elapsed() < REST * 4);
        }
        Ok(gapless)
    }

    /// Writes what has gathered. What may have been written already is written again under the same number.
    async fn post(&self, desk: &mut Desk) -> Result<(), StoreError> {
        if desk.unwritten.is_none() {
            let bulletin = self.gather(desk);
            if bulletin.is_empty() {
                return Ok(());
            }
            desk.number += 1;
            desk.unwritten = Some(serde_json::to_string(&bulletin).map_err(StoreError::refused)?);
        }
        if let Some(text) = &desk.unwritten {
            self.database
                .execute(POST, &[&self.incarnation, &desk.number, text])
                .await?;
            desk.unwritten = None;
        }
        Ok(())
    }

    fn gather(&self, desk: &mut Desk) -> Bulletin {
        let mut students: Vec<_> = self.trades().untold.drain().collect();
        // Bought and given back within a tick: nothing to tell.
        students.retain(|(_, change)| *change != 0);
        let rated = self.sink.take_rated();
        desk.rated.extend(rated.iter().copied());
        let recorded = self.sink.recorded();
        let events = recorded - std::mem::replace(&mut desk.told_events, recorded);
        Bulletin {
            students,
            rated: rated.into_iter().collect(),
            events,
            taken: self.takes.get().map_or_else(Vec::new, |takes| takes.taken()),
        }
    }

    async fn read(&self, desk: &mut Desk) -> Result<bool, StoreError> {
        let (nodes, numbers): (Vec<Uuid>, Vec<i64>) = desk.read.iter().unzip();
        let rows = self
            .database
            .query(READ, &[&nodes, &numbers, &self.incarnation, &READ_MAX])
            .await?;
        let mut gapless = true;
        for row in &rows {
            let (node, number): (Uuid, i64) = (row.get(0), row.get(1));
            let before = desk.read.insert(node, number);
            gapless &= before.is_none_or(|before| before + 1 == number);
            match serde_json::from_str::<Bulletin>(row.get(2)) {
                Ok(bulletin) => self.take_over(bulletin, desk),
                Err(error) => {
                    tracing::warn!(%error, "a bulletin cannot be read");
                    gapless = false;
                }
            }
        }
        Ok(gapless)
    }

    fn take_over(&self, bulletin: Bulletin, desk: &mut Desk) {
        let mut trades = self.trades();
        for (course, students) in bulletin.students {
            self.catalog.count_students(course, students);
            trades.lately.insert(course, Instant::now());
        }
        drop(trades);
        desk.rated.extend(bulletin.rated);
        self.sink.recorded_elsewhere(bulletin.events);
        if let Some(takes) = self.takes.get()
            && !bulletin.taken.is_empty()
        {
            takes.add(&bulletin.taken);
        }
    }

    /// Counts the ratings of rated courses again. Counting one twice changes nothing.
    async fn count_rated(&self, desk: &mut Desk) -> Result<(), StoreError> {
        let began = Instant::now();
        if desk.rated.is_empty() || desk.rated_after.is_some_and(|after| after > began) {
            return Ok(());
        }
        let courses: Vec<CourseId> = desk.rated.iter().take(RATED_MAX).copied().collect();
        for (course, sum, count) in self.queries.ratings_of(&courses).await? {
            self.catalog.set_ratings(course, sum, count);
        }
        courses.iter().for_each(|course| {
            desk.rated.remove(course);
        });
        desk.rated_after = Some(Instant::now() + began.elapsed() * RATED_PAUSE);
        Ok(())
    }

    /// Counts everything from the tables, and goes on with the bulletins that are not in that count.
    async fn count(&self, desk: &mut Desk, first: bool) -> Result<(), StoreError> {
        let began = Instant::now();
        let Counted {
            students,
            ratings,
            bulletins,
        } = self.queries.count().await?;
        if !first {
            // Whatever was traded while the tables were read is told by now.
            tokio::time::sleep(REST).await;
            self.post(desk).await?;
            self.read(desk).await?;
        } else {
            desk.read = bulletins.into_iter().collect();
            desk.read.remove(&self.incarnation);
        }
        let trades = self.trades();
        let restless = |course: &CourseId| {
            let at = trades.lately.get(course);
            at.is_some_and(|at| *at + REST > began)
        };
        for (course, count) in students {
            if first || !restless(&course) {
                self.catalog.set_students(course, count);
            }
        }
        drop(trades);
        for (course, sum, count) in ratings {
            self.catalog.set_ratings(course, sum, count);
        }
        Ok(())
    }

    fn trades(&self) -> MutexGuard<'_, Trades> {
        self.trades.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulletins_of_older_and_newer_nodes_can_be_read() {
        let older: Bulletin = serde_json::from_str("{}").expect("readable");
        let newer: Bulletin = serde_json::from_str(r#"{"events":3,"views":[1]}"#).expect("readable");

        assert!(older.is_empty());
        assert_eq!(newer.events, 3);
    }
}
