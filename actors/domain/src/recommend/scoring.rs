//! Scores of the courses that a learner's history and interests reach, without touching the others.
//!
//! ```text
//! s = Σ_j w_j·(EASE_ji + κ·steps_ji)                     what learners like this one went on to
//!   + σ·(ξ·z(content) + π·z(√popularity) + ι·z(interests · √popularity))
//! ```
//!
//! with w the weight of the activity times e^(−rank/τ), z dividing by the standard deviation over the whole catalog and σ that of the first line: the
//! formula of the offline [`Stack`](super::models::Stack) times σ, so that scores keep the unit of what was learned. A learner without
//! a history has σ = 1, and where the favourite courses of their interests lead is added.
//!
//! A course that nothing reaches has the score π·z(√popularity) and is only a candidate if it is among the most popular. Sums
//! live in a reusable [`Scratch`], of which only what was touched is emptied again.

use super::model::{Label, Model};
use super::profile::Profile;
use super::trained::spread;

/// Sums per course, reused from list to list.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) cells: Vec<Cell>,
    pub(super) touched: Vec<u32>,
    pub(super) pool: Vec<(u32, f32)>,
    pub(super) influences: Vec<Influence>,
}

/// What is known of one course while a list is made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    /// What the history says.
    pub(super) lean: f32,
    /// Likeness to the history.
    pub(super) alike: f32,
    /// What the interests say.
    pub(super) tagged: f32,
    /// Where the interests lead.
    pub(super) led: f32,
    /// Likeness to what the learner disliked.
    pub(super) penalty: f32,
    /// Likeness to what was already chosen.
    pub(super) overlap: f32,
    pub(super) mark: Mark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Mark {
    #[default]
    Untouched,
    Candidate,
    Excluded,
    /// Its place in the list.
    Listed(u32),
}

/// One studied course that speaks for or against others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Influence {
    pub(super) position: u32,
    /// What it counts by EASE and likeness; negative for what was disliked.
    pub(super) weight: f32,
    /// What its steps count.
    pub(super) steps: f32,
}

/// What the parts of a score are multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    pub(super) alike: f32,
    pub(super) tagged: f32,
    pub(super) led: f32,
    pub(super) popularity: f32,
}

impl Scratch {
    /// Empties what the last list touched.
    pub(super) fn begin(&mut self, courses: usize) {
        for course in self.touched.drain(..) {
            self.cells[course as usize] = Cell::default();
        }
        self.cells.resize(courses, Cell::default());
    }

    /// The cell of a course, which is emptied for the next list.
    pub(super) fn cell(&mut self, course: u32) -> &mut Cell {
        let cell = &mut self.cells[course as usize];
        if cell.mark == Mark::Untouched {
            cell.mark = Mark::Candidate;
            self.touched.push(course);
        }
        cell
    }
}

/// Recent history with its weights.
pub(super) fn influences(model: &Model, profile: &Profile, into: &mut Vec<Influence>) {
    into.clear();
    let mut fading = Fading::new(model);
    for recent in profile.history() {
        let weight = model.settings.weights.of(recent.activity, recent.value);
        let (by_ease, by_steps) = fading.next();
        if let Some(position) = model.position(recent.course) {
            into.push(Influence {
                position,
                weight: weight * by_ease,
                steps: weight * by_steps,
            });
        }
    }
}

/// e^(−rank/τ) of one course of a history after another, the newest first.
pub(super) struct Fading {
    weights: (f32, f32),
    factors: (f32, f32),
}

impl Fading {
    pub(super) fn new(model: &Model) -> Self {
        let stack = &model.settings.stack;
        let factor = |tau: f32| (-1.0 / tau.max(0.05)).exp();
        Fading {
            weights: (1.0, 1.0),
            factors: (
                factor(stack.ease.recency_tau),
                factor(stack.transitions.recency_tau),
            ),
        }
    }

    pub(super) fn next(&mut self) -> (f32, f32) {
        let weights = self.weights;
        self.weights.0 *= self.factors.0;
        self.weights.1 *= self.factors.1;
        weights
    }
}

/// Adds up what history and interests say of every course they reach, and returns how the parts are weighed.
pub(super) fn score<'a>(
    model: &'a Model,
    influences: &[Influence],
    interests: impl Iterator<Item = &'a Label>,
    scratch: &mut Scratch,
) -> Scales {
    for influence in influences {
        if influence.weight > 0.0 {
            for &(course, weight) in model.ease.of(influence.position) {
                scratch.cell(course).lean += influence.weight * weight;
            }
            for &(course, weight) in model.steps.of(influence.position) {
                scratch.cell(course).lean += influence.steps * weight;
            }
            for &(course, likeness) in model.similar.of(influence.position) {
                scratch.cell(course).alike += influence.weight * likeness;
            }
        } else {
            for &(course, likeness) in model.similar.of(influence.position) {
                scratch.cell(course).penalty -= influence.weight * likeness;
            }
        }
    }
    let stranger = !influences.iter().any(|influence| influence.weight > 0.0);
    for label in interests {
        for &(course, welcome) in &label.courses {
            scratch.cell(course).tagged += welcome;
        }
        if stranger {
            for &(course, influence) in &label.leads {
                scratch.cell(course).led += influence;
            }
        }
    }
    for &course in &model.popular {
        scratch.cell(course);
    }
    scales(model, scratch)
}

fn scales(model: &Model, scratch: &Scratch) -> Scales {
    let [mut lean, mut alike, mut tagged, mut led] = [(0.0_f32, 0.0_f32); 4];
    for &course in &scratch.touched {
        let cell = &scratch.cells[course as usize];
        let parts = [
            (&mut lean, cell.lean),
            (&mut alike, cell.alike),
            (&mut tagged, cell.tagged),
            (&mut led, cell.led),
        ];
        for (sums, entry) in parts {
            sums.0 += entry;
            sums.1 += entry * entry;
        }
    }
    let courses = model.course_count();
    let spread = |sums: (f32, f32)| spread(sums.0, sums.1, courses);
    let unit = match spread(lean) {
        nothing if nothing <= 0.0 => 1.0,
        unit => unit,
    };
    let scale = |weight: f32, sums: (f32, f32)| match spread(sums) {
        nothing if nothing <= 0.0 => 0.0,
        spread => unit * weight / spread,
    };
    let stack = &model.settings.stack;
    Scales {
        alike: scale(stack.content, alike),
        tagged: scale(stack.interests, tagged),
        led: scale(stack.supposed, led),
        popularity: unit,
    }
}

impl Scales {
    /// The score of a course, before what was disliked is taken into account.
    pub(super) fn of(&self, cell: &Cell, popularity: f32) -> f32 {
        cell.lean
            + self.alike * cell.alike
            + self.tagged * cell.tagged
            + self.led * cell.led
            + self.popularity * popularity
    }
}

/// What is left of the score of a course that is like disliked ones.
pub(super) fn suppression(penalty: f32) -> f32 {
    (1.0 - penalty).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_is_empty_again_for_the_next_list() {
        let mut scratch = Scratch::default();
        scratch.begin(3);
        scratch.cell(2).lean = 1.0;
        scratch.cell(1).mark = Mark::Excluded;

        scratch.begin(2);

        assert!(scratch.touched.is_empty());
        let empty = |cell: &Cell| cell.mark == Mark::Untouched && cell.lean == 0.0;
        assert!(scratch.cells.len() == 2 && scratch.cells.iter().all(empty));
    }
}
