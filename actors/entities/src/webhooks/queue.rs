//! The queue and the log of deliveries: one row for each event and each endpoint that hears of it.
//!
//! `pending → delivered | failed | abandoned`; each of these → `pending` by a replay. A claim moves the time at which a
//! delivery is due beyond the longest attempt, so that whoever claims and dies only delays it: at least once, with the same
//! event id. Whichever node claims, delivers; rows that another one is just claiming are passed over.
//!
//! A claim goes from endpoint to endpoint, not from delivery to delivery: what waits for one is never in the way of another. What
//! waits for an endpoint is bounded; the oldest stay, and what does not fit any more is dropped and counted.
//!
//! The first bits of a delivery's id are the time of its event: they order the log, and date what is pruned.

use std::time::Duration;

use lyceum_domain::ids::{UserId, WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, StoreError, clock};
use tokio::sync::Notify;
use tokio_postgres::Row;
use uuid::Uuid;

use super::announce::Announcement;
use crate::meters::WEBHOOK_DELIVERIES_DROPPED_TOTAL;

/// Endpoints that one look goes through, some ten milliseconds; the next look goes on behind them.
const LOOK_MAX: usize = 1_000;
/// Rows given up at once: far below what a statement has time for.
const ABANDON_MAX: i64 = 1_000;
/// Rows pruned at once.
const PRUNE_MAX: i64 = 1_000;

/// Reads and writes the queue.
pub struct DeliveryQueue {
    database: Database,
    /// What may wait for one endpoint.
    pending_max: i64,
    /// Something may have become due.
    news: Notify,
}

/// One delivery, as the log shows it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id.
    pub delivery_id: WebhookDeliveryId,
    /// The event, as receivers know it.
    pub event_id: WebhookEventId,
    /// What the event is.
    pub event_type: String,
    /// `pending`, `delivered`, `failed` or `abandoned`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The status of the last answer.
    pub status: Option<i16>,
    /// The first bytes of it.
    pub response: Option<String>,
    /// Why there was no answer to the last attempt.
    pub error: Option<String>,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// When it came into the queue.
    pub created_at: Timestamp,
    /// When it was last touched.
    pub updated_at: Timestamp,
}

/// What became of a wish to have a delivery made once more.
#[derive(Clone, Debug)]
pub enum Replayed {
    /// It is on its way again.
    Again(Delivery),
    /// There is no such delivery.
    Unknown,
    /// As many wait for the endpoint as may.
    Full,
}

/// An endpoint that something waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) endpoint_id: WebhookEndpointId,
    pub(super) user: UserId,
    /// For how long the first of it has been due; `None` if nothing is due yet.
    pub(super) due_for: Option<Duration>,
}

/// What a look has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    pub(super) waiting: Vec<Waiting>,
    /// Where the next look goes on; `None` if this one came to the end.
    pub(super) next: Option<WebhookEndpointId>,
}

/// An endpoint of which deliveries can be claimed, with the places that it and its user have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) endpoint_id: WebhookEndpointId,
    pub(super) user: UserId,
    pub(super) of_endpoint: usize,
    pub(super) of_user: usize,
}

/// A delivery that was claimed: whoever has it makes one attempt.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) delivery_id: WebhookDeliveryId,
    pub(super) endpoint_id: WebhookEndpointId,
    pub(super) user: UserId,
    pub(super) event_id: WebhookEventId,
    pub(super) body: String,
    /// The number of the attempt since it came into the queue or was replayed.
    pub(super) tries: u32,
    /// When the first of these attempts was made.
    pub(super) since: Timestamp,
    /// A moment before the address was read: whoever changes it after that is not meant by what the attempt comes to.
    pub(super) began: Timestamp,
    /// Where to; `None` if the endpoint hears no more.
    pub(super) to: Option<Address>,
}

/// Where a delivery goes.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) secret_version: u32,
    pub(super) previous_until: Option<Timestamp>,
}

/// What an attempt came to, for the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) status: Option<u16>,
    pub(super) response: Option<String>,
    pub(super) error: Option<&'static str>,
}

impl DeliveryQueue {
    /// The queue in this database.
    pub(crate) fn new(database: Database, pending_max: usize) -> Self {
        DeliveryQueue {
            database,
            pending_max: count(pending_max),
            news: Notify::new(),
        }
    }

    /// Waits until something may have become due on this node.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Something may have become due.
    pub(super) fn wake(&self) {
        self.news.notify_one();
    }

    /// Queues an event for every endpoint of its listener that hears of it; doing so again queues nothing more. An endpoint for
    /// which as many wait as may is passed over.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn enqueue(&self, announcement: &Announcement) -> Result<(), StoreError> {
        // What came in before the backlog was full does not count as dropped when its message comes again.
        const ENQUEUE: &str = "WITH hearing AS (SELECT endpoint_id, user_id, (SELECT count(*) FROM ( \
                SELECT FROM webhook_deliveries AS d WHERE d.endpoint_id = e.endpoint_id AND d.state = 'pending' LIMIT $6) AS waiting \
            ) >= $6 AS is_full FROM webhook_endpoints AS e WHERE user_id = $5 AND state = 'enabled' AND $2 = ANY (events)), \
            queued AS (INSERT INTO webhook_deliveries (delivery_id, endpoint_id, user_id, event_id, event_type, \
            subject, body, since, due_at) \
            SELECT (left(translate($1::uuid::text, '-', ''), 12) || right(md5($1::uuid::text || endpoint_id::text), 20))::uuid, \
            endpoint_id, user_id, $1, $2, $3, $4, now(), now() FROM hearing WHERE NOT is_full \
            ON CONFLICT (event_id, endpoint_id) DO NOTHING RETURNING 1) \
            SELECT (SELECT count(*) FROM queued), (SELECT count(*) FROM hearing AS h WHERE is_full AND NOT EXISTS ( \
                SELECT FROM webhook_deliveries AS d WHERE d.event_id = $1 AND d.endpoint_id = h.endpoint_id))";
        let row = self
            .database
            .query_opt(
                ENQUEUE,
                &[
                    &uuid(announcement.event_id.as_u128()),
                    &announcement.event_type.name(),
                    &announcement.subject,
                    &announcement.body,
                    &uuid(announcement.user.as_u128()),
                    &self.pending_max,
                ],
            )
            .await?;
        let (queued, dropped): (i64, i64) = match row {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (0, 0),
        };
        if queued > 0 {
            self.wake();
        }
        if let Ok(dropped @ 1..) = u64::try_from(dropped) {
            WEBHOOK_DELIVERIES_DROPPED_TOTAL.get().add(dropped);
            tracing::info!(user.id = %announcement.user, event.id = %announcement.event_id, dropped,
                "webhook event dropped, since too many wait for its endpoints");
        }
        Ok(())
    }

    /// Looks for what some endpoints behind `from`, in the order of their ids, wait for. The time it takes goes with the number of
    /// endpoints and not with the length of what waits for any.
    pub(super) async fn look(&self, from: Option<WebhookEndpointId>) -> Result<Looked, StoreError> {
        const LOOK: &str = "WITH RECURSIVE waiting AS ( \
                (SELECT endpoint_id, user_id, due_at, 1::bigint AS looked FROM webhook_deliveries \
                WHERE state = 'pending' AND endpoint_id > $1 ORDER BY endpoint_id, due_at LIMIT 1) \
                UNION ALL \
                SELECT next.endpoint_id, next.user_id, next.due_at, waiting.looked + 1 FROM waiting CROSS JOIN LATERAL ( \
                    SELECT endpoint_id, user_id, due_at FROM webhook_deliveries \
                    WHERE state = 'pending' AND endpoint_id > waiting.endpoint_id ORDER BY endpoint_id, due_at LIMIT 1) AS next \
                WHERE waiting.looked < $2) \
            SELECT endpoint_id, user_id, extract(epoch FROM now() - due_at)::float8 FROM waiting ORDER BY looked";
        let from = from.map_or(0, WebhookEndpointId::as_u128);
        let rows = self
            .database
            .query(LOOK, &[&uuid(from), &count(LOOK_MAX)])
            .await?;
        let mut looked = Looked::default();
        for row in &rows {
            looked.waiting.push(Waiting {
                endpoint_id: WebhookEndpointId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128()),
                user: UserId::from_u128(row.try_get::<_, Uuid>(1)?.as_u128()),
                due_for: Duration::try_from_secs_f64(row.try_get(2)?).ok(),
            });
        }
        if looked.waiting.len() >= LOOK_MAX {
            looked.next = looked.waiting.last().map(|last| last.endpoint_id);
        }
        Ok(looked)
    }

    /// Claims up to `limit` deliveries that are due, of each endpoint and of each user as many as have places left. Of those who
    /// have many due, everybody's first comes before anybody's second.
    pub(super) async fn claim(
        &self,
        open: &[Open],
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        // The time for giving up begins with the first attempt: what waited for days in a backlog is not given up at once.
        const CLAIM: &str = "WITH open AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) \
                AS o (endpoint_id, user_id, of_endpoint, of_user)), \
            turns AS (SELECT d.delivery_id, d.due_at, o.of_user, \
                    row_number() OVER (PARTITION BY o.user_id ORDER BY d.turn, d.due_at) AS turn \
                FROM open AS o CROSS JOIN LATERAL ( \
                    SELECT delivery_id, due_at, row_number() OVER (ORDER BY due_at) AS turn FROM webhook_deliveries AS w \
                    WHERE w.endpoint_id = o.endpoint_id AND state = 'pending' AND due_at <= now() \
                    ORDER BY due_at LIMIT o.of_endpoint) AS d), \
            chosen AS (SELECT delivery_id FROM turns WHERE turn <= of_user ORDER BY turn, due_at LIMIT $5), \
            locked AS (SELECT delivery_id FROM webhook_deliveries WHERE delivery_id IN (SELECT delivery_id FROM chosen) \
                AND state = 'pending' AND due_at <= now() FOR UPDATE SKIP LOCKED), \
            claimed AS (UPDATE webhook_deliveries AS d SET attempts = attempts + 1, tries = tries + 1, updated_at = now(), \
                since = CASE tries WHEN 0 THEN now() ELSE since END, \
                due_at = now() + $6::bigint * interval '1 millisecond' FROM locked WHERE d.delivery_id = locked.delivery_id \
                RETURNING d.*) \
            SELECT c.delivery_id, c.endpoint_id, c.user_id, c.event_id, c.body, c.tries, \
                round(extract(epoch FROM c.since) * 1000)::bigint, e.url, e.secret_version, \
                round(extract(epoch FROM e.previous_until) * 1000)::bigint \
            FROM claimed AS c LEFT JOIN webhook_endpoints AS e ON e.endpoint_id = c.endpoint_id AND e.state = 'enabled'";
        let endpoints: Vec<Uuid> = open.iter().map(|open| uuid(open.endpoint_id.as_u128())).collect();
        let users: Vec<Uuid> = open.iter().map(|open| uuid(open.user.as_u128())).collect();
        let of_endpoints: Vec<i64> = open.iter().map(|open| count(open.of_endpoint)).collect();
        let of_users: Vec<i64> = open.iter().map(|open| count(open.of_user)).collect();
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let began = clock::now();
        let rows = self
            .database
            .query(
                CLAIM,
                &[
                    &endpoints,
                    &users,
                    &of_endpoints,
                    &of_users,
                    &count(limit),
                    &lease,
                ],
            )
            .await?;
        rows.iter().map(|row| job(row, began)).collect()
    }

    /// Ends an attempt: with `due`, the delivery is tried again then; without, it has come to its end in `state`.
    pub(super) async fn settle(
        &self,
        job: &Job,
        state: &'static str,
        due: Option<Timestamp>,
        result: Report,
    ) -> Result<(), StoreError> {
        // Of two attempts that overlapped, the one that outlived its lease says nothing but that it was delivered. What failed for
        // good has disabled its endpoint, so that whatever waited for it may have been given up by now, this one included.
        const SETTLE: &str = "UPDATE webhook_deliveries SET state = $2, due_at = to_timestamp($3::bigint / 1000.0), \
            status = $4, response = $5, error = $6, updated_at = now() \
            WHERE delivery_id = $1 AND (state = 'pending' AND (tries = $7 OR $2 = 'delivered') \
                OR state = 'abandoned' AND tries = $7 AND $2 <> 'pending')";
        let due = due.map(Timestamp::as_millis);
        let status = result.status.and_then(|status| i16::try_from(status).ok());
        self.database
            .execute(
                SETTLE,
                &[
                    &uuid(job.delivery_id.as_u128()),
                    &state,
                    &due,
                    &status,
                    &result.response,
                    &result.error,
                    &i64::from(job.tries),
                ],
            )
            .await
            .map(|_| ())
    }

    /// Whether an endpoint has taken anything since then.
    pub(super) async fn has_taken(
        &self,
        endpoint: WebhookEndpointId,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        const TAKEN: &str = "SELECT FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 'delivered' \
            AND updated_at >= to_timestamp($2::bigint / 1000.0) LIMIT 1";
        let endpoint = uuid(endpoint.as_u128());
        let taken = self
            .database
            .query_opt(TAKEN, &[&endpoint, &since.as_millis()])
            .await?;
        Ok(taken.is_some())
    }

    /// Gives up whatever waits for an endpoint, piece by piece: one that is interrupted goes on where it was.
    pub(super) async fn abandon(&self, endpoint: WebhookEndpointId) -> Result<(), StoreError> {
        // Unless it has been enabled again since.
        const ABANDON: &str = "UPDATE webhook_deliveries SET state = 'abandoned', due_at = NULL, updated_at = now() \
            WHERE delivery_id IN (SELECT delivery_id FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 'pending' LIMIT $2) \
            AND state = 'pending' AND NOT EXISTS ( \
                SELECT FROM webhook_endpoints AS e WHERE e.endpoint_id = $1 AND e.state = 'enabled')";
        let endpoint = uuid(endpoint.as_u128());
        while self.database.execute(ABANDON, &[&endpoint, &ABANDON_MAX]).await? > 0 {}
        Ok(())
    }

    /// Forgets whatever an endpoint was or is to be told.
    pub(super) async fn forget(&self, endpoint: WebhookEndpointId) -> Result<(), StoreError> {
        // Part by part, so that no statement takes long however much there is: what is left after an attempt is left to the next.
        const FORGET: &str = "DELETE FROM webhook_deliveries WHERE delivery_id IN ( \
            SELECT delivery_id FROM webhook_deliveries WHERE endpoint_id = $1 LIMIT $2)";
        let endpoint = uuid(endpoint.as_u128());
        while self.database.execute(FORGET, &[&endpoint, &PRUNE_MAX]).await? > 0 {}
        Ok(())
    }

    /// Has a delivery of an endpoint made once more, with the same event id. One that has come to its end begins anew, as long as
    /// there is room; one that waits is only tried sooner, and given up when it would have been.
    ///
    /// # Errors
    /// The store is away.
    pub async fn replay(
        &self,
        endpoint: WebhookEndpointId,
        delivery: WebhookDeliveryId,
    ) -> Result<Replayed, StoreError> {
        const REPLAY: &str = "UPDATE webhook_deliveries SET state = 'pending', due_at = now(), updated_at = now(), \
            since = CASE state WHEN 'pending' THEN since ELSE now() END, tries = CASE state WHEN 'pending' THEN tries ELSE 0 END \
            WHERE delivery_id = $1 AND endpoint_id = $2 AND (state = 'pending' OR (SELECT count(*) FROM ( \
                SELECT FROM webhook_deliveries WHERE endpoint_id = $2 AND state = 'pending' LIMIT $3) AS waiting) < $3) RETURNING ";
        const KNOWN: &str = "SELECT FROM webhook_deliveries WHERE delivery_id = $1 AND endpoint_id = $2";
        let (delivery, endpoint) = (uuid(delivery.as_u128()), uuid(endpoint.as_u128()));
        let row = self
            .database
            .query_opt(
                &format!("{REPLAY}{COLUMNS}"),
                &[&delivery, &endpoint, &self.pending_max],
            )
            .await?;
        if let Some(row) = row {
            self.wake();
            return Ok(Replayed::Again(logged(&row)?));
        }
        let known = self.database.query_opt(KNOWN, &[&delivery, &endpoint]).await?;
        Ok(known.map_or(Replayed::Unknown, |_| Replayed::Full))
    }

    /// A page of an endpoint's log, newest event first.
    ///
    /// # Errors
    /// The store is away.
    pub async fn log(
        &self,
        endpoint: WebhookEndpointId,
        before: Option<WebhookDeliveryId>,
        limit: u16,
    ) -> Result<Vec<Delivery>, StoreError> {
        const LOG: &str = "FROM webhook_deliveries WHERE endpoint_id = $1 AND delivery_id < $2 \
            ORDER BY delivery_id DESC LIMIT $3";
        let before = before.map_or(u128::MAX, WebhookDeliveryId::as_u128);
        let rows = self
            .database
            .query(
                &format!("SELECT {COLUMNS} {LOG}"),
                &[&uuid(endpoint.as_u128()), &uuid(before), &i64::from(limit)],
            )
            .await?;
        rows.iter().map(logged).collect()
    }

    /// Forgets deliveries of events that are older than this and have come to their end; returns whether there may be more.
    pub(super) async fn prune(&self, ttl: Duration) -> Result<bool, StoreError> {
        const PRUNE: &str = "DELETE FROM webhook_deliveries WHERE delivery_id IN ( \
            SELECT delivery_id FROM webhook_deliveries WHERE delivery_id < $1 AND state <> 'pending' \
            ORDER BY delivery_id LIMIT $2)";
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let until = u128::try_from(clock::now().as_millis().saturating_sub(ttl)).unwrap_or_default();
        let pruned = self
            .database
            .execute(PRUNE, &[&uuid(until << 80), &PRUNE_MAX])
            .await?;
        Ok(i64::try_from(pruned).unwrap_or(i64::MAX) >= PRUNE_MAX)
    }
}

/// What [`logged`] reads.
const COLUMNS: &str = "delivery_id, event_id, event_type, state, attempts, status, response, error, \
    round(extract(epoch FROM due_at) * 1000)::bigint, round(extract(epoch FROM created_at) * 1000)::bigint, \
    round(extract(epoch FROM updated_at) * 1000)::bigint";

fn logged(row: &Row) -> Result<Delivery, StoreError> {
    let due: Option<i64> = row.try_get(8)?;
    Ok(Delivery {
        delivery_id: WebhookDeliveryId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128()),
        event_id: WebhookEventId::from_u128(row.try_get::<_, Uuid>(1)?.as_u128()),
        event_type: row.try_get(2)?,
        state: row.try_get(3)?,
        attempts: row.try_get(4)?,
        status: row.try_get(5)?,
        response: row.try_get(6)?,
        error: row.try_get(7)?,
        due_at: due.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(row.try_get(9)?),
        updated_at: Timestamp::from_millis(row.try_get(10)?),
    })
}

fn job(row: &Row, began: Timestamp) -> Result<Job, StoreError> {
    let url: Option<String> = row.try_get(7)?;
    let to = match url {
        Some(url) => Some(Address {
            url,
            secret_version: small(row.try_get(8)?),
            previous_until: row.try_get::<_, Option<i64>>(9)?.map(Timestamp::from_millis),
        }),
        None => None,
    };
    Ok(Job {
        delivery_id: WebhookDeliveryId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128()),
        endpoint_id: WebhookEndpointId::from_u128(row.try_get::<_, Uuid>(1)?.as_u128()),
        user: UserId::from_u128(row.try_get::<_, Uuid>(2)?.as_u128()),
        event_id: WebhookEventId::from_u128(row.try_get::<_, Uuid>(3)?.as_u128()),
        body: row.try_get(4)?,
        tries: small(row.try_get(5)?),
        since: Timestamp::from_millis(row.try_get(6)?),
        began,
        to,
    })
}

fn uuid(bits: u128) -> Uuid {
    Uuid::from_u128(bits)
}

fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
