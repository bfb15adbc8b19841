//! The HTTP adapter of the sandbox provider.
//!
//! Only the configured address is ever dialled and redirects are not followed. A timeout, a broken connection, an
//! answer of 5xx, 408 or 429, or one that cannot be read, is `Unknown`; any other refusal is definite.

use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_kernel::{Currency, Money};
use lyceum_runtime::StoreError;
use serde::{Deserialize, Serialize};

use super::gateway::{Call, ChargeRequest, PaymentProvider, RefundRequest};
use super::providers::client::{Answer, ClientSettings, HttpClient, Method, code};

const OK: u16 = 200;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// Where the sandbox is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Its API.
    pub client: ClientSettings,
    /// The address that it calls back: `http://127.0.0.1:8080/callbacks/sandbox`; empty for none.
    pub callback_url: String,
}

/// The sandbox, over HTTP/1.1.
pub struct Sandbox {
    client: HttpClient,
    callback_url: Option<String>,
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

impl Sandbox {
    /// An adapter that dials nothing but `settings.client.url`.
    ///
    /// # Errors
    /// The address is not one that `HttpClient` dials.
    pub fn new(settings: &SandboxSettings) -> Result<Self, StoreError> {
        Ok(Sandbox {
            client: HttpClient::new(&settings.client)?,
            callback_url: (!settings.callback_url.is_empty()).then(|| settings.callback_url.clone()),
        })
    }

    /// One exchange; `None` if there was no whole answer in time.
    async fn exchange(&self, method: Method, path: &str, key: Option<&str>, body: Vec<u8>) -> Option<Answer> {
        let mut headers = Vec::with_capacity(2);
        headers.extend(key.map(|key| ("idempotency-key", key)));
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        self.client.exchange(method, path, &headers, body).await
    }

    async fn query_charge(&self, key: &str) -> ChargeOutcome {
        let path = format!("/v1/charges/by-key/{key}");
        match self.exchange(Method::GET, &path, None, vec![]).await {
            Some(answer) if answer.status == OK => charge_said(&answer.body),
            Some(answer) if answer.status == NOT_FOUND => ChargeOutcome::NeverSeen,
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

    fn query(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move { self.query_charge(&request.key).await })
    }

    fn close(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let key = &request.key;
            let path = format!("/v1/charges/by-key/{key}/close");
            match self.exchange(Method::POST, &path, None, vec![]).await {
                Some(answer) if answer.status == OK => match charge_said(&answer.body) {
                    // The answer may name the state only; the charge itself says the rest.
                    ChargeOutcome::Unknown => self.query_charge(key).await,
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
                Some(answer) if answer.status == OK => refund_said(&answer.body),
                Some(answer) if answer.is_definite_refusal() => SendOutcome::Failed,
                Some(_) | None => SendOutcome::Unknown,
            }
        })
    }

    fn query_refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let path = format!("/v1/refunds/by-key/{}", request.key);
            match self.exchange(Method::GET, &path, None, vec![]).await {
                Some(answer) if answer.status == OK => refund_said(&answer.body),
                Some(answer) if answer.status == NOT_FOUND => SendOutcome::NeverSeen,
                Some(_) | None => SendOutcome::Unknown,
            }
        })
    }
}

fn charge_answered(answer: &Answer) -> ChargeOutcome {
    if answer.status == OK {
        return charge_said(&answer.body);
    }
    if !answer.is_definite_refusal() {
        return ChargeOutcome::Unknown;
    }
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == CONFLICT {
        // A key that is in use says nothing about how its charge ends.
        return if refusal.state == "closed" {
            ChargeOutcome::Closed
        } else {
            ChargeOutcome::Unknown
        };
    }
    ChargeOutcome::Declined {
        code: code(Some(&refusal.code), "refused"),
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
        said.decline_code.as_deref(),
    )
}

/// What a charge that was described stands for.
pub(super) fn charge_outcome(
    state: &str,
    id: String,
    amount: Option<i64>,
    currency: Option<Currency>,
    decline_code: Option<&str>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &'static str) -> ChargeOutcome {
        charge_answered(&Answer::of(status, body))
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
}
