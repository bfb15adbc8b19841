//! One course in the snapshot: ready-made bytes, and what filters, sorting and other domains ask about it.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use hyper::header::HeaderValue;
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_kernel::{Money, Timestamp};

use super::listing::{Rank, Sort};
use super::render::{self, Card, Creator, Rating};
use super::rows::LiveCourse;

/// What of a course's state matters to whoever is not its creator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Listed, searched, recommended and sold.
    Published,
    /// Shown to whoever knows the address, and sold.
    Unlisted,
    /// Shown to whoever knows the address, no longer sold.
    Retired,
    /// Not shown: suspended or archived. Owners still find it among their courses.
    Hidden,
}

impl Visibility {
    fn of(state: &str) -> Self {
        match state {
            "published" => Visibility::Published,
            "unlisted" => Visibility::Unlisted,
            "retired" => Visibility::Retired,
            _ => Visibility::Hidden,
        }
    }
}

/// A published course, immutable; a change makes a new entry.
#[derive(Debug)]
pub struct Entry {
    /// The course.
    pub id: CourseId,
    /// Whose course it is.
    pub creator: UserId,
    /// Who may see and buy it.
    pub visibility: Visibility,
    /// How many events the course had seen.
    pub revision: u64,
    /// The live version.
    pub version: u32,
    /// What it costs.
    pub price: Money,
    /// Its title.
    pub title: Arc<str>,
    /// Its language tag.
    pub language: Arc<str>,
    /// The name of its level.
    pub level: Arc<str>,
    /// The category's slug.
    pub category: Option<Arc<str>>,
    /// Its topics.
    pub tags: Box<[String]>,
    /// When it was first published.
    pub published_at: Timestamp,
    /// How many people had bought it when the bytes were made.
    pub students: u64,
    /// The public answer to `GET /v1/courses/{id}`.
    pub body: Bytes,
    /// The entity tag of `body`; it begins with the revision, so that `If-Match` understands it.
    pub etag: HeaderValue,
    card_length: usize,
    title_rank: Arc<str>,
    subtitle: Option<String>,
    state: String,
    pub(super) counters: Arc<Counters>,
}

/// What grows too often to make new bytes each time.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) students: AtomicU64,
    pub(super) rating_sum: AtomicU64,
    pub(super) rating_count: AtomicU64,
    /// Whether the entry waits to be made again.
    pub(super) stale: AtomicBool,
}

impl Entry {
    pub(super) fn new(course: LiveCourse, creator: Option<&str>, counters: Arc<Counters>) -> Self {
        let mut entry = Entry {
            id: course.id,
            creator: course.creator,
            visibility: Visibility::of(&course.state),
            revision: course.revision,
            version: course.version,
            price: course.price,
            title_rank: title_rank(&course.title),
            title: course.title.into(),
            language: course.language.into(),
            level: course.level.into(),
            category: course.category.map(Into::into),
            tags: course.tags.into(),
            published_at: course.published_at,
            students: 0,
            body: Bytes::new(),
            etag: HeaderValue::from_static("\"0\""),
            card_length: 0,
            subtitle: course.subtitle,
            state: course.state,
            counters,
        };
        entry.render(creator, &course.detail);
        entry
    }

    /// The same course with the counters and the creator's name as they are now.
    pub(super) fn renewed(&self, creator: Option<&str>) -> Self {
        let detail = render::detail_of(&self.body, self.card_length);
        let detail = format!("{{{}", std::str::from_utf8(detail).unwrap_or("}"));
        let mut entry = Entry {
            title: self.title.clone(),
            language: self.language.clone(),
            level: self.level.clone(),
            category: self.category.clone(),
            tags: self.tags.clone(),
            body: Bytes::new(),
            etag: self.etag.clone(),
            title_rank: self.title_rank.clone(),
            subtitle: self.subtitle.clone(),
            state: self.state.clone(),
            counters: self.counters.clone(),
            ..*self
        };
        entry.render(creator, &detail);
        entry
    }

    fn render(&mut self, creator: Option<&str>, detail: &str) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.students = load(&self.counters.students);
        let card = Card {
            id: self.id,
            title: &self.title,
            subtitle: self.subtitle.as_deref(),
            price: self.price,
            category: self.category.as_deref(),
            tags: &self.tags,
            level: &self.level,
            language: &self.language,
            creator: Creator {
                id: self.creator,
                display_name: creator,
            },
            rating: Rating::of(load(&self.counters.rating_sum), load(&self.counters.rating_count)),
            students: self.students,
            published_at: self.published_at,
            state: &self.state,
            version: self.version,
        };
        let (body, card_length) = render::answer(&card, detail);
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        let etag = format!("\"{}-{:016x}\"", self.revision, hasher.finish());
        self.etag =
            HeaderValue::try_from(etag).expect("digits, letters, a hyphen and quotes are a header value");
        self.body = body.into();
        self.card_length = card_length;
    }

    /// Whether it may be bought now.
    pub fn sells(&self) -> bool {
        matches!(self.visibility, Visibility::Published | Visibility::Unlisted)
    }

    /// Whether it is listed, searched and recommended.
    pub fn is_listed(&self) -> bool {
        self.visibility == Visibility::Published
    }

    /// Whether everybody may read its public answer.
    pub fn is_shown(&self) -> bool {
        self.visibility != Visibility::Hidden
    }

    /// Appends the JSON object that lists show.
    pub fn push_card(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.body[..self.card_length]);
        out.push(b'}');
    }

    /// The bytes [`push_card`](Self::push_card) appends.
    pub fn card_bytes(&self) -> usize {
        self.card_length + 1
    }

    pub(super) fn subtitle(&self) -> Option<&str> {
        self.subtitle.as_deref()
    }

    /// What the course is about, from the ready-made answer.
    pub(super) fn description(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Described {
            description: Option<String>,
        }
        serde_json::from_slice::<Described>(&self.body)
            .ok()
            .and_then(|it| it.description)
            .unwrap_or_default()
    }

    /// Where the course stands in an order; ascending, so what comes first is smallest.
    pub(super) fn rank(&self, sort: Sort) -> Rank {
        match sort {
            Sort::Newest => Rank::Number(-self.published_at.as_millis()),
            Sort::Popular => Rank::Number(-i64::try_from(self.students).unwrap_or(i64::MAX)),
            Sort::Price => Rank::Number(self.price.amount()),
            Sort::PriceDescending => Rank::Number(-self.price.amount()),
            Sort::Title => Rank::Text(self.title_rank.clone()),
        }
    }
}

/// The beginning of a title in lower case: long enough to sort by, short enough to be part of a cursor.
fn title_rank(title: &str) -> Arc<str> {
    let lower = title.to_lowercase();
    let end = lower
        .char_indices()
        .map(|(index, c)| index + c.len_utf8())
        .take_while(|end| *end <= 48)
        .last();
    lower[..end.unwrap_or(0)].into()
}
