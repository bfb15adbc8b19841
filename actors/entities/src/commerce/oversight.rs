//! What operators ask the database about money: sagas, adjustments, and statements of accounts.

use std::time::Duration;

use lyceum_domain::commerce::ledger::{Account, Entry, Step};
use lyceum_domain::ids::{AdjustmentId, OrderId, PaymentId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::StoreError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::queries::{CommerceQueries, WalletPosition, uuid};

/// One saga that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga {
    /// `checkout` or `payment`.
    pub kind: String,
    /// The bits of the order or payment.
    pub id: u128,
    /// Whose it is.
    pub user: UserId,
    /// The state of the saga.
    pub state: String,
    /// What is done next.
    pub action: String,
    /// When that is due.
    pub due_at: Timestamp,
    /// When it reached its state.
    pub since: Timestamp,
    /// How long ago that was, by the database's clock.
    pub age: Duration,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// The number of the attempt that is under way.
    pub attempt: i64,
    /// The order, unless it is a top-up.
    pub order: Option<OrderId>,
    /// The payment.
    pub payment: PaymentId,
    /// How much, minor units; unknown for a payment that was closed before it began.
    pub amount: Option<i64>,
    /// Who has looked into it, what they found and when.
    pub reconciled: Option<(UserId, String, Timestamp)>,
}

/// Which sagas are asked for.
#[derive(Clone, Debug, Default)]
pub struct SagaFilter {
    /// Of one state.
    pub state: Option<String>,
    /// Only those that are late by this much, or as long in a state that should be left soon, and not reconciled in it.
    pub stuck_after: Option<Duration>,
}

/// An adjustment as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustmentRow {
    /// Its id.
    pub id: AdjustmentId,
    /// Its state.
    pub state: String,
    /// Who proposed it.
    pub maker: UserId,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub checker: Option<UserId>,
    /// Why.
    pub note: Option<String>,
    /// The code of the rule that refused it after its approval.
    pub refusal: Option<String>,
    /// What is to be posted.
    pub entries: Vec<Entry>,
    /// The code of the currency.
    pub currency: String,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// One line of the statement of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    /// Where it stands.
    pub position: WalletPosition,
    /// What it was: `sale`, `refund` and so on.
    pub kind: &'static str,
    /// Minor units, positive for a credit.
    pub amount: i64,
    /// The code of the currency.
    pub currency: String,
}

/// With the columns that [`saga`] reads.
const SAGAS: &str = "SELECT s.kind, s.id, s.user_id, s.state, s.action, round(extract(epoch FROM s.due_at) * 1000)::bigint, \
    round(extract(epoch FROM s.since) * 1000)::bigint, (extract(epoch FROM clock_timestamp() - s.since) * 1000)::bigint, \
    round(extract(epoch FROM s.updated_at) * 1000)::bigint, s.attempt, s.order_id, s.payment_id, s.amount, r.operator, r.note, \
    round(extract(epoch FROM r.at) * 1000)::bigint FROM sagas AS s \
    LEFT JOIN saga_reconciliations AS r ON r.saga_id = s.id AND r.state = s.state AND r.at >= s.since";
const ADJUSTMENTS: &str = "SELECT adjustment_id, state, maker, reason, checker, note, refusal, accounts, owners, amounts, currency, \
    round(extract(epoch FROM proposed_at) * 1000)::bigint, round(extract(epoch FROM updated_at) * 1000)::bigint FROM adjustments \
    WHERE adjustment_id < $1 AND ($2::text IS NULL OR state = $2) ORDER BY adjustment_id DESC LIMIT $3";
/// The lines of an owner: as the first creator of a transaction by the index of those, else by the table of the others. An account
/// that is no creator's has nothing in the index, since its condition is not met.
const STATEMENT: &str = "WITH lines AS ( \
    (SELECT at, source_id, step FROM ledger_transactions \
        WHERE $2::smallint = 4 AND owners[array_position(accounts, 4::smallint)] = $1 \
        AND array_position(accounts, 4::smallint) IS NOT NULL \
        AND (at, source_id, step) < (to_timestamp(least($3::bigint, 253402300799999) / 1000.0), $4, $5) \
        ORDER BY at DESC, source_id DESC, step DESC LIMIT $6) \
    UNION \
    (SELECT at, source_id, step FROM ledger_transactions \
        WHERE $2::smallint = 2 AND user_id = $1 AND wallet_change <> 0 \
        AND (at, source_id, step) < (to_timestamp(least($3::bigint, 253402300799999) / 1000.0), $4, $5) \
        ORDER BY at DESC, source_id DESC, step DESC LIMIT $6) \
    UNION \
    (SELECT at, source_id, step FROM ledger_owners WHERE owner_id = $1 AND account = $2 \
        AND (at, source_id, step) < (to_timestamp(least($3::bigint, 253402300799999) / 1000.0), $4, $5) \
        ORDER BY at DESC, source_id DESC, step DESC LIMIT $6) \
    ORDER BY at DESC, source_id DESC, step DESC LIMIT $6) \
    SELECT round(extract(epoch FROM l.at) * 1000)::bigint, l.source_id, l.step, t.currency, \
        (SELECT sum(e.amount)::bigint FROM unnest(t.accounts, t.owners, t.amounts) AS e (account, owner_id, amount) \
         WHERE e.account = $2 AND e.owner_id = $1) \
    FROM lines AS l JOIN ledger_transactions AS t USING (source_id, step) \
    ORDER BY l.at DESC, l.source_id DESC, l.step DESC";

impl CommerceQueries {
    /// A page of the sagas that have not ended, oldest first, after the id `after`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn open_sagas(
        &self,
        filter: &SagaFilter,
        after: Option<u128>,
        limit: u16,
    ) -> Result<Vec<Saga>, StoreError> {
        let stuck_after = filter.stuck_after.map(|after| after.as_secs_f64());
        let sql = format!(
            "{SAGAS} WHERE s.id > $1 AND ($2::text IS NULL OR s.state = $2) AND ($3::float8 IS NULL OR \
             (s.due_at <= clock_timestamp() - make_interval(secs => $3) OR \
              (s.since <= clock_timestamp() - make_interval(secs => $3) AND s.state NOT IN ('awaiting_payment', 'awaiting_team'))) \
             AND r.saga_id IS NULL) \
             ORDER BY s.id LIMIT $4"
        );
        let after = uuid(after.unwrap_or(0));
        let rows = self
            .database
            .query(&sql, &[&after, &filter.state, &stuck_after, &i64::from(limit)])
            .await?;
        rows.iter().map(saga).collect()
    }

    /// One saga that has not ended, by its order or payment.
    ///
    /// # Errors
    /// The store is away.
    pub async fn open_saga(&self, id: u128) -> Result<Option<Saga>, StoreError> {
        let sql = format!("{SAGAS} WHERE s.id = $1");
        let row = self.database.query_opt(&sql, &[&uuid(id)]).await?;
        row.as_ref().map(saga).transpose()
    }

    /// Whose order it is, and its payment.
    ///
    /// # Errors
    /// The store is away.
    pub async fn order_owner(&self, order: OrderId) -> Result<Option<(UserId, PaymentId)>, StoreError> {
        const SQL: &str = "SELECT user_id, payment_id FROM orders WHERE order_id = $1";
        let row = self.database.query_opt(SQL, &[&uuid(order.as_u128())]).await?;
        let parts = |row: Row| {
            Ok((
                UserId::from_u128(bits(&row, 0)?),
                PaymentId::from_u128(bits(&row, 1)?),
            ))
        };
        row.map(parts).transpose()
    }

    /// Whose payment it is, and of which order.
    ///
    /// # Errors
    /// The store is away.
    pub async fn payment_owner(
        &self,
        payment: PaymentId,
    ) -> Result<Option<(UserId, Option<OrderId>)>, StoreError> {
        const SQL: &str = "SELECT user_id, order_id FROM payments WHERE payment_id = $1";
        let row = self.database.query_opt(SQL, &[&uuid(payment.as_u128())]).await?;
        let parts = |row: Row| {
            let order = bits_if_any(&row, 1)?.map(OrderId::from_u128);
            Ok((UserId::from_u128(bits(&row, 0)?), order))
        };
        row.map(parts).transpose()
    }

    /// Those of some users who have no account.
    ///
    /// # Errors
    /// The store is away.
    pub async fn unknown_users(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "SELECT u FROM unnest($1::uuid[]) AS u \
            WHERE NOT EXISTS (SELECT FROM accounts AS a WHERE a.user_id = u)";
        let users: Vec<Uuid> = users.iter().map(|user| uuid(user.as_u128())).collect();
        let rows = self.database.query(SQL, &[&users]).await?;
        rows.iter()
            .map(|row| Ok(UserId::from_u128(bits(row, 0)?)))
            .collect()
    }

    /// A page of adjustments, newest first, before the id `before`; of one state if it is given.
    ///
    /// # Errors
    /// The store is away.
    pub async fn adjustments(
        &self,
        state: Option<&str>,
        before: Option<AdjustmentId>,
        limit: u16,
    ) -> Result<Vec<AdjustmentRow>, StoreError> {
        let before = before.map_or(u128::MAX, AdjustmentId::as_u128);
        let rows = self
            .database
            .query(ADJUSTMENTS, &[&uuid(before), &state, &i64::from(limit)])
            .await?;
        rows.iter().map(adjustment).collect()
    }

    /// A page of the statement of an account that is somebody's, newest first, after `after`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn statement(
        &self,
        account: Account,
        owner: UserId,
        after: Option<WalletPosition>,
        limit: u16,
    ) -> Result<Vec<StatementLine>, StoreError> {
        let after_ms = after.map_or(i64::MAX / 1_000, |position| position.at.as_millis());
        let (source, step) = after.map_or((u128::MAX, i16::MAX), |position| (position.source, position.step));
        let (owner, source) = (uuid(owner.as_u128()), uuid(source));
        let rows = self
            .database
            .query(
                STATEMENT,
                &[
                    &owner,
                    &account.number(),
                    &after_ms,
                    &source,
                    &step,
                    &i64::from(limit),
                ],
            )
            .await?;
        rows.iter().map(line).collect()
    }
}

fn bits(row: &Row, column: usize) -> Result<u128, StoreError> {
    Ok(row.try_get::<_, Uuid>(column)?.as_u128())
}

fn bits_if_any(row: &Row, column: usize) -> Result<Option<u128>, StoreError> {
    Ok(row.try_get::<_, Option<Uuid>>(column)?.map(|id| id.as_u128()))
}

fn time(row: &Row, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

fn saga(row: &Row) -> Result<Saga, StoreError> {
    let reconciled = match bits_if_any(row, 13)? {
        Some(operator) => Some((UserId::from_u128(operator), row.try_get(14)?, time(row, 15)?)),
        None => None,
    };
    Ok(Saga {
        kind: row.try_get(0)?,
        id: bits(row, 1)?,
        user: UserId::from_u128(bits(row, 2)?),
        state: row.try_get(3)?,
        action: row.try_get(4)?,
        due_at: time(row, 5)?,
        since: time(row, 6)?,
        age: Duration::from_millis(u64::try_from(row.try_get::<_, i64>(7)?).unwrap_or(0)),
        updated_at: time(row, 8)?,
        attempt: row.try_get(9)?,
        order: bits_if_any(row, 10)?.map(OrderId::from_u128),
        payment: PaymentId::from_u128(bits(row, 11)?),
        amount: row.try_get(12)?,
        reconciled,
    })
}

fn adjustment(row: &Row) -> Result<AdjustmentRow, StoreError> {
    let accounts: Vec<i16> = row.try_get(7)?;
    let owners: Vec<Option<Uuid>> = row.try_get(8)?;
    let amounts: Vec<i64> = row.try_get(9)?;
    let mut entries = Vec::with_capacity(accounts.len());
    for ((account, owner), amount) in accounts.into_iter().zip(owners).zip(amounts) {
        let account = Account::of_number(account)
            .ok_or_else(|| StoreError::refused("an account that is not in the chart"))?;
        let owner = owner.map(|owner| UserId::from_u128(owner.as_u128()));
        entries.push(Entry {
            account,
            owner,
            amount,
        });
    }
    Ok(AdjustmentRow {
        id: AdjustmentId::from_u128(bits(row, 0)?),
        state: row.try_get(1)?,
        maker: UserId::from_u128(bits(row, 2)?),
        reason: row.try_get(3)?,
        checker: bits_if_any(row, 4)?.map(UserId::from_u128),
        note: row.try_get(5)?,
        refusal: row.try_get(6)?,
        entries,
        currency: row.try_get(10)?,
        proposed_at: time(row, 11)?,
        updated_at: time(row, 12)?,
    })
}

fn line(row: &Row) -> Result<StatementLine, StoreError> {
    let step: i16 = row.try_get(2)?;
    Ok(StatementLine {
        position: WalletPosition {
            at: time(row, 0)?,
            source: bits(row, 1)?,
            step,
        },
        kind: Step::of_number(step.into()).map_or("other", Step::name),
        amount: row.try_get(4)?,
        currency: row.try_get(3)?,
    })
}
