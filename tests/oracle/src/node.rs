//! A client of one node's public API, or of the provider: one request, one deadline, a few tries.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Failure;

const DEADLINE: Duration = Duration::from_secs(10);
/// A request that was shed or found nobody is asked again; everything asked here bears repetition.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// One server.
#[derive(Clone, Debug)]
pub struct Node {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The access token of the caller.
    pub token: Option<&'a str>,
    /// The `Idempotency-Key`.
    pub key: Option<&'a str>,
    /// The body, JSON or empty.
    pub body: &'a str,
}

/// What it answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Node {
    /// A server at this address, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads something.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer, Failure> {
        let ask = Ask {
            method: "GET",
            path,
            token,
            ..Ask::default()
        };
        self.ask(ask).await
    }

    /// Asks, again if nobody answered or the server was too busy.
    ///
    /// # Errors
    /// When nobody answers, after some tries.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let mut tries = 1;
        loop {
            let answered = tokio::time::timeout(DEADLINE, self.once(ask)).await;
            match answered {
                Ok(Ok(answer)) if ![429, 503].contains(&answer.status) || tries == TRIES => {
                    return Ok(answer);
                }
                Ok(Err(error)) if tries == TRIES => return Err(error),
                Err(_) if tries == TRIES => return Err("no answer within 10 s".into()),
                _ => tokio::time::sleep(PAUSE * tries).await,
            }
            tries += 1;
        }
    }

    async fn once(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.url, ask.path));
        if let Some(token) = ask.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if !ask.body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(ask.body.as_bytes())))?;
        let response = self.client.request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, body })
    }
}
