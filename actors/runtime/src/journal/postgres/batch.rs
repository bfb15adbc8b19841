//! One group commit as one statement: the fence and a multi-row insert for each table, all or nothing.
//!
//! Every insert is a data-modifying `WITH` query, which Postgres runs to its end whether or not anything reads it;
//! the main query is the fence. A single statement is a transaction of its own, so there is no `BEGIN`, no `COMMIT`
//! that could succeed by rolling back, and one answer to wait for. With a statement for each table, two thirds of
//! the time of a purchase went into messages between the two processes.
//!
//! The fence may run before or after the inserts: whatever it raises undoes them, and the locks it takes are held
//! until the commit.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::super::Submission;
use super::columns::{Array, TableRows, Text, by_table};
use crate::effects::Message;

/// Parameters 1 to 3; those of the inserts follow.
const FENCE: &str = "SELECT fence($1::smallint[], $2::bigint[], $3::uuid)";
const FENCE_PARAMS: usize = 3;
/// Combinations of tables whose statement is kept prepared; there are some dozens in practice.
const STATEMENTS_MAX: usize = 256;
const OPERATIONS: &str = "INSERT INTO operations (id, kind, entity, fingerprint, answer, at) \
    SELECT id, kind, entity, fingerprint, answer, to_timestamp(at / 1000.0) \
    FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::json[], $6::bigint[]) \
    AS t (id, kind, entity, fingerprint, answer, at)";
const EVENTS: &str = "INSERT INTO events (kind, entity, version, shard, epoch, at, operation, events) \
    SELECT kind, entity, version, shard, epoch, to_timestamp(at / 1000.0), operation, events \
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], \
    $7::uuid[], $8::json[]) AS t (kind, entity, version, shard, epoch, at, operation, events)";
const SNAPSHOTS: &str = "INSERT INTO snapshots (kind, entity, version, state, operations) \
    SELECT kind, entity, version, state, operations::uuid[] \
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::json[], $5::text[]) \
    AS t (kind, entity, version, state, operations) \
    ON CONFLICT (kind, entity) DO UPDATE \
    SET version = excluded.version, state = excluded.state, operations = excluded.operations \
    WHERE snapshots.version < excluded.version";
const OUTBOX: &str = "INSERT INTO outbox (id, shard, kind, entity, due_at, payload, trace) \
    SELECT id, shard, kind, entity, to_timestamp(due_at / 1000.0), payload, trace \
    FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::uuid[], $5::bigint[], $6::json[], $7::text[]) \
    AS t (id, shard, kind, entity, due_at, payload, trace)";

/// A connection with the statements it has prepared.
pub(super) struct Prepared {
    pub(super) client: Client,
    /// By the inserts they are made of.
    statements: HashMap<Vec<&'static str>, Statement>,
}

impl Prepared {
    pub(super) fn new(client: Client) -> Self {
        Prepared {
            client,
            statements: HashMap::new(),
        }
    }

    async fn prepare(&mut self, calls: &[Call]) -> Result<Statement, Error> {
        let inserts: Vec<&'static str> = calls.iter().map(|call| call.sql).collect();
        if let Some(statement) = self.statements.get(&inserts) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let statement = self.client.prepare(&combined(calls)).await?;
        self.statements.insert(inserts, statement.clone());
        Ok(statement)
    }
}

/// An insert and its parameters.
struct Call {
    sql: &'static str,
    params: Vec<Array>,
}

/// One group commit with everything it needs: submissions cannot be borrowed while it is under way.
pub(super) struct Plan {
    shards: Vec<i16>,
    epochs: Vec<i64>,
    calls: Vec<Call>,
    pub(super) submissions: usize,
}

impl Plan {
    pub(super) fn of(batch: &[Box<Submission>]) -> Self {
        let (shards, epochs) = fences(batch);
        let fixed = [
            (OPERATIONS, operations(batch)),
            (EVENTS, events(batch)),
            (OUTBOX, outbox(batch)),
            (SNAPSHOTS, snapshots(batch)),
        ];
        let mut calls: Vec<Call> = fixed
            .into_iter()
            .filter_map(|(sql, params)| params.map(|params| Call { sql, params }))
            .collect();
        let rows = by_table(batch.iter().flat_map(|submission| &submission.effects.rows));
        calls.extend(rows.into_iter().map(|TableRows { table, arrays }| Call {
            sql: table.statement,
            params: arrays,
        }));
        // One order, so that the same tables make the same statement whichever came first.
        calls.sort_by_key(|call| call.sql);
        Plan {
            shards,
            epochs,
            calls,
            submissions: batch.len(),
        }
    }
}

/// Commits a plan.
///
/// # Errors
/// Nothing is committed then, unless the connection broke: see [`Error::as_db_error`].
pub(super) async fn commit(connection: &mut Prepared, incarnation: Uuid, plan: &Plan) -> Result<(), Error> {
    let statement = connection.prepare(&plan.calls).await?;
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&plan.shards, &plan.epochs, &incarnation];
    params.extend(
        plan.calls
            .iter()
            .flat_map(|call| &call.params)
            .map(Array::as_param),
    );
    // Returns at `ReadyForQuery`, which follows the commit.
    connection.client.execute(&statement, &params).await.map(|_| ())
}

/// The text of a plan's statement.
fn combined(calls: &[Call]) -> String {
    let mut with = String::new();
    let mut query = FENCE.to_owned();
    let mut params = FENCE_PARAMS;
    for (index, call) in calls.iter().enumerate() {
        let lead = if index == 0 { "WITH" } else { "," };
        let sql = renumbered(call.sql, params);
        params += call.params.len();
        // Writing to a String does not fail.
        let _ = write!(with, "{lead} w{index} AS ({sql}) ");
        if !call.sql.starts_with("INSERT") {
            // A query that only calls functions is run because it is read.
            let _ = write!(query, ", (SELECT count(*) FROM w{index})");
        }
    }
    with + &query
}

/// `sql` with each parameter `$n` as `$(n + by)`.
fn renumbered(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let _ = match number.parse::<usize>() {
            Ok(number) => write!(text, "${}{rest}", number + by),
            Err(_) => write!(text, "${part}"),
        };
    }
    text
}

/// The shards of a batch, in ascending order, with the epoch each was decided under.
fn fences(batch: &[Box<Submission>]) -> (Vec<i16>, Vec<i64>) {
    let mut fences: Vec<(i16, i64)> = batch
        .iter()
        .map(|submission| (i16::from(submission.shard), submission.epoch))
        .collect();
    fences.sort_unstable();
    fences.dedup();
    fences.into_iter().unzip()
}

fn uuids(values: impl Iterator<Item = u128>) -> Array {
    Array::Uuid(values.map(|bits| Some(Uuid::from_u128(bits))).collect())
}

fn ints(values: impl Iterator<Item = i64>) -> Array {
    Array::Int(values.map(Some).collect())
}

fn smalls(values: impl Iterator<Item = i16>) -> Array {
    Array::Small(values.collect())
}

fn texts<'a>(values: impl Iterator<Item = &'a String>) -> Array {
    Array::Text(values.map(|text| Some(Text::Owned(text.clone()))).collect())
}

fn operations(batch: &[Box<Submission>]) -> Option<Vec<Array>> {
    let rows: Vec<_> = batch
        .iter()
        .filter_map(|submission| {
            submission
                .operation
                .as_ref()
                .map(|(operation, answer)| (submission, operation, answer))
        })
        .collect();
    (!rows.is_empty()).then(|| {
        vec![
            uuids(rows.iter().map(|(_, operation, _)| operation.id)),
            smalls(rows.iter().map(|(submission, ..)| submission.entity.kind)),
            uuids(rows.iter().map(|(submission, ..)| submission.entity.id)),
            uuids(rows.iter().map(|(_, operation, _)| operation.fingerprint)),
            texts(rows.iter().map(|(_, _, answer)| *answer)),
            ints(rows.iter().map(|(submission, ..)| submission.at.as_millis())),
        ]
    })
}

fn events(batch: &[Box<Submission>]) -> Option<Vec<Array>> {
    let rows: Vec<_> = batch
        .iter()
        .filter_map(|submission| submission.turn.as_ref().map(|turn| (submission, turn)))
        .collect();
    (!rows.is_empty()).then(|| {
        vec![
            smalls(rows.iter().map(|(submission, _)| submission.entity.kind)),
            uuids(rows.iter().map(|(submission, _)| submission.entity.id)),
            ints(rows.iter().map(|(_, turn)| turn.version)),
            smalls(rows.iter().map(|(submission, _)| i16::from(submission.shard))),
            ints(rows.iter().map(|(submission, _)| submission.epoch)),
            ints(rows.iter().map(|(submission, _)| submission.at.as_millis())),
            Array::Uuid(
                rows.iter()
                    .map(|(submission, _)| {
                        submission
                            .operation
                            .as_ref()
                            .map(|(named, _)| Uuid::from_u128(named.id))
                    })
                    .collect(),
            ),
            texts(rows.iter().map(|(_, turn)| &turn.events)),
        ]
    })
}

fn outbox(batch: &[Box<Submission>]) -> Option<Vec<Array>> {
    let rows: Vec<_> = batch
        .iter()
        .flat_map(|submission| {
            submission
                .effects
                .messages
                .iter()
                .map(move |message| (submission, message))
        })
        .collect();
    (!rows.is_empty()).then(|| {
        vec![
            uuids(rows.iter().map(|(_, message)| message.id)),
            smalls(rows.iter().map(|(submission, _)| i16::from(submission.shard))),
            smalls(rows.iter().map(|(submission, _)| submission.entity.kind)),
            uuids(rows.iter().map(|(submission, _)| submission.entity.id)),
            ints(rows.iter().map(|(_, message)| message.due.as_millis())),
            texts(rows.iter().map(|(_, message)| &message.payload)),
            Array::Text(rows.iter().map(|(_, message)| traceparent(message)).collect()),
        ]
    })
}

fn traceparent(message: &Message) -> Option<Text> {
    let trace = message.trace;
    trace.exists().then(|| Text::Owned(trace.to_string()))
}

/// The newest snapshot of each entity: one statement cannot touch a row twice.
fn snapshots(batch: &[Box<Submission>]) -> Option<Vec<Array>> {
    let newest: BTreeMap<_, _> = batch
        .iter()
        .filter_map(|submission| {
            submission
                .snapshot
                .as_ref()
                .map(|snapshot| (submission.entity, snapshot))
        })
        .collect();
    (!newest.is_empty()).then(|| {
        let operations = newest.values().map(|snapshot| {
            let ids: Vec<String> = snapshot
                .operations
                .iter()
                .map(|id| Uuid::from_u128(*id).to_string())
                .collect();
            Some(Text::Owned(format!("{{{}}}", ids.join(","))))
        });
        vec![
            smalls(newest.keys().map(|entity| entity.kind)),
            uuids(newest.keys().map(|entity| entity.id)),
            ints(newest.values().map(|snapshot| snapshot.version)),
            texts(newest.values().map(|snapshot| &snapshot.state)),
            Array::Text(operations.collect()),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_become_one_statement_with_parameters_of_their_own() {
        let insert = Call {
            sql: "INSERT INTO a SELECT * FROM unnest($1::uuid[], $2::bigint[])",
            params: vec![smalls([].into_iter()), smalls([].into_iter())],
        };
        let select = Call {
            sql: "SELECT f(x) FROM unnest($1::uuid[]) AS t (x)",
            params: vec![smalls([].into_iter())],
        };

        assert_eq!(
            combined(&[insert, select]),
            "WITH w0 AS (INSERT INTO a SELECT * FROM unnest($4::uuid[], $5::bigint[])) \
             , w1 AS (SELECT f(x) FROM unnest($6::uuid[]) AS t (x)) \
             SELECT fence($1::smallint[], $2::bigint[], $3::uuid), (SELECT count(*) FROM w1)"
        );
        assert_eq!(combined(&[]), FENCE);
    }
}
