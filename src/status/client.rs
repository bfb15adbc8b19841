//! Asks a node as an operator does: logs in if it has to, and reads one answer.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};

/// A node that answers later than this is not well either.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// 256 shards and their moves are some 100 kB.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Who asks.
pub(super) enum Credentials {
    /// Somebody who has a token.
    Token(String),
    /// Somebody who logs in, and out again.
    Login { username: String, password: String },
}

/// A connection to one node or balancer.
pub(super) struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    operations: String,
    logins: String,
}

impl Client {
    pub(super) fn new(operations: &str, logins: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Client {
            http: HttpClient::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build_http(),
            operations: base(operations)?,
            logins: base(logins)?,
        })
    }

    /// What the node answers to a GET, or to a POST of this body.
    pub(super) async fn ask(
        &self,
        credentials: &Credentials,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let (token, session) = match credentials {
            Credentials::Token(token) => (token.clone(), None),
            Credentials::Login { username, password } => {
                let body =
                    json!({"username": username, "password": password, "device": "lyceum command line"});
                let url = format!("{}/v1/sessions", self.logins);
                let login = self.call(Method::POST, &url, None, Some(&body)).await?;
                let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
                let token = text(&login["access_token"]).ok_or("the login brought no token")?;
                (token, text(&login["session"]["id"]))
            }
        };
        let url = format!("{}{path}", self.operations);
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let answer = self.call(method, &url, Some(&token), body).await;
        if let Some(session) = session {
            let url = format!("{}/v1/sessions/{session}", self.logins);
            // A login that stays ends by itself, and what was asked for is at hand.
            let _ = self.call(Method::DELETE, &url, Some(&token), None).await;
        }
        answer
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let exchange = async {
            let response = self.http.request(request.body(Full::new(bytes))?).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await?
                .to_bytes();
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            if status.is_success() {
                return Ok(value);
            }
            let detail = value["detail"].as_str().unwrap_or("it says no more");
            Err(format!("{url} answers {}: {detail}", status.as_u16()).into())
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("{url} does not answer").into()),
        }
    }
}

/// The part of a URL before its path.
fn base(url: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
    let uri: Uri = url.parse().map_err(|_| format!("`{url}` is not a URL"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) => Ok(format!("http://{authority}")),
        // Inside the network of the cluster nobody speaks TLS to operators; outside it stands what terminates it.
        _ => Err(format!("`{url}` does not begin with http://").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_over_http() {
        assert_eq!(base("http://127.0.0.1:8080/").unwrap(), "http://127.0.0.1:8080");
        for wrong in ["127.0.0.1:8080", "https://site", "", "http://"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
