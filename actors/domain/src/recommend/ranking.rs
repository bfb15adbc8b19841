//! Pure candidate scoring: a model and a profile become a list in which every score is explained.
//!
//! Flow: related courses of recent history, courses of the user's interests and popular courses add up per
//! candidate; likeness to what was disliked scales a candidate down; excluded courses drop out; a pool of the
//! best is diversified; the contributions of the chosen few are told as reasons.
//!
//! Invariants: the shares of an item's reasons sum exactly to its score; the same model and profile give the same
//! list; no excluded course is ever listed. Sums live in a reusable [`Scratch`], so a list allocates little more
//! than itself.

use super::model::{Label, Model, Source};
use super::profile::Profile;
use crate::ids::CourseId;

/// Studied courses an item names; what more courses contributed is told as one sum.
const STUDIED_REASONS_MAX: usize = 3;

/// One course to study next.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// The course.
    pub course: CourseId,
    /// Relevance in millionths, the sum of the reasons' shares.
    pub score: u32,
    /// Why, strongest first.
    pub reasons: Vec<Reason>,
    /// What most of the score rests on.
    pub source: Source,
}

/// One part of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// What it rests on.
    pub kind: ReasonKind,
    /// Its part of the score in millionths.
    pub share: u32,
}

/// What a part of a score rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReasonKind {
    /// The user studied, bought or looked at this course.
    Studied(CourseId),
    /// Further courses the user studied.
    History,
    /// The course belongs to this interest of the user.
    Interest(String),
    /// Many study it now.
    Popular,
}

/// Sums per course, reused from list to list.
#[derive(Debug, Default)]
pub struct Scratch {
    cells: Vec<Cell>,
    touched: Vec<u32>,
    pool: Vec<(u32, f32)>,
}

/// What is known of one course while a list is made.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    score: f32,
    /// Likeness to what the user disliked.
    penalty: f32,
    /// Likeness to what was already chosen.
    overlap: f32,
    mark: Mark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mark {
    #[default]
    Untouched,
    Candidate,
    Excluded,
    /// Its place in the list.
    Listed(u32),
}

/// One studied course that speaks for or against others.
struct Influence {
    position: u32,
    weight: f32,
}

/// Ranks at most `limit` courses for a user, best and most varied first.
pub fn rank(model: &Model, profile: &Profile, limit: usize, scratch: &mut Scratch) -> Vec<Recommendation> {
    let influences = influences(model, profile);
    scratch.begin(model.course_count());
    for course in profile.excluded() {
        if let Some(position) = model.position(course) {
            scratch.cell(position).mark = Mark::Excluded;
        }
    }
    score(model, profile, &influences, scratch);
    let chosen = choose(model, limit, scratch);
    explain(model, profile, &influences, &chosen, scratch)
}

/// Recent history with its weights: e^(−rank/τ) each, positive ones summing to the weight of history.
fn influences(model: &Model, profile: &Profile) -> Vec<Influence> {
    let blend = &model.settings.blend;
    let mut influences = Vec::with_capacity(profile.recent().len());
    let mut recency = 1.0_f32;
    let fading = (-1.0 / blend.recency_tau.max(0.1)).exp();
    let mut total = 0.0_f32;
    for recent in profile.recent() {
        let weight = model.settings.weights.of(recent.activity, recent.value) * recency;
        recency *= fading;
        if let Some(position) = model.position(recent.course) {
            total += weight.max(0.0);
            influences.push(Influence { position, weight });
        }
    }
    for influence in &mut influences {
        if influence.weight > 0.0 {
            influence.weight *= blend.history / total;
        }
    }
    influences
}

fn score(model: &Model, profile: &Profile, influences: &[Influence], scratch: &mut Scratch) {
    for influence in influences {
        if influence.weight > 0.0 {
            for &(course, weight) in model.related.of(influence.position) {
                scratch.add(course, influence.weight * weight);
            }
        } else {
            for &(course, similarity) in model.similar.of(influence.position) {
                scratch.cell(course).penalty -= influence.weight * similarity;
            }
        }
    }
    for (_, weight, label) in interests(model, profile) {
        for &course in &label.courses {
            scratch.add(course, weight * model.preference[course as usize]);
        }
    }
    for &course in &model.popular {
        scratch.add(course, 0.0);
    }
}

/// A user's interests that the catalog knows, with the weight each adds to its preferred courses.
fn interests<'a>(model: &'a Model, profile: &'a Profile) -> impl Iterator<Item = (&'a str, f32, &'a Label)> {
    profile.interests().iter().filter_map(|interest| {
        let label = model.labels.get(interest)?;
        Some((
            interest.as_str(),
            model.settings.blend.interests * label.weight,
            label,
        ))
    })
}

/// Picks the best candidates one after another, each the less welcome the more it is like one already chosen.
fn choose(model: &Model, limit: usize, scratch: &mut Scratch) -> Vec<u32> {
    let blend = &model.settings.blend;
    let mut pool = std::mem::take(&mut scratch.pool);
    pool.clear();
    for &course in &scratch.touched {
        let cell = scratch.cells[course as usize];
        if cell.mark == Mark::Candidate {
            let score = cell.score + blend.popularity * model.popularity[course as usize];
            pool.push((course, score * suppression(cell.penalty)));
        }
    }
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let size = limit.saturating_mul(blend.pool_per_item.max(1));
    if pool.len() > size {
        pool.select_nth_unstable_by(size, order);
        pool.truncate(size);
    }
    pool.sort_unstable_by(order);

    let scale = blend.mmr / pool.first().map_or(1.0, |best| best.1.max(f32::MIN_POSITIVE));
    let mut chosen = Vec::with_capacity(limit.min(pool.len()));
    while chosen.len() < limit {
        let mut best: Option<(usize, f32)> = None;
        for (index, &(course, score)) in pool.iter().enumerate() {
            let relevance = scale * score;
            // The pool is in order of relevance and overlap only takes away: nothing further can win.
            if best.is_some_and(|(_, value)| relevance <= value) {
                break;
            }
            let value = relevance - (1.0 - blend.mmr) * scratch.cells[course as usize].overlap;
            if best.is_none_or(|(_, known)| value > known) {
                best = Some((index, value));
            }
        }
        let Some((index, _)) = best else { break };
        let (course, _) = pool.remove(index);
        for &(other, similarity) in model.similar.of(course) {
            let cell = scratch.cell(other);
            cell.overlap = cell.overlap.max(similarity);
        }
        chosen.push(course);
    }
    scratch.pool = pool;
    chosen
}

/// What is left of the score of a course that is like disliked ones.
fn suppression(penalty: f32) -> f32 {
    (1.0 - penalty).clamp(0.0, 1.0)
}

/// Walks the contributions once more and keeps those of the chosen courses.
fn explain(
    model: &Model,
    profile: &Profile,
    influences: &[Influence],
    chosen: &[u32],
    scratch: &mut Scratch,
) -> Vec<Recommendation> {
    let mut list = Vec::with_capacity(chosen.len());
    for (&course, place) in chosen.iter().zip(0_u32..) {
        scratch.cell(course).mark = Mark::Listed(place);
        let course = model.courses()[course as usize];
        list.push(Recommendation {
            course,
            score: 0,
            reasons: Vec::new(),
            source: Source::Popular,
        });
    }
    let add = |list: &mut Vec<Recommendation>, course: u32, share: f32, kind: &dyn Fn() -> ReasonKind| {
        let cell = scratch.cells[course as usize];
        if let Mark::Listed(place) = cell.mark {
            list[place as usize].add(kind, share * suppression(cell.penalty));
        }
    };
    for influence in influences.iter().filter(|influence| influence.weight > 0.0) {
        let studied = model.courses()[influence.position as usize];
        for &(course, weight) in model.related.of(influence.position) {
            add(&mut list, course, influence.weight * weight, &|| {
                ReasonKind::Studied(studied)
            });
        }
    }
    for (interest, weight, label) in interests(model, profile) {
        for &course in &label.courses {
            let share = weight * model.preference[course as usize];
            add(&mut list, course, share, &|| {
                ReasonKind::Interest(interest.to_owned())
            });
        }
    }
    for &course in chosen {
        let weight = model.settings.blend.popularity * model.popularity[course as usize];
        add(&mut list, course, weight, &|| ReasonKind::Popular);
    }
    for item in &mut list {
        item.finish(model.related_source);
    }
    list
}

impl Recommendation {
    fn add(&mut self, kind: &dyn Fn() -> ReasonKind, share: f32) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "shares are small, and the cast saturates"
        )]
        let share = (share * 1e6).round() as u32;
        if share > 0 {
            self.reasons.push(Reason { kind: kind(), share });
        }
    }

    /// Orders the reasons, folds the many small ones and derives score and source from them.
    fn finish(&mut self, related: Source) {
        self.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.share));
        let (mut named, mut folded) = (0, 0);
        let [mut history, mut interests, mut popular] = [0_u32; 3];
        self.reasons.retain(|reason| {
            match reason.kind {
                ReasonKind::Studied(_) | ReasonKind::History => history += reason.share,
                ReasonKind::Interest(_) => interests += reason.share,
                ReasonKind::Popular => popular += reason.share,
            }
            let studied = matches!(reason.kind, ReasonKind::Studied(_));
            named += usize::from(studied);
            let keep = !studied || named <= STUDIED_REASONS_MAX;
            folded += if keep { 0 } else { reason.share };
            keep
        });
        if folded > 0 {
            self.reasons.push(Reason {
                kind: ReasonKind::History,
                share: folded,
            });
        }
        if self.reasons.is_empty() {
            // Nobody has studied anything yet: the list still says what it would rest on.
            self.reasons.push(Reason {
                kind: ReasonKind::Popular,
                share: 0,
            });
        }
        self.score = history + interests + popular;
        self.source = match () {
            () if history >= interests && history >= popular && history > 0 => related,
            () if interests >= popular && interests > 0 => Source::Interests,
            () => Source::Popular,
        };
    }
}

impl Scratch {
    fn begin(&mut self, courses: usize) {
        self.cells.clear();
        self.cells.resize(courses, Cell::default());
        self.touched.clear();
    }

    fn cell(&mut self, course: u32) -> &mut Cell {
        &mut self.cells[course as usize]
    }

    fn add(&mut self, course: u32, amount: f32) {
        let cell = &mut self.cells[course as usize];
        cell.score += amount;
        if cell.mark == Mark::Untouched {
            cell.mark = Mark::Candidate;
            self.touched.push(course);
        }
    }
}

#[cfg(test)]
mod tests;
