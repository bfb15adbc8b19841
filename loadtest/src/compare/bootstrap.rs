//! The bootstrap: how much a difference would vary if the runs were made again.
//!
//! Seconds are drawn in blocks, because neighbours resemble each other. Few runs vary less among themselves than runs do
//! (by (n − 1)/n in variance), so deviations are widened by √(n/(n − 1)): see T. Hesterberg, *What Teachers Should Know
//! about the Bootstrap*, 2015. The same seed gives the same intervals.

use super::sample::{Figures, Sample};
use super::{Answer, Difference};

/// How often runs are drawn anew.
pub(crate) const REPLICATES: usize = 1_000;

/// What share of intervals holds the truth.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// Neighbouring intervals that are drawn together.
const BLOCK: usize = 5;

/// Histograms of intervals have two digits: a smaller change is none that they could show.
const RESOLUTION: f64 = 0.01;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    P50,
    P99,
    Goodput,
    Cpu,
}

impl Figure {
    pub(crate) const ALL: [Figure; 4] = [Figure::P50, Figure::P99, Figure::Goodput, Figure::Cpu];

    fn name(self) -> &'static str {
        match self {
            Figure::P50 => "p50_ms",
            Figure::P99 => "p99_ms",
            Figure::Goodput => "goodput_per_s",
            Figure::Cpu => "cpu_us_per_request",
        }
    }
}

/// What is known of one figure.
pub(crate) struct Found {
    a: f64,
    b: f64,
    /// Changes as logarithms of ratios, the ends of the interval.
    interval: Option<(f64, f64)>,
}

/// Logarithms of the figures, averaged over runs.
type Logs = [f64; 4];

/// Compares two groups; the result is in the order of [`Figure::ALL`].
pub(crate) fn differences(a: &[Sample], b: &[Sample], seed: u64, replicates: usize) -> Vec<Found> {
    let mut random = fastrand::Rng::with_seed(seed);
    let all_a: Vec<usize> = (0..a.len()).collect();
    let all_b: Vec<usize> = (0..b.len()).collect();
    let seconds = a.iter().chain(b).map(Sample::len).min().unwrap_or(0);
    let whole: Vec<usize> = (0..seconds).collect();
    let (logs_a, logs_b) = (averages(a, &all_a, &whole), averages(b, &all_b, &whole));

    let mut changes: [Vec<f64>; 4] = Default::default();
    for _ in 0..replicates {
        let drawn_a = draw(&mut random, a.len());
        let drawn_b = match a.len() == b.len() {
            true => drawn_a.clone(),
            false => draw(&mut random, b.len()),
        };
        let drawn_seconds = blocks(&mut random, seconds);
        let again_a = averages(a, &drawn_a, &drawn_seconds);
        let again_b = averages(b, &drawn_b, &drawn_seconds);
        for (figure, changes) in changes.iter_mut().enumerate() {
            changes.push(again_b[figure] - again_a[figure]);
        }
    }

    let runs = a.len().min(b.len());
    Figure::ALL
        .iter()
        .zip(changes)
        .enumerate()
        .map(|(index, (figure, changes))| {
            let change = logs_b[index] - logs_a[index];
            // One run has one such figure: there is nothing to draw from.
            let known = *figure != Figure::Cpu || runs > 1;
            Found {
                a: logs_a[index].exp(),
                b: logs_b[index].exp(),
                interval: if known {
                    interval(change, changes, runs)
                } else {
                    None
                },
            }
        })
        .collect()
}

impl Found {
    /// Says what that amounts to.
    pub(crate) fn named(&self, figure: Figure) -> Difference {
        let change = self.b / self.a - 1.0;
        let (low, high) = self
            .interval
            .map(|(low, high)| (low.exp() - 1.0, high.exp() - 1.0))
            .unzip();
        let answer = match (low, high) {
            (Some(low), Some(high)) if low > 0.0 || high < 0.0 => {
                let more_is_better = figure == Figure::Goodput;
                if change.abs() < RESOLUTION {
                    Answer::NoDifference
                } else if (change > 0.0) == more_is_better {
                    Answer::Better
                } else {
                    Answer::Worse
                }
            }
            (Some(_), Some(_)) => Answer::NoDifference,
            _ => Answer::Unknown,
        };
        Difference {
            figure: figure.name(),
            a: self.a,
            b: self.b,
            change,
            low,
            high,
            answer,
        }
    }
}

/// Averages the logarithms of the figures over the drawn runs.
fn averages(group: &[Sample], runs: &[usize], seconds: &[usize]) -> Logs {
    let mut sums = [0.0; 4];
    for run in runs {
        let sample = &group[*run];
        let Figures {
            p50_ms,
            p99_ms,
            goodput_per_s,
        } = sample.figures(seconds.iter().copied());
        let figures = [p50_ms, p99_ms, goodput_per_s, sample.cpu_us.unwrap_or(f64::NAN)];
        for (sum, figure) in sums.iter_mut().zip(figures) {
            *sum += figure.ln();
        }
    }
    sums.map(|sum| sum / runs.len() as f64)
}

/// Draws as many as there are, with replacement.
fn draw(random: &mut fastrand::Rng, many: usize) -> Vec<usize> {
    (0..many).map(|_| random.usize(0..many)).collect()
}

/// Draws as many seconds as there are, in blocks of neighbours that continue at the beginning.
fn blocks(random: &mut fastrand::Rng, many: usize) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(many + BLOCK);
    while drawn.len() < many {
        let first = random.usize(0..many);
        drawn.extend((first..first + BLOCK).map(|second| second % many));
    }
    drawn.truncate(many);
    drawn
}

/// Returns the ends of the interval of a change, or nothing where a figure was missing.
fn interval(change: f64, mut changes: Vec<f64>, runs: usize) -> Option<(f64, f64)> {
    if !change.is_finite() || changes.is_empty() || changes.iter().any(|change| !change.is_finite()) {
        return None;
    }
    changes.sort_by(f64::total_cmp);
    let widened = if runs > 1 {
        (runs as f64 / (runs - 1) as f64).sqrt()
    } else {
        1.0
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of a length"
    )]
    let at = |part: f64| {
        let index = (part * (changes.len() - 1) as f64).round() as usize;
        change + (changes[index] - change) * widened
    };
    Some((at((1.0 - CONFIDENCE) / 2.0), at((1.0 + CONFIDENCE) / 2.0)))
}
