//! Log lines that somebody else can cause: one a second, of bounded length.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest text of somebody else's making, in characters.
const CHARS_MAX: usize = 200;

/// Lets one line a second through and counts the others.
pub(crate) struct Seldom {
    second: AtomicU64,
    kept_back: AtomicU64,
}

impl Seldom {
    pub(crate) const fn new() -> Self {
        Seldom {
            second: AtomicU64::new(0),
            kept_back: AtomicU64::new(0),
        }
    }

    /// Whether a line is written now; if so, how many were not since the last.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(now())
    }

    fn pass_at(&self, second: u64) -> Option<u64> {
        if self.second.swap(second, Ordering::AcqRel) == second {
            self.kept_back.fetch_add(1, Ordering::AcqRel);
            return None;
        }
        Some(self.kept_back.swap(0, Ordering::AcqRel))
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// The beginning of a text that may be as long as a message.
pub(crate) fn brief(text: &impl Display) -> String {
    let text = text.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_in_a_second_one_is_written_and_the_next_says_how_many_were_not() {
        let seldom = Seldom::new();

        let passed: Vec<_> = [7, 7, 7, 8, 8, 10].map(|second| seldom.pass_at(second)).into();

        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(brief(&"short"), "short");
        assert_eq!(brief(&"学".repeat(1000)).chars().count(), CHARS_MAX + 1);
    }
}
