//! The rows that documents are: one for each, and what creators have earned by them.

use std::collections::BTreeMap;

use lyceum_domain::billing::{Calendar, Kind};
use lyceum_domain::ids::UserId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::StoreError;
use serde_json::json;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::drafts::Draft;
use crate::billing::BillingSettings;

const ISSUE: &str = "INSERT INTO invoices (series, number, kind, order_id, refund_id, user_id, currency, total, tax, tax_bps, \
    lines, seller, supplied_at, issued_at, issued_on, payable_on) \
    SELECT series, number, kind, order_id, refund_id, user_id, 'CNY', total, tax, tax_bps, lines::json, $1::text::json, \
    to_timestamp(supplied_ms / 1000.0), to_timestamp($2::bigint / 1000.0), date '1970-01-01' + $3::int, \
    date '1970-01-01' + payable \
    FROM unnest($4::text[], $5::bigint[], $6::text[], $7::uuid[], $8::uuid[], $9::uuid[], $10::bigint[], $11::bigint[], \
    $12::int[], $13::text[], $14::bigint[], $15::int[]) \
    AS d (series, number, kind, order_id, refund_id, user_id, total, tax, tax_bps, lines, supplied_ms, payable)";
const EARNED: &str = "INSERT INTO earnings AS e (creator_id, day, payable_on, gross, earned, refunded_gross, refunded) \
    SELECT creator_id, date '1970-01-01' + day, date '1970-01-01' + payable, gross, earned, refunded_gross, refunded \
    FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
    AS n (creator_id, day, payable, gross, earned, refunded_gross, refunded) \
    ON CONFLICT (creator_id, day, payable_on) DO UPDATE SET gross = e.gross + excluded.gross, \
    earned = e.earned + excluded.earned, refunded_gross = e.refunded_gross + excluded.refunded_gross, \
    refunded = e.refunded + excluded.refunded";

/// The documents of one transaction, column by column.
#[derive(Default)]
pub(super) struct Columns {
    series: Vec<String>,
    numbers: Vec<i64>,
    kinds: Vec<&'static str>,
    orders: Vec<Uuid>,
    refunds: Vec<Option<Uuid>>,
    users: Vec<Uuid>,
    totals: Vec<i64>,
    taxes: Vec<i64>,
    rates: Vec<i32>,
    lines: Vec<String>,
    supplied: Vec<i64>,
    payable: Vec<i32>,
}

impl Columns {
    pub(super) fn push(&mut self, series: &str, number: i64, draft: &Draft) {
        let document = &draft.document;
        self.series.push(series.to_owned());
        self.numbers.push(number);
        self.kinds.push(document.kind.name());
        self.orders.push(Uuid::from_u128(draft.order.as_u128()));
        self.refunds
            .push(draft.refund.map(|refund| Uuid::from_u128(refund.as_u128())));
        self.users.push(Uuid::from_u128(draft.user));
        self.totals.push(document.total);
        self.taxes.push(document.tax);
        self.rates.push(i32::from(document.tax_bps));
        self.lines.push(json!(document.lines).to_string());
        self.supplied.push(draft.at.as_millis());
        self.payable.push(draft.payable);
    }

    pub(super) async fn issue(
        &self,
        transaction: &Transaction<'_>,
        settings: &BillingSettings,
        now: Timestamp,
        today: i32,
    ) -> Result<(), StoreError> {
        let seller = json!(settings.seller).to_string();
        transaction
            .execute(
                ISSUE,
                &[
                    &seller,
                    &now.as_millis(),
                    &today,
                    &self.series,
                    &self.numbers,
                    &self.kinds,
                    &self.orders,
                    &self.refunds,
                    &self.users,
                    &self.totals,
                    &self.taxes,
                    &self.rates,
                    &self.lines,
                    &self.supplied,
                    &self.payable,
                ],
            )
            .await?;
        Ok(())
    }
}

/// What creators have earned by documents, added to what is known of each day.
pub(super) async fn earned(
    transaction: &Transaction<'_>,
    drafts: &[Draft],
    calendar: Calendar,
) -> Result<(), StoreError> {
    // Ordered, so that two transactions never wait for one another.
    let mut sums: BTreeMap<(UserId, i32, i32), [i64; 4]> = BTreeMap::new();
    for draft in drafts {
        for line in &draft.document.lines {
            let sum = sums
                .entry((line.creator, calendar.day(draft.at), draft.payable))
                .or_default();
            let first = match draft.document.kind {
                Kind::Invoice => 0,
                Kind::CreditNote => 2,
            };
            sum[first] += line.net;
            sum[first + 1] += line.earned;
        }
    }
    let creators: Vec<Uuid> = sums.keys().map(|key| Uuid::from_u128(key.0.as_u128())).collect();
    let days: Vec<i32> = sums.keys().map(|key| key.1).collect();
    let payable: Vec<i32> = sums.keys().map(|key| key.2).collect();
    let column = |index: usize| -> Vec<i64> { sums.values().map(|sum| sum[index]).collect() };
    transaction
        .execute(
            EARNED,
            &[
                &creators,
                &days,
                &payable,
                &column(0),
                &column(1),
                &column(2),
                &column(3),
            ],
        )
        .await?;
    Ok(())
}
