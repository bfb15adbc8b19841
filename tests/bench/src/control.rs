//! The control: hyper and nothing else, answering with what Lyceum answered to the same requests, in turn.
//!
//! As many different answers as Lyceum gives: a thousand bodies do not fit where one does, in a processor's cache.
//! It has what Lyceum has below its own code: the allocator of this binary, as many workers as cores, HTTP/1.1 with
//! keep-alive, no Nagle. So its CPU time for a request is what any server on hyper must spend to send these bytes.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::Failure;
use crate::http::Connection;

/// How far apart connections begin; odd, so that they spread over any number of answers.
const STRIDE: usize = 37;
/// Headers that hyper writes itself.
const WRITTEN_BY_HYPER: [&str; 3] = ["date", "content-length", "connection"];

/// An answer, as it is kept in a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Recorded {
    /// Asks a server once and keeps what it answers.
    ///
    /// # Errors
    /// The connection broke, or the answer is not a JSON success.
    pub(crate) async fn from_server(address: SocketAddr, request: &[u8]) -> Result<Self, Failure> {
        let mut connection = Connection::open(address).await?;
        let answer = connection.exchange(request).await?;
        if answer.status != 200 {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("the answer to record is {}: {body}", answer.status).into());
        }
        Ok(Recorded {
            status: answer.status,
            headers: headers(std::str::from_utf8(answer.head)?),
            body: std::str::from_utf8(answer.body)?.to_owned(),
        })
    }

    /// Bytes of the body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body.len()
    }
}

fn headers(head: &str) -> Vec<(String, String)> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| !WRITTEN_BY_HYPER.contains(&name.as_str()))
        .collect()
}

/// Serves recorded answers until the process is ended.
///
/// # Errors
/// The file cannot be read, or the address is taken.
pub(crate) async fn serve(address: SocketAddr, file: &Path) -> Result<(), Failure> {
    let recorded: Vec<Recorded> = serde_json::from_slice(&fs::read(file)?)?;
    let answers: Arc<[Answer]> = recorded.into_iter().map(Answer::new).collect::<Result<_, _>>()?;
    if answers.is_empty() {
        return Err("there is nothing to answer with".into());
    }

    let listener = TcpListener::bind(address).await?;
    let mut connections = 0_usize;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // Every connection begins elsewhere, as every caller does.
        let (answers, turn) = (answers.clone(), Cell::new(connections));
        connections = connections.wrapping_add(STRIDE);
        let answer = service_fn(move |_| {
            let answer = &answers[turn.replace(turn.get().wrapping_add(1)) % answers.len()];
            std::future::ready(Ok::<_, Infallible>(answer.respond()))
        });
        // How a connection ends is the client's business.
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(None);
        tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
    }
}

/// An answer, ready to be sent.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn new(recorded: Recorded) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in recorded.headers {
            headers.append(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
        }
        Ok(Answer {
            status: StatusCode::from_u16(recorded.status)?,
            headers,
            body: Bytes::from(recorded.body),
        })
    }

    fn respond(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_headers_are_kept_but_those_that_hyper_writes() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ndate: now\r\nx: a: b\r\ncontent-length: 2\r\n\r\n";

        let kept = headers(head);

        let expected = [("content-type", "application/json"), ("x", "a: b")];
        assert_eq!(
            kept,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
