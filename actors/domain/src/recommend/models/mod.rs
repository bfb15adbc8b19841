//! The models lists can be made with, and what they share: histories, scores, the best few.
//!
//! Flow: [`Histories`] of what learners took up, in order of time, train a model; a model gives every course a score
//! for one [`Learner`]; [`best`] keeps the highest. Courses and learners are numbers here: the position of a course in
//! its catalog, the place of a learner in the histories. Nothing iterates in hash order and seeds are passed in, so the
//! same histories give the same model.
//!
//! Which formula is whose is said in each file and, with measured figures, in `docs/recommendations.md`.

mod alike;
mod cosine;
mod ease;
mod factors;
mod inverse;
mod pearson;
mod popular;
mod stack;
mod transitions;
mod varied;

pub use alike::Alike;
pub use cosine::{Cosine, CosineSettings};
pub use ease::{Ease, EaseSettings};
pub use factors::{FactorSettings, Factors};
pub use pearson::{Pearson, PearsonSettings};
pub use popular::{Popular, PopularSettings};
pub use stack::{Stack, StackSettings};
pub use transitions::{TransitionSettings, Transitions};
pub use varied::Varied;

/// One course in one learner's history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// The course's position.
    pub course: u32,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What every learner took up, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    of: Vec<Vec<Taken>>,
    courses: usize,
}

impl Histories {
    /// Nothing yet, in a catalog of so many courses.
    pub fn new(courses: usize) -> Self {
        Histories {
            of: Vec::new(),
            courses,
        }
    }

    /// Adds a course to the end of a learner's history; a course beyond the catalog is left out.
    pub fn push(&mut self, learner: u32, taken: Taken) {
        let learner = learner as usize;
        if (taken.course as usize) < self.courses {
            if self.of.len() <= learner {
                self.of.resize(learner + 1, Vec::new());
            }
            self.of[learner].push(taken);
        }
    }

    /// One learner's history, oldest first; empty if nothing is known.
    pub fn of(&self, learner: u32) -> &[Taken] {
        self.of.get(learner as usize).map_or(&[], Vec::as_slice)
    }

    /// Every learner's history.
    pub fn iter(&self) -> impl Iterator<Item = &[Taken]> {
        self.of.iter().map(Vec::as_slice)
    }

    /// How many courses the catalog has.
    pub fn courses(&self) -> usize {
        self.courses
    }

    /// How many learners took up each course.
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.courses];
        for taken in self.iter().flatten() {
            counts[taken.course as usize] += 1;
        }
        counts
    }

    /// The time of the last event.
    pub fn end(&self) -> i64 {
        self.iter().flatten().map(|taken| taken.at).max().unwrap_or(0)
    }
}

/// Whom a list is made for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learner<'a> {
    /// What they took up, oldest first.
    pub history: &'a [Taken],
    /// Numbers of the labels they are interested in.
    pub interests: &'a [u32],
    /// The time of the list, in seconds since 1970.
    pub now: i64,
}

/// Whatever gives every course a score for one learner.
pub trait Scorer {
    /// Writes a score for every course; only their order and distances mean something.
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]);

    /// Writes what the history alone says: the score without popularity, for courses that cannot be popular yet.
    fn lean(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        self.score(learner, scores);
    }

    /// Learns that this learner took up a course now. What is only trained learns nothing between trainings.
    fn learn(&mut self, _learner: &Learner<'_>, _course: u32) {}

    /// Makes a list of at most `limit` courses out of their scores.
    fn choose(&self, scores: &[f32], limit: usize, allowed: &mut dyn FnMut(u32) -> bool) -> Vec<u32> {
        best(scores, limit, allowed)
    }
}

/// Positions of the `limit` highest scores among those `allowed`, best first; equals go by position.
///
/// One pass with the list itself as the threshold: of 8,000 courses about a hundred are ever inserted, and only those are
/// asked for.
pub fn best(scores: &[f32], limit: usize, mut allowed: impl FnMut(u32) -> bool) -> Vec<u32> {
    let mut found: Vec<(u32, f32)> = Vec::with_capacity(limit + 1);
    for (course, &score) in (0_u32..).zip(scores) {
        let full = found.len() >= limit;
        if full && found.last().is_none_or(|(_, lowest)| score <= *lowest) || !allowed(course) {
            continue;
        }
        let place = found.partition_point(|(_, known)| *known >= score);
        found.insert(place, (course, score));
        found.truncate(limit);
    }
    found.into_iter().map(|(course, _)| course).collect()
}

/// A count as a number to calculate with.
pub(super) fn real(count: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24")]
    let real = count as f32;
    real
}

/// The newest `limit` of a history, newest first, each with its weight e^(−rank/τ).
fn fading(history: &[Taken], tau: f32, limit: usize) -> impl Iterator<Item = (Taken, f32)> {
    let step = (-1.0 / tau.max(0.05)).exp();
    history
        .iter()
        .rev()
        .take(limit)
        .scan(1.0_f32, move |weight, taken| {
            let own = *weight;
            *weight *= step;
            Some((*taken, own))
        })
}

/// The product of two vectors: eight partial sums, because the compiler may not reorder one.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f32 = ones
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (ones, others) in ones.zip(others) {
        for ((sum, a), b) in sums.iter_mut().zip(ones).zip(others) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// How far the entries of a vector spread.
fn deviation(vector: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for entries in vector.chunks(8) {
        for (sum, entry) in sums.iter_mut().zip(entries) {
            *sum += entry;
        }
    }
    let count = real(vector.len().max(1));
    let mean = sums.iter().sum::<f32>() / count;
    (dot(vector, vector) / count - mean * mean).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_in_order_and_equals_go_by_position() {
        let scores = [1.0, 3.0, 2.0, 3.0, -1.0];

        assert_eq!(best(&scores, 3, |_| true), [1, 3, 2]);
        assert_eq!(best(&scores, 9, |course| course != 1), [3, 2, 0, 4]);
        assert!(best(&scores, 0, |_| true).is_empty());
    }

    #[test]
    fn the_deviation_is_that_of_the_whole_vector() {
        let vector: Vec<f32> = (0..19_u8).map(f32::from).collect();

        assert!((deviation(&vector) - 30.0_f32.sqrt()).abs() < 1e-4);
        assert!(deviation(&[2.0; 9]).abs() < 1e-6);
        assert!(deviation(&[]).abs() < 1e-6);
    }

    #[test]
    fn histories_keep_to_the_catalog() {
        let mut histories = Histories::new(2);

        histories.push(3, Taken { course: 1, at: 7 });
        histories.push(3, Taken { course: 2, at: 8 });

        assert_eq!(histories.of(3), [Taken { course: 1, at: 7 }]);
        assert!(histories.of(9).is_empty());
        assert_eq!((histories.counts(), histories.end()), (vec![0, 1], 7));
    }
}
