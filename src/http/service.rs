//! One request on its way: screened, routed, admitted, identified, counted, handled, answered.
//!
//! Whatever is refused becomes a problem here, and metrics and the log see every answer. Nothing on the way
//! looks up a metric by name, reads a clock more than it has to, or writes a log line without a reason.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, IF_NONE_MATCH, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};
use lyceum_kernel::Class;
use lyceum_runtime::Trace;

use super::access_log::{AccessLog, RequestIds};
use super::admission::{Admission, Priority};
use super::body::Body;
use super::connection::Link;
use super::guard::{Guard, Revocations};
use super::health::Lifecycle;
use super::idempotency::IdempotencyKey;
use super::limits::{Allowance, Limit, Limits};
use super::problem::Problem;
use super::reply::Reply;
use super::request::{Budgets, Params, Request, X_REQUEST_ID, client_request_id};
use super::route::{Entry, Found, RouteMetrics};
use super::settings::HttpSettings;
use super::token::Tokens;
use super::trace;

/// The handler is given this much longer than its deadline, so that the part that ran out of time says so.
const LAST_RESORT: Duration = Duration::from_secs(1);

/// What all requests of a server share.
pub(super) struct Edge<A> {
    api: Arc<A>,
    guard: Guard,
    limits: Limits,
    pub(super) admission: Admission,
    ids: RequestIds,
    log: AccessLog,
    lifecycle: Arc<Lifecycle>,
    budgets: Budgets,
    headers_max: usize,
    proxies_trusted: usize,
    started: Instant,
    unmatched: RouteMetrics,
}

impl<A> Edge<A> {
    pub(super) fn new(
        api: Arc<A>,
        settings: &HttpSettings,
        tokens: Arc<Tokens>,
        revocations: Arc<dyn Revocations>,
        lifecycle: Arc<Lifecycle>,
    ) -> Self {
        Edge {
            lifecycle,
            api,
            guard: Guard::new(tokens, settings.verified_tokens_max, revocations),
            limits: Limits::new(&settings.rate),
            admission: Admission::new(settings.in_flight, settings.lag),
            ids: RequestIds::new(),
            log: AccessLog::new(settings),
            budgets: Budgets {
                body_bytes_max: settings.body_bytes_max,
                body_timeout: *settings.body_timeout_ms,
                request_timeout: *settings.request_timeout_ms,
            },
            headers_max: settings.headers_max,
            proxies_trusted: settings.proxies_trusted,
            started: Instant::now(),
            unmatched: RouteMetrics::new("other", "unmatched"),
        }
    }
}

/// Answers one request.
pub(super) async fn answer<A>(link: &Link<A>, request: hyper::Request<Incoming>) -> Response<Full<Bytes>> {
    let edge = &*link.edge;
    let began = Instant::now();
    let _open = link.pulse.request();
    let (head, body) = request.into_parts();
    let span = trace::begin(&head.headers);
    let trace = span.context();
    let version = head.version;
    let echoed = client_request_id(&head.headers).cloned();
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let if_none_match = if reads {
        head.headers.get(IF_NONE_MATCH).cloned()
    } else {
        None
    };
    let bodiless = head.method == Method::HEAD && head.version == Version::HTTP_2;

    let mut allowance = None;
    let (entry, outcome) = match screen(link, &head) {
        Err(problem) => (None, Err(problem)),
        Ok(()) => match link.routes.find(&head.method, head.uri.path()) {
            Found::Route(entry, params) => {
                let outcome = handle(link, entry, params, head, body, began, trace, &mut allowance).await;
                (Some(entry), outcome)
            }
            Found::OtherMethods(allowed) => (None, other_method(&head.method, &allowed)),
            Found::Nothing => (None, edge.nothing(link)),
        },
    };

    let mut code = "";
    let mut request_id = None;
    let mut response = match outcome {
        Ok(reply) => reply.finish(if_none_match.as_ref()),
        Err(problem) => {
            code = problem.code();
            let id = echoed.clone().unwrap_or_else(|| edge.ids.next());
            let mut response = problem.into_reply(id.to_str().unwrap_or_default()).finish(None);
            response.headers_mut().insert(X_REQUEST_ID, id.clone());
            request_id = Some(id);
            response
        }
    };
    if let Some(allowance) = allowance {
        allowance.write(response.headers_mut());
    }
    if let (None, Some(id)) = (&request_id, &echoed) {
        response.headers_mut().insert(X_REQUEST_ID, id.clone());
    }
    if bodiless {
        response = without_body(response);
    }
    // A client that is told sends nothing more on a connection that is about to end. HTTP/2 has GOAWAY for it.
    if version != Version::HTTP_2 && edge.lifecycle.draining() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }

    let elapsed = began.elapsed();
    let status = response.status().as_u16();
    entry
        .map_or(&edge.unmatched, |entry| &entry.metrics)
        .record(status, elapsed, trace);
    let route = entry.map(|entry| &entry.route);
    let named = route.map_or(("other", "unmatched"), |route| {
        (route.method.as_str(), route.template)
    });
    trace::end(span, named.0, named.1, status);
    edge.log.record(
        trace,
        route.map(|route| (route.template, &route.method, route.limit)),
        status,
        code,
        elapsed,
        || request_id.or(echoed),
    );
    response
}

/// Refuses what HTTP itself forbids and hyper lets pass.
fn screen<A>(link: &Link<A>, head: &Parts) -> Result<(), Problem> {
    let malformed = |code, detail: &'static str| Err(Problem::new(Class::Malformed, code, detail));
    if head.version == Version::HTTP_2 {
        // hyper limits HTTP/2 headers by size alone.
        if head.headers.len() > link.edge.headers_max {
            return Err(Problem::protocol(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "http.headers_too_many",
                "There are more headers than are accepted here.",
            ));
        }
        return Ok(());
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !host.is_empty() => {}
        (Some(_), None) | (None, _) => return malformed("http.host_missing", "A Host header is required."),
        (Some(_), Some(_)) => return malformed("http.host_repeated", "Host was given more than once."),
    }
    if head.headers.contains_key(TRANSFER_ENCODING) && link.pulse.head_names("content-length") {
        return malformed(
            "http.length_ambiguous",
            "Content-Length and Transfer-Encoding exclude each other.",
        );
    }
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one request, named at the only call site"
)]
async fn handle<'a, A>(
    link: &'a Link<A>,
    entry: &'a Entry<A>,
    params: Params,
    head: Parts,
    body: Incoming,
    began: Instant,
    trace: Trace,
    allowance: &mut Option<Allowance<'a>>,
) -> Result<Reply, Problem> {
    let edge = &*link.edge;
    let route = &entry.route;
    let _permit = edge.admission.admit(route.priority)?;
    let address = client_address(&head.headers, link.address, edge.proxies_trusted);
    let identity = edge.guard.identify(&head.headers, lyceum_runtime::clock::now);
    *allowance = edge
        .limits
        .take(route.limit, identity.known(), address, || began - edge.started)?;
    identity.admit(route.access)?;
    let key = match route.method {
        Method::POST => IdempotencyKey::read(&head.headers, route.key)?,
        _ => None,
    };
    let may_wait_for_body = !body.is_end_stream();
    let request = Request {
        head,
        body: Body::Incoming(body),
        template: route.template,
        params,
        identity,
        address,
        key,
        trace,
        deadline: began + edge.budgets.request_timeout,
        budgets: edge.budgets,
        fingerprint: None,
    };

    let body_time = if may_wait_for_body {
        edge.budgets.body_timeout
    } else {
        Duration::ZERO
    };
    let limit = edge.budgets.request_timeout + body_time + LAST_RESORT;
    let handling = AssertUnwindSafe((route.handler)(&edge.api, request)).catch_unwind();
    match tokio::time::timeout_at((began + limit).into(), handling).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Problem::internal("a handler panicked")),
        Err(_) => Err(Problem::new(
            Class::Unavailable,
            "http.timeout",
            "It took too long and may have happened. Repeat the request with the same Idempotency-Key.",
        )),
    }
}

fn other_method(method: &Method, allowed: &str) -> Result<Reply, Problem> {
    let allow = HeaderValue::from_str(allowed).expect("method names are visible ASCII");
    if method == Method::OPTIONS {
        return Ok(Reply::no_content().header(ALLOW, allow));
    }
    let detail = "The path exists, but not with this method.";
    Err(
        Problem::protocol(StatusCode::METHOD_NOT_ALLOWED, "http.method_not_allowed", detail)
            .header(ALLOW, allow),
    )
}

impl<A> Edge<A> {
    /// 404, counted towards the address's limit: guessing paths is not free.
    fn nothing(&self, link: &Link<A>) -> Result<Reply, Problem> {
        let _permit = self.admission.admit(Priority::Read)?;
        self.limits
            .take(Limit::Usual, None, link.address, || self.started.elapsed())?;
        Err(Problem::no_route())
    }
}

/// hyper leaves out the body of an answer to HEAD over HTTP/1.1 only.
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let length = response.body().size_hint().exact().unwrap_or(0);
    let (mut head, _) = response.into_parts();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Response::from_parts(head, Full::default())
}

/// The client behind the trusted proxies: each has appended the address it was called from, so that the last
/// of them wrote the entry that counts from the end. Whatever stands before it can be made up.
fn client_address(headers: &HeaderMap, peer: IpAddr, proxies_trusted: usize) -> IpAddr {
    if proxies_trusted == 0 {
        return peer;
    }
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let place = forwarded.len().checked_sub(proxies_trusted);
    place
        .and_then(|place| forwarded[place].parse().ok())
        .unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_trusted_proxies_name_the_client() {
        let peer = IpAddr::from(Ipv4Addr::new(10, 0, 0, 9));
        let address = |values: &[&'static str], trusted| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            client_address(&headers, peer, trusted).to_string()
        };

        assert_eq!(address(&["1.1.1.1"], 0), "10.0.0.9");
        assert_eq!(address(&["1.1.1.1, 2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(address(&["1.1.1.1", "2.2.2.2, 3.3.3.3"], 2), "2.2.2.2");
        assert_eq!(address(&["1.1.1.1"], 2), "10.0.0.9");
        assert_eq!(address(&["nonsense"], 1), "10.0.0.9");
        assert_eq!(address(&[], 1), "10.0.0.9");
    }
}
