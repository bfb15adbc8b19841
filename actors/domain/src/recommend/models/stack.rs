//! The full stack: what was learned slowly and what was learned just now, in one score.
//!
//! ```text
//! s = z(EASE + κ·transitions) + ξ·z(content) + π·z(√popularity) + ι·z(interests · √popularity)
//! ```
//!
//! A learner without a history is supposed to have one: the favourite courses of their interests, and where EASE leads from
//! those is added.
//!
//! Above, z divides by the standard deviation over the catalog, so that the weights mean the same for every learner and data
//! set. EASE and transitions are added in their own units, which are alike: what share of those who took up j went on to
//! i. Dividing each by its own deviation as well would make a course without evidence as loud as one with much: with
//! the same weights found for both data sets, it lost a tenth of the NDCG of one and nothing of the other's.

use super::super::content::Vectors;
use super::super::model::Neighbours;
use super::alike::Alike;
use super::ease::{Ease, EaseSettings};
use super::popular::{Popular, PopularSettings};
use super::transitions::{TransitionSettings, Transitions};
use super::{Histories, Learner, Scorer, best, deviation};

/// What shapes the stack.
#[derive(Clone, Debug)]
pub struct StackSettings {
    /// The trained model.
    pub ease: EaseSettings,
    /// The live steps.
    pub transitions: TransitionSettings,
    /// Popularity.
    pub popular: PopularSettings,
    /// κ: the weight of the steps.
    pub steps: f32,
    /// ξ: the weight of likeness to the history.
    pub content: f32,
    /// π: the weight of popularity.
    pub popularity: f32,
    /// ι: the weight of interests.
    pub interests: f32,
    /// The weight of where the favourite courses of the interests lead, for a learner without a history.
    pub supposed: f32,
    /// How many of those courses are read as if the learner had taken them up.
    pub supposed_max: usize,
}

impl Default for StackSettings {
    fn default() -> Self {
        StackSettings {
            ease: EaseSettings::default(),
            transitions: TransitionSettings::default(),
            popular: PopularSettings::default(),
            steps: 0.8,
            content: 0.2,
            popularity: 0.3,
            interests: 1.5,
            supposed: 2.0,
            supposed_max: 15,
        }
    }
}

/// The models a list is blended from.
#[derive(Clone, Debug)]
pub struct Stack {
    ease: Ease,
    transitions: Transitions,
    popular: Popular,
    alike: Alike,
    /// Courses of each label and what the label tells.
    labels: Vec<(f32, Vec<u32>)>,
    settings: StackSettings,
    part: Vec<f32>,
}

impl Stack {
    /// Trains every part; none if the model cannot be trained.
    pub(in super::super) fn train(
        histories: &Histories,
        about: &Vectors,
        similar: Neighbours,
        labels: Vec<(f32, Vec<u32>)>,
        settings: &StackSettings,
    ) -> Option<Self> {
        Some(Stack {
            ease: Ease::train(histories, about, &settings.ease)?,
            transitions: Transitions::train(histories, &settings.transitions),
            popular: Popular::train(histories, &settings.popular),
            alike: Alike::new(similar, settings.ease.recency_tau),
            labels,
            settings: settings.clone(),
            part: vec![0.0; histories.courses()],
        })
    }

    /// The same with other settings; the trained model is kept, of whose settings only the recency may differ.
    #[must_use]
    pub fn retuned(&self, histories: &Histories, settings: &StackSettings) -> Self {
        Stack {
            ease: self.ease.fading(settings.ease.recency_tau),
            transitions: Transitions::train(histories, &settings.transitions),
            popular: Popular::train(histories, &settings.popular),
            alike: self.alike.fading(settings.ease.recency_tau),
            settings: settings.clone(),
            ..self.clone()
        }
    }
}

impl Scorer for Stack {
    fn score(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        self.lean(learner, scores);
        let settings = &self.settings;
        let part = &mut self.part;
        self.popular.score(learner, part);
        // The root brings the tenth-best course closer to the best than it is taken up.
        for part in part.iter_mut() {
            *part = part.sqrt();
        }
        add(scores, part, settings.popularity);
        if settings.interests > 0.0 && !learner.interests.is_empty() {
            let popularity = std::mem::replace(part, vec![0.0; scores.len()]);
            for interest in learner.interests {
                if let Some((weight, courses)) = self.labels.get(*interest as usize) {
                    for course in courses {
                        part[*course as usize] += weight * popularity[*course as usize];
                    }
                }
            }
            add(scores, part, settings.interests);
            if learner.history.is_empty() {
                let mut led = vec![0.0; scores.len()];
                for course in best(part, settings.supposed_max, |course| part[course as usize] > 0.0) {
                    for &(other, influence) in self.ease.table().of(course) {
                        led[other as usize] += part[course as usize] * influence;
                    }
                }
                add(scores, &led, settings.supposed);
            }
        }
    }

    fn lean(&mut self, learner: &Learner<'_>, scores: &mut [f32]) {
        scores.fill(0.0);
        if learner.history.is_empty() {
            return;
        }
        let part = &mut self.part;
        self.ease.score(learner, scores);
        self.transitions.score(learner, part);
        for (score, entry) in scores.iter_mut().zip(part.iter()) {
            *score += self.settings.steps * entry;
        }
        let deviation = deviation(scores);
        if deviation > 0.0 {
            for score in scores.iter_mut() {
                *score /= deviation;
            }
        }
        if self.settings.content > 0.0 {
            self.alike.score(learner, part);
            add(scores, part, self.settings.content);
        }
    }

    fn learn(&mut self, learner: &Learner<'_>, course: u32) {
        self.transitions.learn(learner, course);
        self.popular.learn(learner, course);
    }
}

/// Adds a part, divided by its standard deviation, with its weight.
fn add(scores: &mut [f32], part: &[f32], weight: f32) {
    let deviation = deviation(part);
    if weight != 0.0 && deviation > 0.0 {
        let scale = weight / deviation;
        for (score, entry) in scores.iter_mut().zip(part) {
            *score += scale * entry;
        }
    }
}
