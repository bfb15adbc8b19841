//! The server on a real socket: slow, silent, hostile and well-behaved clients.

mod framing;

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request as Outgoing, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;
use crate::http::admission::Priority;
use crate::http::guard::{Access, Caller};
use crate::http::idempotency::Key;
use crate::http::limits::Limit;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::request::Request;
use crate::http::route::Handler::{self, Ready, Task};
use crate::http::route::Handling;
use crate::http::settings::for_tests;
use crate::http::token::{SigningKey, TokenSettings};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Desk {
    waiting: AtomicUsize,
    arrived: Notify,
    go_on: Notify,
}

struct Nobody;

impl Revocations for Nobody {
    fn revoked(&self, _: &Caller) -> bool {
        false
    }
}

fn quick(_: &Desk, _: &Request) -> Result<Reply, Problem> {
    let tag = "\"v1\"".parse().expect("a tag");
    Ok(Reply::ready_made(Bytes::from_static(b"{}"), &tag))
}

fn length(_: &Desk, mut request: Request) -> Handling<'_> {
    Box::pin(async move {
        let body: serde_json::Value = request.json().await?;
        Ok(Reply::ok(&body.to_string().len()))
    })
}

fn wait(desk: &Desk, _: Request) -> Handling<'_> {
    Box::pin(async {
        desk.waiting.fetch_add(1, Ordering::SeqCst);
        desk.arrived.notify_one();
        desk.go_on.notified().await;
        Ok(Reply::ok("done"))
    })
}

fn large(_: &Desk, _: Request) -> Handling<'_> {
    let body = vec![b'x'; 32 << 20].into();
    Box::pin(async { Ok(Reply::bytes(StatusCode::OK, "text/plain", body)) })
}

fn panics(_: &Desk, _: Request) -> Handling<'_> {
    Box::pin(async { panic!("as the test wants") })
}

fn panics_at_once(_: &Desk, _: &Request) -> Result<Reply, Problem> {
    panic!("as the test wants")
}

fn route(method: Method, template: &'static str, handler: Handler<Desk>) -> Route<Desk> {
    Route {
        method,
        template,
        handler,
        access: Access::Public,
        key: Key::Accepted,
        priority: Priority::Read,
        limit: Limit::Usual,
    }
}

struct Site {
    server: Server,
    desk: Arc<Desk>,
    lifecycle: Arc<Lifecycle>,
}

fn site(changes: &[(&str, serde_json::Value)]) -> Site {
    let desk = Arc::new(Desk::default());
    let lifecycle = Arc::new(Lifecycle::default());
    let key = SigningKey {
        kid: "test".into(),
        seed: [1; 32],
    };
    let parts = Parts {
        api: desk.clone(),
        routes: vec![
            route(Method::GET, "/quick", Ready(quick)),
            route(Method::POST, "/length", Task(length)),
            Route {
                key: Key::Required,
                ..route(Method::POST, "/money", Task(length))
            },
            route(Method::GET, "/wait", Task(wait)),
            route(Method::GET, "/large", Task(large)),
            route(Method::GET, "/panics", Task(panics)),
            route(Method::GET, "/panics-at-once", Ready(panics_at_once)),
            Route {
                access: Access::Caller,
                ..route(Method::GET, "/mine", Ready(quick))
            },
        ],
        operations: Vec::new(),
        tokens: Arc::new(Tokens::new(TokenSettings::default(), &[key]).unwrap()),
        revocations: Arc::new(Nobody),
        lifecycle: lifecycle.clone(),
        pace: Arc::new(Pace::new(PATIENCE)),
    };
    let server = Server::start(parts, &for_tests(changes)).unwrap();
    Site {
        server,
        desk,
        lifecycle,
    }
}

impl Site {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        until_closed(&mut stream).await
    }

    /// The answer to a request on a connection of its own.
    async fn request(&self, text: &str) -> String {
        self.exchange(
            text.replace('\n', "\r\n")
                .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
    }

    async fn no_connections(&self) {
        tokio::time::timeout(PATIENCE, self.server.api.registry.emptied())
            .await
            .expect("all connections end");
    }
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is a way of closing, too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes");
    String::from_utf8(answer).unwrap()
}

/// The status and the problem's code of an answer.
fn refused(answer: &str) -> (u16, String) {
    let status = answer
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let code = answer
        .split("\"code\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    (status, code.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn silent_connections_and_slow_headers_are_cut() {
    let site = site(&[("/header_timeout_ms", 200.into())]);

    let mut silent = site.connect().await;
    let slow = site.exchange(b"GET /quick HTTP/1.1\r\nHost: a\r\nX-").await;

    assert_eq!(slow, "");
    assert_eq!(until_closed(&mut silent).await, "");
    site.no_connections().await;
}

#[tokio::test]
async fn half_a_preface_is_cut_like_silence() {
    let site = site(&[("/header_timeout_ms", 200.into())]);

    assert_eq!(site.exchange(b"PRI * HTTP/2.0\r\n").await, "");
    // A whole one without a request is answered with settings and then cut.
    let mut stream = site.connect().await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes");
    site.no_connections().await;
}

#[tokio::test]
async fn a_resting_connection_is_closed_after_the_idle_timeout() {
    let site = site(&[("/idle_timeout_ms", 200.into())]);

    let answer = site.exchange(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408_and_the_connection_ends() {
    let site = site(&[("/body_timeout_ms", 200.into())]);

    let head =
        b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[1,";
    let answer = site.exchange(head).await;

    assert_eq!(refused(&answer), (408, "http.body_timeout".into()));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let site = site(&[("/write_timeout_ms", 200.into())]);
    let mut stream = site.connect().await;

    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();

    site.no_connections().await;
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let site = site(&[
        ("/body_bytes_max", 1024.into()),
        ("/header_bytes_max", 8192.into()),
    ]);
    let json = "Host: a\r\nContent-Type: application/json\r\n";
    let chunk = format!("800\r\n{}\r\n", "1".repeat(0x800));

    let announced = format!("POST /length HTTP/1.1\r\n{json}Content-Length: 1025\r\n\r\n");
    let streamed = format!("POST /length HTTP/1.1\r\n{json}Transfer-Encoding: chunked\r\n\r\n{chunk}");
    let head = format!(
        "GET /quick HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let many = format!("GET /quick HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(101));

    assert_eq!(
        refused(&site.exchange(announced.as_bytes()).await),
        (413, "http.body_too_large".into())
    );
    assert_eq!(
        refused(&site.exchange(streamed.as_bytes()).await),
        (413, "http.body_too_large".into())
    );
    assert_eq!(refused(&site.exchange(head.as_bytes()).await).0, 431);
    assert_eq!(refused(&site.exchange(many.as_bytes()).await).0, 431);
}

#[tokio::test]
async fn garbage_is_refused_and_the_server_goes_on() {
    let site = site(&[]);
    let garbage: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /quick HTTP/1.1\r\nHost : a\r\n\r\n",
        b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
    ];
    for bytes in garbage {
        let mut stream = site.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let (status, _) = refused(&until_closed(&mut stream).await);
        assert!(status == 400 || status == 0, "{status}: {bytes:?}");
    }

    assert_eq!(
        refused(&site.request("GET /quick HTTP/1.1\nHost: a\n\n").await).0,
        200
    );
}

#[tokio::test]
async fn routes_methods_and_keys_are_refused_as_problems() {
    let site = site(&[]);
    let json = "Content-Type: application/json\nContent-Length: 2";

    let nothing = site.request("GET /nothing HTTP/1.1\nHost: a\n\n").await;
    let method = site.request("DELETE /quick HTTP/1.1\nHost: a\n\n").await;
    let options = site.request("OPTIONS /quick HTTP/1.1\nHost: a\n\n").await;
    let head = site.request("HEAD /quick HTTP/1.1\nHost: a\n\n").await;
    let known = site
        .request("GET /quick HTTP/1.1\nHost: a\nIf-None-Match: \"v1\"\n\n")
        .await;
    let keyless = site
        .request(&format!("POST /money HTTP/1.1\nHost: a\n{json}\n\n[]"))
        .await;
    let stranger = site
        .request("GET /mine HTTP/1.1\nHost: a\nX-Request-Id: mine-1\n\n")
        .await;
    let panicked = site.request("GET /panics HTTP/1.1\nHost: a\n\n").await;
    let panicked_at_once = site.request("GET /panics-at-once HTTP/1.1\nHost: a\n\n").await;

    assert_eq!(refused(&nothing), (404, "http.route_not_found".into()));
    assert_eq!(refused(&method), (405, "http.method_not_allowed".into()));
    assert!(method.contains("allow: GET, HEAD, OPTIONS\r\n"), "{method}");
    assert_eq!(refused(&options).0, 204);
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n") && head.contains("content-length: 2"),
        "{head}"
    );
    assert!(
        known.starts_with("HTTP/1.1 304") && known.ends_with("\r\n\r\n"),
        "{known}"
    );
    assert_eq!(refused(&keyless), (400, "http.idempotency_key_missing".into()));
    assert_eq!(refused(&stranger), (401, "http.unauthenticated".into()));
    assert!(
        stranger.contains("x-request-id: mine-1\r\n") && stranger.contains("\"request_id\":\"mine-1\""),
        "{stranger}"
    );
    assert_eq!(refused(&panicked), (500, "http.internal".into()));
    assert_eq!(refused(&panicked_at_once), (500, "http.internal".into()));
    assert!(!nothing.to_lowercase().contains("\r\nserver:"), "{nothing}");
    assert!(
        nothing.contains("x-content-type-options: nosniff\r\n"),
        "{nothing}"
    );
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    let site = site(&[]);
    let stream = TokioIo::new(site.connect().await);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut send = async |method, path: &str| {
        let uri = format!("http://a{path}");
        let request = Outgoing::builder()
            .method(method)
            .uri(uri)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    };

    let (get, body) = send(Method::GET, "/quick").await;
    let (head, empty) = send(Method::HEAD, "/quick").await;
    let (nothing, _) = send(Method::GET, "/nothing").await;

    assert_eq!((get.status.as_u16(), &body[..]), (200, &b"{}"[..]));
    assert_eq!((head.status.as_u16(), empty.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "2");
    assert_eq!(nothing.status.as_u16(), 404);
}

#[tokio::test]
async fn draining_finishes_open_requests_and_takes_no_new_ones() {
    let site = site(&[]);
    let address = site.server.address();
    let mut idle = site.connect().await;
    idle.write_all(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    idle.readable().await.unwrap();
    let mut busy = site.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    site.desk.arrived.notified().await;
    let Site {
        server,
        desk,
        lifecycle,
    } = site;

    let draining = tokio::spawn(server.drain());
    assert!(until_closed(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert!(lifecycle.draining());
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!draining.is_finished());
    desk.go_on.notify_one();
    let answer = until_closed(&mut busy).await;

    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("\"done\""),
        "{answer}"
    );
    assert_eq!(draining.await.unwrap(), 0);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_end_in_time() {
    let site = site(&[("/drain_timeout_ms", 50.into())]);
    let mut busy = site.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    site.desk.arrived.notified().await;

    assert_eq!(site.server.drain().await, 1);
    assert_eq!(until_closed(&mut busy).await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let site = site(&[("/connections_max", 1.into())]);
    let mut first = site.connect().await;
    first
        .write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    site.desk.arrived.notified().await;

    let mut second = site.connect().await;
    assert!(until_closed(&mut second).await.starts_with("HTTP/1.1 503"));

    first.into_std().unwrap().shutdown(Shutdown::Both).unwrap();
    site.no_connections().await;
    assert_eq!(
        refused(&site.request("GET /quick HTTP/1.1\nHost: a\n\n").await).0,
        200
    );
}

#[tokio::test]
async fn a_caller_over_its_rate_is_told_when_to_come_back() {
    let site = site(&[(
        "/rate/anonymous",
        serde_json::json!({"requests": 1, "window_s": 60}),
    )]);

    let first = site.request("GET /quick HTTP/1.1\nHost: a\n\n").await;
    let second = site.request("GET /quick HTTP/1.1\nHost: a\n\n").await;

    assert!(first.contains("ratelimit: \"anonymous\";r=0;t=60\r\n"), "{first}");
    assert_eq!(refused(&second), (429, "http.rate_limited".into()));
    assert!(second.contains("retry-after: 60\r\n"), "{second}");
}
