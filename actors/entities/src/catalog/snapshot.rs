//! The published courses in memory, complete on every node and read without a lock on the hot path.
//!
//! ```text
//! commit → after_commit signal ─┐
//! journal → stream → projector ─┴→ put(course) → entries · listing · search (coalesced)
//! ```
//!
//! Invariants: a course's entry never goes back to an older revision; a page is served only while nothing listed
//! has changed since it was made; counters are folded into bytes and order a few times a second, not per purchase.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::HeaderValue;
use lyceum_domain::ids::{CourseId, UserId};
use papaya::HashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;

use super::entry::{Counters, Entry};
use super::listing::{Cursor, Filter, Listing, Position, Rank, Sort, first};
use super::pages::{Page, PageCache};
use super::rows::LiveCourse;
use super::search::{Document, SearchIndex};

/// After each folding there is a pause so many times as long.
const FOLD_PAUSE: u32 = 50;

/// Limits of a node's catalog snapshot.
#[derive(Clone, Copy, Debug)]
pub struct CatalogLimits {
    /// Memory for ready-made pages, in bytes.
    pub page_cache_bytes: u64,
    /// Memory the search index may buffer before it writes a segment, in bytes; at least 15 MB.
    pub search_heap_bytes: usize,
    /// How long changes are collected before the search index commits them.
    pub search_delay: Duration,
    /// How soon purchases and ratings are folded into cards and the order by popularity.
    pub fold_delay: Duration,
    /// How often lists that were made for one user follow them; their bytes are dear.
    pub shelf_interval: Duration,
}

impl Default for CatalogLimits {
    fn default() -> Self {
        CatalogLimits {
            page_cache_bytes: 16 << 20,
            search_heap_bytes: 15_000_000,
            search_delay: Duration::from_millis(200),
            fold_delay: Duration::from_millis(250),
            shelf_interval: Duration::from_secs(5),
        }
    }
}

/// What is listed: a search if `text` is given, in the order of relevance unless another is asked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// What to search for.
    pub text: Option<String>,
    /// Which courses.
    pub filter: Filter,
    /// In which order; by default the newest first, or the most relevant.
    pub sort: Option<Sort>,
    /// Where the previous page ended.
    pub after: Option<Cursor>,
    /// How many, from 1 to 100.
    pub limit: usize,
}

/// The published courses of the platform, as this node knows them.
pub struct CatalogSnapshot {
    entries: HashMap<CourseId, Arc<Entry>, FxBuildHasher>,
    /// Creators that were looked up; those who are gone have no name.
    names: HashMap<UserId, Option<Arc<str>>, FxBuildHasher>,
    listing: RwLock<Listing>,
    /// Counts the changes to what lists and searches show.
    generation: AtomicU64,
    /// The same, but for counters, which count at intervals.
    shelf_generation: AtomicU64,
    /// Counts courses that were taken over, whose counters say nothing new of what they are about.
    revision: AtomicU64,
    pages: PageCache,
    search: SearchIndex,
    stale: Mutex<Vec<CourseId>>,
    unnamed: Mutex<BTreeSet<UserId>>,
    unnamed_added: Notify,
    limits: CatalogLimits,
}

impl CatalogSnapshot {
    /// Starts an empty snapshot and the thread of its search index, which ends with it.
    ///
    /// # Errors
    /// The search index or its thread cannot be started.
    pub fn start(limits: CatalogLimits) -> Result<Arc<Self>, std::io::Error> {
        let (search, worker) = SearchIndex::new(limits.search_heap_bytes).map_err(std::io::Error::other)?;
        let snapshot = Arc::new(CatalogSnapshot {
            entries: HashMap::with_hasher(FxBuildHasher),
            names: HashMap::with_hasher(FxBuildHasher),
            listing: RwLock::default(),
            generation: AtomicU64::new(1),
            shelf_generation: AtomicU64::new(1),
            revision: AtomicU64::new(1),
            pages: PageCache::new(limits.page_cache_bytes),
            search,
            stale: Mutex::default(),
            unnamed: Mutex::default(),
            unnamed_added: Notify::new(),
            limits,
        });
        let source = Arc::downgrade(&snapshot);
        let document = move |id| source.upgrade().map(|snapshot| snapshot.document(id));
        let source = Arc::downgrade(&snapshot);
        let committed = move || {
            if let Some(snapshot) = source.upgrade() {
                snapshot.changed();
            }
        };
        let delay = limits.search_delay;
        std::thread::Builder::new()
            .name("catalog-search".to_owned())
            .spawn(move || worker.run(delay, document, committed))?;
        Ok(snapshot)
    }

    /// The course's entry if it was ever published; look at its visibility before showing it.
    pub fn get(&self, id: CourseId) -> Option<Arc<Entry>> {
        self.entries.pin().get(&id).cloned()
    }

    /// The public answer about a course and its entity tag, if everybody may see it.
    pub fn answer(&self, id: CourseId) -> Option<(Bytes, HeaderValue)> {
        let entries = self.entries.pin();
        let entry = entries.get(&id).filter(|entry| entry.is_shown())?;
        Some((entry.body.clone(), entry.etag.clone()))
    }

    /// How many courses are listed.
    pub fn listed(&self) -> usize {
        self.listing.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Visits every course that was ever published.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<Entry>)) {
        self.entries.pin().values().for_each(&mut visit);
    }

    /// A counter that moves with every change to what lists and searches show.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A counter that moves with every change of what is listed, and at intervals with that of counters.
    pub fn shelf_generation(&self) -> u64 {
        self.shelf_generation.load(Ordering::Acquire)
    }

    /// A counter that moves with every course that is taken over.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Takes over a course as it is after a commit; an older revision than the known one is ignored.
    pub fn put(&self, course: LiveCourse) {
        let id = course.id;
        let creator = self.name(course.creator);
        let known = self.get(id);
        if known
            .as_ref()
            .is_some_and(|known| known.revision >= course.revision)
        {
            return;
        }
        let counters = known.map_or_else(|| Arc::new(Counters::default()), |known| known.counters.clone());
        let entry = Arc::new(Entry::new(course, creator.as_deref(), counters));
        let by = entry.creator;
        self.replace(entry, false);
        // Whoever names a creator looks at the courses that are here: not at this one, a moment ago.
        if creator.is_none() && self.names.pin().get(&by).is_some_and(Option::is_some) {
            self.renew(id);
        }
        self.search.mark(id);
    }

    /// Makes an entry the course's current one. An entry of the same revision replaces another only if it `renews` it.
    fn replace(&self, entry: Arc<Entry>, renews: bool) {
        let mut listing = self.listing.write().unwrap_or_else(PoisonError::into_inner);
        let entries = self.entries.pin();
        let before = entries.get(&entry.id);
        let outdated = |before: &Arc<Entry>| {
            before.revision > entry.revision || (before.revision == entry.revision && !renews)
        };
        if before.is_some_and(outdated) {
            return;
        }
        listing.replace(before.map(|before| &**before), &entry);
        entries.insert(entry.id, entry);
        drop(listing);
        self.generation.fetch_add(1, Ordering::AcqRel);
        if !renews {
            self.revision.fetch_add(1, Ordering::AcqRel);
            self.shelf_generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.shelf_generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Makes the entry of a course again from what has changed around it.
    fn renew(&self, id: CourseId) {
        if let Some(entry) = self.get(id) {
            let creator = self.name(entry.creator);
            self.replace(Arc::new(entry.renewed(creator.as_deref())), true);
        }
    }

    // Counters -------------------------------------------------------------------------------------------------------

    /// Counts by how many people more (or, below 0, fewer) have a course; cards and order show it soon.
    pub fn count_students(&self, id: CourseId, change: i64) {
        self.count(id, |counters| {
            let changed = |students: u64| {
                // A query may have counted a refund before.
                let after = students.saturating_add_signed(change);
                (after != students).then_some(after)
            };
            counters
                .students
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed)
                .is_ok()
        });
    }

    /// Sets how many people have bought a course, as counted by a query.
    pub fn set_students(&self, id: CourseId, students: u64) {
        self.count(id, |counters| {
            counters.students.swap(students, Ordering::Relaxed) != students
        });
    }

    /// Sets the ratings of a course, as counted by a query.
    pub fn set_ratings(&self, id: CourseId, sum: u64, count: u64) {
        self.count(id, |counters| {
            let before = counters.rating_sum.swap(sum, Ordering::Relaxed);
            counters.rating_count.swap(count, Ordering::Relaxed) != count || before != sum
        });
    }

    /// Changes counters; `change` says whether they are different now.
    fn count(&self, id: CourseId, change: impl FnOnce(&Counters) -> bool) {
        let entries = self.entries.pin();
        let Some(entry) = entries.get(&id) else { return };
        if change(&entry.counters) && !entry.counters.stale.swap(true, Ordering::AcqRel) {
            lock(&self.stale).push(id);
        }
    }

    /// Brings counters into cards and order; returns how many courses it touched.
    pub fn fold(&self) -> usize {
        let stale = std::mem::take(&mut *lock(&self.stale));
        for id in &stale {
            if let Some(entry) = self.get(*id) {
                // Before the counters are read: a purchase in between marks the course again.
                entry.counters.stale.store(false, Ordering::Release);
            }
            self.renew(*id);
        }
        stale.len()
    }

    /// Folds counters for as long as the node lives: soon when few have changed, and never more than a fiftieth of
    /// the time when many have.
    pub async fn fold_forever(self: Arc<Self>) {
        let mut shelf_at = Instant::now();
        let mut folded = 0;
        loop {
            let began = Instant::now();
            folded += self.fold();
            if folded > 0 && shelf_at <= began {
                self.shelf_generation.fetch_add(1, Ordering::AcqRel);
                (folded, shelf_at) = (0, began + self.limits.shelf_interval);
            }
            tokio::time::sleep(self.limits.fold_delay.max(began.elapsed() * FOLD_PAUSE)).await;
        }
    }

    // Creators' names ------------------------------------------------------------------------------------------------

    fn name(&self, creator: UserId) -> Option<Arc<str>> {
        if let Some(name) = self.names.pin().get(&creator) {
            return name.clone();
        }
        if lock(&self.unnamed).insert(creator) {
            self.unnamed_added.notify_one();
        }
        None
    }

    /// Has the names of those users looked up again who are known as creators.
    pub(super) fn ask_names(&self, users: impl IntoIterator<Item = UserId>) {
        let names = self.names.pin();
        let mut unnamed = lock(&self.unnamed);
        let before = unnamed.len();
        unnamed.extend(users.into_iter().filter(|user| names.contains_key(user)));
        if unnamed.len() > before {
            self.unnamed_added.notify_one();
        }
    }

    /// Waits until there are creators whose names shall be looked up, and takes them.
    pub(super) async fn unnamed(&self) -> Vec<UserId> {
        loop {
            let unnamed = std::mem::take(&mut *lock(&self.unnamed));
            if !unnamed.is_empty() {
                return unnamed.into_iter().collect();
            }
            self.unnamed_added.notified().await;
        }
    }

    /// Puts back what [`unnamed`](Self::unnamed) took, after a lookup failed.
    pub(super) fn put_back(&self, users: Vec<UserId>) {
        lock(&self.unnamed).extend(users);
        self.unnamed_added.notify_one();
    }

    /// Sets the names shown for creators, and makes their courses' cards again where one changed.
    pub(super) fn set_names(&self, names: impl IntoIterator<Item = (UserId, Option<String>)>) {
        let mut renamed = BTreeSet::new();
        for (user, name) in names {
            let name: Option<Arc<str>> = name.map(Into::into);
            let known = self.names.pin();
            let before = known.insert(user, name.clone());
            if before.cloned().flatten() != name {
                renamed.insert(user);
            }
        }
        let mut courses = vec![];
        self.for_each(|entry| {
            if renamed.contains(&entry.creator) {
                courses.push(entry.id);
            }
        });
        for id in courses {
            self.renew(id);
            self.search.mark(id);
            self.shelf_generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    // Lists ----------------------------------------------------------------------------------------------------------

    /// The page that the query string `raw` asks for; `parse` reads it if the page is not at hand.
    ///
    /// # Errors
    /// What `parse` refuses.
    pub fn page<E>(&self, raw: &str, parse: impl FnOnce() -> Result<ListQuery, E>) -> Result<Page, E> {
        // Read before the courses are: a change in between makes the page outdated, never wrongly current.
        let generation = self.generation();
        if let Some(page) = self.pages.get(raw, generation) {
            return Ok(page);
        }
        let query = parse()?;
        let page = self.list(&query);
        self.pages.insert(raw, generation, page.clone());
        Ok(page)
    }

    fn list(&self, query: &ListQuery) -> Page {
        let (limit, after) = (query.limit, query.after.as_ref().map(|Cursor(position)| position));
        // One more than asked for tells whether there is a next page.
        let (mut entries, last) = match &query.text {
            Some(text) => self.find(text, query, after, limit + 1),
            None => {
                let sort = query.sort.unwrap_or(Sort::Newest);
                let listing = self.listing.read().unwrap_or_else(PoisonError::into_inner);
                let entries = listing.select(&query.filter, sort, after, limit + 1);
                let last = entries
                    .get(limit.wrapping_sub(1))
                    .map(|entry| (entry.rank(sort), entry.id));
                (entries, last)
            }
        };
        let next = if entries.len() > limit { last } else { None };
        entries.truncate(limit);
        Page::of(&entries, next.map(Cursor))
    }

    /// Searches; also returns the position of the last entry before the extra one.
    fn find(
        &self,
        text: &str,
        query: &ListQuery,
        after: Option<&Position>,
        count: usize,
    ) -> (Vec<Arc<Entry>>, Option<Position>) {
        let entries = self.entries.pin();
        let accepted = |id: CourseId| {
            entries
                .get(&id)
                .filter(|entry| entry.is_listed() && query.filter.accepts(entry))
        };
        let position = |score: f32, entry: &Entry| match query.sort {
            Some(sort) => (entry.rank(sort), entry.id),
            // Positive floats order like their bits; negated, the best comes first.
            None => (
                Rank::Number(-i64::from(popular(score, entry.students).to_bits())),
                entry.id,
            ),
        };
        let hits = self.search.find(text, accepted);
        let found = hits
            .into_iter()
            .map(|(score, entry)| (position(score, entry), entry))
            .collect();
        let found = first(found, after, count);
        let last = count
            .checked_sub(2)
            .and_then(|index| found.get(index))
            .map(|(position, _)| position.clone());
        (found.into_iter().map(|(_, entry)| entry.clone()).collect(), last)
    }

    /// The categories with listed courses: `{"data": [{"slug", "courses"}]}`.
    pub fn categories(&self) -> Page {
        let generation = self.generation();
        // No query string contains a space.
        let key = " categories";
        if let Some(page) = self.pages.get(key, generation) {
            return page;
        }
        let listing = self.listing.read().unwrap_or_else(PoisonError::into_inner);
        let page = Page::of_categories(listing.categories());
        drop(listing);
        self.pages.insert(key, generation, page.clone());
        page
    }

    /// What the search index knows of a course; `None` if it shall not be found.
    fn document(&self, id: CourseId) -> Option<Document> {
        let entry = self.get(id).filter(|entry| entry.is_listed())?;
        Some(Document {
            title: format!("{} {}", entry.title, entry.subtitle().unwrap_or_default()),
            tags: entry.tags.join(" / "),
            category: entry.category.as_deref().unwrap_or_default().replace('-', " "),
            creator: self.name(entry.creator).as_deref().unwrap_or_default().to_owned(),
            description: entry.description(),
        })
    }
}

/// Relevance first; among the similarly relevant what many have bought.
fn popular(score: f32, students: u64) -> f32 {
    let students = u32::try_from(students).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a 32-bit number is small"
    )]
    let boost = f64::from(students).ln_1p() as f32;
    score * (1.0 + 0.08 * boost)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
