//! How many commits may be retries: a share of those that succeed, so that a store in trouble is not given more to do
//! for being in trouble.
//!
//! A bucket of tokens, as in Finagle's `RetryBudget` and gRPC's retry throttling: a commit adds a share of a token, a
//! retry takes a whole one and gets it back if it succeeds. A small steady supply lets retries go on where nothing else
//! happens, so that a recovery is noticed; after it, retries pay for themselves.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::meters;
use crate::metrics::Counter;

/// The bucket holds the steady supply of so many seconds.
const SECONDS_KEPT: f64 = 10.0;

/// Limits of a budget; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct RetryLimits {
    /// Retries per hundred commits that succeed.
    pub percent: u32,
    /// Retries a second that are let through whatever succeeds.
    pub per_second: u32,
}

impl Default for RetryLimits {
    fn default() -> Self {
        RetryLimits {
            percent: 10,
            per_second: 10,
        }
    }
}

/// Bounds the retries of all writers.
pub(crate) struct RetryBudget {
    limits: RetryLimits,
    bucket: Mutex<Bucket>,
    refused: Counter,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl RetryBudget {
    /// A full budget.
    pub(crate) fn new(limits: RetryLimits) -> Self {
        Self::at(limits, Instant::now())
    }

    fn at(limits: RetryLimits, now: Instant) -> Self {
        RetryBudget {
            bucket: Mutex::new(Bucket {
                tokens: f64::from(limits.per_second) * SECONDS_KEPT,
                filled: now,
            }),
            limits,
            refused: meters::retries_refused(),
        }
    }

    /// Takes note of a commit that succeeded, be it as a retry or the first time.
    pub(crate) fn succeeded(&self, as_retry: bool) {
        let earned = f64::from(self.limits.percent) / 100.0 + f64::from(u8::from(as_retry));
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.tokens = (bucket.tokens + earned).min(self.full());
    }

    /// Whether a retry may be made now, which must then be made; a refusal is counted.
    pub(crate) fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.filled);
        bucket.filled = now;
        bucket.tokens = (bucket.tokens + self.supplied(passed)).min(self.full());
        if bucket.tokens < 1.0 {
            self.refused.increment();
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    fn supplied(&self, during: Duration) -> f64 {
        f64::from(self.limits.per_second) * during.as_secs_f64()
    }

    fn full(&self) -> f64 {
        f64::from(self.limits.per_second) * SECONDS_KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RetryLimits = RetryLimits {
        percent: 10,
        per_second: 2,
    };

    /// A budget from which everything has been taken at that moment.
    fn spent() -> (RetryBudget, Instant) {
        let now = Instant::now();
        let budget = RetryBudget::at(LIMITS, now);
        while budget.allows_at(now) {}
        (budget, now)
    }

    fn allowed(budget: &RetryBudget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.allows_at(now)).count()
    }

    #[test]
    fn retries_are_a_share_of_what_succeeds() {
        let (budget, now) = spent();

        for _ in 0..100 {
            budget.succeeded(false);
        }

        // Tenths are not exact in binary.
        let allowed = allowed(&budget, now);
        assert!((9..=10).contains(&allowed), "{allowed}");
    }

    #[test]
    fn where_nothing_succeeds_a_small_supply_remains_and_does_not_pile_up() {
        let (budget, now) = spent();

        assert_eq!(allowed(&budget, now + Duration::from_secs(3)), 6);
        assert_eq!(allowed(&budget, now + Duration::from_hours(1)), 20);
    }

    #[test]
    fn a_retry_that_succeeds_costs_nothing() {
        let (budget, now) = spent();
        let later = now + Duration::from_secs(1);

        for _ in 0..100 {
            assert!(budget.allows_at(later));
            budget.succeeded(true);
        }
    }
}
