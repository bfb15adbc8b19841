//! Points in time, as milliseconds since the Unix epoch, written as RFC 3339 UTC.
//!
//! The kernel has no clock: whoever needs the present is given it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DAY_MS: i64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const LAST_MS: i64 = 253_402_300_799_999;

/// A point in time with millisecond resolution, from 1970 to 9999, in UTC.
///
/// In JSON it is an RFC 3339 string, for instance `2026-11-22T09:30:00.000Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is not a timestamp.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 UTC time between 1970 and 9999, such as 2026-11-22T09:30:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// The first instant, 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// Makes a timestamp from milliseconds since the epoch, clamped to what RFC 3339 can write.
    pub fn from_millis(millis: i64) -> Self {
        Timestamp(millis.clamp(0, LAST_MS))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This time moved forward, at most to the end of the year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(LAST_MS);
        Timestamp::from_millis(self.0.saturating_add(millis))
    }

    /// The day of its month, from 1 to 31.
    pub fn day_of_month(self) -> u32 {
        let (_, _, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        u32::try_from(day).unwrap_or(1)
    }

    /// The same time of day so many calendar months later, on this day of the month, or the month's last if it has fewer.
    #[must_use]
    pub fn plus_months(self, months: u32, day_of_month: u32) -> Self {
        let (days, time_of_day) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, _) = civil_from_days(days);
        let counted = year * 12 + (month - 1) + i64::from(months);
        let (year, month) = (counted.div_euclid(12), counted.rem_euclid(12) + 1);
        let day = i64::from(day_of_month).clamp(1, days_in_month(year, month));
        Timestamp::from_millis(days_from_civil(year, month, day) * DAY_MS + time_of_day)
    }

    /// How long before this time `earlier` was; zero if it was not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

/// A timestamp written out: always so many bytes, all of them ASCII.
struct Written([u8; 24]);

impl Written {
    /// Digit by digit: times are in nearly every answer, and the formatting machinery takes several times as long.
    fn of(time: Timestamp) -> Self {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let (days, ms) = (time.0.div_euclid(DAY_MS), time.0.rem_euclid(DAY_MS));
        let (year, month, day) = civil_from_days(days);
        let parts = [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, ms / 3_600_000),
            (14..16, ms / 60_000 % 60),
            (17..19, ms / 1000 % 60),
            (20..23, ms % 1000),
        ];
        for (place, mut number) in parts {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        Written(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and separators are ASCII")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Written::of(*self).as_str())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text).ok_or(TimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Written::of(*self).as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let body = text.strip_suffix(['Z', 'z'])?;
    let (date, clock) = body.split_once(['T', 't'])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));

    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range || fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }

    let milli: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let ms = ((hour * 60 + minute) * 60 + second) * 1000 + milli;
    Some(Timestamp(days_from_civil(year, month, day) * DAY_MS + ms))
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`], from the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_written_as_rfc_3339() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Timestamp::from_millis(951_782_400_000).to_string(),
            "2000-02-29T00:00:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(LAST_MS).to_string(),
            "9999-12-31T23:59:59.999Z"
        );
    }

    #[test]
    fn every_day_of_four_centuries_survives_writing_and_reading() {
        for day in 0..146_097 {
            let noon = Timestamp(day * DAY_MS + 43_200_123);
            assert_eq!(noon.to_string().parse(), Ok(noon));
        }
    }

    #[test]
    fn months_are_those_of_the_calendar_and_end_with_their_last_day() {
        for (from, months, day, to) in [
            ("2026-01-31T08:00:00.000Z", 1, 31, "2026-02-28T08:00:00.000Z"),
            ("2028-01-31T08:00:00.000Z", 1, 31, "2028-02-29T08:00:00.000Z"),
            ("2026-02-28T08:00:00.000Z", 1, 31, "2026-03-31T08:00:00.000Z"),
            ("2026-12-15T23:59:59.999Z", 1, 15, "2027-01-15T23:59:59.999Z"),
            ("2028-02-29T00:00:00.000Z", 12, 29, "2029-02-28T00:00:00.000Z"),
            ("9999-12-01T00:00:00.000Z", 1, 1, "9999-12-31T23:59:59.999Z"),
        ] {
            let from: Timestamp = from.parse().unwrap();
            assert_eq!(from.plus_months(months, day).to_string(), to);
        }
        assert_eq!(
            "2026-01-31T08:00:00Z"
                .parse::<Timestamp>()
                .unwrap()
                .day_of_month(),
            31
        );
    }

    #[test]
    fn texts_that_are_not_utc_times_are_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T09:30:00",
            "2026-11-22T09:30:00+08:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "+026-11-22T09:30:00Z",
            "2026-11-22T09:30:00.Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates_instead_of_overflowing() {
        let last = Timestamp::from_millis(i64::MAX);

        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(Timestamp::EPOCH.since(last), Duration::ZERO);
    }
}
