//! Typed ids: TypeID text (`usr_01h455vb4pex5vsknk084sn02q`) over a 128-bit `UUIDv7`.
//!
//! The prefix makes the wrong kind of id unparsable; the time in front makes ids sort by creation. Text format:
//! TypeID specification 0.3 (26 characters of Crockford's base32 in lower case, first one at most `7`).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LENGTH: usize = 26;

/// The prefix of an id's text, such as `usr`.
pub type Prefix = &'static str;

/// What an id identifies. Implement it on an empty type: `enum Order {}`.
pub trait IdKind {
    /// The prefix of the text form, without the underscore.
    const PREFIX: Prefix;
}

/// The id of one thing of the kind `K`.
pub struct Id<K> {
    bits: u128,
    kind: PhantomData<fn() -> K>,
}

/// Why a text is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ and 26 characters")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: Prefix,
}

impl<K> Id<K> {
    /// Makes an id of 128 bits, normally a `UUIDv7`.
    pub const fn from_u128(bits: u128) -> Self {
        Id {
            bits,
            kind: PhantomData,
        }
    }

    /// The 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.bits
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LENGTH];
        for (position, symbol) in text.iter_mut().enumerate() {
            let index = (self.bits >> (5 * (TEXT_LENGTH - 1 - position))) & 31;
            *symbol = ALPHABET[usize::try_from(index).unwrap_or(0)];
        }
        f.write_str(K::PREFIX)?;
        f.write_str("_")?;
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { prefix: K::PREFIX };
        let symbols = text
            .strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .ok_or(error)?;
        // 26 symbols hold 130 bits: the first may only carry three.
        if symbols.len() != TEXT_LENGTH || symbols.as_bytes()[0] > b'7' {
            return Err(error);
        }
        let mut bits = 0_u128;
        for symbol in symbols.bytes() {
            bits = bits << 5 | u128::from(value(symbol).ok_or(error)?);
        }
        Ok(Id::from_u128(bits))
    }
}

/// The value of a base32 symbol, by table: ids are parsed on every request.
fn value(symbol: u8) -> Option<u8> {
    const VALUES: [u8; 128] = {
        let mut values = [u8::MAX; 128];
        let mut index = 0;
        while index < 32 {
            values[ALPHABET[index as usize] as usize] = index;
            index += 1;
        }
        values
    };
    VALUES
        .get(usize::from(symbol))
        .copied()
        .filter(|value| *value != u8::MAX)
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

// Written out because deriving would ask the same of `K`.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits.cmp(&other.bits)
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Thing {}

    impl IdKind for Thing {
        const PREFIX: Prefix = "prefix";
    }

    #[test]
    fn ids_are_written_as_the_typeid_specification_says() {
        // Vectors `valid-alphabet` and `valid-uuidv7` of the TypeID specification 0.3.
        for (bits, text) in [
            (0_u128, "prefix_00000000000000000000000000"),
            (
                0x0110_c853_1d09_52d8_d73e_1194_e95b_5f19,
                "prefix_0123456789abcdefghjkmnpqrs",
            ),
            (
                0x0189_0a5d_ac96_774b_bcce_b302_099a_8057,
                "prefix_01h455vb4pex5vsknk084sn02q",
            ),
            (u128::MAX, "prefix_7zzzzzzzzzzzzzzzzzzzzzzzzz"),
        ] {
            assert_eq!(Id::<Thing>::from_u128(bits).to_string(), text);
            assert_eq!(text.parse(), Ok(Id::<Thing>::from_u128(bits)));
        }
    }

    #[test]
    fn texts_of_another_kind_or_form_are_refused() {
        for text in [
            "",
            "prefix_",
            "other_01h455vb4pex5vsknk084sn02q",
            "prefix01h455vb4pex5vsknk084sn02q",
            "prefix_01H455VB4PEX5VSKNK084SN02Q",
            "prefix_81h455vb4pex5vsknk084sn02q",
            "prefix_01h455vb4pex5vsknk084sn02",
            "prefix_01h455vb4pex5vsknk084sn02u",
            "prefix_01h455vb4pex5vsknk084sn0é",
        ] {
            assert_eq!(
                text.parse::<Id<Thing>>(),
                Err(IdError { prefix: "prefix" }),
                "{text}"
            );
        }
    }
}
