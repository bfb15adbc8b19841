//! A client as thin as can be, because it shares the cores with what it measures: requests are ready-made bytes, an
//! answer is read up to its `content-length`, and nothing is allocated in between.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

const BUFFER_BYTES: usize = 64 * 1024;

/// Renders one request for keep-alive connections.
pub(crate) fn request(
    method: &str,
    path: &str,
    token: Option<&str>,
    key: Option<&str>,
    body: Option<&Value>,
) -> Bytes {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    let mut header = |name: &str, value: &str| {
        text.extend([name, ": ", value, "\r\n"]);
    };
    if let Some(token) = token {
        header("authorization", &format!("Bearer {token}"));
    }
    if let Some(key) = key {
        header("idempotency-key", key);
    }
    let body = body.map(Value::to_string);
    if let Some(body) = &body {
        header("content-type", "application/json");
        header("content-length", &body.len().to_string());
    }
    text.push_str("\r\n");
    text.push_str(body.as_deref().unwrap_or_default());
    text.into()
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a request was answered with.
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: &'a [u8],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head_end = loop {
            filled = self.read_more(filled).await?;
            if let Some(end) = head_end(&self.buffer[..filled]) {
                break end;
            }
        };
        let head = parse_head(&self.buffer[..head_end])?;
        let end = head_end + head.body_bytes;
        while filled < end {
            filled = self.read_more(filled).await?;
        }
        Ok(Answer {
            status: head.status,
            head: &self.buffer[..head_end],
            body: &self.buffer[head_end..end],
        })
    }

    async fn read_more(&mut self, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            self.buffer.resize(filled * 2, 0);
        }
        match self.stream.read(&mut self.buffer[filled..]).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            more => Ok(filled + more),
        }
    }
}

/// Sends one request over a connection of its own and reads the answer as JSON.
///
/// # Errors
/// The connection broke, or the status is not `expected`.
pub(crate) async fn call(address: SocketAddr, request: &[u8], expected: &[u16]) -> Result<Value, Failure> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.exchange(request).await?;
    if !expected.contains(&answer.status) {
        let line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let body = String::from_utf8_lossy(answer.body);
        return Err(format!("{line} was answered with {}: {body}", answer.status).into());
    }
    Ok(serde_json::from_slice(answer.body).unwrap_or(Value::Null))
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_bytes: usize,
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|position| position + 4)
}

fn parse_head(head: &[u8]) -> io::Result<Head> {
    let broken = || io::Error::new(ErrorKind::InvalidData, "not an answer with a content-length");
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse::<usize>().ok();
    let status = head.get(9..12).and_then(number).ok_or_else(broken)?;
    let status = u16::try_from(status).map_err(|_| broken())?;
    let length = header(head, b"content-length").and_then(number);
    match length {
        Some(body_bytes) => Ok(Head { status, body_bytes }),
        None if status == 204 || status == 304 => Ok(Head {
            status,
            body_bytes: 0,
        }),
        None => Err(broken()),
    }
}

/// The value of a header, its name in lower case.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (before, after) = line.split_at_checked(name.len())?;
        let value = after.strip_prefix(b":")?;
        before.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_empty_line() {
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\n\r\n{}"), Some(19));
    }

    #[test]
    fn status_and_length_are_read_whatever_the_case() {
        let head = parse_head(b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n");

        assert_eq!(
            head.unwrap(),
            Head {
                status: 201,
                body_bytes: 12
            }
        );
    }

    #[test]
    fn an_answer_of_unknown_length_is_refused() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert_eq!(
            parse_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().body_bytes,
            0
        );
    }

    #[test]
    fn a_request_is_rendered_with_what_it_was_given() {
        let body = serde_json::json!({"a": 1});
        let bytes = request("POST", "/x", Some("t"), Some("k"), Some(&body));

        assert_eq!(
            bytes,
            "POST /x HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer t\r\nidempotency-key: k\r\n\
             content-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}"
        );
    }
}
