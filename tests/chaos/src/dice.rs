//! Seeded randomness: the same seed gives the same run, so that whatever was found can be found again.
//!
//! `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): one word of state, and good
//! enough to choose between faults; nothing here needs to be secret.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A sequence of random choices.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Dice { state: seed }
    }

    /// A sequence that nobody has seen.
    #[must_use]
    pub fn from_entropy() -> Self {
        Dice::new(entropy())
    }

    /// A sequence of its own for part `number`, so that parts do not disturb one another's.
    #[must_use]
    pub fn part(&self, number: u64) -> Self {
        let mut part = Dice::new(self.state ^ number.wrapping_mul(0xd605_bbb5_8c8a_bbc9));
        part.roll();
        part
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, 0 when there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let number = self.roll().checked_rem(limit).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }

    /// Whether something happens that happens `times` in `of`.
    pub fn chance(&mut self, times: usize, of: usize) -> bool {
        self.below(of) < times
    }

    /// One of several; `None` when there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// Random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    /// A duration from zero to `most`.
    pub fn duration_up_to(&mut self, most: Duration) -> Duration {
        let share = f64::from(u32::try_from(self.roll() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        most.mul_f64(share)
    }
}

/// A seed that nobody chose.
#[must_use]
pub fn entropy() -> u64 {
    // The standard library's own source for the keys of its hash maps.
    RandomState::new().hash_one(std::time::Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_parts_have_their_own() {
        let draw = |mut dice: Dice| (dice.roll(), dice.below(10), dice.bytes(5));

        assert_eq!(draw(Dice::new(7)), draw(Dice::new(7)));
        assert_eq!(draw(Dice::new(7).part(1)), draw(Dice::new(7).part(1)));
        assert_ne!(draw(Dice::new(7)), draw(Dice::new(8)));
        assert_ne!(draw(Dice::new(7).part(1)), draw(Dice::new(7).part(2)));
    }

    #[test]
    fn the_reference_sequence_is_met() {
        let mut dice = Dice::new(1_234_567);

        assert_eq!(dice.roll(), 6_457_827_717_110_365_317);
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn choices_stay_within_their_limits() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            assert!(dice.below(7) < 7);
            assert!(dice.duration_up_to(Duration::from_millis(5)) <= Duration::from_millis(5));
        }
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.pick::<u8>(&[]), None);
    }
}
