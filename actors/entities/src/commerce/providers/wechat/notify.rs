//! Notifications of WeChat Pay: signed like answers, with a resource encrypted under the APIv3 key. No IO.

use std::time::Duration;

use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_runtime::StoreError;
use serde::Deserialize;

use super::WechatSettings;
use super::resource::{Resource, ResourceKey};
use super::sign::{NONCE, PlatformKeys, SERIAL, SIGNATURE, TIMESTAMP};
use super::wire::{Order, Refund, key_of};
use crate::commerce::callback::{Callback, CallbackScheme, Delivery, EVENT_ID_BYTES_MAX, News};

/// Proves that notifications are WeChat Pay's, and reads them.
pub struct WechatCallbacks {
    keys: PlatformKeys,
    resource_key: ResourceKey,
    mch_id: String,
    app_id: String,
    tolerance: Duration,
}

#[derive(Deserialize)]
struct Notification {
    id: String,
    event_type: String,
    resource: Resource,
}

impl WechatCallbacks {
    /// Notifications to this merchant.
    ///
    /// # Errors
    /// A key cannot be used.
    pub fn new(settings: &WechatSettings) -> Result<Self, StoreError> {
        Ok(WechatCallbacks {
            keys: PlatformKeys::new(&settings.platform_keys).map_err(StoreError::refused)?,
            resource_key: ResourceKey::new(&settings.api_v3_key).map_err(StoreError::refused)?,
            mch_id: settings.mch_id.clone(),
            app_id: settings.app_id.clone(),
            tolerance: settings.tolerance,
        })
    }

    fn said(&self, kind: &str, resource: &[u8]) -> Option<(String, String, News)> {
        if kind.starts_with("TRANSACTION.") {
            let order: Order = serde_json::from_slice(resource).ok()?;
            if order.mchid != self.mch_id || order.appid != self.app_id {
                return None;
            }
            let (key, reference) = key_of(&order.out_trade_no);
            let news = match order.outcome() {
                outcome @ (ChargeOutcome::Succeeded { .. }
                | ChargeOutcome::Declined { .. }
                | ChargeOutcome::Closed) => News::Charge(outcome),
                _ => News::Other,
            };
            return Some((reference, key, news));
        }
        if kind.starts_with("REFUND.") {
            let refund: Refund = serde_json::from_slice(resource).ok()?;
            if refund.mchid.as_ref().is_some_and(|mch_id| *mch_id != self.mch_id) {
                return None;
            }
            let key = refund.out_refund_no.clone();
            let reference = key.rsplit_once('-').map_or("", |(refund, _)| refund).to_owned();
            let news = match refund.outcome() {
                outcome @ (SendOutcome::Succeeded | SendOutcome::Failed) => News::Refund(outcome),
                SendOutcome::Unknown | SendOutcome::NeverSeen => News::Other,
            };
            return Some((reference, key, news));
        }
        Some((String::new(), String::new(), News::Other))
    }
}

impl CallbackScheme for WechatCallbacks {
    fn headers(&self) -> &'static [&'static str] {
        &[TIMESTAMP, NONCE, SIGNATURE, SERIAL]
    }

    fn read(&self, delivery: &Delivery<'_>) -> Result<Callback, Error> {
        let header = |name: &str| delivery.header(name).to_owned();
        if !self
            .keys
            .prove(header, delivery.body, delivery.now, self.tolerance)
        {
            return Err(Error::SignatureInvalid);
        }
        self.parse(delivery.body)
    }

    fn reread(&self, _event_id: &str, body: &[u8]) -> Result<Callback, Error> {
        self.parse(body)
    }
}

impl WechatCallbacks {
    /// Reads a body whose signature was right; what is in it is encrypted by a key that both know.
    fn parse(&self, body: &[u8]) -> Result<Callback, Error> {
        let malformed = || Error::CallbackMalformed;
        let notification: Notification = serde_json::from_slice(body).map_err(|_| malformed())?;
        if notification.id.is_empty() || notification.id.len() > EVENT_ID_BYTES_MAX {
            return Err(malformed());
        }
        let resource = self
            .resource_key
            .open(&notification.resource)
            .ok_or_else(malformed)?;
        let (reference, key, news) = self
            .said(&notification.event_type, &resource)
            .ok_or_else(malformed)?;
        Ok(Callback {
            event_id: notification.id,
            kind: notification.event_type,
            reference,
            key,
            news,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lyceum_kernel::{Currency, Money, Timestamp};
    use serde_json::{Value, json};

    use super::super::resource::tests::sealed;
    use super::*;
    use crate::commerce::providers::rsa::Signer;
    use crate::commerce::providers::rsa::testing::{MERCHANT, PLATFORM, PLATFORM_PUBLIC};

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const AT: i64 = 1_700_000_000;

    fn callbacks() -> WechatCallbacks {
        WechatCallbacks {
            keys: PlatformKeys::new(&BTreeMap::from([("PUB_KEY_ID_1".into(), PLATFORM_PUBLIC.into())]))
                .unwrap(),
            resource_key: ResourceKey::new(KEY).unwrap(),
            mch_id: "1900009191".into(),
            app_id: "wxd678efh567hg6787".into(),
            tolerance: Duration::from_mins(5),
        }
    }

    fn body(kind: &str, resource: &Value) -> String {
        json!({
            "id": "EV-2018022511223320873", "create_time": "2015-05-20T13:29:35+08:00", "event_type": kind,
            "resource_type": "encrypt-resource", "summary": "…",
            "resource": sealed(KEY, "fdasflkja484", "transaction", &resource.to_string()),
        })
        .to_string()
    }

    fn read_as(private: &str, serial: &str, body: &str, seconds: i64) -> Result<Callback, Error> {
        let (timestamp, nonce) = (AT.to_string(), "EcS8qJDmDWvXkPmG");
        let signature = Signer::read(private)
            .unwrap()
            .sign(format!("{timestamp}\n{nonce}\n{body}\n").as_bytes());
        callbacks().read(&Delivery {
            headers: vec![
                (TIMESTAMP, &timestamp),
                (NONCE, nonce),
                (SIGNATURE, &signature),
                (SERIAL, serial),
            ],
            body: body.as_bytes(),
            now: Timestamp::from_millis(seconds * 1_000),
        })
    }

    fn read(kind: &str, resource: &Value) -> Result<Callback, Error> {
        read_as(PLATFORM, "PUB_KEY_ID_1", &body(kind, resource), AT)
    }

    fn paid() -> Value {
        json!({
            "mchid": "1900009191", "appid": "wxd678efh567hg6787", "out_trade_no": "01h455vb4pex5vsknk084sn02q-2",
            "transaction_id": "1217752501201407033233368018", "trade_type": "NATIVE", "trade_state": "SUCCESS",
            "amount": {"total": 1990, "currency": "CNY"},
        })
    }

    #[test]
    fn a_payment_is_read_from_what_was_signed_and_encrypted() {
        let callback = read("TRANSACTION.SUCCESS", &paid()).unwrap();

        assert_eq!(callback.event_id, "EV-2018022511223320873");
        assert_eq!(callback.reference, "pay_01h455vb4pex5vsknk084sn02q");
        assert_eq!(callback.attempt(), 2);
        assert_eq!(
            callback.news,
            News::Charge(ChargeOutcome::Succeeded {
                charge_id: "1217752501201407033233368018".into(),
                amount: Money::new(1_990, Currency::CNY).unwrap(),
            })
        );
    }

    #[test]
    fn what_was_kept_is_opened_again_without_its_signature() {
        let kept = body("TRANSACTION.SUCCESS", &paid());

        let again = callbacks().reread("EV-2018022511223320873", kept.as_bytes());

        assert_eq!(again, read("TRANSACTION.SUCCESS", &paid()));
    }

    #[test]
    fn refunds_are_told_apart_by_their_state() {
        for (kind, status, news) in [
            ("REFUND.SUCCESS", "SUCCESS", News::Refund(SendOutcome::Succeeded)),
            ("REFUND.CLOSED", "CLOSED", News::Refund(SendOutcome::Failed)),
            ("REFUND.ABNORMAL", "ABNORMAL", News::Other),
        ] {
            let refund = json!({"mchid": "1900009191", "out_refund_no": "ref_01-3", "refund_status": status});

            let callback = read(kind, &refund).unwrap();

            assert_eq!(callback.news, news, "{kind}");
            assert_eq!((callback.reference.as_str(), callback.attempt()), ("ref_01", 3));
        }
    }

    #[test]
    fn what_others_signed_or_what_is_too_old_is_refused() {
        let body = body("TRANSACTION.SUCCESS", &paid());
        for (private, serial, seconds) in [
            (MERCHANT, "PUB_KEY_ID_1", AT),
            (PLATFORM, "PUB_KEY_ID_2", AT),
            (PLATFORM, "PUB_KEY_ID_1", AT + 301),
            (PLATFORM, "PUB_KEY_ID_1", AT - 301),
        ] {
            let refused = read_as(private, serial, &body, seconds);
            assert_eq!(refused, Err(Error::SignatureInvalid), "{serial} {seconds}");
        }
    }

    #[test]
    fn what_is_signed_but_meant_for_others_or_unreadable_is_malformed() {
        for (name, value) in [("mchid", "1900009192"), ("appid", "wx0"), ("trade_state", "")] {
            let mut order = paid();
            if value.is_empty() {
                order.as_object_mut().unwrap().remove(name);
            } else {
                order[name] = value.into();
            }
            assert_eq!(
                read("TRANSACTION.SUCCESS", &order),
                Err(Error::CallbackMalformed),
                "{name}"
            );
        }
        let mut foreign: Value = serde_json::from_str(&body("TRANSACTION.SUCCESS", &paid())).unwrap();
        foreign["resource"] = sealed(&KEY.replace('0', "1"), "fdasflkja484", "", "{}");
        for body in ["", "{}", &foreign.to_string()] {
            let refused = read_as(PLATFORM, "PUB_KEY_ID_1", body, AT);
            assert_eq!(refused, Err(Error::CallbackMalformed), "{body}");
        }
    }
}
