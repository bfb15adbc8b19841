//! The socket of a connection: reports to its [`Pulse`] what moves, and can put back what was read ahead.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frames::Frames;
use super::framing::Trail;
use super::meters::HTTP2_FLOODS_TOTAL;
use super::pulse::{Protocol, Pulse};
use super::settings::ControlFrames;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most heads fit in it, so that looking ahead costs no second read.
const READ_AHEAD_BYTES: usize = 1024;
/// Head and body up to this size are sent as one piece: the kernel asks more for a second piece than a copy costs. Most
/// answers are smaller; larger ones would keep the buffer large.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    /// Where an answer is put together. One for each thread, so that a connection at rest holds none.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TCP stream whose first bytes may already have been read.
pub(super) struct Socket {
    stream: TcpStream,
    pulse: Arc<Pulse>,
    ahead: Vec<u8>,
    ahead_given: usize,
    control_frames: ControlFrames,
    following: Following,
}

/// How the bytes of a connection are followed.
#[derive(Debug)]
enum Following {
    /// As long as it may be HTTP/1.1.
    Heads(Trail),
    Frames(Frames),
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        pulse: Arc<Pulse>,
        head_bytes_max: usize,
        control_frames: ControlFrames,
    ) -> Self {
        Socket {
            control_frames,
            stream,
            pulse,
            ahead: Vec::new(),
            ahead_given: 0,
            following: Following::Heads(Trail::new(head_bytes_max)),
        }
    }

    /// Reads until it is clear which protocol the client speaks.
    ///
    /// There is no deadline here: the pulse is fresh until the first request, and the sweeper ends it.
    pub(super) fn poll_protocol(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        loop {
            let known = self.ahead.len().min(PREFACE.len());
            if self.ahead[..known] != PREFACE[..known] {
                return Poll::Ready(Ok(Protocol::Http1));
            }
            if known == PREFACE.len() {
                let frames = Frames::new(self.control_frames, self.pulse.now_ms());
                self.following = Following::Frames(frames);
                return Poll::Ready(Ok(Protocol::Http2));
            }
            let mut bytes = [0; READ_AHEAD_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
    }

    fn sent(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.pulse.sent(outcome.is_ready());
        outcome
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.ahead_given < this.ahead.len() {
            let rest = &this.ahead[this.ahead_given..];
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..length]);
            this.ahead_given += length;
            if this.ahead_given == this.ahead.len() {
                this.ahead = Vec::new();
                this.ahead_given = 0;
            }
        } else {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        }
        let received = &buffer.filled()[before..];
        match &mut this.following {
            Following::Heads(trail) => {
                trail.follow(received);
                this.pulse.received(trail);
            }
            Following::Frames(frames) => {
                if !frames.follow(received, this.pulse.now_ms()) {
                    HTTP2_FLOODS_TOTAL.get().increment();
                    return Poll::Ready(Err(io::Error::other("more control frames than it may send")));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.sent(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let outcome = if length <= GATHERED_BYTES_MAX {
            GATHERED.with_borrow_mut(|gathered| {
                gathered.clear();
                for slice in slices {
                    gathered.extend_from_slice(slice);
                }
                Pin::new(&mut this.stream).poll_write(context, gathered)
            })
        } else {
            Pin::new(&mut this.stream).poll_write_vectored(context, slices)
        };
        this.sent(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
