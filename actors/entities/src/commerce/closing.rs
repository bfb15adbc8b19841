//! What the ledger adds up to: summed up as it grows, and added up anew once a day.
//!
//! Every node looks whether something is due; the one that locks the row `ledger_closing` does it, in one transaction, and the
//! others pass by. A node that dies or freezes loses the lock with its connection. Due are
//!
//! - the summary, every minute: everything that was posted since the last time is added to it, so that a trial balance
//!   reads a few rows and the last minutes;
//! - the trial balance, once a day: everything is added up from the ledger itself, compared with the summary, and kept.
//!
//! A transaction bears the time of its decision and is committed a little later. So the summary stays behind the present by more
//! than anything may take to commit. What came later still is found by the trial balance, which makes the summary anew.

use std::time::{Duration, Instant};

use lyceum_kernel::Timestamp;
use lyceum_runtime::{StoreError, supervise};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use super::queries::CommerceQueries;
use crate::meters::LEDGER_IMBALANCE_MINOR_UNITS;

/// How the ledger is summed up; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct ClosingSettings {
    /// How often the summary is continued.
    pub sum_every: Duration,
    /// How far it stays behind the present.
    pub settle: Duration,
    /// How often everything is added up anew.
    pub balance_every: Duration,
    /// How long adding up may take.
    pub timeout: Duration,
}

/// The sum of all entries of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBalance {
    /// The account.
    pub account: String,
    /// The currency's code.
    pub currency: String,
    /// Minor units, positive for a credit.
    pub balance: i64,
    /// How many entries.
    pub entries: i64,
}

/// A trial balance that was drawn over the whole ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// Its number.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// The node that did it.
    pub node: String,
    /// Everything before is in it.
    pub until: Timestamp,
    /// What the accounts add up to, over all currencies; 0 if all is well.
    pub imbalance: i64,
    /// By how much the summary differed, over all accounts.
    pub drift: i64,
    /// How long it took.
    pub took: Duration,
}

const DUE: &str = "SELECT summed_until, greatest(summed_until, clock_timestamp() - make_interval(secs => $1::float8)), \
    balance_due <= clock_timestamp() FROM ledger_closing \
    WHERE summed_at <= clock_timestamp() - make_interval(secs => $2::float8) FOR UPDATE SKIP LOCKED";
const SUM_UP: &str = "INSERT INTO ledger_summary AS s (account, currency, balance, entries) \
    SELECT account, currency, balance, entries FROM ledger_sums($1, $2) \
    ON CONFLICT (account, currency) DO UPDATE SET balance = s.balance + excluded.balance, entries = s.entries + excluded.entries";
const SUMMED: &str = "UPDATE ledger_closing SET summed_until = $1, summed_at = clock_timestamp()";
/// A fresh sum of everything, kept for as long as the transaction lasts.
const RECOMPUTE: &str = "CREATE TEMPORARY TABLE ledger_recomputed ON COMMIT DROP AS \
    SELECT account, currency, balance, entries FROM ledger_sums('1970-01-01', \
    (SELECT summed_until FROM ledger_closing))";
const COMPARE: &str = "SELECT (SELECT coalesce(sum(abs(total)), 0)::bigint FROM \
        (SELECT sum(balance) AS total FROM ledger_recomputed GROUP BY currency) AS currencies), \
    (SELECT coalesce(sum(abs(coalesce(r.balance, 0) - coalesce(s.balance, 0))), 0)::bigint \
        FROM ledger_recomputed AS r FULL JOIN ledger_summary AS s USING (account, currency)), \
    (SELECT count(*) FROM ledger_recomputed AS r FULL JOIN ledger_summary AS s USING (account, currency) \
        WHERE r.entries IS DISTINCT FROM s.entries)";
const DRAWN: &str = "INSERT INTO trial_balances (node, until, imbalance, drift, took_ms) \
    SELECT $1, summed_until, $2, $3, $4 FROM ledger_closing RETURNING number";
const DRAWN_LINES: &str = "INSERT INTO trial_balance_accounts (number, account, currency, balance, entries) \
    SELECT $1, account, currency, balance, entries FROM ledger_recomputed";
const NEXT: &str =
    "UPDATE ledger_closing SET balance_due = clock_timestamp() + make_interval(secs => $1::float8)";
/// Blocks that were filled since are found by their time from now on.
const SUMMARIZE: &str = "SELECT brin_summarize_new_values('ledger_by_time')";
/// The summary and what came after it, in one snapshot.
const BALANCES: &str = "SELECT coalesce(a.name, 'account ' || b.account), b.currency, sum(b.balance)::bigint, sum(b.entries)::bigint \
    FROM (SELECT account, currency, balance, entries FROM ledger_summary UNION ALL \
        SELECT account, currency, balance, entries FROM ledger_sums((SELECT summed_until FROM ledger_closing), 'infinity')) AS b \
    LEFT JOIN ledger_accounts AS a USING (account) GROUP BY 1, b.currency ORDER BY 1, b.currency";
const RECOMPUTED: &str = "SELECT coalesce(a.name, 'account ' || b.account), b.currency, sum(b.balance)::bigint, \
    sum(b.entries)::bigint FROM ledger_sums('1970-01-01', 'infinity') AS b \
    LEFT JOIN ledger_accounts AS a USING (account) GROUP BY 1, b.currency ORDER BY 1, b.currency";
const NEWEST: &str = "SELECT number, (extract(epoch FROM at) * 1000)::bigint, node, (extract(epoch FROM until) * 1000)::bigint, \
    imbalance, drift, took_ms FROM trial_balances ORDER BY number DESC LIMIT $1";

/// Continues summary and trial balance for as long as the node lives, and keeps the gauge current.
pub(crate) fn keep(queries: CommerceQueries, settings: ClosingSettings, node: String) {
    supervise("ledger closing", move || {
        close(queries.clone(), settings, node.clone())
    });
}

async fn close(queries: CommerceQueries, settings: ClosingSettings, node: String) {
    let mut ticks = tokio::time::interval(settings.sum_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match queries.close_ledger(settings, &node).await {
            Ok(Some(drawn)) => told(&drawn),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the ledger could not be summed up"),
        }
        match queries.imbalance().await {
            #[expect(clippy::cast_precision_loss, reason = "a gauge: exact up to 2^53")]
            Ok(units) => LEDGER_IMBALANCE_MINOR_UNITS.get().set(units as f64),
            Err(error) => tracing::warn!(%error, "the imbalance of the ledger could not be looked up"),
        }
    }
}

fn told(drawn: &TrialBalance) {
    let (number, imbalance, drift) = (drawn.number, drawn.imbalance, drawn.drift);
    let took_ms = u64::try_from(drawn.took.as_millis()).unwrap_or(u64::MAX);
    if imbalance != 0 {
        tracing::error!(number, imbalance, drift, "the ledger does not balance");
    } else if drift != 0 {
        tracing::error!(
            number,
            drift,
            "the summary of the ledger was not what the ledger says"
        );
    } else {
        tracing::info!(number, duration_ms = took_ms, "the trial balance is zero");
    }
}

impl CommerceQueries {
    /// The balance of every account over all owners; they add up to zero.
    ///
    /// # Errors
    /// The store is away.
    pub async fn trial_balance(&self) -> Result<Vec<AccountBalance>, StoreError> {
        let rows = self.database.query(BALANCES, &[]).await?;
        rows.iter().map(balance).collect()
    }

    /// The same, added up from the ledger itself and from nothing else: seconds for ten million transactions.
    ///
    /// # Errors
    /// The store is away, or needs longer than `timeout`.
    pub async fn recomputed_balance(&self, timeout: Duration) -> Result<Vec<AccountBalance>, StoreError> {
        let work = async {
            let mut client = self.database.client().await?;
            let transaction = client.transaction().await?;
            allow(&transaction, timeout).await?;
            let rows = transaction.query(RECOMPUTED, &[]).await?;
            rows.iter().map(balance).collect()
        };
        within(timeout, work).await
    }

    /// The newest trial balances that were drawn over the whole ledger.
    ///
    /// # Errors
    /// The store is away.
    pub async fn trial_balances(&self, limit: u16) -> Result<Vec<TrialBalance>, StoreError> {
        let rows = self.database.query(NEWEST, &[&i64::from(limit)]).await?;
        rows.iter().map(trial_balance).collect()
    }

    /// What all accounts add up to, over all currencies, by the summary or by the last trial balance.
    async fn imbalance(&self) -> Result<i64, StoreError> {
        let now = imbalance_of(&self.trial_balance().await?);
        let drawn = self.trial_balances(1).await?;
        Ok(now.max(drawn.first().map_or(0, |drawn| drawn.imbalance)))
    }

    /// Does what is due about the ledger, unless another node does; returns the trial balance if one was drawn.
    pub(super) async fn close_ledger(
        &self,
        settings: ClosingSettings,
        node: &str,
    ) -> Result<Option<TrialBalance>, StoreError> {
        let timeout = settings.timeout;
        let (summed, drawn) = within(timeout, async {
            let mut client = self.database.client().await?;
            let transaction = client.transaction().await?;
            allow(&transaction, timeout).await?;
            // A little less than the pace of the looks, or every second of them would come a moment too early.
            let (settle, pace) = (
                settings.settle.as_secs_f64(),
                settings.sum_every.as_secs_f64() * 0.9,
            );
            let Some(due) = transaction.query_opt(DUE, &[&settle, &pace]).await? else {
                return Ok((false, None));
            };
            let stretch: [&(dyn ToSql + Sync); 2] = [
                &due.try_get::<_, std::time::SystemTime>(0)?,
                &due.try_get::<_, std::time::SystemTime>(1)?,
            ];
            transaction.execute(SUM_UP, &stretch).await?;
            transaction.execute(SUMMED, &stretch[1..]).await?;
            let drawn = if due.try_get(2)? {
                Some(draw(&transaction, settings.balance_every, node).await?)
            } else {
                None
            };
            transaction.commit().await?;
            Ok((true, drawn))
        })
        .await?;
        if summed {
            self.database.query(SUMMARIZE, &[]).await?;
        }
        match drawn {
            Some(number) => Ok(self
                .trial_balances(1)
                .await?
                .into_iter()
                .find(|drawn| drawn.number == number)),
            None => Ok(None),
        }
    }
}

/// Adds everything up, compares it with the summary and keeps the result; returns its number.
async fn draw(transaction: &Transaction<'_>, every: Duration, node: &str) -> Result<i64, StoreError> {
    let began = Instant::now();
    transaction.execute(RECOMPUTE, &[]).await?;
    let compared = transaction.query_one(COMPARE, &[]).await?;
    let (imbalance, drift, miscounted): (i64, i64, i64) =
        (compared.try_get(0)?, compared.try_get(1)?, compared.try_get(2)?);
    if drift != 0 || miscounted != 0 {
        transaction.execute("DELETE FROM ledger_summary", &[]).await?;
        transaction
            .execute(
                "INSERT INTO ledger_summary SELECT account, currency, balance, entries FROM ledger_recomputed",
                &[],
            )
            .await?;
    }
    let took_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let drawn = transaction
        .query_one(DRAWN, &[&node, &imbalance, &drift, &took_ms])
        .await?;
    let number: i64 = drawn.try_get(0)?;
    transaction.execute(DRAWN_LINES, &[&number]).await?;
    transaction.execute(NEXT, &[&every.as_secs_f64()]).await?;
    Ok(number)
}

/// Lets the statements of a transaction take longer than those that somebody waits for.
async fn allow(transaction: &Transaction<'_>, timeout: Duration) -> Result<(), StoreError> {
    let millis = timeout.as_millis();
    let sql = format!("SET LOCAL statement_timeout = {millis}");
    Ok(transaction.batch_execute(&sql).await?)
}

/// The server's own limit ends a statement; a little later we stop waiting for a server that is gone.
async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(timeout * 2, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::unavailable("no answer in time")),
    }
}

/// What the balances of every currency add up to, without their signs.
fn imbalance_of(balances: &[AccountBalance]) -> i64 {
    let mut sums = std::collections::BTreeMap::<&str, i128>::new();
    for one in balances {
        *sums.entry(&one.currency).or_default() += i128::from(one.balance);
    }
    let whole: u128 = sums.values().map(|sum| sum.unsigned_abs()).sum();
    i64::try_from(whole).unwrap_or(i64::MAX)
}

fn balance(row: &Row) -> Result<AccountBalance, StoreError> {
    Ok(AccountBalance {
        account: row.try_get(0)?,
        currency: row.try_get(1)?,
        balance: row.try_get(2)?,
        entries: row.try_get(3)?,
    })
}

fn trial_balance(row: &Row) -> Result<TrialBalance, StoreError> {
    Ok(TrialBalance {
        number: row.try_get(0)?,
        at: Timestamp::from_millis(row.try_get(1)?),
        node: row.try_get(2)?,
        until: Timestamp::from_millis(row.try_get(3)?),
        imbalance: row.try_get(4)?,
        drift: row.try_get(5)?,
        took: Duration::from_millis(u64::try_from(row.try_get::<_, i64>(6)?).unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_do_not_make_up_for_one_another() {
        let of = |currency: &str, balance| AccountBalance {
            account: "fees".to_owned(),
            currency: currency.to_owned(),
            balance,
            entries: 1,
        };

        assert_eq!(imbalance_of(&[]), 0);
        assert_eq!(imbalance_of(&[of("CNY", 5), of("CNY", -5)]), 0);
        assert_eq!(imbalance_of(&[of("CNY", 5), of("EUR", -5)]), 10);
    }
}
