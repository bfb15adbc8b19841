//! Whose signatures are checked, and what answers and callbacks are signed with.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use spki::SubjectPublicKeyInfoRef;

/// What the platform's key is called.
pub(crate) const SERIAL: &str = "SANDBOX";

/// Both sides' keys.
pub(crate) struct Keys {
    merchant: Vec<u8>,
    platform: RsaKeyPair,
    stranger: RsaKeyPair,
    seal: LessSafeKey,
}

impl Keys {
    /// Reads `merchant.pub.pem`, `platform.pem` and `merchant.pem` of a folder; the last one plays whoever forges. With
    /// `api_v3_key` notifications are encrypted.
    ///
    /// # Errors
    /// A file is missing or no key, or the key to encrypt with does not have 32 bytes.
    pub(crate) fn read(folder: &Path, api_v3_key: &str) -> io::Result<Self> {
        let der = |name: &str| -> io::Result<Vec<u8>> {
            let text = std::fs::read_to_string(folder.join(name))?;
            let base64: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
            STANDARD.decode(base64).map_err(io::Error::other)
        };
        let private = |name: &str| -> io::Result<RsaKeyPair> {
            RsaKeyPair::from_pkcs8(&der(name)?).map_err(|error| io::Error::other(format!("{name}: {error}")))
        };
        let public = der("merchant.pub.pem")?;
        let info = SubjectPublicKeyInfoRef::try_from(public.as_slice())
            .map_err(|error| io::Error::other(error.to_string()))?;
        let seal = UnboundKey::new(&AES_256_GCM, api_v3_key.as_bytes())
            .map_err(|_| io::Error::other("an APIv3 key has 32 bytes"))?;
        Ok(Keys {
            merchant: info.subject_public_key.raw_bytes().to_vec(),
            platform: private("platform.pem")?,
            stranger: private("merchant.pem")?,
            seal: LessSafeKey::new(seal),
        })
    }

    /// Whether the merchant signed a message.
    pub(crate) fn is_merchants(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.merchant)
            .verify(message, &signature)
            .is_ok()
    }

    /// Signs as the platform, or as a stranger.
    pub(crate) fn sign(&self, message: &[u8], forged: bool) -> String {
        let key = if forged { &self.stranger } else { &self.platform };
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the buffer is as long as the modulus");
        STANDARD.encode(signature)
    }

    /// Encrypts a text: nonce and base64.
    pub(crate) fn seal(&self, associated: &str, text: &str) -> (String, String) {
        let nonce = &random()[..NONCE_LEN];
        let bytes: [u8; NONCE_LEN] = nonce.as_bytes().try_into().expect("the slice has that length");
        let mut sealed = text.as_bytes().to_vec();
        self.seal
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(bytes),
                Aad::from(associated),
                &mut sealed,
            )
            .expect("callbacks are short");
        (nonce.to_owned(), STANDARD.encode(sealed))
    }
}

/// 32 characters by chance.
pub(crate) fn random() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the machine has randomness");
    format!("{:032x}", u128::from_be_bytes(bytes))
}
