//! Matrix factorisation P·Iᵀ: learners and courses as short vectors whose product is the score.
//!
//! ```text
//! minimise Σ_ui c_ui (x_ui − p_u·q_i)² + λ Σ_u (n_u + α·m)^ν |p_u|² + λ Σ_i (n_i + α·n)^ν |q_i|²
//! c_ui = 1 + α where u took i up, else α
//! ```
//!
//! Implicit alternating least squares over n learners and m courses (Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008;
//! regularisation that grows with frequency: S. Rendle et al., "Revisiting the Performance of iALS", RecSys 2022).
//! Each vector is improved by a few steps of conjugate gradients (G. Takács, I. Pilászy, D. Tikk, RecSys 2011), so a round
//! costs (learners + courses) · rank² instead of rank³. A learner who is not part of the training, or has gone on since, is
//! solved for when a list is made.

use super::{Histories, Learner, Scorer, Taken, dot, real};

/// What shapes the factors.
#[derive(Clone, Debug)]
pub struct FactorSettings {
    /// Numbers in one vector.
    pub rank: usize,
    /// Rounds over learners and courses.
    pub rounds: usize,
    /// α: the weight of what was not taken up.
    pub unobserved: f32,
    /// λ: how much evidence a vector needs.
    pub regularization: f32,
    /// ν: how much more those with much evidence are held back.
    pub frequency_exponent: f32,
    /// Steps of conjugate gradients for each vector and round.
    pub steps: usize,
    /// What the first vectors are drawn with.
    pub seed: u64,
}

impl Default for FactorSettings {
    fn default() -> Self {
        FactorSettings {
            rank: 64,
            rounds: 12,
            unobserved: 0.02,
            regularization: 0.01,
            frequency_exponent: 1.0,
            steps: 3,
            seed: 7,
        }
    }
}

/// The vectors of the courses and what solving for a learner needs.
#[derive(Clone, Debug)]
pub struct Factors {
    courses: Vec<f32>,
    gram: Vec<f32>,
    settings: FactorSettings,
}

impl Factors {
    /// Factorises these histories.
    pub fn train(histories: &Histories, settings: &FactorSettings) -> Self {
        let rank = settings.rank;
        let mut random = settings.seed;
        let by_learner: Vec<Vec<u32>> = histories
            .iter()
            .map(|history| history.iter().map(|taken| taken.course).collect())
            .collect();
        let mut by_course: Vec<Vec<u32>> = vec![Vec::new(); histories.courses()];
        for (learner, courses) in (0_u32..).zip(&by_learner) {
            for course in courses {
                by_course[*course as usize].push(learner);
            }
        }
        let scale = 0.1 / real(rank).sqrt();
        let mut courses: Vec<f32> = (0..by_course.len() * rank)
            .map(|_| scale * centred(&mut random))
            .collect();
        let mut learners = vec![0.0; by_learner.len() * rank];
        for _ in 0..settings.rounds {
            improve(&mut learners, &by_learner, &courses, settings);
            improve(&mut courses, &by_course, &learners, settings);
        }
        let gram = gram(&courses, rank);
        Factors {
            courses,
            gram,
            settings: settings.clone(),
        }
    }

    fn learner(&self, history: &[Taken]) -> Vec<f32> {
        let taken: Vec<u32> = history.iter().map(|taken| taken.course).collect();
        let mut vector = vec![0.0; self.settings.rank];
        // From zero it takes more steps than from the last round's vector.
        let steps = self.settings.steps * 4;
        let others = self.courses.len() / self.settings.rank;
        solve(
            &mut vector,
            &taken,
            &self.courses,
            others,
            &self.gram,
            steps,
            &self.settings,
        );
        vector
    }
}

impl Scorer for Factors {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        let vector = self.learner(learner.history);
        for (score, course) in scores
            .iter_mut()
            .zip(self.courses.chunks_exact(self.settings.rank))
        {
            *score = dot(&vector, course);
        }
    }
}

/// One half of a round: every vector of one side against the fixed other side.
fn improve(vectors: &mut [f32], taken: &[Vec<u32>], others: &[f32], settings: &FactorSettings) {
    let gram = gram(others, settings.rank);
    let count = others.len() / settings.rank;
    for (vector, taken) in vectors.chunks_exact_mut(settings.rank).zip(taken) {
        solve(vector, taken, others, count, &gram, settings.steps, settings);
    }
}

/// Conjugate gradients on (α·QᵀQ + Σ q·qᵀ + λ'I) p = Σ (1 + α)·q, beginning at the vector.
fn solve(
    vector: &mut [f32],
    taken: &[u32],
    others: &[f32],
    count: usize,
    gram: &[f32],
    steps: usize,
    settings: &FactorSettings,
) {
    let rank = settings.rank;
    let of = |number: u32| &others[number as usize * rank..(number as usize + 1) * rank];
    let evidence = real(taken.len()) + settings.unobserved * real(count);
    let hold = settings.regularization * evidence.powf(settings.frequency_exponent);
    let apply = |direction: &[f32], out: &mut [f32]| {
        for (out, direction) in out.iter_mut().zip(direction) {
            *out = hold * direction;
        }
        for (row, direction) in gram.chunks_exact(rank).zip(direction) {
            add(out, row, settings.unobserved * direction);
        }
        for &number in taken {
            let other = of(number);
            add(out, other, dot(other, direction));
        }
    };
    let mut product = vec![0.0; rank];
    apply(vector, &mut product);
    let mut rest: Vec<f32> = product.iter().map(|product| -product).collect();
    for &number in taken {
        add(&mut rest, of(number), 1.0 + settings.unobserved);
    }
    let mut direction = rest.clone();
    let mut length = dot(&rest, &rest);
    for _ in 0..steps {
        if length < 1e-12 {
            break;
        }
        apply(&direction, &mut product);
        let step = length / dot(&direction, &product);
        add(vector, &direction, step);
        add(&mut rest, &product, -step);
        let left = dot(&rest, &rest);
        for (direction, rest) in direction.iter_mut().zip(&rest) {
            *direction = rest + left / length * *direction;
        }
        length = left;
    }
}

/// `QᵀQ`, rank by rank.
fn gram(vectors: &[f32], rank: usize) -> Vec<f32> {
    let mut gram = vec![0.0; rank * rank];
    for vector in vectors.chunks_exact(rank) {
        for (row, factor) in gram.chunks_exact_mut(rank).zip(vector) {
            add(row, vector, *factor);
        }
    }
    gram
}

fn add(sum: &mut [f32], vector: &[f32], factor: f32) {
    for (sum, entry) in sum.iter_mut().zip(vector) {
        *sum += factor * entry;
    }
}

/// A number from −1 to 1 (`SplitMix64`, Steele et al., OOPSLA 2014).
fn centred(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
    let unit = (mixed >> 40) as f32 / (1_u32 << 24) as f32;
    2.0 * unit - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of learners with courses of their own.
    fn histories() -> Histories {
        let mut histories = Histories::new(8);
        for learner in 0..20_u32 {
            for course in 0..3_u32 {
                let course = (learner % 2) * 4 + (learner / 2 + course) % 4;
                histories.push(learner, Taken { course, at: 0 });
            }
        }
        histories
    }

    fn scores(factors: &mut Factors, course: u32) -> [f32; 8] {
        let mut scores = [0.0; 8];
        let history = [Taken { course, at: 0 }];
        factors.score(
            &Learner {
                history: &history,
                ..Learner::default()
            },
            &mut scores,
        );
        scores
    }

    #[test]
    fn courses_of_the_own_group_score_higher_than_those_of_the_other() {
        let settings = FactorSettings {
            rank: 8,
            ..FactorSettings::default()
        };

        let scores = scores(&mut Factors::train(&histories(), &settings), 0);

        let lowest = scores[1..4].iter().copied().fold(f32::INFINITY, f32::min);
        let highest = scores[4..].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert!(lowest > highest, "{scores:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_factors() {
        let settings = FactorSettings::default();
        let other = FactorSettings {
            seed: 8,
            ..FactorSettings::default()
        };

        let one = Factors::train(&histories(), &settings).courses;

        assert_eq!(one, Factors::train(&histories(), &settings).courses);
        assert_ne!(one, Factors::train(&histories(), &other).courses);
    }

    #[test]
    fn conjugate_gradients_solve_the_normal_equations() {
        let others = [1.0, 0.5, -0.5, 1.0, 0.25, 0.75];
        let settings = FactorSettings {
            rank: 2,
            ..FactorSettings::default()
        };
        let gram = gram(&others, 2);
        let mut vector = [0.0; 2];

        solve(&mut vector, &[0, 2], &others, 3, &gram, 2, &settings);

        let hold = settings.regularization * (2.0 + 3.0 * settings.unobserved);
        for row in 0..2 {
            let mut left = hold * vector[row];
            let mut right = 0.0;
            for column in 0..2 {
                left += settings.unobserved * gram[row * 2 + column] * vector[column];
            }
            for number in [0, 2] {
                let other = &others[number * 2..number * 2 + 2];
                left += other[row] * dot(other, &vector);
                right += (1.0 + settings.unobserved) * other[row];
            }
            assert!((left - right).abs() < 1e-4, "{left} {right}");
        }
    }
}
