//! What a list is worth, given what a learner then took up.
//!
//! NDCG (K. Järvelin, J. Kekäläinen, TOIS 2002) with binary relevance and gain 1/log2(rank + 1); recall over everything
//! taken up; share of learners with a hit and reciprocal rank of the first; coverage and Gini index of what was shown;
//! novelty as the mean −log2 of the share of learners who know a course (S. Vargas, P. Castells, RecSys 2011).

use std::collections::{BTreeMap, BTreeSet};

use super::super::models::Histories;
use super::{Dataset, Event, Lists};

/// Means over learners or events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mean {
    /// How many learners or events.
    pub count: usize,
    /// Normalised discounted cumulative gain of the first ten.
    pub ndcg_10: f64,
    /// Share of what was taken up that the first twenty hold.
    pub recall_20: f64,
    /// Normalised discounted cumulative gain of the first twenty.
    pub ndcg_20: f64,
    /// Share with a hit in the first ten.
    pub hit_10: f64,
    /// Reciprocal rank of the first hit in the first ten.
    pub reciprocal_10: f64,
}

impl Mean {
    /// Adds one list's figures; `relevant` is in order.
    fn add(&mut self, list: &[u32], relevant: &[u32]) {
        let hit = |course: &u32| relevant.binary_search(course).is_ok();
        let ndcg = |depth: usize| {
            let hits = list
                .iter()
                .take(depth)
                .enumerate()
                .filter(|(_, course)| hit(course));
            let ideal: f64 = (0..relevant.len().min(depth)).map(discount).sum();
            hits.map(|(rank, _)| discount(rank)).sum::<f64>() / ideal
        };
        self.count += 1;
        self.ndcg_10 += ndcg(10);
        self.ndcg_20 += ndcg(20);
        self.recall_20 +=
            real(list.iter().take(20).filter(|course| hit(course)).count()) / real(relevant.len());
        if let Some(first) = list.iter().take(10).position(hit) {
            self.hit_10 += 1.0;
            self.reciprocal_10 += 1.0 / real(first + 1);
        }
    }

    fn finished(mut self) -> Self {
        let count = real(self.count.max(1));
        for sum in [
            &mut self.ndcg_10,
            &mut self.recall_20,
            &mut self.ndcg_20,
            &mut self.hit_10,
            &mut self.reciprocal_10,
        ] {
            *sum /= count;
        }
        self
    }
}

/// What the lists for the learners of a test are worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Over all learners of the test.
    pub all: Mean,
    /// Learners with at most 2, with 3 to 5 and with more courses before the test.
    pub groups: [Mean; 3],
    /// Distinct courses of all first tens against those that were taken up before.
    pub coverage_10: f64,
    /// How unequally courses are shown: 0 equally, 1 one alone.
    pub gini_10: f64,
    /// How little known what is shown is, in bits.
    pub novelty_10: f64,
    /// Learners of the test who have a list.
    pub listed: usize,
}

/// Compares lists with a test; a learner without a list counts as zero.
pub fn quality(lists: &Lists, test: &[Event], histories: &Histories) -> Quality {
    let mut truth: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for event in test {
        truth.entry(event.learner).or_default().push(event.taken.course);
    }
    let lists: BTreeMap<u32, &[u32]> = lists
        .iter()
        .map(|(learner, list)| (*learner, list.as_slice()))
        .collect();
    let counts = histories.counts();
    let trained = histories.iter().filter(|history| !history.is_empty()).count();
    let mut shown = vec![0_u32; histories.courses()];
    let mut quality = Quality::default();
    let (mut bits, mut places) = (0.0, 0_usize);
    for (learner, relevant) in &mut truth {
        relevant.sort_unstable();
        relevant.dedup();
        let list = lists.get(learner).copied().unwrap_or_default();
        quality.listed += usize::from(!list.is_empty());
        quality.all.add(list, relevant);
        let group = match histories.of(*learner).len() {
            0..=2 => 0,
            3..=5 => 1,
            _ => 2,
        };
        quality.groups[group].add(list, relevant);
        for course in list.iter().take(10) {
            shown[*course as usize] += 1;
            bits -= (f64::from(counts[*course as usize].max(1)) / real(trained.max(1))).log2();
            places += 1;
        }
    }
    let catalog = counts.iter().filter(|count| **count > 0).count();
    let both = shown
        .iter()
        .zip(&counts)
        .filter(|(shown, count)| **shown > 0 && **count > 0);
    quality.coverage_10 = real(both.count()) / real(catalog.max(1));
    quality.gini_10 = gini(shown, catalog);
    quality.novelty_10 = bits / real(places.max(1));
    quality.all = quality.all.finished();
    quality.groups = quality.groups.map(Mean::finished);
    quality
}

/// What prequential lists are worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hits {
    /// Over all events.
    pub all: Mean,
    /// Over events of learners who were unknown before the stream.
    pub newcomers: Mean,
    /// Over events of learners who had events in the stream before.
    pub live: Mean,
}

/// Compares the list made before each event with that event.
pub fn hits(lists: &[Vec<u32>], dataset: &Dataset) -> Hits {
    let known: BTreeSet<u32> = dataset.train.iter().map(|event| event.learner).collect();
    let mut live: BTreeSet<u32> = BTreeSet::new();
    let mut hits = Hits::default();
    for (list, event) in lists.iter().zip(&dataset.stream) {
        let relevant = [event.taken.course];
        hits.all.add(list, &relevant);
        if !known.contains(&event.learner) {
            hits.newcomers.add(list, &relevant);
        }
        if !live.insert(event.learner) {
            hits.live.add(list, &relevant);
        }
    }
    Hits {
        all: hits.all.finished(),
        newcomers: hits.newcomers.finished(),
        live: hits.live.finished(),
    }
}

/// The gain of a hit at a rank from 0.
fn discount(rank: usize) -> f64 {
    1.0 / real(rank + 2).log2()
}

fn gini(mut shown: Vec<u32>, catalog: usize) -> f64 {
    // Courses beyond the catalog that were taken up before count in place of those that were never shown.
    shown.sort_unstable_by(|a, b| b.cmp(a));
    shown.truncate(catalog);
    let total: f64 = shown.iter().map(|count| f64::from(*count)).sum();
    if total == 0.0 {
        return 1.0;
    }
    let size = real(catalog);
    let weighted: f64 = (1..)
        .zip(shown.iter().rev())
        .map(|(rank, count)| (2.0 * real(rank) - size - 1.0) * f64::from(*count))
        .sum();
    weighted / (size * total)
}

fn real(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let real = count as f64;
    real
}

#[cfg(test)]
mod tests {
    use super::super::super::models::Taken;
    use super::*;

    fn event(learner: u32, course: u32) -> Event {
        Event {
            learner,
            taken: Taken { course, at: 0 },
        }
    }

    fn histories(events: &[Event], courses: usize) -> Histories {
        let mut histories = Histories::new(courses);
        for event in events {
            histories.push(event.learner, event.taken);
        }
        histories
    }

    #[test]
    fn a_perfect_list_is_worth_one_and_none_is_worth_zero() {
        let histories = histories(&[event(0, 2), event(1, 0)], 3);
        let test = [event(0, 0), event(0, 1), event(1, 1)];

        let quality = quality(&vec![(0, vec![1, 0])], &test, &histories);

        assert_eq!(quality.all.count, 2);
        assert_eq!(quality.listed, 1);
        assert!((quality.all.ndcg_10 - 0.5).abs() < 1e-12);
        assert!((quality.all.recall_20 - 0.5).abs() < 1e-12);
        assert!((quality.all.hit_10 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_hit_at_the_second_place_gains_less() {
        let histories = histories(&[event(0, 2)], 3);

        let quality = quality(&vec![(0, vec![0, 1])], &[event(0, 1)], &histories);

        assert!((quality.all.ndcg_10 - 1.0 / 3.0_f64.log2()).abs() < 1e-12);
        assert!((quality.all.reciprocal_10 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn coverage_counts_only_courses_that_were_taken_up_before() {
        let histories = histories(&[event(0, 0), event(1, 1)], 4);

        let quality = quality(&vec![(0, vec![1, 3])], &[event(0, 1)], &histories);

        assert!((quality.coverage_10 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn one_course_shown_to_everybody_is_most_unequal() {
        assert!((gini(vec![0, 0, 0, 8], 4) - 0.75).abs() < 1e-12);
        assert!(gini(vec![2, 2, 2, 2], 4).abs() < 1e-12);
        assert!((gini(vec![0, 0], 2) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn events_of_the_stream_are_told_apart_by_what_was_known_of_the_learner() {
        let dataset = Dataset {
            train: vec![event(0, 0)],
            stream: vec![event(0, 1), event(0, 2), event(1, 1)],
            ..Dataset::default()
        };

        let hits = hits(&[vec![1], vec![0], vec![0, 1]], &dataset);

        assert_eq!((hits.all.count, hits.newcomers.count, hits.live.count), (3, 1, 1));
        assert!((hits.all.hit_10 - 2.0 / 3.0).abs() < 1e-12);
        assert!((hits.newcomers.reciprocal_10 - 0.5).abs() < 1e-12);
        assert!(hits.live.hit_10.abs() < 1e-12);
    }
}
