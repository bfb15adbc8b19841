//! Notifications of Alipay: a form, signed over its sorted fields. No IO.
//!
//! Alipay repeats a notification for about a day until it is answered with the word `success`, so its time may be that far
//! off; the inbox sees to it that a repeated one counts once.

use std::collections::BTreeMap;
use std::time::Duration;

use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::payment::ChargeOutcome;
use lyceum_runtime::StoreError;

use super::AlipaySettings;
use super::sign::notified;
use super::wire::{key_of, trade_outcome};
use crate::commerce::callback::{Callback, CallbackScheme, Delivery, EVENT_ID_BYTES_MAX, News};
use crate::commerce::providers::local;
use crate::commerce::providers::rsa::Verifier;

/// Proves that notifications are Alipay's, and reads them.
pub struct AlipayCallbacks {
    verifier: Verifier,
    app_id: String,
    tolerance: Duration,
}

impl AlipayCallbacks {
    /// Notifications to this app.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(settings: &AlipaySettings) -> Result<Self, StoreError> {
        Ok(AlipayCallbacks {
            verifier: Verifier::read(&settings.alipay_public_key).map_err(StoreError::refused)?,
            app_id: settings.app_id.clone(),
            tolerance: settings.tolerance,
        })
    }

    fn said(&self, fields: &BTreeMap<String, String>) -> Option<Callback> {
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let event_id = field("notify_id");
        if event_id.is_empty() || event_id.len() > EVENT_ID_BYTES_MAX || field("app_id") != self.app_id {
            return None;
        }
        let (key, reference) = key_of(field("out_trade_no"))?;
        let paid = !field("gmt_payment").is_empty();
        let outcome = trade_outcome(
            field("trade_status"),
            field("trade_no"),
            field("total_amount"),
            paid,
        );
        let news = match outcome {
            ChargeOutcome::Succeeded { .. } | ChargeOutcome::Closed => News::Charge(outcome),
            _ => News::Other,
        };
        Some(Callback {
            event_id: event_id.to_owned(),
            kind: field("trade_status").to_owned(),
            reference,
            key,
            news,
        })
    }
}

impl CallbackScheme for AlipayCallbacks {
    fn headers(&self) -> &'static [&'static str] {
        &[]
    }

    fn read(&self, delivery: &Delivery<'_>) -> Result<Callback, Error> {
        let fields = notified(delivery.body, &self.verifier).ok_or(Error::SignatureInvalid)?;
        let sent_at = fields
            .get("notify_time")
            .and_then(|time| local::from_spaced(time));
        let sent_at = sent_at.ok_or(Error::CallbackMalformed)?;
        if !delivery.is_near(sent_at, self.tolerance) {
            return Err(Error::SignatureInvalid);
        }
        self.said(&fields).ok_or(Error::CallbackMalformed)
    }

    fn reread(&self, _event_id: &str, body: &[u8]) -> Result<Callback, Error> {
        let fields = serde_urlencoded::from_bytes(body).map_err(|_| Error::CallbackMalformed)?;
        self.said(&fields).ok_or(Error::CallbackMalformed)
    }
}

#[cfg(test)]
mod tests {
    use lyceum_kernel::{Currency, Money, Timestamp};

    use super::super::sign::content;
    use super::*;
    use crate::commerce::providers::rsa::Signer;
    use crate::commerce::providers::rsa::testing::{MERCHANT, PLATFORM, PLATFORM_PUBLIC};

    const AT: i64 = 1_700_000_000;
    const DAY: i64 = 86_400;

    fn callbacks() -> AlipayCallbacks {
        AlipayCallbacks {
            verifier: Verifier::read(PLATFORM_PUBLIC).unwrap(),
            app_id: "2014072300007148".into(),
            tolerance: Duration::from_hours(25),
        }
    }

    fn paid() -> BTreeMap<String, String> {
        [
            ("notify_time", "2023-11-15 06:13:20"),
            ("notify_type", "trade_status_sync"),
            ("notify_id", "ac05099524730693a8b330c5ecf72da9786"),
            ("app_id", "2014072300007148"),
            ("trade_no", "2013112011001004330000121536"),
            ("out_trade_no", "pay_01h455vb4pex5vsknk084sn02q_1"),
            ("trade_status", "TRADE_SUCCESS"),
            ("total_amount", "19.90"),
            ("gmt_payment", "2023-11-15 06:13:19"),
            ("subject", "极客"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn read_as(private: &str, fields: &BTreeMap<String, String>, seconds: i64) -> Result<Callback, Error> {
        let mut fields = fields.clone();
        let signature = Signer::read(private).unwrap().sign(content(&fields).as_bytes());
        fields.insert("sign".into(), signature);
        fields.insert("sign_type".into(), "RSA2".into());
        let form = serde_urlencoded::to_string(&fields).unwrap();
        callbacks().read(&Delivery {
            headers: vec![],
            body: form.as_bytes(),
            now: Timestamp::from_millis(seconds * 1_000),
        })
    }

    #[test]
    fn a_form_that_was_kept_is_read_again_without_its_signature() {
        let form = serde_urlencoded::to_string(paid()).unwrap();

        let kept = callbacks().reread("ac05099524730693a8b330c5ecf72da9786", form.as_bytes());

        assert_eq!(kept, read_as(PLATFORM, &paid(), AT));
    }

    #[test]
    fn a_payment_is_read_from_a_signed_form() {
        let callback = read_as(PLATFORM, &paid(), AT).unwrap();

        assert_eq!(callback.event_id, "ac05099524730693a8b330c5ecf72da9786");
        assert_eq!(callback.reference, "pay_01h455vb4pex5vsknk084sn02q");
        assert_eq!(callback.attempt(), 1);
        assert_eq!(
            callback.news,
            News::Charge(ChargeOutcome::Succeeded {
                charge_id: "2013112011001004330000121536".into(),
                amount: Money::new(1_990, Currency::CNY).unwrap(),
            })
        );
    }

    #[test]
    fn a_closed_trade_was_paid_or_was_not() {
        let mut closed = paid();
        closed.insert("trade_status".into(), "TRADE_CLOSED".into());
        let refunded = read_as(PLATFORM, &closed, AT).unwrap().news;
        assert!(matches!(refunded, News::Charge(ChargeOutcome::Succeeded { .. })));

        closed.remove("gmt_payment");
        let unpaid = read_as(PLATFORM, &closed, AT).unwrap().news;
        assert_eq!(unpaid, News::Charge(ChargeOutcome::Closed));

        closed.insert("trade_status".into(), "WAIT_BUYER_PAY".into());
        assert_eq!(read_as(PLATFORM, &closed, AT).unwrap().news, News::Other);
    }

    #[test]
    fn what_others_signed_or_what_is_too_old_is_refused() {
        for (private, seconds) in [
            (MERCHANT, AT),
            (PLATFORM, AT + DAY + 3_601),
            (PLATFORM, AT - DAY - 3_601),
        ] {
            assert_eq!(
                read_as(private, &paid(), seconds),
                Err(Error::SignatureInvalid),
                "{seconds}"
            );
        }
        assert!(
            read_as(PLATFORM, &paid(), AT + DAY).is_ok(),
            "the last repetition"
        );
    }

    #[test]
    fn what_is_signed_but_meant_for_others_or_unreadable_is_malformed() {
        for (name, value) in [
            ("app_id", "2014072300007149"),
            ("notify_id", ""),
            ("notify_time", "yesterday"),
            ("out_trade_no", "x"),
        ] {
            let mut fields = paid();
            fields.insert(name.into(), value.into());
            assert_eq!(
                read_as(PLATFORM, &fields, AT),
                Err(Error::CallbackMalformed),
                "{name}"
            );
        }
    }
}
