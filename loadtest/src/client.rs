//! HTTP/1.1 as a load generator needs it: a connection per request in flight, kept for the next one.
//!
//! Flow: the last connection that became idle is taken, since it is the warmest; without one a new one is made, up to the
//! bound, beyond which requests wait in order. That wait is the target's doing and part of the latency. What could not be
//! written to a connection that had died meanwhile is sent again over a new one; what may have reached the target is not.
//!
//! A client belongs to one thread. Without its bound a stall of a third of a second at 30,000 requests a second would
//! open 10,000 connections, and then their making is what is measured.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::Failure;
use crate::outcome::ErrorKind;

/// The largest answer that is read; a page of the API has a hundredth.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request as it is sent.
pub(crate) type Sent = Request<Full<Bytes>>;

/// Where the target is.
#[derive(Clone, Debug)]
pub struct Site {
    /// The base address as it was given.
    pub url: String,
    address: SocketAddr,
    host: HeaderValue,
}

impl Site {
    /// Resolves a base address such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// It is no plain http address, or its name does not resolve.
    pub async fn resolve(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::new(format!("the target {url:?} {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        if uri.scheme_str() != Some("http") || uri.path() != "/" {
            return Err(wrong(
                "must be http://host:port without a path; TLS is for a proxy in front",
            ));
        }
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        let place = (
            authority.host().trim_matches(['[', ']']),
            authority.port_u16().unwrap_or(80),
        );
        let address = tokio::net::lookup_host(place)
            .await
            .ok()
            .and_then(|mut found| found.next())
            .ok_or_else(|| wrong("does not resolve"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("has no host"))?;
        Ok(Site {
            url: url.trim_end_matches('/').to_owned(),
            address,
            host,
        })
    }
}

/// An answer that is complete.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body as JSON; null if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The connections of one thread to the target.
pub(crate) struct Client {
    site: Site,
    timeout: Duration,
    seats: Semaphore,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// Makes a client without connections; `timeout` bounds a request with all that belongs to it.
    pub(crate) fn new(site: Site, timeout: Duration, connections_max: usize) -> Self {
        Client {
            site,
            timeout,
            seats: Semaphore::new(connections_max),
            idle: RefCell::default(),
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&self, mut request: Sent) -> Result<Answer, ErrorKind> {
        request.headers_mut().insert(HOST, self.site.host.clone());
        tokio::time::timeout(self.timeout, self.exchange(request))
            .await
            .unwrap_or(Err(ErrorKind::Timeout))
    }

    async fn exchange(&self, mut request: Sent) -> Result<Answer, ErrorKind> {
        let _seat = self.seats.acquire().await.expect("the semaphore is never closed");
        loop {
            let idle = self.idle.borrow_mut().pop();
            let fresh = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            if connection.ready().await.is_err() {
                if fresh {
                    return Err(ErrorKind::Reset);
                }
                continue;
            }
            let response = match connection.try_send_request(request).await {
                Ok(response) => response,
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !fresh => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(kind(refused.error())),
                },
            };
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| error.downcast_ref().map_or(ErrorKind::Protocol, kind))?
                .to_bytes();
            if !connection.is_closed() {
                self.idle.borrow_mut().push(connection);
            }
            return Ok(Answer { status, body });
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ErrorKind> {
        let open = async {
            let stream = TcpStream::connect(self.site.address).await?;
            stream.set_nodelay(true)?;
            http1::handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)
        };
        let (sender, connection) = open.await.map_err(|_: io::Error| ErrorKind::Connect)?;
        tokio::task::spawn_local(async move {
            // Whoever waits for an answer hears of a broken connection; an idle one is merely gone.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// Says why an exchange failed.
fn kind(error: &hyper::Error) -> ErrorKind {
    if error.is_parse() {
        ErrorKind::Protocol
    } else {
        ErrorKind::Reset
    }
}
