//! Whether the store takes what it is given: a full disk answers questions and commits nothing.
//!
//! The writers say how each commit went. A refusal counts for a while and not for ever, because whoever is sent no requests writes nothing
//! and would never find out that the store has recovered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a refusal counts: long enough for a load balancer to notice, short enough to be back soon.
const COUNTS: Duration = Duration::from_secs(3);

/// How the last commits of all writers went.
#[derive(Debug, Default)]
pub struct Condition {
    refused_at: Mutex<Option<Instant>>,
}

impl Condition {
    /// Whether nothing speaks against the next commit.
    pub fn takes_commits(&self) -> bool {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> bool {
        let refused_at = *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        refused_at.is_none_or(|at| now.saturating_duration_since(at) > COUNTS)
    }

    pub(super) fn committed(&self) {
        *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn refused(&self) {
        *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_until_the_next_commit_or_for_a_while() {
        let condition = Condition::default();
        assert!(condition.takes_commits());

        condition.refused();
        assert!(!condition.takes_commits());
        assert!(condition.at(Instant::now() + COUNTS * 2));

        condition.committed();
        assert!(condition.takes_commits());
    }
}
