//! Callbacks: how they arrive, what they say, and the scheme of the sandbox (Standard Webhooks).
//!
//! Every scheme checks the signature over the raw bytes before anything is read from them.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_kernel::{Currency, Timestamp};
use serde::Deserialize;
use sha2::Sha256;

use super::sandbox::{charge_outcome, refund_outcome};

/// No provider's ids are longer; they are keys of the inbox.
pub(super) const EVENT_ID_BYTES_MAX: usize = 128;

/// The secret that a provider signs its callbacks with; never printed.
#[derive(Clone)]
pub struct CallbackSecret(Vec<u8>);

impl CallbackSecret {
    /// Wraps a secret. Standard Webhooks writes keys as `whsec_` and base64; anything else is taken as it is.
    pub fn new(secret: &str) -> Self {
        let decoded = secret
            .strip_prefix("whsec_")
            .and_then(|text| STANDARD.decode(text).ok());
        CallbackSecret(decoded.unwrap_or_else(|| secret.as_bytes().to_vec()))
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A callback as it arrived.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// Headers that the scheme asked for; empty if missing.
    pub headers: Vec<(&'static str, &'a str)>,
    /// The raw body.
    pub body: &'a [u8],
    /// When.
    pub now: Timestamp,
}

impl Delivery<'_> {
    /// A header that the scheme asked for.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether a time of signing is near enough to the present, on either side.
    pub(super) fn is_near(&self, signed_at: Timestamp, tolerance: Duration) -> bool {
        self.now.since(signed_at) <= tolerance && signed_at.since(self.now) <= tolerance
    }
}

/// How one provider proves that a callback is its own, and what it says.
pub trait CallbackScheme: Send + Sync + 'static {
    /// The headers that it needs, in lower case.
    fn headers(&self) -> &'static [&'static str];

    /// Verifies and reads a callback.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] for what is not proved to be the provider's or not of now,
    /// [`Error::CallbackMalformed`] for what is theirs and not of the protocol, or not meant for us.
    fn read(&self, delivery: &Delivery<'_>) -> Result<Callback, Error>;

    /// Reads a callback again that was verified when it came in, from what was kept of it: by now its signature would be too old.
    ///
    /// # Errors
    /// [`Error::CallbackMalformed`], as when it came in, or because it was meant for whoever this merchant was then.
    fn reread(&self, event_id: &str, body: &[u8]) -> Result<Callback, Error>;
}

/// The scheme of the sandbox.
pub(super) struct SandboxCallbacks {
    pub(super) secret: CallbackSecret,
    pub(super) tolerance: Duration,
}

impl CallbackScheme for SandboxCallbacks {
    fn headers(&self) -> &'static [&'static str] {
        &["webhook-id", "webhook-timestamp", "webhook-signature"]
    }

    fn read(&self, delivery: &Delivery<'_>) -> Result<Callback, Error> {
        let headers = (
            delivery.header("webhook-id"),
            delivery.header("webhook-timestamp"),
            delivery.header("webhook-signature"),
        );
        Callback::verify(&self.secret, headers, delivery.body, delivery.now, self.tolerance)
    }

    fn reread(&self, event_id: &str, body: &[u8]) -> Result<Callback, Error> {
        Callback::parse(event_id, body).ok_or(Error::CallbackMalformed)
    }
}

/// A callback whose signature was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The provider's id of the event.
    pub event_id: String,
    /// The event's type.
    pub kind: String,
    /// What it speaks of: our id of the payment or refund.
    pub reference: String,
    /// The idempotency key of the attempt.
    pub key: String,
    /// What it says.
    pub news: News,
}

/// What a callback says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How a charge ended.
    Charge(ChargeOutcome),
    /// How a refund ended.
    Refund(SendOutcome),
    /// Something we do not follow.
    Other,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    id: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    decline_code: Option<String>,
}

impl Callback {
    /// Verifies and reads a callback.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`]: a header is missing or malformed, the time is more than `tolerance` away
    /// from `now`, no signature matches, or the signed body is not of the protocol.
    pub fn verify(
        secret: &CallbackSecret,
        (event_id, timestamp, signatures): (&str, &str, &str),
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<Self, Error> {
        let refused = || Error::SignatureInvalid;
        if event_id.is_empty() || event_id.len() > EVENT_ID_BYTES_MAX {
            return Err(refused());
        }
        let seconds: i64 = timestamp.parse().map_err(|_| refused())?;
        let signed_at = Timestamp::from_millis(seconds.saturating_mul(1_000));
        if now.since(signed_at) > tolerance || signed_at.since(now) > tolerance {
            return Err(refused());
        }
        let matches = signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
            .any(|one| {
                let Ok(given) = STANDARD.decode(one) else {
                    return false;
                };
                // The comparison takes the same time whatever is wrong.
                mac(secret, event_id, timestamp, body)
                    .verify_slice(&given)
                    .is_ok()
            });
        if !matches {
            return Err(refused());
        }

        Callback::parse(event_id, body).ok_or_else(refused)
    }

    /// Reads a body whose signature was right.
    fn parse(event_id: &str, body: &[u8]) -> Option<Self> {
        let Body { kind, data } = serde_json::from_slice(body).ok()?;
        let news = if kind.starts_with("charge.") {
            News::Charge(charge_outcome(
                &data.state,
                data.id,
                data.amount,
                data.currency,
                data.decline_code.as_deref(),
            ))
        } else if kind.starts_with("refund.") {
            News::Refund(refund_outcome(&data.state))
        } else {
            News::Other
        };
        Some(Callback {
            event_id: event_id.to_owned(),
            kind,
            reference: data.reference,
            key: data.key,
            news,
        })
    }

    /// The number of the attempt, which ends its key.
    pub fn attempt(&self) -> u32 {
        self.key
            .rsplit_once('-')
            .and_then(|(_, number)| number.parse().ok())
            .unwrap_or(1)
    }
}

/// Signs a callback as the provider does; for tests.
pub fn sign(secret: &CallbackSecret, event_id: &str, timestamp: &str, body: &[u8]) -> String {
    format!(
        "v1,{}",
        STANDARD.encode(mac(secret, event_id, timestamp, body).finalize().into_bytes())
    )
}

fn mac(secret: &CallbackSecret, event_id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes a key of any length");
    mac.update(event_id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"type":"charge.declined","data":{"id":"ch_1","key":"pay_x-2","state":"declined",
        "decline_code":"card_declined","amount":100,"currency":"CNY","reference":"pay_x"}}"#;

    fn verify(headers: (&str, &str, &str), body: &[u8], now_s: i64) -> Result<Callback, Error> {
        let now = Timestamp::from_millis(now_s * 1_000);
        Callback::verify(
            &CallbackSecret::new("secret"),
            headers,
            body,
            now,
            Duration::from_secs(300),
        )
    }

    #[test]
    fn a_signed_callback_is_read() {
        let signature = sign(&CallbackSecret::new("secret"), "evt_1", "1000", BODY);
        let several = format!("v1,bm9uc2Vuc2U= v2,other {signature}");

        let callback = verify(("evt_1", "1000", &several), BODY, 1_300).expect("signed");

        assert_eq!((callback.reference.as_str(), callback.attempt()), ("pay_x", 2));
        assert_eq!(
            callback.news,
            News::Charge(ChargeOutcome::Declined {
                code: "card_declined".to_owned()
            })
        );
    }

    #[test]
    fn a_callback_that_was_kept_is_read_again_as_it_was_however_old_it_is() {
        let scheme = SandboxCallbacks {
            secret: CallbackSecret::new("secret"),
            tolerance: Duration::from_secs(300),
        };
        let signature = sign(&scheme.secret, "evt_1", "1000", BODY);

        let kept = scheme.reread("evt_1", BODY);

        assert_eq!(kept, verify(("evt_1", "1000", &signature), BODY, 1_000));
        assert_eq!(scheme.reread("evt_1", b"{}"), Err(Error::CallbackMalformed));
    }

    #[test]
    fn a_callback_that_was_altered_forged_or_kept_is_refused() {
        let signature = sign(&CallbackSecret::new("secret"), "evt_1", "1000", BODY);
        let forged = sign(&CallbackSecret::new("guess"), "evt_1", "1000", BODY);

        for (headers, body, now_s) in [
            (("evt_2", "1000", signature.as_str()), BODY, 1_000),
            (("evt_1", "1001", &signature), BODY, 1_000),
            (("evt_1", "1000", &signature), b"{}".as_slice(), 1_000),
            (("evt_1", "1000", &signature), BODY, 1_301),
            (("evt_1", "1000", &signature), BODY, 699),
            (("evt_1", "1000", &forged), BODY, 1_000),
            (("evt_1", "1000", "v1,"), BODY, 1_000),
            (("evt_1", "1000", ""), BODY, 1_000),
            (("evt_1", "soon", &signature), BODY, 1_000),
            (("", "1000", &signature), BODY, 1_000),
        ] {
            assert_eq!(
                verify(headers, body, now_s),
                Err(Error::SignatureInvalid),
                "{headers:?} {now_s}"
            );
        }
    }
}
