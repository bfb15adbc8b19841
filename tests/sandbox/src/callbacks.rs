//! Delivers callbacks: signed, in parallel, retried with back-off, remembered until they are acknowledged.
//!
//! One task owns the schedule. An event that is still refused after its last try stays undelivered in the file and is
//! taken up again at the next start. Only loopback addresses are dialled, and redirects are never followed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use crate::book::{Decided, Event, Fact};
use crate::clock;
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

/// An event and how often it was tried.
struct Attempt {
    event: Event,
    tries: u32,
}

/// Runs for the life of the process: what an earlier one left behind (`pending`) first, then whatever is committed.
pub(crate) async fn run(
    store: Arc<Store>,
    secret: Arc<str>,
    keys: Option<Arc<Keys>>,
    pending: Vec<Event>,
    mut committed: mpsc::UnboundedReceiver<Event>,
) {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build_http();
    let mut due: BTreeMap<(Instant, u64), Attempt> = BTreeMap::new();
    let mut sequence = 0_u64;
    let mut in_flight: JoinSet<Result<String, Attempt>> = JoinSet::new();
    for event in pending {
        sequence += 1;
        due.insert((Instant::now(), sequence), Attempt { event, tries: 0 });
    }

    loop {
        while in_flight.len() < IN_FLIGHT_MAX
            && let Some(entry) = due.first_entry()
            && entry.key().0 <= Instant::now()
        {
            in_flight.spawn(deliver(
                client.clone(),
                Arc::clone(&secret),
                keys.clone(),
                entry.remove(),
            ));
        }
        let next = due
            .first_key_value()
            .filter(|_| in_flight.len() < IN_FLIGHT_MAX)
            .map(|(key, _)| key.0);
        tokio::select! {
            event = committed.recv() => {
                let Some(event) = event else { return };
                sequence += 1;
                due.insert((Instant::now(), sequence), Attempt { event, tries: 0 });
            }
            Some(ended) = in_flight.join_next() => match ended {
                Ok(Ok(event)) => {
                    store.commit(|_| Decided { fact: Some(Fact::Delivered { event }), answer: () }).await;
                }
                Ok(Err(attempt)) if attempt.tries < TRIES_MAX => {
                    sequence += 1;
                    due.insert((Instant::now() + pause(attempt.tries), sequence), attempt);
                }
                Ok(Err(attempt)) => warn!(event.id = attempt.event.id, "callback undelivered until the next start"),
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

/// Sends all copies of one event; its id when every one was acknowledged.
async fn deliver(
    client: HttpClient,
    secret: Arc<str>,
    keys: Option<Arc<Keys>>,
    mut attempt: Attempt,
) -> Result<String, Attempt> {
    attempt.tries += 1;
    for _ in 0..attempt.event.copies {
        let sent = timeout(
            ATTEMPT_TIMEOUT,
            send(&client, &secret, keys.as_deref(), &attempt.event),
        )
        .await;
        if !matches!(sent, Ok(Some(()))) {
            debug!(
                event.id = attempt.event.id,
                tries = attempt.tries,
                "callback not acknowledged"
            );
            return Err(attempt);
        }
    }
    Ok(attempt.event.id)
}

/// Sends one copy; `Some` when it was acknowledged with 2xx.
async fn send(client: &HttpClient, secret: &str, keys: Option<&Keys>, event: &Event) -> Option<()> {
    let request = match event.wire {
        Wire::Sandbox => own(secret, event)?,
        Wire::Wechat | Wire::Alipay => wire::callback(keys?, event, Mischief::default())?,
    };
    client
        .request(request)
        .await
        .ok()?
        .status()
        .is_success()
        .then_some(())
}

/// The callback of an event in the sandbox's own form.
fn own(secret: &str, event: &Event) -> Option<Request<Full<Bytes>>> {
    let timestamp = clock::seconds();
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
