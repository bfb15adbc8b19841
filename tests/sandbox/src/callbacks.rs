//! Delivers callbacks: signed, in parallel, retried with back-off, remembered until they are acknowledged.
//!
//! How often, how late and how truthfully each is sent is what [`crate::faults`] says.
//!
//! One task owns the schedule. An event that is still refused after its last try stays undelivered in the file and is
//! taken up again at the next start. Only loopback addresses are dialled, and redirects are never followed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use crate::book::{Decided, Event, Fact};
use crate::clock;
use crate::faults::{Counts, Faults, Manner};
use crate::signature::sign;
use crate::store::Store;
use crate::wire::keys::Keys;
use crate::wire::{self, Mischief, Wire};

/// Tries per event and process: with the pauses below the last one is about a minute after the first.
const TRIES_MAX: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts at once: enough for 2,000 callbacks a second that take 30 ms each.
const IN_FLIGHT_MAX: usize = 64;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// How old the signature of a callback is that is too old.
const OLD_S: u64 = 3_600;

/// One sending of an event and how often it was tried.
struct Attempt {
    event: Event,
    manner: Manner,
    tries: u32,
}

/// What every delivery needs.
struct Sender {
    client: HttpClient,
    store: Arc<Store>,
    secret: Arc<str>,
    keys: Option<Arc<Keys>>,
    faults: Arc<Faults>,
}

/// Runs for the life of the process: what an earlier one left behind (`pending`) first, then whatever is committed.
pub(crate) async fn run(
    store: Arc<Store>,
    secret: Arc<str>,
    keys: Option<Arc<Keys>>,
    faults: Arc<Faults>,
    pending: Vec<Event>,
    mut committed: mpsc::UnboundedReceiver<Event>,
) {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build_http();
    let sender = Arc::new(Sender {
        client,
        store,
        secret,
        keys,
        faults,
    });
    let mut due: BTreeMap<(Instant, u64), Attempt> = BTreeMap::new();
    let mut sequence = 0_u64;
    let mut in_flight: JoinSet<Option<Attempt>> = JoinSet::new();
    for event in pending {
        sequence += 1;
        due.insert((Instant::now(), sequence), Attempt::truly(event));
    }

    loop {
        while in_flight.len() < IN_FLIGHT_MAX
            && let Some(entry) = due.first_entry()
            && entry.key().0 <= Instant::now()
        {
            in_flight.spawn(deliver(Arc::clone(&sender), entry.remove()));
        }
        let next = due
            .first_key_value()
            .filter(|_| in_flight.len() < IN_FLIGHT_MAX)
            .map(|(key, _)| key.0);
        tokio::select! {
            event = committed.recv() => {
                let Some(event) = event else { return };
                let sendings = sender.faults.callback(event.copies);
                if sendings.is_empty() {
                    in_flight.spawn(withhold(Arc::clone(&sender), event.id.clone()));
                }
                for sending in sendings {
                    sequence += 1;
                    let attempt = Attempt { event: event.clone(), manner: sending.manner, tries: 0 };
                    due.insert((Instant::now() + sending.after, sequence), attempt);
                }
            }
            Some(ended) = in_flight.join_next() => match ended {
                Ok(None) => {}
                Ok(Some(attempt)) if attempt.tries < TRIES_MAX => {
                    sequence += 1;
                    due.insert((Instant::now() + pause(attempt.tries), sequence), attempt);
                }
                Ok(Some(attempt)) => warn!(event.id = attempt.event.id, "callback undelivered until the next start"),
                Err(cause) => warn!(%cause, "a delivery ended without a result"),
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// The pause after the given number of tries: doubling, with a ceiling.
fn pause(tries: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << tries.saturating_sub(1).min(16))
        .min(PAUSE_MAX)
}

impl Attempt {
    /// The first try of an event that is told as it happened.
    fn truly(event: Event) -> Self {
        Attempt {
            event,
            manner: Manner::True,
            tries: 0,
        }
    }
}

/// Sends an event once, and remembers what nobody needs to be told any more; the attempt if it is to be repeated.
async fn deliver(sender: Arc<Sender>, mut attempt: Attempt) -> Option<Attempt> {
    attempt.tries += 1;
    let sent = timeout(ATTEMPT_TIMEOUT, send(&sender, &attempt)).await;
    let acknowledged = matches!(sent, Ok(Some(status)) if status.is_success());
    let Counts {
        callbacks_acknowledged,
        forged_refused,
        forged_accepted,
        old_refused,
        old_accepted,
        ..
    } = &sender.faults.counts;
    let counter = match attempt.manner {
        Manner::True if acknowledged => callbacks_acknowledged,
        Manner::Forged if acknowledged => forged_accepted,
        Manner::Old if acknowledged => old_accepted,
        // A refusal is an answer; whoever is away has refused nothing.
        Manner::Forged if matches!(sent, Ok(Some(status)) if status.is_client_error()) => forged_refused,
        Manner::Old if matches!(sent, Ok(Some(status)) if status.is_client_error()) => old_refused,
        Manner::True | Manner::Forged | Manner::Old => {
            debug!(
                event.id = attempt.event.id,
                tries = attempt.tries,
                "callback not acknowledged"
            );
            return Some(attempt);
        }
    };
    counter.fetch_add(1, Ordering::Relaxed);
    let event = attempt.event.id;
    let fact = match attempt.manner {
        Manner::True => Fact::Delivered { event },
        Manner::Forged | Manner::Old => Fact::Withheld { event },
    };
    remember(&sender.store, fact).await;
    None
}

/// Never sends an event, now or after a restart.
async fn withhold(sender: Arc<Sender>, event: String) -> Option<Attempt> {
    remember(&sender.store, Fact::Withheld { event }).await;
    None
}

async fn remember(store: &Store, fact: Fact) {
    store
        .commit(|_| Decided {
            fact: Some(fact),
            answer: (),
        })
        .await;
}

/// Sends an event once; how it was answered, if it was.
async fn send(sender: &Sender, attempt: &Attempt) -> Option<StatusCode> {
    let Attempt { event, manner, .. } = attempt;
    let request = match event.wire {
        Wire::Sandbox => own(&sender.secret, event, *manner)?,
        Wire::Wechat | Wire::Alipay => {
            let mischief = Mischief {
                forged: *manner == Manner::Forged,
                age_s: if *manner == Manner::Old { OLD_S } else { 0 },
                ..Mischief::default()
            };
            wire::callback(sender.keys.as_deref()?, event, mischief)?
        }
    };
    Some(sender.client.request(request).await.ok()?.status())
}

/// The callback of an event in the sandbox's own form.
fn own(secret: &str, event: &Event, manner: Manner) -> Option<Request<Full<Bytes>>> {
    let now = clock::seconds();
    let (secret, timestamp) = match manner {
        Manner::True => (secret.to_owned(), now),
        Manner::Forged => (format!("not {secret}"), now),
        Manner::Old => (secret.to_owned(), now.saturating_sub(OLD_S)),
    };
    Request::post(loopback(&event.url)?)
        .header("content-type", "application/json")
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", timestamp)
        .header(
            "webhook-signature",
            sign(secret.as_bytes(), &event.id, timestamp, event.body.as_bytes()),
        )
        .body(Full::from(Bytes::copy_from_slice(event.body.as_bytes())))
        .ok()
}

/// The address of a callback if it may be dialled: plain HTTP to a loopback address, given as a number.
///
/// `localhost` is replaced by `127.0.0.1`: nothing is ever resolved, so no name can point elsewhere.
pub(crate) fn loopback(url: &str) -> Option<Uri> {
    let uri: Uri = url
        .replacen("http://localhost", "http://127.0.0.1", 1)
        .parse()
        .ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let address: IpAddr = host.parse().ok()?;
    (uri.scheme_str() == Some("http") && address.is_loopback()).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_dialled() {
        for url in [
            "http://127.0.0.1:8080/callbacks/sandbox",
            "http://[::1]:8080/",
            "http://localhost:8080/c",
        ] {
            assert!(loopback(url).is_some(), "{url}");
        }
        for url in [
            "https://127.0.0.1/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://user@10.0.0.1/",
            "/relative",
        ] {
            assert!(loopback(url).is_none(), "{url}");
        }
    }

    #[test]
    fn all_tries_of_an_event_end_about_a_minute_after_the_first() {
        let total: Duration = (1..TRIES_MAX).map(pause).sum();

        assert!((55..65).contains(&total.as_secs()), "{total:?}");
    }
}
