//! Everything a list is made with: what was learned from learners, over the catalog as it is now. Immutable and swapped as a whole.
//!
//! Flow: a [`Trained`] and the catalog's [`Features`] → its tables aligned to the catalog, courses that came later
//! carried in, likeness, labels and popularity beside them.
//!
//! Courses are known inside by their position in the order of their ids, so that tables stay compact and the
//! outcome never depends on how the catalog was read.

use std::collections::BTreeMap;

use super::content::{Features, neighbours, slug};
use super::models::{best, real};
use super::settings::Settings;
use super::trained::{Trained, aligned, carried, keep_strongest, spread};
use crate::ids::CourseId;

/// What a recommendation mainly rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What courses are about.
    Content,
    /// A model trained on what learners did.
    Trained,
    /// The learner's interests.
    Interests,
    /// Popularity.
    Popular,
}

impl Source {
    /// The name clients see.
    pub fn name(self) -> &'static str {
        match self {
            Source::Content => "content",
            Source::Trained => "trained",
            Source::Interests => "interests",
            Source::Popular => "popular",
        }
    }
}

/// For every course the courses it leads to, each with a weight: the shape of every item-to-item model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Neighbours {
    pub(super) ends: Vec<u32>,
    pub(super) entries: Vec<(u32, f32)>,
}

impl Neighbours {
    /// An empty table with room for `rows` rows of `row` entries.
    pub fn with_capacity(rows: usize, row: usize) -> Self {
        Neighbours {
            ends: Vec::with_capacity(rows),
            entries: Vec::with_capacity(rows * row),
        }
    }

    /// Adds the row of the next course.
    pub fn push_row(&mut self, row: &[(u32, f32)]) {
        self.entries.extend_from_slice(row);
        self.ends
            .push(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
    }

    /// The row of the course at `position`; empty if there is none.
    pub fn of(&self, position: u32) -> &[(u32, f32)] {
        let position = position as usize;
        let start = if position == 0 {
            Some(0)
        } else {
            self.ends.get(position - 1).map(|end| *end as usize)
        };
        let end = self.ends.get(position).map(|end| *end as usize);
        start
            .zip(end)
            .and_then(|(start, end)| self.entries.get(start..end))
            .unwrap_or_default()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the table in memory.
    pub fn bytes(&self) -> usize {
        self.ends.len() * size_of::<u32>() + self.entries.len() * size_of::<(u32, f32)>()
    }

    /// The same with the `max` entries of each row that say most, in order of their courses.
    #[must_use]
    pub(super) fn strongest(&self, max: usize) -> Self {
        let mut table = Neighbours::with_capacity(self.rows(), 0);
        let mut row = Vec::new();
        for (position, _) in (0_u32..).zip(&self.ends) {
            row.clear();
            row.extend_from_slice(self.of(position));
            keep_strongest(&mut row, max);
            table.push_row(&row);
        }
        table
    }

    /// The same with every entry multiplied.
    #[must_use]
    fn times(mut self, factor: f32) -> Self {
        for (_, weight) in &mut self.entries {
            *weight *= factor;
        }
        self
    }
}

/// Courses under one category, tag or interest.
#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    /// Its most popular courses, each with how welcome it is to whoever is interested.
    pub(super) courses: Vec<(u32, f32)>,
    /// Where those lead whoever has no history: as if they had taken up the first few.
    pub(super) leads: Vec<(u32, f32)>,
}

/// Everything ranking needs to know about the catalog and its learners.
#[derive(Clone, Debug)]
pub struct Model {
    version: u64,
    courses: Vec<CourseId>,
    /// What courses are about: for likeness to the history, for variety in lists and for "similar courses".
    pub(super) similar: Neighbours,
    /// The influence of each course on others.
    pub(super) ease: Neighbours,
    /// The share of steps from each course to others, as much as it counts beside the influence.
    pub(super) steps: Neighbours,
    /// The root of how often each course is taken up lately, in standard deviations, as much as it counts.
    pub(super) popularity: Vec<f32>,
    /// The most popular courses, best first.
    pub(super) popular: Vec<u32>,
    pub(super) labels: Vec<Label>,
    names: BTreeMap<String, u32>,
    pub(super) settings: Settings,
}

impl Model {
    /// Builds the model of a catalog from what was learned; repeated courses are left out.
    pub fn build(version: u64, mut features: Vec<Features>, trained: &Trained, settings: &Settings) -> Self {
        features.sort_by_key(|feature| feature.course);
        features.dedup_by_key(|feature| feature.course);
        let courses: Vec<CourseId> = features.iter().map(|feature| feature.course).collect();
        let known: Vec<Option<usize>> = courses
            .iter()
            .map(|course| trained.courses.binary_search(course).ok())
            .collect();

        let similar = neighbours(&features, &vec![1.0; courses.len()], &settings.content);
        let cold: Vec<bool> = known
            .iter()
            .map(|known| known.is_none_or(|place| trained.counts[place] == 0))
            .collect();
        let limits = &settings.limits;
        let table = |table: &Neighbours| {
            let table = aligned(table, &trained.courses, &courses);
            if cold.contains(&true) {
                carried(&table, &similar, &cold, limits.carriers_max, limits.row_max)
            } else {
                table
            }
        };
        let ease = table(&trained.ease);
        let steps = table(&trained.steps).times(settings.stack.steps);

        let roots = roots(&courses, trained);
        let popular = best(&roots, settings.lists.popular_max, |_| true);
        let mut names: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (position, feature) in (0_u32..).zip(&features) {
            for label in feature.categories.iter().chain(&feature.tags) {
                let members = names.entry(slug(label)).or_default();
                if members.last() != Some(&position) {
                    members.push(position);
                }
            }
        }
        let mut model = Model {
            version,
            courses,
            similar,
            ease,
            steps,
            popularity: scaled(&roots, settings.stack.popularity),
            popular,
            labels: Vec::new(),
            names: names.keys().cloned().zip(0..).collect(),
            settings: settings.clone(),
        };
        let members: Vec<Vec<u32>> = names.into_values().collect();
        model.labels = model.labelled(&members, &roots);
        model
    }

    /// How often each course is taken up lately, its root.
    pub(super) fn roots(&self, trained: &Trained) -> Vec<f32> {
        roots(&self.courses, trained)
    }

    /// The labels of these courses, by the root of how often they are taken up.
    pub(super) fn labelled(&self, members: &[Vec<u32>], roots: &[f32]) -> Vec<Label> {
        let lists = &self.settings.lists;
        let highest = roots.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
        let all = real(roots.len()) + 1.0;
        members
            .iter()
            .map(|members| {
                // 0 for a label of everything, 1 for one of a single course.
                let telling = ((all / real(members.len().max(1))).ln() / all.ln()).max(0.0);
                let mut courses: Vec<(u32, f32)> = members
                    .iter()
                    .map(|&course| {
                        let welcome = (roots[course as usize] / highest).max(lists.popularity_floor);
                        (course, telling * welcome)
                    })
                    .collect();
                courses.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                courses.truncate(lists.popular_max);
                let leads = self.leads(&courses);
                Label { courses, leads }
            })
            .collect()
    }

    fn leads(&self, courses: &[(u32, f32)]) -> Vec<(u32, f32)> {
        let mut sums: BTreeMap<u32, f32> = BTreeMap::new();
        for &(course, welcome) in courses.iter().take(self.settings.stack.supposed_max) {
            for &(other, influence) in self.ease.of(course) {
                *sums.entry(other).or_default() += welcome * influence;
            }
        }
        let mut leads: Vec<(u32, f32)> = sums.into_iter().collect();
        keep_strongest(&mut leads, self.settings.limits.row_max);
        leads
    }

    /// The label of an interest, if the catalog has it.
    pub(super) fn label(&self, interest: &str) -> Option<&Label> {
        self.names
            .get(interest)
            .map(|number| &self.labels[*number as usize])
    }

    /// Bytes of its tables in memory.
    pub fn bytes(&self) -> usize {
        let labels = self
            .labels
            .iter()
            .map(|label| label.courses.len() + label.leads.len());
        self.ease.bytes()
            + self.steps.bytes()
            + self.similar.bytes()
            + labels.sum::<usize>() * size_of::<(u32, f32)>()
            + self.courses.len() * (size_of::<CourseId>() + size_of::<f32>())
    }

    /// The version this model was built as.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many courses it knows.
    pub fn course_count(&self) -> usize {
        self.courses.len()
    }

    /// The position of a course, if the model knows it.
    pub fn position(&self, course: CourseId) -> Option<u32> {
        self.courses
            .binary_search(&course)
            .ok()
            .and_then(|position| u32::try_from(position).ok())
    }

    /// Every course it knows, in order of position.
    pub fn courses(&self) -> &[CourseId] {
        &self.courses
    }

    /// The courses most like one course by what they are about, best first, similarity from 0 to 1.
    pub fn similar(&self, course: CourseId, limit: usize) -> Vec<(CourseId, f32)> {
        let Some(position) = self.position(course) else {
            return vec![];
        };
        let mut similar: Vec<_> = self.similar.of(position).to_vec();
        similar.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        similar
            .into_iter()
            .map(|(other, similarity)| (self.courses[other as usize], similarity))
            .take(limit)
            .collect()
    }
}

/// The root brings the tenth-best course closer to the best than it is taken up.
fn roots(courses: &[CourseId], trained: &Trained) -> Vec<f32> {
    let root = |course| match trained.courses.binary_search(course) {
        Ok(place) => trained.popularity[place].max(0.0).sqrt(),
        Err(_) => 0.0,
    };
    courses.iter().map(root).collect()
}

/// A vector in its own standard deviations, times a weight; zeros if nothing spreads.
fn scaled(vector: &[f32], weight: f32) -> Vec<f32> {
    let sum = vector.iter().sum();
    let squares = vector.iter().map(|entry| entry * entry).sum();
    let spread = spread(sum, squares, vector.len());
    let factor = if spread > 0.0 { weight / spread } else { 0.0 };
    vector.iter().map(|entry| entry * factor).collect()
}

#[cfg(test)]
mod tests {
    use super::super::models::{Histories, Taken};
    use super::super::takings::Gathered;
    use super::*;

    fn catalog(order: &[u128]) -> Model {
        let features: Vec<Features> = order
            .iter()
            .map(|number| Features {
                title: "Rust".to_owned(),
                categories: vec!["Development".to_owned()],
                ..Features::new(CourseId::from_u128(*number))
            })
            .collect();
        let mut histories = Histories::new(1);
        histories.push(0, Taken { course: 0, at: 0 });
        let known = Gathered::of(vec![CourseId::from_u128(3)], histories);
        let settings = Settings::default();
        let trained = Trained::train(features.clone(), &known, &settings).expect("trained");
        Model::build(7, features, &trained, &settings)
    }

    #[test]
    fn a_model_does_not_depend_on_the_order_of_the_catalog() {
        let (one, other) = (catalog(&[1, 2, 3]), catalog(&[3, 1, 2, 1]));

        assert_eq!(one.course_count(), 3);
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert_eq!(one.courses()[one.popular[0] as usize], CourseId::from_u128(3));
    }

    #[test]
    fn a_model_of_nothing_learned_knows_the_catalog() {
        let model = Model::build(
            0,
            vec![Features::new(CourseId::from_u128(4))],
            &Trained::default(),
            &Settings::default(),
        );

        assert_eq!(model.popular, [0]);
        assert!(model.ease.of(0).is_empty());
    }

    #[test]
    fn similar_courses_of_an_unknown_course_are_none() {
        let model = catalog(&[1, 2, 3]);

        assert!(model.similar(CourseId::from_u128(9), 5).is_empty());
        assert_eq!(model.similar(CourseId::from_u128(1), 1).len(), 1);
        assert!(model.similar.of(99).is_empty());
    }
}
