//! The courses that journeys are about: read once before the run, with every path that will be asked ready-made.

use std::collections::HashMap;

use hyper::{Method, Uri};
use serde_json::Value;

use crate::Failure;
use crate::client::{Answer, Client};
use crate::request::{Ask, percent};
use crate::zipf::Zipf;

/// Courses that are read at most; Zipf makes the rest unlikely anyway.
const COURSES_MAX: usize = 2_000;
/// The most popular courses, whose lessons are read too.
const OUTLINES_MAX: usize = 100;
/// Different words that are searched for.
const WORDS_MAX: usize = 200;

/// A course on sale.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) id: String,
    /// Minor units.
    pub(crate) price: u64,
    pub(crate) path: Uri,
    /// Where the content of its first free lesson is.
    pub(crate) preview: Option<Uri>,
}

/// What there is to browse, find and buy; courses are in the order of their popularity.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pub(crate) courses: Vec<Course>,
    pub(crate) popularity: Zipf,
    /// First pages: all courses, and each category.
    pub(crate) lists: Vec<Uri>,
    pub(crate) searches: Vec<Uri>,
    places: HashMap<String, usize>,
}

impl Catalog {
    /// Reads the catalogue over the public API; `outlines` says whether lessons are needed.
    pub(crate) async fn read(client: &Client, zipf: f64, outlines: bool) -> Result<Self, Failure> {
        let mut courses = Vec::new();
        let mut categories: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut next = Some("/v1/courses?limit=100".to_owned());
        while let Some(path) = next.filter(|_| courses.len() < COURSES_MAX) {
            let page = get(client, &path).await?.json();
            for card in page["data"].as_array().into_iter().flatten() {
                let Some(course) = course(card) else { continue };
                courses.push(course);
                note(&mut categories, &card["category"], WORDS_MAX);
                for tag in card["tags"].as_array().into_iter().flatten() {
                    note(&mut words, tag, WORDS_MAX);
                }
            }
            next = page["next"]
                .as_str()
                .map(|cursor| format!("/v1/courses?limit=100&after={}", percent(cursor)));
        }
        if courses.is_empty() {
            return Err(Failure::new(
                "the target has no published course: load its demo first (`lyceum demo`).",
            ));
        }
        if outlines {
            for course in courses.iter_mut().take(OUTLINES_MAX) {
                let detail = get(client, course.path.path()).await?.json();
                course.preview = preview(&course.id, &detail);
            }
        }
        let lists = std::iter::once("/v1/courses?limit=20".to_owned()).chain(
            categories
                .iter()
                .map(|slug| format!("/v1/courses?limit=20&category={}", percent(slug))),
        );
        let searches = words
            .iter()
            .map(|word| format!("/v1/courses?limit=20&q={}", percent(word)));
        Ok(Catalog {
            popularity: Zipf::new(courses.len(), zipf),
            lists: lists.filter_map(|path| path.parse().ok()).collect(),
            searches: searches.filter_map(|path| path.parse().ok()).collect(),
            places: courses
                .iter()
                .enumerate()
                .map(|(place, course)| (course.id.clone(), place))
                .collect(),
            courses,
        })
    }

    /// Returns the place of a course by its id.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }
}

async fn get(client: &Client, path: &str) -> Result<Answer, Failure> {
    let uri = path
        .parse()
        .map_err(|_| Failure::new(format!("{path} is no path")))?;
    let answer = client.send(Ask::new(Method::GET, uri).build(None)).await;
    match answer {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(Failure::new(format!(
            "the target answers GET {path} with {}.",
            answer.status
        ))),
        Err(kind) => Err(Failure::new(format!(
            "the target does not answer GET {path}: {kind}."
        ))),
    }
}

fn course(card: &Value) -> Option<Course> {
    let id = card["id"].as_str()?;
    Some(Course {
        path: format!("/v1/courses/{id}").parse().ok()?,
        price: card["price"]["amount"].as_u64()?,
        id: id.to_owned(),
        preview: None,
    })
}

fn preview(course: &str, detail: &Value) -> Option<Uri> {
    let chapters = detail["outline"].as_array()?;
    let mut lessons = chapters
        .iter()
        .flat_map(|chapter| chapter["lessons"].as_array().into_iter().flatten());
    let free = lessons.find(|lesson| lesson["preview"] == true)?;
    let lesson = free["id"].as_str()?;
    format!("/v1/courses/{course}/lessons/{lesson}/content")
        .parse()
        .ok()
}

fn note(texts: &mut Vec<String>, text: &Value, max: usize) {
    if let Some(text) = text.as_str()
        && texts.len() < max
        && !texts.iter().any(|known| known == text)
    {
        texts.push(text.to_owned());
    }
}
