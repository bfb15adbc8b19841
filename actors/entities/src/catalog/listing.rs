//! Sorted indices over the listed courses, and pages out of them.
//!
//! Each order is a map by (rank, id), kept up to date course by course: a publication costs five insertions, so a
//! list that is read right after it shows it, also while thousands are imported. A page begins after a cursor's key
//! and not at an offset, so it never repeats or skips what stayed where it was.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use lyceum_domain::ids::{CourseId, UserId};
use rustc_hash::FxHashMap;

use super::entry::Entry;

/// In which order courses are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Last published first.
    Newest,
    /// Most bought first.
    Popular,
    /// Cheapest first.
    Price,
    /// Dearest first.
    PriceDescending,
    /// By title.
    Title,
}

impl Sort {
    const ALL: [Sort; 5] = [
        Sort::Newest,
        Sort::Popular,
        Sort::Price,
        Sort::PriceDescending,
        Sort::Title,
    ];

    /// The order with this name in the API: `newest`, `popular`, `price`, `-price` or `title`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "newest" => Sort::Newest,
            "popular" => Sort::Popular,
            "price" | "price_asc" => Sort::Price,
            "-price" | "price_desc" => Sort::PriceDescending,
            "title" => Sort::Title,
            _ => return None,
        })
    }
}

/// Which courses are listed: all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The category's slug.
    pub category: Option<String>,
    /// A topic, in any case.
    pub tag: Option<String>,
    /// The name of the level.
    pub level: Option<String>,
    /// The language tag.
    pub language: Option<String>,
    /// Whether it costs nothing.
    pub free: Option<bool>,
    /// Whose courses.
    pub creator: Option<UserId>,
}

impl Filter {
    pub(super) fn accepts(&self, entry: &Entry) -> bool {
        let same =
            |wish: &Option<String>, value: Option<&str>| wish.as_deref().is_none_or(|it| Some(it) == value);
        let tagged = |tag: &String| {
            entry
                .tags
                .iter()
                .any(|it| it == tag || it.to_lowercase() == tag.to_lowercase())
        };
        same(&self.category, entry.category.as_deref())
            && same(&self.level, Some(&entry.level))
            && same(&self.language, Some(&entry.language))
            && self.free.is_none_or(|free| free == entry.price.is_zero())
            && self.creator.is_none_or(|creator| creator == entry.creator)
            && self.tag.as_ref().is_none_or(tagged)
    }
}

/// Where a course stands in an order; smaller comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A number.
    Number(i64),
    /// A text.
    Text(Arc<str>),
}

/// A rank, and the id that makes it unique.
pub(super) type Position = (Rank, CourseId);

/// The end of a page, opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) Position);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor((rank, id)) = self;
        match rank {
            Rank::Number(number) => write!(f, "n{number:016x}")?,
            Rank::Text(text) => {
                f.write_str("t")?;
                text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
        }
        write!(f, "-{:032x}", id.as_u128())
    }
}

/// A text that no page ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (rank, id) = text.split_once('-').ok_or(CursorError)?;
        let id = u128::from_str_radix(id, 16).map_err(|_| CursorError)?;
        let rank = if let Some(number) = rank.strip_prefix('n') {
            let bits = u64::from_str_radix(number, 16).map_err(|_| CursorError)?;
            Rank::Number(bits.cast_signed())
        } else {
            let digits = rank
                .strip_prefix('t')
                .filter(|it| it.is_ascii())
                .ok_or(CursorError)?;
            let byte = |pair: &[u8]| {
                std::str::from_utf8(pair)
                    .ok()
                    .and_then(|it| u8::from_str_radix(it, 16).ok())
            };
            let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
            let text = bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or(CursorError)?;
            Rank::Text(text.into())
        };
        Ok(Cursor((rank, CourseId::from_u128(id))))
    }
}

type Posting = BTreeMap<CourseId, Arc<Entry>>;

/// The listed courses in every order, and by what narrows them most.
#[derive(Debug, Default)]
pub(super) struct Listing {
    orders: [BTreeMap<Position, Arc<Entry>>; Sort::ALL.len()],
    categories: BTreeMap<Arc<str>, Posting>,
    tags: FxHashMap<String, Posting>,
    creators: FxHashMap<UserId, Posting>,
}

impl Listing {
    /// Replaces a course; what is not listed is left out.
    pub(super) fn replace(&mut self, before: Option<&Entry>, after: &Arc<Entry>) {
        if let Some(before) = before.filter(|before| before.is_listed()) {
            self.remove(before);
        }
        if after.is_listed() {
            self.insert(after);
        }
    }

    fn insert(&mut self, entry: &Arc<Entry>) {
        for sort in Sort::ALL {
            self.orders[sort as usize].insert((entry.rank(sort), entry.id), entry.clone());
        }
        let post = |posting: &mut Posting| posting.insert(entry.id, entry.clone());
        if let Some(category) = &entry.category {
            post(self.categories.entry(category.clone()).or_default());
        }
        for tag in &entry.tags {
            post(self.tags.entry(tag.to_lowercase()).or_default());
        }
        post(self.creators.entry(entry.creator).or_default());
    }

    fn remove(&mut self, entry: &Entry) {
        for sort in Sort::ALL {
            self.orders[sort as usize].remove(&(entry.rank(sort), entry.id));
        }
        // Empty postings go: what no course carries any more is no category.
        if let Some(category) = &entry.category
            && let Some(posting) = self.categories.get_mut(category)
        {
            posting.remove(&entry.id);
            if posting.is_empty() {
                self.categories.remove(category);
            }
        }
        for tag in entry.tags.iter().map(|tag| tag.to_lowercase()) {
            if let Some(posting) = self.tags.get_mut(&tag) {
                posting.remove(&entry.id);
                if posting.is_empty() {
                    self.tags.remove(&tag);
                }
            }
        }
        if let Some(posting) = self.creators.get_mut(&entry.creator) {
            posting.remove(&entry.id);
            if posting.is_empty() {
                self.creators.remove(&entry.creator);
            }
        }
    }

    /// The first `count` courses after a position.
    pub(super) fn select(
        &self,
        filter: &Filter,
        sort: Sort,
        after: Option<&Position>,
        count: usize,
    ) -> Vec<Arc<Entry>> {
        let order = &self.orders[sort as usize];
        match self.narrowest(filter) {
            // Nothing carries what is asked for.
            Some(None) => vec![],
            // Few candidates: sorting them is less work than walking the whole order.
            Some(Some(posting)) if posting.len() < order.len() / 8 + count => {
                let accepted = posting.values().filter(|entry| filter.accepts(entry));
                let found = accepted
                    .map(|entry| ((entry.rank(sort), entry.id), entry))
                    .collect();
                first(found, after, count)
                    .into_iter()
                    .map(|(_, entry)| entry.clone())
                    .collect()
            }
            Some(Some(_)) | None => {
                let start = after.map_or(Bound::Unbounded, Bound::Excluded);
                let rest = order.range::<Position, _>((start, Bound::Unbounded));
                rest.map(|(_, entry)| entry)
                    .filter(|entry| filter.accepts(entry))
                    .take(count)
                    .cloned()
                    .collect()
            }
        }
    }

    /// The shortest posting that holds every course the filter accepts; `None` if the filter has no such condition.
    fn narrowest(&self, filter: &Filter) -> Option<Option<&Posting>> {
        let category = filter
            .category
            .as_ref()
            .map(|it| self.categories.get(it.as_str()));
        let tag = filter.tag.as_ref().map(|it| self.tags.get(&it.to_lowercase()));
        let creator = filter.creator.map(|it| self.creators.get(&it));
        [category, tag, creator]
            .into_iter()
            .flatten()
            .min_by_key(|posting| posting.map_or(0, BTreeMap::len))
    }

    /// The categories that have listed courses, and how many.
    pub(super) fn categories(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.categories
            .iter()
            .map(|(category, posting)| (category, posting.len()))
    }

    /// How many courses are listed.
    pub(super) fn len(&self) -> usize {
        self.orders[Sort::Newest as usize].len()
    }
}

/// The `count` smallest positions after `after`, in order.
pub(super) fn first<E>(
    mut found: Vec<(Position, E)>,
    after: Option<&Position>,
    count: usize,
) -> Vec<(Position, E)> {
    found.retain(|(position, _)| after.is_none_or(|after| position > after));
    if found.len() > count {
        found.select_nth_unstable_by(count, |a, b| a.0.cmp(&b.0));
        found.truncate(count);
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{course, entry};
    use super::*;

    fn listing(entries: &[Arc<Entry>]) -> Listing {
        let mut listing = Listing::default();
        entries.iter().for_each(|entry| listing.replace(None, entry));
        listing
    }

    fn walk(listing: &Listing, filter: &Filter, sort: Sort, count: usize) -> Vec<u128> {
        let mut seen = vec![];
        let mut after: Option<Position> = None;
        loop {
            let page = listing.select(filter, sort, after.as_ref(), count);
            let Some(last) = page.last() else { return seen };
            let cursor = Cursor((last.rank(sort), last.id)).to_string();
            after = Some(cursor.parse::<Cursor>().expect("what we wrote").0);
            seen.extend(page.iter().map(|entry| entry.id.as_u128()));
        }
    }

    #[test]
    fn pages_show_every_course_once_in_every_order() {
        let entries: Vec<_> = (0..57).map(|n| entry(course(n))).collect();
        let listing = listing(&entries);
        for sort in Sort::ALL {
            let mut expected: Vec<_> = entries
                .iter()
                .map(|entry| (entry.rank(sort), entry.id.as_u128()))
                .collect();
            expected.sort();

            let seen = walk(&listing, &Filter::default(), sort, 10);

            assert_eq!(
                seen,
                expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>(),
                "{sort:?}"
            );
        }
    }

    #[test]
    fn filters_agree_with_looking_at_every_course() {
        let entries: Vec<_> = (0..200).map(|n| entry(course(n))).collect();
        let listing = listing(&entries);
        let filters = [
            Filter {
                category: Some("c1".into()),
                ..Filter::default()
            },
            Filter {
                tag: Some("TAG 3".into()),
                free: Some(true),
                ..Filter::default()
            },
            Filter {
                language: Some("en".into()),
                level: Some("beginner".into()),
                ..Filter::default()
            },
            Filter {
                creator: Some(UserId::from_u128(2)),
                free: Some(false),
                ..Filter::default()
            },
            Filter {
                category: Some("none".into()),
                ..Filter::default()
            },
        ];
        for filter in filters {
            let mut expected: Vec<_> = entries.iter().filter(|entry| filter.accepts(entry)).collect();
            expected.sort_by_key(|entry| (entry.rank(Sort::Price), entry.id));

            let seen = walk(&listing, &filter, Sort::Price, 7);

            assert_eq!(
                seen,
                expected
                    .iter()
                    .map(|entry| entry.id.as_u128())
                    .collect::<Vec<_>>(),
                "{filter:?}"
            );
        }
    }

    #[test]
    fn what_is_no_longer_published_leaves_every_index() {
        let published = entry(course(1));
        let unlisted = entry(super::super::LiveCourse {
            state: "unlisted".into(),
            ..course(1)
        });
        let mut listing = listing(std::slice::from_ref(&published));

        listing.replace(Some(&published), &unlisted);

        assert_eq!((listing.len(), listing.categories().count()), (0, 0));
        assert!(listing.tags.is_empty() && listing.creators.is_empty());
    }

    #[test]
    fn texts_that_are_no_cursors_are_refused() {
        for text in [
            "",
            "n",
            "n1",
            "x1-1",
            "tzz-1",
            "t1é-1",
            "n-1-",
            "nffffffffffffffffff-1",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
        let negative = Cursor((Rank::Number(-5), CourseId::from_u128(7)));
        assert_eq!(negative.to_string().parse(), Ok(negative));
    }
}
