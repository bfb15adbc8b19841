//! The heat map: which latencies good answers had when, counted from their intended start.

use maud::{Markup, html};

use super::frame::{Column, Frame, Times, latency_label, log_ticks, px};
use crate::outcome::ChaosSpan;
use crate::report::format::{clock, count};
use crate::report::summary::Summary;
use std::time::Duration;

/// Shades of the map; they are told apart by eye, so more would say no more.
const SHADES: usize = 8;

/// Draws the map, with a scale of its shades.
pub(super) fn map(summary: &Summary, times: &Times, chaos: &[ChaosSpan]) -> Markup {
    let heat = &summary.heat_map;
    let (Some(lowest_ms), Some(highest_ms)) = (heat.bucket_upper_ms.first(), heat.bucket_upper_ms.last())
    else {
        return html! { section { h2 { "Latency over time" } p.soft { "No good answer came." } } };
    };
    let rows = heat.bucket_upper_ms.len();
    let columns: Vec<(Column, Vec<u64>)> = times
        .columns()
        .map(|column| {
            let mut sums = vec![0u64; rows];
            for counts in &heat.counts[column.first..column.end] {
                for (bucket, count) in counts {
                    // A file from elsewhere may speak of buckets that it does not have.
                    if let Some(sum) = sums.get_mut(*bucket) {
                        *sum += count;
                    }
                }
            }
            (column, sums)
        })
        .collect();
    let most = columns
        .iter()
        .flat_map(|(_, sums)| sums)
        .max()
        .copied()
        .unwrap_or(0);

    let frame = Frame::of(330.0);
    // All buckets are of the same relative width, the lowest one included.
    let low_log = lowest_ms.log2() - 0.25;
    let span_log = highest_ms.log2() - low_log;
    let ticks: Vec<(f64, String)> = log_ticks(low_log.exp2(), *highest_ms)
        .into_iter()
        .map(|tick_ms| ((tick_ms.log2() - low_log) / span_log, latency_label(tick_ms)))
        .collect();
    let mut cells = vec![String::new(); SHADES];
    for (column, sums) in &columns {
        let left = frame.x(times.fraction(column.from_s));
        let right = frame.x(times.fraction(column.to_s));
        for (row, sum) in sums.iter().enumerate().filter(|(_, sum)| **sum > 0) {
            let (low, high) = (row as f64 / rows as f64, (row + 1) as f64 / rows as f64);
            cells[shade(*sum, most)].push_str(&format!(
                "M{} {}H{}V{}H{}z",
                px(left),
                px(frame.y(low)),
                px(right),
                px(frame.y(high)),
                px(left)
            ));
        }
    }
    let drawing = html! {
        (frame.rules(&ticks))
        (times.shades(&frame, chaos))
        @for (shade, path) in cells.iter().enumerate() {
            @if !path.is_empty() { path class=(format!("cell heat{shade}")) d=(path) {} }
        }
        @for (column, sums) in &columns {
            @let left = frame.x(times.fraction(column.from_s));
            @let right = frame.x(times.fraction(column.to_s));
            rect.hover x=(px(left)) y=(px(frame.top)) width=(px(right - left)) height=(px(frame.bottom - frame.top)) {
                title { (says(summary, column, sums)) }
            }
        }
        (times.axis(&frame))
    };
    html! {
        section {
            h2 { "Latency over time" }
            p.soft { "Good answers by the time at which they were due and by how long they took from then." }
            (frame.svg("Heat map of latencies over time", &drawing))
            p.legend {
                span { "1" }
                span.ramp { @for shade in 0..SHADES { i class=(format!("heat{shade}")) {} } }
                span { (count(most)) " answers" }
            }
        }
    }
}

/// Returns the shade of a count: logarithmic, because a handful of slow answers matters among thousands.
fn shade(sum: u64, most: u64) -> usize {
    let (sum, most) = ((sum as f64).ln(), (most as f64).ln());
    if most <= 0.0 {
        return SHADES - 1;
    }
    let mut shade = 0;
    while shade + 1 < SHADES && sum / most > (shade + 1) as f64 / SHADES as f64 {
        shade += 1;
    }
    shade
}

fn says(summary: &Summary, column: &Column, sums: &[u64]) -> String {
    let answers: u64 = sums.iter().sum();
    let from = clock(Duration::from_secs_f64(column.from_s));
    let slowest = summary.timeline[column.first..column.end]
        .iter()
        .filter_map(|moment| moment.max_ms)
        .fold(0.0, f64::max);
    format!(
        "{from}: {} good answers, the slowest after {slowest:.1} ms",
        count(answers)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_from_one_answer_to_the_most() {
        assert_eq!(shade(1, 10_000), 0);
        assert_eq!(shade(10_000, 10_000), SHADES - 1);
        assert_eq!(shade(1, 1), SHADES - 1);
        assert!(shade(100, 10_000) > shade(10, 10_000));
    }
}
