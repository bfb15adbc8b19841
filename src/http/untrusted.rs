//! The parsers of the edge that meet bytes of strangers, for the fuzz targets: the server itself calls them where they are.

use hyper::header::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use super::idempotency::{IDEMPOTENCY_KEY, IdempotencyKey, Key};
use super::{body, guard};

/// Why a body was refused: the code, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub code: &'static str,
    /// JSON pointers (RFC 6901).
    pub pointers: Vec<String>,
}

/// Reads a body as JSON of one shape.
///
/// # Errors
/// It is not JSON, or of another shape.
pub fn json_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    body::parse(bytes).map_err(|problem| Refused {
        code: problem.code(),
        pointers: problem
            .errors()
            .iter()
            .filter_map(|error| error.pointer.clone())
            .collect(),
    })
}

/// The token of an Authorization header.
pub fn bearer(value: &str) -> Option<&str> {
    guard::bearer(value)
}

/// Whether these bytes are taken for an idempotency key.
pub fn is_idempotency_key(value: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return false;
    };
    let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, value)]);
    matches!(IdempotencyKey::read(&headers, Key::Required), Ok(Some(_)))
}
