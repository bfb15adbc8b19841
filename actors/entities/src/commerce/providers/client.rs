//! The one HTTP client that payment providers are reached by.
//!
//! Only the configured address is ever dialled, redirects are not followed, and a whole exchange has one deadline. Whatever
//! is no whole answer in time is `None`: the caller knows nothing then, not even that nothing happened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lyceum_runtime::{StoreError, trace};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub(in crate::commerce) use hyper::Method;

/// No answer of the protocols comes near this.
pub(in crate::commerce) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longer codes are cut, so that a provider cannot fill our journal.
const CODE_CHARS_MAX: usize = 64;
/// One provider refuses calls of nobody in particular.
const WHO: &str = concat!("lyceum/", env!("CARGO_PKG_VERSION"));

/// Where a provider is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Base address of its API, without path: `https://api.stripe.com`.
    pub url: String,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, the connection included.
    pub request_timeout: Duration,
    /// PEM file with the authorities that an `https` address is verified by.
    pub ca_file: PathBuf,
}

/// Asks one provider, over HTTP/1.1.
pub(in crate::commerce) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    request_timeout: Duration,
}

/// An answer that arrived.
#[derive(Debug)]
pub(in crate::commerce) struct Answer {
    pub(in crate::commerce) status: u16,
    pub(in crate::commerce) body: Bytes,
    headers: HeaderMap,
}

impl Answer {
    /// One with this status and body.
    #[cfg(test)]
    pub(in crate::commerce) fn of(status: u16, body: &str) -> Self {
        Answer {
            status,
            body: Bytes::copy_from_slice(body.as_bytes()),
            headers: HeaderMap::new(),
        }
    }

    /// A header; empty if it is missing or no text.
    pub(in crate::commerce) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether all is well.
    pub(in crate::commerce) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it says for certain that nothing was done.
    pub(in crate::commerce) fn is_definite_refusal(&self) -> bool {
        (400..500).contains(&self.status)
            && self.status != StatusCode::REQUEST_TIMEOUT.as_u16()
            && self.status != StatusCode::TOO_MANY_REQUESTS.as_u16()
    }

    /// Whether it refuses us and not the call: a wrong key or a right that is missing. Payments wait until that is mended.
    pub(in crate::commerce) fn refuses_us(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED.as_u16() || self.status == StatusCode::FORBIDDEN.as_u16()
    }
}

impl HttpClient {
    /// A client that dials nothing but `settings.url`.
    ///
    /// # Errors
    /// The address has a path, a query or another scheme, or the authorities for `https` cannot be read.
    pub(in crate::commerce) fn new(settings: &ClientSettings) -> Result<Self, StoreError> {
        let uri: Uri = settings.url.parse().map_err(StoreError::refused)?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let (Some(scheme @ ("http" | "https")), Some(authority)) =
            (uri.scheme_str(), uri.authority().filter(|_| plain))
        else {
            return Err(StoreError::refused("a provider's address is http(s)://host:port"));
        };
        // A demo without TLS does without a file of authorities.
        let ca_file = (scheme == "https").then_some(settings.ca_file.as_path());
        let tls = trusting(ca_file)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(settings.connect_timeout));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(HttpClient {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: format!("{scheme}://{authority}"),
            request_timeout: settings.request_timeout,
        })
    }

    /// The address that is dialled, without a slash at its end.
    pub(in crate::commerce) fn base(&self) -> &str {
        &self.base
    }

    /// One exchange; `None` if there was no whole answer in time.
    pub(in crate::commerce) async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<Answer> {
        self.exchange_within(ANSWER_BYTES_MAX, method, path, headers, body)
            .await
    }

    /// As [`HttpClient::exchange`], for an answer of up to so many bytes.
    pub(in crate::commerce) async fn exchange_within(
        &self,
        bytes_max: usize,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(USER_AGENT, WHO);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let trace = trace::current();
        if trace.exists() {
            request = request.header("traceparent", trace.to_string());
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, bytes_max).collect().await.ok()?.to_bytes();
            Some(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        tokio::time::timeout(self.request_timeout, exchange)
            .await
            .ok()
            .flatten()
    }
}

/// TLS for whoever calls out, and trusts the authorities in a PEM file; without one it trusts nobody.
///
/// # Errors
/// The file cannot be read or holds no authority.
pub(crate) fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let roots = ca_file.map_or_else(|| Ok(RootCertStore::empty()), authorities)?;
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(StoreError::refused)?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn authorities(ca_file: &Path) -> Result<RootCertStore, StoreError> {
    let path = ca_file.display();
    let refused = |cause: &dyn std::fmt::Display| StoreError::refused(format!("{path}: {cause}"));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|cause| refused(&cause))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|cause| refused(&cause))?;
        // A bundle may hold one of a form that is not supported; the others are trusted all the same.
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, "an authority was left out");
        }
    }
    if roots.is_empty() {
        return Err(refused(&"holds no authority"));
    }
    Ok(roots)
}

/// A code of the provider as it is kept.
pub(in crate::commerce) fn code(code: Option<&str>, otherwise: &str) -> String {
    match code {
        Some(code) if !code.is_empty() => code.chars().take(CODE_CHARS_MAX).collect(),
        _ => otherwise.to_owned(),
    }
}

#[cfg(test)]
#[path = "client_test.rs"]
mod encrypted;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, ca_file: &str) -> ClientSettings {
        ClientSettings {
            url: url.to_owned(),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            ca_file: ca_file.into(),
        }
    }

    #[test]
    fn only_a_bare_address_is_dialled() {
        for (url, accepted) in [
            ("http://127.0.0.1:8090", true),
            ("http://127.0.0.1:8090/", true),
            ("http://127.0.0.1:8090/other", false),
            ("http://127.0.0.1:8090?a=b", false),
            ("ftp://127.0.0.1:8090", false),
            ("127.0.0.1:8090", false),
            ("", false),
        ] {
            assert_eq!(HttpClient::new(&settings(url, "")).is_ok(), accepted, "{url}");
        }
    }

    #[test]
    fn an_encrypted_address_needs_authorities_to_verify_it_by() {
        let nothing = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));

        for file in ["", "/nowhere", &nothing] {
            assert!(
                HttpClient::new(&settings("https://example.com", file)).is_err(),
                "{file}"
            );
        }
    }

    #[test]
    fn codes_are_cut_and_never_empty() {
        assert_eq!(code(Some("card_declined"), "declined"), "card_declined");
        assert_eq!(code(Some(""), "declined"), "declined");
        assert_eq!(code(None, "declined"), "declined");
        assert_eq!(code(Some(&"x".repeat(1000)), "declined").len(), CODE_CHARS_MAX);
    }
}
