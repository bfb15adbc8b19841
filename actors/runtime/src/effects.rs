//! What a decision changes beside its own events: rows, messages and signals.
//!
//! Rows and messages commit in the transaction of the events. Signals run after the commit and may be lost with
//! the process, so nothing that matters depends on them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lyceum_kernel::{Id, Money, Timestamp};
use serde::Serialize;
use smallvec::SmallVec;

use crate::trace::Trace;

/// The values of one row, in the order of its table's columns.
pub type Values = SmallVec<[Value; 12]>;

/// The type of a column, which chooses the array type its values are sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `uuid[]`.
    Uuid,
    /// `bigint[]`.
    Int,
    /// `text[]`.
    Text,
    /// `boolean[]`.
    Bool,
    /// `bigint[]` of milliseconds since the epoch.
    Time,
    /// `json[]` or `text[]` of JSON documents.
    Json,
}

/// A relational table that is written together with events.
///
/// Declared once as a `static`; `statement` takes one array parameter for each column, in order.
#[derive(Debug)]
pub struct Table {
    /// The table's name, for metrics and messages.
    pub name: &'static str,
    /// `INSERT INTO … SELECT … FROM unnest($1::uuid[], …) ON CONFLICT …`.
    pub statement: &'static str,
    /// The columns, in the order of the parameters.
    pub columns: &'static [Column],
    /// How many leading columns are the key. Of several changes to one key in a batch only the last is sent,
    /// because one statement cannot touch a row twice; 0 for a table that is only appended to.
    pub key: usize,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// SQL `NULL` of any column type.
    Null,
    /// For [`Column::Uuid`].
    Uuid(u128),
    /// For [`Column::Int`] and [`Column::Time`].
    Int(i64),
    /// For [`Column::Text`] and [`Column::Json`].
    Text(String),
    /// For [`Column::Text`], without allocation.
    Static(&'static str),
    /// For [`Column::Bool`].
    Bool(bool),
}

impl Value {
    /// A JSON document.
    pub fn json(value: &impl Serialize) -> Self {
        Value::Text(to_json(value))
    }
}

/// Serialises what is known to be serialisable: our own types with string keys.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("own types have string keys and infallible Serialize")
}

macro_rules! value_from {
    ($($type:ty => |$value:ident| $made:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

value_from! {
    u128 => |value| Value::Uuid(value);
    i64 => |value| Value::Int(value);
    i32 => |value| Value::Int(i64::from(value));
    u32 => |value| Value::Int(i64::from(value));
    u16 => |value| Value::Int(i64::from(value));
    u8 => |value| Value::Int(i64::from(value));
    bool => |value| Value::Bool(value);
    String => |value| Value::Text(value);
    &'static str => |value| Value::Static(value);
    &String => |value| Value::Text(value.clone());
    Timestamp => |value| Value::Int(value.as_millis());
    Money => |value| Value::Int(value.amount());
}

impl<K> From<Id<K>> for Value {
    fn from(id: Id<K>) -> Self {
        Value::Uuid(id.as_u128())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The values of one row: `row![order_id, "paid", total]`.
#[macro_export]
macro_rules! row {
    ($($value:expr),* $(,)?) => {
        $crate::Values::from_iter([$($crate::Value::from($value)),*])
    };
}

/// One row to insert or replace.
#[derive(Debug)]
pub struct RowChange {
    pub(crate) table: &'static Table,
    pub(crate) values: Values,
}

/// One outbox row: delivered at least once, at or after it is due.
#[derive(Clone, Debug)]
pub struct Message {
    pub(crate) id: u128,
    pub(crate) due: Timestamp,
    pub(crate) payload: String,
    /// Of the decision that sends it.
    pub(crate) trace: Trace,
}

/// A signal to run after the commit.
pub(crate) type Signal = Box<dyn FnOnce() + Send>;

/// Collects what one decision changes.
#[derive(Default)]
pub struct Effects {
    pub(crate) trace: Trace,
    pub(crate) step_before: Option<&'static str>,
    pub(crate) rows: Vec<RowChange>,
    pub(crate) messages: Vec<Message>,
    pub(crate) signals: Vec<Signal>,
}

impl Effects {
    /// Collects for a decision within a trace that finds its saga at a step.
    pub(crate) fn of(trace: Trace, step_before: Option<&'static str>) -> Self {
        Effects {
            trace,
            step_before,
            ..Effects::default()
        }
    }

    /// The trace of the decision.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// The step of the saga before the decision, as [`Entity::saga_step`](crate::Entity::saga_step) said.
    pub fn step_before(&self) -> Option<&'static str> {
        self.step_before
    }

    /// Adds a row of `table`.
    ///
    /// # Panics
    /// In debug builds, when the number of values is not the number of columns.
    pub fn row(&mut self, table: &'static Table, values: impl Into<Values>) {
        let values = values.into();
        debug_assert_eq!(values.len(), table.columns.len(), "columns of {}", table.name);
        self.rows.push(RowChange { table, values });
    }

    /// Sends a message through the outbox: at least once, at or after `due`.
    pub fn message(&mut self, due: Timestamp, payload: &impl Serialize) {
        self.messages.push(Message {
            id: uuid::Uuid::now_v7().as_u128(),
            due,
            payload: to_json(payload),
            trace: self.trace,
        });
    }

    /// Runs `signal` after the commit. It must be quick and not block; it is lost if the process dies first.
    pub fn after_commit(&mut self, signal: impl FnOnce() + Send + 'static) {
        self.signals.push(Box::new(signal));
    }

    /// Runs the signals. One that panics is lost like any other signal can be: neither the answer of the decision nor
    /// the decisions committed beside it may depend on it.
    pub(crate) fn send_signals(&mut self) {
        for signal in self.signals.drain(..) {
            if catch_unwind(AssertUnwindSafe(signal)).is_err() {
                tracing::error!("a signal panicked");
            }
        }
    }

    /// The rows collected so far, as table name and values; for tests of bindings.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &[Value])> {
        self.rows
            .iter()
            .map(|row| (row.table.name, row.values.as_slice()))
    }

    /// The payloads of the messages collected so far; for tests of bindings.
    pub fn messages(&self) -> impl Iterator<Item = (Timestamp, &str)> {
        self.messages
            .iter()
            .map(|message| (message.due, message.payload.as_str()))
    }
}
