//! Callbacks that came in and were never worked through: read again from the inbox, without their providers.
//!
//! ```text
//! provider_events ─ those that are old and unprocessed, each looked at once ─▶ callback_rereads ─ due ─▶ its payment ─▶ gone
//!                                                                                    └─ tried too often ─▶ given up, and kept
//! ```
//!
//! A provider delivers a callback again until it is acknowledged, which is after it was processed, and gives up after some tries: where
//! the process died, or the payment was away, for longer than that, nobody else would ever report what the inbox holds. Polling finds
//! the charges that still wait for an outcome; a capture after its payment was closed is told by the callback alone.
//!
//! Every node looks; whoever locks the mark of `callback_sweep` moves it on, and whoever claims a row works it through. A claim counts as
//! a try and puts the next one off, so a node that dies in between loses nothing and holds up nobody. The mark moves by the time of
//! arrival, since an index of what is unprocessed would cost every callback a second version on another page.

use std::time::Duration;

use lyceum_domain::commerce::Error;
use lyceum_runtime::{Database, StoreError, supervise};

use super::providers::Receivers;
use super::receiver::ReceiveError;
use crate::meters::WEBHOOK_REREADS_TOTAL;

/// Moves the mark to what is old enough, by one stretch at most, and notes what was not processed on the way.
const SWEEP: &str = "WITH mark AS (SELECT reached, least(now() - make_interval(secs => $1::float8), \
            reached + make_interval(secs => $2::float8)) AS until FROM callback_sweep FOR UPDATE SKIP LOCKED), \
        found AS (INSERT INTO callback_rereads (provider, event_id, due_at) \
            SELECT e.provider, e.event_id, now() FROM provider_events AS e, mark \
            WHERE e.received_at >= mark.reached AND e.received_at < mark.until AND e.processed_at IS NULL \
            ON CONFLICT DO NOTHING) \
    UPDATE callback_sweep AS s SET reached = mark.until FROM mark WHERE mark.until > mark.reached \
    RETURNING s.reached < now() - make_interval(secs => $1::float8 + 1)";
/// Takes what is due, as one try, and puts the next one off: each twice as long as the one before.
const CLAIM: &str = "WITH due AS (SELECT provider, event_id FROM callback_rereads WHERE given_up_at IS NULL AND due_at <= now() \
            ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED), \
        claimed AS (UPDATE callback_rereads AS r SET tries = r.tries + 1, \
            due_at = now() + make_interval(secs => $2::float8 * 2 ^ least(r.tries, 20)) \
            FROM due WHERE r.provider = due.provider AND r.event_id = due.event_id RETURNING r.provider, r.event_id, r.tries) \
    SELECT c.provider, c.event_id, c.tries, e.body::text, e.processed_at IS NOT NULL FROM claimed AS c \
    JOIN provider_events AS e USING (provider, event_id) ORDER BY e.received_at";
const DONE: &str = "DELETE FROM callback_rereads WHERE provider = $1 AND event_id = $2";
const GIVEN_UP: &str =
    "UPDATE callback_rereads SET given_up_at = now() WHERE provider = $1 AND event_id = $2";

/// How callbacks are read again; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct RereadSettings {
    /// How often is looked.
    pub every: Duration,
    /// How long a callback may be under way before it counts as left behind.
    pub after: Duration,
    /// How many are worked through at a time.
    pub batch_max: usize,
    /// How often one is tried.
    pub tries_max: u32,
    /// How long the second try waits; each further one twice as long.
    pub pause: Duration,
    /// How much of the time of arrival one look goes through.
    pub stretch: Duration,
}

/// A callback that is due.
struct Claimed {
    provider: String,
    event_id: String,
    tries: i64,
    body: String,
    processed: bool,
}

/// Reads callbacks again for as long as the node lives.
pub(crate) fn keep(database: Database, receivers: Receivers, settings: RereadSettings) {
    supervise("callback rereads", move || {
        follow(database.clone(), receivers.clone(), settings)
    });
}

async fn follow(database: Database, receivers: Receivers, settings: RereadSettings) {
    let mut ticks = tokio::time::interval(settings.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = look(&database, &receivers, settings).await {
            tracing::warn!(%error, "callbacks that were left behind could not be read again");
        }
    }
}

/// Notes what was left behind and works through what is due, until there is no more.
async fn look(
    database: &Database,
    receivers: &Receivers,
    settings: RereadSettings,
) -> Result<(), StoreError> {
    while sweep(database, settings).await? {}
    loop {
        let claimed = claim(database, settings).await?;
        let full = claimed.len() >= settings.batch_max;
        for one in claimed {
            work_through(database, receivers, settings, one).await?;
        }
        if !full {
            return Ok(());
        }
    }
}

/// Whether there is more to go through.
async fn sweep(database: &Database, settings: RereadSettings) -> Result<bool, StoreError> {
    let (after, stretch) = (settings.after.as_secs_f64(), settings.stretch.as_secs_f64());
    match database.query_opt(SWEEP, &[&after, &stretch]).await? {
        Some(row) => Ok(row.try_get(0)?),
        // Another node does it.
        None => Ok(false),
    }
}

async fn claim(database: &Database, settings: RereadSettings) -> Result<Vec<Claimed>, StoreError> {
    let limit = i64::try_from(settings.batch_max).unwrap_or(i64::MAX);
    let pause = settings.pause.as_secs_f64();
    let rows = database.query(CLAIM, &[&limit, &pause]).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        claimed.push(Claimed {
            provider: row.try_get(0)?,
            event_id: row.try_get(1)?,
            tries: row.try_get(2)?,
            body: row.try_get(3)?,
            processed: row.try_get(4)?,
        });
    }
    Ok(claimed)
}

async fn work_through(
    database: &Database,
    receivers: &Receivers,
    settings: RereadSettings,
    claimed: Claimed,
) -> Result<(), StoreError> {
    let Claimed {
        provider: name,
        event_id,
        tries,
        body,
        processed,
    } = claimed;
    if processed {
        // Its provider, or whoever was slow with it, has been faster.
        database.execute(DONE, &[&name, &event_id]).await?;
        return Ok(());
    }
    // A provider that is offered no more is waited for as one whose payments are away.
    let known = receivers.named(&name);
    let read = match known {
        Some((_, receiver)) => receiver.reread(&event_id, &body).await,
        None => Err(ReceiveError::Refused(Error::PaymentMethodUnknown)),
    };
    // What was paid does not change by being read again: people have to look.
    let last = tries >= i64::from(settings.tries_max)
        || matches!(&read, Err(ReceiveError::Refused(Error::AmountMismatch)));
    let result = match read {
        Ok(()) => {
            database.execute(DONE, &[&name, &event_id]).await?;
            "processed"
        }
        Err(error) if last => {
            tracing::error!(
                provider = name,
                event.id = event_id,
                ?error,
                "a callback was given up"
            );
            database.execute(GIVEN_UP, &[&name, &event_id]).await?;
            "given_up"
        }
        Err(ReceiveError::Refused(_)) => "refused",
        Err(ReceiveError::Unavailable) => "failed",
    };
    if let Some((provider, _)) = known {
        WEBHOOK_REREADS_TOTAL.with([provider.name(), result]).increment();
    }
    Ok(())
}
