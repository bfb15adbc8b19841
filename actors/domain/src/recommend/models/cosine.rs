//! Item-to-item neighbourhoods: the cosine of the learners that two courses share.
//!
//! ```text
//! sim(i, j) = |U_i ∩ U_j| / (√(|U_i| · |U_j|) + β)
//! ```
//!
//! of which the most similar courses of each are kept (B. Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001;
//! M. Deshpande, G. Karypis, "Item-based Top-N Recommendation Algorithms", TOIS 2004).

use std::collections::BTreeMap;

use super::super::model::Neighbours;
use super::{Histories, Learner, Scorer, real};

/// What shapes the neighbourhoods.
#[derive(Clone, Debug)]
pub struct CosineSettings {
    /// Neighbours kept for each course.
    pub neighbours_max: usize,
    /// β: how many shared learners it takes to be believed.
    pub shrinkage: f32,
    /// The newest courses of a learner that count: pairs grow with the square.
    pub history_max: usize,
}

impl Default for CosineSettings {
    fn default() -> Self {
        CosineSettings {
            neighbours_max: 200,
            shrinkage: 20.0,
            history_max: 200,
        }
    }
}

/// The neighbours of every course.
#[derive(Clone, Debug)]
pub struct Cosine {
    table: Neighbours,
}

impl Cosine {
    /// Compares the courses of these histories.
    pub fn train(histories: &Histories, settings: &CosineSettings) -> Self {
        let counts = histories.counts();
        let mut shared: Vec<BTreeMap<u32, u32>> = vec![BTreeMap::new(); histories.courses()];
        for history in histories.iter() {
            let newest = &history[history.len().saturating_sub(settings.history_max)..];
            for one in newest {
                for other in newest.iter().filter(|other| other.course != one.course) {
                    *shared[one.course as usize].entry(other.course).or_default() += 1;
                }
            }
        }
        let mut table = Neighbours::with_capacity(histories.courses(), settings.neighbours_max);
        for (course, shared) in shared.iter().enumerate() {
            let own = counts[course];
            let mut row: Vec<(u32, f32)> = shared
                .iter()
                .map(|(other, both)| {
                    let norm = (real(own as usize) * real(counts[*other as usize] as usize)).sqrt();
                    (*other, real(*both as usize) / (norm + settings.shrinkage))
                })
                .collect();
            row.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            row.truncate(settings.neighbours_max);
            table.push_row(&row);
        }
        Cosine { table }
    }
}

impl Scorer for Cosine {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        for taken in learner.history {
            for &(course, similarity) in self.table.of(taken.course) {
                scores[course as usize] += similarity;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Taken;
    use super::*;

    #[test]
    fn similarity_is_the_cosine_of_the_learners_two_courses_share() {
        let mut histories = Histories::new(3);
        for (learner, course) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 1), (3, 2)] {
            histories.push(learner, Taken { course, at: 0 });
        }

        let settings = CosineSettings {
            shrinkage: 0.0,
            ..CosineSettings::default()
        };

        let mut cosine = Cosine::train(&histories, &settings);
        let mut scores = [0.0; 3];
        let history = [Taken { course: 1, at: 0 }];
        cosine.score(
            &Learner {
                history: &history,
                ..Learner::default()
            },
            &mut scores,
        );

        assert!((scores[0] - 2.0 / 3.0).abs() < 1e-6, "2 shared of 3 and 3");
        assert!(
            (scores[2] - 1.0 / 3.0_f32.sqrt()).abs() < 1e-6,
            "1 shared of 1 and 3"
        );
    }
}
