//! Follows the journal in commit order, for what may lag: search, snapshots of the catalog, analytics.
//!
//! Neither time nor sequence numbers tell the order of commits. A transaction that is still open may commit below
//! what was already read, so a stream reads only transactions below the oldest open one, whole transactions at a
//! time, and remembers the last it has read.

use std::time::Duration;

use uuid::Uuid;

use crate::database::Database;
use crate::entity::EntityRef;
use crate::store_error::StoreError;

/// One turn, as followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Whose turn it is.
    pub entity: EntityRef,
    /// Its version.
    pub version: i64,
    /// The JSON array of events.
    pub events: String,
}

/// A position in the journal: everything up to and including this transaction was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(i64);

/// Follows the turns of some kinds.
pub struct Stream {
    database: Database,
    kinds: Vec<i16>,
    position: Position,
    poll_every: Duration,
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
    pub fn follow(database: Database, kinds: Vec<i16>, position: Position, poll_every: Duration) -> Self {
        Stream {
            database,
            kinds,
            position,
            poll_every,
        }
    }

    /// What the stream has read so far.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Waits for the next turns, at most some thousand, in commit order. A store that is away is waited for.
    pub async fn next(&mut self) -> Vec<Followed> {
        loop {
            match self.read().await {
                Ok(turns) if !turns.is_empty() => return turns,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "journal cannot be followed"),
            }
            tokio::time::sleep(self.poll_every).await;
        }
    }

    async fn read(&mut self) -> Result<Vec<Followed>, StoreError> {
        const HORIZON: &str = "SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)";
        // The first thousand rows, and whatever else the last transaction among them wrote.
        const READ: &str = "SELECT kind, entity, version, events::text, txid::text::bigint FROM events \
            WHERE txid > $1::text::xid8 AND txid <= $2::text::xid8 AND kind = ANY ($3) \
            ORDER BY txid FETCH FIRST 1000 ROWS WITH TIES";
        let horizon: i64 = match self.database.query_opt(HORIZON, &[]).await? {
            Some(row) => row.get(0),
            None => return Ok(Vec::new()),
        };
        let (from, to) = (self.position.0.to_string(), horizon.to_string());
        let rows = self.database.query(READ, &[&from, &to, &self.kinds]).await?;
        let mut turns: Vec<(i64, Followed)> = rows
            .iter()
            .map(|row| {
                let entity = EntityRef {
                    kind: row.get(0),
                    id: row.get::<_, Uuid>(1).as_u128(),
                };
                (
                    row.get(4),
                    Followed {
                        entity,
                        version: row.get(2),
                        events: row.get(3),
                    },
                )
            })
            .collect();
        // One transaction may hold several turns of an entity.
        turns.sort_by_key(|(txid, turn)| (*txid, turn.entity, turn.version));
        self.position = Position(if rows.len() < 1000 {
            horizon
        } else {
            turns.last().map_or(horizon, |(txid, _)| *txid)
        });
        Ok(turns.into_iter().map(|(_, turn)| turn).collect())
    }
}
