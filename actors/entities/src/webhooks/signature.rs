//! Secrets of endpoints and what they sign, as Standard Webhooks 1.0 has it.
//!
//! The secret of an endpoint is a MAC of its id and version under a key of the platform. It is thereby nowhere at rest:
//! not in the journal, in no row, in no recorded answer; and it can be shown again to its owner.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use lyceum_domain::ids::WebhookEndpointId;
use sha2::Sha256;

/// The key that the secrets of all endpoints are derived from.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SigningKey {
    /// The key with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        SigningKey(bytes.into())
    }

    /// The secret of an endpoint as its owner is shown it: `whsec_` and base64.
    pub fn secret(&self, endpoint_id: WebhookEndpointId, version: u32) -> String {
        format!("whsec_{}", STANDARD.encode(self.derived(endpoint_id, version)))
    }

    /// The value of `webhook-signature` for a message: one signature for each version, separated by spaces.
    pub(super) fn signatures(
        &self,
        endpoint_id: WebhookEndpointId,
        versions: impl IntoIterator<Item = u32>,
        message: &Message<'_>,
    ) -> String {
        let signed = versions
            .into_iter()
            .map(|version| message.signed_with(&self.derived(endpoint_id, version)));
        signed.collect::<Vec<_>>().join(" ")
    }

    fn derived(&self, endpoint_id: WebhookEndpointId, version: u32) -> Vec<u8> {
        let id = endpoint_id.as_u128().to_be_bytes();
        mac(&self.0, &[b"webhook endpoint", &id, &version.to_be_bytes()])
    }
}

/// What is signed.
pub(super) struct Message<'a> {
    /// `webhook-id`: the same however often the event is sent.
    pub(super) id: &'a str,
    /// `webhook-timestamp`: seconds of this attempt.
    pub(super) timestamp: i64,
    /// The body, byte by byte.
    pub(super) body: &'a str,
}

impl Message<'_> {
    fn signed_with(&self, secret: &[u8]) -> String {
        let timestamp = self.timestamp.to_string();
        let parts: [&[u8]; 5] = [
            self.id.as_bytes(),
            b".",
            timestamp.as_bytes(),
            b".",
            self.body.as_bytes(),
        ];
        format!("v1,{}", STANDARD.encode(mac(secret, &parts)))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: WebhookEndpointId = WebhookEndpointId::from_u128(1);

    #[test]
    fn the_published_vector_is_signed_as_published() {
        // From the reference libraries of the specification.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: 1_614_265_330,
            body: r#"{"test": 2432232314}"#,
        };

        assert_eq!(
            message.signed_with(&secret),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn every_endpoint_and_version_has_a_secret_of_its_own_under_every_key() {
        let (one, other) = (SigningKey::new("a".repeat(32)), SigningKey::new("b".repeat(32)));
        let secrets = [
            one.secret(ENDPOINT, 1),
            one.secret(ENDPOINT, 2),
            one.secret(WebhookEndpointId::from_u128(2), 1),
            other.secret(ENDPOINT, 1),
        ];

        let distinct: std::collections::BTreeSet<_> = secrets.iter().collect();

        assert_eq!(distinct.len(), secrets.len());
        for secret in &secrets {
            let encoded = secret.strip_prefix("whsec_").expect("the prefix");
            assert_eq!(STANDARD.decode(encoded).unwrap().len(), 32);
        }
        assert_eq!(one.secret(ENDPOINT, 1), secrets[0], "it can be shown again");
    }

    #[test]
    fn two_versions_give_two_signatures_that_a_receiver_finds_by_its_own_secret() {
        let key = SigningKey::new("key");
        let message = Message {
            id: "evt_1",
            timestamp: 1,
            body: "{}",
        };

        let both = key.signatures(ENDPOINT, [2, 1], &message);

        let alone = |version| key.signatures(ENDPOINT, [version], &message);
        assert_eq!(both, format!("{} {}", alone(2), alone(1)));
        assert_ne!(alone(2), alone(1));
    }

    #[test]
    fn a_key_does_not_show() {
        assert_eq!(format!("{:?}", SigningKey::new("secret")), "***");
    }
}
