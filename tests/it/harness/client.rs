//! Requests and answers, and users with their verbs.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};

use super::{unique, until};

type Http = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// Longer than any answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends requests to one server, as somebody or as nobody.
#[derive(Clone)]
pub(crate) struct Client {
    http: Http,
    address: SocketAddr,
    token: Option<String>,
}

impl Client {
    /// A client that is not logged in.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build_http();
        Client {
            http,
            address,
            token: None,
        }
    }

    /// The same client with this access token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Client {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same client without a token.
    pub(crate) fn anonymous(&self) -> Self {
        Client {
            token: None,
            ..self.clone()
        }
    }

    /// Begins a request.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Full::default())
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let mut call = Call {
            http: self.http.clone(),
            request,
        };
        if let Some(token) = &self.token {
            call = call.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"));
        }
        call
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    /// A POST without a body.
    pub(crate) async fn act(&self, path: &str) -> Answer {
        self.call("POST", path).send().await
    }

    /// A POST that names its operation.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).key(key).send().await
    }
}

/// A request before it is sent.
pub(crate) struct Call {
    http: Http,
    request: hyper::Request<Full<Bytes>>,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.request
            .headers_mut()
            .insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string())
            .header(CONTENT_TYPE.as_str(), "application/json")
    }

    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into());
        self
    }

    /// Sends it; there must be an answer.
    pub(crate) async fn send(self) -> Answer {
        let line = format!("{} {}", self.request.method(), self.request.uri());
        self.try_send()
            .await
            .unwrap_or_else(|error| panic!("{line} was not answered: {error}"))
    }

    /// Sends it.
    ///
    /// # Errors
    /// There was no whole answer.
    pub(crate) async fn try_send(self) -> Result<Answer, String> {
        let line = format!("{} {}", self.request.method(), self.request.uri().path());
        let exchange = async {
            let response = self
                .http
                .request(self.request)
                .await
                .map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            Ok(Answer {
                line,
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err("timeout".into()))
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    line: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}: {}",
            self.line,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// The problem, which must have this status and code and the form of RFC 9457.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{}",
            answer.line
        );
        let body = answer.json();
        assert_eq!(body["code"], code, "{}: {body}", answer.line);
        assert_eq!(body["status"], status, "{body}");
        for field in ["type", "title", "detail", "request_id"] {
            assert!(
                body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} of {body}"
            );
        }
        assert!(body["retryable"].is_boolean(), "{body}");
        answer
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.line, self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A text of the body.
    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        let body = self.json();
        body[field]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no {field} in {body}", self.line))
            .to_owned()
    }

    /// The ids of a page's entries.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<String> {
        let body = self.json();
        let entries = body["data"]
            .as_array()
            .unwrap_or_else(|| panic!("no data in {body}"));
        entries
            .iter()
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Somebody with a login, and what they do.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) session: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    client: Client,
}

impl Deref for User {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Money as the API writes it.
pub(crate) fn cny(amount: i64) -> Value {
    json!({"amount": amount, "currency": "CNY"})
}

impl User {
    /// Logs in.
    pub(crate) async fn log_in(client: &Client, username: &str, password: &str) -> Self {
        let body = json!({"username": username, "password": password});
        let login = client.anonymous().post("/v1/sessions", &body).await.expect(201);
        User::of(client, username, &login.json())
    }

    /// Whoever these tokens were given to.
    pub(crate) fn of(client: &Client, username: &str, tokens: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let access_token = text(&tokens["access_token"]);
        User {
            id: text(&tokens["session"]["user_id"]),
            username: username.to_owned(),
            session: text(&tokens["session"]["id"]),
            refresh_token: text(&tokens["refresh_token"]),
            client: client.with_token(&access_token),
            access_token,
        }
    }

    /// Free money in the wallet, and what is held.
    pub(crate) async fn wallet(&self) -> (i64, i64) {
        let wallet = self.get("/v1/me/wallet").await.expect(200).json();
        let amount = |field: &str| wallet[field]["amount"].as_i64().unwrap();
        (amount("balance"), amount("held"))
    }

    /// Asks for money in the wallet.
    pub(crate) async fn ask_top_up(&self, amount: i64, token: &str) -> Answer {
        let body = json!({"amount": cny(amount), "provider": "sandbox", "payment_token": token});
        self.post_as(&unique("top-up-"), "/v1/me/wallet/top-ups", &body)
            .await
    }

    /// Brings money into the wallet and waits until it is there.
    pub(crate) async fn top_up(&self, amount: i64) {
        let id = self.ask_top_up(amount, "tok_ok").await.expect(202).text("id");
        until("the top-up is settled", async || {
            let top_up = self.get(&format!("/v1/me/wallet/top-ups/{id}")).await.expect(200);
            (top_up.text("state") == "succeeded").then_some(())
        })
        .await;
    }

    /// Tries to buy courses with the wallet.
    pub(crate) async fn buy(&self, courses: &[&str]) -> Answer {
        self.buy_as(&unique("buy-"), courses).await
    }

    /// Tries to buy courses with the wallet, under this key.
    pub(crate) async fn buy_as(&self, key: &str, courses: &[&str]) -> Answer {
        self.post_as(key, "/v1/orders", &order(courses, "wallet", None))
            .await
    }

    /// Tries to buy courses through the sandbox.
    pub(crate) async fn buy_through_sandbox(&self, courses: &[&str], token: &str) -> Answer {
        let body = order(courses, "sandbox", Some(token));
        self.post_as(&unique("buy-"), "/v1/orders", &body).await
    }

    /// Buys courses through the sandbox, and names the order that is settled now.
    pub(crate) async fn placed_through_sandbox(&self, courses: &[&str], token: &str) -> String {
        self.buy_through_sandbox(courses, token)
            .await
            .expect(202)
            .text("id")
    }

    /// Buys a course by a payment method whose payer has to act, and names the order and the number that the provider
    /// knows its first attempt by.
    pub(crate) async fn placed_with(
        &self,
        course: &str,
        method: &str,
        token: Option<&str>,
    ) -> (String, String) {
        let body = order(&[course], method, token);
        let placed = self
            .post_as(&unique("buy-"), "/v1/orders", &body)
            .await
            .expect(202);
        let payment = placed.json()["payments"][0]["id"].as_str().unwrap().to_owned();
        (placed.text("id"), payment)
    }

    /// What the payer of an order has to do, once the order says so.
    pub(crate) async fn next_action(&self, order: &str) -> Value {
        until("the payer is asked", async || {
            let payment = self.order(order).await["payments"][0].clone();
            (payment["state"] == "requires_action").then(|| payment["next_action"].clone())
        })
        .await
    }

    /// One of the user's orders.
    pub(crate) async fn order(&self, id: &str) -> Value {
        self.get(&format!("/v1/orders/{id}")).await.expect(200).json()
    }

    /// Waits until an order is in this state.
    pub(crate) async fn order_becomes(&self, id: &str, state: &str) -> Value {
        until(&format!("the order is {state}"), async || {
            let order = self.order(id).await;
            (order["state"] == state).then_some(order)
        })
        .await
    }

    /// Asks for the money of an order back.
    pub(crate) async fn refund(&self, order: &str) -> Answer {
        let path = format!("/v1/orders/{order}/refunds");
        self.post_as(&unique("refund-"), &path, &json!({"reason": "not for me"}))
            .await
    }

    /// Has a refund of anybody's order returned that waits for an operator, as one.
    pub(crate) async fn approve_refund(&self, refund: &str) -> Answer {
        let path = format!("/admin/v1/refunds/{refund}/approve");
        self.post_as(&unique("approve-"), &path, &json!({"reason": "looked into"}))
            .await
    }

    /// The ids of the courses that the user may study.
    pub(crate) async fn owned(&self) -> Vec<String> {
        self.get("/v1/me/courses?limit=100").await.expect(200).ids()
    }
}

/// The body of `POST /v1/orders`.
pub(crate) fn order(courses: &[&str], method: &str, token: Option<&str>) -> Value {
    let items: Vec<Value> = courses.iter().map(|id| json!({"course_id": id})).collect();
    let mut body = json!({"items": items, "payment_method": method});
    if let Some(token) = token {
        body["payment_token"] = token.into();
    }
    body
}
