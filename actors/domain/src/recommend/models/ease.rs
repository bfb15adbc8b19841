//! EASE^R with side information: a linear item-to-item model in closed form.
//!
//! ```text
//! G = XᵀWX + μ·TTᵀ + λI    w_u = n_u^−γ
//! P = G⁻¹                  B_ij = −P_ij / P_jj, B_jj = 0
//! ```
//!
//! X is learners by courses, T courses by terms of what they are about (H. Steck, "Embarrassingly Shallow Autoencoders for
//! Sparse Data", WWW 2019; side information as further rows of X as in O. Jeunen, J. Van Balen, B. Goethals, "Closed-Form
//! Models for Collaborative Filtering with Side-Information", RecSys 2020).
//!
//! Only pairs that occur are added to G, so building it costs the sum of the squared lengths of the histories rather than
//! learners × courses²; the inverse is what takes the time.

use super::super::content::Vectors;
use super::super::model::Neighbours;
use super::inverse::Symmetric;
use super::{Histories, Learner, Scorer, fading, real};

/// The newest courses of a history that a list is made from.
const READ_MAX: usize = 100;

/// What shapes the model.
#[derive(Clone, Debug)]
pub struct EaseSettings {
    /// λ: how much evidence an influence of one course on another needs.
    pub regularization: f32,
    /// μ: the weight of what courses are about against what learners did.
    pub side: f32,
    /// γ: how much less a learner of many courses says about each pair.
    pub length_exponent: f32,
    /// After how long an event says half as much, in seconds; older than ten of these says next to nothing.
    pub half_life_seconds: f32,
    /// The newest courses of a learner that count: pairs grow with the square.
    pub history_max: usize,
    /// Influences kept on each course.
    pub column_max: usize,
    /// Smaller catalogs keep every influence.
    pub dense_below: usize,
    /// How fast older history fades: the n-th newest course counts e^(−n/τ).
    pub recency_tau: f32,
}

impl Default for EaseSettings {
    fn default() -> Self {
        EaseSettings {
            regularization: 200.0,
            side: 5.0,
            length_exponent: 0.0,
            half_life_seconds: f32::INFINITY,
            history_max: 300,
            column_max: 200,
            dense_below: 5_000,
            recency_tau: 4.0,
        }
    }
}

/// Where every course leads, as the trained table of influences.
#[derive(Clone, Debug)]
pub struct Ease {
    table: Neighbours,
    recency_tau: f32,
}

impl Ease {
    /// Trains the model; none if the matrix cannot be inverted, which λ > 0 prevents.
    pub(in super::super) fn train(
        histories: &Histories,
        about: &Vectors,
        settings: &EaseSettings,
    ) -> Option<Self> {
        let inverse = gram(histories, about, settings).inverted()?;
        let table = influences(&inverse, histories.courses(), settings);
        Some(Ease {
            table,
            recency_tau: settings.recency_tau,
        })
    }

    /// The table of influences, by studied course.
    pub fn table(&self) -> &Neighbours {
        &self.table
    }

    /// The same table, read with another recency.
    #[must_use]
    pub fn fading(&self, recency_tau: f32) -> Self {
        Ease {
            recency_tau,
            ..self.clone()
        }
    }
}

impl Scorer for Ease {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        for (taken, weight) in fading(learner.history, self.recency_tau, READ_MAX) {
            for &(course, influence) in self.table.of(taken.course) {
                scores[course as usize] += weight * influence;
            }
        }
    }
}

fn gram(histories: &Histories, about: &Vectors, settings: &EaseSettings) -> Symmetric {
    let mut gram = Symmetric::zeros(histories.courses());
    let end = histories.end();
    for history in histories.iter() {
        let newest = &history[history.len().saturating_sub(settings.history_max)..];
        let weight = real(newest.len()).powf(-settings.length_exponent);
        for (place, one) in newest.iter().enumerate() {
            for other in &newest[..=place] {
                // The later of the two dates the pair.
                #[expect(clippy::cast_precision_loss, reason = "an age needs few digits")]
                let age = (end - one.at) as f32;
                let fresh = (-age / settings.half_life_seconds).exp2();
                gram.add(one.course, other.course, weight * fresh);
            }
        }
    }
    if settings.side > 0.0 {
        let mut sums = vec![0.0; histories.courses()];
        for course in 0..histories.courses() {
            about.products(course, &mut sums);
            for (other, sum) in (0_u32..).zip(&mut sums[..=course]) {
                if *sum != 0.0 {
                    gram.add(
                        u32::try_from(course).unwrap_or(u32::MAX),
                        other,
                        settings.side * *sum,
                    );
                }
            }
            sums.fill(0.0);
        }
    }
    for (course, _) in (0_u32..).zip(0..histories.courses()) {
        gram.add(course, course, settings.regularization);
    }
    gram
}

/// B by studied course: the strongest influences on each course, turned round.
fn influences(inverse: &Symmetric, courses: usize, settings: &EaseSettings) -> Neighbours {
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); courses];
    let keep = if courses < settings.dense_below {
        courses
    } else {
        settings.column_max
    };
    let mut column: Vec<(u32, f32)> = Vec::with_capacity(courses);
    for (target, place) in (0_u32..).zip(0..courses) {
        column.clear();
        let scale = -1.0 / inverse.of(place, place);
        column.extend((0_u32..target).map(|source| (source, scale * inverse.of(place, source as usize))));
        column.extend(
            (target + 1..)
                .zip(inverse.below(place).iter().skip(1))
                .map(|(source, entry)| (source, scale * entry)),
        );
        if column.len() > keep {
            column.select_nth_unstable_by(keep, |a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
            column.truncate(keep);
        }
        for &(source, influence) in &column {
            rows[source as usize].push((target, influence));
        }
    }
    let mut table = Neighbours::with_capacity(courses, keep);
    for row in &rows {
        table.push_row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::super::content::Features;
    use super::super::super::settings::Settings;
    use super::super::Taken;
    use super::*;
    use crate::ids::CourseId;

    fn catalog(titles: &[&str]) -> Vectors {
        let features: Vec<Features> = titles
            .iter()
            .map(|title| Features {
                title: (*title).to_owned(),
                ..Features::new(CourseId::from_u128(0))
            })
            .collect();
        Vectors::new(&features, &Settings::default().content)
    }

    fn histories(courses: usize, all: &[(u32, u32)]) -> Histories {
        let mut histories = Histories::new(courses);
        for &(learner, course) in all {
            histories.push(learner, Taken { course, at: 0 });
        }
        histories
    }

    fn settings() -> EaseSettings {
        EaseSettings {
            regularization: 1.0,
            ..EaseSettings::default()
        }
    }

    #[test]
    fn two_courses_of_one_learner_have_the_closed_form() {
        let ease = Ease::train(&histories(2, &[(0, 0), (0, 1)]), &catalog(&["", ""]), &settings()).unwrap();

        // G = [[2, 1], [1, 2]], so P = [[2, −1], [−1, 2]] / 3 and B = 1/2.
        assert_eq!(ease.table().of(0).len(), 1);
        let (course, influence) = ease.table().of(0)[0];
        assert_eq!(course, 1);
        assert!((influence - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_course_nobody_took_up_is_reached_by_what_it_is_about() {
        let known = histories(4, &[(0, 0), (1, 2)]);
        let about = catalog(&["Rust", "Rust", "Paint", "Paint"]);
        let influence = |side: f32| {
            let settings = EaseSettings { side, ..settings() };
            let ease = Ease::train(&known, &about, &settings).unwrap();
            let row = ease.table().of(0).to_vec();
            row.iter()
                .find(|(course, _)| *course == 1)
                .map_or(0.0, |(_, influence)| *influence)
        };

        assert!(influence(0.0).abs() < 1e-6);
        assert!(influence(5.0) > 0.1);
    }

    #[test]
    fn only_the_strongest_influences_on_each_course_are_kept() {
        let known = histories(3, &[(0, 0), (0, 2), (1, 0), (1, 2), (2, 1), (2, 2)]);
        let settings = EaseSettings {
            column_max: 1,
            dense_below: 0,
            ..settings()
        };

        let ease = Ease::train(&known, &catalog(&["", "", ""]), &settings).unwrap();

        assert!(ease.table().of(0).iter().any(|(course, _)| *course == 2));
        assert!(!ease.table().of(1).iter().any(|(course, _)| *course == 2));
    }

    #[test]
    fn a_newer_course_of_the_history_counts_more() {
        let known = histories(4, &[(0, 0), (0, 2), (1, 1), (1, 3)]);
        let mut ease = Ease::train(&known, &catalog(&["", "", "", ""]), &settings()).unwrap();
        let history = [Taken { course: 0, at: 1 }, Taken { course: 1, at: 2 }];
        let mut scores = [0.0; 4];

        ease.score(
            &Learner {
                history: &history,
                ..Learner::default()
            },
            &mut scores,
        );

        assert!(scores[3] > scores[2] && scores[2] > 0.0);
    }

    #[test]
    fn a_learner_who_is_gone_leaves_no_trace() {
        let about = catalog(&["", "", ""]);
        let with = histories(3, &[(0, 0), (0, 1), (2, 1), (2, 2)]);
        let without = histories(3, &[(0, 0), (0, 1), (1, 1), (1, 2)]);

        let train = |known: &Histories| Ease::train(known, &about, &settings()).unwrap();

        assert_eq!(format!("{:?}", train(&with)), format!("{:?}", train(&without)));
    }
}
