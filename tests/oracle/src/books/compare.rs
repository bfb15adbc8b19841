//! The tables beside the books, row by row and in both directions.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use futures_util::TryStreamExt;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{Books, Posting, account, adjustment, coupon, course, membership, offer, sale, subscriber, team};
use crate::Failure;
use crate::report::{Report, Rule};

const fn table(name: &'static str, says: &'static str) -> Rule {
    Rule { name, says }
}

const ORDERS: Rule = table(
    "books.orders_follow_the_journal",
    "Every order is in its table as its events say, and no other.",
);
const GRANTS: Rule = table(
    "books.grants_follow_the_journal",
    "Every grant is in its table as the events say, and no other.",
);
const REFUNDS: Rule = table(
    "books.refunds_follow_the_journal",
    "Every refund is in its table as the events say, and no other.",
);
const PAYMENTS: Rule = table(
    "books.payments_follow_the_journal",
    "Every payment is in its table as its events say, and no other.",
);
const WALLETS: Rule = table(
    "books.wallets_follow_the_journal",
    "Every wallet holds what its owner's events add up to.",
);
const LEDGER: Rule = table(
    "books.ledger_follows_the_journal",
    "Every event that moves money has its transaction to the minor unit, and no other transaction exists.",
);

const SALES: Rule = table(
    "books.sales_follow_the_journal",
    "Every flash sale is in its table as its events say, and no other.",
);
const SLOTS: Rule = table(
    "books.slots_follow_the_journal",
    "Every slot of a flash sale is in its table as the events say, and no other.",
);
const COUPONS: Rule = table(
    "books.coupons_follow_the_journal",
    "Every coupon is in its table as its events say, and no other.",
);
const USES: Rule = table(
    "books.coupon_uses_follow_the_journal",
    "Every use of a coupon is in its table as the events say, and no other.",
);
const PLANS: Rule = table(
    "books.membership_plans_follow_the_journal",
    "Every membership plan is in its table as its events say, and no other.",
);
const MEMBERSHIPS: Rule = table(
    "books.memberships_follow_the_journal",
    "Every membership is in its table as its events say, and no other.",
);
const CHARGES: Rule = table(
    "books.membership_charges_follow_the_journal",
    "Every order that pays, or was to pay, a period is in its table as the events say, and no other.",
);
const GROUPS: Rule = table(
    "books.group_offers_follow_the_journal",
    "Every group price is in its table as its events say, and no other.",
);
const TEAMS: Rule = table(
    "books.teams_follow_the_journal",
    "Every team is in its table as its events say, and no other.",
);
const PLACES: Rule = table(
    "books.team_places_follow_the_journal",
    "Every place that an order has had in a team is in its table as the events say, and no other.",
);
const ADJUSTMENTS: Rule = table(
    "books.adjustments_follow_the_journal",
    "Every adjustment is in its table as its events say, and no other.",
);
const ENDPOINTS: Rule = table(
    "books.webhook_endpoints_follow_the_journal",
    "Every endpoint is in its table as its owner's events say, and no other.",
);
const BUNDLES: Rule = table(
    "books.bundles_follow_the_journal",
    "Every bundle is in its table as its events say, and no other.",
);
const BATCHES: Rule = table(
    "books.code_batches_follow_the_journal",
    "Every batch of redeem codes is in its table as its events say, and no other.",
);
const CODES: Rule = table(
    "books.redeem_codes_follow_the_journal",
    "Every code of a batch or a gift is in its table with whoever has redeemed it, and no other.",
);
const ACCOUNTS: Rule = table(
    "books.accounts_follow_the_journal",
    "Every account is in its table as its events say, and no other.",
);
const COURSES: Rule = table(
    "books.courses_follow_the_journal",
    "Every course is in its table as its events say, and no other.",
);
const VERSIONS: Rule = table(
    "books.course_versions_follow_the_journal",
    "Every version that was published is kept as buyers saw it, with the content of its lessons, and no other.",
);

/// Every rule of this module.
pub(crate) const RULES: [Rule; 24] = [
    ORDERS,
    GRANTS,
    REFUNDS,
    PAYMENTS,
    WALLETS,
    LEDGER,
    ADJUSTMENTS,
    ENDPOINTS,
    SALES,
    SLOTS,
    COUPONS,
    USES,
    PLANS,
    MEMBERSHIPS,
    CHARGES,
    GROUPS,
    TEAMS,
    PLACES,
    BUNDLES,
    BATCHES,
    CODES,
    ACCOUNTS,
    COURSES,
    VERSIONS,
];

/// Compares every table.
pub(super) async fn tables(
    books: &Books,
    snapshot: &Transaction<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    let orders = books.orders.iter().map(|(id, order)| {
        let text = format!(
            "user {} payment {} method {} state {} lines {} total {}",
            order.user,
            order.pays().0,
            order.pays().1,
            order.state,
            order.lines.len(),
            order.total
        );
        (id.to_string(), text)
    });
    let sql = "SELECT order_id::text, format('user %s payment %s method %s state %s lines %s total %s', \
        user_id, payment_id, method, state, lines, total) FROM orders";
    texts(ORDERS, orders.collect(), sql, snapshot, report).await?;

    let sql = "SELECT format('%s of %s by %s', course_id, source, source_id), \
        format('user %s version %s price %s discount %s revoked %s', user_id, course_version, price, discount, \
        CASE WHEN revoked_at IS NULL THEN 'no' ELSE 'yes' END) FROM grants";
    texts(GRANTS, grants(books), sql, snapshot, report).await?;

    let sql = "SELECT refund_id::text, format('order %s payment %s user %s method %s amount %s state %s attempt %s checker %s', \
        order_id, payment_id, user_id, method, amount, state, attempt, coalesce(checker::text, '-')) FROM refunds";
    texts(REFUNDS, refunds(books), sql, snapshot, report).await?;

    let sql = "SELECT payment_id::text, format('user %s order %s provider %s amount %s state %s attempt %s charge %s', \
        user_id, coalesce(order_id::text, '-'), coalesce(provider, '-'), coalesce(amount::text, '-'), state, attempt, \
        coalesce(charge_id, '-')) FROM payments";
    texts(PAYMENTS, payments(books), sql, snapshot, report).await?;

    let wallets = books.wallets.iter();
    let wallets = wallets.map(|(user, balance)| (user.to_string(), format!("balance {balance} held 0")));
    let sql = "SELECT user_id::text, format('balance %s held %s', balance, held) FROM wallets";
    texts(WALLETS, wallets.collect(), sql, snapshot, report).await?;

    texts(
        ADJUSTMENTS,
        adjustment::rows(books),
        adjustment::SQL,
        snapshot,
        report,
    )
    .await?;
    texts(
        ENDPOINTS,
        subscriber::rows(books),
        subscriber::SQL,
        snapshot,
        report,
    )
    .await?;
    texts(SALES, sale::sales(books), sale::SALES_SQL, snapshot, report).await?;
    texts(SLOTS, sale::slots(books), sale::SLOTS_SQL, snapshot, report).await?;
    texts(
        COUPONS,
        coupon::coupons(books),
        coupon::COUPONS_SQL,
        snapshot,
        report,
    )
    .await?;
    texts(USES, coupon::uses(books), coupon::USES_SQL, snapshot, report).await?;
    for (rule, rows, sql) in [
        (PLANS, membership::plans(books), membership::PLANS_SQL),
        (
            MEMBERSHIPS,
            membership::memberships(books),
            membership::MEMBERSHIPS_SQL,
        ),
        (CHARGES, membership::charges(books), membership::CHARGES_SQL),
        (GROUPS, team::groups(books), team::GROUPS_SQL),
        (TEAMS, team::teams(books), team::TEAMS_SQL),
        (PLACES, team::places(books), team::PLACES_SQL),
    ] {
        texts(rule, rows, sql, snapshot, report).await?;
    }
    texts(
        BUNDLES,
        offer::bundles(books),
        offer::BUNDLES_SQL,
        snapshot,
        report,
    )
    .await?;
    texts(
        BATCHES,
        offer::batches(books),
        offer::BATCHES_SQL,
        snapshot,
        report,
    )
    .await?;
    texts(CODES, offer::codes(books), offer::CODES_SQL, snapshot, report).await?;
    texts(ACCOUNTS, account::rows(books), account::SQL, snapshot, report).await?;
    texts(COURSES, course::rows(books), course::SQL, snapshot, report).await?;
    texts(
        VERSIONS,
        books.versions.clone(),
        course::VERSIONS_SQL,
        snapshot,
        report,
    )
    .await?;

    ledger(books, snapshot, report).await
}

fn grants(books: &Books) -> HashMap<String, String> {
    let mut grants = HashMap::new();
    let brings = |order: &super::Order| order.fulfilled && order.brings_access();
    for (order_id, order) in books.orders.iter().filter(|(_, order)| brings(order)) {
        for line in &order.lines {
            let revoked = if order.is_returned(line) { "yes" } else { "no" };
            grants.insert(
                format!("{} of order by {order_id}", line.course),
                format!(
                    "user {} version {} price {} discount {} revoked {revoked}",
                    order.user,
                    line.version,
                    line.net(),
                    line.discount
                ),
            );
        }
    }
    for ((code, course), (user, version)) in &books.codes {
        grants.insert(
            format!("{course} of code by {code}"),
            format!("user {user} version {version} price 0 discount 0 revoked no"),
        );
    }
    for ((record, course), (user, version)) in &books.imports {
        grants.insert(
            format!("{course} of import by {record}"),
            format!("user {user} version {version} price 0 discount 0 revoked no"),
        );
    }
    grants
}

fn refunds(books: &Books) -> HashMap<String, String> {
    let mut refunds = HashMap::new();
    for (order_id, order) in &books.orders {
        for refund in &order.refunds {
            let (payment, method) = order.pays();
            let method = if refund.to_wallet { "wallet" } else { method };
            let checker = refund.checker.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let text = format!(
                "order {order_id} payment {payment} user {} method {method} amount {} state {} attempt {} checker {checker}",
                order.user, refund.amount, refund.state, refund.attempt
            );
            refunds.insert(refund.id.to_string(), text);
        }
    }
    refunds
}

fn payments(books: &Books) -> HashMap<String, String> {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let payment = |(id, payment): (&Uuid, &super::Payment)| {
        let text = format!(
            "user {} order {} provider {} amount {} state {} attempt {} charge {}",
            shown(books.user_of(*id).map(|user| user.to_string())),
            shown(payment.order.map(|order| order.to_string())),
            shown(payment.provider.clone()),
            shown(payment.amount.map(|amount| amount.to_string())),
            payment.state,
            payment.attempt,
            shown(payment.charge.clone())
        );
        (id.to_string(), text)
    };
    books.payments.iter().map(payment).collect()
}

/// Compares rows as texts, or as what the texts are read as: the query gives a key and what the row says.
async fn texts<T: Display + FromStr + PartialEq>(
    rule: Rule,
    mut expected: HashMap<String, T>,
    sql: &str,
    snapshot: &Transaction<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    report.examine(rule);
    let rows = snapshot.query_raw(sql, std::iter::empty::<i32>()).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let (key, says): (&str, &str) = (row.get(0), row.get(1));
        match expected.remove(key) {
            None => report.violate(rule, 1, format!("{key} is in no event: {says}")),
            Some(means) if !says.parse().is_ok_and(|says: T| says == means) => {
                report.violate(rule, 1, format!("{key} says {says}, its events mean {means}"));
            }
            Some(_) => {}
        }
    }
    for (key, means) in expected {
        report.violate(rule, 1, format!("{key} is missing: {means}"));
    }
    Ok(())
}

async fn ledger(books: &Books, snapshot: &Transaction<'_>, report: &mut Report) -> Result<(), Failure> {
    report.examine(LEDGER);
    let mut left: HashMap<(Uuid, i16), &Posting> = books
        .postings
        .iter()
        .map(|(key, posting)| (*key, posting))
        .collect();
    let sql = "SELECT source_id, step, user_id, currency, accounts, owners, amounts FROM ledger_transactions";
    let rows = snapshot.query_raw(sql, std::iter::empty::<i32>()).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let key: (Uuid, i16) = (row.get("source_id"), row.get("step"));
        let mut posted = Posting::new(row.get("user_id"), row.get("currency"));
        let owners: Vec<Option<Uuid>> = row.get("owners");
        let amounts: Vec<Option<i64>> = row.get("amounts");
        let accounts: Vec<Option<i16>> = row.get("accounts");
        for ((account, owner), amount) in accounts.into_iter().zip(owners).zip(amounts) {
            posted.add(account.unwrap_or_default(), owner, amount.unwrap_or_default());
        }
        match left.remove(&key) {
            None => report.violate(LEDGER, 1, format!("{key:?} follows from no event: {posted:?}")),
            Some(means) if *means != posted => {
                report.violate(
                    LEDGER,
                    1,
                    format!("{key:?} is posted as {posted:?}, its event means {means:?}"),
                );
            }
            Some(_) => {}
        }
    }
    for (key, means) in left {
        report.violate(LEDGER, 1, format!("{key:?} is missing: {means:?}"));
    }
    Ok(())
}
