//! The numbers of the recommender, with their defaults.
//!
//! Defaults were searched inside the training parts of public data sets of courses that learners took up, with
//! `lyceum recommend evaluate`.

use super::models::StackSettings;
use super::signal::Activity;

/// Everything that shapes a model and the lists ranked with it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much each activity says about a learner's taste.
    pub weights: ActivityWeights,
    /// The models and how their parts are weighed against one another.
    pub stack: StackSettings,
    /// How a list is made of scores.
    pub lists: ListSettings,
    /// How courses are compared by what they are about.
    pub content: ContentSettings,
    /// What bounds a model.
    pub limits: ModelLimits,
}

/// The weight of one activity in a learner's history; negative ones suppress what is similar.
#[derive(Clone, Debug)]
pub struct ActivityWeights {
    /// Opened the course's page.
    pub view: f32,
    /// Followed a link to it from a list.
    pub click: f32,
    /// Began to study.
    pub start: f32,
    /// Went on studying; grows with the progress up to the weight of `complete`.
    pub progress: f32,
    /// Finished.
    pub complete: f32,
    /// Paid for it.
    pub purchase: f32,
    /// Rated with five stars; 2.5 stars are 0 and one star is −0.6 of this.
    pub rate: f32,
    /// Asked not to see it.
    pub dismiss: f32,
}

impl ActivityWeights {
    /// The weight of an activity with its value (stars or progress).
    pub fn of(&self, activity: Activity, value: f32) -> f32 {
        match activity {
            Activity::View => self.view,
            Activity::Click => self.click,
            Activity::Start => self.start,
            Activity::Progress => self.progress + (self.complete - self.progress) * value,
            Activity::Complete => self.complete,
            Activity::Purchase => self.purchase,
            Activity::Rate => self.rate * (value - 2.5) / 2.5,
            Activity::Dismiss => self.dismiss,
        }
    }
}

/// How a list is made of scores.
#[derive(Clone, Debug)]
pub struct ListSettings {
    /// Relevance against variety in the list (maximal marginal relevance): 1 is relevance alone.
    pub relevance: f32,
    /// Candidates the list is chosen from, per item asked for.
    pub pool_per_item: usize,
    /// The most popular courses considered for everybody, and for each interest.
    pub popular_max: usize,
    /// How welcome a course without any learner is among those of an interest, from 0 to 1, the most popular being 1.
    pub popularity_floor: f32,
}

/// What bounds a model: its memory, the time of a training and the time of a list.
#[derive(Clone, Debug)]
pub struct ModelLimits {
    /// The weight from which on an interaction takes a course up: what says less is not learned from.
    pub taken_weight_min: f32,
    /// Courses that take part in the inverse, which needs 8 bytes for each pair of them and the cube of their number in time.
    pub courses_max: usize,
    /// Courses that one course leads to, in each trained table: a list adds so many for each course of the history.
    pub row_max: usize,
    /// Courses through which one that nobody has taken up is reached.
    pub carriers_max: usize,
}

/// How courses are compared by what they are about.
#[derive(Clone, Debug)]
pub struct ContentSettings {
    /// Neighbours kept for each course.
    pub neighbours_max: usize,
    /// The weight of a category against a title word.
    pub category: f32,
    /// The weight of a tag against a title word.
    pub tag: f32,
    /// The weight of a level against a title word.
    pub level: f32,
    /// The share of similarity that is left between courses in different languages.
    pub other_language: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            weights: ActivityWeights {
                view: 0.2,
                click: 0.3,
                start: 0.6,
                progress: 0.6,
                complete: 1.0,
                purchase: 1.0,
                rate: 1.0,
                dismiss: -1.0,
            },
            stack: StackSettings::default(),
            lists: ListSettings {
                relevance: 0.9,
                pool_per_item: 3,
                popular_max: 200,
                popularity_floor: 0.05,
            },
            content: ContentSettings {
                neighbours_max: 50,
                category: 0.9,
                tag: 0.8,
                level: 0.0,
                other_language: 0.4,
            },
            limits: ModelLimits {
                taken_weight_min: 0.5,
                courses_max: 10_000,
                row_max: 200,
                carriers_max: 30,
            },
        }
    }
}
