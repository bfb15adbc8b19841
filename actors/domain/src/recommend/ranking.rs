//! A model and a profile become a list in which every score is explained.
//!
//! Flow: [`scoring`] adds up what history, interests and popularity say of each candidate; likeness to what was disliked scales a
//! candidate down; excluded courses drop out; a pool of the best is diversified; the contributions of the chosen few
//! are told as reasons.
//!
//! Invariants: the shares of an item's reasons sum exactly to its score; the same model and profile give the same
//! list; no excluded course is ever listed.

use super::model::{Model, Source};
use super::profile::Profile;
use super::scoring::{self, Influence, Scales, Scratch, suppression};
use crate::ids::CourseId;

/// Studied courses an item names; what more courses contributed is told as one sum.
const STUDIED_REASONS_MAX: usize = 3;
/// Places of a list are counted in sixteen bits, of which none is beyond this.
const LISTED_MAX: usize = 65_534;
/// Stands for the place of what may still be chosen.
const POOLED: u16 = u16::MAX;

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

/// Ranks at most `limit` courses for a user, best and most varied first.
pub fn rank(model: &Model, profile: &Profile, limit: usize, scratch: &mut Scratch) -> Vec<Recommendation> {
    let limit = limit.min(LISTED_MAX);
    let size = limit.saturating_mul(model.settings.lists.pool_per_item.max(1));
    let scales = score(model, profile, size, scratch);
    let chosen = choose(model, limit, scratch);
    explain(model, profile, scales, &chosen, scratch)
}

/// The `count` courses that score highest for a user, best first, each by its position: what a list is chosen from.
pub fn candidates<'a>(
    model: &Model,
    profile: &Profile,
    count: usize,
    scratch: &'a mut Scratch,
) -> &'a [(u32, f32)] {
    score(model, profile, count, scratch);
    &scratch.pool
}

/// Scores whatever the user's history and interests reach, and keeps the best.
fn score(model: &Model, profile: &Profile, size: usize, scratch: &mut Scratch) -> Scales {
    let mut influences = std::mem::take(&mut scratch.influences);
    scoring::influences(model, profile, &mut influences);
    scratch.begin(model.course_count());
    for course in profile.excluded() {
        if let Some(position) = model.position(course) {
            scratch.rare(position).excluded = true;
        }
    }
    let interests = profile
        .likes()
        .iter()
        .filter_map(|interest| model.label(interest));
    let scales = scoring::score(model, &influences, interests, scratch);
    scratch.influences = influences;
    scratch.fill_pool(model, scales, size);
    scales
}

/// Picks the best candidates one after another, each the less welcome the more it is like one already chosen.
///
/// Relevance is measured from the lowest of the pool, since a score's zero means nothing.
fn choose(model: &Model, limit: usize, scratch: &mut Scratch) -> Vec<u32> {
    let lists = &model.settings.lists;
    let mut pool = std::mem::take(&mut scratch.pool);
    for &(course, _) in &pool {
        scratch.listed[course as usize] = POOLED;
    }

    let lowest = pool.last().map_or(0.0, |last| last.1);
    let range = pool.first().map_or(0.0, |best| best.1 - lowest);
    let scale = lists.relevance / range.max(f32::MIN_POSITIVE);
    let mut chosen = Vec::with_capacity(limit.min(pool.len()));
    while chosen.len() < limit {
        let mut best: Option<(usize, f32)> = None;
        for (index, &(course, score)) in pool.iter().enumerate() {
            let relevance = scale * (score - lowest);
            // The pool is in order of relevance and overlap only takes away: nothing further can win.
            if best.is_some_and(|(_, value)| relevance <= value) {
                break;
            }
            let value = relevance - (1.0 - lists.relevance) * scratch.known(course).overlap;
            if best.is_none_or(|(_, known)| value > known) {
                best = Some((index, value));
            }
        }
        let Some((index, _)) = best else { break };
        let (course, _) = pool.remove(index);
        for &(other, likeness) in model.similar.of(course) {
            // Nobody asks for the likeness of what cannot be chosen.
            if scratch.listed[other as usize] == POOLED {
                let rare = scratch.rare(other);
                rare.overlap = rare.overlap.max(likeness);
            }
        }
        chosen.push(course);
    }
    for &course in pool.iter().map(|(course, _)| course).chain(&chosen) {
        scratch.listed[course as usize] = 0;
    }
    scratch.pool = pool;
    chosen
}

/// Walks the contributions once more and keeps those of the chosen courses.
fn explain(
    model: &Model,
    profile: &Profile,
    scales: Scales,
    chosen: &[u32],
    scratch: &mut Scratch,
) -> Vec<Recommendation> {
    let mut list = Vec::with_capacity(chosen.len());
    for (&course, place) in chosen.iter().zip(1_u16..) {
        scratch.listed[course as usize] = place;
        list.push(Drafted::default());
    }
    let (listed, influences) = (&scratch.listed, &scratch.influences);
    let add = |list: &mut Vec<Drafted>, course: u32, part: Part, share: f32| {
        let place = listed[course as usize];
        if place > 0 {
            list[usize::from(place) - 1].add(part, share);
        }
    };
    for (studied, influence) in (0_u32..).zip(influences) {
        if influence.weight <= 0.0 {
            continue;
        }
        for &(course, weight) in model.ease.of(influence.position) {
            add(
                &mut list,
                course,
                Part::Learned(studied),
                influence.weight * weight,
            );
        }
        for &(course, weight) in model.steps.of(influence.position) {
            add(
                &mut list,
                course,
                Part::Learned(studied),
                influence.steps * weight,
            );
        }
        for &(course, likeness) in model.similar.of(influence.position) {
            let share = scales.alike * influence.weight * likeness;
            add(&mut list, course, Part::Alike(studied), share);
        }
    }
    let stranger = !influences.iter().any(|influence| influence.weight > 0.0);
    for (interest, name) in (0_u32..).zip(profile.likes()) {
        let Some(label) = model.label(name) else { continue };
        for &(course, welcome) in &label.courses {
            add(
                &mut list,
                course,
                Part::Interest(interest),
                scales.tagged * welcome,
            );
        }
        for &(course, influence) in label.leads.iter().filter(|_| stranger) {
            add(
                &mut list,
                course,
                Part::Interest(interest),
                scales.led * influence,
            );
        }
    }
    for &course in chosen {
        scratch.listed[course as usize] = 0;
    }
    let drafted = list.into_iter().zip(chosen);
    drafted
        .map(|(mut item, &course)| {
            item.add(
                Part::Popular,
                scales.popularity * model.popularity[course as usize],
            );
            let kept = suppression(scratch.known(course).penalty);
            item.finish(model, profile, &scratch.influences, course, kept)
        })
        .collect()
}

/// What contributes to a score, by places in the history and among the interests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Learned(u32),
    Alike(u32),
    Interest(u32),
    Popular,
}

/// An item while its contributions are gathered.
#[derive(Debug, Default)]
struct Drafted {
    /// One for each part; those of one part follow one another.
    parts: Vec<(Part, f32)>,
}

impl Drafted {
    fn add(&mut self, part: Part, share: f32) {
        match self.parts.last_mut() {
            Some((last, known)) if *last == part => *known += share,
            _ => self.parts.push((part, share)),
        }
    }

    /// Tells the contributions as reasons. What speaks against the course takes from all that speak for it, in proportion.
    fn finish(
        self,
        model: &Model,
        profile: &Profile,
        influences: &[Influence],
        course: u32,
        kept: f32,
    ) -> Recommendation {
        let total: f32 = self.parts.iter().map(|(_, share)| share).sum();
        let positive: f32 = self.parts.iter().map(|(_, share)| share.max(0.0)).sum();
        let scale = if positive > 0.0 {
            kept * total.max(0.0) / positive
        } else {
            0.0
        };
        let mut item = Recommendation {
            course: model.courses()[course as usize],
            score: 0,
            reasons: Vec::new(),
            source: Source::Popular,
        };
        let [mut learned, mut alike] = [0_u32; 2];
        for (part, share) in self.parts {
            let share = millionths(scale * share.max(0.0));
            let studied = |place: u32| {
                ReasonKind::Studied(model.courses()[influences[place as usize].position as usize])
            };
            let kind = match part {
                Part::Learned(place) => {
                    learned += share;
                    studied(place)
                }
                Part::Alike(place) => {
                    alike += share;
                    studied(place)
                }
                Part::Interest(place) => ReasonKind::Interest(profile.likes()[place as usize].clone()),
                Part::Popular => ReasonKind::Popular,
            };
            if share > 0 {
                item.add(kind, share);
            }
        }
        item.finish(if learned >= alike {
            Source::Trained
        } else {
            Source::Content
        });
        item
    }
}

fn millionths(share: f32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares are small and not negative, and the cast saturates"
    )]
    let millionths = (share * 1e6).round() as u32;
    millionths
}

impl Recommendation {
    /// Adds to what this reason says already.
    fn add(&mut self, kind: ReasonKind, share: u32) {
        match self.reasons.iter_mut().find(|reason| reason.kind == kind) {
            Some(reason) => reason.share += share,
            None => self.reasons.push(Reason { kind, share }),
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

#[cfg(test)]
mod tests;
