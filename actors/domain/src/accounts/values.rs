//! The values accounts are made of, each checked where it is made and trusted afterwards.
//!
//! They are written in JSON as plain strings and checked again when read, so a journal that somebody has edited by
//! hand is refused instead of believed. Texts are shared (`Arc<str>`): an answer copies pointers, not characters.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::text::is_hidden;

/// The fewest characters of a password; shorter ones are found by trying.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// The most characters of a password; the strength estimate and the hash take time that grows with it.
pub const PASSWORD_CHARS_MAX: usize = 64;
/// The most interests of one profile; more would say nothing about taste.
pub const INTERESTS_MAX: usize = 16;

/// Longest address that SMTP carries (RFC 5321, 4.5.3.1.3, without the angle brackets).
const EMAIL_BYTES_MAX: usize = 254;

macro_rules! text_value {
    ($($(#[$doc:meta])* $name:ident: $check:path, $error:path;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and makes the value of it.
            ///
            /// # Errors
            #[doc = concat!("[`", stringify!($error), "`] if the text breaks the rule.")]
            pub fn parse(text: &str) -> Result<Self, Error> {
                $check(text).map(|text| $name(text.into())).ok_or($error)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                $name::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0.as_ref().to_owned()
            }
        }
    )*};
}

text_value! {
    /// The name somebody logs in with: 3 to 32 letters and digits of any script, `_`, `-` and `.`.
    ///
    /// Latin letters do not stand beside Greek or Cyrillic ones, many of which look the same.
    ///
    /// Shown as it was written, unique by [`Username::key`].
    Username: username, Error::UsernameInvalid;
    /// An email address, shown as it was written, unique by [`Email::key`].
    Email: email, Error::EmailInvalid;
    /// The name others see: 1 to 64 characters.
    DisplayName: display_name, Error::DisplayNameInvalid;
    /// What somebody says about themselves: up to 500 characters, possibly none.
    Bio: bio, Error::BioInvalid;
    /// A subject somebody wants to learn: 1 to 64 characters, compared by [`Interest::key`].
    Interest: interest, Error::InterestInvalid;
    /// Why an operator did something: 1 to 500 characters.
    Reason: reason, Error::ReasonInvalid;
}

impl Username {
    /// What is unique: `Alice`, `alice` and `ALICE` are one name.
    pub fn key(&self) -> String {
        folded(&self.0)
    }
}

impl Email {
    /// What is unique. The part before the `@` is folded too: no provider of note tells its case apart.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl Interest {
    /// What two interests are compared by.
    pub fn key(&self) -> String {
        folded(&self.0)
    }
}

impl Default for Bio {
    fn default() -> Self {
        Bio("".into())
    }
}

/// Up to 16 different interests in the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Interest>", into = "Vec<Interest>")]
pub struct Interests(Arc<[Interest]>);

impl Interests {
    /// Collects interests; what is repeated counts once.
    ///
    /// # Errors
    /// [`Error::TooManyInterests`] above 16 different ones.
    pub fn new(interests: impl IntoIterator<Item = Interest>) -> Result<Self, Error> {
        let mut kept: Vec<Interest> = Vec::new();
        for interest in interests {
            if kept.iter().any(|known| known.key() == interest.key()) {
                continue;
            }
            if kept.len() == INTERESTS_MAX {
                return Err(Error::TooManyInterests);
            }
            kept.push(interest);
        }
        Ok(Interests(kept.into()))
    }

    /// The interests.
    pub fn as_slice(&self) -> &[Interest] {
        &self.0
    }
}

impl TryFrom<Vec<Interest>> for Interests {
    type Error = Error;

    fn try_from(interests: Vec<Interest>) -> Result<Self, Error> {
        Interests::new(interests)
    }
}

impl From<Interests> for Vec<Interest> {
    fn from(interests: Interests) -> Self {
        interests.0.to_vec()
    }
}

/// The language somebody reads the platform in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Chinese.
    Zh,
    /// English.
    #[default]
    En,
}

/// A salted, slow hash of a password in the PHC string format. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(Arc<str>);

impl PasswordHash {
    /// Takes over what the hash function wrote.
    pub fn new(phc: &str) -> Self {
        PasswordHash(phc.into())
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Folds case: through the upper case, so that `ß` and `SS`, `ς` and `σ` meet.
fn folded(text: &str) -> String {
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

fn username(text: &str) -> Option<&str> {
    let edge = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let fits = (3..=32).contains(&text.chars().take(33).count())
        && text
            .chars()
            .all(|c| (c.is_alphanumeric() && !is_deceptive(c)) || matches!(c, '_' | '-' | '.'))
        && !mixes_lookalikes(text)
        && edge(text.chars().next())
        && edge(text.chars().next_back());
    fits.then_some(text)
}

/// Characters that look like others (`Ａ` like `A`) or like nothing, and would let one name pass for another.
fn is_deceptive(character: char) -> bool {
    matches!(character,
        'ª' | 'º'
        | '\u{02B0}'..='\u{02FF}'     // modifier letters
        | '\u{0345}'                 // a combining iota
        | '\u{115F}' | '\u{1160}' | '\u{3164}' // Hangul fillers, which are blank
        | '\u{1D00}'..='\u{1DBF}'     // phonetic small capitals and superscripts
        | '\u{2070}'..='\u{209F}'     // superscripts and subscripts
        | '\u{2100}'..='\u{218F}'     // letter-like symbols, number forms
        | '\u{2460}'..='\u{24FF}'     // enclosed letters and digits
        | '\u{F900}'..='\u{FAFF}'     // compatibility ideographs
        | '\u{FB00}'..='\u{FB06}'     // Latin ligatures
        | '\u{FF00}'..='\u{FFEF}'     // half and full width forms
        | '\u{1D400}'..='\u{1D7FF}'   // mathematical letters
        | '\u{2F800}'..='\u{2FA1F}')
}

/// Whether Latin letters stand beside Greek or Cyrillic ones.
fn mixes_lookalikes(text: &str) -> bool {
    let latin = |c: char| c.is_ascii_alphabetic() || matches!(c, '\u{00C0}'..='\u{024F}');
    let alike = |c: char| matches!(c, '\u{0370}'..='\u{03FF}' | '\u{0400}'..='\u{052F}');
    text.chars().any(latin) && text.chars().any(alike)
}

/// A dot-separated local part and a host name with at least two labels; no quoting, comments or address literals.
fn email(text: &str) -> Option<&str> {
    let text = text.trim();
    let (local, host) = text.split_once('@')?;
    let atom = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let (_, top) = host.rsplit_once('.')?;
    let fits = text.len() <= EMAIL_BYTES_MAX
        && local.len() <= 64
        && local.split('.').all(atom)
        && host.split('.').all(label)
        && !top.bytes().all(|b| b.is_ascii_digit());
    fits.then_some(text)
}

fn display_name(text: &str) -> Option<&str> {
    printable(text.trim(), 1, 64, is_hidden)
}

fn bio(text: &str) -> Option<&str> {
    printable(text.trim(), 0, 500, |c| is_hidden(c) && c != '\n')
}

fn interest(text: &str) -> Option<&str> {
    printable(text.trim(), 1, 64, is_hidden)
}

fn reason(text: &str) -> Option<&str> {
    printable(text.trim(), 1, 500, |c| is_hidden(c) && c != '\n')
}

fn printable(text: &str, chars_min: usize, chars_max: usize, refused: impl Fn(char) -> bool) -> Option<&str> {
    let length = text.chars().take(chars_max + 1).count();
    ((chars_min..=chars_max).contains(&length) && !text.chars().any(refused)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_of_any_script_are_accepted() {
        for text in [
            "bob",
            "小明同学",
            "ada_lovelace",
            "j.doe-7",
            "_x_",
            "Ünïcødé",
            "борис",
            "u12345678901234567890123456789ab",
        ] {
            assert!(Username::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn usernames_that_are_too_short_too_long_or_deceptive_are_refused() {
        let long = "a".repeat(33);
        for text in [
            "",
            "ab",
            "小明",
            &long,
            "a b c",
            "bob!",
            ".bob",
            "bob-",
            "Ａlice",
            "bob\u{200b}x",
            "bob\u{3164}",
            "bob\u{345}",
            "b\u{43e}b",
            "ʙᴏʙ",
            "a@b.c",
        ] {
            assert_eq!(Username::parse(text), Err(Error::UsernameInvalid), "{text}");
        }
    }

    #[test]
    fn names_that_differ_in_case_only_have_one_key() {
        for (one, other) in [
            ("Alice", "aLICE"),
            ("Straße", "STRASSE"),
            ("Οδυσσεύς", "ΟΔΥΣΣΕΎΣ"),
        ] {
            let key = |text| Username::parse(text).map(|name| name.key());
            assert_eq!(key(one), key(other), "{one}");
        }
    }

    #[test]
    fn email_addresses_are_checked_conservatively() {
        for text in [
            "a@b.co",
            "first.last+tag@mail.example.com",
            " padded@example.org ",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a@@b.co",
            "a..b@c.de",
            ".a@b.co",
            "a@-b.co",
            "a@b-.co",
            "a@b..co",
            "a b@c.de",
            "a@127.0.0.1",
            "\"a\"@b.co",
            "小明@例子.公司",
        ] {
            assert_eq!(Email::parse(text), Err(Error::EmailInvalid), "{text}");
        }
        assert_eq!(
            Email::parse("Ada@Example.COM").map(|email| email.key()),
            Ok("ada@example.com".into())
        );
    }

    #[test]
    fn texts_with_control_or_direction_characters_are_refused() {
        for text in [
            "a\0",
            "a\nb",
            "a\u{202e}b",
            "\u{200b}",
            "a\u{ad}b",
            "\u{3164}",
            "",
            "   ",
        ] {
            assert_eq!(
                DisplayName::parse(text),
                Err(Error::DisplayNameInvalid),
                "{text:?}"
            );
        }
        assert_eq!(
            Bio::parse("line\nline").map(|bio| bio.to_string()),
            Ok("line\nline".into())
        );
        assert_eq!(Bio::parse(&"x".repeat(501)), Err(Error::BioInvalid));
    }

    #[test]
    fn repeated_interests_count_once_and_the_seventeenth_is_refused() {
        let interest = |text: &str| Interest::parse(text).expect("valid");
        let many = |n| (0..n).map(move |i| Interest::parse(&format!("tag-{i}")).expect("valid"));

        let twice = Interests::new([interest("Rust"), interest("rust"), interest("数据 科学")]);

        assert_eq!(twice.map(|kept| kept.as_slice().len()), Ok(2));
        assert!(Interests::new(many(16)).is_ok());
        assert_eq!(Interests::new(many(17)), Err(Error::TooManyInterests));
    }

    #[test]
    fn a_password_hash_is_never_printed() {
        assert_eq!(format!("{:?}", PasswordHash::new("$argon2id$secret")), "***");
    }
}
