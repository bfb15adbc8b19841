//! What no text that people read may contain, in any domain: characters that cannot be seen.
//!
//! They let one name pass for another, turn the order of the letters around them, or hide words from a reader that a
//! search finds.

/// Whether a character cannot be seen: control and format characters, blanks that count as letters, line separators.
///
/// Some format characters a language needs, and they stay: the joiners of Persian, Indian scripts and emoji, the
/// Mongolian vowel separator, number and verse signs (which are visible), and the layout of hieroglyphs.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{061C}'       // soft hyphen, Arabic letter mark
            | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // Hangul fillers, which are blank
            | '\u{200B}' | '\u{200E}' | '\u{200F}' // zero-width space, direction marks
            | '\u{2028}'..='\u{202E}'     // line and paragraph separators, embeddings and overrides of direction
            | '\u{2060}'..='\u{206F}'     // word joiner, invisible operators, isolates
            | '\u{FEFF}'                 // byte order mark
            | '\u{FFF9}'..='\u{FFFB}'     // annotations between lines
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' // layout of shorthand and music
            | '\u{E0000}'..='\u{E007F}') // tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_told_from_what_a_language_needs() {
        for hidden in [
            '\0',
            '\n',
            '\u{7F}',
            '\u{85}',
            '\u{AD}',
            '\u{200B}',
            '\u{202A}',
            '\u{202E}',
            '\u{2066}',
            '\u{2069}',
            '\u{FEFF}',
            '\u{E0041}',
            '\u{3164}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
        // The joiners, a variation selector, an accent, letters and pictures.
        for shown in [
            '\u{200C}', '\u{200D}', '\u{FE0F}', '\u{0301}', 'a', '课', 'ن', '🎓', ' ',
        ] {
            assert!(!is_hidden(shown), "{shown:?}");
        }
    }
}
