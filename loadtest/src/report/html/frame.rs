//! What the drawings share: their frame, their scales, the axis of time and the shades of injected faults.

use std::time::Duration;

use maud::{Markup, html};

use crate::outcome::{ChaosSpan, Recording};
use crate::report::format::clock;

/// The most columns that a drawing over time has: more are narrower than a pixel or two.
const COLUMNS_MAX: usize = 240;

/// The most labels on the axis of time.
const TIME_TICKS_MAX: f64 = 12.0;

/// Lengths between ticks of time that people count in, in seconds.
const TIME_STEPS_S: [u32; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];

/// A drawing's size and the plot within it, in units of about a pixel on a wide screen.
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// Makes the frame of a drawing of this height; all drawings are equally wide.
    pub(super) fn of(height: f64) -> Self {
        Frame {
            width: 1_000.0,
            height,
            left: 62.0,
            right: 988.0,
            top: 26.0,
            bottom: height - 26.0,
        }
    }

    /// Returns the place of this fraction of the way from left to right.
    pub(super) fn x(&self, fraction: f64) -> f64 {
        self.left + (self.right - self.left) * fraction
    }

    /// Returns the place of this fraction of the way from bottom to top.
    pub(super) fn y(&self, fraction: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * fraction
    }

    /// Draws inside an SVG of this frame, with the line at the bottom.
    pub(super) fn svg(&self, says: &str, drawing: &Markup) -> Markup {
        html! {
            div.wide {
                svg viewBox=(format!("0 0 {} {}", self.width, self.height)) role="img" aria-label=(says) {
                    (drawing)
                    path.base d=(format!("M{} {}H{}", px(self.left), px(self.bottom), px(self.right))) {}
                }
            }
        }
    }

    /// Draws a horizontal line at each tick with its label to the left.
    pub(super) fn rules(&self, ticks: &[(f64, String)]) -> Markup {
        html! {
            @for (fraction, label) in ticks {
                @let y = self.y(*fraction);
                path.rule d=(format!("M{} {}H{}", px(self.left), px(y), px(self.right))) {}
                text.end x=(px(self.left - 8.0)) y=(px(y + 4.0)) { (label) }
            }
        }
    }
}

/// The span that drawings over time cover, and how its intervals are gathered into columns.
pub(super) struct Times {
    total_s: f64,
    width_s: f64,
    group: usize,
    intervals: usize,
}

impl Times {
    /// Covers the run and the drain after it.
    pub(super) fn of(recording: &Recording) -> Self {
        let timeline = recording.tally.timeline();
        let intervals = timeline.intervals().len();
        let width_s = timeline.width().as_secs_f64();
        let recorded_s = width_s * intervals as f64;
        Times {
            total_s: recorded_s.max(recording.run.duration.as_secs_f64()).max(1.0),
            width_s,
            group: intervals.div_ceil(COLUMNS_MAX).max(1),
            intervals,
        }
    }

    /// Returns the fraction of the way at which a time is, never outside the plot.
    pub(super) fn fraction(&self, time_s: f64) -> f64 {
        (time_s / self.total_s).clamp(0.0, 1.0)
    }

    /// Returns the ranges of intervals that share a column, in order.
    pub(super) fn columns(&self) -> impl Iterator<Item = Column> + '_ {
        (0..self.intervals).step_by(self.group).map(|first| {
            let end = (first + self.group).min(self.intervals);
            Column {
                first,
                end,
                from_s: first as f64 * self.width_s,
                to_s: end as f64 * self.width_s,
            }
        })
    }

    /// Draws the axis of time below the plot.
    pub(super) fn axis(&self, frame: &Frame) -> Markup {
        let step_s = TIME_STEPS_S
            .into_iter()
            .find(|step_s| self.total_s / f64::from(*step_s) <= TIME_TICKS_MAX)
            .unwrap_or(14_400);
        let ticks = (0u32..)
            .map(|tick| u64::from(tick) * u64::from(step_s))
            .take_while(|time_s| *time_s as f64 <= self.total_s);
        html! {
            @for time_s in ticks {
                @let x = frame.x(self.fraction(time_s as f64));
                path.tick d=(format!("M{} {}v5", px(x), px(frame.bottom))) {}
                text.middle x=(px(x)) y=(px(frame.bottom + 19.0)) { (clock(Duration::from_secs(time_s))) }
            }
        }
    }

    /// Shades the faults: pale while they last, dark while canaries went unanswered, with their numbers on top.
    pub(super) fn shades(&self, frame: &Frame, chaos: &[ChaosSpan]) -> Markup {
        let band = |from: Duration, to: Duration| {
            let left = frame.x(self.fraction(from.as_secs_f64()));
            let right = frame.x(self.fraction(to.as_secs_f64()));
            (left, (right - left).max(1.5))
        };
        let mut free_from = frame.left;
        let mut marks = Vec::new();
        for (number, span) in (1..).zip(chaos) {
            let (left, width) = band(span.at, span.ended);
            // Marks that would cover each other move to the right.
            let mark = (left + width / 2.0).max(free_from);
            free_from = mark + 19.0;
            marks.push((number, span, left, width, mark));
        }
        html! {
            @for (number, span, left, width, mark) in marks {
                g {
                    title { (span.name) " on " (span.target) }
                    rect.fault x=(px(left)) y=(px(frame.top)) width=(px(width)) height=(px(frame.bottom - frame.top)) {}
                    @if let Some(away) = span.unavailable {
                        @let (left, width) = band(away.from, away.to);
                        rect.away x=(px(left)) y=(px(frame.top)) width=(px(width)) height=(px(frame.bottom - frame.top)) {}
                    }
                    circle.mark cx=(px(mark)) cy=(px(frame.top - 11.0)) r="8.5" {}
                    text.mark x=(px(mark)) y=(px(frame.top - 7.0)) { (number) }
                }
            }
        }
    }
}

/// Some neighbouring intervals drawn as one.
pub(super) struct Column {
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
}

/// Returns a round number not below the value, and the steps to label up to it.
pub(super) fn linear_ticks(max: f64) -> (f64, Vec<f64>) {
    let magnitude = 10f64.powf(max.max(1.0).log10().floor());
    let step = [0.25, 0.5, 1.0, 2.0, 2.5]
        .map(|part| part * magnitude)
        .into_iter()
        .find(|step| max / step <= 5.0 && *step >= 1.0)
        .unwrap_or(magnitude * 2.5);
    let steps = (max.max(1.0) / step).ceil();
    let mut ticks = Vec::new();
    let mut tick = 0.0;
    while tick <= steps {
        ticks.push(tick * step);
        tick += 1.0;
    }
    (steps * step, ticks)
}

/// Returns latencies to label within a logarithmic scale: tens, and 2 and 5 of them where it is short.
pub(super) fn log_ticks(low_ms: f64, high_ms: f64) -> Vec<f64> {
    let parts: &[f64] = match (high_ms / low_ms).log10() {
        ..2.2 => &[1.0, 2.0, 5.0],
        2.2..3.2 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let mut ticks = Vec::new();
    for exponent in -3..=6 {
        for part in parts {
            let tick = part * 10f64.powi(exponent);
            // A label at the very edge would be cut off or collide with the frame.
            if tick >= low_ms && tick <= high_ms {
                ticks.push(tick);
            }
        }
    }
    ticks
}

/// Returns the label of a latency that is a tick.
pub(super) fn latency_label(millis: f64) -> String {
    if millis < 1.0 {
        format!("{:.0} µs", millis * 1000.0)
    } else if millis < 1000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.0} s", millis / 1000.0)
    }
}

/// A coordinate with as many digits as can be seen.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_scales_end_at_a_labelled_round_number() {
        for max in [0.0, 1.0, 3.0, 9.9, 10.0, 12.0, 99.0, 101.0, 1_234.0, 48_000.0] {
            let (top, ticks) = linear_ticks(max);

            assert!(top >= max, "{max}");
            assert!((2..=7).contains(&ticks.len()), "{max}: {ticks:?}");
            assert!((ticks[ticks.len() - 1] - top).abs() < 1e-6, "{max}");
        }
    }

    #[test]
    fn logarithmic_scales_have_a_few_labels() {
        for (low, high) in [
            (0.1, 1.0),
            (0.3, 8.0),
            (0.05, 40.0),
            (0.1, 2_000.0),
            (0.001, 600_000.0),
        ] {
            let ticks = log_ticks(low, high);

            assert!((2..=10).contains(&ticks.len()), "{low}..{high}: {ticks:?}");
        }
    }
}
