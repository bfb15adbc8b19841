//! The trace of a request: continued from its `traceparent` header, or begun if the lot falls on it.

use hyper::header::{HeaderMap, HeaderName};
use lyceum_runtime::Trace;
use lyceum_runtime::trace::{Span, SpanKind};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Begins the span of a request.
pub(super) fn begin(headers: &HeaderMap) -> Span {
    let continued = headers
        .get(TRACEPARENT)
        .and_then(|value| Trace::parse(value.as_bytes()));
    let trace = continued.unwrap_or_else(Trace::draw);
    Span::begin(trace, SpanKind::Server, "request")
}

/// Ends the span of a request with what has become of it.
pub(super) fn end(mut span: Span, method: &str, template: &'static str, status: u16) {
    span.rename(|| format!("{method} {template}"));
    span.note("http.route", template);
    span.note("http.response.status_code", i64::from(status));
    span.ended(status < 500);
}
