//! Reading a history back: each intent with its outcome. What a crash tore off the end is no part of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::line::{Intent, Line, Outcome};

/// One request of one client, as its history tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, unique in its file and ascending.
    pub id: u64,
    /// When its intent was recorded.
    pub begun_at_unix_us: u64,
    /// What was asked.
    pub intent: Intent,
    /// When its outcome was recorded.
    pub ended_at_unix_us: Option<u64>,
    /// What was told; none if the client never learned it.
    pub outcome: Option<Outcome>,
}

/// Reads a history, ordered by number.
///
/// # Errors
/// When the file cannot be read, or a line other than a torn last one is none of a history.
pub fn read(path: &Path) -> io::Result<Vec<Request>> {
    Ok(parse(&fs::read(path)?)?.0)
}

/// The requests in these bytes, and how many of the bytes are whole lines.
pub(super) fn parse(bytes: &[u8]) -> io::Result<(Vec<Request>, usize)> {
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    let mut requests: BTreeMap<u64, Request> = BTreeMap::new();
    for (number, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let broken = |why: &str| {
            let text = format!("line {} is none of a history: {why}", number + 1);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        match serde_json::from_slice(line).map_err(|why| broken(&why.to_string()))? {
            Line::Intent {
                id,
                at_unix_us,
                intent,
            } => {
                let request = Request {
                    id,
                    begun_at_unix_us: at_unix_us,
                    intent,
                    ended_at_unix_us: None,
                    outcome: None,
                };
                if requests.insert(id, request).is_some() {
                    return Err(broken("its number is taken"));
                }
            }
            Line::Outcome {
                id,
                at_unix_us,
                outcome,
            } => {
                let request = requests
                    .get_mut(&id)
                    .ok_or_else(|| broken("it ends what never began"))?;
                if request.outcome.replace(outcome).is_some() {
                    return Err(broken("it ends what has ended"));
                }
                request.ended_at_unix_us = Some(at_unix_us);
            }
        }
    }
    Ok((requests.into_values().collect(), whole))
}
