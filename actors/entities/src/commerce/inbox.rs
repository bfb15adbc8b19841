//! The inbox: what providers have told us, once for each event, however often it is told.
//!
//! ```text
//! arrival ─ one INSERT for all who wait ─▶ reported to its payment ─▶ mark ─ one UPDATE for all of some milliseconds ─▶ acknowledged
//! ```
//!
//! An arrival does not wait for the disk. It is visible at once, and whatever comes of it commits later and waits: the payment's decision
//! or, where there is none, the mark. A log that holds the later one holds the earlier one, so nothing is acknowledged and
//! nothing is paid for of which the inbox could lose the proof.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lyceum_domain::commerce::Provider;
use lyceum_runtime::{BatchLimits, Batcher, Database, StoreError};

use super::callback::Callback;

/// The `set_config` is local to the statement's transaction. Rows come sorted, so that two nodes lock them in the same order.
const ARRIVED: &str = "INSERT INTO provider_events AS e (provider, event_id, kind, reference, body, deliveries) \
    SELECT a.provider, a.event_id, a.kind, a.reference, a.body::json, a.deliveries \
    FROM set_config('synchronous_commit', 'off', true), \
        unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]) \
            AS a (provider, event_id, kind, reference, body, deliveries) \
    ON CONFLICT (provider, event_id) DO UPDATE SET deliveries = e.deliveries + excluded.deliveries \
    RETURNING provider, event_id, processed_at IS NOT NULL";
/// A repeated event was marked before and is not written again.
const PROCESSED: &str = "WITH done AS (SELECT e.provider, e.event_id FROM provider_events AS e \
        JOIN unnest($1::text[], $2::text[]) AS d (provider, event_id) USING (provider, event_id) \
        WHERE e.processed_at IS NULL ORDER BY e.provider, e.event_id FOR UPDATE OF e) \
    UPDATE provider_events AS e SET processed_at = now() FROM done \
    WHERE e.provider = done.provider AND e.event_id = done.event_id";

/// Which event of which provider.
type EventKey = (&'static str, String);

/// An event that came in.
#[derive(Clone, Debug)]
struct Arrival {
    key: EventKey,
    kind: String,
    reference: String,
    body: String,
}

/// Limits of the inbox; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct InboxSettings {
    /// How arrivals are written.
    pub arrivals: BatchLimits,
    /// How they are marked.
    pub marks: BatchLimits,
}

/// Writes callbacks down. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    arrivals: Batcher<Arrival, bool>,
    marks: Batcher<EventKey, ()>,
}

impl Inbox {
    /// Starts the two writers of this node.
    pub(crate) fn start(database: &Database, settings: InboxSettings) -> Self {
        let (writes, updates) = (database.clone(), database.clone());
        Inbox {
            arrivals: Batcher::start(
                "callback arrivals",
                settings.arrivals,
                move |arrivals: Arc<[Arrival]>| {
                    let database = writes.clone();
                    Box::pin(async move { arrive(&database, &arrivals).await })
                },
            ),
            marks: Batcher::start("callback marks", settings.marks, move |keys: Arc<[EventKey]>| {
                let database = updates.clone();
                Box::pin(async move { mark(&database, &keys).await })
            }),
        }
    }

    /// Writes a callback down; `true` if it was processed before.
    ///
    /// # Errors
    /// Too many wait, or the store is away or refuses.
    pub(super) async fn receive(
        &self,
        provider: Provider,
        callback: &Callback,
        body: String,
    ) -> Result<bool, StoreError> {
        let arrival = Arrival {
            key: (provider.name(), callback.event_id.clone()),
            kind: callback.kind.clone(),
            reference: callback.reference.clone(),
            body,
        };
        self.arrivals.ask(arrival).await
    }

    /// Marks a callback as processed, for good once this returns.
    ///
    /// # Errors
    /// Too many wait, or the store is away or refuses.
    pub(super) async fn processed(&self, provider: Provider, event_id: &str) -> Result<(), StoreError> {
        self.marks.ask((provider.name(), event_id.to_owned())).await
    }
}

async fn arrive(database: &Database, arrivals: &[Arrival]) -> Result<Vec<bool>, StoreError> {
    // One statement cannot touch a row twice: of the same event the first is written, and how many there were.
    let mut events: BTreeMap<&EventKey, (&Arrival, i64)> = BTreeMap::new();
    for arrival in arrivals {
        events.entry(&arrival.key).or_insert((arrival, 0)).1 += 1;
    }
    let mut columns: [Vec<&str>; 5] = Default::default();
    let mut deliveries: Vec<i64> = Vec::with_capacity(events.len());
    for (arrival, count) in events.values() {
        let Arrival {
            key: (provider, event_id),
            kind,
            reference,
            body,
        } = arrival;
        for (column, value) in columns
            .iter_mut()
            .zip([provider, event_id.as_str(), kind, reference, body])
        {
            column.push(value);
        }
        deliveries.push(*count);
    }
    let [providers, event_ids, kinds, references, bodies] = &columns;
    let rows = database
        .query(
            ARRIVED,
            &[providers, event_ids, kinds, references, bodies, &deliveries],
        )
        .await?;
    let mut processed: HashMap<(&str, &str), bool> = HashMap::with_capacity(rows.len());
    for row in &rows {
        processed.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
    }
    let answer = |arrival: &Arrival| {
        let (provider, event_id) = &arrival.key;
        processed
            .get(&(*provider, event_id.as_str()))
            .copied()
            .ok_or_else(|| StoreError::refused("an arrival without its row"))
    };
    arrivals.iter().map(answer).collect()
}

async fn mark(database: &Database, keys: &[EventKey]) -> Result<Vec<()>, StoreError> {
    let (providers, event_ids): (Vec<&str>, Vec<&str>) = keys
        .iter()
        .map(|(provider, event_id)| (*provider, event_id.as_str()))
        .unzip();
    database.execute(PROCESSED, &[&providers, &event_ids]).await?;
    Ok(vec![(); keys.len()])
}
