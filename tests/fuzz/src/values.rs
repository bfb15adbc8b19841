//! Values that cross the edge as text: whatever parses is written back as it was, or as its one canonical form.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use lyceum_domain::accounts::{Email, Username};
use lyceum_domain::catalog::{Language, Slug};
use lyceum_domain::ids::{CourseId, OrderId, UserId};
use lyceum_kernel::{Id, IdKind, Money, Timestamp};

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Writing a value and reading it again gives the same value.
fn survives<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: &T) {
    let written = value.to_string();
    let read: T = written.parse().expect("what was written can be read");
    assert_eq!(&read, value, "{written}");
}

/// Ids: one text for each, and never two kinds for one text.
pub fn ids(data: &[u8]) {
    fn one<K: IdKind>(text: &str) -> bool {
        let Ok(id) = text.parse::<Id<K>>() else {
            return false;
        };
        assert_eq!(id.to_string(), text, "an id has one text");
        assert_eq!(Id::<K>::from_u128(id.as_u128()), id);
        true
    }
    let Some(text) = text(data) else { return };
    let kinds = [
        text.parse::<UserId>().is_ok(),
        text.parse::<CourseId>().is_ok(),
        text.parse::<OrderId>().is_ok(),
    ];
    assert!(
        kinds.iter().filter(|fits| **fits).count() <= 1,
        "one kind for each text"
    );
    one::<lyceum_domain::ids::UserKind>(text);
    one::<lyceum_domain::ids::CourseKind>(text);
}

/// Money: never negative, never beyond its limit, the same after a round trip.
pub fn money(data: &[u8]) {
    let Ok(money) = serde_json::from_slice::<Money>(data) else {
        return;
    };
    assert!(money.amount() >= 0);
    assert_eq!(Money::new(money.amount(), money.currency()), Ok(money));
    let written = serde_json::to_vec(&money).expect("money can be written");
    assert_eq!(serde_json::from_slice::<Money>(&written).ok(), Some(money));
    if let Ok(doubled) = money.plus(money) {
        assert_eq!(doubled.minus(money), Ok(money));
    }
}

/// Times: RFC 3339 in UTC, to the millisecond.
pub fn time(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(time) = text.parse::<Timestamp>() {
        survives(&time);
        assert!(time.as_millis() >= 0);
    }
}

/// Names of people and things: a parser refuses or keeps, and what it kept it takes again.
pub fn names(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(username) = Username::parse(text) {
        assert!(Username::parse(&username.to_string()).is_ok());
    }
    if let Ok(email) = Email::parse(text) {
        assert!(Email::parse(&email.to_string()).is_ok());
    }
    if let Ok(slug) = Slug::new(text) {
        assert_eq!(slug.as_str(), text);
    }
    if let Ok(language) = Language::new(text) {
        assert!(Language::new(language.as_str()).is_ok());
    }
}
