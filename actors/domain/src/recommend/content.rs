//! How alike courses are by what they are about: TF-IDF over categories, tags, words and level.
//!
//! Flow: every course becomes a short vector of weighted terms; an inverted index adds up the cosine with every
//! course that shares a term; the best few are kept. Eight thousand courses take about a second of one core,
//! and memory stays at the postings plus one row of sums.
//!
//! Languages are not terms: almost every pair shares one, yet few learners cross them, so a different language
//! scales the similarity down.

use std::collections::BTreeMap;

use super::model::Neighbours;
use super::settings::ContentSettings;
use crate::ids::CourseId;

/// Terms in more than this share of the courses tell them apart too little to be worth their postings.
const COMMON_SHARE: f32 = 0.5;

/// What the recommender knows about one course.
#[derive(Clone, Debug)]
pub struct Features {
    /// The course.
    pub course: CourseId,
    /// Its title.
    pub title: String,
    /// Its category and, if categories nest, those around it.
    pub categories: Vec<String>,
    /// Its tags or concepts.
    pub tags: Vec<String>,
    /// Its level; empty if unknown.
    pub level: String,
    /// Its language; empty if unknown.
    pub language: String,
}

impl Features {
    /// A course of which nothing else is known yet.
    pub fn new(course: CourseId) -> Self {
        Features {
            course,
            title: String::new(),
            categories: Vec::new(),
            tags: Vec::new(),
            level: String::new(),
            language: String::new(),
        }
    }
}

/// A category, tag or interest in its canonical spelling: lower case, words joined by one hyphen.
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            slug.extend(letter.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// The words of a text: runs of letters and digits; Chinese, Japanese and Korean runs as pairs of characters.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut latin = String::new();
    let mut run: Vec<char> = Vec::new();
    for letter in text.chars().chain([' ']) {
        if is_cjk(letter) {
            run.push(letter);
        } else {
            match run.len() {
                0 => {}
                1 => words.push(run[0].to_string()),
                _ => words.extend(run.windows(2).map(|pair| pair.iter().collect::<String>())),
            }
            run.clear();
        }
        if letter.is_alphanumeric() && !is_cjk(letter) {
            latin.extend(letter.to_lowercase());
        } else if !latin.is_empty() {
            words.push(std::mem::take(&mut latin));
        }
    }
    words
}

fn is_cjk(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

/// Sparse unit vectors of courses and the index from terms back to courses.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    terms: Vec<Vec<(u32, f32)>>,
    postings: Vec<Vec<(u32, f32)>>,
}

impl Vectors {
    /// The vectors of a catalog, in its order.
    pub(super) fn new(courses: &[Features], settings: &ContentSettings) -> Self {
        vectors(courses, settings)
    }

    /// Adds to every course its product with the one at `position`: a cosine, since the vectors are of unit length.
    pub(super) fn products(&self, position: usize, sums: &mut [f32]) {
        for &(term, weight) in &self.terms[position] {
            for &(other, other_weight) in &self.postings[term as usize] {
                sums[other as usize] += weight * other_weight;
            }
        }
    }
}

/// The most similar courses of every course, similarity from 0 to 1; positions are those in `courses`.
///
/// `preference` scales how readily a course is chosen as a neighbour and leaves the similarity alone.
pub(super) fn neighbours(courses: &[Features], preference: &[f32], settings: &ContentSettings) -> Neighbours {
    if settings.neighbours_max == 0 {
        return Neighbours::default();
    }
    let vectors = vectors(courses, settings);
    let languages: Vec<String> = courses.iter().map(|course| slug(&course.language)).collect();
    let mut sums = vec![0.0_f32; courses.len()];
    let mut touched: Vec<u32> = Vec::new();
    let mut best: Vec<(u32, f32)> = Vec::new();
    let mut table = Neighbours::with_capacity(courses.len(), settings.neighbours_max);
    for (position, terms) in vectors.terms.iter().enumerate() {
        for &(term, weight) in terms {
            for &(other, other_weight) in &vectors.postings[term as usize] {
                let sum = &mut sums[other as usize];
                if *sum == 0.0 {
                    touched.push(other);
                }
                *sum += weight * other_weight;
            }
        }
        best.clear();
        for &other in &touched {
            let mut similarity = std::mem::take(&mut sums[other as usize]).min(1.0);
            let (own, others) = (&languages[position], &languages[other as usize]);
            if own != others && !own.is_empty() && !others.is_empty() {
                similarity *= settings.other_language;
            }
            if other as usize != position && similarity > 0.0 {
                best.push((other, similarity));
            }
        }
        touched.clear();
        let order = |a: &(u32, f32), b: &(u32, f32)| {
            let chosen = |(other, similarity): &(u32, f32)| similarity * preference[*other as usize];
            chosen(b).total_cmp(&chosen(a)).then(a.0.cmp(&b.0))
        };
        if best.len() > settings.neighbours_max {
            best.select_nth_unstable_by(settings.neighbours_max, order);
            best.truncate(settings.neighbours_max);
        }
        best.sort_unstable_by(order);
        table.push_row(&best);
    }
    table
}

fn vectors(courses: &[Features], settings: &ContentSettings) -> Vectors {
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut frequencies: Vec<u32> = Vec::new();
    let mut terms: Vec<Vec<(u32, f32)>> = Vec::with_capacity(courses.len());
    for course in courses {
        let mut vector: Vec<(u32, f32)> = Vec::new();
        for (term, weight) in weighted_terms(course, settings) {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(term).or_insert(next);
            match vector.iter_mut().find(|(known, _)| *known == number) {
                Some((_, known)) => *known = known.max(weight),
                None => vector.push((number, weight)),
            }
        }
        frequencies.resize(numbers.len(), 0);
        for (number, _) in &vector {
            frequencies[*number as usize] += 1;
        }
        terms.push(vector);
    }

    let total = count(courses.len());
    let mut postings = vec![Vec::new(); numbers.len()];
    for (position, vector) in (0_u32..).zip(&mut terms) {
        for (number, weight) in vector.iter_mut() {
            *weight *= ((total + 1.0) / (count(frequencies[*number as usize] as usize) + 0.5)).ln();
        }
        let norm = vector
            .iter()
            .map(|(_, weight)| weight * weight)
            .sum::<f32>()
            .sqrt();
        // Terms of a single course match nothing but lengthen its vector, as they should.
        vector.retain_mut(|(number, weight)| {
            *weight /= norm.max(f32::MIN_POSITIVE);
            let frequency = frequencies[*number as usize];
            frequency > 1 && (total < 10.0 || count(frequency as usize) <= total * COMMON_SHARE)
        });
        for &(number, weight) in vector.iter() {
            postings[number as usize].push((position, weight));
        }
    }
    Vectors { terms, postings }
}

/// Terms carry their field, because a category is not a word of a title.
fn weighted_terms(course: &Features, settings: &ContentSettings) -> Vec<(String, f32)> {
    let mut terms = Vec::new();
    for category in &course.categories {
        terms.push((format!("c:{}", slug(category)), settings.category));
    }
    for tag in &course.tags {
        terms.push((format!("t:{}", slug(tag)), settings.tag));
        terms.extend(words(tag).into_iter().map(|word| (word, settings.tag * 0.5)));
    }
    terms.extend(words(&course.title).into_iter().map(|word| (word, 1.0)));
    if !course.level.is_empty() {
        terms.push((format!("l:{}", slug(&course.level)), settings.level));
    }
    terms
}

fn count(number: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24")]
    let number = number as f32;
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recommend::Settings;

    fn course(title: &str, category: &str, language: &str) -> Features {
        Features {
            title: title.to_owned(),
            categories: vec![category.to_owned()],
            language: language.to_owned(),
            ..Features::new(CourseId::from_u128(0))
        }
    }

    #[test]
    fn titles_are_split_into_words_and_pairs_of_chinese_characters() {
        assert_eq!(words("Rust-in_Action 2e"), ["rust", "in", "action", "2e"]);
        assert_eq!(
            words("学Python数据分析"),
            ["学", "python", "数据", "据分", "分析"]
        );
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn slugs_are_lower_case_words_joined_by_hyphens() {
        assert_eq!(slug("  IT & Software / 网络 "), "it-software-网络");
        assert_eq!(slug("--"), "");
    }

    #[test]
    fn courses_about_the_same_are_neighbours_in_order_of_likeness() {
        let courses = [
            course("Rust programming", "development", "english"),
            course("Advanced Rust programming", "development", "english"),
            course("Rust gardening", "home", "english"),
            course("Watercolour painting", "art", "english"),
        ];

        let table = neighbours(&courses, &[1.0; 4], &Settings::default().content);

        let of_first: Vec<u32> = table.of(0).iter().map(|(other, _)| *other).collect();
        assert_eq!(of_first, [1, 2]);
        assert!(table.of(3).is_empty());
        assert!(
            table
                .of(0)
                .iter()
                .all(|(_, similarity)| (0.0..=1.0).contains(similarity))
        );
    }

    #[test]
    fn another_language_makes_courses_less_alike() {
        let courses = [
            course("Rust", "development", "english"),
            course("Rust", "development", "german"),
            course("Rust", "development", "english"),
        ];

        let table = neighbours(&courses, &[1.0; 3], &Settings::default().content);

        assert_eq!(table.of(0)[0].0, 2);
        assert!(table.of(0)[1].1 < table.of(0)[0].1);
    }

    #[test]
    fn the_number_of_neighbours_is_bounded() {
        let courses = vec![course("Rust", "development", ""); 9];
        let settings = ContentSettings {
            neighbours_max: 3,
            ..Settings::default().content
        };

        let table = neighbours(&courses, &[1.0; 9], &settings);

        assert_eq!(
            table.of(8).iter().map(|(other, _)| *other).collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}
