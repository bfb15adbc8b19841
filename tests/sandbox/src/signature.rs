//! Standard Webhooks signatures: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Signs one attempt to deliver a callback.
pub(crate) fn sign(secret: &[u8], id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", base64(&mac.finalize().into_bytes()))
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for position in 0..4 {
            let index = (bits >> (18 - 6 * position)) & 63;
            let symbol = if position <= chunk.len() {
                ALPHABET[index as usize]
            } else {
                b'='
            };
            text.push(char::from(symbol));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_written_as_rfc_4648_says() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_signature_covers_id_time_and_body() {
        let signed = sign(b"secret", "evt_1", 1_700_000_000, b"{}");

        assert!(signed.starts_with("v1,") && signed.len() == 3 + 44, "{signed}");
        assert_eq!(signed, sign(b"secret", "evt_1", 1_700_000_000, b"{}"));
        for other in [
            sign(b"other", "evt_1", 1_700_000_000, b"{}"),
            sign(b"secret", "evt_2", 1_700_000_000, b"{}"),
            sign(b"secret", "evt_1", 1_700_000_001, b"{}"),
            sign(b"secret", "evt_1", 1_700_000_000, b"[]"),
        ] {
            assert_ne!(signed, other);
        }
    }
}
