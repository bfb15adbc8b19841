//! RSA signatures with SHA-256 (PKCS#1 v1.5), as two of the providers use them; keys are never printed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use spki::SubjectPublicKeyInfoRef;

/// The identifier of RSA keys (PKCS#1).
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// Why a text is no key; it does not repeat the text.
#[derive(Debug, thiserror::Error)]
#[error("not {0}")]
pub struct KeyError(&'static str);

/// Our own private key.
pub(super) struct Signer(RsaKeyPair);

/// The provider's public key.
#[derive(Clone)]
pub(super) struct Verifier(Vec<u8>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a public key")
    }
}

impl Signer {
    /// Reads a private key of at least 2,048 bits: PKCS#8 or PKCS#1, as PEM or as bare base64.
    pub(super) fn read(text: &str) -> Result<Self, KeyError> {
        const NOT: KeyError = KeyError("an RSA private key of at least 2048 bits, as PEM or base64");
        let der = der(text).ok_or(NOT)?;
        RsaKeyPair::from_pkcs8(&der)
            .or_else(|_| RsaKeyPair::from_der(&der))
            .map(Signer)
            .map_err(|_| NOT)
    }

    /// The base64 of the signature of a message.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the buffer is as long as the modulus");
        STANDARD.encode(signature)
    }
}

impl Verifier {
    /// Reads a public key (SubjectPublicKeyInfo), as PEM or as bare base64.
    pub(super) fn read(text: &str) -> Result<Self, KeyError> {
        const NOT: KeyError = KeyError("an RSA public key, as PEM or base64");
        let der = der(text).ok_or(NOT)?;
        let info = SubjectPublicKeyInfoRef::try_from(der.as_slice()).map_err(|_| NOT)?;
        if info.algorithm.oid.to_string() != RSA_ENCRYPTION {
            return Err(NOT);
        }
        let key = info.subject_public_key.as_bytes().ok_or(NOT)?;
        Ok(Verifier(key.to_vec()))
    }

    /// Whether the base64 of a signature is that of a message.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0)
            .verify(message, &signature)
            .is_ok()
    }
}

/// The bytes of a key that is written as PEM, or as its base64 alone.
fn der(text: &str) -> Option<Vec<u8>> {
    let base64: String = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(base64).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
pub(super) mod testing {
    //! Keys that tests sign and verify with; nobody else has use for them.

    /// A merchant's private key.
    pub(crate) const MERCHANT: &str = include_str!("../../../../../tests/shared/keys/merchant.pem");
    /// And its public half.
    pub(crate) const MERCHANT_PUBLIC: &str =
        include_str!("../../../../../tests/shared/keys/merchant.pub.pem");
    /// A provider's private key.
    pub(crate) const PLATFORM: &str = include_str!("../../../../../tests/shared/keys/platform.pem");
    /// And its public half.
    pub(crate) const PLATFORM_PUBLIC: &str =
        include_str!("../../../../../tests/shared/keys/platform/SANDBOX.pem");
}

#[cfg(test)]
mod tests {
    use super::testing::{MERCHANT, MERCHANT_PUBLIC, PLATFORM_PUBLIC};
    use super::*;

    #[test]
    fn what_was_signed_is_verified_by_the_other_half_alone() {
        let signature = Signer::read(MERCHANT).unwrap().sign(b"a=b");

        let own = Verifier::read(MERCHANT_PUBLIC).unwrap();
        assert!(own.verifies(b"a=b", &signature));
        assert!(!own.verifies(b"a=c", &signature));
        assert!(!own.verifies(b"a=b", ""));
        assert!(!own.verifies(b"a=b", "not base64!"));
        assert!(
            !Verifier::read(PLATFORM_PUBLIC)
                .unwrap()
                .verifies(b"a=b", &signature)
        );
    }

    #[test]
    fn keys_are_read_with_and_without_their_frame_and_never_printed() {
        let bare: String = MERCHANT.lines().filter(|line| !line.starts_with('-')).collect();

        let framed = Signer::read(MERCHANT).unwrap();

        assert_eq!(framed.sign(b"x"), Signer::read(&bare).unwrap().sign(b"x"));
        assert_eq!(format!("{framed:?}"), "***");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "hunter2", "aHVudGVyMg==", MERCHANT_PUBLIC] {
            let error = Signer::read(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        for text in ["", "aHVudGVyMg==", MERCHANT] {
            assert!(Verifier::read(text).is_err(), "{text}");
        }
    }
}
