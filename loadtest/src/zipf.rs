//! Choosing keys as people do: few are popular, most are not.
//!
//! The key of rank r is drawn with a weight of 1/rˢ. The sums of weights are computed once and shared; a draw is one
//! random number and a binary search, so any exponent is possible, 0 (all alike) and 1 among them.

use fastrand::Rng;

/// A distribution over `0..n`, the most popular first.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    /// Makes the distribution over `count` keys, at least one.
    pub(crate) fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count.max(1)).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf { sums: sums.collect() }
    }

    /// Draws a key.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or_default();
        let drawn = rng.f64() * total;
        let rank = self.sums.partition_point(|sum| *sum <= drawn);
        rank.min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shares(exponent: f64) -> Vec<f64> {
        let zipf = Zipf::new(4, exponent);
        let mut rng = Rng::with_seed(3);
        let mut counts = vec![0.0; 4];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut rng)] += 1.0 / 100_000.0;
        }
        counts
    }

    #[test]
    fn a_key_is_as_popular_as_its_rank_says() {
        let harmonic = 1.0 + 1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0;
        for (rank, share) in shares(1.0).into_iter().enumerate() {
            let expected = 1.0 / (rank + 1) as f64 / harmonic;
            assert!((share - expected).abs() < 0.01, "{rank}: {share}");
        }
    }

    #[test]
    fn without_an_exponent_all_keys_are_alike() {
        for share in shares(0.0) {
            assert!((share - 0.25).abs() < 0.01, "{share}");
        }
    }
}
