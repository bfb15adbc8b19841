//! What commerce asks the database: wallet statements, open sagas, the trial balance, and the inbox of callbacks.
//!
//! Orders and access are read from their buyer, who has them in memory.

use lyceum_domain::commerce::Provider;
use lyceum_domain::ids::{PaymentId, RefundId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use super::callback::Callback;

/// Reads the tables of commerce.
#[derive(Clone)]
pub struct CommerceQueries {
    database: Database,
}

/// One line of a wallet's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletEntry {
    /// Where it stands in the statement.
    pub position: WalletPosition,
    /// What it was: `sale`, `top_up`, `refund`.
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

/// One saga that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSaga {
    /// `checkout` or `payment`.
    pub kind: String,
    /// The bits of the order or payment.
    pub id: u128,
    /// Whose it is.
    pub user: UserId,
    /// The state of the saga.
    pub state: String,
    /// When its next action is due.
    pub due_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
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

const SALE: i16 = 1;
const TOP_UP: i16 = 2;
const REFUND: i16 = 4;

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

    /// A page of the sagas that have not ended, oldest first, after the id `after`; of one state if it is given.
    ///
    /// # Errors
    /// The store is away.
    pub async fn open_sagas(
        &self,
        state: Option<&str>,
        after: Option<u128>,
        limit: u16,
    ) -> Result<Vec<OpenSaga>, StoreError> {
        let rows = self
            .database
            .query(
                "SELECT kind, id, user_id, state, round(extract(epoch FROM due_at) * 1000)::bigint, \
                 round(extract(epoch FROM updated_at) * 1000)::bigint FROM sagas \
                 WHERE id > $1 AND ($2::text IS NULL OR state = $2) ORDER BY id LIMIT $3",
                &[&uuid(after.unwrap_or(0)), &state, &i64::from(limit)],
            )
            .await?;
        rows.iter().map(open_saga).collect()
    }

    /// The balance of every account over all owners; they add up to zero.
    ///
    /// # Errors
    /// The store is away.
    pub async fn trial_balance(&self) -> Result<Vec<AccountBalance>, StoreError> {
        let rows = self
            .database
            .query(
                "SELECT account, currency, sum(amount)::bigint, count(*) FROM ledger_entries \
                 GROUP BY account, currency ORDER BY account, currency",
                &[],
            )
            .await?;
        let balance = |row: &Row| {
            Ok(AccountBalance {
                account: row.try_get(0)?,
                currency: row.try_get(1)?,
                balance: row.try_get(2)?,
                entries: row.try_get(3)?,
            })
        };
        rows.iter().map(balance).collect()
    }

    /// Writes a callback to the inbox; `true` if it was processed before.
    pub(super) async fn receive(
        &self,
        provider: Provider,
        callback: &Callback,
        body: &str,
    ) -> Result<bool, StoreError> {
        let row = self
            .database
            .query_opt(
                "INSERT INTO provider_events AS e (provider, event_id, kind, reference, body) \
                 VALUES ($1, $2, $3, $4, ($5::text)::json) \
                 ON CONFLICT (provider, event_id) DO UPDATE SET deliveries = e.deliveries + 1 \
                 RETURNING processed_at IS NOT NULL",
                &[
                    &provider.name(),
                    &callback.event_id,
                    &callback.kind,
                    &callback.reference,
                    &body,
                ],
            )
            .await?;
        row.map_or(Ok(false), |row| Ok(row.try_get(0)?))
    }

    /// Marks a callback as processed.
    pub(super) async fn processed(&self, provider: Provider, event_id: &str) -> Result<(), StoreError> {
        self.database
            .execute(
                "UPDATE provider_events SET processed_at = now() WHERE provider = $1 AND event_id = $2",
                &[&provider.name(), &event_id],
            )
            .await
            .map(|_| ())
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

fn uuid(bits: u128) -> Uuid {
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
        kind: match step {
            SALE => "sale",
            TOP_UP => "top_up",
            REFUND => "refund",
            _ => "other",
        },
        amount: row.try_get(3)?,
    })
}

fn open_saga(row: &Row) -> Result<OpenSaga, StoreError> {
    Ok(OpenSaga {
        kind: row.try_get(0)?,
        id: row.try_get::<_, Uuid>(1)?.as_u128(),
        user: UserId::from_u128(row.try_get::<_, Uuid>(2)?.as_u128()),
        state: row.try_get(3)?,
        due_at: Timestamp::from_millis(row.try_get(4)?),
        updated_at: Timestamp::from_millis(row.try_get(5)?),
    })
}
