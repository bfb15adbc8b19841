//! What operators ask the database about refunds: which there are, and whose each is.

use lyceum_domain::ids::{OrderId, RefundId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::StoreError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::queries::{CommerceQueries, uuid};

/// A refund of anybody's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRow {
    /// Its id.
    pub id: RefundId,
    /// Of which order.
    pub order: OrderId,
    /// Whose.
    pub user: UserId,
    /// Through what it goes back: `wallet`, or the name of a provider.
    pub method: String,
    /// Minor units.
    pub amount: i64,
    /// How far it is.
    pub state: String,
    /// The operator who decided about it, where one had to.
    pub checker: Option<UserId>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "refund_id, order_id, user_id, method, amount, state, checker, \
    round(extract(epoch FROM requested_at) * 1000)::bigint, round(extract(epoch FROM updated_at) * 1000)::bigint";
const OF_ALL: &str = "FROM refunds WHERE refund_id < $1 ORDER BY refund_id DESC LIMIT $2";
/// A query of its own: one that may or may not ask for a state walks through all refunds to find the few of a rare one.
const OF_STATE: &str = "FROM refunds WHERE state = $3 AND refund_id < $1 ORDER BY refund_id DESC LIMIT $2";

impl CommerceQueries {
    /// A page of refunds, newest first, before the id `before`; of one state if it is given.
    ///
    /// # Errors
    /// The store is away.
    pub async fn refunds(
        &self,
        state: Option<&str>,
        before: Option<RefundId>,
        limit: u16,
    ) -> Result<Vec<RefundRow>, StoreError> {
        let before = before.map_or(u128::MAX, RefundId::as_u128);
        let (before, limit) = (uuid(before), i64::from(limit));
        let rows = match state {
            None => {
                let sql = format!("SELECT {COLUMNS} {OF_ALL}");
                self.database.query(&sql, &[&before, &limit]).await?
            }
            Some(state) => {
                let sql = format!("SELECT {COLUMNS} {OF_STATE}");
                self.database.query(&sql, &[&before, &limit, &state]).await?
            }
        };
        rows.iter().map(refund).collect()
    }

    /// Whose refund it is, and of which order.
    ///
    /// # Errors
    /// The store is away.
    pub async fn refund_owner(&self, refund: RefundId) -> Result<Option<(UserId, OrderId)>, StoreError> {
        const SQL: &str = "SELECT user_id, order_id FROM refunds WHERE refund_id = $1";
        let row = self.database.query_opt(SQL, &[&uuid(refund.as_u128())]).await?;
        let parts = |row: Row| {
            Ok((
                UserId::from_u128(bits(&row, 0)?),
                OrderId::from_u128(bits(&row, 1)?),
            ))
        };
        row.map(parts).transpose()
    }
}

fn bits(row: &Row, column: usize) -> Result<u128, StoreError> {
    Ok(row.try_get::<_, Uuid>(column)?.as_u128())
}

fn refund(row: &Row) -> Result<RefundRow, StoreError> {
    let checker = row.try_get::<_, Option<Uuid>>(6)?;
    Ok(RefundRow {
        id: RefundId::from_u128(bits(row, 0)?),
        order: OrderId::from_u128(bits(row, 1)?),
        user: UserId::from_u128(bits(row, 2)?),
        method: row.try_get(3)?,
        amount: row.try_get(4)?,
        state: row.try_get(5)?,
        checker: checker.map(|id| UserId::from_u128(id.as_u128())),
        requested_at: Timestamp::from_millis(row.try_get(7)?),
        updated_at: Timestamp::from_millis(row.try_get(8)?),
    })
}
