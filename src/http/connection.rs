//! One connection: finds out the protocol, lets hyper serve it, obeys its [`Pulse`]'s orders.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::pulse::{Order, Protocol, Pulse};
use super::route::Routes;
use super::service::{self, Edge};
use super::settings::{ControlFrames, HttpSettings};
use super::socket::Socket;

/// Bytes that hyper buffers of one connection: a head within its limit and the beginning of a body.
const BUFFER_BYTES_MAX: usize = 128 * 1024;
/// Headers that hyper parses without an allocation.
const HEADERS_INLINE: usize = 100;
/// Answers that HTTP/2 keeps for a client that does not read them, per stream.
const SEND_BYTES_MAX: usize = 256 * 1024;
/// What an HTTP/2 client may send before it has to wait for a handler to read, per stream.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Streams that we reset because of the client's errors; then the connection ends.
const LOCAL_RESETS_MAX: usize = 64;

/// What every request of a connection needs.
pub(super) struct Link<A> {
    pub(super) edge: Arc<Edge<A>>,
    pub(super) routes: Arc<Routes<A>>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) address: IpAddr,
}

/// hyper, set up once for all connections of a listener.
#[derive(Clone)]
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    head_bytes_max: usize,
    control_frames: ControlFrames,
}

impl Protocols {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        let mut http1 = http1::Builder::new();
        // The pulse measures headers and idleness; the timer stays set for whatever else hyper times.
        http1.timer(TokioTimer::new()).header_read_timeout(None);
        http1
            .max_header_size(settings.header_bytes_max)
            .max_buf_size(BUFFER_BYTES_MAX);
        if settings.headers_max != HEADERS_INLINE {
            http1.max_headers(settings.headers_max);
        }

        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(*settings.ping_interval_ms)
            .keep_alive_timeout(*settings.ping_timeout_ms)
            .max_concurrent_streams(settings.streams_max)
            .max_pending_accept_reset_streams(settings.resets_max)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .max_header_list_size(u32::try_from(settings.header_bytes_max).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Protocols {
            http1,
            http2,
            head_bytes_max: settings.header_bytes_max,
            control_frames: settings.control_frames,
        }
    }

    /// Serves a connection until it ends or is told to.
    pub(super) async fn serve<A: Send + Sync + 'static>(self, stream: TcpStream, link: Arc<Link<A>>) {
        let pulse = link.pulse.clone();
        let mut socket = Socket::new(stream, pulse.clone(), self.head_bytes_max, self.control_frames);
        let protocol = poll_fn(|context| match pulse.order(context) {
            Order::Serve => socket.poll_protocol(context).map(Result::ok),
            // Nothing has been asked yet, so there is nothing to finish.
            Order::Drain | Order::Cut => Poll::Ready(None),
        });
        let Some(protocol) = protocol.await else { return };
        pulse.speaks(protocol);

        let answer = service_fn(move |request| service::answer(&link, request));
        let socket = TokioIo::new(socket);
        match protocol {
            Protocol::Http2 => govern(&pulse, self.http2.serve_connection(socket, answer)).await,
            Protocol::Http1 | Protocol::Unknown => {
                govern(&pulse, self.http1.serve_connection(socket, answer)).await
            }
        }
    }
}

/// A connection that can finish what is open and take nothing new.
trait Drainable: Future {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S> Drainable for http1::Connection<I, S>
where
    Self: Future,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Drainable for http2::Connection<I, S, E>
where
    Self: Future,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection and carries out the orders it is given meanwhile.
async fn govern<C: Drainable>(pulse: &Pulse, connection: C) {
    let mut connection = pin!(connection);
    let mut draining = false;
    poll_fn(|context| {
        match pulse.order(context) {
            Order::Serve => {}
            Order::Drain if draining => {}
            Order::Drain => {
                draining = true;
                connection.as_mut().drain();
            }
            Order::Cut => return Poll::Ready(()),
        }
        // How a connection ended is the client's business: broken, malformed and closed ones are all over.
        connection.as_mut().poll(context).map(drop)
    })
    .await;
}
