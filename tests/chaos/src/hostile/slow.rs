//! Clients that are slow, silent, half gone or do not read: each kind many times at once, and when it was cut.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::{interval, timeout};

use super::h2::{self, Frame};
use crate::verdict::Check;
use crate::wire::{Wire, request};

/// Clients of each kind at once.
const CLIENTS: usize = 40;
/// Of those that do not read: each has megabytes of answers made for it, and what is tried is patience, not bandwidth.
const UNREAD_CLIENTS: usize = 5;
/// Between two bytes of those that drip.
const DRIP: Duration = Duration::from_secs(1);
/// For headers and for silence.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// For bodies, and for answers that nobody takes.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// When the trial gives up waiting.
const PATIENCE: Duration = Duration::from_secs(40);
/// Requests whose answers fill every buffer on the way to a client that does not read.
const UNREAD_ANSWERS: usize = 200;

/// A way of being slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Silent,
    SilentInTheRequestLine,
    DrippingHeaders,
    HalfClosedInTheRequestLine,
    SilentAfterTheFirstAnswerBegan,
    Http2Silent,
    Http2HalfHeaders,
    SilentBody,
    DrippingBody,
    DrippingChunks,
    Http2DrippingBody,
    NotReading,
}

const KINDS: [Kind; 12] = [
    Kind::Silent,
    Kind::SilentInTheRequestLine,
    Kind::DrippingHeaders,
    Kind::HalfClosedInTheRequestLine,
    Kind::SilentAfterTheFirstAnswerBegan,
    Kind::Http2Silent,
    Kind::Http2HalfHeaders,
    Kind::SilentBody,
    Kind::DrippingBody,
    Kind::DrippingChunks,
    Kind::Http2DrippingBody,
    Kind::NotReading,
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Silent => "silent from the start",
            Kind::SilentInTheRequestLine => "silent in the request line",
            Kind::DrippingHeaders => "headers, a byte a second",
            Kind::HalfClosedInTheRequestLine => "half-closed in the request line",
            Kind::SilentAfterTheFirstAnswerBegan => "silent in the second request's headers",
            Kind::Http2Silent => "HTTP/2, silent after the settings",
            Kind::Http2HalfHeaders => "HTTP/2, headers never ended",
            Kind::SilentBody => "body never sent",
            Kind::DrippingBody => "body, a byte a second",
            Kind::DrippingChunks => "chunks, a byte a second",
            Kind::Http2DrippingBody => "HTTP/2 body, a byte a second",
            Kind::NotReading => "answers never read",
        }
    }

    fn count(self) -> usize {
        if self == Kind::NotReading {
            UNREAD_CLIENTS
        } else {
            CLIENTS
        }
    }

    fn limit(self) -> Duration {
        match self {
            Kind::SilentBody
            | Kind::DrippingBody
            | Kind::DrippingChunks
            | Kind::Http2DrippingBody
            | Kind::NotReading => BODY_LIMIT,
            Kind::Silent
            | Kind::SilentInTheRequestLine
            | Kind::DrippingHeaders
            | Kind::HalfClosedInTheRequestLine
            | Kind::SilentAfterTheFirstAnswerBegan
            | Kind::Http2Silent
            | Kind::Http2HalfHeaders => HEAD_LIMIT,
        }
    }

    /// What it says before it becomes slow.
    fn beginning(self, token: &str) -> Vec<u8> {
        let bearer = format!("Bearer {token}");
        let post = |framing: &str| {
            format!(
                "POST /v1/quotes HTTP/1.1\r\nhost: lyceum.test\r\nauthorization: {bearer}\r\n\
                 content-type: application/json\r\n{framing}\r\n\r\n"
            )
            .into_bytes()
        };
        match self {
            Kind::Silent => Vec::new(),
            Kind::SilentInTheRequestLine | Kind::HalfClosedInTheRequestLine => b"GET /v1/cour".to_vec(),
            Kind::DrippingHeaders => b"GET /v1/courses HTTP/1.1\r\nhost: lyceum.test\r\nx-slow: ".to_vec(),
            Kind::SilentAfterTheFirstAnswerBegan => {
                let mut twice = request("GET", "/livez", &[], None);
                twice.extend_from_slice(b"GET /livez HTTP/1.1\r\nhost: lyc");
                twice
            }
            Kind::Http2Silent => h2::preface(),
            Kind::Http2HalfHeaders => {
                let mut bytes = h2::preface();
                let block = h2::get("/v1/courses");
                bytes.extend(Frame::headers(1, &block[..block.len() / 2], 0).bytes());
                bytes
            }
            Kind::SilentBody | Kind::DrippingBody => post("content-length: 1000"),
            Kind::DrippingChunks => post("transfer-encoding: chunked"),
            Kind::Http2DrippingBody => {
                let mut bytes = h2::preface();
                let block = h2::post("/v1/quotes", &bearer);
                bytes.extend(Frame::headers(1, &block, h2::END_HEADERS).bytes());
                bytes
            }
            Kind::NotReading => request("GET", "/openapi.json", &[], None).repeat(UNREAD_ANSWERS),
        }
    }

    /// What it says every second from then on.
    fn drip(self) -> Option<Vec<u8>> {
        match self {
            Kind::DrippingHeaders | Kind::DrippingBody => Some(b"x".to_vec()),
            Kind::DrippingChunks => Some(b"1\r\nx\r\n".to_vec()),
            Kind::Http2DrippingBody => Some(Frame::data(1, b" ", 0).bytes()),
            // It finds out that it was cut by writing, since it does not read.
            Kind::NotReading => Some(b"\r\n".to_vec()),
            Kind::Silent
            | Kind::SilentInTheRequestLine
            | Kind::HalfClosedInTheRequestLine
            | Kind::SilentAfterTheFirstAnswerBegan
            | Kind::Http2Silent
            | Kind::Http2HalfHeaders
            | Kind::SilentBody => None,
        }
    }
}

/// Tries all kinds at once; a figure for each.
pub(super) async fn all(address: SocketAddr, token: &str) -> Vec<Check> {
    let tried = KINDS.map(|kind| many(kind, address, token));
    futures_util::future::join_all(tried).await
}

async fn many(kind: Kind, address: SocketAddr, token: &str) -> Check {
    let count = kind.count();
    let clients: Vec<_> = (0..count).map(|_| one(kind, address, token)).collect();
    let outcomes = futures_util::future::join_all(clients).await;
    let limit = kind.limit();
    let what = format!("{count}× {}: cut after, seconds", kind.name());
    let mut slowest = Duration::ZERO;
    for outcome in outcomes {
        match outcome {
            Ok(Some(after)) => slowest = slowest.max(after),
            Ok(None) => return Check::judged(what, "never", format!("≤ {}", limit.as_secs()), false),
            Err(error) => return Check::judged(what, error, format!("≤ {}", limit.as_secs()), false),
        }
    }
    let figure = format!("{:.1}", slowest.as_secs_f64());
    Check::judged(what, figure, format!("≤ {}", limit.as_secs()), slowest <= limit)
}

/// How long it took until the server had enough; `None` if it never had.
async fn one(kind: Kind, address: SocketAddr, token: &str) -> io::Result<Option<Duration>> {
    let mut wire = Wire::open(address).await?;
    let began = Instant::now();
    let beginning = kind.beginning(token);
    if kind == Kind::NotReading {
        // The server stops taking requests when nobody takes its answers, and so stops this.
        let _ = timeout(DRIP, wire.send(&beginning)).await;
    } else {
        wire.send(&beginning).await?;
    }
    if kind == Kind::HalfClosedInTheRequestLine {
        wire.finish().await?;
    }
    let cut = async {
        match kind {
            Kind::NotReading => refused(&mut wire, kind).await,
            Kind::Http2DrippingBody => {
                let (read, mut write) = wire.stream().split();
                let dripping = async {
                    let mut ticks = interval(DRIP);
                    let drip = kind.drip().unwrap_or_default();
                    loop {
                        ticks.tick().await;
                        if tokio::io::AsyncWriteExt::write_all(&mut write, &drip)
                            .await
                            .is_err()
                        {
                            // Reading tells how it ended.
                            std::future::pending::<()>().await;
                        }
                    }
                };
                tokio::select! {
                    () = h2::stream_ended(read, 1) => {}
                    () = dripping => {}
                }
            }
            _ => match kind.drip() {
                None => wire.ended().await,
                Some(drip) => {
                    let mut ticks = interval(DRIP);
                    loop {
                        tokio::select! {
                            () = wire.ended() => break,
                            _ = ticks.tick() => {}
                        }
                        if wire.send(&drip).await.is_err() {
                            break;
                        }
                    }
                }
            },
        }
    };
    let ended = timeout(PATIENCE, cut).await;
    Ok(ended.ok().map(|()| began.elapsed()))
}

/// Writes a little again and again until that fails.
async fn refused(wire: &mut Wire, kind: Kind) {
    let drip = kind.drip().unwrap_or_default();
    let mut ticks = interval(DRIP);
    loop {
        ticks.tick().await;
        if matches!(timeout(DRIP, wire.send(&drip)).await, Ok(Err(_))) {
            return;
        }
    }
}
