//! Everything the cluster says to its tables: each change is one statement that says under which circumstances it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::duties::Burial;
use super::members::{Member, MemberState, Ownership, Wanted};
use super::store::Store;
use crate::placement::Shard;
use crate::store_error::StoreError;

/// Rows of `shard_moves` that are kept.
const MOVES_MAX: i64 = 4096;

/// Every start is on record, also of nodes that join no cluster.
const START: &str = "INSERT INTO nodes (incarnation, node) VALUES ($1, $2)";
const SUPERSEDE: &str = "UPDATE members SET state = 'dead', ended_at = clock_timestamp(), ended_because = 'superseded' \
    WHERE node = $1 AND state NOT IN ('left', 'dead') RETURNING incarnation";
const JOIN: &str = "INSERT INTO members (incarnation, node, state, http, link, version, lease_until) \
    VALUES ($1, $2, 'joining', $3, $4, $5, clock_timestamp() + $6::bigint * interval '1 millisecond')";
const RENEW: &str = "UPDATE members SET lease_until = clock_timestamp() + $2::bigint * interval '1 millisecond', \
    renewals = renewals + 1, load = $3, fenced_writes = $4 \
    WHERE incarnation = $1 AND state NOT IN ('left', 'dead') RETURNING 1";
const END_OF: &str = "SELECT coalesce(ended_because, state) FROM members WHERE incarnation = $1";
const SET_STATE: &str = "UPDATE members SET state = $2 \
    WHERE incarnation = $1 AND state NOT IN ('left', 'dead') RETURNING 1";
const LEAVE: &str = "UPDATE members SET state = 'left', ended_at = clock_timestamp(), ended_because = 'drained', \
    fenced_writes = $2 WHERE incarnation = $1 AND state NOT IN ('left', 'dead')";
const NOTE_FENCED: &str = "UPDATE members SET fenced_writes = $2 WHERE incarnation = $1";
/// A lease that could not be renewed because the server was down is not over for as long as it lasts after the start.
const MEMBERS: &str = "SELECT incarnation, node, state, wanted_state, http, link, version, renewals, load, \
    clock_timestamp() > greatest(lease_until, pg_postmaster_start_time() + $1::bigint * interval '1 millisecond') \
    FROM members WHERE state NOT IN ('left', 'dead')";
/// What changed in or after the oldest transaction that the last look could not see the end of; always a row.
const OWNERS: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, shard, epoch, incarnation, \
    coalesce(extract(epoch FROM clock_timestamp() - claimed_at), 0)::float8 \
    FROM (SELECT) AS one LEFT JOIN shard_owner ON changed >= $1::text::xid8";
const OWNER: &str = "SELECT epoch, incarnation FROM shard_owner WHERE shard = $1";
/// Whoever is evicted may hold a lease, which lasts no longer than one that were granted now. Whoever has renewed since it was judged
/// lives, even if this clock was set forward meanwhile.
const BURY: &str = "UPDATE members SET state = 'dead', ended_at = clock_timestamp(), ended_because = $3, \
    lease_until = CASE WHEN $3 = 'evicted' THEN clock_timestamp() + $2::bigint * interval '1 millisecond' ELSE lease_until END \
    WHERE incarnation = $1 AND state NOT IN ('left', 'dead') AND CASE WHEN $3 = 'evicted' THEN wanted_state = 'dead' \
    ELSE renewals = $4 AND clock_timestamp() > \
    greatest(lease_until, pg_postmaster_start_time() + $2::bigint * interval '1 millisecond') END RETURNING 1";
/// A frozen owner with an open transaction would hold a claim up.
const END_BACKENDS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE application_name IN (SELECT 'lyceum ' || dead FROM unnest($1::uuid[]) AS dead)";
/// Locked in order, so that claims that meet wait for one another and then see that they came second. Whoever was evicted, or superseded
/// by another process of its name, may not know yet, and answers from memory for as long as its last lease.
const CLAIM: &str = "WITH before AS ( \
        SELECT o.shard, o.epoch, o.node, o.incarnation FROM shard_owner o \
        JOIN unnest($3::smallint[], $4::bigint[]) AS wanted (shard, epoch) \
            ON wanted.shard = o.shard AND wanted.epoch = o.epoch \
        WHERE NOT EXISTS (SELECT FROM members m WHERE m.incarnation = o.incarnation AND (m.state NOT IN ('left', 'dead') \
            OR m.ended_because IN ('evicted', 'superseded') AND clock_timestamp() <= m.lease_until)) \
          AND EXISTS (SELECT FROM members m WHERE m.incarnation = $1 AND m.state = 'serving') \
        ORDER BY o.shard FOR UPDATE OF o \
    ), claimed AS ( \
        UPDATE shard_owner o SET epoch = o.epoch + 1, node = $2, incarnation = $1, claimed_at = clock_timestamp() \
        FROM before WHERE o.shard = before.shard RETURNING o.shard, o.epoch \
    ), noted AS ( \
        INSERT INTO shard_moves (shard, epoch, from_node, from_incarnation, to_node, to_incarnation, reason) \
        SELECT claimed.shard, claimed.epoch, before.node, before.incarnation, $2, $1, \
            coalesce('claimed: ' || m.ended_because, 'claimed') \
        FROM claimed JOIN before USING (shard) LEFT JOIN members m USING (incarnation) \
    ) SELECT claimed.shard, claimed.epoch, \
        extract(epoch FROM clock_timestamp() - m.lease_until)::float8 \
    FROM claimed JOIN before USING (shard) \
    LEFT JOIN members m ON m.incarnation = before.incarnation AND m.ended_because = 'lease over'";
const FLIP: &str = "WITH flipped AS ( \
        UPDATE shard_owner o SET epoch = o.epoch + 1, node = m.node, incarnation = m.incarnation, \
            claimed_at = clock_timestamp() FROM members m \
        WHERE o.shard = $1 AND o.epoch = $2 AND o.incarnation = $3 AND m.incarnation = $4 AND m.state = 'serving' \
        RETURNING o.shard, o.epoch, o.node, o.incarnation \
    ), noted AS ( \
        INSERT INTO shard_moves (shard, epoch, from_node, from_incarnation, to_node, to_incarnation, reason) \
        SELECT flipped.shard, flipped.epoch, $5, $3, flipped.node, flipped.incarnation, $6 FROM flipped \
    ) SELECT epoch FROM flipped";
/// After a flip that may still be under way: whichever comes second finds another epoch.
const RETAKE: &str = "UPDATE shard_owner SET epoch = epoch + 1, claimed_at = clock_timestamp() \
    WHERE shard = $1 AND epoch = $2 AND incarnation = $3 RETURNING epoch";
const GIVE_UP: &str = "UPDATE shard_owner SET node = NULL, incarnation = NULL \
    WHERE shard = $1 AND epoch = $2 AND incarnation = $3";
const FORGET_MOVES: &str =
    "DELETE FROM shard_moves WHERE id <= (SELECT max(id) FROM shard_moves) - $1::bigint";
const FORGET_WISHES: &str = "DELETE FROM shard_wishes WHERE ended_at < clock_timestamp() - interval '1 day'";
const WISHES: &str =
    "SELECT id, shard, to_node, reason FROM shard_wishes WHERE ended_at IS NULL ORDER BY id LIMIT 256";
const FULFIL: &str =
    "UPDATE shard_wishes SET ended_at = clock_timestamp(), outcome = $2 WHERE id = $1 AND ended_at IS NULL";

/// What a member says of itself when it joins.
pub(super) struct Joining<'a> {
    pub(super) incarnation: Uuid,
    pub(super) node: &'a str,
    pub(super) http: &'a str,
    pub(super) link: &'a str,
    pub(super) version: &'a str,
}

/// A shard whose owner has changed.
pub(super) struct Owned {
    pub(super) shard: Shard,
    pub(super) owner: Ownership,
    /// Since it was claimed or handed over.
    pub(super) age: Duration,
}

/// A shard that was claimed.
pub(super) struct Claimed {
    pub(super) shard: Shard,
    pub(super) epoch: i64,
    /// Since its last owner's lease was over, if that is why it was claimed.
    pub(super) after: Option<Duration>,
}

/// A shard that an operator wants elsewhere.
pub(super) struct Wish {
    pub(super) id: i64,
    pub(super) shard: Shard,
    pub(super) to_node: String,
    pub(super) reason: String,
}

impl Store {
    /// Joins as `joining`, for as long as `ttl`. Whoever lives under the same name is dead from then on: this is its restart.
    pub(super) async fn join(&self, joining: &Joining<'_>, ttl: Duration) -> Result<(), StoreError> {
        let Joining {
            incarnation,
            node,
            http,
            link,
            version,
        } = joining;
        self.query(START, &[incarnation, node]).await?;
        let before: Vec<Uuid> = self
            .query(SUPERSEDE, &[node])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        self.end_backends(&before).await?;
        self.query(JOIN, &[incarnation, node, http, link, version, &millis(ttl)])
            .await
            .map(drop)
    }

    /// Renews the lease. Returns whether the member lives.
    pub(super) async fn renew(
        &self,
        incarnation: Uuid,
        ttl: Duration,
        load: i32,
        fenced: i64,
    ) -> Result<bool, StoreError> {
        let renewed = self
            .query(RENEW, &[&incarnation, &millis(ttl), &load, &fenced])
            .await?;
        Ok(!renewed.is_empty())
    }

    /// Why a member has ended.
    pub(super) async fn end_of(&self, incarnation: Uuid) -> Result<Option<String>, StoreError> {
        let rows = self.query(END_OF, &[&incarnation]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// Moves a member that lives to another state. Returns whether it lives.
    pub(super) async fn set_state(&self, incarnation: Uuid, state: MemberState) -> Result<bool, StoreError> {
        let changed = self.query(SET_STATE, &[&incarnation, &state.as_str()]).await?;
        Ok(!changed.is_empty())
    }

    /// Leaves; shards that are still owned may be claimed at once.
    pub(super) async fn leave(&self, incarnation: Uuid, fenced: i64) -> Result<(), StoreError> {
        self.query(LEAVE, &[&incarnation, &fenced]).await.map(drop)
    }

    /// Notes how many late writes were refused.
    pub(super) async fn note_fenced(&self, incarnation: Uuid, fenced: i64) -> Result<(), StoreError> {
        self.query(NOTE_FENCED, &[&incarnation, &fenced]).await.map(drop)
    }

    /// The members that live.
    pub(super) async fn members(&self, ttl: Duration) -> Result<BTreeMap<Uuid, Member>, StoreError> {
        let rows = self.query(MEMBERS, &[&millis(ttl)]).await?;
        Ok(rows.iter().map(|row| (row.get(0), member(row))).collect())
    }

    /// The owners that changed `since` the last call, whose answer says where the next begins; all of them since 0.
    pub(super) async fn owners(&self, since: &str) -> Result<(String, Vec<Owned>), StoreError> {
        let rows = self.query(OWNERS, &[&since]).await?;
        let next = rows.first().map_or_else(|| since.to_owned(), |row| row.get(0));
        let owned = |row: &Row| {
            Some(Owned {
                shard: Shard::try_from(row.get::<_, Option<i16>>(1)?).ok()?,
                owner: Ownership {
                    epoch: row.get(2),
                    incarnation: row.get(3),
                },
                age: Duration::try_from_secs_f64(row.get(4)).unwrap_or_default(),
            })
        };
        Ok((next, rows.iter().filter_map(owned).collect()))
    }

    /// The epoch and the owner of one shard.
    pub(super) async fn owner(&self, shard: Shard) -> Result<(i64, Option<Uuid>), StoreError> {
        let row = self.query_one(OWNER, &[&i16::from(shard)]).await?;
        Ok((row.get(0), row.get(1)))
    }

    /// Declares a member dead whose lease is over, or whom an operator wants dead. Returns whether this call did.
    pub(super) async fn bury(&self, burial: Burial, ttl: Duration) -> Result<bool, StoreError> {
        let Burial {
            incarnation,
            renewals,
            because,
        } = burial;
        let parameters: [&(dyn ToSql + Sync); 4] = [&incarnation, &millis(ttl), &because.as_str(), &renewals];
        let buried = self.query(BURY, &parameters).await?;
        Ok(!buried.is_empty())
    }

    /// Ends what connections the journals of dead incarnations still have.
    pub(super) async fn end_backends(&self, dead: &[Uuid]) -> Result<(), StoreError> {
        self.query(END_BACKENDS, &[&dead]).await.map(drop)
    }

    /// Claims those of these shards that nobody who lives owns, if they still have these epochs.
    pub(super) async fn claim(
        &self,
        incarnation: Uuid,
        node: &str,
        wanted: &[(Shard, i64)],
    ) -> Result<Vec<Claimed>, StoreError> {
        let (shards, epochs): (Vec<i16>, Vec<i64>) = wanted
            .iter()
            .map(|(shard, epoch)| (i16::from(*shard), *epoch))
            .unzip();
        let rows = self
            .query(CLAIM, &[&incarnation, &node, &shards, &epochs])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Claimed {
                    shard: Shard::try_from(row.get::<_, i16>(0)).map_err(StoreError::refused)?,
                    epoch: row.get(1),
                    after: row
                        .get::<_, Option<f64>>(2)
                        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
                })
            })
            .collect()
    }

    /// Makes `to` the owner of a shard, if it serves and `from` owns it under this epoch. Returns the new epoch.
    pub(super) async fn flip(
        &self,
        (shard, epoch): (Shard, i64),
        (from, from_node): (Uuid, &str),
        to: Uuid,
        reason: &str,
    ) -> Result<Option<i64>, StoreError> {
        let rows = self
            .query(
                FLIP,
                &[&i16::from(shard), &epoch, &from, &to, &from_node, &reason],
            )
            .await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// Gives a shard up to whoever claims it.
    pub(super) async fn give_up(
        &self,
        shard: Shard,
        epoch: i64,
        incarnation: Uuid,
    ) -> Result<(), StoreError> {
        self.query(GIVE_UP, &[&i16::from(shard), &epoch, &incarnation])
            .await
            .map(drop)
    }

    /// Raises the epoch of a shard that `incarnation` owns under this epoch. Returns the new epoch.
    pub(super) async fn retake(
        &self,
        shard: Shard,
        epoch: i64,
        incarnation: Uuid,
    ) -> Result<Option<i64>, StoreError> {
        let rows = self
            .query(RETAKE, &[&i16::from(shard), &epoch, &incarnation])
            .await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// The shards that operators want elsewhere.
    pub(super) async fn wishes(&self) -> Result<Vec<Wish>, StoreError> {
        let rows = self.query(WISHES, &[]).await?;
        let wish = |row: &Row| {
            Some(Wish {
                id: row.get(0),
                shard: Shard::try_from(row.get::<_, i16>(1)).ok()?,
                to_node: row.get(2),
                reason: row.get(3),
            })
        };
        Ok(rows.iter().filter_map(wish).collect())
    }

    /// Says what became of a wish.
    pub(super) async fn fulfil(&self, wish: i64, outcome: &str) -> Result<(), StoreError> {
        self.query(FULFIL, &[&wish, &outcome]).await.map(drop)
    }

    /// Deletes what nobody will want to know any more.
    pub(super) async fn forget_old(&self) -> Result<(), StoreError> {
        self.query(FORGET_MOVES, &[&MOVES_MAX]).await?;
        self.query(FORGET_WISHES, &[]).await.map(drop)
    }
}

fn member(row: &Row) -> Member {
    Member {
        incarnation: row.get(0),
        node: row.get(1),
        state: MemberState::parse(row.get(2)),
        wanted: row.get::<_, Option<&str>>(3).and_then(Wanted::parse),
        http: row.get(4),
        link: row.get(5),
        version: row.get(6),
        renewals: row.get(7),
        load: u32::try_from(row.get::<_, i32>(8)).unwrap_or_default(),
        expired: row.get(9),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
