//! A request before it is sent: small enough to be written to a history, cheap to make.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};

use crate::client::Sent;

/// What is asked of the target.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    pub(crate) key: Option<String>,
}

impl Ask {
    /// Asks without a body.
    pub(crate) fn new(method: Method, uri: Uri) -> Self {
        Ask {
            method,
            uri,
            body: Bytes::new(),
            key: None,
        }
    }

    /// Asks for a path that is made of ids.
    pub(crate) fn get(path: &str) -> Self {
        Ask::new(Method::GET, uri(path))
    }

    /// Posts JSON.
    pub(crate) fn post(path: &str, json: impl Into<Bytes>) -> Self {
        Ask {
            body: json.into(),
            ..Ask::new(Method::POST, uri(path))
        }
    }

    /// Names the operation, so that repeating it does nothing more.
    pub(crate) fn keyed(mut self, key: String) -> Self {
        self.key = Some(key);
        self
    }

    /// Makes what is sent.
    pub(crate) fn build(self, authorization: Option<&HeaderValue>) -> Sent {
        let has_body = !self.body.is_empty();
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        let headers = request.headers_mut();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = self.key.and_then(|key| HeaderValue::try_from(key).ok()) {
            headers.insert("idempotency-key", key);
        }
        request
    }
}

/// Makes a URI of a path; what the target's ids consist of needs no escaping, anything else asks for the root.
fn uri(path: &str) -> Uri {
    path.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// Escapes a text for a query.
pub(crate) fn percent(text: &str) -> String {
    use std::fmt::Write;

    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_script_fits_into_a_query() {
        assert_eq!(percent("a b&摄"), "a%20b%26%E6%91%84");
    }
}
