//! What requests are answered from, as a model to compare: the tables that a training keeps, with rows that are cut.
//!
//! It learns nothing between trainings but what is in a learner's own history.

use super::super::content::Features;
use super::super::model::{Label, Model};
use super::super::models::{Histories, Learner, Scorer};
use super::super::scoring::{Fading, Influence, Scales, Scratch, score};
use super::super::settings::Settings;
use super::super::takings::Gathered;
use super::super::trained::Trained;

/// The newest courses of a history that a profile remembers.
const RECENT_MAX: usize = 24;

/// A model as it is served.
pub struct Served {
    model: Model,
    labels: Vec<Label>,
    scratch: Scratch,
}

impl Served {
    /// Trains it; none if it cannot be trained. Courses are numbered by their ids.
    pub fn train(
        features: &[Features],
        labels: &[Vec<u32>],
        histories: &Histories,
        settings: &Settings,
    ) -> Option<Self> {
        let courses = features.iter().map(|feature| feature.course).collect();
        let trained = Trained::train(
            features.to_vec(),
            &Gathered::of(courses, histories.clone()),
            settings,
        )?;
        let model = Model::build(1, features.to_vec(), &trained, settings);
        let labels = model.labelled(labels, &model.roots(&trained));
        Some(Served {
            model,
            labels,
            scratch: Scratch::default(),
        })
    }

    /// The model itself.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn add(&mut self, learner: &Learner<'_>) -> Scales {
        let mut fading = Fading::new(&self.model);
        let newest = learner.history.iter().rev().take(RECENT_MAX);
        let influences: Vec<Influence> = newest
            .map(|taken| {
                let (weight, steps) = fading.next();
                Influence {
                    position: taken.course,
                    weight,
                    steps,
                }
            })
            .collect();
        let interests = learner.interests.iter();
        let interests = interests.filter_map(|interest| self.labels.get(*interest as usize));
        self.scratch.begin(self.model.course_count());
        score(&self.model, &influences, interests, &mut self.scratch)
    }
}

impl Scorer for Served {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        let scales = self.add(learner);
        for (course, score) in (0_u32..).zip(scores) {
            *score = self.scratch.score(&self.model, scales, course);
        }
    }

    fn lean(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        let scales = self.add(learner);
        for (course, score) in (0_u32..).zip(scores) {
            *score = self.scratch.lean(scales, course);
        }
    }
}
