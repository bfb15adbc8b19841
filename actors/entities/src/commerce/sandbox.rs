//! The HTTP adapter of the sandbox provider.
//!
//! Only the configured address is ever dialled and redirects are not followed. A timeout, a broken connection, an
//! answer of 5xx, 408 or 429, or one that cannot be read, is `Unknown`; any other refusal is definite.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_kernel::{Currency, Money};
use lyceum_runtime::{StoreError, trace};
use serde::{Deserialize, Serialize};

use super::gateway::{Call, ChargeRequest, PaymentProvider, RefundRequest};

/// No answer of the protocol comes near this.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longer codes are cut, so that a provider cannot fill our journal.
const CODE_CHARS_MAX: usize = 64;

/// Where the sandbox is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Base address of its API: `http://127.0.0.1:8090`.
    pub url: String,
    /// The address that it calls back: `http://127.0.0.1:8080/callbacks/sandbox`; empty for none.
    pub callback_url: String,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, the connection included.
    pub request_timeout: Duration,
}

/// The sandbox, over HTTP/1.1.
pub struct Sandbox {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    callback_url: Option<String>,
    request_timeout: Duration,
}

#[derive(Serialize)]
struct ChargeBody<'a> {
    amount: i64,
    currency: Currency,
    token: &'a str,
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<&'a str>,
}

#[derive(Serialize)]
struct RefundBody<'a> {
    charge_id: &'a str,
    amount: i64,
    currency: Currency,
    reference: &'a str,
}

/// What the sandbox says about a charge or a refund.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    id: String,
    state: String,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    currency: Option<Currency>,
}

/// A refusal's body.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    code: String,
    state: String,
}

/// An answer that arrived.
struct Answered {
    status: StatusCode,
    body: Bytes,
}

impl Sandbox {
    /// An adapter that dials nothing but `settings.url`.
    ///
    /// # Errors
    /// The address is not an `http` address without path or query.
    pub fn new(settings: &SandboxSettings) -> Result<Self, StoreError> {
        let uri: Uri = settings.url.parse().map_err(StoreError::refused)?;
        let plain =
            uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let Some(authority) = uri.authority().filter(|_| plain) else {
            return Err(StoreError::refused("the sandbox's address is http://host:port"));
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(settings.connect_timeout));
        connector.set_nodelay(true);
        Ok(Sandbox {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: format!("http://{authority}"),
            callback_url: (!settings.callback_url.is_empty()).then(|| settings.callback_url.clone()),
            request_timeout: settings.request_timeout,
        })
    }

    /// One exchange; `None` if there was no whole answer in time.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Vec<u8>,
    ) -> Option<Answered> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let trace = trace::current();
        if trace.exists() {
            request = request.header("traceparent", trace.to_string());
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .ok()?
                .to_bytes();
            Some(Answered {
                status: head.status,
                body,
            })
        };
        tokio::time::timeout(self.request_timeout, exchange)
            .await
            .ok()
            .flatten()
    }

    async fn query_charge(&self, key: &str) -> ChargeOutcome {
        let path = format!("/v1/charges/by-key/{key}");
        match self.exchange(Method::GET, &path, None, vec![]).await {
            Some(answer) if answer.status == StatusCode::OK => charge_said(&answer.body),
            Some(answer) if answer.status == StatusCode::NOT_FOUND => ChargeOutcome::NeverSeen,
            Some(_) | None => ChargeOutcome::Unknown,
        }
    }
}

impl PaymentProvider for Sandbox {
    fn charge(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let body = ChargeBody {
                amount: request.amount.amount(),
                currency: request.amount.currency(),
                token: &request.token,
                reference: &request.reference,
                callback_url: self.callback_url.as_deref(),
            };
            let Ok(body) = serde_json::to_vec(&body) else {
                return ChargeOutcome::Unknown;
            };
            let answer = self
                .exchange(Method::POST, "/v1/charges", Some(&request.key), body)
                .await;
            answer.map_or(ChargeOutcome::Unknown, |answer| charge_answered(&answer))
        })
    }

    fn query(&self, key: String) -> Call<'_, ChargeOutcome> {
        Box::pin(async move { self.query_charge(&key).await })
    }

    fn close(&self, key: String) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let path = format!("/v1/charges/by-key/{key}/close");
            match self.exchange(Method::POST, &path, None, vec![]).await {
                Some(answer) if answer.status == StatusCode::OK => match charge_said(&answer.body) {
                    // The answer may name the state only; the charge itself says the rest.
                    ChargeOutcome::Unknown => self.query_charge(&key).await,
                    said => said,
                },
                Some(_) | None => ChargeOutcome::Unknown,
            }
        })
    }

    fn refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let body = RefundBody {
                charge_id: &request.charge_id,
                amount: request.amount.amount(),
                currency: request.amount.currency(),
                reference: &request.reference,
            };
            let Ok(body) = serde_json::to_vec(&body) else {
                return SendOutcome::Unknown;
            };
            match self
                .exchange(Method::POST, "/v1/refunds", Some(&request.key), body)
                .await
            {
                Some(answer) if answer.status == StatusCode::OK => refund_said(&answer.body),
                Some(answer) if is_definite(answer.status) => SendOutcome::Failed,
                Some(_) | None => SendOutcome::Unknown,
            }
        })
    }

    fn query_refund(&self, key: String) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let path = format!("/v1/refunds/by-key/{key}");
            match self.exchange(Method::GET, &path, None, vec![]).await {
                Some(answer) if answer.status == StatusCode::OK => refund_said(&answer.body),
                Some(answer) if answer.status == StatusCode::NOT_FOUND => SendOutcome::NeverSeen,
                Some(_) | None => SendOutcome::Unknown,
            }
        })
    }
}

/// Whether a refusal says for certain that nothing was done.
fn is_definite(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::REQUEST_TIMEOUT
        && status != StatusCode::TOO_MANY_REQUESTS
}

fn charge_answered(answer: &Answered) -> ChargeOutcome {
    if answer.status == StatusCode::OK {
        return charge_said(&answer.body);
    }
    if !is_definite(answer.status) {
        return ChargeOutcome::Unknown;
    }
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == StatusCode::CONFLICT {
        // A key that is in use says nothing about how its charge ends.
        return if refusal.state == "closed" {
            ChargeOutcome::Closed
        } else {
            ChargeOutcome::Unknown
        };
    }
    ChargeOutcome::Declined {
        code: code(Some(refusal.code), "refused"),
    }
}

fn charge_said(body: &[u8]) -> ChargeOutcome {
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return ChargeOutcome::Unknown;
    };
    charge_outcome(
        &said.state,
        said.id,
        said.amount,
        said.currency,
        said.decline_code,
    )
}

/// What a charge that was described stands for.
pub(super) fn charge_outcome(
    state: &str,
    id: String,
    amount: Option<i64>,
    currency: Option<Currency>,
    decline_code: Option<String>,
) -> ChargeOutcome {
    match (state, amount, currency) {
        ("succeeded", Some(amount), Some(currency)) if !id.is_empty() => match Money::new(amount, currency) {
            Ok(amount) => ChargeOutcome::Succeeded {
                charge_id: id,
                amount,
            },
            Err(_) => ChargeOutcome::Unknown,
        },
        ("declined", ..) => ChargeOutcome::Declined {
            code: code(decline_code, "declined"),
        },
        ("closed", ..) => ChargeOutcome::Closed,
        _ => ChargeOutcome::Unknown,
    }
}

fn refund_said(body: &[u8]) -> SendOutcome {
    match serde_json::from_slice::<Said>(body) {
        Ok(said) => refund_outcome(&said.state),
        Err(_) => SendOutcome::Unknown,
    }
}

/// What the state of a refund stands for.
pub(super) fn refund_outcome(state: &str) -> SendOutcome {
    match state {
        "succeeded" => SendOutcome::Succeeded,
        "failed" => SendOutcome::Failed,
        _ => SendOutcome::Unknown,
    }
}

fn code(code: Option<String>, otherwise: &str) -> String {
    match code {
        Some(code) if !code.is_empty() => code.chars().take(CODE_CHARS_MAX).collect(),
        _ => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &'static str) -> ChargeOutcome {
        let status = StatusCode::from_u16(status).unwrap();
        charge_answered(&Answered {
            status,
            body: Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn only_what_is_certain_counts_as_an_outcome() {
        let declined = |code: &str| ChargeOutcome::Declined {
            code: code.to_owned(),
        };
        let paid = ChargeOutcome::Succeeded {
            charge_id: "ch_1".to_owned(),
            amount: Money::new(100, Currency::CNY).unwrap(),
        };
        let success = r#"{"id":"ch_1","state":"succeeded","amount":100,"currency":"CNY"}"#;

        for (status, body, outcome) in [
            (200, success, paid),
            (
                200,
                r#"{"id":"ch_1","state":"declined","decline_code":"card_declined"}"#,
                declined("card_declined"),
            ),
            (
                200,
                r#"{"id":"ch_1","state":"succeeded","amount":-1,"currency":"CNY"}"#,
                ChargeOutcome::Unknown,
            ),
            (200, r#"{"state":"succeeded"}"#, ChargeOutcome::Unknown),
            (200, "<html>", ChargeOutcome::Unknown),
            (409, r#"{"state":"closed"}"#, ChargeOutcome::Closed),
            (409, r#"{"code":"key_in_use"}"#, ChargeOutcome::Unknown),
            (400, r#"{"code":"unknown_token"}"#, declined("unknown_token")),
            (402, "", declined("refused")),
            (408, "", ChargeOutcome::Unknown),
            (429, "", ChargeOutcome::Unknown),
            (500, "", ChargeOutcome::Unknown),
            (503, success, ChargeOutcome::Unknown),
            (302, "", ChargeOutcome::Unknown),
        ] {
            assert_eq!(answered(status, body), outcome, "{status} {body}");
        }
    }

    #[test]
    fn only_a_plain_http_address_is_dialled() {
        for (url, accepted) in [
            ("http://127.0.0.1:8090", true),
            ("http://127.0.0.1:8090/", true),
            ("https://127.0.0.1:8090", false),
            ("http://127.0.0.1:8090/other", false),
            ("127.0.0.1:8090", false),
            ("", false),
        ] {
            let settings = SandboxSettings {
                url: url.to_owned(),
                callback_url: String::new(),
                connect_timeout: Duration::from_secs(1),
                request_timeout: Duration::from_secs(1),
            };

            assert_eq!(Sandbox::new(&settings).is_ok(), accepted, "{url}");
        }
    }
}
