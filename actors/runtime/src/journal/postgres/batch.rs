//! One group commit as one round trip: `BEGIN`, the fence, multi-row inserts, `COMMIT`, sent without waiting.
//!
//! Postgres answers `COMMIT` of an aborted transaction with success and rolls back; so a batch is committed only
//! if every single statement has succeeded.

use std::collections::HashMap;

use futures_util::future::{BoxFuture, join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::super::Submission;
use super::columns::{Array, TableRows, Text, by_table};

const FENCE: &str = "SELECT fence($1, $2, $3)";
const OPERATIONS: &str = "INSERT INTO operations (id, kind, entity, fingerprint, answer, at) \
    SELECT id, kind, entity, fingerprint, answer, to_timestamp(at / 1000.0) \
    FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::json[], $6::bigint[]) \
    AS t (id, kind, entity, fingerprint, answer, at)";
const EVENTS: &str = "INSERT INTO events (kind, entity, version, shard, epoch, at, operation, events) \
    SELECT kind, entity, version, shard, epoch, to_timestamp(at / 1000.0), operation, events \
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], \
    $7::uuid[], $8::json[]) AS t (kind, entity, version, shard, epoch, at, operation, events)";
const SNAPSHOTS: &str = "INSERT INTO snapshots (kind, entity, version, state, operations) \
    SELECT kind, entity, version, state, $5::uuid[] \
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::json[]) AS t (kind, entity, version, state) \
    ON CONFLICT (kind, entity) DO UPDATE \
    SET version = excluded.version, state = excluded.state, operations = excluded.operations \
    WHERE snapshots.version < excluded.version";
const OUTBOX: &str = "INSERT INTO outbox (id, shard, kind, entity, due_at, payload) \
    SELECT id, shard, kind, entity, to_timestamp(due_at / 1000.0), payload \
    FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::uuid[], $5::bigint[], $6::json[]) \
    AS t (id, shard, kind, entity, due_at, payload)";

/// A connection with the statements it has prepared.
pub(super) struct Prepared {
    pub(super) client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Prepared {
    pub(super) fn new(client: Client) -> Self {
        Prepared {
            client,
            statements: HashMap::new(),
        }
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// A statement and its parameters.
struct Call {
    sql: &'static str,
    params: Vec<Array>,
}

/// The statements of one group commit, with everything they need: submissions cannot be borrowed meanwhile.
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
        calls.extend(batch.iter().filter_map(|submission| snapshot(submission)));
        Plan {
            shards,
            epochs,
            calls,
            submissions: batch.len(),
        }
    }
}

/// Commits a plan in one transaction and one round trip.
///
/// # Errors
/// The first statement's error. Nothing is committed then, unless the connection broke: see
/// [`Error::as_db_error`].
pub(super) async fn commit(connection: &mut Prepared, incarnation: Uuid, plan: &Plan) -> Result<(), Error> {
    let fence = connection.prepare(FENCE).await?;
    let mut statements = Vec::with_capacity(plan.calls.len());
    for call in &plan.calls {
        statements.push(connection.prepare(call.sql).await?);
    }

    let client = &connection.client;
    let mut sent: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::with_capacity(plan.calls.len() + 3);
    sent.push(Box::pin(client.batch_execute("BEGIN")));
    sent.push(Box::pin(async {
        client
            .execute(&fence, &[&plan.shards, &plan.epochs, &incarnation])
            .await
            .map(|_| ())
    }));
    for (call, statement) in plan.calls.iter().zip(&statements) {
        sent.push(Box::pin(async move {
            let params: Vec<&(dyn ToSql + Sync)> = call.params.iter().map(Array::as_param).collect();
            client.execute(statement, &params).await.map(|_| ())
        }));
    }
    sent.push(Box::pin(client.batch_execute("COMMIT")));
    // Polled in order for the first time, the calls are sent in order; nothing waits in between.
    join_all(sent).await.into_iter().collect()
}

/// Snapshots are few, so each is a row of its own; an array of arrays would need one length.
fn snapshot(submission: &Submission) -> Option<Call> {
    let snapshot = submission.snapshot.as_ref()?;
    let params = vec![
        smalls([submission.entity.kind].into_iter()),
        uuids([submission.entity.id].into_iter()),
        ints([snapshot.version].into_iter()),
        texts([&snapshot.state].into_iter()),
        uuids(snapshot.operations.iter().copied()),
    ];
    Some(Call {
        sql: SNAPSHOTS,
        params,
    })
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
        ]
    })
}
