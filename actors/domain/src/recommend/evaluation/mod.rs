//! How good the models are, on histories of real learners: protocols, metrics and the search for settings.
//!
//! Flow: a [`Dataset`] (what was taken up before a moment, and after it) → a model trained on the part before →
//! one of four [protocols](stationary) lists courses for learners → [`metrics`] compare the lists with the part after.
//! [`search`] does the same inside the part before alone.

pub mod metrics;
mod models;
mod protocols;
pub mod search;
mod served;

pub use models::{ModelName, ModelSettings, build, stack, warm_neighbours};
pub use protocols::{Lists, P4, cold_courses, newcomers, prequential, stationary};
pub use served::Served;

use super::content::Features;
use super::models::{Histories, Taken, real};

/// One learner took up one course.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The learner's number.
    pub learner: u32,
    /// What and when.
    pub taken: Taken,
}

/// Somebody nothing is known of but what they told at registration.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The learner's number.
    pub learner: u32,
    /// Numbers of the labels they are interested in.
    pub interests: Vec<u32>,
    /// The first course they took up.
    pub first: Taken,
}

/// A catalog, what was taken up before a moment and what after it.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// The catalog; a course's number is its place in here.
    pub features: Vec<Features>,
    /// Before the moment, in order of time.
    pub train: Vec<Event>,
    /// After it: learners and courses that are known.
    pub test: Vec<Event>,
    /// After it: everything, in order of time.
    pub stream: Vec<Event>,
    /// After it: courses that nobody had taken up.
    pub cold: Vec<Event>,
    /// Those courses.
    pub candidates: Vec<u32>,
    /// After it: learners nothing is known of.
    pub newcomers: Vec<Newcomer>,
    /// What they took up after their first course.
    pub rest: Vec<Event>,
    /// Courses, in order, by the number of a category or tag.
    pub labels: Vec<Vec<u32>>,
}

impl Dataset {
    /// The part before the moment, by learner.
    pub fn histories(&self) -> Histories {
        let mut histories = Histories::new(self.features.len());
        for event in &self.train {
            histories.push(event.learner, event.taken);
        }
        histories
    }

    /// The same four tasks inside the part before: its first `share` before a moment, the others after it.
    #[must_use]
    pub fn inner(&self, share: f64) -> Dataset {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in the part"
        )]
        let cut = ((self.train.len() as f64 * share) as usize).min(self.train.len());
        let (before, after) = self.train.split_at(cut);
        let learners = self
            .train
            .iter()
            .map(|event| event.learner as usize + 1)
            .max()
            .unwrap_or(0);
        let mut known_learner = vec![false; learners];
        let mut known_course = vec![false; self.features.len()];
        for event in before {
            known_learner[event.learner as usize] = true;
            known_course[event.taken.course as usize] = true;
        }
        let mut inner = Dataset {
            features: self.features.clone(),
            train: before.to_vec(),
            stream: after.to_vec(),
            labels: self.labels.clone(),
            ..Dataset::default()
        };
        let mut met = vec![false; learners];
        for event in after {
            let (learner, course) = (event.learner as usize, event.taken.course as usize);
            match (known_learner[learner], known_course[course]) {
                (true, true) => inner.test.push(*event),
                (true, false) => inner.cold.push(*event),
                (false, known) => {
                    if !met[learner] {
                        met[learner] = true;
                        inner.newcomers.push(Newcomer {
                            learner: event.learner,
                            interests: self.labels_of(event.taken.course),
                            first: event.taken,
                        });
                    } else if known {
                        inner.rest.push(*event);
                    }
                }
            }
        }
        inner.candidates = inner.cold.iter().map(|event| event.taken.course).collect();
        inner.candidates.sort_unstable();
        inner.candidates.dedup();
        inner
    }

    /// Courses by label with how much the label tells: 0 for one of everything, 1 for one of a single course.
    fn weighted_labels(&self) -> Vec<(f32, Vec<u32>)> {
        let all = real(self.features.len()) + 1.0;
        let weight = |courses: &Vec<u32>| ((all / real(courses.len().max(1))).ln() / all.ln()).max(0.0);
        self.labels
            .iter()
            .map(|courses| (weight(courses), courses.clone()))
            .collect()
    }

    fn labels_of(&self, course: u32) -> Vec<u32> {
        (0_u32..)
            .zip(&self.labels)
            .filter(|(_, courses)| courses.binary_search(&course).is_ok())
            .map(|(label, _)| label)
            .collect()
    }
}
