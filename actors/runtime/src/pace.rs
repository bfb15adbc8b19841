//! How fast the node's entities answer: the sign by which an edge knows that too much is under way.
//!
//! An ask is measured from the moment it is made until its answer is there: mailbox, recovery, decision and commit. What a
//! client takes to send its body, a password's hash or a provider's answer is not in it, so that a slow answer is this
//! node's doing and fewer requests would help.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Counts answers, and the slow ones among them.
#[derive(Debug)]
pub struct Pace {
    slow_after: Duration,
    answers: AtomicU32,
    slow: AtomicU32,
}

impl Pace {
    /// Answers that take longer than `slow_after` are slow.
    pub fn new(slow_after: Duration) -> Self {
        Pace {
            slow_after,
            answers: AtomicU32::new(0),
            slow: AtomicU32::new(0),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, after: Duration) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if after > self.slow_after {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers, and slow ones among them, since they were taken last.
    pub fn take(&self) -> (u32, u32) {
        // The slow ones first: one that comes in between then counts as quick, and never without its answer.
        let slow = self.slow.swap(0, Ordering::Relaxed);
        (self.answers.swap(0, Ordering::Relaxed), slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_counted_once_and_forgotten_when_taken() {
        let pace = Pace::new(Duration::from_millis(100));

        for ms in [1, 100, 101, 5000] {
            pace.answered(Duration::from_millis(ms));
        }

        assert_eq!(pace.take(), (4, 2));
        assert_eq!(pace.take(), (0, 0));
    }
}
