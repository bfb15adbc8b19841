//! Words out of titles and texts in any script.
//!
//! Latin and other alphabetic words stay whole (`c++`, `c#` and `.net` keep what tells them apart); filters behind
//! the tokenizer fold and stem them. Chinese, Japanese and Korean have no spaces: a run of their characters becomes
//! overlapping pairs, which is as good as a dictionary for short texts and never out of date. Single characters are
//! indexed as well, so that a query of one character finds something.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Longer words are no words.
const WORD_BYTES_MAX: usize = 64;

/// Whether single characters of a run are tokens beside its pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Singles {
    /// Always: for what is indexed.
    Always,
    /// Only if the run is one character: for queries.
    Alone,
}

/// Splits texts for the index or for queries.
#[derive(Clone, Copy, Debug)]
pub(super) struct CourseTokenizer(pub(super) Singles);

impl Tokenizer for CourseTokenizer {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        Tokens {
            tokens: split(text, self.0),
            next: 0,
        }
    }
}

/// The tokens of one text.
pub(super) struct Tokens {
    tokens: Vec<Token>,
    next: usize,
}

impl TokenStream for Tokens {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        &self.tokens[self.next - 1]
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.tokens[self.next - 1]
    }
}

fn split(text: &str, singles: Singles) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let run = if is_unspaced(c) {
            is_unspaced
        } else if c.is_alphanumeric() || (c == '.' && rest.peek().is_some_and(|(_, c)| c.is_alphabetic())) {
            continues_word
        } else {
            continue;
        };
        let mut end = start + c.len_utf8();
        while let Some((index, c)) = rest.next_if(|(_, c)| run(*c)) {
            end = index + c.len_utf8();
        }
        let word = &text[start..end];
        if is_unspaced(c) {
            pairs(word, start, singles, &mut tokens);
        } else if word.len() <= WORD_BYTES_MAX {
            // "rust." ends a sentence; ".net" does not.
            push(word, start, &mut tokens);
        }
    }
    tokens
}

fn pairs(run: &str, offset: usize, singles: Singles, tokens: &mut Vec<Token>) {
    let mut before: Option<usize> = None;
    let alone = run.chars().nth(1).is_none();
    for (index, c) in run.char_indices() {
        let end = index + c.len_utf8();
        if let Some(before) = before {
            push(&run[before..end], offset + before, tokens);
        }
        if singles == Singles::Always || alone {
            push(&run[index..end], offset + index, tokens);
        }
        before = Some(index);
    }
}

fn push(word: &str, offset: usize, tokens: &mut Vec<Token>) {
    tokens.push(Token {
        offset_from: offset,
        offset_to: offset + word.len(),
        position: tokens.len(),
        text: word.to_owned(),
        position_length: 1,
    });
}

fn continues_word(c: char) -> bool {
    (c.is_alphanumeric() && !is_unspaced(c)) || matches!(c, '+' | '#')
}

/// Whether a character belongs to a script that is written without spaces: Han, kana, Hangul.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x3005..=0x3007 | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF
        | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x20000..=0x3134F)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, singles: Singles) -> Vec<String> {
        split(text, singles).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn latin_words_stay_whole() {
        assert_eq!(
            words("Rust, C++ and C# on .NET.", Singles::Alone),
            ["Rust", "C++", "and", "C#", "on", ".NET"]
        );
        assert!(words(&"x".repeat(65), Singles::Always).is_empty());
        assert!(words("… -- 。", Singles::Always).is_empty());
    }

    #[test]
    fn unspaced_runs_become_pairs_and_singles() {
        assert_eq!(words("机器学习", Singles::Alone), ["机器", "器学", "学习"]);
        assert_eq!(words("机器", Singles::Always), ["机", "机器", "器"]);
        assert_eq!(words("课", Singles::Alone), ["课"]);
        assert_eq!(words("学Rust编程", Singles::Alone), ["学", "Rust", "编程"]);
    }

    #[test]
    fn offsets_point_into_the_text() {
        let text = "学习 Python 编程";
        for token in split(text, Singles::Always) {
            assert_eq!(&text[token.offset_from..token.offset_to], token.text);
        }
    }
}
