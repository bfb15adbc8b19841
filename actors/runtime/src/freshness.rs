//! How far something that follows the stores is behind them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when everything is known: by the monotonic clock, since wall clocks may jump.
#[derive(Debug)]
pub struct Mark {
    made: Instant,
    /// Microseconds after `made`.
    reached: AtomicU64,
}

impl Default for Mark {
    /// Everything is known up to now.
    fn default() -> Self {
        Mark {
            made: Instant::now(),
            reached: AtomicU64::new(0),
        }
    }
}

impl Mark {
    /// Everything that was there at `at` has been taken over. Going back is ignored.
    pub fn reach(&self, at: Instant) {
        let after = at.saturating_duration_since(self.made).as_micros();
        self.reached
            .fetch_max(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long ago that was.
    pub fn lag(&self) -> Duration {
        let reached = Duration::from_micros(self.reached.load(Ordering::Relaxed));
        self.made.elapsed().saturating_sub(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_moves_forward_only() {
        let mark = Mark::default();
        let later = mark.made + Duration::from_hours(1);

        mark.reach(later);
        mark.reach(mark.made);

        assert_eq!(mark.lag(), Duration::ZERO);
    }
}
