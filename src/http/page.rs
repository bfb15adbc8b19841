//! Pages of a list: the query that asks for one and the shape that answers.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use lyceum_kernel::Class;

/// Entries of a page when the client does not say.
const LIMIT_DEFAULT: u16 = 20;
const LIMIT_MAX: u16 = 100;

/// Asks for one page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    #[param(min_length = 1)]
    pub after: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Give it as `after` to get the page that follows; null on the last one.
    pub next: Option<String>,
}

impl PageQuery {
    /// The number of entries wanted.
    ///
    /// # Errors
    /// 400 `http.invalid_query` outside 1 to 100.
    pub fn limit(&self) -> Result<u16, Problem> {
        checked_limit(self.limit)
    }

    /// What the page before this one ended with.
    ///
    /// # Errors
    /// 400 `http.malformed_cursor`.
    pub fn cursor<C: FromStr>(&self) -> Result<Option<C>, Problem> {
        checked_cursor(self.after.as_deref())
    }
}

impl<T> Page<T> {
    /// Makes a page of at most `limit` entries, of which one more was asked for: whether it came says whether a page
    /// follows. `cursor` names an entry.
    pub fn of<E>(
        mut entries: Vec<E>,
        limit: u16,
        cursor: impl FnOnce(&E) -> String,
        body: impl FnMut(E) -> T,
    ) -> Self {
        let more = entries.len() > usize::from(limit);
        entries.truncate(limit.into());
        let next = entries.last().filter(|_| more).map(cursor);
        Page {
            data: entries.into_iter().map(body).collect(),
            next,
        }
    }
}

/// The number of entries wanted, for queries that have more parameters than [`PageQuery`].
///
/// # Errors
/// 400 `http.invalid_query` outside 1 to 100.
pub fn checked_limit(limit: Option<u16>) -> Result<u16, Problem> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(invalid_query("limit", "from 1 to 100"))
}

/// What the page before ended with, for queries that have more parameters than [`PageQuery`].
///
/// # Errors
/// 400 `http.malformed_cursor`.
pub fn checked_cursor<C: FromStr>(after: Option<&str>) -> Result<Option<C>, Problem> {
    let read = |text: &str| text.parse().map_err(|_| malformed_cursor());
    after.map(read).transpose()
}

/// 400 for a parameter of the query that is not what it may be.
pub fn invalid_query(parameter: &str, rule: &str) -> Problem {
    Problem::new(
        Class::Malformed,
        "http.invalid_query",
        "The query cannot be understood.",
    )
    .parameter(parameter, rule)
}

/// 400 for a cursor that this list did not hand out.
pub fn malformed_cursor() -> Problem {
    Problem::new(
        Class::Malformed,
        "http.malformed_cursor",
        "This is not a cursor of this list.",
    )
    .parameter("after", "take it from `next` of the page before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_100_entries() {
        assert_eq!(checked_limit(None).ok(), Some(20));
        assert_eq!(checked_limit(Some(100)).ok(), Some(100));
        assert!(checked_limit(Some(0)).is_err());
        assert!(checked_limit(Some(101)).is_err());
    }

    #[test]
    fn a_page_names_its_last_entry_if_another_follows() {
        let page = |entries: &[u8]| Page::of(entries.to_vec(), 2, u8::to_string, |entry| entry);

        assert_eq!((page(&[1, 2]).data, page(&[1, 2]).next), (vec![1, 2], None));
        assert_eq!(
            (page(&[1, 2, 3]).data, page(&[1, 2, 3]).next),
            (vec![1, 2], Some("2".to_owned()))
        );
    }
}
