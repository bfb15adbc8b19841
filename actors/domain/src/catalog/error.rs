//! Why the catalog refuses something: stable codes and classes.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

/// What a course still lacks before it may be published or scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// A title.
    Title,
    /// A price, which may be zero.
    Price,
    /// At least one lesson with content.
    Lesson,
}

/// A refusal of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// There is no such course, or it belongs to another creator.
    #[error("there is no such course")]
    CourseNotFound,
    /// The id is taken by another course.
    #[error("a course with this id exists already")]
    CourseExists,
    /// The outline has no such lesson.
    #[error("the course has no such lesson")]
    LessonNotFound,
    /// The course's state does not allow the action.
    #[error("a course that is {state} does not allow this")]
    WrongState {
        /// The state that refused, as in the API.
        state: Cow<'static, str>,
    },
    /// Only an operator may do this.
    #[error("only an operator may do this")]
    OperatorsOnly,
    /// The course has changed since the caller last saw it.
    #[error("the course is at revision {current} now")]
    RevisionMismatch {
        /// The revision the course is at.
        current: u64,
    },
    /// The course is not complete enough to be published.
    #[error("{}", match gate {
        Gate::Title => "a course needs a title before it is published",
        Gate::Price => "a course needs a price before it is published; zero is a price",
        Gate::Lesson => "a course needs a lesson with content before it is published",
    })]
    Incomplete {
        /// What is missing.
        gate: Gate,
    },
    /// A value breaks the rule of its field.
    #[error("{field}: {rule}")]
    InvalidField {
        /// The field's name in the API.
        field: Cow<'static, str>,
        /// The rule it breaks.
        rule: Cow<'static, str>,
    },
    /// Prices are in the settlement currency only.
    #[error("prices are accepted in the settlement currency only")]
    CurrencyNotAccepted,
    /// The outline would have too many lessons or too much text.
    #[error("the outline would be too large: at most 500 lessons and 2 MiB of content")]
    OutlineTooLarge,
    /// The time of a scheduled publication is not ahead.
    #[error("a publication is scheduled for a time ahead")]
    ScheduleInPast,
    /// Somebody still owns the course.
    #[error("somebody still has access to the course")]
    GrantsLeft,
}

impl Error {
    /// The refusal of an action by a state of this name.
    pub(crate) fn wrong_state(state: &'static str) -> Self {
        Error::WrongState { state: state.into() }
    }

    /// The refusal of a value by a rule of its field.
    pub(crate) fn invalid_field(field: &'static str, rule: &'static str) -> Self {
        Error::InvalidField {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Error::CourseNotFound => "catalog.course_not_found",
            Error::CourseExists => "catalog.course_exists",
            Error::LessonNotFound => "catalog.lesson_not_found",
            Error::WrongState { .. } => "catalog.wrong_state",
            Error::OperatorsOnly => "catalog.operators_only",
            Error::RevisionMismatch { .. } => "catalog.revision_mismatch",
            Error::Incomplete { gate: Gate::Title } => "catalog.title_missing",
            Error::Incomplete { gate: Gate::Price } => "catalog.price_missing",
            Error::Incomplete { gate: Gate::Lesson } => "catalog.lesson_missing",
            Error::InvalidField { .. } => "catalog.invalid_field",
            Error::CurrencyNotAccepted => "catalog.currency_not_accepted",
            Error::OutlineTooLarge => "catalog.outline_too_large",
            Error::ScheduleInPast => "catalog.schedule_in_past",
            Error::GrantsLeft => "catalog.grants_left",
        }
    }

    fn class(&self) -> Class {
        match self {
            Error::CourseNotFound | Error::LessonNotFound => Class::NotFound,
            Error::CourseExists | Error::WrongState { .. } | Error::GrantsLeft => Class::Conflict,
            Error::OperatorsOnly => Class::Forbidden,
            Error::RevisionMismatch { .. } => Class::PreconditionFailed,
            Error::Incomplete { .. }
            | Error::InvalidField { .. }
            | Error::CurrencyNotAccepted
            | Error::OutlineTooLarge
            | Error::ScheduleInPast => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Error::WrongState { state } => Some(state.clone()),
            Error::GrantsLeft => Some(Cow::Borrowed("retired")),
            Error::CourseNotFound
            | Error::CourseExists
            | Error::LessonNotFound
            | Error::OperatorsOnly
            | Error::RevisionMismatch { .. }
            | Error::Incomplete { .. }
            | Error::InvalidField { .. }
            | Error::CurrencyNotAccepted
            | Error::OutlineTooLarge
            | Error::ScheduleInPast => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_conflicts_of_a_state_name_it() {
        let all = [
            Error::CourseNotFound,
            Error::CourseExists,
            Error::LessonNotFound,
            Error::wrong_state("draft"),
            Error::OperatorsOnly,
            Error::RevisionMismatch { current: 1 },
            Error::Incomplete { gate: Gate::Title },
            Error::Incomplete { gate: Gate::Price },
            Error::Incomplete { gate: Gate::Lesson },
            Error::invalid_field("title", "short"),
            Error::CurrencyNotAccepted,
            Error::OutlineTooLarge,
            Error::ScheduleInPast,
            Error::GrantsLeft,
        ];

        let codes: BTreeSet<_> = all.iter().map(Coded::code).collect();

        assert_eq!(codes.len(), all.len());
        assert!(codes.iter().all(|code| code.starts_with("catalog.")));
        assert_eq!(Error::wrong_state("draft").current_state(), Some("draft".into()));
    }
}
