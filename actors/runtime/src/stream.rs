//! Follows the journal in commit order, for what may lag: search, snapshots of the catalog, analytics.
//!
//! Neither time nor sequence numbers tell the order of commits. A transaction that is still open may commit below
//! what was already read, so a stream reads only transactions below the oldest open one, whole transactions at a
//! time, and remembers the last it has read.
//!
//! Whoever may hear of transactions out of order follows [early](Stream::early): what has committed is told at once,
//! once, although an older transaction is still open. A frozen writer then holds nobody up. Turns of one entity are in
//! order either way, since the second of two is begun when the first has committed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_kernel::Timestamp;
use uuid::Uuid;

use crate::database::Database;
use crate::entity::EntityRef;
use crate::freshness::Mark;
use crate::store_error::StoreError;

/// Turns read at once, and whatever else the last transaction among them wrote.
const READ_MAX: usize = 1000;

/// One turn, as followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Whose turn it is.
    pub entity: EntityRef,
    /// Its version.
    pub version: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// The JSON array of events.
    pub events: String,
}

/// A position in the journal: everything up to and including this transaction was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(i64);

/// Follows the turns of some kinds.
pub struct Stream {
    database: Database,
    read: String,
    position: Position,
    poll_every: Duration,
    early: bool,
    /// Where the next look goes on, and when the look through all pages began, if there are more of them.
    ahead: Option<(i64, Instant)>,
    /// Turns above the position that were told before their time, by transaction.
    told: BTreeSet<(i64, EntityRef, i64)>,
    mark: Arc<Mark>,
    /// When the last look began, if it found all there was.
    complete: Option<Instant>,
}

impl Stream {
    /// The end of what can be read now. Read it *before* loading a state that the stream is to continue.
    ///
    /// # Errors
    /// The store is away.
    pub async fn end(database: &Database) -> Result<Position, StoreError> {
        const END: &str = "SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)";
        let row = database.query_opt(END, &[]).await?;
        Ok(Position(row.map_or(0, |row| row.get(0))))
    }

    /// Follows `kinds` from `position`, looking for news every `poll_every`.
    pub fn follow(database: Database, kinds: &[i16], position: Position, poll_every: Duration) -> Self {
        Stream {
            database,
            read: read(kinds),
            position,
            poll_every,
            early: false,
            ahead: None,
            told: BTreeSet::new(),
            mark: Arc::default(),
            complete: None,
        }
    }

    /// Tells of transactions as soon as they have committed, also before older ones have.
    #[must_use]
    pub fn early(self) -> Self {
        Stream { early: true, ..self }
    }

    /// Moves `mark` whenever everything up to a look has been told and the next is asked for.
    #[must_use]
    pub fn marking(self, mark: Arc<Mark>) -> Self {
        Stream { mark, ..self }
    }

    /// What the stream has read so far.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Waits until there are turns that were not told yet, and tells them: at most some thousand, in commit order. A
    /// store that is away is waited for. To ask again says that what was told before is dealt with.
    pub async fn next(&mut self) -> Vec<Followed> {
        loop {
            if let Some(complete) = self.complete.take() {
                self.mark.reach(complete);
            }
            match self.look().await {
                Ok(turns) if !turns.is_empty() => return turns,
                Ok(_) if self.ahead.is_some() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "journal cannot be followed"),
            }
            if let Some(complete) = self.complete.take() {
                self.mark.reach(complete);
            }
            tokio::time::sleep(self.poll_every).await;
        }
    }

    async fn look(&mut self) -> Result<Vec<Followed>, StoreError> {
        let ahead = self.ahead.take();
        let onward = ahead.is_some();
        let (from, began) = ahead.unwrap_or_else(|| (self.position.0, Instant::now()));
        let rows = self.database.query(&self.read, &[&from.to_string()]).await?;
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let horizon: i64 = first.get(0);
        let mut turns: Vec<(i64, Followed)> = rows
            .iter()
            // Without any turn, one row tells the horizon alone.
            .filter_map(|row| Some((row.get::<_, Option<i64>>(1)?, row)))
            .map(|(txid, row)| {
                let entity = EntityRef {
                    kind: row.get(2),
                    id: row.get::<_, Uuid>(3).as_u128(),
                };
                let turn = Followed {
                    entity,
                    version: row.get(4),
                    at: Timestamp::from_millis(row.get(5)),
                    events: row.get(6),
                };
                (txid, turn)
            })
            .collect();
        let all = turns.len() < READ_MAX;
        let last = turns.last().map_or(horizon, |(txid, _)| *txid);
        let found = turns.len();
        if !self.early {
            turns.retain(|(txid, _)| *txid <= horizon);
        }
        let held_back = found > turns.len();
        // One transaction may hold several turns of an entity.
        turns.sort_by_key(|(txid, turn)| (*txid, turn.entity, turn.version));
        turns.retain(|(txid, turn)| {
            let turn = (*txid, turn.entity, turn.version);
            !self.told.contains(&turn) && (*txid <= horizon || self.told.insert(turn))
        });
        // What an older transaction still holds back is looked through page by page, and from its beginning again: within what was read,
        // some may have committed meanwhile.
        if self.early && !all && last > horizon {
            self.ahead = Some((last, began));
        }
        if !onward {
            let reached = if all { horizon } else { last.min(horizon) };
            self.position = self.position.max(Position(reached));
            self.told.retain(|(txid, ..)| *txid > reached);
        }
        self.complete = (all && !held_back).then_some(began);
        Ok(turns.into_iter().map(|(_, turn)| turn).collect())
    }
}

/// The query of one look. The kinds are part of its text, so that Postgres can tell whether a partial index will do.
fn read(kinds: &[i16]) -> String {
    let mut list = String::new();
    for kind in kinds {
        let comma = if list.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(list, "{comma}{kind}");
    }
    format!(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1, turn.txid, kind, entity, version, ms, events \
         FROM (SELECT) AS once LEFT JOIN LATERAL (\
         SELECT txid::text::bigint AS txid, kind, entity, version, \
         (extract(epoch FROM at) * 1000)::bigint AS ms, events::text AS events FROM events \
         WHERE events.txid > $1::text::xid8 AND kind IN ({list}) \
         ORDER BY events.txid FETCH FIRST {READ_MAX} ROWS WITH TIES) AS turn ON true"
    )
}
