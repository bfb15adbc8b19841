//! Good answers by intended interval and latency, the latter in logarithmic buckets of the same relative width.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rounded;
use crate::outcome::timeline::Timeline;

/// Good answers by intended interval and latency.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the module says what each field holds")]
pub struct HeatMap {
    pub bucket_upper_ms: Vec<f64>,
    /// For each interval, by position in `bucket_upper_ms`: most hold nothing, and are left out.
    pub counts: Vec<BTreeMap<usize, u64>>,
}

impl HeatMap {
    /// Steps of the logarithmic scale in each doubling of the latency.
    const STEPS_PER_DOUBLING: f64 = 4.0;

    /// Counts good answers by interval and logarithmic bucket, the lowest and highest buckets being the first and last in use.
    #[must_use]
    pub fn of(timeline: &Timeline) -> Self {
        let mut rows: Vec<BTreeMap<u32, u64>> = Vec::new();
        for interval in timeline.intervals() {
            let mut row = BTreeMap::new();
            for value in interval.latency.iter_recorded() {
                *row.entry(bucket(value.value_iterated_to())).or_default() +=
                    u64::from(value.count_at_value());
            }
            rows.push(row);
        }
        let lowest = rows.iter().filter_map(|row| row.keys().next()).min().copied();
        let highest = rows
            .iter()
            .filter_map(|row| row.keys().next_back())
            .max()
            .copied();
        let (Some(lowest), Some(highest)) = (lowest, highest) else {
            return HeatMap {
                bucket_upper_ms: Vec::new(),
                counts: vec![BTreeMap::new(); rows.len()],
            };
        };
        let upper = |bucket: u32| (f64::from(bucket + 1) / Self::STEPS_PER_DOUBLING).exp2() / 1000.0;
        HeatMap {
            bucket_upper_ms: (lowest..=highest).map(|bucket| rounded(upper(bucket))).collect(),
            counts: rows
                .into_iter()
                .map(|row| {
                    row.into_iter()
                        .map(|(bucket, count)| ((bucket - lowest) as usize, count))
                        .collect()
                })
                .collect(),
        }
    }
}

/// Returns the bucket of a latency of so many microseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "64 doublings of four steps each, from one microsecond"
)]
fn bucket(micros: u64) -> u32 {
    ((micros.max(1) as f64).log2() * HeatMap::STEPS_PER_DOUBLING) as u32
}
