//! Makes data set texts readable: titles from slugs, tags from concepts.

use lyceum_domain::text::is_hidden;

/// Words that are written in capitals.
const CAPITALS: [&str; 46] = [
    "3d", "ai", "api", "asp", "aws", "b2b", "cad", "ccna", "cms", "crm", "css", "diy", "dj", "erp", "gis",
    "gmat", "gre", "hr", "html", "html5", "http", "ict", "ielts", "ii", "iii", "ios", "iot", "it", "js",
    "mba", "mvc", "nlp", "pdf", "php", "pmp", "rest", "sap", "seo", "sql", "tv", "ui", "uml", "usa", "ux",
    "vba", "vr",
];
/// Words that stay small inside a title.
const SMALL: [&str; 19] = [
    "a", "an", "and", "as", "at", "by", "de", "en", "for", "from", "in", "of", "on", "or", "para", "the",
    "to", "with", "y",
];

/// A readable title of a slug; what has spaces already is left as it is.
pub(super) fn title(slug: &str) -> String {
    let slug = slug.trim();
    if slug.contains(' ') || !slug.contains('-') && slug.chars().any(char::is_uppercase) {
        return clipped(slug, 120);
    }
    let words = slug.split(['-', '_']).filter(|word| !word.is_empty());
    let words: Vec<String> = words
        .enumerate()
        .map(|(place, word)| cased(word, place == 0))
        .collect();
    clipped(&words.join(" "), 120)
}

fn cased(word: &str, first: bool) -> String {
    // "it" is a pronoun more often than a department unless it opens a title.
    if word != "it" && CAPITALS.contains(&word) {
        return word.to_uppercase();
    }
    if !first && (SMALL.contains(&word) || word == "it") {
        return word.to_owned();
    }
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |letter| {
        letter.to_uppercase().chain(letters).collect()
    })
}

/// A topic without the explanation in brackets: `Blender (software)` is `Blender`.
pub(super) fn topic(text: &str) -> String {
    let bare = text.split(" (").next().unwrap_or(text).trim();
    clipped(if bare.is_empty() { text.trim() } else { bare }, 64)
}

/// The lower-case slug of a category; nothing if no letter is left.
pub(super) fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for letter in text.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == 64 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

/// The first characters of a text without hidden ones.
pub(super) fn clipped(text: &str, chars_max: usize) -> String {
    let clean = text
        .chars()
        .map(|letter| if is_hidden(letter) { ' ' } else { letter });
    clean.take(chars_max).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_become_titles() {
        for (slug, expected) in [
            ("social-psychology", "Social Psychology"),
            (
                "build-a-full-e-commerce-app-in-aspnet-core-mvc-6",
                "Build a Full E Commerce App in Aspnet Core MVC 6",
            ),
            ("html5-and-css-for-beginners", "HTML5 and CSS for Beginners"),
            ("What is OneDrive for Business?", "What is OneDrive for Business?"),
            ("", ""),
        ] {
            assert_eq!(title(slug), expected);
        }
    }

    #[test]
    fn topics_lose_their_explanation_and_categories_their_spaces() {
        assert_eq!(topic("Blender (software)"), "Blender");
        assert_eq!(topic("Psychology"), "Psychology");
        assert_eq!(slug("Data & Analytics"), Some("data-analytics".to_owned()));
        assert_eq!(slug("…"), None);
    }
}
