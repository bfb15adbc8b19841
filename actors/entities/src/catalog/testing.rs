//! Courses for the tests of this domain.

use std::sync::Arc;

use lyceum_domain::ids::{CourseId, UserId};
use lyceum_kernel::{Currency, Money, Timestamp};

use super::entry::{Counters, Entry};
use super::rows::LiveCourse;

/// A published course whose fields follow from its number.
pub(super) fn course(n: u32) -> LiveCourse {
    LiveCourse {
        id: CourseId::from_u128(u128::from(n) + 1),
        creator: UserId::from_u128(u128::from(n % 5)),
        state: "published".into(),
        revision: 4,
        version: 1,
        title: format!("Course {}", n * 7 % 13),
        subtitle: None,
        language: if n.is_multiple_of(2) { "zh" } else { "en" }.into(),
        level: if n.is_multiple_of(3) { "beginner" } else { "all" }.into(),
        category: Some(format!("c{}", n % 4)),
        tags: vec![format!("Tag {}", n % 20)],
        price: Money::new(i64::from(n % 6) * 100, Currency::CNY).expect("in range"),
        published_at: Timestamp::from_millis(i64::from(n / 2)),
        detail: r#"{"description":null,"outline":[]}"#.into(),
    }
}

/// The entry of a course nobody has bought.
pub(super) fn entry(course: LiveCourse) -> Arc<Entry> {
    Arc::new(Entry::new(course, Some("Ada"), Arc::new(Counters::default())))
}
