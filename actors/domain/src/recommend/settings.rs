//! The numbers of the recommender, with their defaults.
//!
//! Defaults were searched inside the training part of a public data set of course purchases; see the example
//! `recommend_offline`.

use std::time::Duration;

use super::profile::Activity;

/// Everything that shapes a model and the lists ranked with it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much each activity says about a learner's taste.
    pub weights: ActivityWeights,
    /// How the parts of a score are weighed against one another.
    pub blend: Blend,
    /// How courses are compared by what they are about.
    pub content: ContentSettings,
    /// After how long an interaction counts half towards popularity.
    pub popularity_half_life: Duration,
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

/// How the parts of a score are weighed against one another.
#[derive(Clone, Debug)]
pub struct Blend {
    /// The weight of courses related to the learner's history.
    pub history: f32,
    /// The weight of the learner's interests.
    pub interests: f32,
    /// The weight of popularity.
    pub popularity: f32,
    /// How fast older history fades: the n-th newest course counts e^(−n/τ).
    pub recency_tau: f32,
    /// Relevance against variety in the list (maximal marginal relevance): 1 is relevance alone.
    pub mmr: f32,
    /// Candidates the list is chosen from, per item asked for.
    pub pool_per_item: usize,
    /// The most popular courses considered for everybody, and for each interest.
    pub popular_max: usize,
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
    /// How strongly popular courses are preferred among those that match: match · (floor + popularity)^exponent.
    pub popularity_exponent: f32,
    /// The popularity, from 0 to 1, that even a course without any learner is given.
    pub popularity_floor: f32,
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
            blend: Blend {
                history: 1.0,
                interests: 0.5,
                popularity: 0.1,
                recency_tau: 4.0,
                mmr: 0.85,
                pool_per_item: 3,
                popular_max: 200,
            },
            content: ContentSettings {
                neighbours_max: 50,
                category: 0.9,
                tag: 0.8,
                level: 0.0,
                other_language: 0.4,
                popularity_exponent: 0.8,
                popularity_floor: 0.05,
            },
            popularity_half_life: Duration::from_secs(30 * 86_400),
        }
    }
}
