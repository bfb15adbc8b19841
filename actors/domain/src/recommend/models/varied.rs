//! Lists whose courses are not all alike: maximal marginal relevance around another model.
//!
//! One after another, the course with the highest `μ·s − (1 − μ)·max sim` is taken, with sim its likeness to each of those
//! that are chosen already (J. Carbonell, J. Goldstein, SIGIR 1998). Scores are measured from the lowest of the pool, since a model's zero means
//! nothing.

use super::super::model::Neighbours;
use super::{Learner, Scorer, best};

/// Candidates for each place of the list.
const POOL_PER_PLACE: usize = 3;

/// A model whose lists are diversified.
#[derive(Clone, Debug)]
pub struct Varied<M> {
    model: M,
    similar: Neighbours,
    relevance: f32,
}

impl<M: Scorer> Varied<M> {
    /// Diversifies a model's lists; `relevance` is μ, 1 leaves them as they are.
    pub fn new(model: M, similar: Neighbours, relevance: f32) -> Self {
        Varied {
            model,
            similar,
            relevance,
        }
    }
}

impl<M: Scorer> Scorer for Varied<M> {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        self.model.score(learner, scores);
    }

    fn lean(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        self.model.lean(learner, scores);
    }

    fn learn(&mut self, learner: &Learner<'_>, course: u32) {
        self.model.learn(learner, course);
    }

    fn choose(&self, scores: &[f32], limit: usize, allowed: &mut dyn FnMut(u32) -> bool) -> Vec<u32> {
        let mut pool = best(scores, limit * POOL_PER_PLACE, allowed);
        let (Some(first), Some(last)) = (pool.first(), pool.last()) else {
            return pool;
        };
        let (highest, lowest) = (scores[*first as usize], scores[*last as usize]);
        let scale = self.relevance / (highest - lowest).max(f32::MIN_POSITIVE);
        let mut overlap = vec![0.0_f32; scores.len()];
        let mut chosen = Vec::with_capacity(limit);
        while chosen.len() < limit && !pool.is_empty() {
            let mut best = (0, f32::NEG_INFINITY);
            for (place, &course) in pool.iter().enumerate() {
                let relevance = scale * (scores[course as usize] - lowest);
                let value = relevance - (1.0 - self.relevance) * overlap[course as usize];
                if value > best.1 {
                    best = (place, value);
                }
            }
            let course = pool.remove(best.0);
            for &(other, similarity) in self.similar.of(course) {
                let overlap = &mut overlap[other as usize];
                *overlap = overlap.max(similarity);
            }
            chosen.push(course);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Scorer for Fixed {
        fn score(&mut self, _: &Learner<'_>, _: &mut [f32]) {}
    }

    fn table() -> Neighbours {
        let mut similar = Neighbours::default();
        similar.push_row(&[(1, 1.0)]);
        similar.push_row(&[(0, 1.0)]);
        similar.push_row(&[]);
        similar
    }

    #[test]
    fn the_twin_of_a_chosen_course_gives_way_to_something_else() {
        let varied = Varied::new(Fixed, table(), 0.5);

        let list = varied.choose(&[3.0, 2.9, 2.0], 3, &mut |_| true);

        assert_eq!(list, [0, 2, 1]);
    }

    #[test]
    fn relevance_alone_leaves_the_order() {
        let varied = Varied::new(Fixed, table(), 1.0);

        assert_eq!(varied.choose(&[3.0, 2.9, 2.0], 2, &mut |_| true), [0, 1]);
        assert_eq!(varied.choose(&[3.0, 2.9, 2.0], 2, &mut |course| course == 2), [2]);
        assert!(varied.choose(&[3.0, 2.9, 2.0], 2, &mut |_| false).is_empty());
    }
}
