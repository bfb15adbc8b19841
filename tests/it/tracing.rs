//! Traces: every step of a purchase, from the request to the provider and back, is a span of one tree.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Site, Stores, order, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Value>>>);

impl Sink {
    async fn start() -> (Self, SocketAddr) {
        let sink = Sink::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taker = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taker = taker.clone();
                let answer = service_fn(move |request| taker.clone().take(request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection);
            }
        });
        (sink, address)
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/v1/traces");
        assert_eq!(request.headers()["content-type"], "application/json");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let message: Value = serde_json::from_slice(&body).unwrap();
        let sent = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap();
        self.0.lock().unwrap().extend(sent.iter().cloned());
        Ok(Response::new(Full::from("{}")))
    }

    /// For each span of the trace its name and those of all it is part of, up to the client.
    fn lineages(&self) -> Vec<Vec<String>> {
        let spans = self.0.lock().unwrap();
        let ours = || spans.iter().filter(|span| span["traceId"] == TRACE);
        let by_id: HashMap<&str, &Value> = ours()
            .map(|span| (span["spanId"].as_str().unwrap(), span))
            .collect();
        ours()
            .map(|span| {
                let mut names = Vec::new();
                let mut next = Some(span);
                while let Some(span) = next {
                    names.push(span["name"].as_str().unwrap().to_owned());
                    let parent = span["parentSpanId"].as_str().unwrap();
                    if parent == CLIENT {
                        names.push("client".to_owned());
                    }
                    next = by_id.get(parent).copied();
                }
                names
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_steps_of_a_purchase_are_one_trace() {
    let (sink, address) = Sink::start().await;
    let settings = [
        &format!("telemetry.otlp_url=http://{address}"),
        // Only what the client wants to be traced is.
        "telemetry.trace_sample=0",
        "telemetry.log_filter=info",
        "telemetry.log_format=json",
        // What a callback settles belongs to the trace of the callback.
        "providers.sandbox.callback_url=",
    ];
    let mut site = Site::start_process_over(Stores::create().await, &settings).await;
    let (buyer, course) = (site.user().await, site.course(4_900).await);

    let accepted = buyer
        .call("POST", "/v1/orders")
        .header("traceparent", &format!("00-{TRACE}-{CLIENT}-01"))
        .key("traced")
        .json(&order(&[&course], "sandbox", Some("tok_ok")))
        .send()
        .await
        .expect(202);
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    buyer.order_becomes(&id, "fulfilled").await;

    let request = ["buyer turn", "POST /v1/orders", "client"];
    let started = [&["payment turn", "outbox delivery"], request.as_slice()].concat();
    let called = [&["charge", "outbox delivery"], started.as_slice()].concat();
    let reported = [&["payment turn", "outbox delivery"], started.as_slice()].concat();
    let settled = [
        &["journal commit", "buyer turn", "outbox delivery"],
        reported.as_slice(),
    ]
    .concat();
    until("the spans of every step are there", async || {
        let lineages = sink.lineages();
        [&called, &settled]
            .iter()
            .all(|wanted| lineages.iter().any(|lineage| lineage == *wanted))
            .then_some(())
    })
    .await;
    for lineage in sink.lineages() {
        assert_eq!(lineage.last().unwrap(), "client", "an orphan: {lineage:?}");
    }
    let traces: Vec<Value> = sink
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|span| span["traceId"].clone())
        .collect();
    assert!(
        traces.iter().all(|trace| *trace == json!(TRACE)),
        "nothing else was sampled"
    );

    let scrape = site
        .client()
        .call("GET", "/metrics")
        .header("accept", "application/openmetrics-text");
    let scrape = scrape.send().await.expect(200);
    let text = String::from_utf8(scrape.body.to_vec()).unwrap();
    let exemplar = format!(" # {{trace_id=\"{TRACE}\",span_id=\"");
    for series in [
        "http_server_request_duration_seconds_bucket{route=\"/v1/orders\",method=\"POST\"",
        "saga_duration_seconds_bucket{outcome=\"completed\"",
    ] {
        let with_example = |line: &&str| line.starts_with(series) && line.contains(&exemplar);
        assert!(
            text.lines().any(|line| with_example(&line)),
            "{series} has no exemplar"
        );
    }
    let log = site.process().output();
    let line = log
        .lines()
        .find(|line| line.contains(TRACE) && line.contains("\"http.route\":\"/v1/orders\""));
    assert!(
        line.is_some(),
        "the request's line does not name its trace:\n{log}"
    );
    site.finish().await;
}
