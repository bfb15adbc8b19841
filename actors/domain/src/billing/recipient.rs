//! To whom an invoice is made out: 抬头, and 税号 where it is a company.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::text::is_hidden;

/// The longest title, characters.
const TITLE_CHARS_MAX: usize = 100;
/// Of a unified social credit code: digits and letters without I, O, S, V and Z (GB 32100-2015).
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const CODE_LENGTH: usize = 18;

/// To whom an invoice is made out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The name (抬头) of a person or a company.
    title: String,
    /// The company's tax id (税号); a person has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tax_id: Option<TaxId>,
}

impl Recipient {
    /// A recipient of this title.
    ///
    /// # Errors
    /// [`Error::TitleInvalid`]: empty, too long, or with characters that cannot be seen.
    pub fn new(title: &str, tax_id: Option<TaxId>) -> Result<Self, Error> {
        let title = title.trim();
        let length = title.chars().count();
        if length == 0 || length > TITLE_CHARS_MAX || title.chars().any(is_hidden) {
            return Err(Error::TitleInvalid);
        }
        Ok(Recipient {
            title: title.to_owned(),
            tax_id,
        })
    }

    /// The name.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The tax id.
    pub fn tax_id(&self) -> Option<&TaxId> {
        self.tax_id.as_ref()
    }
}

/// A unified social credit code (统一社会信用代码), which is every Chinese company's tax id: 18 characters, the last of which
/// is made of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaxId(String);

impl TaxId {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaxId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim().to_ascii_uppercase();
        let places: Option<Vec<usize>> = text.bytes().map(place).collect();
        let places = places
            .filter(|places| places.len() == CODE_LENGTH)
            .ok_or(Error::TaxIdInvalid)?;
        let mut sum = 0;
        let mut weight = 1;
        for place in &places[..CODE_LENGTH - 1] {
            sum += place * weight;
            weight = weight * 3 % ALPHABET.len();
        }
        let check = (ALPHABET.len() - sum % ALPHABET.len()) % ALPHABET.len();
        if places[CODE_LENGTH - 1] == check {
            Ok(TaxId(text))
        } else {
            Err(Error::TaxIdInvalid)
        }
    }
}

impl TryFrom<String> for TaxId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<TaxId> for String {
    fn from(id: TaxId) -> Self {
        id.0
    }
}

impl fmt::Display for TaxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn place(character: u8) -> Option<usize> {
    ALPHABET.iter().position(|known| *known == character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tax_id_is_known_by_its_last_character() {
        // Published codes of well-known companies.
        for code in ["91440300708461136T", "91110000802100433B", "914403001922038216"] {
            assert_eq!(code.parse::<TaxId>().unwrap().as_str(), code, "{code}");
        }
        assert_eq!(
            " 91440300708461136t ".parse::<TaxId>().unwrap().as_str(),
            "91440300708461136T"
        );
    }

    #[test]
    fn a_code_with_a_slip_is_refused() {
        for code in [
            "",
            "91440300708461136",
            "91440300708461136TT",
            "91440300708461135T",
            "91440300708461163T",
            "9144030070846113OT",
            "91440300708461136课",
        ] {
            assert_eq!(code.parse::<TaxId>(), Err(Error::TaxIdInvalid), "{code}");
        }
    }

    #[test]
    fn every_single_slip_of_a_code_is_found() {
        let code = b"91440300708461136T";
        for index in 0..CODE_LENGTH {
            for other in ALPHABET {
                let mut slipped = *code;
                slipped[index] = *other;
                let text = std::str::from_utf8(&slipped).unwrap();
                assert_eq!(text.parse::<TaxId>().is_ok(), slipped == *code, "{text}");
            }
        }
    }

    #[test]
    fn a_title_can_be_read_on_paper() {
        assert_eq!(
            Recipient::new(" 深圳市知行科技有限公司 ", None).unwrap().title(),
            "深圳市知行科技有限公司"
        );
        for title in ["", "  ", "a\u{202E}b", "a\nb", &"长".repeat(101)] {
            assert_eq!(Recipient::new(title, None), Err(Error::TitleInvalid), "{title:?}");
        }
    }
}
