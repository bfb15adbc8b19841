//! What may be asked of a course, and what has happened to it.
//!
//! Events are kept in the journal as JSON for good: fields may be added with a default, never renamed.

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Description, Language, Lesson, Level, Outline, Price, Reason, Slug, Subtitle, Tags, Title};
use crate::ids::{ChapterId, LessonId, UserId};

/// An action and who wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// On whose behalf.
    pub by: By,
    /// What shall happen.
    pub action: Action,
}

/// On whose behalf something happens: a course belongs to its creator, operators may act on every course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A user who is no operator.
    User(UserId),
    /// An operator.
    Operator(UserId),
    /// The platform itself, for instance a publication that is due.
    System,
}

/// What shall happen to a course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Action {
    /// Makes a draft.
    Create {
        /// Whose course it is.
        creator: UserId,
        /// The first fields.
        details: Box<Details>,
    },
    /// Makes a complete course, reviewed and published in one decision; operators only, for imports.
    Launch {
        /// Whose course it is.
        creator: UserId,
        /// The fields, title and price among them.
        details: Box<Details>,
        /// The lessons, at least one with content.
        outline: Outline,
    },
    /// Changes fields; of a live course, in a working version beside it.
    Edit {
        /// The fields to change.
        changes: Box<Changes>,
        /// The revision the caller saw, if it matters.
        expected: Option<u64>,
    },
    /// Adds a lesson or replaces it; of a live course, in a working version beside it.
    PutLesson {
        /// The lesson.
        lesson: Lesson,
        /// Where it goes.
        place: LessonPlace,
        /// The revision the caller saw, if it matters.
        expected: Option<u64>,
    },
    /// Takes a lesson out; of a live course, in a working version beside it.
    RemoveLesson {
        /// Which one.
        lesson: LessonId,
        /// The revision the caller saw, if it matters.
        expected: Option<u64>,
    },
    /// Asks for a review.
    Submit,
    /// Accepts what is under review; operators only.
    Approve,
    /// Sends what is under review back to its creator; operators only.
    Reject {
        /// What to improve.
        reason: Reason,
    },
    /// Makes the working version live and lists the course.
    Publish,
    /// Plans the publication of an approved course.
    Schedule {
        /// When.
        at: Timestamp,
    },
    /// Publishes a course that was scheduled for `at`; nothing happens if the plan has changed since.
    PublishDue {
        /// The planned time.
        at: Timestamp,
    },
    /// Drops the plan.
    Unschedule,
    /// Takes a course out of lists; whoever has its address may buy it.
    Unlist,
    /// Lists it again.
    Relist,
    /// Stops sale and display; operators only.
    Suspend {
        /// Why.
        reason: Reason,
    },
    /// Brings a suspended course back to where it was; operators only.
    Reinstate,
    /// Ends the sale for good; owners keep their access.
    Retire,
    /// Puts a retired course away.
    Archive {
        /// Whether somebody still has access.
        grants_left: bool,
    },
}

impl Action {
    /// Whether only an operator may do this.
    pub fn is_for_operators(&self) -> bool {
        matches!(
            self,
            Action::Launch { .. }
                | Action::Approve
                | Action::Reject { .. }
                | Action::Suspend { .. }
                | Action::Reinstate
        )
    }
}

/// The describing fields of a course.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// What it is called; a draft may lack it.
    pub title: Option<Title>,
    /// The line below the title.
    pub subtitle: Option<Subtitle>,
    /// What it is about.
    pub description: Option<Description>,
    /// The language it is taught in.
    pub language: Language,
    /// For whom it is.
    pub level: Level,
    /// The category it is found under.
    pub category: Option<Slug>,
    /// Its topics.
    pub tags: Tags,
    /// What it costs; a draft may lack it.
    pub price: Option<Price>,
}

/// New values for some of the describing fields; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Title>,
    /// The line below the title; `Some(None)` removes it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub subtitle: Option<Option<Subtitle>>,
    /// What it is about; `Some(None)` removes it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Option<Description>>,
    /// The language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// For whom it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The category; `Some(None)` removes it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub category: Option<Option<Slug>>,
    /// The topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// The price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// Reads a field that is there, `null` included, as a change.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl Changes {
    /// The fields as they are after these changes.
    pub(super) fn applied_to(&self, details: &Details) -> Details {
        let changes = self.clone();
        let mut details = details.clone();
        details.title = changes.title.or(details.title);
        details.subtitle = changes.subtitle.unwrap_or(details.subtitle);
        details.description = changes.description.unwrap_or(details.description);
        details.language = changes.language.unwrap_or(details.language);
        details.level = changes.level.unwrap_or(details.level);
        details.category = changes.category.unwrap_or(details.category);
        details.tags = changes.tags.unwrap_or(details.tags);
        details.price = changes.price.or(details.price);
        details
    }
}

/// Where a lesson shall go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LessonPlace {
    /// A chapter by its id; one the outline does not have is made.
    pub chapter: Option<ChapterId>,
    /// A chapter by its title, or the new title of the chapter `chapter`.
    pub chapter_title: Option<Title>,
    /// The position in the chapter from 0; by default where it was, or last.
    pub position: Option<u16>,
    /// The id of a chapter that has to be made.
    pub fresh: ChapterId,
}

/// What has happened to a course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A draft was made.
    Created {
        /// Whose course it is.
        creator: UserId,
        /// Its first fields.
        details: Box<Details>,
        /// Its first lessons.
        #[serde(default)]
        outline: Outline,
    },
    /// Fields changed.
    Edited {
        /// The new values.
        changes: Box<Changes>,
    },
    /// A lesson was added, replaced or moved.
    LessonPut {
        /// The chapter it is in now.
        chapter: ChapterId,
        /// That chapter's title.
        chapter_title: Title,
        /// Its position there.
        position: usize,
        /// The lesson.
        lesson: Lesson,
    },
    /// A lesson was taken out.
    LessonRemoved {
        /// Which one.
        lesson: LessonId,
    },
    /// A review was asked for.
    Submitted,
    /// The review accepted the course.
    Approved {
        /// Who reviewed.
        by: By,
    },
    /// The review sent the course back.
    Rejected {
        /// Who reviewed.
        by: By,
        /// What to improve.
        reason: Reason,
    },
    /// A publication was planned.
    Scheduled {
        /// When.
        at: Timestamp,
    },
    /// The plan was dropped.
    Unscheduled,
    /// The working version became live and the course listed.
    Published {
        /// The number of the live version.
        version: u32,
        /// When.
        at: Timestamp,
    },
    /// The course left the lists.
    Unlisted,
    /// The course came back to the lists.
    Relisted,
    /// Sale and display were stopped.
    Suspended {
        /// Who did it.
        by: By,
        /// Why.
        reason: Reason,
    },
    /// The course came back to where it was.
    Reinstated {
        /// Who did it.
        by: By,
    },
    /// The sale ended for good.
    Retired,
    /// The course was put away.
    Archived,
}
