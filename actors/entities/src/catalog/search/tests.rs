//! Searching in several scripts, with mistakes, and after changes.

use std::collections::BTreeMap;

use super::*;

/// An index over documents numbered from 1, written in one go.
fn index(documents: &[(&str, &str, &str)]) -> (SearchIndex, SearchWorker) {
    let (index, mut worker) = SearchIndex::new(15_000_000).expect("an index in memory");
    let documents: BTreeMap<CourseId, Document> = (1..)
        .map(CourseId::from_u128)
        .zip(documents.iter().map(|(title, tags, description)| Document {
            title: (*title).to_owned(),
            tags: (*tags).to_owned(),
            description: (*description).to_owned(),
            ..Document::default()
        }))
        .collect();
    let ids: Vec<_> = documents.keys().copied().collect();
    worker
        .index(&ids, |id| Some(documents.get(&id).cloned()))
        .expect("memory takes every write");
    (index, worker)
}

fn find(index: &SearchIndex, text: &str) -> Vec<u128> {
    let mut hits = index.find(text, |id| Some(id.as_u128()));
    hits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    hits.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn words_are_found_in_any_form_and_titles_come_first() {
    let (index, _worker) = index(&[
        ("Cooking for two", "", "Nothing about programming here"),
        ("Learning to program in Rust", "systems", ""),
        ("Café culture", "coffee", ""),
    ]);

    assert_eq!(find(&index, "PROGRAMS"), [2, 1]);
    assert_eq!(find(&index, "cafe"), [3]);
    assert_eq!(find(&index, "rust program"), [2]);
    assert!(find(&index, "!!").is_empty());
}

#[test]
fn chinese_is_found_by_part_of_a_title_and_by_one_character() {
    let (index, _worker) = index(&[
        ("机器学习入门", "人工智能", ""),
        ("学做菜", "", "机器人不会做"),
        ("法语", "", ""),
    ]);

    assert_eq!(find(&index, "机器学习"), [1]);
    assert_eq!(find(&index, "学习"), [1]);
    assert_eq!(find(&index, "智能"), [1]);
    assert_eq!(find(&index, "菜"), [2]);
    assert_eq!(find(&index, "机器").len(), 2);
    // The pair across the two words is in no title: most pairs are enough.
    assert_eq!(find(&index, "机器学习课程"), [1]);
}

#[test]
fn a_typing_mistake_in_a_long_word_is_forgiven() {
    let (index, _worker) = index(&[("Python for everybody", "", ""), ("Go in depth", "", "")]);

    for text in ["pyhton", "pythn", "pythonn", "pithon everybody"] {
        assert_eq!(find(&index, text), [1], "{text}");
    }
    assert!(find(&index, "ga").is_empty());
}

#[test]
fn languages_are_told_apart_by_their_signs() {
    let (index, _worker) = index(&[
        ("C++ basics", "", ""),
        ("C# basics", "", ""),
        ("C basics", "", ""),
    ]);

    assert_eq!(find(&index, "c++"), [1]);
    assert_eq!(find(&index, "c#"), [2]);
    assert_eq!(find(&index, "c"), [3]);
}

#[test]
fn changed_documents_are_found_once_and_removed_ones_not_at_all() {
    let (index, mut worker) = index(&[("Old title", "", ""), ("Other", "", "")]);
    let renamed = Document {
        title: "New title".to_owned(),
        ..Document::default()
    };
    let ids = [1, 2].map(CourseId::from_u128);

    worker
        .index(&ids, |id| Some((id == ids[0]).then(|| renamed.clone())))
        .expect("memory takes every write");

    assert_eq!(find(&index, "title"), [1]);
    assert!(find(&index, "old").is_empty() && find(&index, "other").is_empty());
}

#[test]
fn what_is_not_accepted_is_not_found() {
    let (index, _worker) = index(&[("Rust one", "", ""), ("Rust two", "", "")]);

    let hits = index.find("rust", |id| (id.as_u128() == 2).then_some(()));

    assert_eq!(hits.len(), 1);
}
