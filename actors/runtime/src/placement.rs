//! From an entity's placement key to its shard: pure, fixed for good.
//!
//! The number of shards and this hash are part of the stored data (`events.shard`): neither may ever change.

/// How many shards there are, on one node or on two hundred.
pub const SHARDS: usize = 256;

/// The number of a shard, 0–255.
pub type Shard = u8;

/// The shard of whatever is placed by `placement`.
///
/// `UUIDv7`s differ mostly in their low bits, so both halves are mixed by the finaliser of `SplitMix64` (Steele,
/// Lea and Flood, OOPSLA 2014) and the highest byte is taken.
pub fn shard_of(placement: u128) -> Shard {
    let bytes = placement.to_be_bytes();
    let half = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .fold(0, |half, byte| half << 8 | u64::from(*byte))
    };
    let (high, low): (u64, u64) = (half(0..8), half(8..16));
    let mut mixed = low ^ high.rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    mixed.to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_a_key_never_changes() {
        assert_eq!(shard_of(0), 0);
        assert_eq!((1..=8).map(shard_of).collect::<Vec<_>>(), FIRST_EIGHT);
    }

    /// Recorded when the hash was chosen.
    const FIRST_EIGHT: [u8; 8] = [86, 219, 30, 183, 182, 209, 18, 213];

    #[test]
    fn ids_of_one_millisecond_spread_evenly() {
        let mut counts = [0_u32; SHARDS];
        let base = 0x0190_0000_0000_7000_8000_0000_0000_0000_u128;
        for low in 0..256_000_u128 {
            counts[usize::from(shard_of(base + low * 0x1_0001))] += 1;
        }

        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
