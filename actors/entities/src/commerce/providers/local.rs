//! Times as the Chinese providers write them: eight hours ahead of UTC, all year round. No IO.

use std::time::Duration;

use lyceum_kernel::Timestamp;

const AHEAD: Duration = Duration::from_hours(8);

/// `2026-11-22T17:30:00+08:00`.
pub(super) fn rfc3339(time: Timestamp) -> String {
    let text = time.plus(AHEAD).to_string();
    format!("{}+08:00", &text[..19])
}

/// `2026-11-22 17:30:00`.
pub(super) fn spaced(time: Timestamp) -> String {
    time.plus(AHEAD).to_string()[..19].replace('T', " ")
}

/// The day that it is there: `2026-11-22`.
pub(super) fn day(time: Timestamp) -> String {
    time.plus(AHEAD).to_string()[..10].to_owned()
}

/// Reads what [`spaced`] writes.
pub(super) fn from_spaced(text: &str) -> Option<Timestamp> {
    let ahead: Timestamp = format!("{}Z", text.replacen(' ', "T", 1)).parse().ok()?;
    let ahead_ms = i64::try_from(AHEAD.as_millis()).ok()?;
    Some(Timestamp::from_millis(ahead.as_millis() - ahead_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_eight_hours_ahead_and_read_back() {
        let time: Timestamp = "2026-11-22T18:30:00Z".parse().unwrap();

        assert_eq!(rfc3339(time), "2026-11-23T02:30:00+08:00");
        assert_eq!(spaced(time), "2026-11-23 02:30:00");
        assert_eq!(day(time), "2026-11-23");
        assert_eq!(from_spaced(&spaced(time)), Some(time));
        for text in ["", "2026-11-23", "2026-13-23 02:30:00", "yesterday at noon"] {
            assert_eq!(from_spaced(text), None, "{text}");
        }
    }
}
