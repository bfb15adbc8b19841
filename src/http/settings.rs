//! Every limit of the HTTP edge: unit, default and reason.
//!
//! The defaults named here are those of the demo profile in `config/default.toml`, where checks and load tests
//! come from one address; `config/production.toml` tightens the limits per address and per caller.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{Checks, Millis, Seconds};

/// The section `[http]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Address of the API. Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of metrics, health and the operators' routes; empty (the default) puts them beside the API.
    pub operations_listen: String,
    /// Connections at once. Default 10,000: each costs about 10 kB and a file descriptor.
    pub connections_max: usize,
    /// Connections at once from one address (an IPv6 /64). Default 10,000; 256 in production, enough for an
    /// office behind one address.
    pub connections_per_address_max: usize,
    /// Proxies in front whose X-Forwarded-For is believed. Default 0: the peer is the client.
    pub proxies_trusted: usize,
    /// Milliseconds for the headers of a request, and for the first byte of a connection. Default 8,000: slow and
    /// silent clients are gone within 10 s.
    pub header_timeout_ms: Millis,
    /// Milliseconds a connection may rest between requests. Default 60,000: longer than clients' usual pools.
    pub idle_timeout_ms: Millis,
    /// Milliseconds a client may take no byte of an answer. Default 20,000.
    pub write_timeout_ms: Millis,
    /// Milliseconds for a request's body. Default 20,000: a slow body is gone within 30 s.
    pub body_timeout_ms: Millis,
    /// Milliseconds for the work of a request; longer than `actors.ask_timeout_ms`, so that an entity's own
    /// answer comes first. Default 8,000.
    pub request_timeout_ms: Millis,
    /// Milliseconds between reporting "not ready" and refusing connections, so that a load balancer can look
    /// away first. Default 0; 3,000 in production.
    pub drain_notice_ms: Millis,
    /// Milliseconds for open requests to end when the process stops. Default 15,000: within the 25 s of a stop.
    pub drain_timeout_ms: Millis,
    /// Bytes of a request's headers. Default 16,384: twice what browsers with cookies send.
    pub header_bytes_max: usize,
    /// Headers of a request. Default 100, up to which they are parsed without an allocation.
    pub headers_max: usize,
    /// Bytes of a request's body. Default 1,048,576: a long lesson; media is uploaded elsewhere.
    pub body_bytes_max: usize,
    /// Requests at once on one HTTP/2 connection. Default 128.
    pub streams_max: u32,
    /// HTTP/2 streams that a client may reset before they are answered; then the connection ends. Default 20.
    pub resets_max: usize,
    /// What an HTTP/2 client may send beside its requests.
    pub control_frames: ControlFrames,
    /// Milliseconds between pings of an HTTP/2 connection. Default 20,000: finds peers that are gone.
    pub ping_interval_ms: Millis,
    /// Milliseconds for the answer to a ping. Default 10,000.
    pub ping_timeout_ms: Millis,
    /// Milliseconds after which a request is logged as slow. Default 1,000.
    pub slow_request_ms: Millis,
    /// One in so many ordinary requests is logged, 0 for none. Default 1,000: a line for each doubles their cost.
    pub log_sample: u32,
    /// Verified tokens remembered. Default 50,000, about 20 MB: verifying one costs 30 µs.
    pub verified_tokens_max: usize,
    /// How many requests may be in progress, and who is shed above that.
    pub in_flight: InFlight,
    /// Scheduling delay above which each priority is shed.
    pub lag: Lag,
    /// Rates per caller or address.
    pub rate: Rates,
}

/// `[http.control_frames]`: HTTP/2 frames that are neither a request nor data: pings, settings, window updates and the like.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ControlFrames {
    /// So many at once. Default 512: a client that takes a large answer in small windows sends some dozens.
    pub burst: u32,
    /// So many more a second. Default 128: keep-alive needs one in seconds.
    pub per_second: u32,
    /// So many more with each request. Default 16: an answer of 100 kB in windows of 16 kB takes twelve.
    pub per_request: u32,
}

/// `[http.in_flight]`: requests in progress that wait for entities or stores, of all priorities together.
///
/// The limit on them is found by trying, between `min` and `max`; recommendations are shed at a share of that, reads at a
/// larger one, purchases at all of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InFlight {
    /// The limit never falls below it. Default 64: with fewer, a slow store would be left idle between two requests.
    pub min: usize,
    /// The limit of a fresh node. Default 512: room for a burst, and soon lowered if it is too much.
    pub start: usize,
    /// The limit never rises above it. Default 8,000: at 10 k commits/s a purchase waits less than a second. Callbacks may exceed
    /// the limit by their reserve, and probes without end: they are never shed.
    pub max: usize,
    /// Milliseconds an entity's answer may take; when more than a tenth take longer, a limit that is needed falls. Default 100: a
    /// purchase asks up to three times, and is to take less than 500 ms.
    pub target_ms: Millis,
    /// Milliseconds by which the scheduler may be late. Default 25: a ready-made answer waits as long, and is to take less than 100 ms
    /// for 99 of 100 callers.
    pub late_ms: Millis,
    /// Milliseconds after which the limit is reconsidered. Default 250: many answers, and several times within a caller's patience.
    pub window_ms: Millis,
    /// Percent of the limit at which recommendations are shed. Default 50.
    pub recommend_percent: u32,
    /// Percent of the limit at which reads are shed. Default 75.
    pub read_percent: u32,
    /// Callbacks that may be in progress beyond the limit. Default 256: providers repeat what is refused, yet it is what
    /// settles money.
    pub callback_reserve: usize,
}

/// `[http.lag]`: how late the scheduler runs a task that is due, smoothed over about a second.
///
/// Requests in progress do not show a starved processor: each is short, and the rest wait unread.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lag {
    /// Default 200 ms.
    pub recommend_ms: Millis,
    /// Default 400 ms.
    pub read_ms: Millis,
    /// Default 2,000 ms.
    pub purchase_ms: Millis,
}

/// `[http.rate]`: requests per window, as a bucket that refills evenly; 0 requests means no limit.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Addresses and callers remembered. Default 200,000, about 10 MB.
    pub entries_max: usize,
    /// Without a valid token, per address. Default none; 600 per 60 s in production.
    pub anonymous: Rate,
    /// With one, per caller. Default none; 1,200 per 60 s in production.
    pub authenticated: Rate,
    /// Registering, logging in and refreshing, per address: each costs a core for a while, and guessing should
    /// be slow. Default 6,000 per 60 s; 30 per 60 s in production.
    pub credentials: Rate,
    /// Placing orders and moving money, per caller. Default none; 60 per 60 s in production.
    pub purchase: Rate,
    /// Naming a coupon or redeem code that there is not, per caller; right ones cost nothing. Default 600 per 60 s; 10 per 60 s in
    /// production.
    pub guess: Rate,
}

/// A number of requests per window.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests in a window, which may also come at once; 0 for no limit.
    pub requests: u32,
    /// Seconds of a window.
    pub window_s: Seconds,
}

impl HttpSettings {
    /// Checks ranges, and what several values have to satisfy together.
    pub fn check(&self, checks: &mut Checks<'_>) {
        if !self.operations_listen.is_empty() && self.operations_listen.parse::<SocketAddr>().is_err() {
            checks.refuse(
                "http.operations_listen",
                "is neither empty nor an address such as 127.0.0.1:9090",
            );
        }
        checks.range("http.connections_max", self.connections_max, 1..=1_000_000);
        checks.range(
            "http.connections_per_address_max",
            self.connections_per_address_max,
            1..=1_000_000,
        );
        checks.range("http.proxies_trusted", self.proxies_trusted, 0..=8);
        // The path's parameters are kept as 16-bit offsets, and hyper needs 8 KiB to work with.
        checks.range("http.header_bytes_max", self.header_bytes_max, 8192..=65_535);
        checks.range("http.headers_max", self.headers_max, 16..=1000);
        checks.range(
            "http.body_bytes_max",
            self.body_bytes_max,
            1024..=64 * 1024 * 1024,
        );
        checks.range("http.streams_max", self.streams_max, 1..=10_000);
        checks.range("http.resets_max", self.resets_max, 1..=10_000);
        let ControlFrames {
            burst,
            per_second,
            per_request,
        } = self.control_frames;
        checks.range("http.control_frames.burst", burst, 64..=1_000_000);
        checks.range("http.control_frames.per_second", per_second, 1..=1_000_000);
        checks.range("http.control_frames.per_request", per_request, 1..=1_000_000);
        checks.range(
            "http.verified_tokens_max",
            self.verified_tokens_max,
            1..=10_000_000,
        );
        checks.range("http.rate.entries_max", self.rate.entries_max, 1024..=100_000_000);
        let (short, long) = (Duration::from_millis(50), Duration::from_hours(1));
        for (key, value) in [
            ("http.header_timeout_ms", self.header_timeout_ms),
            ("http.idle_timeout_ms", self.idle_timeout_ms),
            ("http.write_timeout_ms", self.write_timeout_ms),
            ("http.body_timeout_ms", self.body_timeout_ms),
            ("http.request_timeout_ms", self.request_timeout_ms),
            ("http.ping_interval_ms", self.ping_interval_ms),
            ("http.ping_timeout_ms", self.ping_timeout_ms),
            ("http.in_flight.window_ms", self.in_flight.window_ms),
        ] {
            checks.duration(key, *value, short..=long);
        }
        checks.duration(
            "http.in_flight.target_ms",
            *self.in_flight.target_ms,
            Duration::from_millis(1)..=Duration::from_secs(10),
        );
        checks.duration(
            "http.in_flight.late_ms",
            *self.in_flight.late_ms,
            Duration::from_millis(1)..=Duration::from_secs(10),
        );
        self.check_priorities(checks);
        for (key, rate) in [
            ("http.rate.anonymous.window_s", self.rate.anonymous),
            ("http.rate.authenticated.window_s", self.rate.authenticated),
            ("http.rate.credentials.window_s", self.rate.credentials),
            ("http.rate.purchase.window_s", self.rate.purchase),
            ("http.rate.guess.window_s", self.rate.guess),
        ] {
            checks.duration(
                key,
                *rate.window_s,
                Duration::from_secs(1)..=Duration::from_hours(24),
            );
        }
    }

    fn check_priorities(&self, checks: &mut Checks<'_>) {
        let InFlight {
            min,
            start,
            max,
            recommend_percent,
            read_percent,
            ..
        } = self.in_flight;
        checks.range("http.in_flight.max", max, 1..=1_000_000);
        checks.range("http.in_flight.min", min, 1..=max.max(1));
        checks.range("http.in_flight.start", start, min..=max.max(min));
        checks.range("http.in_flight.read_percent", read_percent, 1..=100);
        checks.range(
            "http.in_flight.recommend_percent",
            recommend_percent,
            1..=read_percent.max(1),
        );
        checks.range(
            "http.in_flight.callback_reserve",
            self.in_flight.callback_reserve,
            1..=1_000_000,
        );
        let Lag {
            recommend_ms,
            read_ms,
            purchase_ms,
        } = self.lag;
        if recommend_ms > read_ms || read_ms > purchase_ms {
            checks.refuse(
                "http.lag.recommend_ms",
                "recommend, read and purchase must not fall in this order",
            );
        }
    }
}

/// The defaults of the demo profile, for tests that change one of them.
#[cfg(test)]
pub(super) fn for_tests(changes: &[(&str, serde_json::Value)]) -> HttpSettings {
    let mut settings = serde_json::json!({
        "listen": "127.0.0.1:0", "operations_listen": "",
        "connections_max": 10_000, "connections_per_address_max": 10_000, "proxies_trusted": 0,
        "header_timeout_ms": 8000, "idle_timeout_ms": 60_000, "write_timeout_ms": 20_000, "body_timeout_ms": 20_000,
        "request_timeout_ms": 8000, "drain_notice_ms": 0, "drain_timeout_ms": 15_000,
        "header_bytes_max": 16_384, "headers_max": 100, "body_bytes_max": 1_048_576,
        "streams_max": 128, "resets_max": 20,
        "control_frames": {"burst": 512, "per_second": 128, "per_request": 16}, "ping_interval_ms": 20_000, "ping_timeout_ms": 10_000,
        "slow_request_ms": 1000, "log_sample": 1000,
        "verified_tokens_max": 50_000,
        "in_flight": {
            "min": 64, "start": 512, "max": 8000, "target_ms": 100, "late_ms": 25, "window_ms": 250,
            "recommend_percent": 50, "read_percent": 75, "callback_reserve": 256,
        },
        "lag": {"recommend_ms": 200, "read_ms": 400, "purchase_ms": 2000},
        "rate": {
            "entries_max": 200_000,
            "anonymous": {"requests": 0, "window_s": 60}, "authenticated": {"requests": 0, "window_s": 60},
            "credentials": {"requests": 6000, "window_s": 60}, "purchase": {"requests": 0, "window_s": 60},
            "guess": {"requests": 0, "window_s": 60},
        },
    });
    for (pointer, value) in changes {
        *settings.pointer_mut(pointer).expect("the setting exists") = value.clone();
    }
    serde_json::from_value(settings).expect("complete settings")
}
