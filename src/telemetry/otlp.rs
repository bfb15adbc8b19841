//! Sends spans to a collector: OTLP over HTTP, as JSON, to `{telemetry.otlp_url}/v1/traces`.
//!
//! Off unless the address is set. Spans are sent together, at the latest after a second; a batch that the collector
//! does not take is counted and gone, because a trace is never worth holding anything up. The collector is meant to
//! stand beside the process (plain HTTP), and to know more of retries, storage and secrets than we want to.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lyceum_runtime::metrics::{Area, Counter, Label, Metric};
use lyceum_runtime::trace::{self, Attribute, FinishedSpan, SpanKind};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::settings::telemetry::Telemetry;

/// Spans in one message, at most.
const BATCH_MAX: usize = 512;
/// How long a span waits for others to be sent with.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

static TRACE_SPANS_EXPORTED_TOTAL: Metric<Counter> = Metric::new(
    "trace_spans_exported_total",
    "Spans of sampled traces that were sent.",
)
.labels(&[Label::of("outcome", &["taken", "refused"])])
.worry("`refused`: the collector is away");

/// The metrics of the exporter.
pub(super) static METERS: &[Area] = &[Area {
    title: "Traces",
    families: &[&TRACE_SPANS_EXPORTED_TOTAL],
}];

/// Sends spans for as long as the application lives.
pub(crate) struct Exporter {
    worker: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Exporter {
    /// Starts to sample and, if there is a collector, to send.
    pub(crate) fn start(settings: &Telemetry) -> Option<Self> {
        trace::sample(settings.trace_sample);
        let uri = endpoint(&settings.otlp_url)?;
        let spans = trace::collect(settings.otlp_queue_max)?;
        let (stop, stopped) = oneshot::channel();
        let sender = Sender {
            client: Client::builder(TokioExecutor::new()).build_http(),
            uri,
            resource: resource(),
        };
        Some(Exporter {
            worker: tokio::spawn(sender.run(spans, stopped)),
            stop,
        })
    }

    /// Sends what has ended until now, and ends.
    pub(crate) async fn close(self) {
        // A worker that has failed has nothing left to send.
        let _ = self.stop.send(());
        let _ = tokio::time::timeout(SEND_TIMEOUT, self.worker).await;
    }
}

/// Where to send spans; `None` if the address is empty or not of the form `http://host:port`.
pub(crate) fn endpoint(url: &str) -> Option<Uri> {
    let base: Uri = url.parse().ok()?;
    let plain =
        base.scheme_str() == Some("http") && matches!(base.path(), "" | "/") && base.query().is_none();
    let authority = base.authority().filter(|_| plain)?;
    format!("http://{authority}/v1/traces").parse().ok()
}

struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    resource: Value,
}

impl Sender {
    async fn run(self, mut spans: mpsc::Receiver<FinishedSpan>, mut stopped: oneshot::Receiver<()>) {
        let taken = TRACE_SPANS_EXPORTED_TOTAL.with(["taken"]);
        let refused = TRACE_SPANS_EXPORTED_TOTAL.with(["refused"]);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                () = gather(&mut spans, &mut batch) => {}
                _ = &mut stopped => stopping = true,
            }
            while stopping
                && batch.len() < BATCH_MAX
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                continue;
            }
            let outcome = if self.send(&batch).await { &taken } else { &refused };
            outcome.add(batch.len() as u64);
            batch.clear();
        }
    }

    async fn send(&self, batch: &[FinishedSpan]) -> bool {
        let body = Bytes::from(message(&self.resource, batch).to_string());
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("method, address and header are well-formed");
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let well = response.status().is_success();
            // Read to its end, so that the connection can be used again.
            response.into_body().collect().await.ok()?;
            Some(well)
        };
        let answered = tokio::time::timeout(SEND_TIMEOUT, exchange).await;
        answered.ok().flatten().unwrap_or(false)
    }
}

/// Takes spans until there are enough for a message, or the first has waited long enough.
async fn gather(spans: &mut mpsc::Receiver<FinishedSpan>, batch: &mut Vec<FinishedSpan>) {
    if batch.is_empty() {
        match spans.recv().await {
            Some(span) => batch.push(span),
            // The queue lives as long as the process, so this is never reached; it must not spin either way.
            None => std::future::pending().await,
        }
    }
    let rest = async {
        while batch.len() < BATCH_MAX
            && let Some(span) = spans.recv().await
        {
            batch.push(span);
        }
    };
    // Without an answer the time is up.
    let _ = tokio::time::timeout(GATHER, rest).await;
}

/// Who sends, by the names that OpenTelemetry has for it.
fn resource() -> Value {
    let instance = uuid::Uuid::now_v7().to_string();
    json!({"attributes": [
        attribute("service.name", "lyceum"),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("service.instance.id", &instance),
    ]})
}

fn attribute(key: &str, text: &str) -> Value {
    json!({"key": key, "value": {"stringValue": text}})
}

/// An `ExportTraceServiceRequest` in the JSON of protobuf: ids in hexadecimal, 64-bit numbers as text.
fn message(resource: &Value, batch: &[FinishedSpan]) -> Value {
    let spans: Vec<Value> = batch.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{"scope": {"name": "lyceum"}, "spans": spans}],
    }]})
}

fn span(span: &FinishedSpan) -> Value {
    let began = span
        .began
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Consumer => 5,
    };
    let attributes = span.attributes.iter().map(|(key, value)| match value {
        Attribute::Text(text) => attribute(key, text),
        Attribute::Number(number) => json!({"key": key, "value": {"intValue": number.to_string()}}),
    });
    let parent = (span.parent_id != 0).then(|| format!("{:016x}", span.parent_id));
    json!({
        "traceId": format!("{:032x}", span.trace_id),
        "spanId": format!("{:016x}", span.span_id),
        "parentSpanId": parent.unwrap_or_default(),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": (began + span.took).as_nanos().to_string(),
        "attributes": attributes.collect::<Vec<Value>>(),
        // Unset or error: that it went well is for whoever asked to say.
        "status": if span.failed { json!({"code": 2}) } else { json!({}) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_collectors_read_it() {
        let finished = FinishedSpan {
            trace_id: 0xab,
            span_id: 0xcd,
            parent_id: 0,
            name: "POST /v1/orders".into(),
            kind: SpanKind::Server,
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(2),
            took: Duration::from_millis(3),
            attributes: vec![("http.response.status_code", Attribute::Number(503))],
            failed: true,
        };

        let written = span(&finished);

        assert_eq!(written["traceId"], "000000000000000000000000000000ab");
        assert_eq!(written["parentSpanId"], "");
        assert_eq!(written["startTimeUnixNano"], "2000000000");
        assert_eq!(written["endTimeUnixNano"], "2003000000");
        assert_eq!(written["attributes"][0]["value"]["intValue"], "503");
        assert_eq!(written["status"]["code"], 2);
    }

    #[test]
    fn only_a_plain_address_is_a_collector() {
        let uri = endpoint("http://127.0.0.1:4318").map(|uri| uri.to_string());
        assert_eq!(uri.as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        for wrong in [
            "",
            "127.0.0.1:4318",
            "https://collector",
            "http://collector/path",
            "http://",
        ] {
            assert_eq!(endpoint(wrong), None, "{wrong}");
        }
    }
}
