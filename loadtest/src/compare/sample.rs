//! A run made ready to be drawn from again and again: its seconds as sparse counts of fine logarithmic buckets.

use hdrhistogram::Histogram;

use crate::outcome::Recording;

/// Buckets of half a percent up to ten minutes: ln(6 × 10⁸) / ln(1.005) of them.
const BUCKETS: usize = 4_056;

/// A run ready to be drawn from.
pub(crate) struct Sample {
    seconds: Vec<Second>,
    width_s: f64,
    /// CPU time of the target for each request, if it is known, in microseconds.
    pub(crate) cpu_us: Option<f64>,
}

/// What an interval adds to the figures.
struct Second {
    good: u64,
    latencies: Vec<(usize, u64)>,
}

/// The figures of some seconds of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) goodput_per_s: f64,
}

impl Sample {
    /// Takes what is needed of a recording; the drain after the run is left out.
    pub(crate) fn of(recording: &Recording) -> Self {
        let timeline = recording.tally.timeline();
        let width_s = timeline.width().as_secs_f64();
        let duration_s = recording.run.duration.as_secs_f64();
        let completed = recording.tally.total().completed;
        let seconds = timeline
            .intervals()
            .iter()
            .enumerate()
            .take_while(|(index, _)| *index as f64 * width_s < duration_s)
            .map(|(_, interval)| Second {
                good: interval.completed - interval.failures(),
                latencies: sparse(&interval.latency),
            })
            .collect();
        Sample {
            seconds,
            width_s,
            cpu_us: recording
                .run
                .target_cpu
                .filter(|_| completed > 0)
                .map(|cpu| cpu.as_secs_f64() * 1e6 / completed as f64),
        }
    }

    /// Returns how many seconds can be drawn.
    pub(crate) fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Returns the figures of these seconds together; one that is drawn twice counts twice.
    pub(crate) fn figures(&self, drawn: impl IntoIterator<Item = usize>) -> Figures {
        let mut counts = vec![0u64; BUCKETS];
        let (mut good, mut answers, mut seconds) = (0u64, 0u64, 0u64);
        for second in drawn.into_iter().map(|index| &self.seconds[index]) {
            good += second.good;
            seconds += 1;
            for (bucket, count) in &second.latencies {
                counts[*bucket] += count;
                answers += count;
            }
        }
        let quantile = |part: f64| {
            let wanted = part * answers as f64;
            let mut below = 0u64;
            for (bucket, count) in counts.iter().enumerate() {
                below += count;
                if below > 0 && below as f64 >= wanted {
                    return middle_ms(bucket);
                }
            }
            f64::NAN
        };
        Figures {
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            goodput_per_s: good as f64 / (seconds as f64 * self.width_s),
        }
    }
}

fn sparse(histogram: &Histogram<u32>) -> Vec<(usize, u64)> {
    histogram
        .iter_recorded()
        .map(|value| {
            let median = histogram.median_equivalent(value.value_iterated_to());
            (bucket(median), u64::from(value.count_at_value()))
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm of at least 1 is not negative, and far below the number of buckets"
)]
fn bucket(micros: u64) -> usize {
    (((micros.max(1) as f64).ln() / 1.005f64.ln()) as usize).min(BUCKETS - 1)
}

fn middle_ms(bucket: usize) -> f64 {
    1.005f64.powf(bucket as f64 + 0.5) / 1000.0
}
