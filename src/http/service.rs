//! One request on its way: screened, routed, admitted, identified, counted, handled, answered.
//!
//! Whatever is refused becomes a problem here, and metrics and the log see every answer. Nothing on the way
//! looks up a metric by name, reads a clock more than it has to, or writes a log line without a reason.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, Ready, ready};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, IF_NONE_MATCH, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};
use lyceum_kernel::Class;
use lyceum_runtime::trace::Span;

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
use super::route::{Entry, Found, Handler, Handling, Place, RouteMetrics};
use super::settings::HttpSettings;
use super::token::Tokens;
use super::trace;

/// The handler is given this much longer than its deadline, so that the part that ran out of time says so.
const LAST_RESORT: Duration = Duration::from_secs(1);

/// What all requests of a server share.
pub(super) struct Edge<A> {
    api: Arc<A>,
    guard: Guard,
    pub(super) limits: Arc<Limits>,
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
        let started = Instant::now();
        Edge {
            lifecycle,
            api,
            guard: Guard::new(tokens, settings.verified_tokens_max, revocations),
            limits: Arc::new(Limits::new(&settings.rate, started)),
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
            started,
            unmatched: RouteMetrics::new("other", "unmatched"),
        }
    }
}

/// A response, now or later.
type Answering = Either<Ready<Answer>, Pin<Box<dyn Future<Output = Answer> + Send>>>;
type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// What of a request is needed once it has been handled.
struct Asked {
    began: Instant,
    span: Span,
    version: Version,
    request_id: Option<HeaderValue>,
    if_none_match: Option<HeaderValue>,
    /// The body is to be left out by us.
    bodiless: bool,
}

/// Answers one request: at once if nothing has to be waited for.
pub(super) fn answer<A: Send + Sync + 'static>(
    link: &Arc<Link<A>>,
    request: hyper::Request<Incoming>,
) -> Answering {
    let (head, body) = request.into_parts();
    let asked = Asked::read(&head);
    let found = screen(link, &head).map(|()| link.routes.find(&head.method, head.uri.path()));
    let refused = match found {
        Err(problem) => Err(problem),
        Ok(Found::OtherMethods(allowed)) => other_method(&head.method, &allowed),
        Ok(Found::Nothing) => link.edge.nothing(link),
        Ok(Found::Route(place, params)) => {
            let handler = &link.routes.entry(place).route.handler;
            let arrived = Arrived {
                place,
                params,
                head,
                body,
            };
            return match *handler {
                Handler::Ready(handler) if asked.version != Version::HTTP_2 => {
                    Either::Left(ready(Ok(arrived.at_once(link, asked, handler))))
                }
                Handler::Ready(handler) => {
                    // Many streams share a connection: each answer is made in its stream's own task.
                    let link = link.clone();
                    Either::Right(Box::pin(
                        async move { Ok(arrived.at_once(&link, asked, handler)) },
                    ))
                }
                Handler::Task(handler) => {
                    let link = link.clone();
                    Either::Right(Box::pin(async move {
                        Ok(arrived.in_time(&link, asked, handler).await)
                    }))
                }
            };
        }
    };
    let _open = link.pulse.request();
    Either::Left(ready(Ok(asked.respond(&link.edge, None, None, refused))))
}

impl Asked {
    fn read(head: &Parts) -> Self {
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        Asked {
            began: Instant::now(),
            span: trace::begin(&head.headers),
            version: head.version,
            request_id: client_request_id(&head.headers).cloned(),
            if_none_match: head.headers.get(IF_NONE_MATCH).filter(|_| reads).cloned(),
            // hyper does it over HTTP/1.1 only.
            bodiless: head.method == Method::HEAD && head.version == Version::HTTP_2,
        }
    }

    /// Turns the outcome into a response; metrics and the log see it.
    fn respond<A>(
        self,
        edge: &Edge<A>,
        entry: Option<&Entry<A>>,
        allowance: Option<Allowance<'_>>,
        outcome: Result<Reply, Problem>,
    ) -> Response<Full<Bytes>> {
        let trace = self.span.context();
        let mut code = "";
        let mut request_id = self.request_id;
        let mut response = match outcome {
            Ok(reply) => reply.finish(self.if_none_match.as_ref()),
            Err(problem) => {
                code = problem.code();
                let id = request_id.get_or_insert_with(|| edge.ids.next());
                problem.into_reply(id.to_str().unwrap_or_default()).finish(None)
            }
        };
        if let Some(allowance) = allowance {
            allowance.write(response.headers_mut());
        }
        if let Some(id) = &request_id {
            response.headers_mut().insert(X_REQUEST_ID, id.clone());
        }
        if self.bodiless {
            response = without_body(response);
        }
        // A client that is told sends nothing more on a connection that is about to end. HTTP/2 has GOAWAY for it.
        if self.version != Version::HTTP_2 && edge.lifecycle.draining() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }

        let elapsed = self.began.elapsed();
        let status = response.status().as_u16();
        entry
            .map_or(&edge.unmatched, |entry| &entry.metrics)
            .record(status, elapsed, trace);
        let route = entry.map(|entry| &entry.route);
        let (method, template) = route.map_or(("other", "unmatched"), |route| {
            (route.method.as_str(), route.template)
        });
        trace::end(self.span, method, template, status);
        edge.log.record(
            trace,
            route.map(|route| (route.template, &route.method, route.limit)),
            status,
            code,
            elapsed,
            || request_id,
        );
        response
    }
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
    let certain = link.pulse.next_is_certain();
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !host.is_empty() => {}
        (Some(_), None) | (None, _) => return malformed("http.host_missing", "A Host header is required."),
        (Some(_), Some(_)) => return malformed("http.host_repeated", "Host was given more than once."),
    }
    if !certain && head.headers.contains_key(TRANSFER_ENCODING) {
        return malformed(
            "http.length_ambiguous",
            "Content-Length and Transfer-Encoding exclude each other.",
        );
    }
    Ok(())
}

/// A request that has found its route.
struct Arrived {
    place: Place,
    params: Params,
    head: Parts,
    body: Incoming,
}

impl Arrived {
    /// Has it answered from memory.
    fn at_once<A>(
        self,
        link: &Link<A>,
        asked: Asked,
        handler: fn(&A, &Request) -> Result<Reply, Problem>,
    ) -> Response<Full<Bytes>> {
        let edge = &*link.edge;
        let _open = link.pulse.request();
        let entry = link.routes.entry(self.place);
        let mut allowance = None;
        let admitted = edge.admission.admit_at_once(entry.route.priority);
        let outcome = admitted
            .and_then(|()| self.prepare(link, &asked, &mut allowance))
            .and_then(|request| {
                catch_unwind(AssertUnwindSafe(|| handler(&edge.api, &request)))
                    .unwrap_or_else(|_| Err(panicked()))
            });
        asked.respond(edge, Some(entry), allowance, outcome)
    }

    /// Has it answered by a handler that may wait, within the time that a request may take.
    async fn in_time<A>(
        self,
        link: &Link<A>,
        asked: Asked,
        handler: for<'h> fn(&'h A, Request) -> Handling<'h>,
    ) -> Response<Full<Bytes>> {
        let edge = &*link.edge;
        let _open = link.pulse.request();
        let entry = link.routes.entry(self.place);
        let mut allowance = None;
        let outcome = match edge.admission.admit(entry.route.priority) {
            Err(problem) => Err(problem),
            Ok(_permit) => match self.prepare(link, &asked, &mut allowance) {
                Err(problem) => Err(problem),
                Ok(request) => edge.handle(handler, request, asked.began).await,
            },
        };
        asked.respond(edge, Some(entry), allowance, outcome)
    }

    /// Identifies the caller, counts the request towards its limit, and checks what the route asks for.
    fn prepare<'a, A>(
        self,
        link: &'a Link<A>,
        asked: &Asked,
        allowance: &mut Option<Allowance<'a>>,
    ) -> Result<Request, Problem> {
        let Arrived {
            place,
            params,
            head,
            body,
        } = self;
        let edge = &*link.edge;
        let route = &link.routes.entry(place).route;
        let address = client_address(&head.headers, link.address, edge.proxies_trusted);
        let identity = edge.guard.identify(&head.headers, lyceum_runtime::clock::now);
        *allowance = edge.limits.take(route.limit, identity.known(), address, || {
            asked.began - edge.started
        })?;
        identity.admit(route.access)?;
        let key = match route.method {
            Method::POST => IdempotencyKey::read(&head.headers, route.key)?,
            _ => None,
        };
        Ok(Request {
            head,
            body: Body::Incoming(body),
            template: route.template,
            params,
            identity,
            address,
            key,
            trace: asked.span.context(),
            deadline: asked.began + edge.budgets.request_timeout,
            budgets: edge.budgets,
            fingerprint: None,
            limits: edge.limits.clone(),
        })
    }
}

impl<A> Edge<A> {
    async fn handle(
        &self,
        handler: for<'h> fn(&'h A, Request) -> Handling<'h>,
        request: Request,
        began: Instant,
    ) -> Result<Reply, Problem> {
        let body_time = match &request.body {
            Body::Incoming(body) if !body.is_end_stream() => self.budgets.body_timeout,
            _ => Duration::ZERO,
        };
        let limit = self.budgets.request_timeout + body_time + LAST_RESORT;
        let mut handling = pin!(AssertUnwindSafe(handler(&self.api, request)).catch_unwind());
        // Many are done at the first look; a timer would cost as much as they do.
        let looked = poll_fn(|context| Poll::Ready(handling.as_mut().poll(context))).await;
        let outcome = match looked {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => tokio::time::timeout_at((began + limit).into(), handling).await,
        };
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(panicked()),
            Err(_) => Err(Problem::new(
                Class::Unavailable,
                "http.timeout",
                "It took too long and may have happened. Repeat the request with the same Idempotency-Key.",
            )),
        }
    }

    /// 404, counted towards the address's limit: guessing paths is not free.
    fn nothing(&self, link: &Link<A>) -> Result<Reply, Problem> {
        self.admission.admit_at_once(Priority::Read)?;
        self.limits
            .take(Limit::Usual, None, link.address, || self.started.elapsed())?;
        Err(Problem::no_route())
    }
}

fn panicked() -> Problem {
    Problem::internal("a handler panicked")
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
