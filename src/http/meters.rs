//! Every metric of the HTTP edge.

use lyceum_runtime::metrics::{Area, Counter, Gauge, Histogram, Label, Metric};

const ROUTE: Label = Label::program("route", "every route's template, or `unmatched`");
const METHOD: Label = Label::program("method", "every route's method, or `other`");

pub(super) static HTTP_SERVER_REQUESTS_TOTAL: Metric<Counter> =
    Metric::new("http_server_requests_total", "Requests that were answered.")
        .labels(&[
            ROUTE,
            METHOD,
            Label::of("code_class", &["2xx", "3xx", "4xx", "5xx"]),
        ])
        .worry("`5xx` above 0.1 % of a route");
pub(super) static HTTP_SERVER_REQUEST_DURATION_SECONDS: Metric<Histogram> = Metric::new(
    "http_server_request_duration_seconds",
    "How long a request took, from its head to its answer.",
)
.labels(&[ROUTE, METHOD])
.worry("p99 of a purchase above 500 ms, of the catalog above 100 ms");
pub(super) static HTTP_SERVER_IN_FLIGHT: Metric<Gauge> =
    Metric::new("http_server_in_flight", "Requests in progress.")
        .worry("nears its limit: the less important is shed then");
pub(super) static HTTP_SERVER_IN_FLIGHT_LIMIT: Metric<Gauge> = Metric::new(
    "http_server_in_flight_limit",
    "Requests that may be in progress, as found by how fast entities answer.",
)
.worry("far below `http.in_flight.max` for minutes: entities or their stores are slow");
pub(super) static HTTP_SERVER_SHED_TOTAL: Metric<Counter> = Metric::new(
    "http_server_shed_total",
    "Requests and connections refused for lack of room.",
)
.labels(&[
    Label::of(
        "reason",
        &["in_flight", "lag", "connections", "connections_per_address"],
    ),
    Label::of("priority", &["callback", "purchase", "read", "recommend", "any"]),
])
.only(&[
    &["in_flight", "callback"],
    &["in_flight", "purchase"],
    &["in_flight", "read"],
    &["in_flight", "recommend"],
    &["lag", "callback"],
    &["lag", "purchase"],
    &["lag", "read"],
    &["lag", "recommend"],
    &["connections", "any"],
    &["connections_per_address", "any"],
])
.worry("`purchase` at all");
pub(super) static HTTP_CONNECTIONS: Metric<Gauge> = Metric::new("http_connections", "Open connections.")
    .labels(&[
        Label::of("proto", &["unknown", "http1", "http2"]),
        Label::of("state", &["idle", "active"]),
    ])
    .worry("nears `http.connections_max`");
pub(super) static HTTP2_FLOODS_TOTAL: Metric<Counter> = Metric::new(
    "http2_floods_total",
    "HTTP/2 connections that were cut because of what they sent beside requests.",
)
.worry("rises for minutes: somebody attacks, or a client of ours needs a higher `http.control_frames`");
pub(super) static RATE_LIMITED_TOTAL: Metric<Counter> =
    Metric::new("rate_limited_total", "Requests refused by a rate limit.")
        .labels(&[Label::of(
            "policy",
            &["anonymous", "authenticated", "credentials", "purchase", "guess"],
        )])
        .worry("`credentials` for minutes: somebody guesses passwords");

pub(super) static NODE_READY: Metric<Gauge> =
    Metric::new("node_ready", "1 while `/readyz` says yes, else 0.")
        .worry("0 for longer than a start or a stop takes");
pub(super) static HEALTH_CHECK: Metric<Gauge> = Metric::new(
    "health_check",
    "1 while a part that the node depends on is well, else 0.",
)
.labels(&[Label::program("check", "every part that `/readyz` names")])
.worry("`postgres` 0: nothing can be written");

/// The metrics of the edge.
pub static METERS: &[Area] = &[Area {
    title: "HTTP",
    families: &[
        &HTTP_SERVER_REQUESTS_TOTAL,
        &HTTP_SERVER_REQUEST_DURATION_SECONDS,
        &HTTP_SERVER_IN_FLIGHT,
        &HTTP_SERVER_IN_FLIGHT_LIMIT,
        &HTTP_SERVER_SHED_TOTAL,
        &HTTP_CONNECTIONS,
        &HTTP2_FLOODS_TOTAL,
        &RATE_LIMITED_TOTAL,
        &NODE_READY,
        &HEALTH_CHECK,
    ],
}];
