//! Courses about the same as those of the history: content alone.
//!
//! ```text
//! s_i = Σ_j e^(−rank_j / τ) · sim(j, i)
//! ```
//!
//! with sim the cosine of TF-IDF vectors (G. Salton, C. Buckley, "Term-weighting approaches in automatic text
//! retrieval", 1988; [`Features`](super::super::Features) says of what).

use super::super::model::Neighbours;
use super::{Learner, Scorer, fading};

/// The newest courses of a history that are looked at.
const HISTORY_MAX: usize = 50;

/// A table of likeness, read as a model.
#[derive(Clone, Debug)]
pub struct Alike {
    similar: Neighbours,
    recency_tau: f32,
}

impl Alike {
    /// Reads a table as a model; the n-th newest course counts e^(−n/τ).
    pub fn new(similar: Neighbours, recency_tau: f32) -> Self {
        Alike { similar, recency_tau }
    }

    /// The same table, read with another recency.
    #[must_use]
    pub fn fading(&self, recency_tau: f32) -> Self {
        Alike {
            recency_tau,
            ..self.clone()
        }
    }
}

impl Scorer for Alike {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        for (taken, weight) in fading(learner.history, self.recency_tau, HISTORY_MAX) {
            for &(course, similarity) in self.similar.of(taken.course) {
                scores[course as usize] += weight * similarity;
            }
        }
    }
}
