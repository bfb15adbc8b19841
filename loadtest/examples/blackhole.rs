//! A server that costs as little as a server can: what a generator sustains against it is the generator's own limit.
//!
//! `cargo run --release -p lyceum-loadtest --example blackhole [ADDRESS]` answers every request at once: the list of
//! courses with a hundred of them, anything else with a small object.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let address: SocketAddr = address
        .as_deref()
        .unwrap_or("127.0.0.1:8099")
        .parse()
        .map_err(std::io::Error::other)?;
    let listener = TcpListener::bind(address).await?;
    let (list, detail) = (list(), Bytes::from_static(br#"{"id":"crs_0","title":"Nothing"}"#));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (list, detail) = (list.clone(), detail.clone());
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let is_list = request.uri().path() == "/v1/courses";
                let body = if is_list { list.clone() } else { detail.clone() };
                async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
            });
            // A client that has had enough just leaves.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn list() -> Bytes {
    let card =
        |number| format!(r#"{{"id":"crs_{number}","price":{{"amount":100,"currency":"CNY"}},"tags":[]}}"#);
    let cards: Vec<String> = (0..100).map(card).collect();
    format!(r#"{{"data":[{}],"next":null}}"#, cards.join(",")).into()
}
