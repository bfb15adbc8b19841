//! Somebody's system that is told of events: it answers as a test says, and remembers what it heard.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::until;

/// How it answers one call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With this status.
    Status(u16),
    /// By sending the caller elsewhere.
    Redirect(String),
    /// Never.
    Silence,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) id: String,
    timestamp: String,
    signature: String,
    body: Bytes,
}

/// A receiver on this machine; without a script it answers 204.
#[derive(Clone)]
pub(crate) struct WebhookReceiver {
    address: SocketAddr,
    script: Arc<Mutex<VecDeque<Reply>>>,
    /// A type of event that it never takes, and what it answers to it.
    refused: Arc<Mutex<Option<(String, u16)>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl WebhookReceiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = WebhookReceiver {
            address: listener.local_addr().unwrap(),
            script: Arc::default(),
            refused: Arc::default(),
            heard: Arc::default(),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = serving.clone();
                let service = service_fn(move |request| receiver.clone().answer(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        receiver
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
        let heard = Heard {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: body.collect().await?.to_bytes(),
        };
        let refused = self.refused.lock().unwrap().clone();
        let refused = refused.filter(|(event_type, _)| *event_type == heard.event_type());
        self.heard.lock().unwrap().push(heard);
        let reply = match refused {
            Some((_, status)) => Some(Reply::Status(status)),
            None => self.script.lock().unwrap().pop_front(),
        };
        let response = Response::builder();
        Ok(match reply.unwrap_or(Reply::Status(204)) {
            Reply::Status(status) => response.status(status).body(Full::from("as told")),
            Reply::Redirect(location) => response
                .status(302)
                .header("location", location)
                .body(Full::default()),
            Reply::Silence => {
                // The caller gives up long before.
                tokio::time::sleep(Duration::from_secs(600)).await;
                response.status(204).body(Full::default())
            }
        }
        .unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Answers the next calls like this.
    pub(crate) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().extend(replies);
    }

    /// Answers events of this type like this from now on.
    pub(crate) fn refuses(&self, event_type: &str, status: u16) {
        *self.refused.lock().unwrap() = Some((event_type.to_owned(), status));
    }

    /// Everything it was told so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until it was called this often, and returns what it was told.
    pub(crate) async fn hears(&self, calls: usize) -> Vec<Heard> {
        until(&format!("{calls} calls of the receiver"), async || {
            let heard = self.heard();
            (heard.len() >= calls).then_some(heard)
        })
        .await
    }
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn event_type(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether one of its signatures is of this secret: what `docs/webhooks.md` tells receivers to do.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", self.id, self.timestamp).as_bytes());
        mac.update(&self.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.signature.split(' ').any(|signature| signature == expected)
    }

    /// How many signatures it bears.
    pub(crate) fn signatures(&self) -> usize {
        self.signature.split(' ').count()
    }
}
