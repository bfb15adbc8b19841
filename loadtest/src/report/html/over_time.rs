//! Counts over time: what was offered against what was answered well, and failures by kind.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::curve::line;
use super::frame::{Frame, Times, linear_ticks, px};
use crate::outcome::{Interval, Recording};
use crate::report::format::{count, rate};

/// Kinds of failures with a colour of their own; the rarest share the last one.
const KINDS_MAX: usize = 7;

/// Draws offered arrivals, completed requests and good answers, each per second.
pub(super) fn load(recording: &Recording, times: &Times) -> Markup {
    let intervals = recording.tally.timeline().intervals();
    let width_s = recording.tally.timeline().width().as_secs_f64();
    let duration_s = recording.run.duration.as_secs_f64();
    let series = |figure: fn(&Interval) -> u64, until_s: f64| -> Vec<(f64, f64)> {
        times
            .columns()
            .filter(|column| column.from_s < until_s)
            .map(|column| {
                let sum: u64 = intervals[column.first..column.end].iter().map(figure).sum();
                // An interval that the run's end cuts short had less time for as many.
                let seconds = (column.to_s.min(until_s) - column.from_s).max(width_s / 1e3);
                (column.from_s + seconds / 2.0, sum as f64 / seconds)
            })
            .collect()
    };
    let offered = series(|interval| interval.offered, duration_s);
    let completed = series(|interval| interval.completed, f64::INFINITY);
    let good = series(|interval| interval.completed - interval.failures(), f64::INFINITY);
    let highest = offered
        .iter()
        .chain(&completed)
        .map(|(_, rate)| *rate)
        .fold(0.0, f64::max);

    let frame = Frame::of(250.0);
    let (top, ticks) = linear_ticks(highest);
    let ticks: Vec<(f64, String)> = ticks.into_iter().map(|tick| (tick / top, whole(tick))).collect();
    let path = |series: &[(f64, f64)]| -> Vec<(f64, f64)> {
        series
            .iter()
            .map(|(time_s, rate)| (frame.x(times.fraction(*time_s)), frame.y(rate / top)))
            .collect()
    };
    let mut area = path(&offered);
    if let (Some(first), Some(last)) = (area.first().copied(), area.last().copied()) {
        area.insert(0, (first.0, frame.bottom));
        area.push((last.0, frame.bottom));
    }
    let drawing = html! {
        (frame.rules(&ticks))
        (times.shades(&frame, &recording.chaos))
        path.offered_area d=(line(&area)) {}
        path.offered d=(line(&path(&offered))) {}
        path.completed d=(line(&path(&completed))) {}
        path.ok d=(line(&path(&good))) {}
        (times.axis(&frame))
    };
    let total = recording.tally.total();
    html! {
        section {
            h2 { "Offered and completed" }
            p.soft { "Requests per second. The schedule offers whether or not the target keeps up." }
            (frame.svg("Offered and completed requests over time", &drawing))
            p.legend {
                span { i.offered {} "offered " b { (count(total.offered)) } }
                span { i.completed {} "completed " b { (count(total.completed)) } }
                span { i.ok {} "of these good " b { (count(total.ok())) } }
            }
        }
    }
}

/// Draws failures and drops per second, stacked by kind.
pub(super) fn errors(recording: &Recording, times: &Times) -> Markup {
    let intervals = recording.tally.timeline().intervals();
    let kinds = ranked(recording);
    if kinds.is_empty() {
        return html! {
            section { h2 { "Failures over time" } p.soft { "No request failed and none was dropped." } }
        };
    }
    let columns: Vec<(f64, f64, Vec<f64>)> = times
        .columns()
        .map(|column| {
            let mut sums = vec![0u64; kinds.len()];
            for interval in &intervals[column.first..column.end] {
                for (name, number) in failures(interval) {
                    let place = kinds.iter().position(|(kind, _)| *kind == name);
                    // Kinds without a place of their own are in the last one.
                    sums[place.unwrap_or(kinds.len() - 1)] += number;
                }
            }
            let seconds = column.to_s - column.from_s;
            let rates = sums.into_iter().map(|sum| sum as f64 / seconds).collect();
            (column.from_s, column.to_s, rates)
        })
        .collect();
    let highest = columns
        .iter()
        .map(|(_, _, rates)| rates.iter().sum())
        .fold(0.0, f64::max);

    let frame = Frame::of(220.0);
    let (top, ticks) = linear_ticks(highest);
    let ticks: Vec<(f64, String)> = ticks.into_iter().map(|tick| (tick / top, whole(tick))).collect();
    let mut paths = vec![String::new(); kinds.len()];
    for (from_s, to_s, rates) in &columns {
        let (left, right) = (frame.x(times.fraction(*from_s)), frame.x(times.fraction(*to_s)));
        let mut below = 0.0;
        for (path, rate) in paths.iter_mut().zip(rates).filter(|(_, rate)| **rate > 0.0) {
            let (low, high) = (frame.y(below / top), frame.y((below + rate) / top));
            path.push_str(&format!(
                "M{} {}H{}V{}H{}z",
                px(left),
                px(low),
                px(right),
                px(high),
                px(left)
            ));
            below += rate;
        }
    }
    let drawing = html! {
        (frame.rules(&ticks))
        (times.shades(&frame, &recording.chaos))
        @for (index, path) in paths.iter().enumerate() {
            @if !path.is_empty() { path class=(format!("kind{index}")) d=(path) {} }
        }
        (times.axis(&frame))
    };
    html! {
        section {
            h2 { "Failures over time" }
            p.soft { "Failed requests per second by kind, at the time of their failure; drops at the time that they were due." }
            (frame.svg("Failures by kind over time", &drawing))
            p.legend {
                @for (index, (kind, number)) in kinds.iter().enumerate() {
                    span { i class=(format!("kind{index}")) {} (kind) " " b { (count(*number)) } }
                }
            }
        }
    }
}

/// Returns the kinds of failures with their counts, the most frequent first and the rarest as one.
fn ranked(recording: &Recording) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for interval in recording.tally.timeline().intervals() {
        for (name, number) in failures(interval) {
            *sums.entry(name).or_default() += number;
        }
    }
    let mut kinds: Vec<(String, u64)> = sums.into_iter().collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    if kinds.len() > KINDS_MAX {
        let rest = kinds.split_off(KINDS_MAX - 1);
        kinds.push(("other".to_owned(), rest.iter().map(|(_, number)| number).sum()));
    }
    kinds
}

/// What went wrong in an interval, drops included.
fn failures(interval: &Interval) -> impl Iterator<Item = (String, u64)> + '_ {
    interval
        .errors
        .iter()
        .map(|(kind, number)| (kind.to_string(), *number))
        .chain((interval.dropped > 0).then(|| ("dropped".to_owned(), interval.dropped)))
}

/// The label of a rate that is a tick.
fn whole(tick: f64) -> String {
    if tick > 0.0 && tick.fract() != 0.0 {
        rate(tick)
    } else {
        rate(tick).replace(".00", "").replace(".0", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Completion, ErrorKind};
    use crate::report::fixture;
    use std::time::Duration;

    #[test]
    fn beyond_seven_kinds_the_rarest_are_one() {
        let mut recording = fixture::calm(1);
        let id = recording.tally.id("browse").unwrap();
        for status in 500..510u16 {
            for _ in 500..=status {
                let moment = Duration::from_secs(1);
                recording.tally.started(id, moment, Duration::ZERO);
                recording.tally.completed(
                    id,
                    Completion {
                        intended: moment,
                        started: moment,
                        ended: moment,
                        result: Err(ErrorKind::Status(status)),
                    },
                );
            }
        }

        let kinds = ranked(&recording);

        assert_eq!(kinds.len(), KINDS_MAX);
        assert_eq!(kinds[0], ("status_509".to_owned(), 10));
        assert_eq!(kinds[6], ("other".to_owned(), 4 + 3 + 2 + 1));
    }
}
