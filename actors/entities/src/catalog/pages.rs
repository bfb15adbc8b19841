//! Ready-made pages: spliced from cards, kept by query string until something listed changes.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::entry::Entry;
use super::listing::Cursor;

/// Longer query strings are answered and not kept.
const KEY_BYTES_MAX: usize = 512;
/// What an entry costs beside its bytes.
const OVERHEAD_BYTES: u64 = 256;

/// The body of an answer and its entity tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The JSON.
    pub body: Bytes,
    /// Its entity tag.
    pub etag: HeaderValue,
}

impl Page {
    pub(super) fn of(entries: &[Arc<Entry>], next: Option<Cursor>) -> Self {
        let bytes: usize = entries.iter().map(|entry| entry.card_bytes() + 1).sum();
        let mut body = Vec::with_capacity(bytes + 160);
        body.extend_from_slice(br#"{"data":["#);
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            entry.push_card(&mut body);
        }
        body.extend_from_slice(br#"],"next":"#);
        match next {
            Some(cursor) => body.extend_from_slice(format!("\"{cursor}\"}}").as_bytes()),
            None => body.extend_from_slice(b"null}"),
        }
        Page::tagged(body)
    }

    pub(super) fn of_categories<'a>(categories: impl Iterator<Item = (&'a Arc<str>, usize)>) -> Self {
        // A slug has no character that JSON would escape.
        let items: Vec<_> = categories
            .map(|(slug, courses)| format!(r#"{{"slug":"{slug}","courses":{courses}}}"#))
            .collect();
        Page::tagged(format!(r#"{{"data":[{}]}}"#, items.join(",")).into_bytes())
    }

    fn tagged(body: Vec<u8>) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let etag = HeaderValue::try_from(etag).expect("hexadecimal digits and quotes are a header value");
        Page {
            body: body.into(),
            etag,
        }
    }
}

/// Pages by query string, bounded by bytes.
pub(super) struct PageCache(Cache<Box<str>, (u64, Page), ByBytes>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, (u64, Page)> for ByBytes {
    fn weight(&self, key: &Box<str>, (_, page): &(u64, Page)) -> u64 {
        OVERHEAD_BYTES + u64::try_from(key.len() + page.body.len()).unwrap_or(u64::MAX / 2)
    }
}

impl PageCache {
    pub(super) fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / 8192).unwrap_or(1024);
        PageCache(Cache::with_weighter(items, bytes_max, ByBytes))
    }

    /// The page if nothing listed has changed since it was made.
    pub(super) fn get(&self, key: &str, generation: u64) -> Option<Page> {
        self.0
            .get(key)
            .filter(|(made_at, _)| *made_at == generation)
            .map(|(_, page)| page)
    }

    pub(super) fn insert(&self, key: &str, generation: u64, page: Page) {
        if key.len() <= KEY_BYTES_MAX {
            self.0.insert(key.into(), (generation, page));
        }
    }
}
