//! Rest: the state in which nothing is under way. That it comes in time is a check itself.
//!
//! Under way is every saga that has not ended, every slot, every place in a team and every use of a coupon that is kept for an order, every order that is to pay
//! a membership, every message that is
//! due or was tried in vain,
//! every callback of the provider that was taken in and not worked through, and every sale or refund that is not documented. A
//! message that is due later and was never tried is a timer and may
//! stay; so may a callback that the provider knows nothing of, since it was refused.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::Failure;
use crate::provider::{Statement, UNPROCESSED};
use crate::report::{Report, Rule};

/// The check that rest comes.
pub(crate) const REACHED: Rule = Rule {
    name: "rest.is_reached",
    says: "Once nobody asks for anything, every saga, message and callback comes to its end within the limit.",
};

const POLL: Duration = Duration::from_millis(200);

const UNDER_WAY: &str = "\
    SELECT format('saga %s %s is %s, due %s', kind, id, state, due_at) AS what FROM sagas \
    UNION ALL \
    SELECT format('slot of order %s in sale %s', order_id, sale_id) FROM sale_slots WHERE state = 'reserved' \
    UNION ALL \
    SELECT format('place of order %s in team %s', order_id, team_id) FROM team_places WHERE state = 'reserved' \
    UNION ALL \
    SELECT format('use of coupon %s by order %s', coupon_id, order_id) FROM coupon_uses WHERE state = 'reserved' \
    UNION ALL \
    SELECT format('order %s is to pay membership %s', order_id, membership_id) FROM membership_charges WHERE state = 'pending' \
    UNION ALL \
    SELECT format('message %s of shard %s, %s attempts: %s', id, shard, attempts, left(payload::text, 200)) FROM outbox \
    WHERE due_at <= now() OR attempts > 0 \
    UNION ALL \
    (SELECT format('sale %s is not invoiced', source_id) FROM ledger_transactions WHERE step = 1 \
        AND source_id NOT IN (SELECT order_id FROM invoices WHERE kind = 'invoice') LIMIT 100) \
    UNION ALL \
    (SELECT format('refund %s has no credit note', r.refund_id) FROM refunds AS r \
        JOIN invoices AS i ON i.kind = 'invoice' AND i.order_id = r.order_id WHERE r.state = 'succeeded' AND r.amount > 0 \
        AND NOT EXISTS (SELECT FROM invoices AS c WHERE c.kind = 'credit_note' AND c.refund_id = r.refund_id) LIMIT 100)";

/// Waits until nothing is under way, at most this long.
///
/// # Errors
/// When the tables, or the provider if there is one, cannot be read.
pub(crate) async fn wait(
    client: &Client,
    sandbox: Option<&str>,
    limit: Duration,
    report: &mut Report,
) -> Result<(), Failure> {
    report.examine(REACHED);
    let began = Instant::now();
    loop {
        let left = under_way(client, sandbox).await?;
        if left.is_empty() {
            let took = began.elapsed().as_millis();
            report.at_rest_after_ms = Some(u64::try_from(took).unwrap_or(u64::MAX));
            return Ok(());
        }
        if began.elapsed() >= limit {
            for what in left {
                report.violate(REACHED, 1, what);
            }
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn under_way(client: &Client, sandbox: Option<&str>) -> Result<Vec<String>, Failure> {
    let rows = client.query(UNDER_WAY, &[]).await?;
    let mut left: Vec<String> = rows.iter().map(|row| row.get("what")).collect();
    let callbacks = client.query(UNPROCESSED, &[]).await?;
    if let (Some(url), false) = (sandbox, callbacks.is_empty()) {
        let statement = Statement::fetch(url).await?;
        let known = callbacks.iter().filter(|row| statement.knows(row.get("subject")));
        left.extend(known.map(|row| format!("callback {}", row.get::<_, &str>("event_id"))));
    }
    Ok(left)
}
