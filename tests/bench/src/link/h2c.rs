//! The alternative: HTTP/2 in clear text, over hyper, echoing the body of a request. One connection, as the link has.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::BYTES;
use crate::Failure;

const START: Duration = Duration::from_secs(10);
const STREAMS_MAX: u32 = 1024;

/// Serves echoes until the process is ended.
///
/// # Errors
/// The address is taken.
pub(super) async fn serve(address: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let echo = service_fn(|request: Request<Incoming>| async {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::new(Full::new(body)))
        });
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.max_concurrent_streams(STREAMS_MAX);
        // How a connection ends is the client's business.
        tokio::spawn(http.serve_connection(TokioIo::new(stream), echo));
    }
}

/// Connects as soon as somebody listens.
///
/// # Errors
/// Nobody does.
pub(super) async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let began = Instant::now();
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(error) if began.elapsed() > START => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    stream.set_nodelay(true)?;
    let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (client, connection) = http
        .initial_max_send_streams(usize::try_from(STREAMS_MAX)?)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Sends 256 bytes and waits for them.
///
/// # Errors
/// They do not come back.
pub(super) async fn echo(mut client: SendRequest<Full<Bytes>>) -> Result<(), Failure> {
    let body = Full::new(Bytes::from(vec![b'x'; BYTES]));
    let request = Request::post("http://peer/").body(body)?;
    client.ready().await?;
    let answer = client.send_request(request).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    if body.len() == BYTES {
        Ok(())
    } else {
        Err("an echo of another length".into())
    }
}
