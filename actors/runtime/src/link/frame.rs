//! Frames: the length of what follows, what it is, and its bytes.
//!
//! ```text
//! u32 length │ u8 kind │ body          length counts kind and body; all numbers are big-endian
//! ```
//!
//! No frame is longer than `frame_max`. A message that is (a course's whole outline may be) travels as frames of the
//! kind [`PART`] that follow one another without others between them, and one of its own kind that ends it; no message is
//! longer than `message_max`. Whatever exceeds either ends the pipe, before a byte of it is kept.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The beginning or middle of a message.
pub(super) const PART: u8 = 0;
/// A command or question for an entity.
pub(super) const REQUEST: u8 = 1;
/// What became of a request or notice.
pub(super) const ANSWER: u8 = 2;
/// Asks whether anybody is there.
pub(super) const PING: u8 = 3;
/// Says so.
pub(super) const PONG: u8 = 4;
/// The sender takes no more requests; those it has are answered.
pub(super) const GOODBYE: u8 = 5;
/// A word from one cluster keeper to another.
pub(super) const NOTICE: u8 = 6;

/// Bytes of the length.
const LENGTH: usize = 4;
/// Bytes before the body.
const HEAD: usize = LENGTH + 1;
/// What is read at once; a batch of a hundred small frames.
const READ: usize = 64 * 1024;

/// How long things may be; each a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) frame_max: usize,
    pub(super) message_max: usize,
}

/// Why bytes are not frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes, which is more than is taken")]
    Oversize(usize),
    #[error("a frame without a kind")]
    Empty,
}

/// Appends a message of two parts as one frame, or as several if it is too long for one.
pub(super) fn push(out: &mut Vec<u8>, kind: u8, header: &[u8], payload: &[u8], limits: Limits) {
    let room = limits.frame_max - 1;
    let mut rest = (header, payload);
    while rest.0.len() + rest.1.len() > room {
        put(out, PART, &mut rest, room);
    }
    let last = rest.0.len() + rest.1.len();
    put(out, kind, &mut rest, last);
}

/// Appends one frame of the next `length` bytes.
fn put(out: &mut Vec<u8>, kind: u8, rest: &mut (&[u8], &[u8]), length: usize) {
    // No setting allows frames of 4 GiB.
    let counted = u32::try_from(length + 1).unwrap_or(u32::MAX);
    out.reserve(HEAD + length);
    out.extend_from_slice(&counted.to_be_bytes());
    out.push(kind);
    let of_header = length.min(rest.0.len());
    let of_payload = length - of_header;
    out.extend_from_slice(&rest.0[..of_header]);
    out.extend_from_slice(&rest.1[..of_payload]);
    *rest = (&rest.0[of_header..], &rest.1[of_payload..]);
}

/// What has been read of a pipe and not yet been taken.
#[derive(Debug)]
pub(super) struct Inflow {
    buffer: BytesMut,
    /// The parts of a message whose end has not come.
    parts: BytesMut,
    limits: Limits,
}

impl Inflow {
    pub(super) fn new(limits: Limits) -> Self {
        Inflow {
            buffer: BytesMut::new(),
            parts: BytesMut::new(),
            limits,
        }
    }

    /// Reads what is there, at least one byte; 0 when the other side has closed.
    pub(super) async fn fill(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(READ);
        }
        reader.read_buf(&mut self.buffer).await
    }

    /// The next whole message: its kind and its bytes.
    pub(super) fn next(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        loop {
            let Some((kind, body)) = self.frame()? else {
                return Ok(None);
            };
            if kind != PART && self.parts.is_empty() {
                return Ok(Some((kind, body)));
            }
            if self.parts.len() + body.len() > self.limits.message_max {
                return Err(FrameError::Oversize(self.parts.len() + body.len()));
            }
            self.parts.extend_from_slice(&body);
            if kind != PART {
                return Ok(Some((kind, std::mem::take(&mut self.parts).freeze())));
            }
        }
    }

    fn frame(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.limits.frame_max {
            return Err(FrameError::Oversize(length));
        }
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if self.buffer.len() < LENGTH + length {
            self.buffer.reserve(LENGTH + length - self.buffer.len());
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(LENGTH + length).freeze();
        let kind = frame[LENGTH];
        Ok(Some((kind, frame.split_off(HEAD))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        frame_max: 16,
        message_max: 64,
    };

    async fn read(bytes: &[u8]) -> Result<Vec<(u8, Bytes)>, FrameError> {
        let mut inflow = Inflow::new(LIMITS);
        let mut found = Vec::new();
        // One byte at a time, as the worst of networks would.
        for byte in bytes.chunks(1) {
            inflow.fill(&mut &*byte).await.unwrap();
            while let Some(message) = inflow.next()? {
                found.push(message);
            }
        }
        Ok(found)
    }

    #[tokio::test]
    async fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let mut out = Vec::new();
        push(&mut out, REQUEST, b"head", b"payload", LIMITS);
        push(&mut out, PING, &[], &[], LIMITS);
        push(&mut out, ANSWER, &[7; 20], &[8; 30], LIMITS);
        push(&mut out, GOODBYE, &[], &[], LIMITS);

        let found = read(&out).await.unwrap();

        let long = [[7; 20].as_slice(), &[8; 30]].concat();
        let expected: [(u8, &[u8]); 4] = [
            (REQUEST, b"headpayload"),
            (PING, b""),
            (ANSWER, &long),
            (GOODBYE, b""),
        ];
        let found: Vec<(u8, &[u8])> = found.iter().map(|(kind, body)| (*kind, body.as_ref())).collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn no_frame_on_the_wire_is_longer_than_allowed() {
        let mut out = Vec::new();

        push(&mut out, REQUEST, &[], &[0; 60], LIMITS);

        let mut rest = out.as_slice();
        while let Some(length) = rest.first_chunk::<LENGTH>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
            assert!(length <= LIMITS.frame_max, "{length}");
            rest = &rest[LENGTH + length..];
        }
    }

    #[tokio::test]
    async fn a_frame_beyond_the_limit_is_refused_by_its_length_alone() {
        let claimed = 17_u32.to_be_bytes();

        assert_eq!(read(&claimed).await.err(), Some(FrameError::Oversize(17)));
    }

    #[tokio::test]
    async fn a_message_beyond_the_limit_is_refused_before_its_end() {
        let mut out = Vec::new();
        for _ in 0..5 {
            put(&mut out, PART, &mut (&[1; 15], &[]), 15);
        }

        assert_eq!(read(&out).await.err(), Some(FrameError::Oversize(75)));
    }
}
