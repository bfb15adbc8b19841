//! A request as handlers see it: typed path ids, query, JSON body, caller and context.
//!
//! Whatever is malformed becomes a 400 here, so that handlers only see well-formed values.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{AsHeaderName, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, USER_AGENT};
use hyper::http::request::Parts;
use lyceum_domain::accounts::Role;
use lyceum_kernel::Class;
use lyceum_runtime::{Context, Operation, Trace};
use serde::de::DeserializeOwned;

use super::body::{self, Body};
use super::guard::{Caller, Identity};
use super::idempotency::{self, IdempotencyKey};
use super::limits::Limits;
use super::page::invalid_query;
use super::problem::Problem;
use super::reply::version_tag;

/// No template has more parameters.
const PARAMS_MAX: usize = 4;

/// One request, after the guard has let it in.
pub struct Request {
    pub(super) head: Parts,
    pub(super) body: Body,
    pub(super) template: &'static str,
    pub(super) params: Params,
    pub(super) identity: Identity,
    pub(super) address: IpAddr,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) trace: Trace,
    pub(super) deadline: Instant,
    pub(super) budgets: Budgets,
    /// Of the request with the body read last.
    pub(super) fingerprint: Option<u128>,
    pub(super) limits: Arc<Limits>,
}

/// What one request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budgets {
    pub(super) body_bytes_max: usize,
    pub(super) body_timeout: Duration,
    pub(super) request_timeout: Duration,
}

/// Where the template's parameters are in the path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Params {
    ranges: [(u16, u16); PARAMS_MAX],
    count: usize,
}

impl Params {
    /// Remembers the next parameter as a range of the path; `false` if there is no room.
    pub(super) fn push(&mut self, start: usize, length: usize) -> bool {
        let (Ok(from), Ok(to)) = (u16::try_from(start), u16::try_from(start + length)) else {
            return false;
        };
        let Some(range) = self.ranges.get_mut(self.count) else {
            return false;
        };
        *range = (from, to);
        self.count += 1;
        true
    }

    fn get<'path>(&self, index: usize, path: &'path str) -> Option<&'path str> {
        let (from, to) = self.ranges[..self.count].get(index)?;
        path.get(usize::from(*from)..usize::from(*to))
    }
}

impl Request {
    /// Who is asking.
    ///
    /// # Errors
    /// 401 `http.unauthenticated`, `http.token_invalid` or `http.token_expired`.
    pub fn caller(&self) -> Result<Caller, Problem> {
        self.identity.caller()
    }

    /// Who is asking, or `None` for anybody without a valid token. Only for what everybody may see.
    pub fn caller_if_known(&self) -> Option<Caller> {
        self.identity.caller().ok()
    }

    /// Who is asking, if they have this role.
    ///
    /// # Errors
    /// 401 without a valid token; 403 `http.forbidden` without the role.
    pub fn require(&self, role: Role) -> Result<Caller, Problem> {
        let caller = self.caller()?;
        caller.require(role)?;
        Ok(caller)
    }

    /// Refuses a caller who has named too many codes lately that there are not.
    ///
    /// # Errors
    /// 401 without a valid token; 429 `http.rate_limited`.
    pub fn may_guess(&self) -> Result<(), Problem> {
        self.limits.may_guess(&self.caller()?)
    }

    /// Counts a code that there is not.
    pub fn guessed_wrong(&self) {
        if let Ok(caller) = self.caller() {
            self.limits.guessed_wrong(&caller);
        }
    }

    /// The path parameter `name` of the route's template.
    ///
    /// # Errors
    /// 400 `http.malformed_id` when it is not of this kind.
    ///
    /// # Panics
    /// If the template has no such parameter: a slip in the handler, which its first test shows.
    pub fn path<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Problem> {
        let index = parameters(self.template).position(|one| one == name);
        let text = index.and_then(|index| self.params.get(index, self.head.uri.path()));
        let text = text.expect("handlers ask for parameters of their own template");
        text.parse().map_err(|error: T::Err| {
            Problem::new(
                Class::Malformed,
                "http.malformed_id",
                "An id in the path is not of the expected kind.",
            )
            .parameter(name, error.to_string())
        })
    }

    /// The query, all of it: a parameter that `T` does not know must be refused by its
    /// `#[serde(deny_unknown_fields)]`.
    ///
    /// # Errors
    /// 400 `http.invalid_query`.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_urlencoded::from_str(self.head.uri.query().unwrap_or_default()).map_err(|error| {
            let detail = error.to_string();
            invalid_query(body::field_named_in(&detail).unwrap_or("query"), &detail)
        })
    }

    /// The JSON body.
    ///
    /// # Errors
    /// 415 for another content type or a content encoding, 413 above the limit, 408 when it does not arrive in time, and 400
    /// `http.invalid_body` with the place by JSON pointer.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        body::json_only(&self.head.headers)?;
        let bytes = self.bytes().await?;
        body::parse(&bytes)
    }

    /// The JSON body of a request that may do without one.
    ///
    /// # Errors
    /// As [`Request::json`], unless there is no body.
    pub async fn json_if_any<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Problem> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        body::json_only(&self.head.headers)?;
        body::parse(&bytes).map(Some)
    }

    /// The body as it came, for signatures over the raw bytes.
    ///
    /// # Errors
    /// 415 `http.unsupported_content_encoding` if it is compressed, 413 above the limit, 408 when it does not arrive in time, 400 when the client breaks off.
    pub async fn bytes(&mut self) -> Result<Bytes, Problem> {
        body::unencoded_only(&self.head.headers)?;
        let body = std::mem::replace(&mut self.body, Body::Whole(Bytes::new()));
        let bytes = body
            .read(self.budgets.body_bytes_max, self.budgets.body_timeout)
            .await?;
        // The time that a slow client took is not taken from the work.
        self.deadline = Instant::now() + self.budgets.request_timeout;
        if self.key.is_some() {
            self.fingerprint = Some(idempotency::fingerprint(self.target(), &bytes));
        }
        Ok(bytes)
    }

    /// Deadline, operation and trace of the request; call it after the body has been read.
    pub fn context(&self) -> Context {
        Context {
            deadline: self.deadline,
            operation: self.operation(),
            trace: self.trace,
        }
    }

    /// The operation that the client named with an Idempotency-Key.
    pub fn operation(&self) -> Option<Operation> {
        let key = self.key.as_ref()?;
        let fingerprint = self
            .fingerprint
            .unwrap_or_else(|| idempotency::fingerprint(self.target(), b""));
        Some(key.operation(self.caller_if_known().as_ref(), self.template, fingerprint))
    }

    /// The value of If-Match.
    pub fn if_match(&self) -> Option<&str> {
        self.header(IF_MATCH)
    }

    /// The version named by If-Match, as [`super::Reply::version`] writes it; `None` without the header or for `*`.
    ///
    /// # Errors
    /// 412 `http.stale`: any other tag cannot be the current one.
    pub fn if_match_version(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.head.headers.get(IF_MATCH) else {
            return Ok(None);
        };
        if value == "*" {
            return Ok(None);
        }
        let version = value
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok())
            .filter(|version| version_tag(*version) == *value);
        version.map(Some).ok_or_else(stale)
    }

    /// The value of If-None-Match. Replies with an entity tag are compared with it without the handler's help.
    pub fn if_none_match(&self) -> Option<&str> {
        self.header(IF_NONE_MATCH)
    }

    /// The one value of a header, if it is visible ASCII.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// All headers, for signatures and the like.
    pub fn headers(&self) -> &HeaderMap<HeaderValue> {
        &self.head.headers
    }

    /// What the client calls itself, cut to 200 characters.
    pub fn user_agent(&self) -> Option<&str> {
        self.header(USER_AGENT)
            .map(|text| text.get(..200).unwrap_or(text))
    }

    /// The client's address, past the proxies that are trusted.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    fn target(&self) -> &str {
        self.head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
    }
}

/// 412: the thing has changed since the caller last saw it.
pub fn stale() -> Problem {
    Problem::new(
        Class::PreconditionFailed,
        "http.stale",
        "It has changed since you last read it.",
    )
}

/// The parameter names of a template, in order.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    template
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// The header that names a request across systems.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The client's request id, if it is short visible ASCII; anything else is replaced by one of ours.
pub(super) fn client_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let value = headers.get(X_REQUEST_ID)?;
    let bytes = value.as_bytes();
    let usable =
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic);
    usable.then_some(value)
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use lyceum_domain::ids::{CourseId, OrderId};
    use serde::Deserialize;

    use super::*;

    /// A request to `template` whose parameters are found as the router would.
    pub(in crate::http) fn request(template: &'static str, target: &str, body: &'static [u8]) -> Request {
        let (head, ()) = hyper::Request::builder()
            .uri(target)
            .header("content-type", "application/json; charset=utf-8")
            .body(())
            .unwrap()
            .into_parts();
        let path = head.uri.path();
        let mut params = Params::default();
        for (pattern, segment) in template.split('/').zip(path.split('/')) {
            if pattern.starts_with('{') {
                let start = segment.as_ptr().addr() - path.as_ptr().addr();
                assert!(params.push(start, segment.len()));
            }
        }
        Request {
            head,
            body: Body::Whole(Bytes::from_static(body)),
            template,
            params,
            identity: Identity::Anonymous,
            address: Ipv4Addr::LOCALHOST.into(),
            key: None,
            trace: Trace::default(),
            deadline: Instant::now(),
            budgets: Budgets {
                body_bytes_max: 1024,
                body_timeout: Duration::from_secs(1),
                request_timeout: Duration::from_secs(1),
            },
            fingerprint: None,
            limits: Arc::new(Limits::new(
                &crate::http::settings::for_tests(&[]).rate,
                Instant::now(),
            )),
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Query {
        q: Option<String>,
        limit: Option<u8>,
    }

    #[test]
    fn path_parameters_are_parsed_by_kind() {
        let course: CourseId = "crs_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let request = request(
            "/v1/courses/{id}/x/{other}",
            &format!("/v1/courses/{course}/x/7"),
            b"",
        );

        assert_eq!(request.path::<CourseId>("id").unwrap(), course);
        assert_eq!(request.path::<u32>("other").unwrap(), 7);
        let wrong_kind = request.path::<OrderId>("id").unwrap_err();
        assert_eq!(
            (wrong_kind.status().as_u16(), wrong_kind.code()),
            (400, "http.malformed_id")
        );
    }

    #[test]
    fn unknown_or_unreadable_query_parameters_are_refused() {
        let query = |target| {
            request("/v1/courses", target, b"")
                .query::<Query>()
                .map_err(|problem| problem.code())
        };

        assert_eq!(query("/v1/courses"), Ok(Query { q: None, limit: None }));
        assert_eq!(
            query("/v1/courses?q=a%20b&limit=7"),
            Ok(Query {
                q: Some("a b".into()),
                limit: Some(7)
            })
        );
        for target in [
            "/v1/courses?limit=x",
            "/v1/courses?offset=1",
            "/v1/courses?limit=1&limit=2",
        ] {
            assert_eq!(query(target), Err("http.invalid_query"), "{target}");
        }
    }

    #[test]
    fn if_match_accepts_only_a_version_as_it_was_written() {
        let version = |tag: &str| {
            let mut request = request("/", "/", b"");
            request.head.headers.insert(IF_MATCH, tag.parse().unwrap());
            request
                .if_match_version()
                .map_err(|problem| problem.status().as_u16())
        };

        assert_eq!(version("\"7\""), Ok(Some(7)));
        assert_eq!(version("*"), Ok(None));
        for tag in ["7", "W/\"7\"", "\"07\"", "\"x\"", "\"7\", \"8\""] {
            assert_eq!(version(tag), Err(412), "{tag}");
        }
    }

    #[tokio::test]
    async fn the_operation_covers_the_body_that_was_read() {
        let operation = async |body| {
            let mut request = request("/v1/orders", "/v1/orders", body);
            request
                .head
                .headers
                .insert(idempotency::IDEMPOTENCY_KEY, "k".parse().unwrap());
            request.key = IdempotencyKey::read(&request.head.headers, idempotency::Key::Required).unwrap();
            request.bytes().await.unwrap();
            request.context().operation.unwrap()
        };

        let (one, same, other) = (
            operation(b"1").await,
            operation(b"1").await,
            operation(b"2").await,
        );

        assert_eq!(one, same);
        assert_eq!(one.id, other.id);
        assert_ne!(one.fingerprint, other.fingerprint);
    }

    #[test]
    fn long_or_unprintable_request_ids_are_not_echoed() {
        let echoed = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
            client_request_id(&headers).is_some()
        };

        assert!(echoed("abc-123"));
        assert!(echoed(&"x".repeat(128)));
        assert!(!echoed(&"x".repeat(129)));
        assert!(!echoed("a b"));
        assert!(!echoed(""));
    }
}
