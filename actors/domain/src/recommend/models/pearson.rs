//! User-to-user neighbourhoods by Pearson's correlation.
//!
//! ```text
//! r(u, v)   = (c − n_u·n_v/m) / √(n_u(1 − n_u/m) · n_v(1 − n_v/m))
//! sim(u, v) = r(u, v) · c / (c + β)
//! s_i       = Σ sim(u, v) over the most similar learners v who took up i
//! ```
//!
//! is Pearson's correlation of two rows of zeros and ones over a catalog of m courses, of which two learners took up `n_u` and
//! `n_v`, c of them both (P. Resnick et al., CSCW 1994). Few shared courses say little, hence the factor (significance
//! weighting, J. Herlocker et al., SIGIR 1999).

use super::{Histories, Learner, Scorer, real};

/// What shapes the neighbourhoods.
#[derive(Clone, Debug)]
pub struct PearsonSettings {
    /// The most similar learners that are asked.
    pub neighbours_max: usize,
    /// β: how many shared courses it takes to be believed.
    pub significance: f32,
}

impl Default for PearsonSettings {
    fn default() -> Self {
        PearsonSettings {
            neighbours_max: 500,
            significance: 1.0,
        }
    }
}

/// Everybody's histories, by learner and by course.
#[derive(Clone, Debug)]
pub struct Pearson {
    histories: Histories,
    takers: Vec<Vec<u32>>,
    shared: Vec<u32>,
    settings: PearsonSettings,
}

impl Pearson {
    /// Remembers these histories.
    pub fn train(histories: &Histories, settings: &PearsonSettings) -> Self {
        let mut takers: Vec<Vec<u32>> = vec![Vec::new(); histories.courses()];
        let mut learners = 0;
        for (learner, history) in (0_u32..).zip(histories.iter()) {
            for taken in history {
                takers[taken.course as usize].push(learner);
            }
            learners += 1;
        }
        Pearson {
            histories: histories.clone(),
            takers,
            shared: vec![0; learners],
            settings: settings.clone(),
        }
    }
}

impl Scorer for Pearson {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        let mut met: Vec<u32> = Vec::new();
        for taken in learner.history {
            for &other in &self.takers[taken.course as usize] {
                let shared = &mut self.shared[other as usize];
                if *shared == 0 {
                    met.push(other);
                }
                *shared += 1;
            }
        }
        let all = real(self.takers.len());
        let own = real(learner.history.len());
        let mut similar: Vec<(u32, f32)> = Vec::with_capacity(met.len());
        for other in met {
            let shared = real(std::mem::take(&mut self.shared[other as usize]) as usize);
            let theirs = real(self.histories.of(other).len());
            let variance = own * (1.0 - own / all) * theirs * (1.0 - theirs / all);
            let correlation = (shared - own * theirs / all) / variance.max(f32::MIN_POSITIVE).sqrt();
            similar.push((
                other,
                correlation * shared / (shared + self.settings.significance),
            ));
        }
        // The learner's own row tells nothing new: whatever is in it is not recommended.
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if similar.len() > self.settings.neighbours_max {
            similar.select_nth_unstable_by(self.settings.neighbours_max, order);
            similar.truncate(self.settings.neighbours_max);
        }
        similar.sort_unstable_by(order);
        for (other, similarity) in similar.into_iter().filter(|(_, similarity)| *similarity > 0.0) {
            for taken in self.histories.of(other) {
                scores[taken.course as usize] += similarity;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Taken;
    use super::*;

    /// Pearson's correlation of two rows, as the books write it.
    fn correlation(one: &[f32], other: &[f32]) -> f32 {
        let count = real(one.len());
        let (mean, other_mean) = (one.iter().sum::<f32>() / count, other.iter().sum::<f32>() / count);
        let product = |a: &[f32], am: f32, b: &[f32], bm: f32| -> f32 {
            a.iter().zip(b).map(|(a, b)| (a - am) * (b - bm)).sum()
        };
        product(one, mean, other, other_mean)
            / (product(one, mean, one, mean) * product(other, other_mean, other, other_mean)).sqrt()
    }

    #[test]
    fn the_score_is_the_textbook_correlation_with_those_who_took_the_course_up() {
        let mut histories = Histories::new(6);
        for course in [0, 1, 2] {
            histories.push(0, Taken { course, at: 0 });
        }
        let settings = PearsonSettings {
            significance: 0.0,
            ..PearsonSettings::default()
        };
        let history = [Taken { course: 0, at: 0 }, Taken { course: 1, at: 0 }];
        let mut scores = [0.0; 6];

        Pearson::train(&histories, &settings).score(
            &Learner {
                history: &history,
                ..Learner::default()
            },
            &mut scores,
        );

        let expected = correlation(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert!((scores[2] - expected).abs() < 1e-6);
        assert!(scores[5].abs() < 1e-6);
    }

    #[test]
    fn one_list_leaves_nothing_behind_for_the_next() {
        let mut histories = Histories::new(4);
        for (learner, course) in [(0, 0), (0, 1), (1, 2), (1, 3)] {
            histories.push(learner, Taken { course, at: 0 });
        }
        let mut pearson = Pearson::train(&histories, &PearsonSettings::default());
        let history = [Taken { course: 0, at: 0 }];
        let learner = Learner {
            history: &history,
            ..Learner::default()
        };
        let (mut first, mut second) = ([0.0; 4], [0.0; 4]);

        pearson.score(&learner, &mut first);
        pearson.score(&learner, &mut second);

        assert_eq!(first, second);
    }
}
