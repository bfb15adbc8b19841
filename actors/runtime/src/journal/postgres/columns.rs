//! Rows turned into the array parameters of multi-row statements.

use std::collections::HashSet;
use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::effects::{Column, RowChange, Table, Value};

/// One array parameter.
#[derive(Debug)]
pub(super) enum Array {
    Uuid(Vec<Option<Uuid>>),
    Int(Vec<Option<i64>>),
    Small(Vec<i16>),
    Text(Vec<Option<Text>>),
    Bool(Vec<Option<bool>>),
}

impl Array {
    pub(super) fn as_param(&self) -> &(dyn ToSql + Sync) {
        match self {
            Array::Uuid(values) => values,
            Array::Int(values) => values,
            Array::Small(values) => values,
            Array::Text(values) => values,
            Array::Bool(values) => values,
        }
    }
}

/// Text for `text` and `json` columns alike: both have the same binary form.
#[derive(Debug)]
pub(super) enum Text {
    Owned(String),
    Static(&'static str),
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::Owned(text)
    }
}

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(match self {
            Text::Owned(text) => text.as_bytes(),
            Text::Static(text) => text.as_bytes(),
        });
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::JSON | Type::VARCHAR)
    }

    to_sql_checked!();
}

/// The rows of one table in one batch.
#[derive(Debug)]
pub(super) struct TableRows {
    pub(super) table: &'static Table,
    pub(super) arrays: Vec<Array>,
}

/// Groups row changes by table, in the order the tables first appear.
///
/// Of several changes to one key only the last is kept: one statement cannot touch a row twice.
pub(super) fn by_table<'a>(changes: impl Iterator<Item = &'a RowChange>) -> Vec<TableRows> {
    let mut groups: Vec<(&'static Table, Vec<&[Value]>)> = Vec::new();
    for change in changes {
        match groups
            .iter_mut()
            .find(|(table, _)| std::ptr::eq(*table, change.table))
        {
            Some((_, rows)) => rows.push(&change.values),
            None => groups.push((change.table, vec![&change.values])),
        }
    }
    groups
        .into_iter()
        .map(|(table, rows)| table_rows(table, rows))
        .collect()
}

fn table_rows(table: &'static Table, mut rows: Vec<&[Value]>) -> TableRows {
    if table.key > 0 {
        let mut seen = HashSet::with_capacity(rows.len());
        rows.reverse();
        rows.retain(|row| seen.insert(&row[..table.key]));
        rows.reverse();
    }
    let arrays = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| array(*column, index, &rows))
        .collect();
    TableRows { table, arrays }
}

fn array(column: Column, index: usize, rows: &[&[Value]]) -> Array {
    let values = rows.iter().map(|row| &row[index]);
    match column {
        Column::Uuid => Array::Uuid(
            values
                .map(|value| {
                    if let Value::Uuid(bits) = value {
                        Some(Uuid::from_u128(*bits))
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        Column::Int | Column::Time => Array::Int(
            values
                .map(|value| {
                    if let Value::Int(number) = value {
                        Some(*number)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        Column::Bool => Array::Bool(
            values
                .map(|value| {
                    if let Value::Bool(flag) = value {
                        Some(*flag)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        Column::Text | Column::Json => Array::Text(
            values
                .map(|value| match value {
                    Value::Text(text) => Some(Text::Owned(text.clone())),
                    Value::Static(text) => Some(Text::Static(text)),
                    _ => None,
                })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;

    static UPSERTED: Table = Table {
        name: "upserted",
        statement: "",
        columns: &[Column::Uuid, Column::Int],
        key: 1,
    };
    static APPENDED: Table = Table {
        name: "appended",
        statement: "",
        columns: &[Column::Uuid, Column::Int],
        key: 0,
    };

    fn change(table: &'static Table, id: u128, number: i64) -> RowChange {
        RowChange {
            table,
            values: row![id, number],
        }
    }

    #[test]
    fn of_several_changes_to_one_key_only_the_last_is_sent() {
        let changes = [
            change(&UPSERTED, 1, 10),
            change(&UPSERTED, 2, 20),
            change(&UPSERTED, 1, 11),
        ];

        let tables = by_table(changes.iter());

        assert_eq!(tables.len(), 1);
        assert!(matches!(&tables[0].arrays[1], Array::Int(numbers) if *numbers == [Some(20), Some(11)]));
    }

    #[test]
    fn rows_of_an_append_only_table_are_all_sent() {
        let changes = [
            change(&APPENDED, 1, 10),
            change(&UPSERTED, 2, 20),
            change(&APPENDED, 1, 11),
        ];

        let tables = by_table(changes.iter());

        assert_eq!(
            tables.iter().map(|rows| rows.table.name).collect::<Vec<_>>(),
            ["appended", "upserted"]
        );
        assert!(matches!(&tables[0].arrays[1], Array::Int(numbers) if *numbers == [Some(10), Some(11)]));
    }
}
