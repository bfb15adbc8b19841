//! The typed fields of a course: a value that exists is valid.

use std::fmt;
use std::sync::Arc;

use lyceum_kernel::{Currency, Money};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::text::is_hidden;

/// Declares a text with a length range in characters, trimmed, without hidden characters.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $field:literal $chars_max:literal $newlines:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "Arc<str>", try_from = "Arc<str>")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes the text after trimming it.
            ///
            /// # Errors
            /// `catalog.invalid_field`: empty, too long, or with hidden characters.
            pub fn new(text: &str) -> Result<Self, Error> {
                text_of(text, $field, $chars_max, $newlines, concat!("1 to ", $chars_max, " characters, none of them hidden")).map($name)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for Arc<str> {
            fn from(text: $name) -> Arc<str> {
                text.0
            }
        }

        impl TryFrom<Arc<str>> for $name {
            type Error = Error;

            fn try_from(text: Arc<str>) -> Result<Self, Error> {
                $name::new(&text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts! {
    /// The title of a course, chapter or lesson: 1 to 120 characters.
    Title "title" 120 false;
    /// The line below a course's title: 1 to 200 characters.
    Subtitle "subtitle" 200 false;
    /// What a course is about: 1 to 20,000 characters, lines allowed.
    Description "description" 20000 true;
    /// A topic of a course: 1 to 64 characters.
    Tag "tags" 64 false;
    /// Why an operator rejected or suspended a course: 1 to 1,000 characters, lines allowed.
    Reason "reason" 1000 true;
    /// The text of a lesson: 1 to 65,536 characters, lines allowed.
    Body "text" 65536 true;
}

fn text_of(
    text: &str,
    field: &'static str,
    chars_max: usize,
    newlines: bool,
    rule: &'static str,
) -> Result<Arc<str>, Error> {
    let text = text.trim();
    let clean = |c: char| !is_hidden(c) || (newlines && matches!(c, '\n' | '\t' | '\r'));
    // Counting characters of a text that is far too long in bytes would be wasted: one has at most four.
    let fits = text.len() <= chars_max * 4 && text.chars().count() <= chars_max;
    if text.is_empty() || !fits || !text.chars().all(clean) {
        return Err(Error::invalid_field(field, rule));
    }
    Ok(text.into())
}

/// A category's name in addresses: 1 to 64 lower-case letters, digits and single hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "Arc<str>", try_from = "Arc<str>")]
pub struct Slug(Arc<str>);

impl Slug {
    /// Makes a slug.
    ///
    /// # Errors
    /// `catalog.invalid_field`: not of that form.
    pub fn new(text: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if text.len() <= 64 && text.split('-').all(part) {
            return Ok(Slug(text.into()));
        }
        let rule = "1 to 64 lower-case letters, digits and single hyphens";
        Err(Error::invalid_field("category", rule))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Slug> for Arc<str> {
    fn from(slug: Slug) -> Arc<str> {
        slug.0
    }
}

impl TryFrom<Arc<str>> for Slug {
    type Error = Error;

    fn try_from(text: Arc<str>) -> Result<Self, Error> {
        Slug::new(&text)
    }
}

/// The language of a course as a BCP 47 tag in lower case, such as `zh`, `en` or `zh-hant`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "Arc<str>", try_from = "Arc<str>")]
pub struct Language(Arc<str>);

impl Language {
    /// Makes a language tag; upper case is folded.
    ///
    /// # Errors
    /// `catalog.invalid_field`: not of that form.
    pub fn new(text: &str) -> Result<Self, Error> {
        let lower = text.to_ascii_lowercase();
        let mut parts = lower.split('-');
        let primary = parts.next().unwrap_or_default();
        let valid = (2..=3).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_lowercase())
            && lower.len() <= 16
            && parts
                .all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if valid {
            return Ok(Language(lower.into()));
        }
        Err(Error::invalid_field(
            "language",
            "a language tag such as zh, en or zh-hant",
        ))
    }

    /// The tag in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Language {
    /// Chinese, the language most courses are written in.
    fn default() -> Self {
        Language("zh".into())
    }
}

impl From<Language> for Arc<str> {
    fn from(language: Language) -> Arc<str> {
        language.0
    }
}

impl TryFrom<Arc<str>> for Language {
    type Error = Error;

    fn try_from(text: Arc<str>) -> Result<Self, Error> {
        Language::new(&text)
    }
}

/// For whom a course is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everybody.
    #[default]
    All,
    /// Those who start.
    Beginner,
    /// Those who know the basics.
    Intermediate,
    /// Those who know the field.
    #[serde(alias = "expert")]
    Advanced,
}

impl Level {
    /// The level's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Level::All => "all",
            Level::Beginner => "beginner",
            Level::Intermediate => "intermediate",
            Level::Advanced => "advanced",
        }
    }
}

/// Up to 16 different tags in the order the creator gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tag>")]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Makes a list of tags; repeated ones are dropped.
    ///
    /// # Errors
    /// `catalog.invalid_field`: more than 16.
    pub fn new(tags: Vec<Tag>) -> Result<Self, Error> {
        let mut kept: Vec<Tag> = Vec::with_capacity(tags.len().min(16));
        for tag in tags {
            if kept.contains(&tag) {
                continue;
            }
            if kept.len() == 16 {
                return Err(Error::invalid_field("tags", "at most 16"));
            }
            kept.push(tag);
        }
        Ok(Tags(kept))
    }

    /// The tags.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }
}

impl TryFrom<Vec<Tag>> for Tags {
    type Error = Error;

    fn try_from(tags: Vec<Tag>) -> Result<Self, Error> {
        Tags::new(tags)
    }
}

/// What a course costs, in the settlement currency; zero is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(Money);

impl Price {
    /// Makes a price.
    ///
    /// # Errors
    /// `catalog.currency_not_accepted`: not in the currency the platform settles in.
    pub fn new(money: Money, settlement: Currency) -> Result<Self, Error> {
        if money.currency() == settlement {
            Ok(Price(money))
        } else {
            Err(Error::CurrencyNotAccepted)
        }
    }

    /// The amount.
    pub fn money(self) -> Money {
        self.0
    }
}

/// Where the media of a lesson are: an `https` address or a `media:` reference, at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Arc<str>", try_from = "Arc<str>")]
pub struct MediaUrl(Arc<str>);

impl MediaUrl {
    /// Makes a reference.
    ///
    /// # Errors
    /// `catalog.invalid_field`: not of that form.
    pub fn new(text: &str) -> Result<Self, Error> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("media:"));
        let valid = text.len() <= 2048
            && rest.is_some_and(|rest| !rest.is_empty())
            && text.chars().all(|c| !c.is_whitespace() && !is_hidden(c));
        if valid {
            return Ok(MediaUrl(text.into()));
        }
        let rule = "an https:// address or a media: reference of at most 2,048 bytes";
        Err(Error::invalid_field("media_url", rule))
    }

    /// The reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<MediaUrl> for Arc<str> {
    fn from(url: MediaUrl) -> Arc<str> {
        url.0
    }
}

impl TryFrom<Arc<str>> for MediaUrl {
    type Error = Error;

    fn try_from(text: Arc<str>) -> Result<Self, Error> {
        MediaUrl::new(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_trimmed_and_measured_in_characters() {
        assert_eq!(
            Title::new("  Rust 入门 ").map(|title| title.to_string()),
            Ok("Rust 入门".to_owned())
        );
        assert!(Title::new(&"课".repeat(120)).is_ok());
        for text in ["", "   ", "two\nlines", &"课".repeat(121)] {
            assert!(Title::new(text).is_err(), "{text}");
        }
        assert!(Description::new("two\nlines").is_ok());
    }

    #[test]
    fn texts_show_all_that_they_hold() {
        for text in [
            "Rust \u{202E}tsuR",
            "Ru\u{200B}st",
            "\u{FEFF}Rust",
            "Rust\u{2066}",
            "Rust\0",
        ] {
            assert!(Title::new(text).is_err(), "{text:?}");
            assert!(Description::new(text).is_err(), "{text:?}");
            assert!(Tag::new(text).is_err(), "{text:?}");
        }
        // Persian is not spelled without the non-joiner, nor some emoji without the joiner.
        for text in ["می\u{200C}خواهم", "👩\u{200D}💻 Rust"] {
            assert!(Title::new(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn slugs_languages_and_addresses_have_one_form() {
        assert!(
            ["web", "web-3", "a-b-c"]
                .iter()
                .all(|text| Slug::new(text).is_ok())
        );
        assert!(
            ["", "-a", "a--b", "A", "编程", "a b"]
                .iter()
                .all(|text| Slug::new(text).is_err())
        );
        assert_eq!(
            Language::new("zh-Hant").map(|it| it.as_str().to_owned()),
            Ok("zh-hant".to_owned())
        );
        assert!(
            ["", "z", "chinese", "zh_CN", "zh-"]
                .iter()
                .all(|text| Language::new(text).is_err())
        );
        assert!(
            ["https://a.b/c", "media:1"]
                .iter()
                .all(|text| MediaUrl::new(text).is_ok())
        );
        assert!(
            ["", "http://a", "https://", "javascript:1", "https://a b"]
                .iter()
                .all(|t| MediaUrl::new(t).is_err())
        );
    }

    #[test]
    fn repeated_tags_are_dropped_and_a_seventeenth_is_refused() {
        let tag = |n: usize| Tag::new(&format!("tag {n}")).expect("a valid tag");

        let repeated = Tags::new(vec![tag(1), tag(2), tag(1)]).expect("two tags");

        assert_eq!(repeated.as_slice(), [tag(1), tag(2)]);
        assert!(Tags::new((0..16).map(tag).collect()).is_ok());
        assert!(Tags::new((0..17).map(tag).collect()).is_err());
    }

    #[test]
    fn prices_are_in_the_settlement_currency() {
        let dollars = Money::zero(Currency::USD);

        assert_eq!(
            Price::new(dollars, Currency::CNY),
            Err(Error::CurrencyNotAccepted)
        );
        assert!(Price::new(dollars, Currency::USD).is_ok());
    }
}
