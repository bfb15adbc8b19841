//! Ids as clients see them (`ord_01h455vb4pex5vsknk084sn02q`) and as tables hold them (UUIDs), by the published `TypeID`
//! format: a prefix, and 128 bits as 26 characters of Crockford's base32, lower case.

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// Reads an id of this prefix.
pub(crate) fn parse(prefix: &str, text: &str) -> Option<Uuid> {
    let symbols = text.strip_prefix(prefix)?.strip_prefix('_')?;
    if symbols.len() != LENGTH || symbols.as_bytes()[0] > b'7' {
        return None;
    }
    let mut bits = 0_u128;
    for symbol in symbols.bytes() {
        let value = ALPHABET.iter().position(|known| *known == symbol)?;
        bits = bits << 5 | u128::try_from(value).ok()?;
    }
    Some(Uuid::from_u128(bits))
}

/// Writes an id.
pub(crate) fn write(prefix: &str, id: Uuid) -> String {
    let bits = id.as_u128();
    let symbol = |position: usize| {
        let index = (bits >> (5 * (LENGTH - 1 - position))) & 31;
        char::from(ALPHABET[usize::try_from(index).unwrap_or_default()])
    };
    format!("{prefix}_{}", (0..LENGTH).map(symbol).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let text = "prefix_01h455vb4pex5vsknk084sn02q";
        let id = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();

        assert_eq!(parse("prefix", text), Some(id));
        assert_eq!(write("prefix", id), text);
        assert_eq!(parse("ord", text), None);
        assert_eq!(parse("prefix", "prefix_81h455vb4pex5vsknk084sn02q"), None);
    }
}
