//! Stripe's webhooks: `Stripe-Signature: t=…,v1=…` is HMAC-SHA256 over `t.body`, in hexadecimal. No IO.
//!
//! While a secret is being rotated Stripe signs with both, so any `v1` may be the right one. The secret is used as it is
//! written, prefix included.

use std::time::Duration;

use hmac::{Hmac, Mac};
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_kernel::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use super::StripeSettings;
use super::wire::{Intent, Refund};
use crate::commerce::callback::{Callback, CallbackScheme, Delivery, EVENT_ID_BYTES_MAX, News};

const SIGNATURE: &str = "stripe-signature";
/// More signatures than any rotation has.
const SIGNATURES_MAX: usize = 8;

/// Proves that webhooks are Stripe's.
pub struct StripeCallbacks {
    secret: String,
    tolerance: Duration,
}

#[derive(Deserialize)]
struct Event<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

impl StripeCallbacks {
    /// Webhooks of the endpoint with this secret.
    pub fn new(settings: &StripeSettings) -> Self {
        StripeCallbacks {
            secret: settings.webhook_secret.clone(),
            tolerance: settings.tolerance,
        }
    }

    fn verify(&self, delivery: &Delivery<'_>) -> Option<()> {
        let (mut signed_at, mut signatures) = (None, Vec::new());
        for part in delivery.header(SIGNATURE).split(',') {
            match part.trim().split_once('=') {
                Some(("t", seconds)) => signed_at = Some(seconds),
                Some(("v1", hex)) if signatures.len() < SIGNATURES_MAX => signatures.push(hex),
                // Other schemes are for tests, or yet to come.
                _ => {}
            }
        }
        let seconds = signed_at?;
        let time = Timestamp::from_millis(seconds.parse::<i64>().ok()?.checked_mul(1_000)?);
        if !delivery.is_near(time, self.tolerance) {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).ok()?;
        mac.update(seconds.as_bytes());
        mac.update(b".");
        mac.update(delivery.body);
        // The comparison takes the same time whatever is wrong.
        let is_ours =
            |hex: &&str| unhex(hex).is_some_and(|signature| mac.clone().verify_slice(&signature).is_ok());
        signatures.iter().any(is_ours).then_some(())
    }
}

impl CallbackScheme for StripeCallbacks {
    fn headers(&self) -> &'static [&'static str] {
        &[SIGNATURE]
    }

    fn read(&self, delivery: &Delivery<'_>) -> Result<Callback, Error> {
        self.verify(delivery).ok_or(Error::SignatureInvalid)?;
        parse(delivery.body)
    }

    fn reread(&self, _event_id: &str, body: &[u8]) -> Result<Callback, Error> {
        parse(body)
    }
}

/// Reads a body whose signature was right.
fn parse(body: &[u8]) -> Result<Callback, Error> {
    let event: Event<'_> = serde_json::from_slice(body).map_err(|_| Error::CallbackMalformed)?;
    if event.id.is_empty() || event.id.len() > EVENT_ID_BYTES_MAX {
        return Err(Error::CallbackMalformed);
    }
    let (mut metadata, news) = said(&event.kind, event.data.object.get())?;
    let mut name = |name: &str| metadata.remove(name).unwrap_or_default();
    let (reference, key) = (name("reference"), name("key"));
    // Without our names it is somebody else's, on the same account.
    let news = if reference.is_empty() { News::Other } else { news };
    Ok(Callback {
        event_id: event.id,
        kind: event.kind,
        reference,
        key,
        news,
    })
}

type Metadata = std::collections::BTreeMap<String, String>;

fn said(kind: &str, object: &str) -> Result<(Metadata, News), Error> {
    let malformed = |_| Error::CallbackMalformed;
    match kind {
        "payment_intent.succeeded" | "payment_intent.payment_failed" | "payment_intent.canceled" => {
            let intent: Intent = serde_json::from_str(object).map_err(malformed)?;
            let news = match intent.outcome() {
                outcome @ (ChargeOutcome::Succeeded { .. }
                | ChargeOutcome::Declined { .. }
                | ChargeOutcome::Closed) => News::Charge(outcome),
                // An event may come after the next one's fact.
                _ => News::Other,
            };
            Ok((intent.metadata, news))
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            let refund: Refund = serde_json::from_str(object).map_err(malformed)?;
            let news = match refund.outcome() {
                outcome @ (SendOutcome::Succeeded | SendOutcome::Failed) => News::Refund(outcome),
                SendOutcome::Unknown | SendOutcome::NeverSeen => News::Other,
            };
            Ok((refund.metadata, news))
        }
        _ => Ok((Metadata::new(), News::Other)),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use lyceum_kernel::{Currency, Money};
    use serde_json::json;

    use super::*;

    /// Signed by `printf '%s' '1700000000.{"id":…}' | openssl dgst -sha256 -hmac whsec_test_secret`.
    const BODY: &str = r#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","status":"succeeded","amount":1990,"currency":"cny","metadata":{"key":"pay_01-1","reference":"pay_01"}}}}"#;
    const SIGNED: &str = "71f445ee14dadbe921bca8900da6f9990ef829e6a2553269ad649e1f94efb45a";
    const AT: i64 = 1_700_000_000;

    fn callbacks() -> StripeCallbacks {
        StripeCallbacks {
            secret: "whsec_test_secret".into(),
            tolerance: Duration::from_mins(5),
        }
    }

    fn read(signature: &str, body: &str, seconds: i64) -> Result<Callback, Error> {
        callbacks().read(&Delivery {
            headers: vec![(SIGNATURE, signature)],
            body: body.as_bytes(),
            now: Timestamp::from_millis(seconds * 1_000),
        })
    }

    fn signed(body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_test_secret").unwrap();
        mac.update(format!("{AT}.{body}").as_bytes());
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("t={AT},v1={hex}")
    }

    #[test]
    fn a_signature_made_by_openssl_is_accepted_within_five_minutes_on_either_side() {
        let header = format!("t={AT},v1={SIGNED}");

        for seconds in [AT - 300, AT, AT + 300] {
            let callback = read(&header, BODY, seconds).unwrap();
            assert_eq!(callback.event_id, "evt_1");
            assert_eq!((callback.reference.as_str(), callback.attempt()), ("pay_01", 1));
            assert_eq!(
                callback.news,
                News::Charge(ChargeOutcome::Succeeded {
                    charge_id: "pi_1".into(),
                    amount: Money::new(1_990, Currency::CNY).unwrap(),
                })
            );
        }
        for seconds in [AT - 301, AT + 301] {
            assert_eq!(
                read(&header, BODY, seconds),
                Err(Error::SignatureInvalid),
                "{seconds}"
            );
        }
    }

    #[test]
    fn what_was_kept_is_read_again_without_its_signature() {
        let header = format!("t={AT},v1={SIGNED}");

        let kept = callbacks().reread("evt_1", BODY.as_bytes());

        assert_eq!(kept, read(&header, BODY, AT));
    }

    #[test]
    fn any_of_several_signatures_may_be_the_right_one() {
        let wrong = "0".repeat(64);

        for header in [
            format!("t={AT},v1={wrong},v1={SIGNED}"),
            format!("t={AT},v1={SIGNED},v1={wrong},v0={wrong}"),
            format!("t={AT}, v1={SIGNED}"),
        ] {
            assert!(read(&header, BODY, AT).is_ok(), "{header}");
        }
    }

    #[test]
    fn whatever_is_not_signed_by_the_secret_is_refused() {
        let other = BODY.replace("1990", "1991");
        for (header, body) in [
            (String::new(), BODY),
            (format!("t={AT}"), BODY),
            (format!("v1={SIGNED}"), BODY),
            (format!("t={AT},v0={SIGNED}"), BODY),
            (format!("t={},v1={SIGNED}", AT + 1), BODY),
            (format!("t=x{AT},v1={SIGNED}"), BODY),
            (format!("t={AT},v1={}", &SIGNED[..62]), BODY),
            (format!("t={AT},v1=ü{SIGNED}"), BODY),
            (format!("t={AT},v1={SIGNED}"), other.as_str()),
            (format!("t={},v1={SIGNED}", i64::MAX), BODY),
        ] {
            assert_eq!(read(&header, body, AT), Err(Error::SignatureInvalid), "{header}");
        }
    }

    #[test]
    fn what_is_signed_and_cannot_be_read_is_malformed() {
        for body in [
            "",
            "{}",
            r#"{"id":"","type":"x","data":{"object":{}}}"#,
            r#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{}}}"#,
        ] {
            assert_eq!(
                read(&signed(body), body, AT),
                Err(Error::CallbackMalformed),
                "{body}"
            );
        }
    }

    #[test]
    fn events_say_what_they_are_about_and_others_say_nothing() {
        let refund = |kind: &str, status: &str| {
            json!({"id": "evt_2", "type": kind, "data": {"object": {"id": "re_1", "status": status,
                "metadata": {"key": "ref_01-1", "reference": "ref_01"}}}})
            .to_string()
        };
        let foreign = BODY.replace("reference", "order");
        for (body, news) in [
            (
                refund("refund.updated", "succeeded"),
                News::Refund(SendOutcome::Succeeded),
            ),
            (
                refund("refund.failed", "failed"),
                News::Refund(SendOutcome::Failed),
            ),
            (refund("refund.updated", "pending"), News::Other),
            (refund("customer.created", "succeeded"), News::Other),
            (foreign, News::Other),
        ] {
            let callback = read(&signed(&body), &body, AT).unwrap();
            assert_eq!(callback.news, news, "{body}");
        }
    }
}
