//! Refresh tokens: `rt_` and base64url of user id, session id and a secret of 32 bytes.
//!
//! The secret is a MAC of what the token succeeds (the session, or the token before it) and of a nonce. With an
//! idempotency key the nonce is that of the operation, so a repeated request derives the same token again and is
//! answered the same, although nothing but the token's hash is kept. Without one the nonce is random, and a repeated
//! request is a reuse.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use lyceum_domain::accounts::{Error, TokenHash};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_runtime::Operation;
use sha2::{Digest, Sha256};

const PREFIX: &str = "rt_";
const TOKEN_BYTES: usize = 16 + 16 + 32;

/// One refresh token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose it is.
    pub user: UserId,
    /// The login it refreshes.
    pub session_id: SessionId,
    secret: [u8; 32],
}

impl RefreshToken {
    /// The only thing that is kept of a token.
    pub fn hash(&self) -> TokenHash {
        TokenHash::new(Sha256::digest(self.bytes()).into())
    }

    /// The text that is given to the client.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.bytes()))
    }

    fn bytes(&self) -> [u8; TOKEN_BYTES] {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..16].copy_from_slice(&self.user.as_u128().to_be_bytes());
        bytes[16..32].copy_from_slice(&self.session_id.as_u128().to_be_bytes());
        bytes[32..].copy_from_slice(&self.secret);
        bytes
    }
}

impl FromStr for RefreshToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let encoded = text.strip_prefix(PREFIX).ok_or(Error::RefreshInvalid)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| Error::RefreshInvalid)?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| Error::RefreshInvalid)?;
        let [user, session_id] = [&bytes[..16], &bytes[16..32]].map(|part| {
            part.iter()
                .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte))
        });
        let mut secret = [0; 32];
        secret.copy_from_slice(&bytes[32..]);
        Ok(RefreshToken {
            user: UserId::from_u128(user),
            session_id: SessionId::from_u128(session_id),
            secret,
        })
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The key that refresh tokens are derived with; the same on every node. Never printed.
#[derive(Clone)]
pub struct TokenSecret([u8; 32]);

impl TokenSecret {
    /// Takes over 32 random bytes.
    pub fn new(key: [u8; 32]) -> Self {
        TokenSecret(key)
    }

    /// Derives the first token of a login.
    pub(super) fn first(&self, user: UserId, session_id: SessionId, nonce: &Nonce) -> RefreshToken {
        let secret = self.mac(&[
            b"first",
            &user.as_u128().to_be_bytes(),
            &session_id.as_u128().to_be_bytes(),
            &nonce.0,
        ]);
        RefreshToken {
            user,
            session_id,
            secret,
        }
    }

    /// Derives the token that replaces `token`.
    pub(super) fn next(&self, token: &RefreshToken, nonce: &Nonce) -> RefreshToken {
        RefreshToken {
            secret: self.mac(&[b"next", &token.bytes(), &nonce.0]),
            ..token.clone()
        }
    }

    /// The parts have fixed lengths, so no two lists of parts run into the same bytes.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What makes one request different from another.
pub(super) struct Nonce([u8; 32]);

impl Nonce {
    /// The nonce of an operation that has a name, else a random one.
    pub(super) fn of(operation: Option<Operation>) -> Self {
        let mut nonce = [0; 32];
        match operation {
            Some(Operation { id, fingerprint }) => {
                nonce[..16].copy_from_slice(&id.to_be_bytes());
                nonce[16..].copy_from_slice(&fingerprint.to_be_bytes());
            }
            None => getrandom::fill(&mut nonce).expect("the system has randomness"),
        }
        Nonce(nonce)
    }

    /// What is kept of the name of an operation.
    pub(super) fn hash(&self) -> TokenHash {
        TokenHash::new(Sha256::digest(self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TokenSecret {
        TokenSecret::new([7; 32])
    }

    fn named(id: u128) -> Nonce {
        Nonce::of(Some(Operation { id, fingerprint: 1 }))
    }

    fn token() -> RefreshToken {
        secret().first(UserId::from_u128(1), SessionId::from_u128(2), &named(3))
    }

    #[test]
    fn a_token_survives_writing_and_reading() {
        let text = token().reveal();

        assert!(text.starts_with("rt_"));
        assert_eq!(text.parse(), Ok(token()));
    }

    #[test]
    fn texts_that_are_not_tokens_are_refused() {
        let text = token().reveal();
        for text in [
            "",
            "rt_",
            "rt_AAAA",
            &text[3..],
            &text[..text.len() - 1],
            &format!("{text}A"),
            "rt_ä",
        ] {
            assert_eq!(text.parse::<RefreshToken>(), Err(Error::RefreshInvalid), "{text}");
        }
    }

    #[test]
    fn a_repeated_operation_derives_the_same_token_and_any_other_request_does_not() {
        assert_eq!(
            secret().next(&token(), &named(9)),
            secret().next(&token(), &named(9))
        );
        assert_ne!(
            secret().next(&token(), &named(9)),
            secret().next(&token(), &named(10))
        );
        assert_ne!(
            secret().next(&token(), &Nonce::of(None)),
            secret().next(&token(), &Nonce::of(None))
        );
        assert_ne!(
            secret().next(&token(), &named(9)),
            TokenSecret::new([8; 32]).next(&token(), &named(9))
        );
    }

    #[test]
    fn neither_token_nor_key_is_ever_printed() {
        assert_eq!(format!("{:?} {:?}", token(), secret()), "*** ***");
    }
}
