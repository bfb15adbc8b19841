//! Fills in what a data set does not say, the same way every time, and reads what it says in words of its own.

use lyceum_domain::catalog::{Language, Level, Price};
use lyceum_kernel::{Currency, Money};

use super::identity::number;
use super::text::{clipped, slug};

/// Prices in minor units that courses of this kind are sold at.
const PRICES: [i64; 8] = [1_990, 2_990, 4_990, 6_990, 9_900, 12_900, 19_900, 29_900];

/// The level of that name; everybody's if it is none.
pub(super) fn level(text: &str) -> Level {
    match text.to_lowercase().as_str() {
        "beginner" => Level::Beginner,
        "intermediate" => Level::Intermediate,
        "advanced" | "expert" | "esperto" => Level::Advanced,
        _ => Level::All,
    }
}

/// The tag of a language by its English name; a tag stays one.
pub(super) fn language(text: &str) -> Language {
    let lower = text.to_lowercase();
    let tag = match lower.as_str() {
        "english" | "" => "en",
        "chinese" => "zh",
        "spanish" => "es",
        "portuguese" => "pt",
        "french" => "fr",
        "german" => "de",
        "arabic" => "ar",
        "italian" => "it",
        "japanese" => "ja",
        "korean" => "ko",
        "russian" => "ru",
        "turkish" => "tr",
        "thai" => "th",
        "vietnamese" => "vi",
        other => other,
    };
    Language::new(tag).unwrap_or_else(|_| Language::new("en").unwrap_or_default())
}

/// A price that this course always gets; one in eight is free.
pub(super) fn price(source: &str, item: &str) -> Option<Price> {
    let place = number(&format!("{source} price of {item}"), 64);
    let index = usize::try_from(place / 8).ok()?;
    let amount = if place.is_multiple_of(8) {
        0
    } else {
        *PRICES.get(index)?
    };
    Price::new(Money::new(amount, Currency::CNY).ok()?, Currency::CNY).ok()
}

/// The password a user of this source always gets.
pub(super) fn password(source: &str, name: &str) -> String {
    format!(
        "brass-lantern-{:06}",
        number(&format!("{source} password of {name}"), 1_000_000)
    )
}

/// The source as a part of a host name.
pub(super) fn host(source: &str) -> String {
    slug(source).map_or_else(
        || "data".to_owned(),
        |host| clipped(&host, 20).trim_end_matches('-').to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_can_be_made_and_some_courses_are_free() {
        let prices: Vec<i64> = (0..1_000)
            .filter_map(|item| price("x", &item.to_string()))
            .map(|it| it.money().amount())
            .collect();
        let free = prices.iter().filter(|amount| **amount == 0).count();

        assert_eq!(prices.len(), 1_000);
        assert!((60..200).contains(&free), "{free}");
    }
}
