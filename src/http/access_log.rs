//! Which requests leave a line in the log, and the ids that name them.
//!
//! Errors, slow requests and whatever moves money always do; of the rest a sampled share, because a line for
//! each request doubles the cost of the cheapest. A line holds the route's template and never a path, an
//! address or a person.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use lyceum_runtime::Trace;

use super::limits::Limit;
use super::settings::HttpSettings;

/// Hands out request ids: a random prefix for the process and a counter.
pub(super) struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // The hasher's random keys are the cheapest randomness at hand; ids need not be unpredictable.
        RequestIds {
            prefix: RandomState::new().hash_one(0_u8),
            next: AtomicU64::new(1),
        }
    }

    pub(super) fn next(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let text = format!("req_{:016x}{number:08x}", self.prefix);
        HeaderValue::from_str(&text).expect("hexadecimal digits are visible ASCII")
    }
}

thread_local! {
    /// Requests of this thread: a counter that threads share costs more than the rest of a line that is not written.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// Decides which requests are logged.
pub(super) struct AccessLog {
    slow: Duration,
    sample: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Error,
    Slow,
    Money,
    Sampled,
}

impl AccessLog {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        AccessLog {
            slow: *settings.slow_request_ms,
            sample: settings.log_sample.into(),
        }
    }

    pub(super) fn record(
        &self,
        trace: Trace,
        route: Option<(&'static str, &Method, Limit)>,
        status: u16,
        code: &'static str,
        elapsed: Duration,
        request_id: impl FnOnce() -> Option<HeaderValue>,
    ) {
        let money = matches!(route, Some((_, &Method::POST, Limit::Purchase)));
        let Some(reason) = self.reason(status, elapsed, money) else {
            return;
        };
        // A line of a sampled trace names it.
        let _trace = trace.named().entered();
        let request_id = request_id();
        let request_id = request_id
            .as_ref()
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        let (route, method) = route.map_or(("unmatched", "other"), |(route, method, _)| {
            (route, method.as_str())
        });
        let duration_ms = elapsed.as_secs_f64() * 1000.0;
        match reason {
            Reason::Error => {
                tracing::error!(
                    http.route = route,
                    http.method = method,
                    http.status = status,
                    code,
                    duration_ms,
                    request_id,
                    "request failed"
                );
            }
            Reason::Slow => {
                tracing::warn!(
                    http.route = route,
                    http.method = method,
                    http.status = status,
                    code,
                    duration_ms,
                    request_id,
                    "request was slow"
                );
            }
            Reason::Money | Reason::Sampled => {
                tracing::info!(
                    http.route = route,
                    http.method = method,
                    http.status = status,
                    code,
                    duration_ms,
                    request_id,
                    "request"
                );
            }
        }
    }

    fn reason(&self, status: u16, elapsed: Duration, money: bool) -> Option<Reason> {
        // Refused for now (503) is what shedding is for; it is counted, and a line for each would add to the load.
        if status >= 500 && status != 503 {
            return Some(Reason::Error);
        }
        if elapsed >= self.slow {
            return Some(Reason::Slow);
        }
        if money && status < 300 {
            return Some(Reason::Money);
        }
        let sampled = self.sample > 0
            && SEEN
                .replace(SEEN.get().wrapping_add(1))
                .is_multiple_of(self.sample);
        sampled.then_some(Reason::Sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::settings::for_tests;

    #[test]
    fn errors_slow_requests_and_money_are_always_logged_and_the_rest_is_sampled() {
        let log = AccessLog::new(&for_tests(&[
            ("/log_sample", 10.into()),
            ("/slow_request_ms", 100.into()),
        ]));
        let quick = Duration::from_millis(1);

        assert_eq!(log.reason(500, quick, false), Some(Reason::Error));
        assert_eq!(
            log.reason(200, Duration::from_millis(100), false),
            Some(Reason::Slow)
        );
        assert_eq!(log.reason(201, quick, true), Some(Reason::Money));
        let sampled = (0..100)
            .filter(|_| log.reason(200, quick, false).is_some())
            .count();
        assert_eq!(sampled, 10);
    }

    #[test]
    fn request_ids_differ() {
        let ids = RequestIds::new();

        assert_ne!(ids.next(), ids.next());
        assert!(ids.next().to_str().unwrap().starts_with("req_"));
    }
}
