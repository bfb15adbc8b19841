//! One line of a history: an intent or an outcome, with its number and its time.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a client is about to ask: everything it takes to ask again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which client of the generator asks.
    pub client: u64,
    /// What the request is for: `buy`, `register`, `top_up`, `refund`, `event`, `log_in`, …
    pub kind: String,
    /// The method, in capitals.
    pub method: String,
    /// Path and query, without scheme and host.
    pub path: String,
    /// The `Idempotency-Key` it carries. Retries of one request share it.
    pub idempotency_key: Option<String>,
    /// The username of the caller, if it is known.
    pub user: Option<String>,
    /// The body as it is sent, to the byte.
    pub body: String,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done: 2xx.
    Acknowledged {
        /// The status.
        http: u16,
        /// Digest of the body, in hexadecimal.
        body_sha256: String,
        /// The body, or null if it is no JSON.
        response: Value,
    },
    /// It was not done: 4xx.
    Refused {
        /// The status.
        http: u16,
        /// The stable code of the problem, if it had one.
        code: Option<String>,
    },
    /// It may have been done: no answer, or one that leaves it open.
    Unknown {
        /// Why nobody knows.
        why: String,
    },
}

impl Outcome {
    /// Reads an answer: 2xx acknowledges, 4xx refuses, anything else leaves it open.
    #[must_use]
    pub fn of_answer(http: u16, body: &[u8]) -> Self {
        let response: Value = serde_json::from_slice(body).unwrap_or_default();
        match http {
            200..=299 => Self::Acknowledged {
                http,
                body_sha256: sha256(body),
                response,
            },
            400..=499 => Self::Refused {
                http,
                code: response["code"].as_str().map(ToOwned::to_owned),
            },
            _ => Self::Unknown {
                why: format!("status {http}"),
            },
        }
    }
}

/// A line as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    Intent {
        id: u64,
        at_unix_us: u64,
        #[serde(flatten)]
        intent: Intent,
    },
    Outcome {
        id: u64,
        at_unix_us: u64,
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// Digests a body, in hexadecimal.
#[must_use]
pub fn sha256(body: &[u8]) -> String {
    Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The wall clock; 0 before 1970.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
