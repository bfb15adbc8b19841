//! Everything that is known of one order, in the order of time: what was decided, sent, heard, posted, granted and returned.
//!
//! One query over the journal of the buyer and of the payment, the inbox of callbacks, the outbox, the ledger and the rows of
//! refunds and grants. Moments of one millisecond keep the order of their ranks, so that a page can begin anywhere.

use lyceum_domain::commerce::ledger::Step;
use lyceum_domain::ids::{CourseId, OrderId, PaymentId, RefundId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::StoreError;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::queries::{CommerceQueries, uuid};
use crate::operators::redact::redacted;

/// One thing that happened to an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Where it stands in the timeline.
    pub position: Position,
    /// Where it is written: `order`, `payment`, `callback`, `outbox`, `dead_letter`, `ledger`, `refund` or `grant`.
    pub source: &'static str,
    /// What happened.
    pub what: String,
    /// More about it, without what is personal or secret.
    pub details: Value,
}

/// Where a moment stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// When.
    pub at: Timestamp,
    /// The place of its source among the sources.
    pub rank: i32,
    /// Its place in its source.
    pub key: String,
}

/// The sources by rank.
const SOURCES: [&str; 8] = [
    "order",
    "payment",
    "outbox",
    "callback",
    "ledger",
    "grant",
    "refund",
    "dead_letter",
];
const LEDGER: i32 = 4;
const GRANT: i32 = 5;

/// `$1` user, `$2` order, `$3` its payments, `$4` the order's text, `$5` the texts that callbacks refer by, `$6` ids that postings stand for.
///
/// An event of the buyer is the order's if it names it, and so is a message of a team (26); those of the payment all are.
const MOMENTS: &str = "WITH moments AS ( \
    SELECT (extract(epoch FROM e.at) * 1000)::bigint AS at_ms, 0 AS rank, \
        lpad(e.version::text, 12, '0') || '.' || lpad(j.place::text, 3, '0') AS key, \
        j.event->>'type' AS what, j.event::text AS details, NULL::uuid AS id \
    FROM events AS e CROSS JOIN LATERAL json_array_elements(e.events) WITH ORDINALITY AS j (event, place) \
    WHERE e.kind = 4 AND e.entity = $1 AND j.event::text LIKE '%' || $4 || '%' \
    UNION ALL \
    SELECT (extract(epoch FROM e.at) * 1000)::bigint, 1, e.entity::text || '.' || lpad(e.version::text, 12, '0') || '.' || lpad(j.place::text, 3, '0'), \
        j.event->>'type', j.event::text, NULL \
    FROM events AS e CROSS JOIN LATERAL json_array_elements(e.events) WITH ORDINALITY AS j (event, place) \
    WHERE e.kind = 5 AND e.entity = ANY ($3) \
    UNION ALL \
    SELECT (extract(epoch FROM o.due_at) * 1000)::bigint, 2, o.id::text, o.payload->>'type', \
        json_build_object('attempts', o.attempts, 'faults', o.faults)::text, NULL \
    FROM outbox AS o WHERE (o.kind = 5 AND o.entity = ANY ($3)) \
        OR ((o.kind = 4 AND o.entity = $1 OR o.kind = 26) AND o.payload::text LIKE '%' || $4 || '%') \
    UNION ALL \
    SELECT (extract(epoch FROM p.received_at) * 1000)::bigint, 3, p.event_id, p.kind, \
        json_build_object('provider', p.provider, 'deliveries', p.deliveries, 'processed', p.processed_at IS NOT NULL)::text, NULL \
    FROM provider_events AS p WHERE p.reference = ANY ($5) \
    UNION ALL \
    SELECT (extract(epoch FROM l.at) * 1000)::bigint, 4, l.source_id::text || '.' || l.step || '.' || lpad(l.line::text, 3, '0'), \
        l.step::text, json_build_object('account', l.account, 'amount', l.amount, 'currency', l.currency)::text, l.owner_id \
    FROM ledger_entries AS l WHERE l.source_id = ANY ($6) \
    UNION ALL \
    SELECT (extract(epoch FROM g.at) * 1000)::bigint, 5, g.course_id::text || '.' || g.what, g.what, \
        json_build_object('course_version', g.course_version)::text, g.course_id \
    FROM (SELECT course_id, course_version, granted_at AS at, 'granted' AS what FROM grants \
            WHERE source = 'order' AND source_id = $2 \
        UNION ALL SELECT course_id, course_version, revoked_at, 'revoked' FROM grants \
            WHERE source = 'order' AND source_id = $2 AND revoked_at IS NOT NULL) AS g \
    UNION ALL \
    SELECT (extract(epoch FROM r.requested_at) * 1000)::bigint, 6, r.refund_id::text, r.state, \
        json_build_object('amount', r.amount, 'attempts', r.attempt, 'method', r.method)::text, NULL \
    FROM refunds AS r WHERE r.order_id = $2 \
    UNION ALL \
    SELECT (extract(epoch FROM d.died_at) * 1000)::bigint, 7, d.id::text, d.payload->>'type', \
        json_build_object('attempts', d.attempts, 'refusal', d.reason)::text, NULL \
    FROM dead_letters AS d WHERE (d.kind = 5 AND d.entity = ANY ($3)) \
        OR ((d.kind = 4 AND d.entity = $1 OR d.kind = 26) AND d.payload::text LIKE '%' || $4 || '%')) \
    SELECT at_ms, rank, key, what, details, id FROM moments \
    WHERE (at_ms, rank, key COLLATE \"C\") > ($7, $8, $9) ORDER BY at_ms, rank, key COLLATE \"C\" LIMIT $10";

impl CommerceQueries {
    /// A page of everything that is known of an order, oldest first, after `after`; `None` if there is no such order.
    ///
    /// # Errors
    /// The store is away.
    pub async fn timeline(
        &self,
        order: OrderId,
        after: Option<Position>,
        limit: u16,
    ) -> Result<Option<Vec<Moment>>, StoreError> {
        let Some((user, payment)) = self.order_owner(order).await? else {
            return Ok(None);
        };
        const REFUNDS: &str = "SELECT refund_id FROM refunds WHERE order_id = $1";
        let order_uuid = uuid(order.as_u128());
        let rows = self.database.query(REFUNDS, &[&order_uuid]).await?;
        const PAYMENTS: &str = "SELECT payment_id FROM payments WHERE order_id = $1";
        let mut payments = vec![uuid(payment.as_u128())];
        for row in &self.database.query(PAYMENTS, &[&order_uuid]).await? {
            payments.push(row.try_get(0)?);
        }
        let mut sources = vec![order_uuid];
        let mut references = Vec::new();
        for payment in &payments {
            sources.push(*payment);
            references.push(PaymentId::from_u128(payment.as_u128()).to_string());
        }
        for row in &rows {
            let refund: Uuid = row.try_get(0)?;
            references.push(RefundId::from_u128(refund.as_u128()).to_string());
            sources.push(refund);
        }
        let Position { at, rank, key } = after.unwrap_or(Position {
            rank: -1,
            ..Position::default()
        });
        let user = uuid(user.as_u128());
        let rows = self
            .database
            .query(
                MOMENTS,
                &[
                    &user,
                    &order_uuid,
                    &payments,
                    &order.to_string(),
                    &references,
                    &sources,
                    &at.as_millis(),
                    &rank,
                    &key,
                    &i64::from(limit),
                ],
            )
            .await?;
        rows.iter().map(moment).collect::<Result<_, _>>().map(Some)
    }
}

fn moment(row: &Row) -> Result<Moment, StoreError> {
    let rank: i32 = row.try_get(1)?;
    let mut what: String = row.try_get::<_, Option<String>>(3)?.unwrap_or_default();
    let text: String = row.try_get(4)?;
    let mut details: Value = serde_json::from_str(&text).map_err(StoreError::refused)?;
    let id = row.try_get::<_, Option<Uuid>>(5)?.map(|id| id.as_u128());
    match rank {
        // An event holds what people typed and tokens that charge.
        0 | 1 => details = redacted(details),
        LEDGER => {
            what = step_name(&what).to_owned();
            if let Some(owner) = id {
                details["owner"] = UserId::from_u128(owner).to_string().into();
            }
        }
        GRANT => {
            if let Some(course) = id {
                details["course_id"] = CourseId::from_u128(course).to_string().into();
            }
        }
        _ => {}
    }
    Ok(Moment {
        position: Position {
            at: Timestamp::from_millis(row.try_get(0)?),
            rank,
            key: row.try_get(2)?,
        },
        source: usize::try_from(rank)
            .ok()
            .and_then(|rank| SOURCES.get(rank))
            .copied()
            .unwrap_or("other"),
        what,
        details,
    })
}

fn step_name(number: &str) -> &'static str {
    let step = number.parse().ok().and_then(Step::of_number);
    step.map_or("other", Step::name)
}

impl Position {
    /// A text that a client gives back.
    pub fn write(&self) -> String {
        format!("{}.{}.{}", self.at.as_millis(), self.rank, self.key)
    }

    /// The position that such a text stands for.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        Some(Position {
            at: Timestamp::from_millis(parts.next()?.parse().ok()?),
            rank: parts.next()?.parse().ok()?,
            key: parts.next()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_as_it_was_written() {
        let position = Position {
            at: Timestamp::from_millis(1_700_000_000_123),
            rank: 4,
            key: "0190.1.002".to_owned(),
        };

        assert_eq!(Position::read(&position.write()), Some(position));
        for wrong in ["", "1", "1.x.k", "now.1.k"] {
            assert_eq!(Position::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_posting_is_called_as_its_statement_calls_it() {
        assert_eq!(step_name("1"), "sale");
        assert_eq!(step_name("103"), "surplus_refund");
        assert_eq!(step_name("99"), "other");
    }
}
