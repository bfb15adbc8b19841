//! What a handler answers with, and how it becomes a response.
//!
//! Conditional requests are answered here, once for all: a reply with an entity tag that the client already
//! has becomes a 304 without a body.

use std::sync::LazyLock;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NOSNIFF: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-content-type-options"),
    HeaderValue::from_static("nosniff"),
);

/// The headers of what was rendered before: copying a map costs less than filling one.
static READY_MADE: LazyLock<HeaderMap> = LazyLock::new(|| {
    let (name, value) = NOSNIFF;
    HeaderMap::from_iter([
        (ETAG, HeaderValue::from_static("")),
        (CONTENT_TYPE, JSON),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (name, value),
    ])
});

/// A response on its way to the client.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    /// 200 with a JSON body.
    pub fn ok<T: Serialize + ?Sized>(body: &T) -> Self {
        Reply::json(StatusCode::OK, body)
    }

    /// 201 with a JSON body and the path of what was created.
    pub fn created<T: Serialize + ?Sized>(location: impl AsRef<str>, body: &T) -> Self {
        Reply::json(StatusCode::CREATED, body).located(location.as_ref())
    }

    /// 202 with a JSON body and the path at which the work can be followed.
    pub fn accepted<T: Serialize + ?Sized>(location: impl AsRef<str>, body: &T) -> Self {
        Reply::json(StatusCode::ACCEPTED, body).located(location.as_ref())
    }

    /// 204.
    pub fn no_content() -> Self {
        let (name, value) = NOSNIFF;
        Reply {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::from_iter([(name, value)]),
            body: Bytes::new(),
        }
    }

    /// 200 with JSON that was rendered before, and its entity tag.
    pub fn ready_made(body: Bytes, etag: &HeaderValue) -> Self {
        let mut headers = READY_MADE.clone();
        headers.insert(ETAG, etag.clone());
        Reply {
            status: StatusCode::OK,
            headers,
            body,
        }
    }

    /// Any status with a JSON body.
    pub fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Self {
        let text = serde_json::to_vec(body).expect("wire types have text keys and no failing fields");
        Reply::typed(status, JSON, Bytes::from(text))
    }

    /// Any status with a body that is not JSON.
    pub fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Reply::typed(status, HeaderValue::from_static(content_type), body)
    }

    fn typed(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        // Room for the headers nearly every response has, so that the map grows at most once.
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, content_type);
        let (name, value) = NOSNIFF;
        headers.insert(name, value);
        Reply {
            status,
            headers,
            body,
        }
    }

    fn located(self, location: &str) -> Self {
        let value =
            HeaderValue::from_str(location).expect("paths are made of ids and constants: visible ASCII");
        self.header(LOCATION, value)
    }

    /// Sets a header, replacing an earlier value.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the entity tag to a version: `"7"`, which `Request::if_match_version` reads back.
    #[must_use]
    pub fn version(self, version: u64) -> Self {
        self.header(ETAG, version_tag(version))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers set so far.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Finishes the response; `if_none_match` is that header of a GET or HEAD request.
    pub(super) fn finish(mut self, if_none_match: Option<&HeaderValue>) -> Response<Full<Bytes>> {
        let fresh = if_none_match.is_some_and(|known| {
            let tag = self.headers.get(ETAG);
            self.status == StatusCode::OK && tag.is_some_and(|tag| matches_any(known, tag))
        });
        if !self.headers.contains_key(CACHE_CONTROL) {
            // Whatever has a tag may be kept and must be asked about; anything else may hold personal data.
            let caching = if self.headers.contains_key(ETAG) {
                "no-cache"
            } else {
                "no-store"
            };
            self.headers
                .insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        }
        if fresh {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }

        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The entity tag of a version.
pub(super) fn version_tag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are visible ASCII")
}

/// Whether a list of entity tags names `tag`, compared weakly as RFC 9110 asks for If-None-Match.
pub(super) fn matches_any(list: &HeaderValue, tag: &HeaderValue) -> bool {
    if list == tag {
        return true;
    }
    let Ok(list) = list.to_str() else { return false };
    let tag = opaque(tag.to_str().unwrap_or_default());
    // A comma inside a tag would split it; our tags hold none, so such a tag simply does not match.
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || opaque(one) == tag)
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    fn status_for(known: Option<&'static str>) -> u16 {
        let reply = Reply::ready_made(Bytes::from_static(b"{}"), &tag("\"v1\""));
        reply.finish(known.map(tag).as_ref()).status().as_u16()
    }

    #[test]
    fn a_known_tag_is_answered_with_304_and_an_unknown_one_in_full() {
        for (known, status) in [
            (None, 200),
            (Some("\"v1\""), 304),
            (Some("W/\"v1\""), 304),
            (Some("\"v0\", \"v1\""), 304),
            (Some("*"), 304),
            (Some("\"v2\""), 200),
            (Some("v1"), 200),
        ] {
            assert_eq!(status_for(known), status, "{known:?}");
        }
    }

    #[test]
    fn a_304_has_no_body_but_keeps_its_tag() {
        let reply = Reply::ready_made(Bytes::from_static(b"{}"), &tag("\"v1\""));

        let response = reply.finish(Some(&tag("\"v1\"")));

        assert_eq!(response.headers()[ETAG], "\"v1\"");
        assert!(!response.headers().contains_key(CONTENT_TYPE));
    }

    #[test]
    fn only_what_has_a_tag_may_be_stored() {
        let private = Reply::ok(&1).finish(None);
        let tagged = Reply::ok(&1).version(7).finish(None);

        assert_eq!(private.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(tagged.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(tagged.headers()[ETAG], "\"7\"");
    }

    #[test]
    fn created_things_say_where_they_are() {
        let response = Reply::created("/v1/orders/ord_1", &1).finish(None);

        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()[LOCATION], "/v1/orders/ord_1");
    }
}
