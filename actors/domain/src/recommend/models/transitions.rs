//! Which course learners take up after which, learned from every event at once.
//!
//! Taking up i after j, with `gap` others in between, adds 0.81^gap · 2^((t−t0)/half-life) to D[j→i]: weights grow with
//! time instead of the old ones fading, so that nothing has to be touched when nothing happens. Direction is kept.
//!
//! ```text
//! s_i = Σ_j e^(−rank_j / τ) · D[j→i] / (√(n_j · n_i) + β)
//! ```
//!
//! with n the sums of the row and of the column, and β the shrinkage that keeps a pair seen once from looking certain (the cosine of item-to-item filtering, Sarwar et al., WWW 2001, on a directed and
//! decayed matrix). First-order transitions are those of Rendle, Freudenthaler and Schmidt-Thieme, WWW 2010,
//! without the factorisation.

use super::super::model::Neighbours;
use super::super::trained::keep_strongest;
use super::{Histories, Learner, Scorer, Taken, fading};

/// What shapes the steps.
#[derive(Clone, Debug)]
pub struct TransitionSettings {
    /// What is left of a step for every course in between.
    pub gap_decay: f32,
    /// After how long a step counts half, in seconds.
    pub half_life_seconds: f32,
    /// β: how many steps it takes to be believed.
    pub shrinkage: f32,
    /// How many courses back a step may begin.
    pub reach: usize,
    /// How fast older history fades: the n-th newest course counts e^(−n/τ).
    pub recency_tau: f32,
}

impl Default for TransitionSettings {
    fn default() -> Self {
        TransitionSettings {
            gap_decay: 0.81,
            half_life_seconds: 120.0 * 86_400.0,
            shrinkage: 100.0,
            reach: 20,
            recency_tau: 6.0,
        }
    }
}

/// Steps between courses, by the course they begin at.
#[derive(Clone, Debug)]
pub struct Transitions {
    rows: Vec<Vec<(u32, f64)>>,
    out: Vec<f64>,
    into: Vec<f64>,
    origin: i64,
    settings: TransitionSettings,
}

impl Transitions {
    /// Learns the steps of these histories.
    pub fn train(histories: &Histories, settings: &TransitionSettings) -> Self {
        let courses = histories.courses();
        let mut transitions = Transitions {
            rows: vec![Vec::new(); courses],
            out: vec![0.0; courses],
            into: vec![0.0; courses],
            origin: histories.end(),
            settings: settings.clone(),
        };
        for history in histories.iter() {
            for (place, taken) in history.iter().enumerate() {
                transitions.step(&history[..place], *taken);
            }
        }
        transitions
    }

    /// The shares of steps that lead from each course to others, as of the newest of the histories it was trained with: the
    /// `row_max` largest of each row.
    pub fn table(&self, row_max: usize) -> Neighbours {
        let shrinkage = f64::from(self.settings.shrinkage);
        let mut table = Neighbours::with_capacity(self.rows.len(), 0);
        for (from, row) in self.rows.iter().enumerate() {
            let mut shares: Vec<(u32, f32)> = row
                .iter()
                .map(|&(course, steps)| (course, self.share(from, course, steps, shrinkage)))
                .filter(|(course, _)| *course as usize != from)
                .collect();
            keep_strongest(&mut shares, row_max);
            table.push_row(&shares);
        }
        table
    }

    fn share(&self, from: usize, course: u32, steps: f64, shrinkage: f64) -> f32 {
        let share = steps / ((self.out[from] * self.into[course as usize]).sqrt() + shrinkage);
        #[expect(clippy::cast_possible_truncation, reason = "a share from 0 to 1")]
        let share = share as f32;
        share
    }

    fn step(&mut self, before: &[Taken], taken: Taken) {
        let mut weight = self.worth(taken.at);
        for earlier in before.iter().rev().take(self.settings.reach) {
            let row = &mut self.rows[earlier.course as usize];
            match row.binary_search_by_key(&taken.course, |(course, _)| *course) {
                Ok(place) => row[place].1 += weight,
                Err(place) => row.insert(place, (taken.course, weight)),
            }
            self.out[earlier.course as usize] += weight;
            self.into[taken.course as usize] += weight;
            weight *= f64::from(self.settings.gap_decay);
        }
    }

    /// What one step at this time is worth beside one at the origin.
    fn worth(&self, at: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an age needs few digits")]
        let age = (at - self.origin) as f64;
        (age / f64::from(self.settings.half_life_seconds)).exp2()
    }
}

impl Scorer for Transitions {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        let shrinkage = f64::from(self.settings.shrinkage) * self.worth(learner.now);
        for (taken, weight) in fading(learner.history, self.settings.recency_tau, self.settings.reach) {
            let from = taken.course as usize;
            for &(course, steps) in &self.rows[from] {
                scores[course as usize] += weight * self.share(from, course, steps, shrinkage);
            }
        }
    }

    fn learn(&mut self, learner: &Learner<'_>, course: u32) {
        let at = learner.now;
        self.step(learner.history, Taken { course, at });
    }
}

#[cfg(test)]
mod tests {
    use super::super::best;
    use super::*;

    const DAY: i64 = 86_400;

    fn histories(all: &[&[(u32, i64)]]) -> Histories {
        let mut histories = Histories::new(5);
        for (learner, history) in (0_u32..).zip(all) {
            for &(course, at) in *history {
                histories.push(learner, Taken { course, at });
            }
        }
        histories
    }

    fn first(transitions: &mut Transitions, history: &[(u32, i64)], now: i64) -> u32 {
        let history: Vec<Taken> = history.iter().map(|&(course, at)| Taken { course, at }).collect();
        let mut scores = vec![0.0; 5];
        let learner = Learner {
            history: &history,
            interests: &[],
            now,
        };
        transitions.score(&learner, &mut scores);
        best(&scores, 1, |_| true)[0]
    }

    #[test]
    fn a_step_leads_forward_and_not_back() {
        let known = histories(&[&[(0, 0), (1, 1)], &[(1, 0), (2, 1)]]);

        let mut transitions = Transitions::train(&known, &TransitionSettings::default());

        assert_eq!(first(&mut transitions, &[(1, 0)], 2), 2);
    }

    #[test]
    fn what_is_learned_counts_in_the_next_list() {
        let known = histories(&[&[(0, 0), (1, 1)]]);
        let mut transitions = Transitions::train(&known, &TransitionSettings::default());
        let history = [Taken { course: 0, at: 5 }];
        let learner = Learner {
            history: &history,
            interests: &[],
            now: 9,
        };

        transitions.learn(&learner, 3);
        transitions.learn(&learner, 3);

        assert_eq!(first(&mut transitions, &[(0, 0)], 10), 3);
    }

    #[test]
    fn a_step_of_long_ago_gives_way_to_a_new_one() {
        let known = histories(&[&[(0, 0), (1, 0)], &[(0, 0), (1, 0)], &[(0, 0), (2, 500 * DAY)]]);

        let mut transitions = Transitions::train(&known, &TransitionSettings::default());

        assert_eq!(first(&mut transitions, &[(0, 0)], 500 * DAY), 2);
    }

    #[test]
    fn a_step_over_other_courses_counts_less() {
        let known = histories(&[&[(0, 0), (1, 1), (2, 2), (3, 3)]]);
        let mut transitions = Transitions::train(&known, &TransitionSettings::default());

        assert_eq!(first(&mut transitions, &[(0, 0)], 4), 1);
    }
}
