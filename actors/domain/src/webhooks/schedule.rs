//! What an attempt leads to: delivered, tried again, given up.
//!
//! The pause between two attempts grows fourfold from the first to the longest. Each is up to a quarter shorter or longer,
//! by the bits of the delivery's own id: thousands of deliveries that failed together do not come back together, and
//! the rule stays free of chance.

use std::time::Duration;

use lyceum_kernel::Timestamp;

use crate::ids::WebhookDeliveryId;

/// By how much a pause grows.
const GROWTH: u32 = 4;
/// The statuses by which a receiver says that it never wants to hear again.
const GONE: u16 = 410;

/// How often and how long a delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The pause after the first attempt.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// From the first attempt to giving up.
    pub give_up_after: Duration,
}

/// One attempt to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Of which delivery.
    pub delivery_id: WebhookDeliveryId,
    /// Its number, from 1.
    pub number: u32,
    /// When the first was made; a replay begins anew.
    pub since: Timestamp,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered with this status.
    Answered(u16),
    /// There was no answer.
    Unanswered,
}

/// What an attempt leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// Try again, then.
    Retry(Timestamp),
    /// The time is over; an endpoint that took nothing else meanwhile is not told of anything more.
    GivenUp,
    /// The receiver wants to hear of nothing more.
    Gone,
}

impl Schedule {
    /// Judges an attempt that ended `now`.
    pub fn judge(&self, attempt: Attempt, outcome: Outcome, now: Timestamp) -> Verdict {
        match outcome {
            Outcome::Answered(200..300) => Verdict::Delivered,
            Outcome::Answered(GONE) => Verdict::Gone,
            // A redirect is no success: it is not followed, so nobody has read the event.
            Outcome::Answered(_) | Outcome::Unanswered => {
                let next = now.plus(self.pause(attempt));
                if next <= attempt.since.plus(self.give_up_after) {
                    Verdict::Retry(next)
                } else {
                    Verdict::GivenUp
                }
            }
        }
    }

    /// The pause after an attempt: from three to five quarters of what its number says.
    fn pause(&self, attempt: Attempt) -> Duration {
        let growth = GROWTH.saturating_pow(attempt.number.saturating_sub(1));
        let pause = self.first_pause.saturating_mul(growth).min(self.longest_pause);
        let bits = attempt.delivery_id.as_u128() ^ u128::from(attempt.number).wrapping_mul(0x9e37_79b9);
        let lot = u32::try_from(bits % 1_001).unwrap_or_default();
        (pause * (1_500 + lot)) / 2_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        first_pause: Duration::from_secs(5),
        longest_pause: Duration::from_hours(12),
        give_up_after: Duration::from_hours(72),
    };

    fn attempt(number: u32) -> Attempt {
        Attempt {
            delivery_id: WebhookDeliveryId::from_u128(7 << 64 | 12_345),
            number,
            since: Timestamp::EPOCH,
        }
    }

    /// The times of all attempts of a delivery that is never answered well, in seconds.
    fn attempts(id: u128) -> Vec<u64> {
        let (mut now, mut times) = (Timestamp::EPOCH, vec![0]);
        for number in 1.. {
            let attempt = Attempt {
                delivery_id: WebhookDeliveryId::from_u128(id),
                ..attempt(number)
            };
            match SCHEDULE.judge(attempt, Outcome::Answered(500), now) {
                Verdict::Retry(next) => now = next,
                verdict => {
                    assert_eq!(verdict, Verdict::GivenUp);
                    break;
                }
            }
            times.push(now.since(Timestamp::EPOCH).as_secs());
        }
        times
    }

    #[test]
    fn every_success_delivers_and_only_410_is_final() {
        for status in 100..600 {
            let verdict = SCHEDULE.judge(attempt(1), Outcome::Answered(status), Timestamp::EPOCH);

            match status {
                200..300 => assert_eq!(verdict, Verdict::Delivered, "{status}"),
                410 => assert_eq!(verdict, Verdict::Gone),
                _ => assert!(matches!(verdict, Verdict::Retry(_)), "{status}"),
            }
        }
    }

    #[test]
    fn attempts_grow_apart_and_end_within_three_days_for_every_delivery() {
        for id in 0..2_000_u128 {
            let times = attempts(id.wrapping_mul(0x1234_5678_9abc_def1));

            assert!((10..=16).contains(&times.len()), "{times:?}");
            assert!((3..=6).contains(&times[1]), "{times:?}");
            let last = times[times.len() - 1];
            assert!((48 * 3_600..=72 * 3_600).contains(&last), "{times:?}");
        }
    }

    #[test]
    fn deliveries_that_fail_together_come_back_apart() {
        let second: std::collections::BTreeSet<i64> = (0..100)
            .map(|id| {
                let attempt = Attempt {
                    delivery_id: WebhookDeliveryId::from_u128(id),
                    ..attempt(4)
                };
                match SCHEDULE.judge(attempt, Outcome::Unanswered, Timestamp::EPOCH) {
                    Verdict::Retry(next) => next.as_millis(),
                    verdict => panic!("{verdict:?}"),
                }
            })
            .collect();

        assert!(second.len() > 90, "{}", second.len());
    }

    #[test]
    fn nothing_overflows() {
        let verdict = SCHEDULE.judge(attempt(u32::MAX), Outcome::Unanswered, Timestamp::EPOCH);

        assert!(matches!(verdict, Verdict::Retry(_)));
    }
}
