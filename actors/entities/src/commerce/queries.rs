//! What commerce asks the database for its users and for callbacks: wallet statements, and whose payment a callback is about.
//!
//! Orders and access are read from their buyer, who has them in memory. What operators ask is in `oversight`, `timeline` and `closing`.

use lyceum_domain::commerce::ledger::Step;
use lyceum_domain::ids::{PaymentId, RefundId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

/// Reads the tables of commerce.
#[derive(Clone)]
pub struct CommerceQueries {
    pub(super) database: Database,
}

/// One line of a wallet's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletEntry {
    /// Where it stands in the statement.
    pub position: WalletPosition,
    /// What it was: `sale`, `top_up`, `refund`, `adjustment`.
    pub kind: &'static str,
    /// Minor units, negative for what was spent.
    pub amount: i64,
}

/// Where an entry stands in a statement, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletPosition {
    /// When it was posted.
    pub at: Timestamp,
    /// The bits of the order, payment or refund it stands for.
    pub source: u128,
    /// Which of the source's transactions it is.
    pub step: i16,
}

impl CommerceQueries {
    /// Reads from this database.
    pub fn new(database: Database) -> Self {
        CommerceQueries { database }
    }

    /// A page of a wallet's statement, newest first, after `after`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn wallet_entries(
        &self,
        user: UserId,
        after: Option<WalletPosition>,
        limit: u16,
    ) -> Result<Vec<WalletEntry>, StoreError> {
        const LAST: WalletPosition = WalletPosition {
            at: Timestamp::EPOCH,
            source: u128::MAX,
            step: i16::MAX,
        };
        let after_ms = after.map_or(i64::MAX / 1_000, |position| position.at.as_millis());
        let after = after.unwrap_or(LAST);
        let rows = self
            .database
            .query(
                "SELECT round(extract(epoch FROM at) * 1000)::bigint, source_id, step, wallet_change \
                 FROM ledger_transactions \
                 WHERE user_id = $1 AND wallet_change <> 0 \
                 AND (at, source_id, step) < (to_timestamp(least($2::bigint, 253402300799999) / 1000.0), $3, $4) \
                 ORDER BY at DESC, source_id DESC, step DESC LIMIT $5",
                &[&uuid(user.as_u128()), &after_ms, &uuid(after.source), &after.step, &i64::from(limit)],
            )
            .await?;
        rows.iter().map(wallet_entry).collect()
    }

    /// Whose payment it is.
    pub(crate) async fn payer(&self, payment: PaymentId) -> Result<Option<UserId>, StoreError> {
        let row = self
            .database
            .query_opt(
                "SELECT user_id FROM payments WHERE payment_id = $1",
                &[&uuid(payment.as_u128())],
            )
            .await?;
        row.map(|row| Ok(UserId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128())))
            .transpose()
    }

    /// Whose refund it is, and of which payment.
    pub(super) async fn refunded(&self, refund: RefundId) -> Result<Option<(UserId, PaymentId)>, StoreError> {
        let row = self
            .database
            .query_opt(
                "SELECT user_id, payment_id FROM refunds WHERE refund_id = $1",
                &[&uuid(refund.as_u128())],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let user = UserId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128());
        Ok(Some((
            user,
            PaymentId::from_u128(row.try_get::<_, Uuid>(1)?.as_u128()),
        )))
    }
}

/// An id as the driver takes it.
pub(super) fn uuid(bits: u128) -> Uuid {
    Uuid::from_u128(bits)
}

fn wallet_entry(row: &Row) -> Result<WalletEntry, StoreError> {
    let step: i16 = row.try_get(2)?;
    Ok(WalletEntry {
        position: WalletPosition {
            at: Timestamp::from_millis(row.try_get(0)?),
            source: row.try_get::<_, Uuid>(1)?.as_u128(),
            step,
        },
        kind: Step::of_number(step.into()).map_or("other", Step::name),
        amount: row.try_get(3)?,
    })
}
