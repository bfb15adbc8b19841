//! Catalog, bound to the runtime: courses as journaled entities, their rows, and the snapshot that answers reads.
//!
//! Commands go to the course's entity. Reads never do: lists, details and searches come from [`CatalogSnapshot`],
//! which every node holds completely and which follows the commits of all nodes.

mod entry;
mod flow;
mod listing;
mod pages;
mod projector;
mod render;
mod rows;
mod search;
mod snapshot;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use lyceum_domain::catalog::{By, Course, Error, Event, Outline, Reason, Record, Stage};
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Durability, Effects, Entity, Kind};
use serde::{Deserialize, Serialize};

pub use entry::{Entry, Visibility};
pub use flow::CatalogFlow;
pub use listing::{Cursor, CursorError, Filter, Sort};
pub use pages::Page;
pub use projector::Projector;
pub(crate) use rows::Counted;
pub use rows::{AuthoredCourse, CatalogQueries, LiveCourse};
pub use snapshot::{CatalogLimits, CatalogSnapshot, ListQuery};

/// Binds [`Course`] to the runtime.
pub struct Courses {
    snapshot: Arc<CatalogSnapshot>,
    snapshot_every: u32,
}

impl Courses {
    /// Courses whose commits reach `snapshot` at once; recovery reads at most `snapshot_every` turns of one.
    pub fn new(snapshot: Arc<CatalogSnapshot>, snapshot_every: u32) -> Self {
        Courses {
            snapshot,
            snapshot_every,
        }
    }
}

/// What can be asked about a course.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Question {
    /// Everything its creator may see.
    Authored {
        /// Who asks.
        by: By,
    },
    /// State and numbers only, for callers that asked for a change.
    Brief {
        /// Who asks.
        by: By,
    },
}

/// What a course answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Authored`].
    Authored(Box<Authored>),
    /// To [`Question::Brief`].
    Brief(Brief),
}

/// A course as its creator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authored {
    /// State and numbers.
    pub brief: Brief,
    /// When a scheduled publication is due.
    pub scheduled_at: Option<Timestamp>,
    /// When it was first published.
    pub published_at: Option<Timestamp>,
    /// What an operator objected to.
    pub objection: Option<Reason>,
    /// The newest fields.
    pub details: lyceum_domain::catalog::Details,
    /// The newest lessons.
    pub outline: Outline,
}

/// State and numbers of a course.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Brief {
    /// Whose course it is.
    pub creator: UserId,
    /// Where in its life it is.
    pub stage: Stage,
    /// How many events it has seen.
    pub revision: u64,
    /// The live version, 0 before the first publication.
    pub version: u32,
    /// Whether something was changed since the last publication.
    pub has_working_version: bool,
}

impl Brief {
    fn of(course: &Record) -> Self {
        Brief {
            creator: course.creator,
            stage: course.stage,
            revision: course.revision,
            version: course.live_version(),
            has_working_version: course.has_working_version(),
        }
    }
}

impl Answer {
    /// State and numbers, which every answer has.
    pub fn brief(&self) -> &Brief {
        match self {
            Answer::Authored(authored) => &authored.brief,
            Answer::Brief(brief) => brief,
        }
    }
}

impl Entity for Courses {
    type State = Course;
    type Key = CourseId;
    type Question = Question;
    type Answer = Answer;

    const KIND: Kind = Kind {
        name: "course",
        number: 3,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Course, question: Question, _: Timestamp) -> Result<Answer, Error> {
        match question {
            Question::Authored { by } => {
                let course = state.authored(by)?;
                let scheduled_at = match course.stage {
                    Stage::Scheduled { at } => Some(at),
                    _ => None,
                };
                Ok(Answer::Authored(Box::new(Authored {
                    brief: Brief::of(course),
                    scheduled_at,
                    published_at: course.published_at,
                    objection: course.objection.clone(),
                    details: course.newest.details.clone(),
                    outline: course.newest.outline.clone(),
                })))
            }
            Question::Brief { by } => Ok(Answer::Brief(Brief::of(state.authored(by)?))),
        }
    }

    fn effects(
        &self,
        key: CourseId,
        state: &Course,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(course) = state.record() else { return };
        let publishes = events
            .iter()
            .any(|event| matches!(event, Event::Published { .. }));
        rows::collect(key, course, publishes, now, effects);
        for event in events {
            if let Event::Scheduled { at } = event {
                effects.message(*at, &CatalogFlow::PublishDue { course: key, at: *at });
            }
        }
        if let Some(live) = LiveCourse::of(key, course) {
            let snapshot = self.snapshot.clone();
            effects.after_commit(move || snapshot.put(live));
        }
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::catalog::{
        Action, Body, Changes, Command, Details, Lesson, LessonContent, LessonKind,
    };
    use lyceum_domain::catalog::{Chapter, Price, Title};
    use lyceum_domain::ids::{ChapterId, LessonId};
    use lyceum_kernel::{Aggregate, Currency, Money};

    use super::*;

    const COURSE: CourseId = CourseId::from_u128(7);
    const OPERATOR: By = By::Operator(UserId::from_u128(1));

    fn title(text: &str) -> Title {
        Title::new(text).expect("a valid title")
    }

    fn launch() -> Action {
        let lesson = Lesson {
            id: LessonId::from_u128(1),
            title: title("Ownership"),
            kind: LessonKind::Article,
            duration_seconds: 60,
            preview: true,
            content: Body::new("the secret text").ok().map(LessonContent::Text),
        };
        let chapter = Chapter {
            id: ChapterId::from_u128(1),
            title: title("One"),
            lessons: vec![lesson],
        };
        let money = Money::new(100, Currency::CNY).expect("in range");
        let price = Price::new(money, Currency::CNY).ok();
        Action::Launch {
            creator: UserId::from_u128(2),
            details: Box::new(Details {
                title: Some(title("Rust")),
                price,
                ..Details::default()
            }),
            outline: Outline::new(vec![chapter]).expect("small"),
        }
    }

    fn courses() -> Courses {
        Courses::new(
            CatalogSnapshot::start(CatalogLimits::default()).expect("memory and a thread"),
            100,
        )
    }

    fn act(courses: &Courses, state: &mut Course, action: Action) -> Effects {
        let events = state
            .decide(Command { by: OPERATOR, action }, Timestamp::EPOCH)
            .expect("allowed");
        events.iter().for_each(|event| state.apply(event));
        let mut effects = Effects::default();
        courses.effects(COURSE, state, &events, Timestamp::EPOCH, &mut effects);
        effects
    }

    #[test]
    fn a_launch_writes_the_course_and_its_first_version() {
        let (courses, mut state) = (courses(), Course::default());

        let effects = act(&courses, &mut state, launch());

        let tables: Vec<_> = effects.rows().map(|(table, _)| table).collect();
        assert_eq!(tables, ["courses", "course_versions"]);
        let live = LiveCourse::of(COURSE, state.record().expect("present")).expect("live");
        assert!(live.detail.contains("Ownership") && !live.detail.contains("secret"));
    }

    #[test]
    fn edits_write_no_version_and_plans_send_a_message() {
        let (courses, mut state) = (courses(), Course::default());
        act(&courses, &mut state, launch());
        let changes = Box::new(Changes {
            title: Some(title("Rust 2")),
            ..Changes::default()
        });
        let edited = act(
            &courses,
            &mut state,
            Action::Edit {
                changes,
                expected: None,
            },
        );
        assert_eq!(edited.rows().count(), 1);

        let at = Timestamp::from_millis(1_000);
        let mut draft = Course::default();
        let create = Action::Create {
            creator: UserId::from_u128(2),
            details: Box::default(),
        };
        act(&courses, &mut draft, create);
        let Course::Present(record) = &mut draft else {
            panic!("created")
        };
        *record.newest = state.record().expect("present").newest.as_ref().clone();
        act(&courses, &mut draft, Action::Submit);
        act(&courses, &mut draft, Action::Approve);
        let scheduled = act(&courses, &mut draft, Action::Schedule { at });

        let messages: Vec<_> = scheduled.messages().collect();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].0, at);
        let flow = serde_json::from_str::<CatalogFlow>(messages[0].1).expect("a flow");
        assert_eq!(flow, CatalogFlow::PublishDue { course: COURSE, at });
    }

    #[test]
    fn states_survive_a_snapshot() {
        let (courses, mut state) = (courses(), Course::default());
        act(&courses, &mut state, launch());
        let changes = Box::new(Changes {
            subtitle: Some(None),
            title: Some(title("New")),
            ..Changes::default()
        });
        act(
            &courses,
            &mut state,
            Action::Edit {
                changes,
                expected: None,
            },
        );

        let text = serde_json::to_string(&state).expect("writable");

        assert_eq!(serde_json::from_str::<Course>(&text).expect("readable"), state);
    }
}
