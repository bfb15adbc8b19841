//! Calls addresses that strangers have named, and only such that are for the public.
//!
//! ```text
//! address ─ parsed ─ resolved ─ every IP address checked ─ connected to one that passed ─ TLS by its name ─ one exchange
//! ```
//!
//! The check is of the address that is dialled, after resolving: a name that is public when it is checked and private when
//! it is dialled does not exist here. Redirects are answers like any other and not followed. Time, headers and what is
//! read of the answer are bounded; the rest of it is never read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use lyceum_domain::webhooks::Error;
use lyceum_runtime::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::commerce::providers::client::trusting;

/// Addresses of one name that are tried; names with more are balanced by their resolver.
const ADDRESSES_MAX: usize = 4;
/// Bytes of an answer's head; twice what servers usually send, and the least that the parser takes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Receivers see whose events they are.
const WHO: &str = concat!("lyceum-webhooks/", env!("CARGO_PKG_VERSION"));

/// Whom may be called besides the public by https; production allows neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Addresses without TLS.
    pub plain_http: bool,
    /// This machine itself.
    pub loopback: bool,
}

/// An address that may be called, as far as its text tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The first bytes of its body.
    pub(super) head: Bytes,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took too long.
    Timeout,
    /// Its name is unknown, or nobody listens.
    Unreachable,
    /// It is not for the public.
    AddressRefused,
    /// Its certificate is not good, or it does not speak TLS.
    TlsFailed,
    /// It does not speak HTTP, or hung up.
    NoAnswer,
}

impl Failure {
    /// As the log of deliveries names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Failure::Timeout => "timeout",
            Failure::Unreachable => "unreachable",
            Failure::AddressRefused => "address_refused",
            Failure::TlsFailed => "tls_failed",
            Failure::NoAnswer => "no_answer",
        }
    }
}

impl Reach {
    /// Whether an IP address may be dialled.
    ///
    /// What is allowed is listed for IPv6 and what is not for IPv4, since that is how either is handed out.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => is_public_v4(v4) || self.loopback && v4.is_loopback(),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                // `::ffff:127.0.0.1` is dialled as 127.0.0.1.
                Some(v4) => self.allows(IpAddr::V4(v4)),
                None => is_public_v6(v6) || self.loopback && v6.is_loopback(),
            },
        }
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::UrlRefused`]: it is malformed, names a user, or is an IP address that may not be dialled.
    pub(super) fn target(self, url: &str) -> Result<Target, Error> {
        // The parser drops a fragment without a word.
        let uri: Uri = match url.parse() {
            Ok(uri) if !url.contains('#') => uri,
            _ => return Err(Error::UrlRefused),
        };
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.plain_http => false,
            _ => return Err(Error::UrlRefused),
        };
        let authority = uri.authority().ok_or(Error::UrlRefused)?;
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || authority.as_str().contains('@') {
            return Err(Error::UrlRefused);
        }
        if bare.parse::<IpAddr>().is_ok_and(|address| !self.allows(address)) {
            return Err(Error::UrlRefused);
        }
        let port = match (authority.port(), tls) {
            (Some(port), _) => port.as_u16(),
            // What stands where a port would, and is none.
            (None, _) if authority.as_str() != authority.host() => return Err(Error::UrlRefused),
            (None, true) => 443,
            (None, false) => 80,
        };
        let host = bare.to_owned();
        Ok(Target { uri, host, port, tls })
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // This network, loopback, multicast, and what is kept for later with the broadcast address.
        (0 | 127 | 224.., ..) => true,
        // Private.
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => true,
        // Carrier-grade NAT, link-local.
        (100, 64..=127, _) | (169, 254, _) => true,
        // Protocol assignments, documentation, 6to4 relays, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) | (198, 18..=19, _) => true,
        _ => false,
    };
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is handed out. Within it: Teredo and other assignments of protocols, documentation (twice), and 6to4, which
    // hides any IPv4 address.
    let handed_out = (0x2000..0x4000).contains(&first);
    let special = first == 0x2001 && (second < 0x0200 || second == 0x0db8)
        || first == 0x2002
        || first == 0x3fff && second < 0x1000;
    handed_out && !special
}

/// Makes calls; each has a connection of its own.
pub(super) struct Dialer {
    reach: Reach,
    tls: Option<TlsConnector>,
    connect_timeout: Duration,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Dialer {
    /// A dialler that trusts the authorities in a PEM file.
    ///
    /// # Errors
    /// The file cannot be read; where addresses without TLS may be called, those with TLS cannot be then.
    pub(super) fn new(
        reach: Reach,
        ca_file: &Path,
        connect_timeout: Duration,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<Self, StoreError> {
        let tls = match trusting(Some(ca_file)) {
            Ok(tls) => Some(TlsConnector::from(Arc::new(tls))),
            Err(error) if reach.plain_http => {
                tracing::warn!(%error, "webhooks to https addresses are not sent");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Dialer {
            reach,
            tls,
            connect_timeout,
            timeout,
            answer_bytes_max,
        })
    }

    /// Sends a JSON document to an address, within the time for one attempt.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, Failure> {
        tokio::time::timeout(self.timeout, self.exchange(url, headers, body))
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn exchange(&self, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Reply, Failure> {
        // What could be called when it was named may be out of reach by now.
        let target = self.reach.target(url).map_err(|_| Failure::AddressRefused)?;
        let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = target.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, WHO)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|_| Failure::AddressRefused)?;
        let stream = self.dial(&target).await?;
        if !target.tls {
            return self.talk(stream, request).await;
        }
        let tls = self.tls.as_ref().ok_or(Failure::TlsFailed)?;
        let name = ServerName::try_from(target.host).map_err(|_| Failure::TlsFailed)?;
        let stream = tls.connect(name, stream).await.map_err(|_| Failure::TlsFailed)?;
        self.talk(stream, request).await
    }

    /// Connects to an address of the target that may be dialled.
    async fn dial(&self, target: &Target) -> Result<TcpStream, Failure> {
        let resolved = lookup_host((target.host.as_str(), target.port)).await;
        let mut allowed: Vec<SocketAddr> = resolved.map_err(|_| Failure::Unreachable)?.collect();
        allowed.retain(|address| self.reach.allows(address.ip()));
        if allowed.is_empty() {
            return Err(Failure::AddressRefused);
        }
        allowed.truncate(ADDRESSES_MAX);
        for address in allowed {
            let connected = tokio::time::timeout(self.connect_timeout, TcpStream::connect(address)).await;
            if let Ok(Ok(stream)) = connected {
                return Ok(stream);
            }
        }
        Err(Failure::Unreachable)
    }

    /// One exchange over a connection, which ends with it.
    async fn talk<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Reply, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::NoAnswer)?;
        let exchange = pin!(async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|_| Failure::NoAnswer)?;
            Ok(self.read(response).await)
        });
        match select(exchange, pin!(connection)).await {
            Either::Left((reply, _)) => reply,
            // It was closed behind the answer, which may still have to be read.
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    /// The status, and the first bytes of the body: a body that ends badly changes nothing about either.
    async fn read(&self, response: Response<hyper::body::Incoming>) -> Reply {
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut head = Vec::new();
        while head.len() < self.answer_bytes_max {
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            if let Some(data) = frame.data_ref() {
                let room = self.answer_bytes_max - head.len();
                head.extend_from_slice(&data[..data.len().min(room)]);
            }
        }
        Reply {
            status,
            head: head.into(),
        }
    }
}

#[cfg(test)]
#[path = "dialer_test.rs"]
mod tests;
