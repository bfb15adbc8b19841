//! Latencies in buckets, and the figures made of them: quantiles, medians, ratios.
//!
//! A bucket is at most 1.6 % wide, so a quantile is right within that and memory does not grow with the load.

/// Values below this have a bucket each.
const EXACT: u64 = 128;
/// Buckets for each doubling above.
const STEPS: u64 = 64;
const BUCKETS: usize = 128 + 57 * 64;

/// How often each latency was seen, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; BUCKETS],
            count: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub(crate) fn record(&mut self, micros: u64) {
        self.counts[bucket(micros)] += 1;
        self.count += 1;
    }

    /// Adds what another one has seen.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// The latency that `permille` of 1000 did not exceed, in microseconds; 0 if none was seen.
    pub(crate) fn quantile(&self, permille: u64) -> u64 {
        let rank = (self.count * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index);
            }
        }
        0
    }
}

fn bucket(micros: u64) -> usize {
    if micros < EXACT {
        return usize::try_from(micros).unwrap_or(0);
    }
    let exponent = u64::from(micros.ilog2());
    let step = (micros >> (exponent - 6)) - STEPS;
    usize::try_from(EXACT + (exponent - 7) * STEPS + step).unwrap_or(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let (doubling, step) = ((index - EXACT) / STEPS, (index - EXACT) % STEPS);
    let width = 1_u64 << (doubling + 1);
    (STEPS + step) * width + (width - 1)
}

/// The middle value; of an even number the mean of the two in the middle; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// `value / base`; 0 where there is nothing to compare with.
pub(crate) fn ratio(value: f64, base: f64) -> f64 {
    if base > 0.0 { value / base } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_hardly_wider() {
        for value in (0..10_000).chain([123_456, 5_000_000, u64::MAX / 2]) {
            let bound = upper_bound(bucket(value));

            assert!(bound >= value, "{value} above its bucket's {bound}");
            assert!(
                bound - value <= value / 64,
                "{value} far below its bucket's {bound}"
            );
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper_bound(index) + 1), index + 1);
        }
    }

    #[test]
    fn quantiles_are_the_values_that_so_many_did_not_exceed() {
        let mut histogram = Histogram::default();
        for value in 1..=100 {
            histogram.record(value);
        }

        assert_eq!(histogram.quantile(500), 50);
        assert_eq!(histogram.quantile(990), 99);
        assert_eq!(histogram.quantile(1000), 100);
        assert_eq!(histogram.quantile(0), 1);
    }

    #[test]
    fn a_merged_histogram_has_seen_what_both_saw() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(1);
        other.record(100);
        other.record(100);

        one.merge(&other);

        assert_eq!((one.quantile(333), one.quantile(500)), (1, 100));
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::default().quantile(990), 0);
    }

    #[test]
    fn the_median_ignores_the_outlier() {
        assert_eq!(median([1.0, 900.0, 2.0]), 2.0);
        assert_eq!(median([1.0, 2.0, 3.0, 900.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn a_ratio_to_nothing_is_nothing() {
        assert_eq!(ratio(3.0, 2.0), 1.5);
        assert_eq!(ratio(3.0, 0.0), 0.0);
    }
}
