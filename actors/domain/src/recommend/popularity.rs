//! How popular each course is now: interactions that fade with a half-life.

use std::collections::BTreeMap;
use std::time::Duration;

use lyceum_kernel::Timestamp;

use crate::ids::CourseId;

/// Interactions by course, each worth 2^(−age / half-life) at the time of reference.
#[derive(Clone, Debug)]
pub struct Popularity {
    now: Timestamp,
    half_life: Duration,
    counts: BTreeMap<CourseId, f64>,
}

impl Popularity {
    /// Starts counting as of `now`.
    pub fn new(now: Timestamp, half_life: Duration) -> Self {
        Popularity {
            now,
            half_life: half_life.max(Duration::from_secs(1)),
            counts: BTreeMap::new(),
        }
    }

    /// Counts interactions of a total `weight` at the time `at`; later than now counts as now.
    pub fn add(&mut self, course: CourseId, at: Timestamp, weight: f64) {
        if weight.is_finite() && weight > 0.0 {
            let halvings = self.now.since(at).as_secs_f64() / self.half_life.as_secs_f64();
            *self.counts.entry(course).or_default() += weight * (-halvings).exp2();
        }
    }

    /// What a course's interactions are worth now.
    pub fn of(&self, course: CourseId) -> f64 {
        self.counts.get(&course).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn an_interaction_counts_half_after_one_half_life() {
        let course = CourseId::from_u128(1);
        let mut popularity = Popularity::new(Timestamp::EPOCH.plus(DAY * 10), DAY * 5);

        popularity.add(course, Timestamp::EPOCH.plus(DAY * 5), 4.0);
        popularity.add(course, Timestamp::EPOCH, 4.0);

        assert!((popularity.of(course) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn an_interaction_of_the_future_counts_as_one_of_now() {
        let course = CourseId::from_u128(1);
        let mut popularity = Popularity::new(Timestamp::EPOCH, DAY);

        popularity.add(course, Timestamp::EPOCH.plus(DAY), 1.0);
        popularity.add(course, Timestamp::EPOCH, f64::NAN);

        assert!((popularity.of(course) - 1.0).abs() < 1e-9);
    }
}
