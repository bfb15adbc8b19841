//! What notifications carry encrypted: AES-256-GCM under the merchant's APIv3 key. No IO.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;

const ALGORITHM: &str = "AEAD_AES_256_GCM";

/// The APIv3 key; never printed.
pub(super) struct ResourceKey(LessSafeKey);

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The key does not have 32 bytes.
#[derive(Debug, thiserror::Error)]
#[error("an APIv3 key has 32 bytes")]
pub(super) struct KeyLength;

/// An encrypted resource as it is written.
#[derive(Debug, Deserialize)]
pub(super) struct Resource {
    algorithm: String,
    ciphertext: String,
    nonce: String,
    #[serde(default)]
    associated_data: Option<String>,
}

impl ResourceKey {
    /// Takes a key.
    pub(super) fn new(key: &str) -> Result<Self, KeyLength> {
        UnboundKey::new(&AES_256_GCM, key.as_bytes())
            .map(|key| ResourceKey(LessSafeKey::new(key)))
            .map_err(|_| KeyLength)
    }

    /// What a resource says; `None` if it was not encrypted under this key, or was changed since.
    pub(super) fn open(&self, resource: &Resource) -> Option<Vec<u8>> {
        if resource.algorithm != ALGORITHM {
            return None;
        }
        let mut text = STANDARD.decode(&resource.ciphertext).ok()?;
        let associated = resource.associated_data.as_deref().unwrap_or_default();
        let length = self.decrypt(resource.nonce.as_bytes(), associated.as_bytes(), &mut text)?;
        text.truncate(length);
        Some(text)
    }

    fn decrypt(&self, nonce: &[u8], associated: &[u8], text: &mut [u8]) -> Option<usize> {
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let opened = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(associated), text);
        opened.ok().map(|plain| plain.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the platform encrypts; for tests.
    pub(crate) fn sealed(key: &str, nonce: &str, associated: &str, text: &str) -> serde_json::Value {
        let key = ResourceKey::new(key).unwrap();
        let mut bytes = text.as_bytes().to_vec();
        let nonce_bytes: [u8; NONCE_LEN] = nonce.as_bytes().try_into().unwrap();
        key.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce_bytes),
                Aad::from(associated.as_bytes()),
                &mut bytes,
            )
            .unwrap();
        serde_json::json!({
            "algorithm": ALGORITHM, "ciphertext": STANDARD.encode(bytes), "nonce": nonce,
            "associated_data": associated, "original_type": "transaction",
        })
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_cipher_is_the_one_of_the_published_test_vectors() {
        // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
        let key = unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let key = ResourceKey(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap()));
        let associated = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let mut text = unhex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
             c5f61e6393ba7a0abcc9f662\
             76fc6ece0f4e1768cddf8853bb2d551b",
        );

        let length = key.decrypt(&unhex("cafebabefacedbaddecaf888"), &associated, &mut text);

        let plain = unhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
             b16aedf5aa0de657ba637b39",
        );
        assert_eq!(length.map(|length| text[..length].to_vec()), Some(plain));
    }

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else() {
        const KEY: &str = "0123456789abcdef0123456789abcdef";
        let key = ResourceKey::new(KEY).unwrap();
        let read = |value: serde_json::Value| serde_json::from_value::<Resource>(value).unwrap();
        let sealed = sealed(KEY, "fdasflkja484", "transaction", r#"{"trade_state":"SUCCESS"}"#);
        let opened = key.open(&read(sealed.clone()));
        assert_eq!(
            opened.as_deref(),
            Some(br#"{"trade_state":"SUCCESS"}"#.as_slice())
        );

        for (name, value) in [
            ("nonce", "fdasflkja485"),
            ("nonce", "short"),
            ("associated_data", "refund"),
            ("ciphertext", "bm90IHNlYWxlZA=="),
            ("ciphertext", "not base64!"),
            ("algorithm", "AEAD_AES_128_GCM"),
        ] {
            let mut changed = sealed.clone();
            changed[name] = value.into();
            assert_eq!(key.open(&read(changed)), None, "{name} {value}");
        }
        assert_eq!(
            ResourceKey::new(&KEY.replace('0', "1"))
                .unwrap()
                .open(&read(sealed)),
            None
        );
    }

    #[test]
    fn a_key_has_32_bytes_and_is_never_printed() {
        assert!(ResourceKey::new("short").is_err());
        let key = ResourceKey::new("0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "***");
    }
}
