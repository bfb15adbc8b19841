//! What operators see of the cluster: read from the tables by whichever node is asked.

use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Cluster;
use super::members::{MemberState, Wanted};
use crate::ownership::Place;
use crate::placement::Shard;
use crate::store_error::StoreError;

/// Ended members that are shown.
const ENDED_MAX: i64 = 32;
/// Moves that are shown.
const MOVES_SHOWN: i64 = 64;

const MEMBERS: &str = "SELECT incarnation, node, state, wanted_state, http, link, version, \
    (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint, renewals, load, fenced_writes, \
    (SELECT count(*) FROM shard_owner o WHERE o.incarnation = m.incarnation), \
    to_char(joined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), ended_because \
    FROM members m WHERE ended_at IS NULL OR incarnation IN \
    (SELECT incarnation FROM members WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT $1) \
    ORDER BY ended_at IS NOT NULL, ended_at DESC, node";
const SHARDS_OWNED: &str = "SELECT shard, epoch, node, incarnation, \
    to_char(claimed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM shard_owner ORDER BY shard";
const MOVES: &str = "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    shard, epoch, from_node, from_incarnation, to_node, to_incarnation, reason \
    FROM shard_moves ORDER BY id DESC LIMIT $1";

/// Everything about a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterView {
    /// The node that tells it.
    pub node: String,
    /// Its incarnation.
    pub incarnation: Uuid,
    /// Whether it is a member of a cluster; alone it owns everything.
    pub joined: bool,
    /// Whether it holds its lease.
    pub lease_held: bool,
    /// Those that live first, then those that ended last.
    pub members: Vec<MemberView>,
    /// Every shard.
    pub shards: Vec<ShardView>,
    /// The newest first.
    pub moves: Vec<MoveView>,
}

/// One member.
#[derive(Clone, Debug, Serialize)]
pub struct MemberView {
    /// Its name.
    pub node: String,
    /// This start of it.
    pub incarnation: Uuid,
    /// Where it is in its life.
    pub state: MemberState,
    /// What an operator wants of it.
    pub wanted: Option<Wanted>,
    /// Where its API listens.
    pub http: String,
    /// Where its link listens.
    pub link: String,
    /// What it runs.
    pub version: String,
    /// Milliseconds until its lease is over, by the database's clock; negative since then.
    pub lease_remaining_ms: i64,
    /// How often it has renewed it.
    pub renewals: i64,
    /// How many shards it owns.
    pub shards: i64,
    /// Turns a second of their entities.
    pub load: i32,
    /// Its commands and decisions that were refused because a shard had, or might have had, another owner.
    pub fenced_writes: i64,
    /// When it joined.
    pub joined_at: String,
    /// When it left or died.
    pub ended_at: Option<String>,
    /// Why: `drained`, `lease over`, `evicted`, `superseded`.
    pub ended_because: Option<String>,
}

/// One shard.
#[derive(Clone, Debug, Serialize)]
pub struct ShardView {
    /// Its number.
    pub shard: Shard,
    /// What it is to the node that tells: `serving`, `sealed`, `elsewhere`, `fenced` or `unassigned`.
    pub state: &'static str,
    /// The epoch of its owner.
    pub epoch: i64,
    /// The epoch under which the node that tells serves it; 0 if it does not.
    pub served_epoch: i64,
    /// Its owner's name.
    pub node: Option<String>,
    /// Its owner.
    pub incarnation: Option<Uuid>,
    /// When its owner came to own it.
    pub claimed_at: Option<String>,
}

/// One change of owners.
#[derive(Clone, Debug, Serialize)]
pub struct MoveView {
    /// When it was.
    pub at: String,
    /// Which shard.
    pub shard: i16,
    /// Its epoch from then on.
    pub epoch: i64,
    /// The name of who owned it before.
    pub from_node: Option<String>,
    /// Who owned it before.
    pub from: Option<Uuid>,
    /// The name of who owned it from then on.
    pub to_node: String,
    /// Who owned it from then on.
    pub to: Uuid,
    /// Why.
    pub reason: String,
}

impl Cluster {
    /// Members, shards and the last moves.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn view(&self) -> Result<ClusterView, StoreError> {
        let members = self.database.query(MEMBERS, &[&ENDED_MAX]).await?;
        let shards = self.database.query(SHARDS_OWNED, &[]).await?;
        let moves = self.database.query(MOVES, &[&MOVES_SHOWN]).await?;
        Ok(ClusterView {
            node: self.node.clone(),
            incarnation: self.incarnation,
            joined: self.joined,
            lease_held: self.holds_lease(),
            members: members.iter().map(member).collect(),
            shards: shards.iter().filter_map(|row| self.shard(row)).collect(),
            moves: moves.iter().map(moved).collect(),
        })
    }

    fn shard(&self, row: &Row) -> Option<ShardView> {
        let shard = Shard::try_from(row.get::<_, i16>(0)).ok()?;
        let state = match self.shards.place(shard) {
            Place::Here => "serving",
            Place::Sealed => "sealed",
            Place::There(_) => "elsewhere",
            Place::Nowhere if self.shards.fenced_at(shard).is_some() => "fenced",
            Place::Nowhere => "unassigned",
        };
        Some(ShardView {
            shard,
            state,
            epoch: row.get(1),
            served_epoch: self.shards.epoch(shard),
            node: row.get(2),
            incarnation: row.get(3),
            claimed_at: row.get(4),
        })
    }
}

fn member(row: &Row) -> MemberView {
    MemberView {
        incarnation: row.get(0),
        node: row.get(1),
        state: MemberState::parse(row.get(2)),
        wanted: row.get::<_, Option<&str>>(3).and_then(Wanted::parse),
        http: row.get(4),
        link: row.get(5),
        version: row.get(6),
        lease_remaining_ms: row.get(7),
        renewals: row.get(8),
        load: row.get(9),
        fenced_writes: row.get(10),
        shards: row.get(11),
        joined_at: row.get(12),
        ended_at: row.get(13),
        ended_because: row.get(14),
    }
}

fn moved(row: &Row) -> MoveView {
    MoveView {
        at: row.get(0),
        shard: row.get(1),
        epoch: row.get(2),
        from_node: row.get(3),
        from: row.get(4),
        to_node: row.get(5),
        to: row.get(6),
        reason: row.get(7),
    }
}
