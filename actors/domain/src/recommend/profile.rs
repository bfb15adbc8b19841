//! One user's signals: what they did lately, what they say they like, and what they must not be shown.
//!
//! Lifecycle: empty → signals and interests come and go; nothing ends it but its expiry. It is a snapshotted
//! aggregate: seconds of freshness may be lost, and all of it can be rebuilt.
//!
//! Invariants: every list is bounded, so that an idle profile stays within 2 KiB; at most one entry of the
//! history names a course; events may come in any order and any number of times.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::content::slug;
use super::signal::{Activity, EventId, Observation, Recent, Signal, Tally, merged, usable_value};
use super::{EVENTS_MAX, Error, INTEREST_BYTES_MAX, INTERESTS_MAX};
use crate::ids::CourseId;

/// The newest courses a profile remembers: beyond these, recency decay leaves nothing to rank by.
const RECENT_MAX: usize = 24;
/// The newest event ids a profile remembers: one full batch and a little more, so a repeated batch is known.
const SEEN_MAX: usize = 128;
/// How many courses stay excluded, oldest first out. Ownership is checked at purchase, never by this list.
const OWNED_MAX: usize = 1_000;
const COMPLETED_MAX: usize = 500;
const DISMISSED_MAX: usize = 200;
/// How far a client's clock may run ahead.
const FUTURE_MAX: Duration = Duration::from_secs(5 * 60);
/// Older events say nothing about today's taste.
const AGE_MAX: Duration = Duration::from_secs(2 * 365 * 86_400);

/// One user's signals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Newest first, one entry a course.
    recent: Vec<Recent>,
    interests: Vec<String>,
    owned: Vec<CourseId>,
    completed: Vec<CourseId>,
    dismissed: Vec<CourseId>,
    /// Oldest first.
    seen: Vec<EventId>,
    /// A digest of every change so far. A counter would repeat itself after lost changes, and a list cached under
    /// it would pass for another profile's.
    revision: u64,
    last: Tally,
    /// Whether lists are the same as anybody's, because the user wants them so.
    #[serde(default)]
    impersonal: bool,
}

/// What somebody wants to happen to a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Learn from events.
    Observe {
        /// At most 100.
        events: Vec<Observation>,
    },
    /// Replace the interests.
    SetInterests {
        /// Category and tag names.
        interests: Vec<String>,
    },
    /// Never show a course again, because it was bought; also the strongest signal of taste.
    Exclude {
        /// The course.
        course: CourseId,
    },
    /// Show a course again, because its purchase was refunded.
    Include {
        /// The course.
        course: CourseId,
    },
    /// Make lists from what the user did and likes, or not any more.
    Personalise {
        /// Which.
        personal: bool,
    },
    /// Forget everything, because the account was erased.
    Erase,
}

/// What happened to a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Events were weighed.
    Observed {
        /// The new ones.
        signals: Vec<Signal>,
        /// How many were known.
        duplicates: u32,
        /// How many were too old or not yet.
        ignored: u32,
    },
    /// Interests were replaced.
    InterestsSet {
        /// As slugs.
        interests: Vec<String>,
    },
    /// A course was bought.
    Excluded {
        /// The course.
        course: CourseId,
        /// When.
        at: Timestamp,
    },
    /// A purchase was refunded.
    Included {
        /// The course.
        course: CourseId,
    },
    /// The user chose whether lists are made from what they did and like.
    Personalised {
        /// Which.
        personal: bool,
    },
    /// Everything was forgotten.
    Erased,
}

impl Profile {
    /// Rebuilds a profile from durable facts.
    pub fn restore(
        personal: bool,
        interests: &[String],
        owned: impl IntoIterator<Item = CourseId>,
        signals: impl IntoIterator<Item = Signal>,
    ) -> Self {
        let mut profile = Profile {
            interests: usable_interests(interests),
            impersonal: !personal,
            ..Profile::default()
        };
        if !personal {
            profile.stir(1);
        }
        for course in owned {
            remember(&mut profile.owned, course, OWNED_MAX);
        }
        for signal in signals {
            profile.learn(&signal);
        }
        profile
    }

    /// What the user did lately, newest first, one entry a course.
    pub fn recent(&self) -> &[Recent] {
        &self.recent
    }

    /// The user's interests, as slugs.
    pub fn interests(&self) -> &[String] {
        &self.interests
    }

    /// Whether lists may be made from what the user did and likes. Without it they leave out what must not be shown and
    /// are otherwise the same as a stranger's.
    pub fn is_personal(&self) -> bool {
        !self.impersonal
    }

    /// The history that lists are made from.
    pub(super) fn history(&self) -> &[Recent] {
        if self.impersonal { &[] } else { &self.recent }
    }

    /// The interests that lists are made from.
    pub(super) fn likes(&self) -> &[String] {
        if self.impersonal { &[] } else { &self.interests }
    }

    /// How many courses are not shown because they are owned, completed and dismissed.
    pub fn excluded_counts(&self) -> [usize; 3] {
        [self.owned.len(), self.completed.len(), self.dismissed.len()]
    }

    /// Every course that must not be shown: owned, completed, dismissed.
    pub fn excluded(&self) -> impl Iterator<Item = CourseId> {
        self.owned
            .iter()
            .chain(&self.completed)
            .chain(&self.dismissed)
            .copied()
    }

    /// A number that differs whenever a list may differ: a digest, not a counter.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What became of the last observation's events.
    pub fn last_tally(&self) -> Tally {
        self.last
    }

    fn stir(&mut self, change: u64) {
        // The golden ratio of 2^64, as in Fibonacci hashing, spreads a change over all bits.
        self.revision = (self.revision ^ change)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }

    fn like(&mut self, interests: &[String]) {
        self.stir(0);
        for byte in interests.iter().flat_map(|interest| interest.bytes().chain([0])) {
            self.stir(u64::from(byte));
        }
        self.interests = interests.to_vec();
    }

    fn learn(&mut self, signal: &Signal) {
        self.stir(low_bits(signal.course));
        self.stir(signal.at.as_millis().unsigned_abs() << 32 | u64::from(signal.value.to_bits()));
        self.stir(signal.activity as u64);
        if let Some(id) = signal.id {
            remember(&mut self.seen, id, SEEN_MAX);
        }
        match signal.activity {
            Activity::Complete => remember(&mut self.completed, signal.course, COMPLETED_MAX),
            Activity::Dismiss => remember(&mut self.dismissed, signal.course, DISMISSED_MAX),
            Activity::Purchase => remember(&mut self.owned, signal.course, OWNED_MAX),
            Activity::View | Activity::Click | Activity::Start | Activity::Progress | Activity::Rate => {}
        }
        let mut entry = Recent {
            course: signal.course,
            at: signal.at,
            activity: signal.activity,
            value: signal.value,
        };
        if let Some(position) = self.recent.iter().position(|known| known.course == signal.course) {
            entry = merged(self.recent.remove(position), entry);
        }
        let position = self.recent.partition_point(|known| newer(known, &entry));
        self.recent.insert(position, entry);
        self.recent.truncate(RECENT_MAX);
    }
}

impl Aggregate for Profile {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match command {
            // Always an event, because the tally of this very batch is what the reporter is told.
            Command::Observe { events } => Ok(vec![self.weigh(events, now)?]),
            Command::SetInterests { interests } => {
                if interests.len() > INTERESTS_MAX {
                    return Err(Error::TooManyInterests);
                }
                let usable = usable_interests(&interests);
                // A duplicate is merged silently; a word that is none is the caller's mistake.
                if interests.iter().any(|interest| !is_interest(&slug(interest))) {
                    return Err(Error::InterestInvalid);
                }
                if usable == self.interests {
                    Ok(vec![])
                } else {
                    Ok(vec![Event::InterestsSet { interests: usable }])
                }
            }
            Command::Exclude { course } if self.owned.contains(&course) => Ok(vec![]),
            Command::Exclude { course } => Ok(vec![Event::Excluded { course, at: now }]),
            Command::Include { course } if !self.owned.contains(&course) => Ok(vec![]),
            Command::Include { course } => Ok(vec![Event::Included { course }]),
            Command::Personalise { personal } if personal == self.is_personal() => Ok(vec![]),
            Command::Personalise { personal } => Ok(vec![Event::Personalised { personal }]),
            Command::Erase => Ok(vec![Event::Erased]),
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Observed {
                signals,
                duplicates,
                ignored,
            } => {
                for signal in signals {
                    self.learn(signal);
                }
                let accepted = u32::try_from(signals.len()).unwrap_or(u32::MAX);
                self.last = Tally {
                    accepted,
                    duplicates: *duplicates,
                    ignored: *ignored,
                };
                self.revision += u64::from(accepted > 0);
            }
            Event::InterestsSet { interests } => self.like(interests),
            Event::Excluded { course, at } => {
                let (course, at) = (*course, *at);
                self.learn(&Signal {
                    id: None,
                    activity: Activity::Purchase,
                    course,
                    at,
                    value: 0.0,
                });
                self.revision += 1;
            }
            Event::Included { course } => {
                self.owned.retain(|owned| owned != course);
                self.recent
                    .retain(|recent| recent.course != *course || recent.activity != Activity::Purchase);
                self.stir(low_bits(*course));
            }
            Event::Personalised { personal } => {
                self.impersonal = !personal;
                self.stir(u64::from(*personal));
            }
            Event::Erased => {
                let revision = self.revision;
                *self = Profile::default();
                self.stir(revision);
            }
        }
    }
}

impl Profile {
    fn weigh(&self, events: Vec<Observation>, now: Timestamp) -> Result<Event, Error> {
        if events.len() > EVENTS_MAX {
            return Err(Error::TooManyEvents);
        }
        let mut signals: Vec<Signal> = Vec::with_capacity(events.len());
        let (mut duplicates, mut ignored) = (0, 0);
        for (position, event) in (0_u32..).zip(events) {
            let value =
                usable_value(event.activity, event.value).ok_or(Error::ValueOutOfRange { position })?;
            let at = event.at.unwrap_or(now);
            if event.id.is_some_and(|id| {
                self.seen.contains(&id) || signals.iter().any(|signal| signal.id == Some(id))
            }) {
                duplicates += 1;
            } else if at.since(now) > FUTURE_MAX || now.since(at) > AGE_MAX {
                ignored += 1;
            } else {
                signals.push(Signal {
                    id: event.id,
                    activity: event.activity,
                    course: event.course,
                    at,
                    value,
                });
            }
        }
        Ok(Event::Observed {
            signals,
            duplicates,
            ignored,
        })
    }
}

fn usable_interests(interests: &[String]) -> Vec<String> {
    let mut usable: Vec<String> = Vec::with_capacity(interests.len());
    for interest in interests {
        let interest = slug(interest);
        if is_interest(&interest) && !usable.contains(&interest) && usable.len() < INTERESTS_MAX {
            usable.push(interest);
        }
    }
    usable
}

fn is_interest(slug: &str) -> bool {
    !slug.is_empty() && slug.len() <= INTEREST_BYTES_MAX
}

/// Whether `a` comes before `b` in the history: newer first, ties by course, so that order of arrival is
/// without effect.
fn newer(a: &Recent, b: &Recent) -> bool {
    (b.at, a.course) < (a.at, b.course)
}

fn low_bits(course: CourseId) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the random part of an id is in its low bits"
    )]
    let bits = course.as_u128() as u64;
    bits
}

/// Adds to a bounded list without repetition; the oldest entry leaves.
fn remember<T: PartialEq>(list: &mut Vec<T>, item: T, max: usize) {
    if list.contains(&item) {
        return;
    }
    if list.len() >= max {
        list.remove(0);
    }
    list.push(item);
}

#[cfg(test)]
mod tests;
