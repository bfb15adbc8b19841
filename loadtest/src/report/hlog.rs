//! `latency.hlog`: a run's histograms as an `HdrHistogram` interval log (V2, compressed), for the tools that read those.
//!
//! Values are microseconds; the column of maxima is in milliseconds. Lines without a tag are the latencies of all good
//! answers by interval of their intended start, with two significant digits. Lines with a tag span the whole run, with
//! three digits: `latency:<operation>` from the intended start, `service:<operation>` from the sending,
//! `failed:<operation>` from the intended start to a failure, and `lag` of the generator. In tags, what the format does
//! not allow there is an underscore.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriter, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use hdrhistogram::{Counter, Histogram};

use crate::outcome::timeline::Timeline;
use crate::outcome::{self, Operation, Recording};

const LAG: &str = "lag";

/// Writes the log of a recording.
#[must_use]
pub fn encode(recording: &Recording) -> Vec<u8> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(
            "values are microseconds from the intended start; untagged lines are all operations by interval",
        )
        .with_start_time(recording.run.started)
        .with_base_time(recording.run.started)
        .with_max_value_divisor(1000.0)
        .begin_log_with(&mut log, &mut serializer)
        .expect("memory takes every write");
    let whole = recording.run.duration;
    let tally = &recording.tally;
    for operation in tally.operations() {
        for (tag, histogram) in tagged(operation) {
            line(&mut writer, Duration::ZERO, whole, Some(&tag), histogram);
        }
    }
    line(&mut writer, Duration::ZERO, whole, Some(LAG), tally.lag());
    let width = tally.timeline().width();
    let mut start = Duration::ZERO;
    for interval in tally.timeline().intervals() {
        line(&mut writer, start, width, None, &interval.latency);
        start += width;
    }
    log
}

/// Fills the histograms of operations and intervals from a log, and returns the generator's lag.
///
/// # Errors
/// A sentence: a line is damaged.
pub(crate) fn decode(
    log: &str,
    operations: &mut [Operation],
    timeline: &mut Timeline,
) -> Result<Histogram<u64>, String> {
    let mut lag = outcome::histogram();
    let mut deserializer = Deserializer::new();
    let width_s = timeline.width().as_secs();
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(line) = entry.map_err(|error| format!("{error:?}"))? else {
            continue;
        };
        let bytes = STANDARD
            .decode(line.encoded_histogram())
            .map_err(|error| error.to_string())?;
        let Some(tag) = line.tag() else {
            let theirs: Histogram<u32> = histogram(&mut deserializer, &bytes)?;
            let index = usize::try_from(line.start_timestamp().as_secs() / width_s)
                .map_err(|error| error.to_string())?;
            add(&mut timeline.nth(index).latency, &theirs)?;
            continue;
        };
        let theirs: Histogram<u64> = histogram(&mut deserializer, &bytes)?;
        if tag.as_str() == LAG {
            add(&mut lag, &theirs)?;
        }
        for operation in &mut *operations {
            let tags = tagged(operation).map(|(tag, _)| tag);
            let ours = [
                &mut operation.latency,
                &mut operation.service,
                &mut operation.failed,
            ];
            for (_, ours) in tags.iter().zip(ours).filter(|(name, _)| *name == tag.as_str()) {
                add(ours, &theirs)?;
            }
        }
    }
    Ok(lag)
}

/// The histograms of an operation with their tags.
fn tagged(operation: &Operation) -> [(String, &Histogram<u64>); 3] {
    let name = operation.name.replace([',', ' ', '\r', '\n'], "_");
    [
        (format!("latency:{name}"), &operation.latency),
        (format!("service:{name}"), &operation.service),
        (format!("failed:{name}"), &operation.failed),
    ]
}

fn line<C: Counter>(
    writer: &mut IntervalLogWriter<'_, '_, Vec<u8>, V2DeflateSerializer>,
    start: Duration,
    length: Duration,
    tag: Option<&str>,
    histogram: &Histogram<C>,
) {
    let tag = tag.map(|tag| Tag::new(tag).expect("commas, spaces and line ends were replaced"));
    writer
        .write_histogram(histogram, start, length, tag)
        .expect("memory takes every write, and these histograms are far below the format's limit");
}

fn histogram<C: Counter>(deserializer: &mut Deserializer, bytes: &[u8]) -> Result<Histogram<C>, String> {
    deserializer
        .deserialize(&mut &*bytes)
        .map_err(|error| error.to_string())
}

fn add<C: Counter>(ours: &mut Histogram<C>, theirs: &Histogram<C>) -> Result<(), String> {
    ours.add(theirs).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_histogram_comes_back_from_the_log() {
        let recording = fixture::stormy(7);
        let log = String::from_utf8(encode(&recording)).unwrap();
        let mut operations: Vec<Operation> = recording
            .tally
            .operations()
            .iter()
            .map(|operation| Operation::new(operation.name.clone()))
            .collect();
        let mut timeline = Timeline::of_width(recording.tally.timeline().width().as_secs());

        let lag = decode(&log, &mut operations, &mut timeline).unwrap();

        assert_eq!(&lag, recording.tally.lag());
        for (ours, theirs) in operations.iter().zip(recording.tally.operations()) {
            assert_eq!(ours.latency, theirs.latency);
            assert_eq!(ours.service, theirs.service);
            assert_eq!(ours.failed, theirs.failed);
        }
        for (ours, theirs) in timeline
            .intervals()
            .iter()
            .zip(recording.tally.timeline().intervals())
        {
            assert_eq!(ours.latency, theirs.latency);
        }
    }

    #[test]
    fn a_damaged_log_is_refused() {
        let mut timeline = Timeline::of_width(1);

        let refused = decode("0.000,1.000,1.000,bm90IGEgaGlzdG9ncmFt\n", &mut [], &mut timeline);

        assert!(refused.is_err());
    }
}
