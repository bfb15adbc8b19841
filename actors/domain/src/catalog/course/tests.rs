//! The life cycle against the table of the domain, every state with every command, and the rules of versions.

use lyceum_kernel::{Coded, Currency, Money};

use super::*;
use crate::catalog::{Body, Chapter, LessonContent, LessonKind, Price, Title};
use crate::ids::ChapterId;

const NOW: Timestamp = Timestamp::EPOCH;
const CREATOR: UserId = UserId::from_u128(1);
const OPERATOR: By = By::Operator(UserId::from_u128(2));

fn later() -> Timestamp {
    Timestamp::from_millis(60_000)
}

fn title(text: &str) -> Title {
    Title::new(text).expect("a valid title")
}

fn reason() -> Reason {
    Reason::new("because").expect("a valid reason")
}

fn price(amount: i64) -> Option<Price> {
    let money = Money::new(amount, Currency::CNY).expect("in range");
    Price::new(money, Currency::CNY).ok()
}

fn details() -> Box<Details> {
    Box::new(Details {
        title: Some(title("Rust")),
        price: price(100),
        ..Details::default()
    })
}

fn lesson(id: u128) -> Lesson {
    Lesson {
        id: LessonId::from_u128(id),
        title: title("Ownership"),
        kind: LessonKind::Article,
        duration_seconds: 600,
        preview: false,
        content: Body::new("text").ok().map(LessonContent::Text),
    }
}

fn put(lesson: Lesson) -> Action {
    let place = LessonPlace {
        chapter: None,
        chapter_title: None,
        position: None,
        fresh: ChapterId::from_u128(1),
    };
    Action::PutLesson {
        lesson,
        place,
        expected: None,
    }
}

fn retitle(text: &str, expected: Option<u64>) -> Action {
    let changes = Box::new(Changes {
        title: Some(title(text)),
        ..Changes::default()
    });
    Action::Edit { changes, expected }
}

fn try_by(course: &mut Course, by: By, action: Action) -> Result<usize, Error> {
    let events = course.decide(Command { by, action }, NOW)?;
    events.iter().for_each(|event| course.apply(event));
    Ok(events.len())
}

fn after(course: &Course, actions: impl IntoIterator<Item = Action>) -> Course {
    let mut course = course.clone();
    for action in actions {
        try_by(&mut course, OPERATOR, action).expect("allowed here");
    }
    course
}

fn draft() -> Course {
    after(
        &Course::Absent,
        [
            Action::Create {
                creator: CREATOR,
                details: details(),
            },
            put(lesson(1)),
        ],
    )
}

fn published() -> Course {
    after(&draft(), [Action::Submit, Action::Approve, Action::Publish])
}

fn state(course: &Course) -> &'static str {
    course.record().map_or("absent", |course| course.stage.name())
}

/// A course in every state.
fn states() -> Vec<Course> {
    let draft = draft();
    let in_review = after(&draft, [Action::Submit]);
    let approved = after(&in_review, [Action::Approve]);
    let scheduled = after(&approved, [Action::Schedule { at: later() }]);
    let published = after(&approved, [Action::Publish]);
    let unlisted = after(&published, [Action::Unlist]);
    let suspended = after(&unlisted, [Action::Suspend { reason: reason() }]);
    let retired = after(&published, [Action::Retire]);
    let archived = after(&retired, [Action::Archive { grants_left: false }]);
    vec![
        draft, in_review, approved, scheduled, published, unlisted, suspended, retired, archived,
    ]
}

/// Every command of the life cycle with the states it is allowed in and the state it leads to.
fn table() -> Vec<(Action, Vec<(&'static str, &'static str)>)> {
    vec![
        (Action::Submit, vec![("draft", "in_review")]),
        (Action::Approve, vec![("in_review", "approved")]),
        (Action::Reject { reason: reason() }, vec![("in_review", "draft")]),
        (
            Action::Publish,
            vec![
                ("approved", "published"),
                ("scheduled", "published"),
                ("unlisted", "published"),
            ],
        ),
        (Action::Schedule { at: later() }, vec![("approved", "scheduled")]),
        (Action::Unschedule, vec![("scheduled", "approved")]),
        (Action::Unlist, vec![("published", "unlisted")]),
        (Action::Relist, vec![("unlisted", "published")]),
        (
            Action::Suspend { reason: reason() },
            vec![("published", "suspended"), ("unlisted", "suspended")],
        ),
        (Action::Reinstate, vec![("suspended", "unlisted")]),
        (
            Action::Retire,
            vec![
                ("published", "retired"),
                ("unlisted", "retired"),
                ("suspended", "retired"),
            ],
        ),
        (
            Action::Archive { grants_left: false },
            vec![("retired", "archived")],
        ),
    ]
}

#[test]
fn every_state_allows_exactly_the_commands_of_the_table() {
    for course in states() {
        for (action, allowed) in table() {
            let from = state(&course);
            let mut moved = course.clone();

            let outcome = try_by(&mut moved, OPERATOR, action.clone());

            match allowed.iter().find(|(state, _)| *state == from) {
                Some((_, to)) => {
                    assert_eq!(outcome, Ok(1), "{from} {action:?}");
                    assert_eq!(state(&moved), *to, "{from} {action:?}");
                }
                None => {
                    assert_eq!(outcome, Err(Error::wrong_state(from)), "{from} {action:?}");
                    assert_eq!(moved, course);
                }
            }
        }
    }
}

#[test]
fn content_is_edited_in_every_state_but_those_that_fix_it() {
    for course in states() {
        let from = state(&course);
        let fixed = ["in_review", "scheduled", "retired", "archived"].contains(&from);
        let actions = [
            retitle("Other", None),
            put(lesson(2)),
            Action::RemoveLesson {
                lesson: LessonId::from_u128(1),
                expected: None,
            },
        ];
        for action in actions {
            let mut edited = course.clone();

            let outcome = try_by(&mut edited, By::User(CREATOR), action);

            assert_eq!(state(&edited), from);
            assert_eq!(
                outcome,
                if fixed {
                    Err(Error::wrong_state(from))
                } else {
                    Ok(1)
                },
                "{from}"
            );
        }
    }
}

#[test]
fn an_absent_course_is_only_created_and_a_present_one_never_again() {
    let others = table().into_iter().map(|(action, _)| action).chain([
        retitle("Other", None),
        put(lesson(1)),
        Action::RemoveLesson {
            lesson: LessonId::from_u128(1),
            expected: None,
        },
        Action::PublishDue { at: later() },
    ]);
    for action in others {
        assert_eq!(
            try_by(&mut Course::Absent, OPERATOR, action),
            Err(Error::CourseNotFound)
        );
    }
    for mut course in states() {
        let create = Action::Create {
            creator: CREATOR,
            details: details(),
        };
        let launch = Action::Launch {
            creator: CREATOR,
            details: details(),
            outline: Outline::default(),
        };

        assert_eq!(
            try_by(&mut course, By::User(CREATOR), create),
            Err(Error::CourseExists)
        );
        assert_eq!(try_by(&mut course, OPERATOR, launch), Err(Error::CourseExists));
    }
}

#[test]
fn suspended_courses_come_back_to_where_they_were() {
    let listed = after(
        &published(),
        [Action::Suspend { reason: reason() }, Action::Reinstate],
    );
    let hidden = after(
        &published(),
        [
            Action::Unlist,
            Action::Suspend { reason: reason() },
            Action::Reinstate,
        ],
    );

    assert_eq!((state(&listed), state(&hidden)), ("published", "unlisted"));
}

#[test]
fn a_due_publication_happens_once_and_only_as_planned() {
    let mut approved = after(&draft(), [Action::Submit, Action::Approve]);
    let mut course = after(&approved, [Action::Schedule { at: later() }]);
    let due = |at| Action::PublishDue { at };

    assert_eq!(
        try_by(
            &mut course,
            By::System,
            due(later().plus(std::time::Duration::from_secs(1)))
        ),
        Ok(0)
    );
    assert_eq!(state(&course), "scheduled");
    assert_eq!(try_by(&mut course, By::System, due(later())), Ok(1));
    assert_eq!(try_by(&mut course, By::System, due(later())), Ok(0));
    assert_eq!(state(&course), "published");
    assert_eq!(
        try_by(&mut approved, By::User(CREATOR), Action::Schedule { at: NOW }),
        Err(Error::ScheduleInPast)
    );
}

#[test]
fn courses_without_title_price_or_lesson_are_not_published() {
    let empty = Lesson {
        content: None,
        ..lesson(1)
    };
    let cases = [
        (
            Details {
                title: None,
                ..*details()
            },
            lesson(1),
            Gate::Title,
        ),
        (
            Details {
                price: None,
                ..*details()
            },
            lesson(1),
            Gate::Price,
        ),
        (*details(), empty, Gate::Lesson),
    ];
    for (details, lesson, gate) in cases {
        let create = Action::Create {
            creator: CREATOR,
            details: Box::new(details),
        };
        let approved = after(
            &Course::Absent,
            [create, put(lesson), Action::Submit, Action::Approve],
        );
        for action in [Action::Publish, Action::Schedule { at: later() }] {
            assert_eq!(
                try_by(&mut approved.clone(), OPERATOR, action),
                Err(Error::Incomplete { gate })
            );
        }
    }
}

#[test]
fn an_edit_of_a_live_course_shows_after_its_publication() {
    let mut course = after(&published(), [retitle("Second edition", None), put(lesson(2))]);
    let live_title = |course: &Course| {
        let (version, content) = course.record().and_then(Record::live).expect("live");
        (
            version,
            content.details.title.as_ref().map(ToString::to_string),
            content.outline.lessons().count(),
        )
    };

    assert_eq!(live_title(&course), (1, Some("Rust".to_owned()), 1));
    assert_eq!(try_by(&mut course, By::User(CREATOR), Action::Publish), Ok(1));
    assert_eq!(live_title(&course), (2, Some("Second edition".to_owned()), 2));
    assert_eq!(
        try_by(&mut course, By::User(CREATOR), Action::Publish),
        Err(Error::wrong_state("published"))
    );
}

#[test]
fn a_working_version_that_lost_its_lesson_is_not_published() {
    let removal = Action::RemoveLesson {
        lesson: LessonId::from_u128(1),
        expected: None,
    };
    let mut course = after(&published(), [removal]);

    let refused = try_by(&mut course, OPERATOR, Action::Publish);

    assert_eq!(refused, Err(Error::Incomplete { gate: Gate::Lesson }));
}

#[test]
fn edits_against_an_old_revision_are_refused() {
    let mut course = draft();
    let seen = course.record().map(|course| course.revision);

    assert_eq!(
        try_by(&mut course, By::User(CREATOR), retitle("First", seen)),
        Ok(1)
    );
    let refused = try_by(&mut course, By::User(CREATOR), retitle("Second", seen));

    assert_eq!(refused, Err(Error::RevisionMismatch { current: 3 }));
    assert_eq!(
        refused.map_err(|error| error.code()),
        Err("catalog.revision_mismatch")
    );
}

#[test]
fn edits_that_change_nothing_leave_the_revision_alone() {
    let mut course = published();

    assert_eq!(
        try_by(&mut course, By::User(CREATOR), retitle("Rust", None)),
        Ok(0)
    );
    assert_eq!(try_by(&mut course, By::User(CREATOR), put(lesson(1))), Ok(0));
    assert!(!course.record().expect("present").has_working_version());
}

#[test]
fn strangers_find_nothing_and_creators_do_not_judge() {
    let stranger = By::User(UserId::from_u128(9));
    for course in states() {
        for (action, _) in table() {
            let judged = action.is_for_operators();
            let by_stranger = try_by(&mut course.clone(), stranger, action.clone());
            let by_creator = try_by(&mut course.clone(), By::User(CREATOR), action);

            assert_eq!(by_stranger, Err(Error::CourseNotFound));
            assert_eq!(by_creator == Err(Error::OperatorsOnly), judged);
        }
        assert_eq!(course.authored(stranger), Err(Error::CourseNotFound));
        assert!(course.authored(By::User(CREATOR)).is_ok());
    }
}

#[test]
fn operators_launch_a_complete_course_in_one_decision() {
    let chapter = Chapter {
        id: ChapterId::from_u128(1),
        title: title("One"),
        lessons: vec![lesson(1)],
    };
    let outline = Outline::new(vec![chapter]).expect("a small outline");
    let launch = |outline: &Outline| Action::Launch {
        creator: CREATOR,
        details: details(),
        outline: outline.clone(),
    };
    let mut course = Course::Absent;

    assert_eq!(
        try_by(&mut Course::Absent, By::User(CREATOR), launch(&outline)),
        Err(Error::OperatorsOnly)
    );
    assert_eq!(
        try_by(&mut Course::Absent, OPERATOR, launch(&Outline::default())),
        Err(Error::Incomplete { gate: Gate::Lesson })
    );
    assert_eq!(try_by(&mut course, OPERATOR, launch(&outline)), Ok(4));

    let step_by_step = published();
    let (launched, stepped) = (
        course.record().expect("present"),
        step_by_step.record().expect("present"),
    );
    assert_eq!(launched.stage, stepped.stage);
    assert_eq!(launched.live().map(|(version, _)| version), Some(1));
}

#[test]
fn retired_courses_with_owners_are_not_archived() {
    let mut course = after(&published(), [Action::Retire]);

    let refused = try_by(&mut course, OPERATOR, Action::Archive { grants_left: true });

    assert_eq!(refused, Err(Error::GrantsLeft));
    assert_eq!(state(&course), "retired");
}
