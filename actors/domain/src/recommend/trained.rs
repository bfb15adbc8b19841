//! What a training learns from learners: the part of a model that is dear to make, the same on every node.
//!
//! Flow: [`Gathered`] histories → EASE^R with side information and directed steps, both as tables of bounded rows, and
//! popularity → aligned by [`Model`](super::Model) to the catalog as it is when a list is made. Courses that came later are reached through
//! those they are like.
//!
//! Invariant: the same histories, catalog and settings give the same tables, bit for bit on one kind of machine.

use super::content::{Features, Vectors};
use super::model::Neighbours;
use super::models::{Ease, Histories, Popular, Transitions, real};
use super::settings::Settings;
use super::takings::Gathered;
use crate::ids::CourseId;

/// What was learned, over courses in order of their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trained {
    pub(super) courses: Vec<CourseId>,
    /// How many learners took up each course.
    pub(super) counts: Vec<u32>,
    /// The same, each worth less the longer ago it was, as of the newest.
    pub(super) popularity: Vec<f32>,
    /// The influence of each course on others, by EASE^R.
    pub(super) ease: Neighbours,
    /// The share of steps from each course to others.
    pub(super) steps: Neighbours,
    pub(super) learners: u32,
    pub(super) taken: u64,
}

impl Trained {
    /// How many courses it is about.
    pub fn course_count(&self) -> usize {
        self.courses.len()
    }

    /// How many learners it learned from.
    pub fn learners(&self) -> u32 {
        self.learners
    }

    /// How many times one of them took up a course.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of its tables in memory.
    pub fn bytes(&self) -> usize {
        self.ease.bytes() + self.steps.bytes() + self.courses.len() * (size_of::<CourseId>() + 8)
    }

    /// Learns from histories over the courses of this catalog; none if the matrix cannot be inverted, which λ > 0 prevents.
    ///
    /// Of a catalog larger than `settings.limits.courses_max` the courses that were taken up most take part: the inverse needs
    /// the square of their number in memory and the cube in time.
    pub fn train(mut features: Vec<Features>, gathered: &Gathered, settings: &Settings) -> Option<Self> {
        features.sort_by_key(|feature| feature.course);
        features.dedup_by_key(|feature| feature.course);
        let (features, histories) = fitting(features, gathered, settings.limits.courses_max);
        let courses: Vec<CourseId> = features.iter().map(|feature| feature.course).collect();

        let row_max = settings.limits.row_max;
        let stack = &settings.stack;
        let popular = Popular::train(&histories, &stack.popular);
        let steps = Transitions::train(&histories, &stack.transitions).table(row_max);
        let about = Vectors::new(&features, &settings.content);
        let ease = Ease::train(&histories, &about, &stack.ease)?;
        Some(Trained {
            courses,
            counts: histories.counts(),
            popularity: popular.counts(),
            ease: ease.table().strongest(row_max),
            steps,
            learners: gathered.learners,
            taken: gathered.taken,
        })
    }
}

/// The courses that take part, and the histories by their positions.
fn fitting(features: Vec<Features>, gathered: &Gathered, courses_max: usize) -> (Vec<Features>, Histories) {
    let position_of = |course: CourseId| gathered.courses.binary_search(&course).ok();
    let counts = gathered.histories.counts();
    let count = |feature: &Features| position_of(feature.course).map_or(0, |place| counts[place]);
    let mut features = features;
    if features.len() > courses_max {
        features.sort_by_key(|feature| (std::cmp::Reverse(count(feature)), feature.course));
        features.truncate(courses_max);
        features.sort_by_key(|feature| feature.course);
    }
    let mut places: Vec<Option<u32>> = vec![None; gathered.courses.len()];
    for (place, feature) in (0_u32..).zip(&features) {
        if let Some(position) = position_of(feature.course) {
            places[position] = Some(place);
        }
    }
    let mut histories = Histories::new(features.len());
    for (learner, history) in (0_u32..).zip(gathered.histories.iter()) {
        for taken in history {
            if let Some(course) = places[taken.course as usize] {
                histories.push(learner, super::models::Taken { course, ..*taken });
            }
        }
    }
    (features, histories)
}

/// Rows over the positions of one catalog as rows over those of another; `from` and `to` are both in order.
pub(super) fn aligned(table: &Neighbours, from: &[CourseId], to: &[CourseId]) -> Neighbours {
    if from == to {
        return table.clone();
    }
    let place = |courses: &[CourseId], course: &CourseId| {
        let place = courses.binary_search(course).ok();
        place.and_then(|place| u32::try_from(place).ok())
    };
    let places: Vec<Option<u32>> = from.iter().map(|course| place(to, course)).collect();
    let mut rows = Neighbours::with_capacity(to.len(), 0);
    let mut row = Vec::new();
    for course in to {
        row.clear();
        if let Some(known) = place(from, course) {
            let entries = table.of(known).iter();
            row.extend(entries.filter_map(|&(other, weight)| Some((places[other as usize]?, weight))));
        }
        rows.push_row(&row);
    }
    rows
}

/// Gives courses that nobody has taken up a place in the rows of a table, through the courses they are like.
///
/// ```text
/// W_jc = Σ_n sim(c, n)² · W_jn / max(1, Σ_n sim(c, n)²)
/// ```
///
/// over the `neighbours_max` courses n most like c that were taken up. Scores are sums over rows, so this is the
/// same as to carry each learner's scores over to c, and costs nothing when a list is made. No row grows beyond `row_max`.
pub(super) fn carried(
    table: &Neighbours,
    similar: &Neighbours,
    cold: &[bool],
    neighbours_max: usize,
    row_max: usize,
) -> Neighbours {
    let mut carries: Vec<Vec<(u32, f32)>> = vec![Vec::new(); cold.len()];
    for (course, _) in (0_u32..).zip(cold).filter(|(_, cold)| **cold) {
        let like = similar
            .of(course)
            .iter()
            .filter(|(other, _)| !cold[*other as usize]);
        let like: Vec<(u32, f32)> = like
            .take(neighbours_max)
            .map(|(other, likeness)| (*other, likeness * likeness))
            .collect();
        let total = like.iter().map(|(_, square)| square).sum::<f32>().max(1.0);
        for (other, square) in like {
            carries[other as usize].push((course, square / total));
        }
    }
    let mut sums = vec![0.0_f32; cold.len()];
    let mut rows = Neighbours::with_capacity(cold.len(), 0);
    let mut row: Vec<(u32, f32)> = Vec::new();
    for (studied, _) in (0_u32..).zip(cold) {
        row.clear();
        row.extend(
            table
                .of(studied)
                .iter()
                .filter(|(course, _)| !cold[*course as usize]),
        );
        let known = row.len();
        for place in 0..known {
            let (course, weight) = row[place];
            for &(reached, share) in &carries[course as usize] {
                if sums[reached as usize] == 0.0 {
                    row.push((reached, 0.0));
                }
                sums[reached as usize] += share * weight;
            }
        }
        for (reached, weight) in &mut row[known..] {
            *weight = std::mem::take(&mut sums[*reached as usize]);
        }
        row[known..].sort_unstable_by_key(|(course, _)| *course);
        // A sum that passed through zero has two entries, of which the second is empty.
        row.retain(|(course, weight)| *weight != 0.0 && *course != studied);
        keep_strongest(&mut row, row_max);
        rows.push_row(&row);
    }
    rows
}

/// Keeps the entries of a row that say most, in order of their courses.
pub(super) fn keep_strongest(row: &mut Vec<(u32, f32)>, max: usize) {
    if row.len() > max {
        row.select_nth_unstable_by(max, |a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        row.truncate(max);
    }
    row.sort_unstable_by_key(|(course, _)| *course);
}

/// How far the entries of a sparse vector of `length` spread, from their sum and the sum of their squares.
pub(super) fn spread(sum: f32, squares: f32, length: usize) -> f32 {
    let count = real(length.max(1));
    let mean = sum / count;
    (squares / count - mean * mean).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::models::Taken;
    use super::*;

    fn features(numbers: &[u128]) -> Vec<Features> {
        let about = |number: &u128| Features {
            title: if number.is_multiple_of(2) { "Rust" } else { "Paint" }.to_owned(),
            ..Features::new(CourseId::from_u128(*number))
        };
        numbers.iter().map(about).collect()
    }

    fn gathered(courses: &[u128], all: &[(u32, u32)]) -> Gathered {
        let mut histories = Histories::new(courses.len());
        for &(learner, course) in all {
            histories.push(learner, Taken { course, at: 0 });
        }
        Gathered::of(
            courses.iter().copied().map(CourseId::from_u128).collect(),
            histories,
        )
    }

    #[test]
    fn courses_beyond_the_bound_are_those_taken_up_least() {
        let mut settings = Settings::default();
        settings.limits.courses_max = 2;
        let known = gathered(&[1, 2, 3], &[(0, 2), (1, 2), (1, 0), (2, 1), (2, 2), (3, 1)]);

        let trained = Trained::train(features(&[3, 1, 2]), &known, &settings).unwrap();

        assert_eq!(trained.courses, [2, 3].map(CourseId::from_u128));
        assert_eq!(trained.counts, [2, 3]);
    }

    #[test]
    fn a_training_does_not_depend_on_the_order_of_the_catalog() {
        let known = gathered(&[1, 2, 3, 4], &[(0, 0), (0, 2), (1, 1), (1, 3), (2, 0), (2, 1)]);
        let train = |order: &[u128]| Trained::train(features(order), &known, &Settings::default()).unwrap();

        assert_eq!(train(&[1, 2, 3, 4]), train(&[4, 2, 1, 3, 3]));
    }

    #[test]
    fn no_row_is_longer_than_its_bound() {
        let mut settings = Settings::default();
        settings.limits.row_max = 1;
        let known = gathered(&[1, 2, 3, 4], &[(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 2)]);

        let trained = Trained::train(features(&[1, 2, 3, 4]), &known, &settings).unwrap();

        assert_eq!(trained.ease.of(0).len(), 1);
        assert_eq!(trained.steps.of(0).len(), 1);
    }

    #[test]
    fn tables_follow_courses_to_another_catalog() {
        let ids = |numbers: &[u128]| {
            numbers
                .iter()
                .copied()
                .map(CourseId::from_u128)
                .collect::<Vec<_>>()
        };
        let mut table = Neighbours::default();
        table.push_row(&[(1, 0.5), (2, 0.25)]);
        table.push_row(&[]);
        table.push_row(&[(0, 1.0)]);

        let moved = aligned(&table, &ids(&[1, 2, 3]), &ids(&[1, 3, 9]));

        assert_eq!(moved.of(0), [(1, 0.25)]);
        assert_eq!(moved.of(1), [(0, 1.0)]);
        assert!(moved.of(2).is_empty());
    }

    #[test]
    fn a_course_nobody_took_up_is_reached_through_what_it_is_like() {
        let mut table = Neighbours::default();
        let mut similar = Neighbours::default();
        for row in [&[(1, 0.4), (2, 0.5)][..], &[(0, 1.0)], &[], &[]] {
            table.push_row(row);
        }
        for row in [&[][..], &[], &[], &[(2, 0.5), (1, 0.1)]] {
            similar.push_row(row);
        }

        let reached = carried(&table, &similar, &[false, false, false, true], 1, 9);

        assert_eq!(reached.of(0), [(1, 0.4), (2, 0.5), (3, 0.125)]);
        assert_eq!(reached.of(1), [(0, 1.0)]);
    }
}
