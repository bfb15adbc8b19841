//! Reads a data set for evaluation and writes the lists that scorers take.
//!
//! Names become numbers in the order they are first read; a course that only a test names is part of the catalog
//! without any description, so that whoever took it up still counts. Files that a data set lacks are empty tasks.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;

use lyceum_domain::ids::CourseId;
use lyceum_domain::recommend::evaluation::{Dataset, Event, Lists, Newcomer};
use lyceum_domain::recommend::models::Taken;
use lyceum_domain::recommend::{Features, slug};
use lyceum_kernel::Timestamp;

use crate::import::ImportError;
use crate::import::files::{Line, each_line, time};

/// Longer lists of audiences name nearly everybody and so say nothing.
const AUDIENCES_MAX: usize = 4;

/// A data set and what its numbers stand for.
#[derive(Default)]
pub(super) struct Named {
    pub(super) dataset: Dataset,
    learners: Numbers,
    courses: Numbers,
}

/// Numbers by name, and names by number.
#[derive(Default)]
struct Numbers {
    known: HashMap<String, u32>,
    names: Vec<String>,
}

impl Numbers {
    fn of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.known.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.known.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }
}

impl Named {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// `items.tsv` or `train.tsv` is missing, or a file is not of the expected form.
    pub(super) fn read(folder: &Path) -> Result<Self, ImportError> {
        let mut named = Named::default();
        let mut labels: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        each_line(&folder.join("items.tsv"), |line| named.course(line, &mut labels))?;
        let numbers: HashMap<String, u32> = labels.keys().cloned().zip(0..).collect();

        named.dataset.train = named.events(&folder.join("train.tsv"))?;
        // A split that is cut at the same moment holds its rows in any order; histories need them in order of time.
        named.dataset.train.sort_by_key(|event| event.taken.at);
        named.dataset.test = named.optional(&folder.join("test.tsv"))?;
        named.dataset.stream = named.optional(&folder.join("stream.tsv"))?;
        named.dataset.cold = named.optional(&folder.join("test_cold_items.tsv"))?;
        named.dataset.rest = named.optional(&folder.join("test_new_rest.tsv"))?;
        let candidates = folder.join("cold_candidates.tsv");
        if candidates.exists() {
            each_line(&candidates, |line| {
                let course = named.courses.of(line.get("item")?);
                named.dataset.candidates.push(course);
                Some(())
            })?;
            named.dataset.candidates.sort_unstable();
        }
        let onboarding = folder.join("onboarding.tsv");
        if onboarding.exists() {
            each_line(&onboarding, |line| {
                let interests =
                    parts(line, "interests").filter_map(|interest| numbers.get(&slug(interest)).copied());
                let newcomer = Newcomer {
                    learner: named.learners.of(line.get("user")?),
                    interests: interests.collect(),
                    first: Taken {
                        course: named.courses.of(line.get("first_item")?),
                        at: seconds(line)?,
                    },
                };
                named.dataset.newcomers.push(newcomer);
                Some(())
            })?;
        }
        named.finish(labels);
        Ok(named)
    }

    fn course(&mut self, line: &Line<'_>, labels: &mut BTreeMap<String, Vec<u32>>) -> Option<()> {
        let number = self.courses.of(line.get("item")?);
        let text = |column: &str| line.get(column).unwrap_or_default().to_owned();
        let owned = |column| parts(line, column).map(str::to_owned).collect::<Vec<_>>();
        let (categories, mut tags, audience) = (owned("category"), owned("concept"), owned("audience"));
        for label in categories.iter().chain(&tags) {
            let courses = labels.entry(slug(label)).or_default();
            if courses.last() != Some(&number) {
                courses.push(number);
            }
        }
        if audience.len() <= AUDIENCES_MAX {
            tags.extend(audience);
        }
        if number as usize == self.dataset.features.len() {
            self.dataset.features.push(Features {
                title: text("title"),
                categories,
                tags,
                level: text("level"),
                language: text("language"),
                ..Features::new(CourseId::from_u128(u128::from(number)))
            });
        }
        Some(())
    }

    fn optional(&mut self, path: &Path) -> Result<Vec<Event>, ImportError> {
        if path.exists() {
            self.events(path)
        } else {
            Ok(Vec::new())
        }
    }

    fn events(&mut self, path: &Path) -> Result<Vec<Event>, ImportError> {
        let mut events = Vec::new();
        each_line(path, |line| {
            events.push(Event {
                learner: self.learners.of(line.get("user")?),
                taken: Taken {
                    course: self.courses.of(line.get("item")?),
                    at: seconds(line)?,
                },
            });
            Some(())
        })?;
        Ok(events)
    }

    fn finish(&mut self, labels: BTreeMap<String, Vec<u32>>) {
        for number in self.dataset.features.len()..self.courses.names.len() {
            let id = CourseId::from_u128(number as u128);
            self.dataset.features.push(Features::new(id));
        }
        self.dataset.labels = labels.into_values().collect();
    }

    /// One line for each learner: `user<TAB>item item …`, best first.
    pub(super) fn lists(&self, lists: &Lists) -> String {
        let mut text = String::new();
        for (learner, list) in lists {
            text.push_str(&self.learners.names[*learner as usize]);
            self.push_list(&mut text, list);
        }
        text
    }

    /// One line for each event: `event<TAB>item item …`, best first.
    pub(super) fn stream(&self, lists: &[Vec<u32>]) -> String {
        let mut text = String::new();
        for (event, list) in lists.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{event}");
            self.push_list(&mut text, list);
        }
        text
    }

    fn push_list(&self, text: &mut String, list: &[u32]) {
        for (place, course) in list.iter().enumerate() {
            text.push(if place == 0 { '\t' } else { ' ' });
            text.push_str(&self.courses.names[*course as usize]);
        }
        text.push('\n');
    }
}

fn parts<'line>(line: &'line Line<'_>, column: &str) -> impl Iterator<Item = &'line str> + use<'line> {
    let text = line.get(column).unwrap_or_default();
    text.split('|').map(str::trim).filter(|part| !part.is_empty())
}

fn seconds(line: &Line<'_>) -> Option<i64> {
    line.get("ts")
        .and_then(time)
        .map(|at: Timestamp| at.as_millis() / 1000)
}
