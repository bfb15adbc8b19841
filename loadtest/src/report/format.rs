//! Figures as people read them: milliseconds with the digits that matter, thousands apart, times of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns a latency with its unit and about three digits, such as `840 µs`, `4.62 ms` or `1.20 s`.
#[must_use]
pub fn latency(millis: f64) -> String {
    if millis < 1.0 {
        format!("{:.0} µs", millis * 1000.0)
    } else if millis < 1000.0 {
        format!("{} ms", three_digits(millis))
    } else {
        format!("{} s", three_digits(millis / 1000.0))
    }
}

/// Returns a number at least 0 with about three digits.
#[must_use]
pub fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Returns a count with its thousands apart by thin spaces: `1 234 567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Returns a rate: three digits below a hundred, whole above.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and a float saturates"
)]
pub fn rate(per_second: f64) -> String {
    if per_second < 99.95 {
        three_digits(per_second)
    } else {
        count(per_second.round() as u64)
    }
}

/// Returns a part of a whole in percent; what is not nothing never reads as nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    if percent < 0.01 {
        "< 0.01 %".to_owned()
    } else {
        format!("{} %", three_digits(percent))
    }
}

/// Returns a time since the start as minutes and seconds, with hours in front if there are any.
#[must_use]
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 {
        format!("{minutes}:{seconds:02}")
    } else {
        format!("{hours}:{minutes:02}:{seconds:02}")
    }
}

/// Returns a moment in UTC to the second, such as `2026-03-01T09:30:00Z`.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of year 0, so that a leap day is the last of its year; 719,468 days lie between.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_about_three_digits() {
        assert_eq!(latency(0.84), "840 µs");
        assert_eq!(latency(4.617), "4.62 ms");
        assert_eq!(latency(87.31), "87.3 ms");
        assert_eq!(latency(1_204.0), "1.20 s");
    }

    #[test]
    fn a_rare_failure_is_not_rounded_to_none() {
        assert_eq!(percent(1, 1_000_000), "< 0.01 %");
        assert_eq!(percent(0, 1_000_000), "0 %");
    }

    #[test]
    fn moments_are_right_around_leap_days_and_year_ends() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));

        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
