//! The API as a client of good will uses it: registers, fills its wallet, buys; each call with a deadline.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::dice::entropy;
use crate::wire::{Answer, Wire, request};

/// Longer than the server works on a request.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// Between two looks at something that will be.
const LOOK: Duration = Duration::from_millis(20);
/// For what takes one callback.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Everybody's password.
pub const PASSWORD: &str = "a rather long chaos passphrase";

/// Somebody with a connection, or without.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
    wire: Option<Wire>,
}

/// A call to make, perhaps more than once.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// The body.
    pub body: Option<&'a Value>,
}

impl Client {
    /// Somebody whom nobody knows.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Client {
            address,
            token: None,
            wire: None,
        }
    }

    /// Somebody with this access token.
    #[must_use]
    pub fn with_token(address: SocketAddr, token: &str) -> Self {
        Client {
            address,
            token: Some(token.to_owned()),
            wire: None,
        }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// No answer came, so nobody knows what became of it.
    pub async fn call(&mut self, call: &Call<'_>) -> io::Result<Answer> {
        let answered = match timeout(CALL_TIMEOUT, self.exchange(call)).await {
            Ok(answered) => answered,
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
        // After an answer that was cut, or a goodbye, the next call needs another connection.
        if answered.as_ref().map_or(true, Answer::closes) {
            self.wire = None;
        }
        answered
    }

    async fn exchange(&mut self, call: &Call<'_>) -> io::Result<Answer> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        headers.extend(call.key.map(|key| ("idempotency-key", key)));
        let wire = match &mut self.wire {
            Some(wire) => wire,
            None => self.wire.insert(Wire::open(self.address).await?),
        };
        wire.send(&request(call.method, call.path, &headers, call.body))
            .await?;
        wire.answer(false)
            .await?
            .ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Reads something.
    ///
    /// # Errors
    /// It is not answered with 200.
    pub async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        let call = Call {
            method: "GET",
            path,
            key: None,
            body: None,
        };
        expect(&call, self.call(&call).await, &[200])
    }

    /// Does something.
    ///
    /// # Errors
    /// The status is none of those that are expected.
    pub async fn post(
        &mut self,
        path: &str,
        key: &str,
        body: &Value,
        expected: &[u16],
    ) -> Result<Value, Failure> {
        let call = Call {
            method: "POST",
            path,
            key: Some(key),
            body: Some(body),
        };
        expect(&call, self.call(&call).await, expected)
    }

    /// What the wallet holds, minor units.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn balance(&mut self) -> Result<i64, Failure> {
        let wallet = self.get("/v1/me/wallet").await?;
        wallet["balance"]["amount"]
            .as_i64()
            .ok_or_else(|| "a wallet has a balance".into())
    }

    /// Fills the wallet through the sandbox, and waits until it is filled.
    ///
    /// # Errors
    /// It is refused, or takes longer than 20 seconds.
    pub async fn top_up(&mut self, amount: i64) -> Result<(), Failure> {
        let wanted = self.balance().await? + amount;
        let body = json!({"amount": money(amount), "provider": "sandbox", "payment_token": "tok_ok"});
        self.post("/v1/me/wallet/top-ups", &unique("top-up-"), &body, &[201, 202])
            .await?;
        let began = Instant::now();
        while self.balance().await? < wanted {
            if began.elapsed() > SETTLE_TIMEOUT {
                return Err("a top-up did not settle within 20 seconds".into());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}

fn expect(call: &Call<'_>, answered: io::Result<Answer>, expected: &[u16]) -> Result<Value, Failure> {
    let (method, path) = (call.method, call.path);
    let answer = answered.map_err(|error| format!("{method} {path}: {error}"))?;
    if expected.contains(&answer.status) {
        return Ok(answer.json());
    }
    let body = String::from_utf8_lossy(&answer.body);
    Err(format!("{method} {path} was answered with {}: {body}", answer.status).into())
}

/// A user and how to act as them.
#[derive(Clone, Debug)]
pub struct Account {
    /// The id.
    pub id: String,
    /// The name to log in with.
    pub username: String,
    /// An access token.
    pub token: String,
    /// The login that the token is of.
    pub session: String,
}

/// Registers somebody new and logs them in.
///
/// # Errors
/// It is refused.
pub async fn register(address: SocketAddr) -> Result<Account, Failure> {
    let username = unique("chaos");
    let body =
        json!({"username": username, "password": PASSWORD, "email": format!("{username}@example.com")});
    let user = Client::new(address)
        .post("/v1/users", &unique("key-"), &body, &[201])
        .await?;
    let mut account = log_in(address, &username, PASSWORD).await?;
    account.id = text(&user, "id")?;
    Ok(account)
}

/// Logs somebody in; the id stays empty.
///
/// # Errors
/// It is refused.
pub async fn log_in(address: SocketAddr, username: &str, password: &str) -> Result<Account, Failure> {
    let body = json!({"username": username, "password": password});
    let login = Client::new(address)
        .post("/v1/sessions", &unique("key-"), &body, &[201])
        .await?;
    Ok(Account {
        id: String::new(),
        username: username.to_owned(),
        token: text(&login, "access_token")?,
        session: text(&login["session"], "id")?,
    })
}

/// Publishes courses as the operator; answers their ids.
///
/// # Errors
/// It is refused.
pub async fn publish(operator: &mut Client, count: usize, price: i64) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(count);
    for number in 0..count {
        let body = json!({
            "course": {"title": format!("Chaos course {number}"), "category": "chaos", "tags": ["chaos"], "price": money(price)},
            "chapters": [{"title": "One", "lessons": [{"title": "Only", "kind": "article", "content": {"text": "text"}}]}],
        });
        let course = operator
            .post("/admin/v1/courses", &unique("course-"), &body, &[201])
            .await?;
        ids.push(text(&course, "id")?);
    }
    Ok(ids)
}

/// An order of one course, paid from the wallet.
#[must_use]
pub fn order(course: &str) -> Value {
    json!({"items": [{"course_id": course}], "payment_method": "wallet"})
}

/// Money as the API writes it.
#[must_use]
pub fn money(amount: i64) -> Value {
    json!({"amount": amount, "currency": "CNY"})
}

/// A name that nobody has.
#[must_use]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}{:016x}", entropy())
}

fn text(value: &Value, field: &str) -> Result<String, Failure> {
    let found = value[field].as_str().map(ToOwned::to_owned);
    found.ok_or_else(|| format!("an answer has no `{field}`: {value}").into())
}
