//! Reads tab-separated files with a header, line by line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lyceum_kernel::Timestamp;

use super::client::ImportError;

/// One line of a file, by column.
pub(crate) struct Line<'text> {
    columns: &'text BTreeMap<String, usize>,
    cells: Vec<&'text str>,
}

impl Line<'_> {
    /// The cell of a column, if the file has it.
    pub(crate) fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(*self.columns.get(column)?).copied()
    }
}

/// Reads a file with a header; `take` says `None` to a line that lacks something.
pub(crate) fn each_line(
    path: &Path,
    mut take: impl FnMut(&Line<'_>) -> Option<()>,
) -> Result<(), ImportError> {
    let refuse = |cause: String| ImportError::File {
        file: path.display().to_string(),
        cause,
    };
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let mut lines = text.lines();
    let header = lines.next().ok_or_else(|| refuse("is empty".to_owned()))?;
    let columns = header
        .split('\t')
        .enumerate()
        .map(|(place, name)| (name.to_owned(), place))
        .collect();
    for (number, text) in (2..).zip(lines).filter(|(_, text)| !text.is_empty()) {
        let line = Line {
            columns: &columns,
            cells: text.split('\t').collect(),
        };
        take(&line).ok_or_else(|| refuse(format!("line {number} lacks a column or its number")))?;
    }
    Ok(())
}

/// Seconds since the epoch, with or without a fraction.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let seconds: i64 = text.split('.').next()?.parse().ok()?;
    Some(Timestamp::from_millis(seconds.checked_mul(1000)?))
}
