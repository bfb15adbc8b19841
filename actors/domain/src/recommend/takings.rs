//! What learners took up, gathered from the stream of what they did.
//!
//! Flow: interactions arrive learner by learner, each learner's in order of time; what was done with one course becomes one
//! [`Taken`] at the time of the first interaction that says enough; the outcome is the [`Histories`] that models are
//! trained with.
//!
//! Invariant: whoever took up nothing leaves no trace, not even a number, so that histories without a learner are those of a
//! platform that never knew them.

use std::collections::BTreeMap;

use lyceum_kernel::Timestamp;

use super::models::{Histories, Taken};
use crate::ids::{CourseId, UserId};

/// Gathers interactions into histories.
#[derive(Debug)]
pub struct Takings {
    /// In order.
    courses: Vec<CourseId>,
    weight_min: f32,
    histories: Histories,
    learners: u32,
    taken: u64,
    read: u64,
    /// Whose interactions arrive now, and what they did with each course.
    current: Option<UserId>,
    open: BTreeMap<u32, Open>,
}

/// One course of the learner whose interactions arrive now.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// When it was taken up, if it was.
    at: Option<Timestamp>,
    /// Whether the last thing said about it speaks against it.
    disliked: bool,
}

impl Takings {
    /// Begins with the courses of a catalog; what is done with others is left out. An interaction that weighs at least
    /// `weight_min` takes a course up.
    pub fn new(courses: impl IntoIterator<Item = CourseId>, weight_min: f32) -> Self {
        let mut courses: Vec<CourseId> = courses.into_iter().collect();
        courses.sort_unstable();
        courses.dedup();
        Takings {
            histories: Histories::new(courses.len()),
            courses,
            weight_min,
            learners: 0,
            taken: 0,
            read: 0,
            current: None,
            open: BTreeMap::new(),
        }
    }

    /// Adds an interaction. Those of one learner follow one another, oldest first.
    pub fn push(&mut self, user: UserId, course: CourseId, at: Timestamp, weight: f32) {
        self.read += 1;
        if self.current != Some(user) {
            self.close();
            self.current = Some(user);
        }
        let Ok(course) = self.courses.binary_search(&course) else {
            return;
        };
        let course = u32::try_from(course).unwrap_or(u32::MAX);
        let open = self.open.entry(course).or_default();
        open.disliked = weight < 0.0;
        open.at = open.at.or((weight >= self.weight_min).then_some(at));
    }

    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        let mut taken: Vec<(Timestamp, u32)> = open
            .into_iter()
            .filter(|(_, open)| !open.disliked)
            .filter_map(|(course, open)| Some((open.at?, course)))
            .collect();
        if taken.is_empty() {
            return;
        }
        taken.sort_unstable();
        self.taken += taken.len() as u64;
        for (at, course) in taken {
            let at = at.as_millis().div_euclid(1_000);
            self.histories.push(self.learners, Taken { course, at });
        }
        self.learners += 1;
    }

    /// Ends the last learner and returns the courses, in order, with the histories by their positions.
    pub fn finish(mut self) -> Gathered {
        self.close();
        Gathered {
            courses: self.courses,
            histories: self.histories,
            learners: self.learners,
            taken: self.taken,
            read: self.read,
        }
    }
}

/// What was gathered.
#[derive(Debug)]
pub struct Gathered {
    pub(super) courses: Vec<CourseId>,
    pub(super) histories: Histories,
    pub(super) learners: u32,
    pub(super) taken: u64,
    read: u64,
}

impl Gathered {
    /// How many learners took something up.
    pub fn learners(&self) -> u32 {
        self.learners
    }

    /// How many interactions were read.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Histories by the positions of courses that are in order of their ids already.
    pub fn of(courses: Vec<CourseId>, histories: Histories) -> Self {
        let learners = histories.iter().filter(|history| !history.is_empty()).count();
        let taken = histories.iter().map(<[Taken]>::len).sum::<usize>() as u64;
        Gathered {
            courses,
            histories,
            learners: u32::try_from(learners).unwrap_or(u32::MAX),
            taken,
            read: taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(interactions: &[(u128, u128, i64, f32)]) -> Gathered {
        let mut takings = Takings::new((1..=3).map(CourseId::from_u128), 0.5);
        for &(user, course, second, weight) in interactions {
            takings.push(
                UserId::from_u128(user),
                CourseId::from_u128(course),
                Timestamp::from_millis(second * 1_000),
                weight,
            );
        }
        takings.finish()
    }

    #[test]
    fn a_course_is_taken_up_by_the_first_interaction_that_says_enough() {
        let gathered = gathered(&[(7, 2, 1, 0.2), (7, 2, 5, 0.6), (7, 1, 6, 1.0), (7, 2, 9, 1.0)]);

        let taken = |course, at| Taken { course, at };
        assert_eq!(gathered.histories.of(0), [taken(1, 5), taken(0, 6)]);
        assert_eq!((gathered.learners(), gathered.taken, gathered.read()), (1, 2, 4));
    }

    #[test]
    fn what_was_disliked_in_the_end_was_not_taken_up() {
        let gathered = gathered(&[(7, 2, 1, 1.0), (7, 2, 2, -1.0), (8, 1, 1, -0.6), (8, 1, 2, 1.0)]);

        assert_eq!(gathered.histories.of(0), [Taken { course: 0, at: 2 }]);
        assert_eq!(gathered.learners(), 1);
    }

    #[test]
    fn whoever_took_up_nothing_leaves_no_trace() {
        let with = gathered(&[(5, 1, 1, 0.2), (6, 9, 1, 1.0), (7, 3, 1, 1.0)]);
        let without = gathered(&[(7, 3, 1, 1.0)]);

        assert_eq!(
            format!("{:?}", with.histories),
            format!("{:?}", without.histories)
        );
    }
}
