//! Full-text search over the listed courses: an index in memory, written by one thread, read by all.
//!
//! ```text
//! mark(id) → dirty ids (a set: a thousand changes of one course are one) → after a short delay one commit
//! ```
//!
//! The thread asks for the document of each dirty course when it gets to it, so it always indexes the newest state
//! and its queue is bounded by the number of courses. What is found is looked up in the snapshot, which filters.

mod tokenizer;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lyceum_domain::ids::CourseId;
use rustc_hash::FxHashSet;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::indexer::IndexWriterOptions;
use tantivy::query::{BooleanQuery, BoostQuery, DisjunctionMaxQuery, FuzzyTermQuery, Query, TermQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{AsciiFoldingFilter, Language, LowerCaser, Stemmer, TextAnalyzer};
use tantivy::{
    DocId, Index, IndexReader, IndexWriter, ReloadPolicy, Score, SegmentOrdinal, SegmentReader,
    TantivyDocument, TantivyError, Term,
};

use self::tokenizer::{CourseTokenizer, Singles};

/// More words than that narrow nothing and cost a lot.
const QUERY_WORDS_MAX: usize = 12;
/// Shorter words have too many neighbours one letter away.
const FUZZY_LETTERS_MIN: usize = 5;
const ANALYZER: &str = "course";

/// What is searchable of a course.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    pub(super) title: String,
    pub(super) tags: String,
    pub(super) category: String,
    pub(super) creator: String,
    pub(super) description: String,
}

/// The searched fields and how much a hit in each counts.
#[derive(Clone, Copy, Debug)]
struct Fields {
    id: Field,
    id_high: Field,
    id_low: Field,
    texts: [(Field, Score); 5],
}

/// Finds courses by words.
pub(super) struct SearchIndex {
    reader: IndexReader,
    fields: Fields,
    queries: TextAnalyzer,
    dirty: Arc<Dirty>,
}

/// Writes the index; lives on a thread of its own.
pub(super) struct SearchWorker {
    writer: IndexWriter,
    reader: IndexReader,
    fields: Fields,
    dirty: Arc<Dirty>,
}

/// The courses whose documents are out of date.
#[derive(Default)]
struct Dirty {
    state: Mutex<DirtyState>,
    changed: Condvar,
}

#[derive(Default)]
struct DirtyState {
    ids: FxHashSet<CourseId>,
    stopped: bool,
}

impl Dirty {
    fn lock(&self) -> MutexGuard<'_, DirtyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SearchIndex {
    /// Makes an empty index and its writer.
    pub(super) fn new(heap_bytes: usize) -> Result<(Self, SearchWorker), TantivyError> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqs);
        let text = TextOptions::default().set_indexing_options(indexing);
        let mut field = |name: &str, weight| (schema.add_text_field(name, text.clone()), weight);
        let texts = [
            field("title", 4.0),
            field("tags", 2.5),
            field("category", 1.5),
            field("creator", 1.5),
            field("description", 0.8),
        ];
        let fields = Fields {
            id: schema.add_bytes_field("id", INDEXED),
            id_high: schema.add_u64_field("id_high", FAST),
            id_low: schema.add_u64_field("id_low", FAST),
            texts,
        };
        let index = Index::create_in_ram(schema.build());
        index.tokenizers().register(ANALYZER, analyzer(Singles::Always));
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(heap_bytes)
            .build();
        let writer = index.writer_with_options(options)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        let dirty = Arc::new(Dirty::default());
        let worker = SearchWorker {
            writer,
            reader: reader.clone(),
            fields,
            dirty: dirty.clone(),
        };
        Ok((
            SearchIndex {
                reader,
                fields,
                queries: analyzer(Singles::Alone),
                dirty,
            },
            worker,
        ))
    }

    /// Remembers that a course's document is out of date.
    pub(super) fn mark(&self, id: CourseId) {
        if self.dirty.lock().ids.insert(id) {
            self.dirty.changed.notify_one();
        }
    }

    /// What matches `text` and is `accepted`, with its relevance, in no particular order.
    ///
    /// Every word must match; if nothing does, words may have a typing mistake; if still nothing does, most words
    /// are enough.
    pub(super) fn find<T>(&self, text: &str, accepted: impl Fn(CourseId) -> Option<T>) -> Vec<(Score, T)> {
        let words = self.words(text);
        if words.is_empty() {
            return vec![];
        }
        let exact = || {
            words
                .iter()
                .map(|word| self.word(word, false))
                .collect::<Vec<_>>()
        };
        let run = |query: BooleanQuery| -> Vec<(Score, T)> {
            let hits = self
                .reader
                .searcher()
                .search(&query, &Ids { fields: self.fields });
            match hits {
                Ok(hits) => hits
                    .into_iter()
                    .filter_map(|(score, id)| Some((score, accepted(id)?)))
                    .collect(),
                Err(error) => {
                    tracing::error!(error = %error, "catalog search failed");
                    vec![]
                }
            }
        };

        let hits = run(BooleanQuery::intersection(exact()));
        if !hits.is_empty() {
            return hits;
        }
        if words.iter().any(|word| is_forgiving(word)) {
            let forgiving = words
                .iter()
                .map(|word| self.word(word, is_forgiving(word)))
                .collect();
            let hits = run(BooleanQuery::intersection(forgiving));
            if !hits.is_empty() {
                return hits;
            }
        }
        if words.len() == 1 {
            return vec![];
        }
        let most = (words.len() * 3).div_ceil(5);
        run(BooleanQuery::union_with_minimum_required_clauses(exact(), most))
    }

    fn words(&self, text: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut analyzer = self.queries.clone();
        let mut stream = analyzer.token_stream(text);
        while let Some(token) = stream.next() {
            if words.len() < QUERY_WORDS_MAX && !words.contains(&token.text) {
                words.push(token.text.clone());
            }
        }
        words
    }

    /// One word in any field; the best field counts, the others a little.
    fn word(&self, word: &str, forgiving: bool) -> Box<dyn Query> {
        let mut fields: Vec<Box<dyn Query>> = Vec::with_capacity(self.fields.texts.len() * 2);
        for (field, weight) in self.fields.texts {
            let term = Term::from_field_text(field, word);
            if forgiving {
                let fuzzy = FuzzyTermQuery::new(term.clone(), 1, true);
                fields.push(Box::new(BoostQuery::new(Box::new(fuzzy), weight)));
            }
            let exact = TermQuery::new(term, IndexRecordOption::WithFreqs);
            fields.push(Box::new(BoostQuery::new(Box::new(exact), weight)));
        }
        Box::new(DisjunctionMaxQuery::with_tie_breaker(fields, 0.3))
    }
}

impl Drop for SearchIndex {
    fn drop(&mut self) {
        self.dirty.lock().stopped = true;
        self.dirty.changed.notify_one();
    }
}

fn is_forgiving(word: &str) -> bool {
    word.len() >= FUZZY_LETTERS_MIN && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn analyzer(singles: Singles) -> TextAnalyzer {
    TextAnalyzer::builder(CourseTokenizer(singles))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

impl SearchWorker {
    /// Indexes dirty courses until the index is dropped.
    ///
    /// `document` returns `None` when there is nobody left to ask; `committed` is called after each commit.
    pub(super) fn run(
        mut self,
        delay: Duration,
        document: impl Fn(CourseId) -> Option<Option<Document>>,
        committed: impl Fn(),
    ) {
        while let Some(ids) = self.take(delay) {
            match self.index(&ids, &document) {
                Ok(true) => committed(),
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(error = %error, "catalog search index cannot be written");
                    // Tried again with whatever changes next.
                    self.dirty.lock().ids.extend(ids);
                }
            }
        }
    }

    /// Waits for dirty courses, and a little longer for more of them.
    fn take(&self, delay: Duration) -> Option<Vec<CourseId>> {
        let wait = |state| {
            self.dirty
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut state = self.dirty.lock();
        while state.ids.is_empty() && !state.stopped {
            state = wait(state);
        }
        let running = |state: &mut DirtyState| !state.stopped;
        let (mut state, _) = self
            .dirty
            .changed
            .wait_timeout_while(state, delay, running)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stopped).then(|| state.ids.drain().collect())
    }

    fn index(
        &mut self,
        ids: &[CourseId],
        document: impl Fn(CourseId) -> Option<Option<Document>>,
    ) -> Result<bool, TantivyError> {
        for id in ids {
            let Some(document) = document(*id) else {
                return Ok(false);
            };
            let bits = id.as_u128();
            self.writer
                .delete_term(Term::from_field_bytes(self.fields.id, &bits.to_be_bytes()));
            let Some(document) = document else { continue };
            let mut fields = TantivyDocument::default();
            let [high, low] =
                [bits >> 64, bits & u128::from(u64::MAX)].map(|it| u64::try_from(it).unwrap_or(0));
            fields.add_bytes(self.fields.id, &bits.to_be_bytes());
            fields.add_u64(self.fields.id_high, high);
            fields.add_u64(self.fields.id_low, low);
            let texts = [
                &document.title,
                &document.tags,
                &document.category,
                &document.creator,
                &document.description,
            ];
            for ((field, _), text) in self.fields.texts.into_iter().zip(texts) {
                fields.add_text(field, text);
            }
            self.writer.add_document(fields)?;
        }
        self.writer.commit()?;
        self.reader.reload()?;
        Ok(true)
    }
}

/// Collects the ids of everything that matches, with their relevance.
struct Ids {
    fields: Fields,
}

struct SegmentIds {
    high: Column<u64>,
    low: Column<u64>,
    hits: Vec<(Score, CourseId)>,
}

impl Collector for Ids {
    type Fruit = Vec<(Score, CourseId)>;
    type Child = SegmentIds;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<SegmentIds> {
        let column = |field| segment.fast_fields().u64(segment.schema().get_field_name(field));
        Ok(SegmentIds {
            high: column(self.fields.id_high)?,
            low: column(self.fields.id_low)?,
            hits: vec![],
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, segments: Vec<Vec<(Score, CourseId)>>) -> tantivy::Result<Self::Fruit> {
        Ok(segments.into_iter().flatten().collect())
    }
}

impl SegmentCollector for SegmentIds {
    type Fruit = Vec<(Score, CourseId)>;

    fn collect(&mut self, document: DocId, score: Score) {
        if let (Some(high), Some(low)) = (self.high.first(document), self.low.first(document)) {
            self.hits.push((
                score,
                CourseId::from_u128(u128::from(high) << 64 | u128::from(low)),
            ));
        }
    }

    fn harvest(self) -> Self::Fruit {
        self.hits
    }
}

#[cfg(test)]
mod tests;
