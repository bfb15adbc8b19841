//! The immutable artefact lists are ranked with: built in the background, versioned, swapped as a whole.
//!
//! Courses are known inside by their position in the order of their ids, so that tables stay compact and the
//! outcome never depends on how the catalog was read.

use std::collections::BTreeMap;

use super::content::{Features, neighbours, slug};
use super::popularity::Popularity;
use super::settings::Settings;
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
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    ends: Vec<u32>,
    entries: Vec<(u32, f32)>,
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

    fn rows(&self) -> usize {
        self.ends.len()
    }
}

/// Courses under one category or tag.
#[derive(Clone, Debug)]
pub(super) struct Label {
    /// How much the label tells: 0 for everything, 1 for a single course.
    pub(super) weight: f32,
    /// Its most popular courses.
    pub(super) courses: Vec<u32>,
}

/// Everything ranking needs to know about the catalog.
#[derive(Clone, Debug)]
pub struct Model {
    version: u64,
    courses: Vec<CourseId>,
    /// What courses are about: for variety in lists and for "similar courses".
    pub(super) similar: Neighbours,
    /// Where a studied course leads.
    pub(super) related: Neighbours,
    pub(super) related_source: Source,
    /// From 0 to 1.
    pub(super) popularity: Vec<f32>,
    /// How readily a course is shown among those that match as well.
    pub(super) preference: Vec<f32>,
    /// The most popular courses, best first.
    pub(super) popular: Vec<u32>,
    pub(super) labels: BTreeMap<String, Label>,
    pub(super) settings: Settings,
}

impl Model {
    /// Builds the model of a catalog; repeated courses are left out.
    pub fn build(
        version: u64,
        mut features: Vec<Features>,
        popularity: &Popularity,
        settings: &Settings,
    ) -> Self {
        features.sort_by_key(|feature| feature.course);
        features.dedup_by_key(|feature| feature.course);
        let courses: Vec<CourseId> = features.iter().map(|feature| feature.course).collect();

        let popularity = relative_popularity(&courses, popularity);
        let preference: Vec<f32> = popularity
            .iter()
            .map(|popularity| {
                let content = &settings.content;
                (content.popularity_floor + popularity).powf(content.popularity_exponent)
            })
            .collect();
        let similar = neighbours(&features, &preference, &settings.content);
        let mut related = Neighbours::with_capacity(courses.len(), settings.content.neighbours_max);
        for (position, _) in (0_u32..).zip(&courses) {
            let row: Vec<_> = similar
                .of(position)
                .iter()
                .map(|&(other, similarity)| (other, similarity * preference[other as usize]))
                .collect();
            related.push_row(&row);
        }

        let everything: Vec<u32> = (0_u32..).zip(&courses).map(|(position, _)| position).collect();
        let popular = most_popular(everything, &popularity, settings.blend.popular_max);
        let labels = labels(&features, &popularity, settings.blend.popular_max);
        Model {
            version,
            courses,
            similar,
            related,
            related_source: Source::Content,
            popularity,
            preference,
            popular,
            labels,
            settings: settings.clone(),
        }
    }

    /// Replaces where studied courses lead by a trained table over [`Model::position`]s.
    ///
    /// A table of another number of courses is not of this catalog and is ignored.
    #[must_use]
    pub fn with_related(mut self, related: Neighbours) -> Self {
        let known = |(course, _): &(u32, f32)| (*course as usize) < self.courses.len();
        if related.rows() == self.courses.len() && related.entries.iter().all(known) {
            self.related = related;
            self.related_source = Source::Trained;
        }
        self
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

/// Popularity on a logarithmic scale from 0 to 1: the tenth-best course is closer to the best than it sold.
fn relative_popularity(courses: &[CourseId], popularity: &Popularity) -> Vec<f32> {
    let logarithms: Vec<f64> = courses
        .iter()
        .map(|course| popularity.of(*course).ln_1p())
        .collect();
    let highest = logarithms.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share from 0 to 1 needs no more than a few digits"
    )]
    let share = |logarithm: f64| (logarithm / highest) as f32;
    logarithms.into_iter().map(share).collect()
}

fn most_popular(mut courses: Vec<u32>, popularity: &[f32], max: usize) -> Vec<u32> {
    courses.sort_by(|a, b| {
        popularity[*b as usize]
            .total_cmp(&popularity[*a as usize])
            .then(a.cmp(b))
    });
    courses.truncate(max);
    courses
}

fn labels(features: &[Features], popularity: &[f32], max: usize) -> BTreeMap<String, Label> {
    let mut members: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (position, feature) in (0_u32..).zip(features) {
        for label in feature.categories.iter().chain(&feature.tags) {
            let courses = members.entry(slug(label)).or_default();
            if courses.last() != Some(&position) {
                courses.push(position);
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24")]
    let weight = |members: usize| {
        let total = features.len() as f32;
        (((total + 1.0) / members as f32).ln() / (total + 1.0).ln()).max(0.0)
    };
    members
        .into_iter()
        .map(|(label, courses)| {
            let weight = weight(courses.len());
            (
                label,
                Label {
                    weight,
                    courses: most_popular(courses, popularity, max),
                },
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lyceum_kernel::Timestamp;

    use super::*;

    fn catalog(order: &[u128]) -> Model {
        let features = order
            .iter()
            .map(|number| Features {
                title: "Rust".to_owned(),
                categories: vec!["Development".to_owned()],
                ..Features::new(CourseId::from_u128(*number))
            })
            .collect();
        let mut popularity = Popularity::new(Timestamp::EPOCH, Duration::from_secs(1));
        popularity.add(CourseId::from_u128(3), Timestamp::EPOCH, 9.0);
        Model::build(7, features, &popularity, &Settings::default())
    }

    #[test]
    fn a_model_does_not_depend_on_the_order_of_the_catalog() {
        let (one, other) = (catalog(&[1, 2, 3]), catalog(&[3, 1, 2, 1]));

        assert_eq!(one.course_count(), 3);
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert_eq!(one.courses()[one.popular[0] as usize], CourseId::from_u128(3));
    }

    #[test]
    fn a_trained_table_of_another_catalog_is_ignored() {
        let mut table = Neighbours::default();
        table.push_row(&[(0, 1.0)]);

        assert_eq!(
            catalog(&[1, 2]).with_related(table.clone()).related_source,
            Source::Content
        );
        assert_eq!(catalog(&[1]).with_related(table).related_source, Source::Trained);
    }

    #[test]
    fn similar_courses_of_an_unknown_course_are_none() {
        let model = catalog(&[1, 2, 3]);

        assert!(model.similar(CourseId::from_u128(9), 5).is_empty());
        assert_eq!(model.similar(CourseId::from_u128(1), 1).len(), 1);
        assert!(model.similar.of(99).is_empty());
    }
}
