//! The audit log: what operators did, in rows that are chained by their hashes.
//!
//! A row is written in the transaction of what it is about, so that neither is there without the other. Verification reads the whole
//! log and computes every hash again; it shares nothing with the function that wrote them.

use lyceum_domain::commerce;
use lyceum_domain::ids::UserId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Database, Effects, StoreError, Table, row, supervise};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

/// Rows read at once by a verification.
const PAGE: i64 = 1_000;
/// How often new rows are looked for: whoever cuts the log at its end has this long.
const FOLLOW_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
const COLUMNS: &str = "number, (extract(epoch FROM at) * 1000)::bigint, operator, node, action, target, reason, \
    details::text, previous, hash";

/// Appends rows in the transaction of the decisions that they are about, by the function that [`append`] calls.
static AUDIT_LOG: Table = Table {
    name: "audit_log",
    statement: "SELECT audit(operator, node, action, target, reason, details) \
                FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::json[]) \
                AS d(operator, node, action, target, reason, details)",
    columns: &[
        Column::Uuid,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Json,
    ],
    key: 0,
};

/// Puts what an entity has decided for an operator on record, in the transaction of that decision.
pub(crate) fn record(
    deed: &commerce::Deed,
    action: &'static str,
    target: String,
    details: &serde_json::Value,
    effects: &mut Effects,
) {
    let (operator, node, reason) = (deed.operator, deed.node.clone(), deed.reason.clone());
    effects.row(
        &AUDIT_LOG,
        row![
            operator,
            node,
            action,
            target.clone(),
            reason,
            details.to_string()
        ],
    );
    effects.after_commit(move || tracing::warn!(action, target, "an operator changed what is under way"));
}

/// Logs the hash of every row that comes to the log, whoever wrote it, for as long as the node lives: the log of the process is
/// where the database's owner cannot reach it.
pub(crate) fn keep(database: Database) {
    supervise("audit log", move || follow(database.clone()));
}

async fn follow(database: Database) {
    const NEWER: &str =
        "SELECT number, encode(hash, 'hex') FROM audit_log WHERE number > $1 ORDER BY number LIMIT $2";
    const END: &str = "SELECT coalesce(max(number), 0) FROM audit_log";
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen: Option<i64> = None;
    loop {
        ticks.tick().await;
        let looked = match seen {
            None => database.query(END, &[]).await,
            Some(seen) => database.query(NEWER, &[&seen, &PAGE]).await,
        };
        match looked {
            Ok(rows) => {
                for row in &rows {
                    let number: i64 = row.get(0);
                    if seen.is_some() {
                        let hash: &str = row.get(1);
                        tracing::warn!(
                            audit.number = number,
                            audit.hash = hash,
                            "the audit log has grown"
                        );
                    }
                    seen = Some(number);
                }
            }
            Err(error) => tracing::warn!(%error, "the audit log could not be followed"),
        }
    }
}

/// What is put on record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'a> {
    pub(super) operator: UserId,
    pub(super) node: &'a str,
    pub(super) action: &'static str,
    pub(super) target: &'a str,
    pub(super) reason: &'a str,
    pub(super) details: &'a str,
}

/// One row of the log.
#[derive(Clone, Debug, Serialize)]
pub struct AuditEntry {
    /// Its number; the first is 1.
    pub number: i64,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Who.
    pub operator: UserId,
    /// The node that was asked.
    pub node: String,
    /// What was done: `drain`, `evict`, `move`, `retry_saga`, `approve_adjustment` and so on.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// Why.
    pub reason: String,
    /// More about it.
    pub details: serde_json::Value,
    /// The SHA-256 over the hash before it and its own content.
    pub hash: String,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many rows were read.
    pub rows: u64,
    /// The first row that is not what its hash says, or does not follow the one before.
    pub broken_at: Option<i64>,
}

/// Appends a row within the transaction of the deed.
pub(super) async fn append(transaction: &Transaction<'_>, deed: Deed<'_>) -> Result<AuditEntry, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM audit($1, $2, $3, $4, $5, $6::text::json)");
    let operator = Uuid::from_u128(deed.operator.as_u128());
    let row = transaction
        .query_one(
            &sql,
            &[
                &operator,
                &deed.node,
                &deed.action,
                &deed.target,
                &deed.reason,
                &deed.details,
            ],
        )
        .await?;
    let stored = Stored::read(&row);
    // Also where the database's owner cannot reach it: whoever cuts the log at its end is found out by this line.
    tracing::warn!(
        audit.number = stored.number,
        audit.hash = %hex(&stored.hash),
        action = deed.action,
        target = deed.target,
        "an operator changed the cluster"
    );
    Ok(stored.into_entry())
}

/// The newest rows, before the row `before`.
pub(super) async fn newest(
    database: &Database,
    before: Option<i64>,
    limit: u16,
) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_log WHERE number < coalesce($1, 9223372036854775807) \
         ORDER BY number DESC LIMIT $2"
    );
    let rows = database.query(&sql, &[&before, &i64::from(limit)]).await?;
    Ok(rows.iter().map(|row| Stored::read(row).into_entry()).collect())
}

/// Computes every hash again.
pub(super) async fn verify(database: &Database) -> Result<Verified, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM audit_log WHERE number > $1 ORDER BY number LIMIT $2");
    let mut before = (0, [0; 32]);
    let mut rows = 0;
    loop {
        let page = database.query(&sql, &[&before.0, &PAGE]).await?;
        for row in &page {
            rows += 1;
            let stored = Stored::read(row);
            if !stored.follows(before) {
                return Ok(Verified {
                    rows,
                    broken_at: Some(stored.number),
                });
            }
            before = (stored.number, stored.computed());
        }
        if page.is_empty() {
            return Ok(Verified {
                rows,
                broken_at: None,
            });
        }
    }
}

/// One row as it is stored.
#[derive(Clone, Debug)]
struct Stored {
    number: i64,
    at_ms: i64,
    operator: Uuid,
    node: String,
    action: String,
    target: String,
    reason: String,
    details: String,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn read(row: &Row) -> Self {
        Stored {
            number: row.get(0),
            at_ms: row.get(1),
            operator: row.get(2),
            node: row.get(3),
            action: row.get(4),
            target: row.get(5),
            reason: row.get(6),
            details: row.get(7),
            previous: row.get(8),
            hash: row.get(9),
        }
    }

    /// Whether this row follows that one, and is what its hash says.
    fn follows(&self, (number, hash): (i64, [u8; 32])) -> bool {
        self.number == number + 1 && self.previous == hash && self.hash == self.computed()
    }

    fn computed(&self) -> [u8; 32] {
        let mut sha = Sha256::new_with_prefix(&self.previous);
        for part in [
            &self.number.to_string(),
            &self.at_ms.to_string(),
            &self.operator.to_string(),
            &self.node,
            &self.action,
            &self.target,
            &self.reason,
            &self.details,
        ] {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part.as_bytes());
        }
        sha.finalize().into()
    }

    fn into_entry(self) -> AuditEntry {
        AuditEntry {
            number: self.number,
            at: Timestamp::from_millis(self.at_ms),
            operator: UserId::from_u128(self.operator.as_u128()),
            node: self.node,
            action: self.action,
            target: self.target,
            reason: self.reason,
            details: serde_json::from_str(&self.details).unwrap_or_default(),
            hash: hex(&self.hash),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64, previous: [u8; 32]) -> Stored {
        let mut stored = Stored {
            number,
            at_ms: 1,
            operator: Uuid::from_u128(7),
            node: "n1".to_owned(),
            action: "drain".to_owned(),
            target: "n2".to_owned(),
            reason: "its disk".to_owned(),
            details: "{}".to_owned(),
            previous: previous.into(),
            hash: Vec::new(),
        };
        stored.hash = stored.computed().into();
        stored
    }

    #[test]
    fn a_row_follows_the_one_before_and_no_other() {
        let first = row(1, [0; 32]);
        let second = row(2, first.computed());

        assert!(first.follows((0, [0; 32])));
        assert!(second.follows((1, first.computed())));
        assert!(!second.follows((0, [0; 32])), "the first is left out");
        assert!(!first.follows((1, first.computed())), "it is there twice");
    }

    #[test]
    fn whatever_is_changed_the_hash_is_another() {
        let changes: [fn(&mut Stored); 8] = [
            |row| row.number = 2,
            |row| row.at_ms += 1,
            |row| row.operator = Uuid::from_u128(8),
            |row| row.node = "n3".to_owned(),
            |row| row.action = "evict".to_owned(),
            |row| row.target = "n1".to_owned(),
            |row| row.reason = "none".to_owned(),
            // The same letters, divided in another way.
            |row| (row.reason, row.details) = ("its disk{".to_owned(), "}".to_owned()),
        ];
        let hash = row(1, [0; 32]).computed();
        for change in changes {
            let mut changed = row(1, [0; 32]);

            change(&mut changed);

            assert_ne!(changed.computed(), hash, "{changed:?}");
        }
    }
}
