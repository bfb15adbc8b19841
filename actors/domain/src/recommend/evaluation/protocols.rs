//! The four tasks: known learners, one event after another, courses nobody has taken up, learners nobody knows.

use super::super::model::Neighbours;
use super::super::models::{Histories, Learner, Scorer, Taken};
use super::Dataset;

/// A list of courses for each learner, in order of the learners' numbers.
pub type Lists = Vec<(u32, Vec<u32>)>;

/// P1: lists for every learner of the test, of all courses that were taken up before, without their own.
pub fn stationary(dataset: &Dataset, histories: &Histories, model: &mut dyn Scorer, limit: usize) -> Lists {
    let known: Vec<bool> = histories.counts().into_iter().map(|count| count > 0).collect();
    let mut scores = vec![0.0; histories.courses()];
    let now = histories.end();
    learners(dataset.test.iter().map(|event| event.learner))
        .map(|learner| {
            let history = histories.of(learner);
            model.score(
                &Learner {
                    history,
                    interests: &[],
                    now,
                },
                &mut scores,
            );
            let own = sorted(history);
            let mut allowed = |course: u32| known[course as usize] && own.binary_search(&course).is_err();
            (learner, model.choose(&scores, limit, &mut allowed))
        })
        .collect()
}

/// P2: for every event of the stream a list before it is learned, without what the learner already has.
pub fn prequential(
    dataset: &Dataset,
    histories: &Histories,
    model: &mut dyn Scorer,
    limit: usize,
) -> Vec<Vec<u32>> {
    let mut histories = histories.clone();
    let mut scores = vec![0.0; histories.courses()];
    let mut lists = Vec::with_capacity(dataset.stream.len());
    for event in &dataset.stream {
        let history = histories.of(event.learner);
        let learner = Learner {
            history,
            interests: &[],
            now: event.taken.at,
        };
        model.score(&learner, &mut scores);
        let own = sorted(history);
        lists.push(model.choose(&scores, limit, &mut |course| own.binary_search(&course).is_err()));
        model.learn(&learner, event.taken.course);
        histories.push(event.learner, event.taken);
    }
    lists
}

/// P3: lists of the candidates alone, scored through their neighbours: Σ sim² · s over the courses most like each.
pub fn cold_courses(
    dataset: &Dataset,
    histories: &Histories,
    model: &mut dyn Scorer,
    neighbours: &Neighbours,
    limit: usize,
) -> Lists {
    let mut scores = vec![0.0; histories.courses()];
    let mut carried = vec![0.0; histories.courses()];
    let now = histories.end();
    learners(dataset.cold.iter().map(|event| event.learner))
        .map(|learner| {
            let history = histories.of(learner);
            model.lean(
                &Learner {
                    history,
                    interests: &[],
                    now,
                },
                &mut scores,
            );
            for &candidate in &dataset.candidates {
                carried[candidate as usize] = neighbours
                    .of(candidate)
                    .iter()
                    .map(|(course, similarity)| similarity * similarity * scores[*course as usize])
                    .sum();
            }
            let list = model.choose(&carried, limit, &mut |course| {
                dataset.candidates.binary_search(&course).is_ok()
            });
            (learner, list)
        })
        .collect()
}

/// What P4 lists: from interests alone, and from interests and the first course.
#[derive(Clone, Debug, Default)]
pub struct P4 {
    /// From interests alone.
    pub interests: Lists,
    /// From interests and the first course.
    pub first: Lists,
}

/// P4: lists for learners of whom interests, then interests and one course are known.
pub fn newcomers(dataset: &Dataset, histories: &Histories, model: &mut dyn Scorer, limit: usize) -> P4 {
    let known: Vec<bool> = histories.counts().into_iter().map(|count| count > 0).collect();
    let mut scores = vec![0.0; histories.courses()];
    let mut lists = P4::default();
    let now = histories.end();
    for newcomer in &dataset.newcomers {
        let interests = newcomer.interests.as_slice();
        model.score(
            &Learner {
                history: &[],
                interests,
                now,
            },
            &mut scores,
        );
        let list = model.choose(&scores, limit, &mut |course| known[course as usize]);
        lists.interests.push((newcomer.learner, list));
        let history = [newcomer.first];
        model.score(
            &Learner {
                history: &history,
                interests,
                now,
            },
            &mut scores,
        );
        let list = model.choose(&scores, limit, &mut |course| {
            known[course as usize] && course != newcomer.first.course
        });
        lists.first.push((newcomer.learner, list));
    }
    lists
}

fn learners(all: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    let mut all: Vec<u32> = all.collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

fn sorted(history: &[Taken]) -> Vec<u32> {
    let mut own: Vec<u32> = history.iter().map(|taken| taken.course).collect();
    own.sort_unstable();
    own
}
