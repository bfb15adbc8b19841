//! HTTP/1.1 as bytes: requests that no well-behaved library would send, and answers read without one.
//!
//! A [`Wire`] is one connection. It knows how to frame an answer by `content-length` and by chunks, tells an end of file
//! from a reset, and reads at most `ANSWER_BYTES_MAX`. Every wait of the callers is bounded by their own timeout.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any answer of the API.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;
/// The server is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The status line and the headers, as they came.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// The stable code of a problem, or nothing.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether the server ends the connection after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// One connection, and what was read of it ahead of time.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or not within five seconds.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Wire {
            stream,
            read: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends this side of the connection; the other may go on.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads one answer; `None` at an end of file in front of it.
    ///
    /// # Errors
    /// The connection was reset, or what came is no answer.
    pub async fn answer(&mut self, to_head: bool) -> io::Result<Option<Answer>> {
        loop {
            if let Some((answer, used)) = parse(&self.read, to_head)? {
                self.read.drain(..used);
                // What is not final promises another.
                if answer.status >= 200 {
                    return Ok(Some(answer));
                }
            } else if self.more().await? == 0 {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads and forgets until the connection ends, however it ends.
    pub async fn ended(&mut self) {
        self.read.clear();
        while matches!(self.more().await, Ok(1..)) {
            self.read.clear();
        }
    }

    /// Both halves of the connection, for whoever does not speak in requests and answers.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    async fn more(&mut self) -> io::Result<usize> {
        if self.read.len() > ANSWER_BYTES_MAX {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.read.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.read).await
    }
}

/// An answer at the beginning of `bytes` and how many bytes it has, unless it is not whole yet.
fn parse(bytes: &[u8], to_head: bool) -> io::Result<Option<(Answer, usize)>> {
    let Some(head_bytes) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let broken = || io::Error::new(ErrorKind::InvalidData, "not an HTTP/1.1 answer");
    let head = String::from_utf8(bytes[..head_bytes].to_vec()).map_err(|_| broken())?;
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .ok_or_else(broken)?;
    let status = status.parse::<u16>().map_err(|_| broken())?;
    let mut answer = Answer {
        status,
        head,
        body: Vec::new(),
    };
    let rest = &bytes[head_bytes..];
    if to_head || status < 200 || status == 204 || status == 304 {
        return Ok(Some((answer, head_bytes)));
    }
    let body = if let Some(length) = answer.header("content-length") {
        let length = length.parse::<usize>().map_err(|_| broken())?;
        rest.get(..length).map(|body| (body.to_vec(), length))
    } else if answer.header("transfer-encoding").is_some() {
        unchunk(rest).ok_or_else(broken)?
    } else {
        return Err(broken());
    };
    Ok(body.map(|(body, used)| {
        answer.body = body;
        (answer, head_bytes + used)
    }))
}

/// A chunked body and the bytes that it took; the outer `None` is a body that is none.
#[expect(clippy::option_option, reason = "broken and not yet whole are different")]
fn unchunk(bytes: &[u8]) -> Option<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return Some(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at.checked_add(size)?.checked_add(2)?) else {
            return Some(None);
        };
        at += size + 2;
        if size == 0 {
            return Some(Some((body, at)));
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

/// Where `part` begins.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Renders a well-formed request.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: lyceum.test\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    let body = body.map(Value::to_string);
    if let Some(body) = &body {
        text.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    text.push_str(body.as_deref().unwrap_or_default());
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_framed_by_their_length_or_their_chunks() {
        let by_length = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 ";
        let by_chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";

        for bytes in [by_length.as_slice(), by_chunks] {
            let (answer, used) = parse(bytes, false).unwrap().unwrap();

            assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok".as_slice()));
            assert!(used == bytes.len() || bytes[used..] == *b"HTTP/1.1 ");
        }
        let (not_found, used) = parse(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n", true)
            .unwrap()
            .unwrap();
        assert_eq!((not_found.status, used), (404, 45));
    }

    #[test]
    fn what_is_not_whole_is_waited_for_and_what_is_no_answer_is_refused() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n", false).unwrap(), None);
        assert_eq!(
            parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", false).unwrap(),
            None
        );
        assert!(parse(b"SSH-2.0\r\n\r\n", false).is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n", false).is_err());
    }

    #[test]
    fn a_request_is_rendered_with_what_it_was_given() {
        let body = serde_json::json!({"a": 1});
        let text = request("POST", "/x", &[("x-a", "b")], Some(&body));

        assert_eq!(
            String::from_utf8(text).unwrap(),
            "POST /x HTTP/1.1\r\nhost: lyceum.test\r\nx-a: b\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}"
        );
    }
}
