//! How fast the node's entities answer: the sign by which an edge knows that too much is under way.
//!
//! An ask is measured from the moment it is made until its answer is there: mailbox, recovery, decision and commit. What a
//! client takes to send its body, a password's hash or a provider's answer is not in it, so that a slow answer is this
//! node's doing and fewer requests would help.
//!
//! Lifecycle of an [`Asking`]: made with the ask → answered, or void, or dropped by a caller who would not wait. Whoever leaves after
//! longer than an answer may take counts as a slow answer; otherwise impatience would hide what it comes from.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts answers, the slow ones among them, and who waits for one.
#[derive(Debug)]
pub struct Pace {
    slow_after: Duration,
    /// Answers in the lower half and slow ones in the upper: one word, so that none is ever seen without the other.
    counted: AtomicU64,
    waiting: AtomicU32,
}

/// What was counted since it was taken last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// All of them, with asks that were given up after longer than an answer may take.
    pub all: u32,
    /// Those that took longer than they may.
    pub slow: u32,
    /// Asks without an answer at this moment.
    pub waiting: u32,
}

const SLOW: u64 = 1 << 32;

impl Pace {
    /// Answers that take longer than `slow_after` are slow.
    pub fn new(slow_after: Duration) -> Self {
        Pace {
            slow_after,
            counted: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    /// Somebody asks at this moment.
    pub fn asked(&self, at: Instant) -> Asking<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Asking {
            pace: self,
            at,
            end: End::GivenUp,
        }
    }

    /// Counts an answer.
    pub fn answered(&self, after: Duration) {
        let slow = if after > self.slow_after { SLOW } else { 0 };
        self.counted.fetch_add(slow + 1, Ordering::Relaxed);
    }

    /// What was counted since this was called last.
    pub fn take(&self) -> Answers {
        let counted = self.counted.swap(0, Ordering::Relaxed);
        let half = |bits: u64| u32::try_from(bits).unwrap_or(u32::MAX);
        Answers {
            all: half(counted % SLOW),
            slow: half(counted / SLOW),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// An ask in progress; to drop it is to give it up.
#[derive(Debug)]
#[must_use = "an ask lasts as long as this"]
pub struct Asking<'a> {
    pace: &'a Pace,
    at: Instant,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Answered,
    Void,
    GivenUp,
}

impl Asking<'_> {
    /// The answer is there.
    pub fn answered(mut self) {
        self.end = End::Answered;
    }

    /// It was not begun, which says nothing about how long it would have taken.
    pub fn void(mut self) {
        self.end = End::Void;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.pace.waiting.fetch_sub(1, Ordering::Relaxed);
        let after = self.at.elapsed();
        match self.end {
            End::Answered => self.pace.answered(after),
            // How long the answer would have taken is unknown, but it was too long.
            End::GivenUp if after > self.pace.slow_after => self.pace.answered(after),
            End::GivenUp | End::Void => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW_AFTER: Duration = Duration::from_mins(1);

    fn answers(all: u32, slow: u32, waiting: u32) -> Answers {
        Answers { all, slow, waiting }
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(SLOW_AFTER * 2).unwrap()
    }

    #[test]
    fn slow_answers_are_counted_once_and_forgotten_when_taken() {
        let pace = Pace::new(Duration::from_millis(100));

        for ms in [1, 100, 101, 5000] {
            pace.answered(Duration::from_millis(ms));
        }

        assert_eq!(pace.take(), answers(4, 2, 0));
        assert_eq!(pace.take(), answers(0, 0, 0));
    }

    #[test]
    fn an_impatient_client_counts_as_a_slow_answer_once_it_waited_too_long() {
        let pace = Pace::new(SLOW_AFTER);

        let (patient, impatient) = (pace.asked(long_ago()), pace.asked(Instant::now()));
        let waiting = pace.take();
        drop(patient);
        drop(impatient);

        assert_eq!(waiting, answers(0, 0, 2));
        assert_eq!(pace.take(), answers(1, 1, 0));
    }

    #[test]
    fn an_answer_counts_and_what_was_not_begun_does_not() {
        let pace = Pace::new(SLOW_AFTER);

        pace.asked(Instant::now()).answered();
        pace.asked(long_ago()).answered();
        pace.asked(long_ago()).void();

        assert_eq!(pace.take(), answers(2, 1, 0));
    }
}
