//! Redeem codes: what people type, derived from a secret, and the hash that is all we keep.
//!
//! A code is 16 symbols of Crockford's base32, 80 bits, written in groups of four. They are the MAC of what the code
//! stands for (a batch and a number, or the order of a gift), so that whoever may see a code is shown it again however
//! often they ask, although nothing of it is stored but a hash. Whoever reads the tables learns no code, and whoever
//! does not have the secret can only guess: 80 bits, at the pace that wrong codes are taken at.

use std::fmt;

use hmac::{Hmac, Mac};
use lyceum_domain::commerce::Command;
use lyceum_domain::commerce::batch::Refusal;
use lyceum_domain::ids::{BatchId, CodeId, CourseId, OrderId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SYMBOLS: usize = 16;
const GROUP: usize = 4;
/// No text of a code is longer, with whatever people put between its groups.
const TEXT_BYTES_MAX: usize = 64;

/// The key that redeem codes are derived with; the same on every node. Never printed.
#[derive(Clone)]
pub struct CodeSecret(Vec<u8>);

/// What a redeemed code gives, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeGrant {
    /// Who has redeemed it.
    pub user: UserId,
    /// Which code.
    pub code: CodeId,
    /// Access to which courses, at which version.
    pub courses: Vec<(CourseId, u32)>,
}

impl CodeGrant {
    /// What the buyer is to do.
    pub fn command(self) -> Command {
        let CodeGrant { code, courses, .. } = self;
        Command::GrantCode { code, courses }
    }
}

/// One code. Never printed by accident: see [`RedeemCode::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct RedeemCode([u8; SYMBOLS]);

impl CodeSecret {
    /// Takes over a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        CodeSecret(secret.to_vec())
    }

    /// The code of this number of a batch.
    pub fn of_batch(&self, batch: BatchId, number: u16) -> RedeemCode {
        self.derived(b"batch", batch.as_u128(), number)
    }

    /// The code of what was bought as a gift.
    pub fn of_gift(&self, order: OrderId) -> RedeemCode {
        self.derived(b"order", order.as_u128(), 0)
    }

    /// The parts have fixed lengths, so no two lists of parts run into the same bytes.
    fn derived(&self, kind: &[u8; 5], id: u128, number: u16) -> RedeemCode {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(b"redeem code ");
        mac.update(kind);
        mac.update(&id.to_be_bytes());
        mac.update(&number.to_be_bytes());
        let mac = mac.finalize().into_bytes();
        let bits = mac[..SYMBOLS]
            .iter()
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let mut symbols = [0; SYMBOLS];
        for (position, symbol) in symbols.iter_mut().enumerate() {
            let index = (bits >> (5 * position)) & 31;
            *symbol = ALPHABET[usize::try_from(index).unwrap_or(0)];
        }
        RedeemCode(symbols)
    }
}

impl RedeemCode {
    /// Reads what somebody has typed: in either case, with blanks and hyphens anywhere, and with the letters that look
    /// like digits.
    ///
    /// # Errors
    /// `commerce.code_unknown`: no code has this form.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Unknown);
        }
        let mut symbols = [0; SYMBOLS];
        let mut count = 0;
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            let symbol = match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                symbol => symbol,
            };
            if count == SYMBOLS || !ALPHABET.contains(&symbol) {
                return Err(Refusal::Unknown);
            }
            symbols[count] = symbol;
            count += 1;
        }
        if count == SYMBOLS {
            Ok(RedeemCode(symbols))
        } else {
            Err(Refusal::Unknown)
        }
    }

    /// The only thing that is kept of a code: the first half of its SHA-256.
    pub fn id(&self) -> CodeId {
        let digest = Sha256::digest(self.0);
        let bits = digest[..16]
            .iter()
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        CodeId::from_u128(bits)
    }

    /// The text that is given to whoever may have the code.
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
        for (position, symbol) in self.0.iter().enumerate() {
            if position > 0 && position % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(*symbol));
        }
        text
    }
}

impl fmt::Debug for CodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for RedeemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn secret() -> CodeSecret {
        CodeSecret::new(b"a secret of the tests")
    }

    #[test]
    fn a_code_survives_being_written_down_and_typed_again() {
        let code = secret().of_batch(BatchId::from_u128(1), 7);
        let text = code.reveal();

        assert_eq!(text.len(), 19);
        let sloppy = text
            .to_lowercase()
            .replace('-', " ")
            .replace('0', "o")
            .replace('1', "l");
        for typed in [text.clone(), text.replace('-', ""), sloppy] {
            assert!(RedeemCode::parse(&typed) == Ok(code.clone()), "{typed}");
        }
    }

    #[test]
    fn texts_of_another_form_are_no_codes() {
        let text = secret().of_gift(OrderId::from_u128(1)).reveal();
        for wrong in [
            "",
            "-",
            &text[1..],
            &format!("{text}0"),
            &text.replace('-', "_"),
            "UUUU-UUUU-UUUU-UUUU",
            "码码码码码",
            &" ".repeat(65),
        ] {
            assert!(RedeemCode::parse(wrong) == Err(Refusal::Unknown), "{wrong}");
        }
    }

    #[test]
    fn codes_differ_by_what_they_stand_for_and_come_out_the_same_again() {
        let mut ids = BTreeSet::new();
        for number in 0..500 {
            ids.insert(secret().of_batch(BatchId::from_u128(1), number).id());
        }
        ids.insert(secret().of_batch(BatchId::from_u128(2), 0).id());
        ids.insert(secret().of_gift(OrderId::from_u128(1)).id());
        ids.insert(CodeSecret::new(b"another").of_gift(OrderId::from_u128(1)).id());

        assert_eq!(ids.len(), 503);
        assert!(ids.contains(&secret().of_batch(BatchId::from_u128(1), 499).id()));
    }

    #[test]
    fn neither_code_nor_secret_is_ever_printed_by_accident() {
        let code = secret().of_gift(OrderId::from_u128(1));
        assert_eq!(format!("{code:?} {:?}", secret()), "*** ***");
    }
}
