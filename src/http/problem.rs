//! Refusals on the wire: RFC 9457 problem details, and the only mapping from an error's class to a status.
//!
//! Clients tell problems apart by `code`, which is stable. Internal causes are logged here, once, and never
//! shown.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use lyceum_kernel::{Class, Coded};
use lyceum_runtime::{AskError, CpuError, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::Reply;

/// When a store or an entity is away, most are back within a second.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// A quarantined entity rests for seconds, so that asking earlier is in vain.
const RETRY_LATER: Duration = Duration::from_secs(10);

/// Why a request was not carried out.
///
/// It is a pointer wide, because every handler returns one in its `Result`.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    retryable: bool,
    errors: Vec<FieldError>,
    current_state: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with one part of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where in the JSON body, as an RFC 6901 pointer such as `/items/0/course_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Which path or query parameter, or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong with it.
    pub detail: String,
}

/// The body of every refusal (RFC 9457, `application/problem+json`).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Identifies the kind of problem: `urn:lyceum:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// What happened, in words that may change.
    pub detail: &'a str,
    /// The stable code, such as `commerce.order_not_found`.
    pub code: &'a str,
    /// Names this request in the server's log.
    pub request_id: &'a str,
    /// Whether the same request may succeed later; with its Idempotency-Key if it had one.
    pub retryable: bool,
    /// What is wrong with the parts of the request.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub errors: &'a [FieldError],
    /// The state that refused a transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<&'a str>,
}

/// The one place where a class becomes a status.
fn status(class: Class) -> StatusCode {
    match class {
        Class::Malformed => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict => StatusCode::CONFLICT,
        Class::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Class::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Class::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Problem {
    /// A refusal of this class, with its stable code and a text for people.
    pub fn new(class: Class, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem = Problem::with_status(status(class), code, detail);
        match class {
            Class::Unavailable | Class::TooMany => problem.retryable().retry_after(RETRY_SOON),
            Class::Unauthenticated => problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Class::Malformed
            | Class::PaymentRequired
            | Class::Forbidden
            | Class::NotFound
            | Class::Conflict
            | Class::PreconditionFailed
            | Class::Unprocessable => problem,
        }
    }

    /// The refusal that a domain's error stands for.
    pub fn from_error(error: &impl Coded) -> Self {
        let mut problem = Problem::new(error.class(), error.code(), error.to_string());
        problem.0.current_state = error.current_state();
        problem
    }

    /// A fault of the server: the cause goes to the log, the client learns only the request id.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "request failed");
        Problem::with_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "http.internal",
            "The server failed to do this.",
        )
    }

    /// 404 for a path that no route has.
    pub(super) fn no_route() -> Self {
        Problem::new(
            Class::NotFound,
            "http.route_not_found",
            "There is nothing at this path.",
        )
    }

    /// A status that only HTTP itself knows of (405, 408, 413, 415, 431), which no class stands for.
    pub(super) fn protocol(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Problem::with_status(status, code, detail)
    }

    fn with_status(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem(Box::new(Inner {
            status,
            code,
            detail: detail.into(),
            retryable: false,
            errors: Vec::new(),
            current_state: None,
            retry_after: None,
            headers: Vec::new(),
        }))
    }

    /// Adds what is wrong with one part of the body, by JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
        };
        self.0.errors.push(error);
        self
    }

    /// Adds what is wrong with a path or query parameter or a header.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError {
            pointer: None,
            parameter: Some(name.into()),
            detail: detail.into(),
        };
        self.0.errors.push(error);
        self
    }

    /// Names the state that refused.
    #[must_use]
    pub fn current_state(mut self, state: impl Into<Cow<'static, str>>) -> Self {
        self.0.current_state = Some(state.into());
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(super) fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What is wrong with the parts of the request.
    pub(super) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The status it is sent with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Writes the response.
    pub(super) fn into_reply(self, request_id: &str) -> Reply {
        let inner = *self.0;
        let body = ProblemBody {
            kind: format!("urn:lyceum:problem:{}", inner.code),
            title: inner.status.canonical_reason().unwrap_or("Error"),
            status: inner.status.as_u16(),
            detail: &inner.detail,
            code: inner.code,
            request_id,
            retryable: inner.retryable,
            errors: &inner.errors,
            current_state: inner.current_state.as_deref(),
        };
        let text = serde_json::to_vec(&body).expect("texts and numbers only: always writable as JSON");
        let mut reply = Reply::bytes(inner.status, "application/problem+json", Bytes::from(text));
        if let Some(delay) = inner.retry_after {
            reply = reply.header(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
        for (name, value) in inner.headers {
            reply = reply.header(name, value);
        }
        reply
    }
}

/// Seconds rounded up, at least one: a zero would invite an immediate retry.
pub(super) fn whole_seconds(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1)
}

impl<E: Coded> From<AskError<E>> for Problem {
    fn from(error: AskError<E>) -> Self {
        let unavailable = |code, detail: &'static str| Problem::new(Class::Unavailable, code, detail);
        match error {
            AskError::Refused(refusal) => Problem::from_error(&refusal),
            AskError::Unavailable => unavailable("http.unavailable", "A store is away. Nothing was changed."),
            AskError::Overloaded => {
                unavailable("http.overloaded", "Too much is waiting. Nothing was changed.")
            }
            AskError::Expired => unavailable("http.expired", "There was no time left. Nothing was changed."),
            AskError::NotOwner => {
                unavailable("http.moved", "It is moving to another node. Nothing was changed.")
            }
            AskError::Quarantined => unavailable(
                "http.quarantined",
                "It failed too often and rests for a while. Nothing was changed.",
            )
            .retry_after(RETRY_LATER),
            AskError::Unknown => unavailable(
                "http.outcome_unknown",
                "It may have happened. Repeat the request with the same Idempotency-Key to learn the outcome.",
            ),
            AskError::Failed => {
                Problem::internal("an entity failed while carrying out a request").retryable()
            }
            AskError::KeyReused => Problem::new(
                Class::Unprocessable,
                "http.idempotency_key_reused",
                "The Idempotency-Key was used before with another request.",
            ),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => {
                tracing::warn!(error = %cause, "store unavailable");
                Problem::new(
                    Class::Unavailable,
                    "http.unavailable",
                    "A store is away. Try again.",
                )
            }
            StoreError::Refused(cause) => Problem::internal(cause),
        }
    }
}

impl From<CpuError> for Problem {
    fn from(error: CpuError) -> Self {
        match error {
            CpuError::Overloaded => Problem::new(
                Class::Unavailable,
                "http.overloaded",
                "Too much is being computed. Try again.",
            ),
            CpuError::Panicked => Problem::internal("a computation panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, thiserror::Error)]
    #[error("the order is already paid")]
    struct AlreadyPaid;

    impl Coded for AlreadyPaid {
        fn code(&self) -> &'static str {
            "commerce.already_paid"
        }

        fn class(&self) -> Class {
            Class::Conflict
        }

        fn current_state(&self) -> Option<Cow<'static, str>> {
            Some("paid".into())
        }
    }

    fn written(problem: Problem) -> (Reply, serde_json::Value) {
        let reply = problem.into_reply("req_1");
        let body = serde_json::from_slice(reply.body()).unwrap();
        (reply, body)
    }

    #[test]
    fn every_class_has_its_status() {
        for (class, expected) in [
            (Class::Malformed, 400),
            (Class::Unauthenticated, 401),
            (Class::PaymentRequired, 402),
            (Class::Forbidden, 403),
            (Class::NotFound, 404),
            (Class::Conflict, 409),
            (Class::PreconditionFailed, 412),
            (Class::Unprocessable, 422),
            (Class::TooMany, 429),
            (Class::Unavailable, 503),
        ] {
            assert_eq!(
                Problem::new(class, "test.code", "text").status().as_u16(),
                expected,
                "{class:?}"
            );
        }
    }

    #[test]
    fn a_refusal_carries_code_state_and_request_id() {
        let (reply, body) = written(AskError::Refused(AlreadyPaid).into());

        assert_eq!(reply.status().as_u16(), 409);
        assert_eq!(body["type"], "urn:lyceum:problem:commerce.already_paid");
        assert_eq!(body["code"], "commerce.already_paid");
        assert_eq!(body["current_state"], "paid");
        assert_eq!(body["request_id"], "req_1");
        assert_eq!(body["retryable"], false);
        assert!(body.get("errors").is_none());
    }

    #[test]
    fn whatever_may_be_retried_says_when() {
        for error in [
            AskError::<AlreadyPaid>::Unavailable,
            AskError::Overloaded,
            AskError::Expired,
            AskError::NotOwner,
            AskError::Quarantined,
            AskError::Unknown,
        ] {
            let (reply, body) = written(error.clone().into());

            assert_eq!(reply.status().as_u16(), 503, "{error:?}");
            assert_eq!(body["retryable"], true, "{error:?}");
            assert!(reply.headers().contains_key(RETRY_AFTER), "{error:?}");
        }
    }

    #[test]
    fn internal_causes_are_never_shown() {
        let (reply, body) = written(StoreError::refused("password of db is hunter2").into());

        assert_eq!(reply.status().as_u16(), 500);
        assert!(!body.to_string().contains("hunter2"));
    }

    #[test]
    fn parts_of_a_request_are_named_by_pointer_or_parameter() {
        let problem = Problem::new(Class::Malformed, "http.invalid_body", "text")
            .at("/items/0", "missing")
            .parameter("limit", "too large");

        let (_, body) = written(problem);

        assert_eq!(body["errors"][0]["pointer"], "/items/0");
        assert_eq!(body["errors"][1]["parameter"], "limit");
    }

    #[test]
    fn a_delay_is_rounded_up_to_at_least_a_second() {
        for (milliseconds, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (90_000, 90)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds);
        }
    }
}
