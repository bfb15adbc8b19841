//! The queue and the log of deliveries: one row for each event and each endpoint that hears of it.
//!
//! `pending → delivered | failed | abandoned`; each of these → `pending` by a replay. A claim moves the time at which a
//! delivery is due beyond the longest attempt, so that whoever claims and dies only delays it: at least once, with the same
//! event id. Whichever node claims, delivers; rows that another one is just claiming are passed over.
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

/// Due deliveries that a claim looks at: enough for every place many times over, however many one endpoint has.
const LOOK_MAX: i64 = 1_000;
/// Rows pruned at once.
const PRUNE_MAX: i64 = 1_000;

/// Reads and writes the queue.
pub struct DeliveryQueue {
    database: Database,
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
    pub(super) since: Timestamp,
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
    pub(crate) fn new(database: Database) -> Self {
        DeliveryQueue {
            database,
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

    /// Queues an event for every endpoint of its listener that hears of it; doing so again queues nothing more.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn enqueue(&self, announcement: &Announcement) -> Result<(), StoreError> {
        const ENQUEUE: &str = "INSERT INTO webhook_deliveries (delivery_id, endpoint_id, user_id, event_id, event_type, \
            subject, body, since, due_at) \
            SELECT (left(translate($1::uuid::text, '-', ''), 12) || right(md5($1::uuid::text || endpoint_id::text), 20))::uuid, \
            endpoint_id, user_id, $1, $2, $3, $4, now(), now() FROM webhook_endpoints \
            WHERE user_id = $5 AND state = 'enabled' AND $2 = ANY (events) \
            ON CONFLICT (event_id, endpoint_id) DO NOTHING";
        let queued = self
            .database
            .execute(
                ENQUEUE,
                &[
                    &uuid(announcement.event_id.as_u128()),
                    &announcement.event_type.name(),
                    &announcement.subject,
                    &announcement.body,
                    &uuid(announcement.user.as_u128()),
                ],
            )
            .await?;
        if queued > 0 {
            self.wake();
        }
        Ok(())
    }

    /// Claims up to `limit` deliveries that are due, of each endpoint as many as it has `places` for: those named here, else
    /// `places_each`. Of those who have many due, everybody's first comes before anybody's second.
    pub(super) async fn claim(
        &self,
        places: &[(WebhookEndpointId, usize)],
        places_each: usize,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        const CLAIM: &str = "WITH busy AS (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS b (endpoint_id, places)), \
            oldest AS ( \
                SELECT delivery_id, endpoint_id, due_at FROM webhook_deliveries \
                WHERE state = 'pending' AND due_at <= now() \
                    AND endpoint_id <> ALL (ARRAY(SELECT endpoint_id FROM busy WHERE places = 0)) \
                ORDER BY due_at LIMIT $6), \
            turns AS (SELECT delivery_id, endpoint_id, row_number() OVER (PARTITION BY endpoint_id ORDER BY due_at) AS turn \
                FROM oldest), \
            chosen AS (SELECT delivery_id FROM turns LEFT JOIN busy USING (endpoint_id) \
                WHERE turn <= coalesce(busy.places, $3) ORDER BY turn LIMIT $4), \
            locked AS (SELECT delivery_id FROM webhook_deliveries WHERE delivery_id IN (SELECT delivery_id FROM chosen) \
                AND state = 'pending' AND due_at <= now() FOR UPDATE SKIP LOCKED), \
            claimed AS (UPDATE webhook_deliveries AS d SET attempts = attempts + 1, tries = tries + 1, updated_at = now(), \
                due_at = now() + $5::bigint * interval '1 millisecond' FROM locked WHERE d.delivery_id = locked.delivery_id \
                RETURNING d.*) \
            SELECT c.delivery_id, c.endpoint_id, c.user_id, c.event_id, c.body, c.tries, \
                round(extract(epoch FROM c.since) * 1000)::bigint, e.url, e.secret_version, \
                round(extract(epoch FROM e.previous_until) * 1000)::bigint \
            FROM claimed AS c LEFT JOIN webhook_endpoints AS e ON e.endpoint_id = c.endpoint_id AND e.state = 'enabled'";
        let endpoints: Vec<Uuid> = places
            .iter()
            .map(|(endpoint, _)| uuid(endpoint.as_u128()))
            .collect();
        let left: Vec<i64> = places.iter().map(|(_, left)| count(*left)).collect();
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let rows = self
            .database
            .query(
                CLAIM,
                &[
                    &endpoints,
                    &left,
                    &count(places_each),
                    &count(limit),
                    &lease,
                    &LOOK_MAX,
                ],
            )
            .await?;
        rows.iter().map(job).collect()
    }

    /// Whether a delivery that could have been claimed by now has not been, and since when: seconds; 0 if none.
    pub(super) async fn lateness(&self, busy: &[WebhookEndpointId]) -> Result<f64, StoreError> {
        const OLDEST: &str = "SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM webhook_deliveries \
            WHERE state = 'pending' AND due_at <= now() AND endpoint_id <> ALL ($1)";
        let busy: Vec<Uuid> = busy.iter().map(|endpoint| uuid(endpoint.as_u128())).collect();
        let row = self.database.query_opt(OLDEST, &[&busy]).await?;
        row.map_or(Ok(0.0), |row| Ok(row.try_get(0)?))
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

    /// Gives up whatever waits for an endpoint.
    pub(super) async fn abandon(&self, endpoint: WebhookEndpointId) -> Result<(), StoreError> {
        // Unless it has been enabled again since.
        const ABANDON: &str = "UPDATE webhook_deliveries SET state = 'abandoned', due_at = NULL, updated_at = now() \
            WHERE endpoint_id = $1 AND state = 'pending' AND NOT EXISTS ( \
                SELECT FROM webhook_endpoints AS e WHERE e.endpoint_id = $1 AND e.state = 'enabled')";
        self.database
            .execute(ABANDON, &[&uuid(endpoint.as_u128())])
            .await
            .map(|_| ())
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

    /// Has a delivery of an endpoint made once more, with the same event id; `None` if there is no such delivery.
    ///
    /// # Errors
    /// The store is away.
    pub async fn replay(
        &self,
        endpoint: WebhookEndpointId,
        delivery: WebhookDeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        const REPLAY: &str = "UPDATE webhook_deliveries SET state = 'pending', since = now(), due_at = now(), tries = 0, \
            updated_at = now() WHERE delivery_id = $1 AND endpoint_id = $2 RETURNING ";
        let row = self
            .database
            .query_opt(
                &format!("{REPLAY}{COLUMNS}"),
                &[&uuid(delivery.as_u128()), &uuid(endpoint.as_u128())],
            )
            .await?;
        self.wake();
        row.as_ref().map(logged).transpose()
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

fn job(row: &Row) -> Result<Job, StoreError> {
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
