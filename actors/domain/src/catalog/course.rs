//! One course from the first draft to the archive: state, decisions, transitions.

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Action, By, Changes, Command, Details, Error, Event, Gate, Lesson, LessonPlace, Outline, Reason,
};
use crate::ids::{LessonId, UserId};

/// One course.
///
/// Invariant: whatever is live has a title, a price and a lesson with content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Course {
    /// Nobody has created it.
    #[default]
    Absent,
    /// It exists.
    Present(Box<Record>),
}

/// A course that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Whose course it is.
    pub creator: UserId,
    /// Where in its life it is.
    pub stage: Stage,
    /// How many events it has seen; `If-Match` compares it.
    pub revision: u64,
    /// The content as its creator sees it: the working version, or the live one if nothing differs.
    pub newest: Box<Content>,
    /// What buyers see.
    pub live: Live,
    /// When it was first published.
    pub published_at: Option<Timestamp>,
    /// What an operator last objected to, until it is settled.
    pub objection: Option<Reason>,
}

/// Where in its life a course is, with what is true only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Stage {
    /// Being made.
    Draft,
    /// Under review.
    InReview,
    /// Reviewed, not yet published.
    Approved,
    /// Reviewed, to be published at a time.
    Scheduled {
        /// When.
        at: Timestamp,
    },
    /// Sold and listed.
    Published,
    /// Sold to whoever knows the address.
    Unlisted,
    /// Stopped by an operator.
    Suspended {
        /// Where it goes back to.
        was: Listing,
    },
    /// No longer sold; owners keep their access.
    Retired,
    /// Put away.
    Archived,
}

/// The two stages in which a course is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// See [`Stage::Published`].
    Published,
    /// See [`Stage::Unlisted`].
    Unlisted,
}

/// The version buyers see; numbers start at 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Live {
    /// Nothing was published yet.
    Nothing,
    /// The newest content.
    Newest {
        /// Its number.
        version: u32,
    },
    /// An older content than the one being worked on.
    Older {
        /// Its number.
        version: u32,
        /// Its content.
        content: Box<Content>,
    },
}

/// What one version of a course consists of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The describing fields.
    pub details: Details,
    /// The lessons.
    pub outline: Outline,
}

impl Aggregate for Course {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, Command { by, action }: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        let course = match self {
            Course::Absent => return create(by, action, now),
            Course::Present(course) => course,
        };
        course.authorize(by, &action)?;
        match (course.stage, action) {
            (_, Action::Create { .. } | Action::Launch { .. }) => Err(Error::CourseExists),

            (stage, Action::Edit { changes, expected }) => {
                course.editable(stage, expected)?;
                Ok(course.edit(changes))
            }
            (
                stage,
                Action::PutLesson {
                    lesson,
                    place,
                    expected,
                },
            ) => {
                course.editable(stage, expected)?;
                course.put_lesson(lesson, &place)
            }
            (stage, Action::RemoveLesson { lesson, expected }) => {
                course.editable(stage, expected)?;
                course.remove_lesson(lesson)
            }

            (Stage::Draft, Action::Submit) => Ok(vec![Event::Submitted]),
            (Stage::InReview, Action::Approve) => Ok(vec![Event::Approved { by }]),
            (Stage::InReview, Action::Reject { reason }) => Ok(vec![Event::Rejected { by, reason }]),

            (Stage::Approved | Stage::Scheduled { .. }, Action::Publish) => course.publish(now),
            (Stage::Published | Stage::Unlisted, Action::Publish) if course.has_working_version() => {
                course.publish(now)
            }
            (Stage::Unlisted, Action::Publish | Action::Relist) => Ok(vec![Event::Relisted]),
            (Stage::Approved, Action::Schedule { at }) => {
                if at <= now {
                    return Err(Error::ScheduleInPast);
                }
                // Checked here too: nobody is there to hear a refusal when the time has come.
                course.newest.gates()?;
                Ok(vec![Event::Scheduled { at }])
            }
            (Stage::Scheduled { at }, Action::PublishDue { at: due }) if at == due => course.publish(now),
            // The plan has changed or was carried out: the message of the old one comes too late.
            (_, Action::PublishDue { .. }) => Ok(vec![]),
            (Stage::Scheduled { .. }, Action::Unschedule) => Ok(vec![Event::Unscheduled]),

            (Stage::Published, Action::Unlist) => Ok(vec![Event::Unlisted]),
            (Stage::Published | Stage::Unlisted, Action::Suspend { reason }) => {
                Ok(vec![Event::Suspended { by, reason }])
            }
            (Stage::Suspended { .. }, Action::Reinstate) => Ok(vec![Event::Reinstated { by }]),
            (Stage::Published | Stage::Unlisted | Stage::Suspended { .. }, Action::Retire) => {
                Ok(vec![Event::Retired])
            }
            (Stage::Retired, Action::Archive { grants_left: true }) => Err(Error::GrantsLeft),
            (Stage::Retired, Action::Archive { grants_left: false }) => Ok(vec![Event::Archived]),

            (
                stage,
                Action::Submit
                | Action::Approve
                | Action::Reject { .. }
                | Action::Publish
                | Action::Schedule { .. }
                | Action::Unschedule
                | Action::Unlist
                | Action::Relist
                | Action::Suspend { .. }
                | Action::Reinstate
                | Action::Retire
                | Action::Archive { .. },
            ) => Err(Error::wrong_state(stage.name())),
        }
    }

    fn apply(&mut self, event: &Event) {
        match (&mut *self, event) {
            (
                Course::Absent,
                Event::Created {
                    creator,
                    details,
                    outline,
                },
            ) => {
                let content = Content {
                    details: (**details).clone(),
                    outline: outline.clone(),
                };
                *self = Course::Present(Box::new(Record {
                    creator: *creator,
                    stage: Stage::Draft,
                    revision: 1,
                    newest: Box::new(content),
                    live: Live::Nothing,
                    published_at: None,
                    objection: None,
                }));
            }
            // No other event is decided before a course is created.
            (Course::Absent, _) => {}
            (Course::Present(course), event) => {
                course.revision += 1;
                course.apply(event);
            }
        }
    }
}

/// Decides what brings a course into being.
fn create(by: By, action: Action, now: Timestamp) -> Result<Vec<Event>, Error> {
    match action {
        Action::Create { creator, details } => Ok(vec![Event::Created {
            creator,
            details,
            outline: Outline::default(),
        }]),
        Action::Launch {
            creator,
            details,
            outline,
        } => {
            if matches!(by, By::User(_)) {
                return Err(Error::OperatorsOnly);
            }
            let content = Content {
                details: *details,
                outline,
            };
            content.gates()?;
            let Content { details, outline } = content;
            Ok(vec![
                Event::Created {
                    creator,
                    details: Box::new(details),
                    outline,
                },
                Event::Submitted,
                Event::Approved { by },
                Event::Published { version: 1, at: now },
            ])
        }
        _ => Err(Error::CourseNotFound),
    }
}

impl Course {
    /// The course if it exists and `by` may see its drafts.
    ///
    /// # Errors
    /// `catalog.course_not_found`, for somebody else's course too.
    pub fn authored(&self, by: By) -> Result<&Record, Error> {
        match self {
            Course::Present(course) if course.belongs_to(by) => Ok(course),
            Course::Present(_) | Course::Absent => Err(Error::CourseNotFound),
        }
    }

    /// The course if it exists.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Course::Present(course) => Some(course),
            Course::Absent => None,
        }
    }
}

impl Record {
    /// The live version's number and content.
    pub fn live(&self) -> Option<(u32, &Content)> {
        match &self.live {
            Live::Nothing => None,
            Live::Newest { version } => Some((*version, &self.newest)),
            Live::Older { version, content } => Some((*version, content)),
        }
    }

    /// Whether the creator works on something that buyers do not see.
    pub fn has_working_version(&self) -> bool {
        !matches!(self.live, Live::Newest { .. })
    }

    /// The number of the live version, 0 before the first publication.
    pub fn live_version(&self) -> u32 {
        self.live().map_or(0, |(version, _)| version)
    }

    fn belongs_to(&self, by: By) -> bool {
        match by {
            By::User(user) => user == self.creator,
            By::Operator(_) | By::System => true,
        }
    }

    fn authorize(&self, by: By, action: &Action) -> Result<(), Error> {
        if matches!(action, Action::Create { .. } | Action::Launch { .. }) {
            return Ok(());
        }
        if !self.belongs_to(by) {
            return Err(Error::CourseNotFound);
        }
        if action.is_for_operators() && matches!(by, By::User(_)) {
            return Err(Error::OperatorsOnly);
        }
        Ok(())
    }

    /// What is under review or about to be published at a fixed time stays as it was read; what is over stays too.
    fn editable(&self, stage: Stage, expected: Option<u64>) -> Result<(), Error> {
        if expected.is_some_and(|expected| expected != self.revision) {
            return Err(Error::RevisionMismatch {
                current: self.revision,
            });
        }
        match stage {
            Stage::Draft | Stage::Approved | Stage::Published | Stage::Unlisted | Stage::Suspended { .. } => {
                Ok(())
            }
            Stage::InReview | Stage::Scheduled { .. } | Stage::Retired | Stage::Archived => {
                Err(Error::wrong_state(stage.name()))
            }
        }
    }

    fn edit(&self, changes: Box<Changes>) -> Vec<Event> {
        let details = &self.newest.details;
        if changes.applied_to(details) == *details {
            return vec![];
        }
        vec![Event::Edited { changes }]
    }

    fn put_lesson(&self, lesson: Lesson, place: &LessonPlace) -> Result<Vec<Event>, Error> {
        let content = &self.newest;
        content.outline.check_room(&lesson)?;
        let fallback = content.details.title.as_ref().unwrap_or(&lesson.title);
        let (chapter, chapter_title, position) = content.outline.place(lesson.id, place, fallback);
        let mut after = content.outline.clone();
        after.put(chapter, &chapter_title, position, lesson.clone());
        if after == content.outline {
            return Ok(vec![]);
        }
        Ok(vec![Event::LessonPut {
            chapter,
            chapter_title,
            position,
            lesson,
        }])
    }

    fn remove_lesson(&self, lesson: LessonId) -> Result<Vec<Event>, Error> {
        self.newest.outline.lesson(lesson).ok_or(Error::LessonNotFound)?;
        Ok(vec![Event::LessonRemoved { lesson }])
    }

    fn publish(&self, now: Timestamp) -> Result<Vec<Event>, Error> {
        self.newest.gates()?;
        Ok(vec![Event::Published {
            version: self.live_version() + 1,
            at: now,
        }])
    }

    fn apply(&mut self, event: &Event) {
        match event {
            // Decided only while there is no course.
            Event::Created { .. } => {}
            Event::Edited { changes } => {
                let content = self.working_mut();
                content.details = changes.applied_to(&content.details);
            }
            Event::LessonPut {
                chapter,
                chapter_title,
                position,
                lesson,
            } => {
                self.working_mut()
                    .outline
                    .put(*chapter, chapter_title, *position, lesson.clone());
            }
            Event::LessonRemoved { lesson } => self.working_mut().outline.remove(*lesson),
            Event::Submitted => {
                self.stage = Stage::InReview;
                self.objection = None;
            }
            Event::Approved { .. } | Event::Unscheduled => self.stage = Stage::Approved,
            Event::Rejected { reason, .. } => {
                self.stage = Stage::Draft;
                self.objection = Some(reason.clone());
            }
            Event::Scheduled { at } => self.stage = Stage::Scheduled { at: *at },
            Event::Published { version, at } => {
                self.stage = Stage::Published;
                self.published_at.get_or_insert(*at);
                self.live = Live::Newest { version: *version };
            }
            Event::Unlisted => self.stage = Stage::Unlisted,
            Event::Relisted => self.stage = Stage::Published,
            Event::Suspended { reason, .. } => {
                let was = if self.stage == Stage::Unlisted {
                    Listing::Unlisted
                } else {
                    Listing::Published
                };
                self.stage = Stage::Suspended { was };
                self.objection = Some(reason.clone());
            }
            Event::Reinstated { .. } => {
                let unlisted = self.stage
                    == Stage::Suspended {
                        was: Listing::Unlisted,
                    };
                self.stage = if unlisted {
                    Stage::Unlisted
                } else {
                    Stage::Published
                };
                self.objection = None;
            }
            Event::Retired => self.stage = Stage::Retired,
            Event::Archived => self.stage = Stage::Archived,
        }
    }

    fn working_mut(&mut self) -> &mut Content {
        if let Live::Newest { version } = self.live {
            self.live = Live::Older {
                version,
                content: self.newest.clone(),
            };
        }
        &mut self.newest
    }
}

impl Content {
    /// Refuses what may not be published.
    fn gates(&self) -> Result<(), Error> {
        let missing = |gate| Err(Error::Incomplete { gate });
        if self.details.title.is_none() {
            return missing(Gate::Title);
        }
        if self.details.price.is_none() {
            return missing(Gate::Price);
        }
        if !self.outline.lessons().any(|lesson| lesson.content.is_some()) {
            return missing(Gate::Lesson);
        }
        Ok(())
    }
}

impl Stage {
    /// The state's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Draft => "draft",
            Stage::InReview => "in_review",
            Stage::Approved => "approved",
            Stage::Scheduled { .. } => "scheduled",
            Stage::Published => "published",
            Stage::Unlisted => "unlisted",
            Stage::Suspended { .. } => "suspended",
            Stage::Retired => "retired",
            Stage::Archived => "archived",
        }
    }

    /// Whether a course may be bought.
    pub fn sells(self) -> bool {
        matches!(self, Stage::Published | Stage::Unlisted)
    }
}

#[cfg(test)]
mod tests;
