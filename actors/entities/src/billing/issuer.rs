//! Issues documents behind the journal: reads what buyers have decided, in commit order, and writes what follows from it.
//!
//! One transaction reads some decisions after the cursor, takes as many numbers as documents follow from them, writes the
//! documents and what creators have earned by them, and moves the cursor. So a document has its number exactly when it is
//! durable, a number that was taken in vain is taken back with everything else, and nothing is documented twice or passed
//! by. Every node tries; the one that locks the cursor works, and the others pass by.
//!
//! What this version cannot read stops the cursor rather than being left out: a newer node goes on. A transaction that does not
//! finish is tried again with half as many decisions, and those after it with more: one that is too large stops nothing.

mod drafts;
mod rows;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lyceum_domain::billing::{Document, Kind};
use lyceum_domain::commerce::Event;
use lyceum_domain::commerce::order::Placement;
use lyceum_domain::ids::OrderId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, Entity, StoreError, clock, supervise};
use tokio_postgres::Transaction;
use uuid::Uuid;

use self::drafts::{Cause, Draft, Due, Original, cause, credit_note, originals, placements, sold, terms};
use self::rows::{Columns, earned};
use super::BillingSettings;
use super::documents::series;
use crate::commerce::Buyers;
use crate::meters::{BILLING_DOCUMENTS_TOTAL, BILLING_LAG_SECONDS};

const CURSOR: &str = "SELECT txid FROM billing_cursor FOR UPDATE SKIP LOCKED";
/// Before the decisions are looked at: whatever is not above it has ended by then.
const HORIZON: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1";
/// Up to which transaction some turns are looked through: a transaction may hold several, and the cursor stands between two.
const REACHED: &str = "SELECT txid::text::bigint FROM events WHERE events.txid > $1::text::xid8 AND events.txid <= $2::text::xid8 \
    ORDER BY events.txid OFFSET $3 LIMIT 1";
/// A limit here would be Postgres' to keep, which knows neither how many turns are new nor how many match: behind by 200,000 it sorted
/// all of them for each 500.
const DECISIONS: &str = "SELECT txid::text::bigint, entity, version, (extract(epoch FROM at) * 1000)::bigint, events::text \
    FROM events WHERE kind = $1 AND events.txid > $2::text::xid8 AND events.txid <= $3::text::xid8 \
    AND events::text ~ '\"type\":\"(purchased|order_fulfilled|refunded_to_wallet|refund_moved)\"'";
/// How old the first decision behind the cursor is, whatever it is about: no more than one row is read.
const BEHIND: &str = "SELECT extract(epoch FROM now() - e.at)::float8 FROM billing_cursor AS c CROSS JOIN LATERAL ( \
    SELECT at FROM events WHERE kind = $1 AND txid > c.txid::text::xid8 ORDER BY txid LIMIT 1) AS e";
const MOVED: &str = "UPDATE billing_cursor SET txid = $1";
const TAKE: &str = "INSERT INTO invoice_series AS s (series, last) VALUES ($1, $2) \
    ON CONFLICT (series) DO UPDATE SET last = s.last + excluded.last RETURNING last";

/// Issues what is due, for as long as the node lives.
#[derive(Clone)]
pub(crate) struct Issuer {
    database: Database,
    settings: BillingSettings,
}

impl Issuer {
    pub(crate) fn new(database: Database, settings: BillingSettings) -> Self {
        Issuer { database, settings }
    }

    /// Starts the worker.
    pub(crate) fn keep(self) {
        supervise("billing", move || self.clone().follow());
    }

    async fn follow(self) {
        let mut ticks = tokio::time::interval(self.settings.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = self.settings.batch_max;
        let mut went_well = Instant::now();
        loop {
            ticks.tick().await;
            // While there is more than one transaction takes, the next follows at once.
            loop {
                let issued = tokio::time::timeout(self.settings.timeout, self.issue(batch)).await;
                let issued = issued.unwrap_or_else(|_| Err(StoreError::unavailable("out of time")));
                match issued {
                    Ok(full) => {
                        went_well = Instant::now();
                        batch = batch.saturating_mul(2).min(self.settings.batch_max);
                        if !full {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, batch, "documents could not be issued");
                        // Whatever it was that did not fit or could not be written, fewer have more time and stop fewer.
                        batch = (batch / 2).max(1);
                        BILLING_LAG_SECONDS.get().set(self.behind(went_well).await);
                        break;
                    }
                }
            }
        }
    }

    /// How far the documents are behind when they could not be issued, seconds; so far as it cannot be known, since when that is so.
    async fn behind(&self, went_well: Instant) -> f64 {
        let row = self.database.query_opt(BEHIND, &[&Buyers::KIND.number]).await;
        let known = match row {
            Ok(Some(row)) => row.try_get(0).ok(),
            Ok(None) => Some(0.0),
            Err(_) => None,
        };
        known.unwrap_or_else(|| went_well.elapsed().as_secs_f64())
    }

    /// Issues what follows from so many turns; whether there may be more.
    async fn issue(&self, batch: usize) -> Result<bool, StoreError> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        let millis = self.settings.timeout.as_millis();
        transaction
            .batch_execute(&format!("SET LOCAL statement_timeout = {millis}"))
            .await?;
        let Some(row) = transaction.query_opt(CURSOR, &[]).await? else {
            // Another node issues, and knows how far it is.
            BILLING_LAG_SECONDS.get().set(0.0);
            return Ok(false);
        };
        let cursor: i64 = row.try_get(0)?;
        let horizon: i64 = transaction.query_one(HORIZON, &[]).await?.try_get(0)?;
        let (due, reached) = self.due(&transaction, cursor, horizon, batch).await?;
        let full = reached < horizon;
        let now = clock::now();
        let oldest = due.first().map_or(Duration::ZERO, |due| now.since(due.at));
        BILLING_LAG_SECONDS.get().set(oldest.as_secs_f64());
        let drafts = self.drafted(&transaction, due).await?;
        self.write(&transaction, &drafts, now).await?;
        if reached > cursor {
            transaction.execute(MOVED, &[&reached]).await?;
        }
        transaction.commit().await?;
        for draft in &drafts {
            BILLING_DOCUMENTS_TOTAL
                .with([draft.document.kind.name()])
                .increment();
        }
        Ok(full)
    }

    /// What has to be documented after the cursor, and how far it was looked.
    async fn due(
        &self,
        transaction: &Transaction<'_>,
        cursor: i64,
        horizon: i64,
        batch: usize,
    ) -> Result<(Vec<Due>, i64), StoreError> {
        let ahead = i64::try_from(batch.saturating_sub(1)).unwrap_or(i64::MAX);
        let (from, to) = (cursor.to_string(), horizon.to_string());
        let last = transaction.query_opt(REACHED, &[&from, &to, &ahead]).await?;
        let reached = match last {
            Some(row) => row.try_get(0)?,
            None => horizon,
        };
        let kind = Buyers::KIND.number;
        let rows = transaction
            .query(DECISIONS, &[&kind, &from, &reached.to_string()])
            .await?;
        let mut decisions = Vec::with_capacity(rows.len());
        for row in &rows {
            let txid: i64 = row.try_get(0)?;
            let (user, version): (Uuid, i64) = (row.try_get(1)?, row.try_get(2)?);
            let at = Timestamp::from_millis(row.try_get(3)?);
            let events: Vec<Event> = serde_json::from_str(row.try_get(4)?).map_err(StoreError::refused)?;
            decisions.push(((txid, user, version), at, events));
        }
        // One transaction may hold several decisions of a buyer.
        decisions.sort_by_key(|(place, ..)| *place);
        let mut due = Vec::new();
        for ((_, user, version), at, events) in decisions {
            let (user, causes) = (user.as_u128(), events.into_iter().filter_map(cause));
            due.extend(causes.map(|cause| Due {
                cause,
                user,
                version,
                at,
            }));
        }
        Ok((due, reached))
    }

    /// The documents that are due, in order, without their numbers.
    async fn drafted(&self, transaction: &Transaction<'_>, due: Vec<Due>) -> Result<Vec<Draft>, StoreError> {
        let mut placed = placements(transaction, &due).await?;
        let mut originals = originals(transaction, &due).await?;
        let mut asked = terms(transaction, &due, &originals).await?;
        let mut drafts = Vec::with_capacity(due.len());
        for Due { cause, user, at, .. } in due {
            let drafted = match cause {
                Cause::Sale(order, placement) => {
                    let placement = placement
                        .map(|placement| *placement)
                        .or_else(|| placed.remove(&order));
                    let placement = placement
                        .ok_or_else(|| StoreError::refused(format!("nobody has placed the order {order}")))?;
                    self.invoice(order, user, at, &placement, &mut originals)
                }
                // Money that went back without a sale was never invoiced.
                Cause::Refund(order, refund, terms) => match originals.get_mut(&order) {
                    Some(original) => {
                        let terms = terms.or_else(|| asked.remove(&refund)).ok_or_else(|| {
                            StoreError::refused(format!("nobody has asked for the refund {refund}"))
                        })?;
                        credit_note(order, refund, user, at, original, terms.as_deref())
                    }
                    None => None,
                },
            };
            drafts.extend(drafted);
        }
        Ok(drafts)
    }

    fn invoice(
        &self,
        order: OrderId,
        user: u128,
        at: Timestamp,
        placement: &Placement,
        originals: &mut BTreeMap<OrderId, Original>,
    ) -> Option<Draft> {
        let document = Document::invoice(sold(placement), self.settings.tax_bps)?;
        let payable = self.settings.calendar.day(at) + i32::from(self.settings.hold_days);
        let original = Original {
            tax_bps: document.tax_bps,
            payable,
            lines: document.lines.clone(),
            credited: vec![(0, 0); document.lines.len()],
        };
        originals.insert(order, original);
        Some(Draft {
            order,
            refund: None,
            user,
            at,
            payable,
            document,
        })
    }

    async fn write(
        &self,
        transaction: &Transaction<'_>,
        drafts: &[Draft],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let calendar = self.settings.calendar;
        let year = calendar.year(now);
        // In one order, as every lock that several may wait for.
        let mut next = BTreeMap::new();
        for kind in Kind::ALL {
            let count = drafts.iter().filter(|draft| draft.document.kind == kind).count();
            if count == 0 {
                continue;
            }
            let count = i64::try_from(count).map_err(StoreError::refused)?;
            let taken = transaction
                .query_one(TAKE, &[&series(kind, year), &count])
                .await?;
            next.insert(kind, taken.try_get::<_, i64>(0)? - count + 1);
        }
        let mut columns = Columns::default();
        for draft in drafts {
            let kind = draft.document.kind;
            let place = next.get_mut(&kind);
            let place = place.ok_or_else(|| StoreError::refused("a document without a series"))?;
            columns.push(&series(kind, year), *place, draft);
            *place += 1;
        }
        columns
            .issue(transaction, &self.settings, now, calendar.day(now))
            .await?;
        earned(transaction, drafts, calendar).await
    }
}
