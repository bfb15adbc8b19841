//! How much work each shard is: turns a second, smoothed.

use std::time::Duration;

use crate::placement::{SHARDS, Shard};

/// After so long a change of load shows by two thirds.
const MEMORY: Duration = Duration::from_secs(10);

/// The loads of this node's shards.
#[derive(Clone, Debug)]
pub(super) struct Load {
    rates: Vec<f64>,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            rates: vec![0.0; SHARDS],
        }
    }
}

impl Load {
    /// Takes note of the turns of `elapsed`, by shard, and answers the turns a second of all together. What is not `owned` any more
    /// is nothing.
    pub(super) fn add(&mut self, turns: &[u32], elapsed: Duration, owned: impl Fn(Shard) -> bool) -> u32 {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let weight = 1.0 - (-seconds / MEMORY.as_secs_f64()).exp();
        for ((rate, turns), shard) in self.rates.iter_mut().zip(turns).zip(0..=Shard::MAX) {
            if owned(shard) {
                *rate += (f64::from(*turns) / seconds - *rate) * weight;
            } else {
                *rate = 0.0;
            }
        }
        whole(self.rates.iter().sum())
    }

    /// Turns a second of one shard.
    pub(super) fn of(&self, shard: Shard) -> u32 {
        whole(self.rates[usize::from(shard)])
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is never negative, and saturates"
)]
fn whole(rate: f64) -> u32 {
    rate.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_believed_after_a_while_and_forgotten_after_a_while() {
        let mut load = Load::default();
        let turns = |shard: usize, count| {
            let mut turns = vec![0; SHARDS];
            turns[shard] = count;
            turns
        };
        let second = Duration::from_secs(1);

        let first = load.add(&turns(7, 1000), second, |_| true);
        for _ in 0..60 {
            load.add(&turns(7, 1000), second, |_| true);
        }

        assert!(first < 200, "{first}");
        assert!((990..=1000).contains(&load.of(7)), "{}", load.of(7));
        for _ in 0..120 {
            load.add(&turns(8, 0), second, |_| true);
        }
        assert_eq!(load.of(7), 0);
        load.add(&turns(9, 1000), second, |_| true);
        assert_eq!(load.add(&turns(9, 1000), second, |shard| shard != 9), 0);
    }
}
