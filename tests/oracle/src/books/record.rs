//! Idempotency records beside the books: the answer that a repeated request gets must tell what happened.

use futures_util::TryStreamExt;
use serde_json::Value;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{BUYER, Books, RECORDED, buyer, id, money};
use crate::Failure;
use crate::report::Report;

/// Compares every recorded answer of a buyer with what was agreed.
pub(super) async fn examine(
    books: &Books,
    snapshot: &Transaction<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    report.examine(RECORDED);
    let sql = "SELECT id, entity, answer::text FROM operations WHERE kind = $1";
    let rows = snapshot.query_raw(sql, [BUYER]).await?;
    let mut rows = std::pin::pin!(rows);
    let mut records = 0;
    while let Some(row) = rows.try_next().await? {
        records += 1;
        let (operation, user): (Uuid, Uuid) = (row.get(0), row.get(1));
        let answer: Value = serde_json::from_str(row.get(2)).unwrap_or_default();
        if !agrees(books, user, &answer) {
            let text = answer.to_string().chars().take(400).collect::<String>();
            report.violate(RECORDED, 1, format!("{operation} of {user}: {text}"));
        }
    }
    report.count("idempotency records", records);
    Ok(())
}

fn agrees(books: &Books, user: Uuid, answer: &Value) -> bool {
    if let Some(placement) = answer.get("order").map(|order| &order["placement"]) {
        let Some((order_id, told)) = buyer::placement(user, placement) else {
            return false;
        };
        return books.orders.get(&order_id).is_some_and(|order| {
            order.user == user
                && order.payment == told.payment
                && order.method == told.method
                && order.lines == told.lines
                && order.total == told.total
                && order.currency == told.currency
        });
    }
    if let Some(top_up) = answer.get("top_up") {
        let told = money(&top_up["top_up"]["amount"]);
        let held = id("pay", &top_up["payment_id"]).and_then(|payment| books.top_ups.get(&payment));
        return held
            .is_some_and(|held| held.user == user && told == Some((held.amount, held.currency.clone())));
    }
    // Answers of other questions hold nothing that must last.
    true
}
