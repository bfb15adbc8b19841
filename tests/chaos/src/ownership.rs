//! What the tables say of members and owners, read by somebody who may only read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::stores::Stores;
use crate::verdict::Check;

const OWNED: &str = "SELECT shard FROM shard_owner o JOIN members m USING (incarnation) \
    WHERE m.node = $1 AND m.state NOT IN ('left', 'dead')";
const MEMBERS: &str = "SELECT node, incarnation::text, state, fenced_writes FROM members ORDER BY joined_at";
const PLACED: &str = "SELECT m.node, count(*) FROM shard_owner o JOIN members m USING (incarnation) \
    WHERE m.state = 'serving' GROUP BY m.node";
/// Only the last moves are kept; what began before them is not judged.
const TWO_OWNERS: &str = "SELECT count(*) FROM (SELECT FROM shard_moves GROUP BY shard, epoch \
    HAVING count(DISTINCT to_incarnation) > 1) AS twice";
const NEVER_BEGUN: &str = "SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT FROM shard_moves m \
    WHERE m.shard = e.shard AND m.epoch = e.epoch) AND (SELECT count(*) FROM shard_moves) < 4096";
/// A claim waits for the commits that hold the fence and stops those that come later, so whoever writes under a lower epoch has drawn a
/// lower transaction. Databases of trials are young: their transactions need no epoch of their own.
const STALE: &str = "SELECT count(*) FROM events e JOIN shard_moves m ON m.shard = e.shard AND m.epoch = e.epoch + 1 \
    WHERE e.txid::text::bigint > m.xmin::text::bigint";
const LOOK: Duration = Duration::from_millis(20);

/// One start of a node.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub node: String,
    /// This start of it.
    pub incarnation: String,
    /// What it is doing.
    pub state: String,
    /// Its late writes that were refused.
    pub fenced: i64,
}

/// A reader of the tables.
pub struct Tables {
    client: Client,
}

impl Tables {
    /// Connects past all proxies.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn open(stores: &Stores) -> Result<Self, Failure> {
        let (client, connection) = tokio_postgres::connect(&stores.readable, NoTls).await?;
        // Its end is told to whoever asks something.
        tokio::spawn(connection);
        Ok(Tables { client })
    }

    /// The shards of a node.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn owned(&self, node: &str) -> Result<BTreeSet<u8>, Failure> {
        let rows = self.client.query(OWNED, &[&node]).await?;
        let shards = rows.iter().map(|row| u8::try_from(row.get::<_, i16>(0)));
        Ok(shards.collect::<Result<_, _>>()?)
    }

    /// Every start, in order.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn members(&self) -> Result<Vec<Member>, Failure> {
        let rows = self.client.query(MEMBERS, &[]).await?;
        let member = |row: &tokio_postgres::Row| Member {
            node: row.get(0),
            incarnation: row.get(1),
            state: row.get(2),
            fenced: row.get(3),
        };
        Ok(rows.iter().map(member).collect())
    }

    /// How many shards each serving node has.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn placed(&self) -> Result<BTreeMap<String, i64>, Failure> {
        let rows = self.client.query(PLACED, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Waits until so many nodes share all shards, about evenly. Answers for how long.
    ///
    /// # Errors
    /// Postgres is away, or they do not within `patience`.
    pub async fn balanced(&self, nodes: usize, patience: Duration) -> Result<Duration, Failure> {
        let began = Instant::now();
        let fair = 256 / i64::try_from(nodes)?;
        loop {
            let placed = self.placed().await?;
            let even = placed
                .values()
                .all(|count| (fair * 2 / 3..=fair * 3 / 2).contains(count));
            if placed.len() == nodes && even && placed.values().sum::<i64>() == 256 {
                return Ok(began.elapsed());
            }
            if began.elapsed() > patience {
                return Err(format!("after {patience:?} the shards lie at {placed:?}").into());
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the newest start of a node is in this state. Answers it.
    ///
    /// # Errors
    /// Postgres is away, or it is not within `patience`.
    pub async fn until(&self, node: &str, states: &[&str], patience: Duration) -> Result<Member, Failure> {
        let began = Instant::now();
        loop {
            let members = self.members().await?;
            let newest = members.into_iter().rfind(|member| member.node == node);
            match newest {
                Some(member) if states.contains(&member.state.as_str()) => return Ok(member),
                _ if began.elapsed() > patience => {
                    return Err(format!("{node} is {newest:?} after {patience:?}").into());
                }
                _ => sleep(LOOK).await,
            }
        }
    }

    /// One owner for each shard and epoch, and nothing written under an epoch after the next had begun.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn one_writer(&self) -> Result<Vec<Check>, Failure> {
        let mut checks = Vec::new();
        for (what, sql) in [
            ("shards with two owners under one epoch", TWO_OWNERS),
            ("events under an epoch that never began", NEVER_BEGUN),
            ("events under an epoch after the next had begun", STALE),
        ] {
            let count: i64 = self.client.query_one(sql, &[]).await?.get(0);
            checks.push(Check::none(what, usize::try_from(count)?));
        }
        Ok(checks)
    }
}
