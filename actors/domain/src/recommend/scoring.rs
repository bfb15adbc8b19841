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
///
/// What every list adds up thousands of times lies by itself, so that it stays in the nearest cache: two numbers for each course, and for
/// each part of `PART` courses whether anything was added. Whatever is rare has a cell beside.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What the history says; zeros up to the end of the last part.
    lean: Vec<f32>,
    /// Likeness to the history, likewise.
    alike: Vec<f32>,
    /// Which parts are not all zeros.
    used: Vec<bool>,
    rare: Vec<Rare>,
    /// Which cells were touched, a bit each and in order of touching.
    rare_bits: Vec<u64>,
    touched: Vec<u32>,
    pub(super) pool: Vec<(u32, f32)>,
    /// One more than its place in the list, by course; 0 for what is not in it. While a list is chosen, the highest number for what
    /// may be.
    pub(super) listed: Vec<u16>,
    pub(super) influences: Vec<Influence>,
}

/// What is known of few courses while a list is made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rare {
    /// What the interests say.
    pub(super) tagged: f32,
    /// Where the interests lead.
    pub(super) led: f32,
    /// Likeness to what the learner disliked.
    pub(super) penalty: f32,
    /// Likeness to what was already chosen.
    pub(super) overlap: f32,
    pub(super) excluded: bool,
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
        let (lean, _) = self.lean.as_chunks_mut::<PART>();
        let (alike, _) = self.alike.as_chunks_mut::<PART>();
        for ((used, lean), alike) in self.used.iter_mut().zip(lean).zip(alike) {
            if std::mem::take(used) {
                *lean = [0.0; PART];
                *alike = [0.0; PART];
            }
        }
        for course in self.touched.drain(..) {
            self.rare[course as usize] = Rare::default();
            self.rare_bits[course as usize / PART] = 0;
        }
        let parts = courses.div_ceil(PART);
        self.lean.resize(parts * PART, 0.0);
        self.alike.resize(parts * PART, 0.0);
        self.used.resize(parts, false);
        self.rare.resize(courses, Rare::default());
        self.rare_bits.resize(parts, 0);
        self.listed.resize(courses, 0);
    }

    /// The cell of a course, which is emptied for the next list.
    pub(super) fn rare(&mut self, course: u32) -> &mut Rare {
        let (word, bit) = bit(course);
        let bits = &mut self.rare_bits[word];
        if *bits & bit == 0 {
            *bits |= bit;
            self.touched.push(course);
        }
        &mut self.rare[course as usize]
    }

    /// What is known of a course.
    pub(super) fn known(&self, course: u32) -> &Rare {
        &self.rare[course as usize]
    }

    /// The score of a course, before what was disliked is taken into account.
    pub(super) fn score(&self, model: &Model, scales: Scales, course: u32) -> f32 {
        let place = course as usize;
        let rare = &self.rare[place];
        self.lean[place]
            + scales.alike * self.alike[place]
            + scales.tagged * rare.tagged
            + scales.led * rare.led
            + scales.popularity * model.popularity[place]
    }

    /// What the history alone says of a course.
    pub(super) fn lean(&self, scales: Scales, course: u32) -> f32 {
        self.lean[course as usize] + scales.alike * self.alike[course as usize]
    }

    /// Fills the pool with the `size` candidates of the highest scores, best first; equals go by position.
    ///
    /// Candidates are whatever history or interests reach, and the most popular.
    pub(super) fn fill_pool(&mut self, model: &Model, scales: Scales, size: usize) {
        let mut pool = Pool {
            kept: std::mem::take(&mut self.pool),
            size,
            lowest: f32::NEG_INFINITY,
        };
        pool.kept.clear();
        for &course in &self.touched {
            if self.is_reached(course) {
                self.consider(&mut pool, model, scales, course);
            }
        }
        for &course in &model.popular {
            if !self.is_reached(course) {
                self.consider(&mut pool, model, scales, course);
            }
        }
        let (lean, _) = self.lean.as_chunks::<PART>();
        let (alike, _) = self.alike.as_chunks::<PART>();
        for (part, _) in self.used.iter().enumerate().filter(|(_, used)| **used) {
            let first = part * PART;
            let popularity = &model.popularity[first..];
            // Most parts have nobody among the best, which is seen at once for all of them.
            let mut highest = [f32::NEG_INFINITY; 8];
            for ((lean, alike), popularity) in lean[part]
                .chunks_exact(8)
                .zip(alike[part].chunks_exact(8))
                .zip(popularity.chunks_exact(8))
            {
                for place in 0..8 {
                    let score =
                        lean[place] + scales.alike * alike[place] + scales.popularity * popularity[place];
                    highest[place] = if score > highest[place] {
                        score
                    } else {
                        highest[place]
                    };
                }
            }
            let whole = popularity.len() >= PART;
            if whole && highest.iter().all(|score| *score < pool.lowest) {
                continue;
            }
            for (place, ((lean, alike), popularity)) in
                lean[part].iter().zip(&alike[part]).zip(popularity).enumerate()
            {
                let score = lean + scales.alike * alike + scales.popularity * popularity;
                // What has a cell was considered above.
                if score >= pool.lowest
                    && (*lean != 0.0 || *alike != 0.0)
                    && self.rare_bits[part] & (1 << place) == 0
                {
                    pool.consider(u32::try_from(first + place).unwrap_or(u32::MAX), score);
                }
            }
        }
        self.pool = pool.finish();
    }

    fn is_reached(&self, course: u32) -> bool {
        let rare = self.known(course);
        let place = course as usize;
        self.lean[place] != 0.0 || self.alike[place] != 0.0 || rare.tagged != 0.0 || rare.led != 0.0
    }

    /// Considers a course with all that is known of it.
    fn consider(&self, pool: &mut Pool, model: &Model, scales: Scales, course: u32) {
        let rare = self.known(course);
        if !rare.excluded {
            let score = self.score(model, scales, course);
            // What is left of the score of a course that is like disliked ones.
            let kept = if score > 0.0 {
                suppression(rare.penalty)
            } else {
                1.0
            };
            pool.consider(course, score * kept);
        }
    }
}

/// The best candidates so far, at most twice as many as are wanted.
struct Pool {
    kept: Vec<(u32, f32)>,
    size: usize,
    /// What scores less is not among the best.
    lowest: f32,
}

impl Pool {
    fn consider(&mut self, course: u32, score: f32) {
        if score >= self.lowest {
            self.kept.push((course, score));
            if self.kept.len() >= 2 * self.size.max(1) {
                self.prune();
            }
        }
    }

    fn prune(&mut self) {
        if self.kept.len() > self.size {
            self.kept.select_nth_unstable_by(self.size, by_score);
            self.kept.truncate(self.size);
            self.lowest = self
                .kept
                .iter()
                .map(|(_, score)| *score)
                .fold(f32::INFINITY, f32::min);
        }
    }

    fn finish(mut self) -> Vec<(u32, f32)> {
        self.prune();
        self.kept.sort_unstable_by(by_score);
        self.kept
    }
}

fn by_score(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Courses that are emptied, added up and passed over together: as many as one word has bits.
const PART: usize = 64;

fn bit(course: u32) -> (usize, u64) {
    (course as usize / PART, 1 << (course % 64))
}

/// Adds a row, multiplied, and says which parts it reached.
fn add(sums: &mut [f32], used: &mut [bool], row: &[(u32, f32)], weight: f32) {
    for &(course, entry) in row {
        sums[course as usize] += weight * entry;
        used[course as usize / PART] = true;
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
        let position = influence.position;
        if influence.weight > 0.0 {
            let (lean, used) = (&mut scratch.lean, &mut scratch.used);
            add(lean, used, model.ease.of(position), influence.weight);
            add(lean, used, model.steps.of(position), influence.steps);
            add(
                &mut scratch.alike,
                used,
                model.similar.of(position),
                influence.weight,
            );
        } else {
            for &(course, likeness) in model.similar.of(position) {
                scratch.rare(course).penalty -= influence.weight * likeness;
            }
        }
    }
    let stranger = !influences.iter().any(|influence| influence.weight > 0.0);
    for label in interests {
        for &(course, welcome) in &label.courses {
            scratch.rare(course).tagged += welcome;
        }
        if stranger {
            for &(course, influence) in &label.leads {
                scratch.rare(course).led += influence;
            }
        }
    }
    scales(model, scratch)
}

fn scales(model: &Model, scratch: &Scratch) -> Scales {
    let (lean, alike) = (
        sums(&scratch.lean, &scratch.used),
        sums(&scratch.alike, &scratch.used),
    );
    let [mut tagged, mut led] = [(0.0_f32, 0.0_f32); 2];
    for &course in &scratch.touched {
        let rare = scratch.known(course);
        for (sums, entry) in [(&mut tagged, rare.tagged), (&mut led, rare.led)] {
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

/// The sum of the entries and that of their squares: in 64 partial sums each, because the compiler may not reorder one.
fn sums(entries: &[f32], used: &[bool]) -> (f32, f32) {
    let (mut sum, mut squares) = ([0.0_f32; PART], [0.0_f32; PART]);
    let (parts, _) = entries.as_chunks::<PART>();
    for (part, _) in parts.iter().zip(used).filter(|(_, used)| **used) {
        for ((sum, squares), entry) in sum.iter_mut().zip(&mut squares).zip(part) {
            *sum += entry;
            *squares += entry * entry;
        }
    }
    (sum.iter().sum(), squares.iter().sum())
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
        scratch.begin(70);
        add(&mut scratch.lean, &mut scratch.used, &[(69, 1.0)], 2.0);
        scratch.rare(1).excluded = true;

        scratch.begin(66);

        assert!(scratch.touched.is_empty() && scratch.rare_bits == [0, 0] && scratch.used == [false; 2]);
        assert!(scratch.lean.iter().all(|entry| *entry == 0.0));
        assert!(scratch.rare.iter().all(|rare| !rare.excluded));
    }

    #[test]
    fn the_pool_keeps_the_best_and_equals_go_by_position() {
        let mut pool = Pool {
            kept: Vec::new(),
            size: 3,
            lowest: f32::NEG_INFINITY,
        };

        for (course, score) in [
            (9, 1.0),
            (4, 2.0),
            (7, 2.0),
            (1, 0.5),
            (3, 2.0),
            (2, 2.0),
            (8, 3.0),
        ] {
            pool.consider(course, score);
        }

        assert_eq!(pool.finish(), [(8, 3.0), (2, 2.0), (3, 2.0)]);
    }
}
