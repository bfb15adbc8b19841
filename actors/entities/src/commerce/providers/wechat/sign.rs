//! Signatures of WeChat Pay's API v3: ours on requests, the platform's on answers and notifications. No IO.
//!
//! Both are RSA with SHA-256 over lines that each end in a newline: of a request its method, path, time, nonce and body; of
//! what comes back its time, nonce and body. `Wechatpay-Serial` names the platform's key.

use std::collections::BTreeMap;
use std::time::Duration;

use lyceum_kernel::Timestamp;

use super::WechatSettings;
use crate::commerce::providers::rsa::{KeyError, Signer, Verifier};

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
/// Headers of answers and notifications.
pub(super) const TIMESTAMP: &str = "wechatpay-timestamp";
pub(super) const NONCE: &str = "wechatpay-nonce";
pub(super) const SIGNATURE: &str = "wechatpay-signature";
pub(super) const SERIAL: &str = "wechatpay-serial";

/// Who we are.
pub(super) struct Credentials {
    mch_id: String,
    serial: String,
    signer: Signer,
}

impl Credentials {
    /// Reads the merchant's key.
    pub(super) fn new(settings: &WechatSettings) -> Result<Self, KeyError> {
        Ok(Credentials {
            mch_id: settings.mch_id.clone(),
            serial: settings.serial.clone(),
            signer: Signer::read(&settings.private_key)?,
        })
    }

    /// The header that signs a request; `None` if the machine has no randomness.
    pub(super) fn authorization(
        &self,
        method: &str,
        path: &str,
        body: &str,
        now: Timestamp,
    ) -> Option<String> {
        Some(self.authorization_with(method, path, body, seconds(now), &nonce()?))
    }

    fn authorization_with(&self, method: &str, path: &str, body: &str, seconds: i64, nonce: &str) -> String {
        let signature = self
            .signer
            .sign(format!("{method}\n{path}\n{seconds}\n{nonce}\n{body}\n").as_bytes());
        format!(
            "{SCHEME} mchid=\"{}\",nonce_str=\"{nonce}\",signature=\"{signature}\",timestamp=\"{seconds}\",serial_no=\"{}\"",
            self.mch_id, self.serial
        )
    }

    /// What a page within WeChat calls the payment with, as JSON.
    pub(super) fn invocation(&self, app_id: &str, prepay_id: &str, now: Timestamp) -> Option<String> {
        let (seconds, nonce) = (seconds(now), nonce()?);
        let package = format!("prepay_id={prepay_id}");
        let signature = self
            .signer
            .sign(format!("{app_id}\n{seconds}\n{nonce}\n{package}\n").as_bytes());
        let parameters = serde_json::json!({
            "appId": app_id, "timeStamp": seconds.to_string(), "nonceStr": nonce, "package": package,
            "signType": "RSA", "paySign": signature,
        });
        Some(parameters.to_string())
    }
}

/// The platform's public keys.
#[derive(Clone)]
pub(super) struct PlatformKeys(BTreeMap<String, Verifier>);

impl PlatformKeys {
    /// Reads the keys.
    pub(super) fn new(keys: &BTreeMap<String, String>) -> Result<Self, KeyError> {
        let read = |(serial, text): (&String, &String)| Ok((serial.clone(), Verifier::read(text)?));
        keys.iter().map(read).collect::<Result<_, _>>().map(PlatformKeys)
    }

    /// Whether a body was signed by the key that it names, at most `tolerance` from now.
    pub(super) fn prove(
        &self,
        header: impl Fn(&str) -> String,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> bool {
        let (timestamp, nonce) = (header(TIMESTAMP), header(NONCE));
        let Some(key) = self.0.get(&header(SERIAL)) else {
            return false;
        };
        let seconds = timestamp
            .parse::<i64>()
            .ok()
            .and_then(|seconds| seconds.checked_mul(1_000));
        let Some(signed_at) = seconds.map(Timestamp::from_millis) else {
            return false;
        };
        if now.since(signed_at) > tolerance || signed_at.since(now) > tolerance {
            return false;
        }
        let mut message = format!("{timestamp}\n{nonce}\n").into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        key.verifies(&message, &header(SIGNATURE))
    }
}

fn seconds(now: Timestamp) -> i64 {
    now.as_millis() / 1_000
}

/// 32 characters that nobody can foresee.
fn nonce() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(format!("{:032X}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commerce::providers::rsa::testing::{MERCHANT, MERCHANT_PUBLIC, PLATFORM_PUBLIC};

    /// The example of WeChat Pay's document on signing, signed with our test key by `openssl dgst -sha256 -sign`.
    const REQUEST: &str = "efXEl6zklQ7WBnUFLkea7evknzN8s5TrVSBdxGJJ03Rlw1nlYUJcmyIqhqSwVnpO11M37Su6rBEJI2SkO+Rm7tlstXhzUsDN4qRf9lw44lArqLcoCmZatUNCkYPJzdnUx3J+S60h7S88iDZcPS1NVHbN+ilEtJXjR5MsQ18kzST/1T9mmrMLJF9bI7s7esn9jXhFaMGKhBbDN7k4kxE6KZ6pBWr6CuV3rnXlSCKUtxdxD1vhROFUrJPvF7xI4lYKP+/SnQDdYPtqWieHFzn5pOLst9qsqDno3yFxWcCOCVRPnqTbulT5qTneqleln/sI7Rf8/oaNLEKasjtx/y0bcw==";
    /// Likewise the head of the example of its document on verifying, with a short body.
    const ANSWER: &str = "GL4O5346sM2bvB+Y0bZf4wRSqYz7i67mpsyZEj1Z+uS33AXcY5ThiPaYjZ74mRaRHPUa4lPnHFUaxThSRtMt7QMmloPRLc8etAe3b2Q2hEx6mKlhuBPxkH7Z1XOrnKLzRzAN6qqAyx6b6tsOWxsijpN9OFRaS/aXgjYCyMN31TviFJm1LjkAYSQOX3K81cWlrwmsDvfsXhweeC9PDKoxvrhTMkXCsJQxNTT1XBStwjnN+BY8uc7bAyeeOFJiePtmg5QwmISHjvSD3knK+IgRi4Ovg4M6E/WDHGDF/8pf/saHT+npBgNES5Z1KHwgxyzytXHVIv1xBtwTf3eIQTXVcw==";
    const ANSWER_BODY: &str = r#"{"data":[]}"#;
    const ANSWERED_AT: i64 = 1_554_209_980;

    fn credentials() -> Credentials {
        Credentials {
            mch_id: "1900009191".into(),
            serial: "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C".into(),
            signer: Signer::read(MERCHANT).unwrap(),
        }
    }

    fn keys() -> PlatformKeys {
        PlatformKeys::new(&BTreeMap::from([(
            "5157F09EFDC096DE15EBE81A47057A72".into(),
            PLATFORM_PUBLIC.into(),
        )]))
        .unwrap()
    }

    fn proved(changed: &str, value: &str, body: &str, seconds: i64) -> bool {
        let header = |name: &str| {
            let value = match name {
                _ if name == changed => value,
                TIMESTAMP => "1554209980",
                NONCE => "c5ac7061fccab6bf3e254dcf98995b8c",
                SIGNATURE => ANSWER,
                SERIAL => "5157F09EFDC096DE15EBE81A47057A72",
                _ => "",
            };
            value.to_owned()
        };
        let now = Timestamp::from_millis(seconds * 1_000);
        keys().prove(header, body.as_bytes(), now, Duration::from_mins(5))
    }

    #[test]
    fn a_request_is_signed_as_the_document_says() {
        let nonce = "593BEC0C930BF1AFEB40B4A08C8FB242";

        let header = credentials().authorization_with("GET", "/v3/certificates", "", 1_554_208_460, nonce);

        assert_eq!(
            header,
            format!(
                "WECHATPAY2-SHA256-RSA2048 mchid=\"1900009191\",nonce_str=\"{nonce}\",signature=\"{REQUEST}\",\
                 timestamp=\"1554208460\",serial_no=\"1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C\""
            )
        );
    }

    #[test]
    fn an_answer_is_believed_within_five_minutes_on_either_side() {
        for (seconds, believed) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            assert_eq!(
                proved("", "", ANSWER_BODY, ANSWERED_AT + seconds),
                believed,
                "{seconds}"
            );
        }
    }

    #[test]
    fn whatever_is_changed_is_not_believed() {
        for (name, value, body) in [
            (TIMESTAMP, "1554209981", ANSWER_BODY),
            (TIMESTAMP, "", ANSWER_BODY),
            (TIMESTAMP, "9223372036854775807", ANSWER_BODY),
            (NONCE, "c5ac7061fccab6bf3e254dcf98995b8d", ANSWER_BODY),
            (SIGNATURE, "", ANSWER_BODY),
            // How the platform tests whether signatures are looked at.
            (
                SIGNATURE,
                "WECHATPAY/SIGNTEST/CtcbzwtQjN8rnOXItEBJ5aQFSnIXESeV",
                ANSWER_BODY,
            ),
            (SERIAL, "", ANSWER_BODY),
            (SERIAL, "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C", ANSWER_BODY),
            ("", "", r#"{"data":[] }"#),
            ("", "", ""),
        ] {
            assert!(!proved(name, value, body, ANSWERED_AT), "{name} {value} {body}");
        }
    }

    #[test]
    fn a_page_calls_the_payment_with_a_signature_of_its_own() {
        let parameters = credentials()
            .invocation(
                "wx2421b1c4370ec43b",
                "wx201410272009395522657a690389285100",
                Timestamp::EPOCH,
            )
            .unwrap();

        let parameters: serde_json::Value = serde_json::from_str(&parameters).unwrap();
        let text = |name: &str| parameters[name].as_str().unwrap();
        let message = format!(
            "wx2421b1c4370ec43b\n0\n{}\nprepay_id=wx201410272009395522657a690389285100\n",
            text("nonceStr")
        );
        let key = Verifier::read(MERCHANT_PUBLIC).unwrap();
        assert!(key.verifies(message.as_bytes(), text("paySign")));
        assert_eq!((text("timeStamp"), text("signType")), ("0", "RSA"));
    }

    #[test]
    fn nonces_are_long_and_never_the_same() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());

        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
    }
}
