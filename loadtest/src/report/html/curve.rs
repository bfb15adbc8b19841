//! The curve of percentiles: latency from the intended start against service time, out to the rarest.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use maud::{Markup, html};

use super::frame::{Frame, latency_label, log_ticks, px};
use crate::outcome::Operation;

/// Points on a curve: one for every few pixels.
const POINTS: u32 = 240;

/// Decimals of the axis: 99.9999 % and beyond would be single requests.
const NINES_MAX: f64 = 6.0;

/// Draws the curves of all good answers.
pub(super) fn percentiles(total: &Operation) -> Markup {
    if total.latency.is_empty() {
        return html! { section { h2 { "Percentiles" } p.soft { "No good answer came." } } };
    }
    let frame = Frame::of(340.0);
    // The axis ends where one answer is left: p99.9 of a hundred answers is the slowest of them.
    let nines = (total.latency.len() as f64).log10().clamp(1.0, NINES_MAX);
    let low_ms = (total.service.min().min(total.latency.min()).max(1) as f64 / 1000.0) / 1.15;
    let high_ms = total.latency.max().max(total.service.max()) as f64 / 1000.0 * 1.15;
    let height = |ms: f64| (ms / low_ms).ln() / (high_ms / low_ms).ln();
    let points = |histogram: &Histogram<u64>| -> Vec<(f64, f64)> {
        (0..=POINTS)
            .map(|point| {
                let fraction = f64::from(point) / f64::from(POINTS);
                let quantile = 1.0 - 10f64.powf(-fraction * nines);
                let ms = histogram.value_at_quantile(quantile) as f64 / 1000.0;
                (frame.x(fraction), frame.y(height(ms).clamp(0.0, 1.0)))
            })
            .collect()
    };
    let (latency, service) = (points(&total.latency), points(&total.service));
    let between: Vec<(f64, f64)> = latency.iter().chain(service.iter().rev()).copied().collect();
    let ticks: Vec<(f64, String)> = log_ticks(low_ms, high_ms)
        .into_iter()
        .map(|tick_ms| (height(tick_ms), latency_label(tick_ms)))
        .collect();
    let drawing = html! {
        (frame.rules(&ticks))
        @for (quantile, label) in [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"),
            (0.9999, "99.99 %"), (0.99999, "99.999 %"), (0.999_999, "99.9999 %")] {
            @let fraction = -(1.0f64 - quantile).log10() / nines;
            @if fraction <= 1.0 {
                @let x = px(frame.x(fraction));
                path.rule d=(format!("M{x} {}V{}", px(frame.top), px(frame.bottom))) {}
                text class=(if fraction > 0.97 { "end" } else { "middle" }) x=(x) y=(px(frame.bottom + 19.0)) { (label) }
            }
        }
        path.wait d=(format!("{}z", line(&between))) {}
        path.service d=(line(&service)) {}
        path.intended d=(line(&latency)) {}
    };
    html! {
        section {
            h2 { "Percentiles" }
            p.soft {
                "What share of the good answers took at most how long. The tinted area is what they waited before they could "
                "even be sent: a client that only counts service time does not see it."
            }
            (frame.svg("Latency by percentile", &drawing))
            p.legend {
                span { i.intended {} "from intended start" }
                span { i.service {} "service time" }
            }
        }
    }
}

/// Returns the path through these points.
pub(super) fn line(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        write!(path, "{command}{} {}", px(*x), px(*y)).expect("a string takes every write");
    }
    path
}
