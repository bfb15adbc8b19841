//! Ids that are derived instead of drawn, so that importing the same thing again meets what it made before.

use lyceum_kernel::{Id, IdKind, Timestamp};
use sha2::{Digest, Sha256};

/// The id of what `source` calls `name`: the same for the same arguments, on every machine.
///
/// It has the layout of a `UUIDv7`: `at` in front, so that derived ids sort by time like drawn ones, and 74 bits of a
/// hash where those are random.
pub fn derived<K: IdKind>(source: &str, name: &str, at: Timestamp) -> Id<K> {
    let bits = hash(&[source, K::PREFIX, name]);
    let time = u128::from(at.as_millis().unsigned_abs()) << 80;
    let (high, low) = ((bits >> 64 & 0xfff) << 64, bits & (u128::MAX >> 66));
    Id::from_u128(time | 7 << 76 | high | 0b10 << 62 | low)
}

/// A number below `bound` that `name` always gives.
pub fn number(name: &str, bound: u64) -> u64 {
    u64::try_from(hash(&[name]) % u128::from(bound.max(1))).unwrap_or(0)
}

fn hash(parts: &[&str]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths in front: no two lists of parts hash the same bytes.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest
        .split_first_chunk::<16>()
        .expect("a digest of 32 bytes has 16");
    u128::from_be_bytes(*half)
}

#[cfg(test)]
mod tests {
    use lyceum_domain::ids::{CourseId, UserId};

    use super::*;

    #[test]
    fn derived_ids_repeat_themselves_and_differ_by_source_and_name() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let id: CourseId = derived("demo", "a", at);

        assert_eq!(id, derived("demo", "a", at));
        assert_ne!(id, derived("demo", "b", at));
        assert_ne!(id, derived("other", "a", at));
        assert_ne!(
            id.as_u128(),
            derived::<lyceum_domain::ids::UserKind>("demo", "a", at).as_u128()
        );
    }

    #[test]
    fn derived_ids_are_version_7_uuids_in_order_of_time() {
        let early: UserId = derived("demo", "z", Timestamp::from_millis(1_000));
        let late: UserId = derived("demo", "a", Timestamp::from_millis(2_000));
        let uuid = uuid::Uuid::from_u128(early.as_u128());

        assert!(early < late);
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }
}
