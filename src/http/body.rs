//! Reading a body within its limits, and JSON with errors that name the place.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use lyceum_kernel::Class;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use self::strict::Strict;
use super::problem::Problem;

mod strict;

/// Memory taken on the word of a Content-Length before any byte has come.
const TRUSTED_BYTES: usize = 16 * 1024;
/// What is read of a body above the limit and thrown away: a client that sends before it reads would lose the answer
/// to a reset.
const DISCARDED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long that may take; the answer has been found already.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// A body that has not been read yet, or the bytes of one.
pub(super) enum Body {
    Incoming(Incoming),
    Whole(Bytes),
}

impl Body {
    pub(super) async fn read(self, max: usize, timeout: Duration) -> Result<Bytes, Problem> {
        let mut incoming = match self {
            Body::Whole(bytes) => return Ok(bytes),
            Body::Incoming(incoming) => incoming,
        };
        if incoming.is_end_stream() {
            return Ok(Bytes::new());
        }
        let announced = incoming.size_hint().lower();
        if announced > u64::try_from(max).unwrap_or(u64::MAX) {
            if usize::try_from(announced).is_ok_and(|length| length <= DISCARDED_BYTES_MAX) {
                discard(&mut incoming).await;
            }
            return Err(too_large());
        }
        let room = usize::try_from(announced).unwrap_or(max).min(TRUSTED_BYTES);
        tokio::time::timeout(timeout, collect(incoming, room, max))
            .await
            .unwrap_or_else(|_| Err(too_slow()))
    }
}

async fn collect(mut incoming: Incoming, room: usize, max: usize) -> Result<Bytes, Problem> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(
                Class::Malformed,
                "http.body_incomplete",
                "The body ended before it was complete.",
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        if length + data.len() > max {
            discard(&mut incoming).await;
            return Err(too_large());
        }
        // Nearly every body comes in one frame, which is then handed on without copying it.
        match first.take() {
            None if rest.is_empty() => first = Some(data),
            None => rest.extend_from_slice(&data),
            Some(start) => {
                rest.reserve(room.max(start.len() + data.len()));
                rest.extend_from_slice(&start);
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

async fn discard(incoming: &mut Incoming) {
    let reading = async {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(frame)) = incoming.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else {
                return;
            };
            left = rest;
        }
    };
    // Whether it came to an end makes no difference to the answer.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

/// The rest of such a body is not worth reading, so the connection ends with the answer.
fn too_large() -> Problem {
    Problem::protocol(
        StatusCode::PAYLOAD_TOO_LARGE,
        "http.body_too_large",
        "The body is larger than is accepted here.",
    )
    .header(CONNECTION, HeaderValue::from_static("close"))
}

fn too_slow() -> Problem {
    Problem::protocol(
        StatusCode::REQUEST_TIMEOUT,
        "http.body_timeout",
        "The body did not arrive in time.",
    )
    .retryable()
    .header(CONNECTION, HeaderValue::from_static("close"))
}

/// Refuses a body that does not claim to be JSON.
pub(super) fn json_only(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let json = essence.eq_ignore_ascii_case("application/json")
        || essence.get(..12).is_some_and(|start| {
            start.eq_ignore_ascii_case("application/") && essence.to_ascii_lowercase().ends_with("+json")
        });
    if json {
        return Ok(());
    }
    Err(Problem::protocol(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "http.unsupported_media_type",
        "The body must be JSON: Content-Type: application/json.",
    ))
}

/// Refuses a body that is compressed: what it unpacks to has no limit that could be kept before it is unpacked.
pub(super) fn unencoded_only(headers: &HeaderMap) -> Result<(), Problem> {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !encoded {
        return Ok(());
    }
    Err(Problem::protocol(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "http.unsupported_content_encoding",
        "The body must come as it is, without Content-Encoding.",
    )
    .header(ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

/// Parses JSON; whatever does not fit is named by pointer. Nesting is limited to 128 levels by the parser.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut parser)).map_err(|error| {
        let mut pointer = pointer(error.path());
        let cause = error.into_inner();
        // Where a name is expected the parser calls any other value a syntax error; only what is no JSON at all is one.
        if !cause.is_data() && serde_json::from_slice::<serde_json::Value>(bytes).is_err() {
            return malformed(&cause);
        }
        let detail = without_position(&cause);
        if let Some(name) = field_named_in(&detail) {
            let place = format!("/{}", escaped(name));
            if !pointer.ends_with(&place) {
                pointer.push_str(&place);
            }
        }
        Problem::new(
            Class::Malformed,
            "http.invalid_body",
            "The body does not have the expected shape.",
        )
        .at(pointer, detail)
    })?;
    parser.end().map_err(|cause| malformed(&cause))?;
    Ok(value)
}

fn malformed(cause: &serde_json::Error) -> Problem {
    Problem::new(Class::Malformed, "http.malformed_json", "The body is not JSON.").at("", cause.to_string())
}

/// The field that a message of serde's derive complains about: "unknown field `x`, expected …".
pub(super) fn field_named_in(message: &str) -> Option<&str> {
    let rest = ["unknown field `", "missing field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start))?;
    rest.split('`').next()
}

fn without_position(cause: &serde_json::Error) -> String {
    let mut text = cause.to_string();
    if let Some(end) = text.rfind(" at line ") {
        text.truncate(end);
    }
    // How our types are called is of no use to anybody.
    if let Some(end) = text.find(", expected struct ") {
        text.truncate(end);
        text.push_str(", expected an object");
    }
    // A message may quote the value that was sent; a long one is of no use to anybody.
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
    }
    text
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
            // A variant is written as a key of the object that holds it; what is unknown has no place.
            Segment::Enum { variant } => pointer.push_str(&format!("/{}", escaped(variant))),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::http::request::tests::request;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Order {
        items: Vec<Item>,
        note: Option<String>,
        #[serde(default)]
        level: Level,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Level {
        #[default]
        Easy,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Item {
        course_id: String,
    }

    fn refusal(text: &str) -> (&'static str, String) {
        let problem = parse::<Order>(text.as_bytes()).unwrap_err();
        let code = problem.code();
        let body: serde_json::Value = serde_json::from_slice(problem.into_reply("").body()).unwrap();
        (code, body["errors"][0]["pointer"].as_str().unwrap().to_owned())
    }

    #[test]
    fn errors_name_their_place_by_pointer() {
        for (text, place) in [
            (r#"{"items": [{"course_id": 7}]}"#, "/items/0/course_id"),
            (r#"{"items": [{"course_id": "a"}, {}]}"#, "/items/1/course_id"),
            (r#"{"items": [{"course_id": "a", "x/y": 1}]}"#, "/items/0/x~1y"),
            (r#"{"items": [], "items": []}"#, "/items"),
            (r#"{"nope": 1}"#, "/nope"),
            (r#"{"items": [], "level": 7}"#, "/level"),
            (r#"{"items": [], "level": null}"#, "/level"),
            (r#"{"items": [["a"]]}"#, "/items/0"),
            ("[1]", ""),
        ] {
            let (code, pointer) = refusal(text);

            assert_eq!(code, "http.invalid_body", "{text}");
            assert_eq!(pointer, place, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_json_value_is_malformed() {
        let nested = "[".repeat(100_000);
        for text in ["", "{", r#"{"items": []} x"#, "nul", nested.as_str()] {
            assert!(
                ["http.malformed_json", "http.invalid_body"].contains(&refusal_code(text)),
                "{:.20}",
                text
            );
        }
    }

    fn refusal_code(text: &str) -> &'static str {
        parse::<serde_json::Value>(text.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn only_json_is_accepted() {
        let accepted = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            json_only(&headers).is_ok()
        };

        assert!(accepted("application/json"));
        assert!(accepted("Application/JSON; charset=utf-8"));
        assert!(accepted("application/merge-patch+json"));
        assert!(!accepted("text/plain"));
        assert!(!accepted("application/x-www-form-urlencoded"));
        assert!(json_only(&HeaderMap::new()).is_err());
    }

    #[test]
    fn only_bodies_that_come_as_they_are_are_accepted() {
        let accepted = |coding: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            unencoded_only(&headers).is_ok()
        };

        assert!(unencoded_only(&HeaderMap::new()).is_ok());
        assert!(accepted("Identity"));
        for coding in ["gzip", "br", "identity, gzip", ""] {
            assert!(!accepted(coding), "{coding}");
        }
    }

    #[tokio::test]
    async fn a_body_may_be_left_out_only_where_that_is_allowed() {
        let missing = request("/", "/", b"").json::<Order>().await;
        let optional = request("/", "/", b"").json_if_any::<Order>().await;

        assert_eq!(missing.unwrap_err().code(), "http.malformed_json");
        assert!(optional.unwrap().is_none());
    }
}
