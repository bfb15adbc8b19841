//! What a learner did with courses: as it is reported, as it is accepted, and as it is remembered.

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::CourseId;

/// What a learner did with a course. Within one course the later in this order says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Opened the course's page.
    View,
    /// Followed a link to it from a list.
    Click,
    /// Began to study.
    Start,
    /// Studied a part of it; the value is the share from 0 to 1.
    Progress,
    /// Paid for it.
    Purchase,
    /// Finished it.
    Complete,
    /// Rated it; the value is from 1 to 5 stars.
    Rate,
    /// Asked not to see it.
    Dismiss,
}

/// The digest of a client's event id. Thirty-two bits keep a profile small; two events of one profile's last
/// 128 are confused once in thirty million.
pub type EventId = u32;

/// One event as it was reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The digest of the id that makes a repetition recognisable.
    pub id: Option<EventId>,
    /// What happened.
    pub activity: Activity,
    /// With which course.
    pub course: CourseId,
    /// When, if the reporter knows; else now.
    pub at: Option<Timestamp>,
    /// Stars of a rating or share of a progress.
    pub value: Option<f64>,
}

/// One event that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The digest of the event's id.
    pub id: Option<EventId>,
    /// What happened.
    pub activity: Activity,
    /// With which course.
    pub course: CourseId,
    /// When.
    pub at: Timestamp,
    /// Stars of a rating, share of a progress, else 0.
    pub value: f32,
}

impl Signal {
    /// Whether this speaks against the course.
    pub fn is_negative(&self) -> bool {
        match self.activity {
            Activity::Dismiss => true,
            Activity::Rate => self.value < 2.5,
            Activity::View
            | Activity::Click
            | Activity::Start
            | Activity::Progress
            | Activity::Purchase
            | Activity::Complete => false,
        }
    }
}

/// What a user last did with one course.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// The course.
    pub course: CourseId,
    /// When they last did anything with it.
    pub at: Timestamp,
    /// The activity that says most.
    pub activity: Activity,
    /// Its value.
    pub value: f32,
}

/// What became of the events of the last observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// New events that now shape the profile.
    pub accepted: u32,
    /// Events that had been reported before.
    pub duplicates: u32,
    /// Events from the future or years old.
    pub ignored: u32,
}

/// The value an activity is kept with, if it is one.
pub(super) fn usable_value(activity: Activity, value: Option<f64>) -> Option<f32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "stars and shares need no more than a few digits"
    )]
    let narrow = |value: f64| value as f32;
    match (activity, value) {
        (Activity::Rate, Some(stars)) if (1.0..=5.0).contains(&stars) => Some(narrow(stars)),
        (Activity::Progress, Some(share)) if (0.0..=1.0).contains(&share) => Some(narrow(share)),
        (Activity::Rate, _) | (Activity::Progress, Some(_)) => None,
        (_, Some(value)) if !value.is_finite() => None,
        (_, _) => Some(0.0),
    }
}

/// What two activities with one course come to: a later change of mind counts, else what says more.
pub(super) fn merged(a: Recent, b: Recent) -> Recent {
    let negative = |recent: &Recent| {
        let Recent {
            course,
            at,
            activity,
            value,
        } = *recent;
        Signal {
            id: None,
            activity,
            course,
            at,
            value,
        }
        .is_negative()
    };
    let (older, later) = if a.at <= b.at { (a, b) } else { (b, a) };
    let says_more = if negative(&older) == negative(&later) && older.activity > later.activity {
        older
    } else {
        later
    };
    Recent {
        at: later.at,
        ..says_more
    }
}
