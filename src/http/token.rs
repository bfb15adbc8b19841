//! Access tokens: EdDSA-signed JWTs of ten minutes, and the public keys that verify them.
//!
//! Only `alg: EdDSA` and `typ: at+jwt` (RFC 9068) are accepted, only from our issuer for our audience. The
//! first key of the set signs, all of them verify, so that a key can be rotated without logging anybody out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::header::HeaderValue;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lyceum_domain::accounts::Roles;
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::guard::Caller;

const TYPE: &str = "at+jwt";
/// ASN.1 of an Ed25519 private key (RFC 8410) up to the 32 bytes of its seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// Ours are below 600 bytes; anything far longer is not worth hashing.
const TOKEN_BYTES_MAX: usize = 2048;

/// A private key that signs access tokens. Prints as `***`.
#[derive(Clone)]
pub struct SigningKey {
    /// Names the key in tokens and in the key set.
    pub kid: String,
    /// The Ed25519 seed.
    pub seed: [u8; 32],
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("seed", &"***")
            .finish()
    }
}

/// Who issues tokens, for whom, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// `iss` of every token. Default `lyceum`; a deployment puts its own address here.
    pub issuer: String,
    /// `aud` of every token: tokens of another deployment are refused. Default `lyceum-api`.
    pub audience: String,
    /// Seconds an access token lives. Default 600: a revoked session that a node has not heard of ends then.
    pub lifetime_s: u32,
    /// Seconds by which the clocks of two nodes may differ. Default 5.
    pub leeway_s: u32,
}

impl Default for TokenSettings {
    fn default() -> Self {
        TokenSettings {
            issuer: "lyceum".into(),
            audience: "lyceum-api".into(),
            lifetime_s: 600,
            leeway_s: 5,
        }
    }
}

/// Why a token does not identify anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, or changed.
    #[error("the access token is not valid")]
    Invalid,
    /// Its time is over, or has not come.
    #[error("the access token has expired")]
    Expired,
    /// The login that it belongs to was revoked.
    #[error("the session of the access token was revoked")]
    Revoked,
    /// The keys cannot sign; nothing that a client did.
    #[error("the signing keys are unusable")]
    Keys,
}

/// A token that has just been signed.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token itself.
    pub text: String,
    /// Seconds until it expires.
    pub expires_in_s: u32,
}

/// What a token says once everything about it has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    pub(super) expires: Timestamp,
    pub(super) generation: u64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    roles: Roles,
    /// When the login began, in milliseconds: what ends all logins so far is compared with it.
    #[serde(default)]
    began: Option<i64>,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// Signs and verifies access tokens.
pub struct Tokens {
    settings: TokenSettings,
    validation: Validation,
    keys: ArcSwap<KeySet>,
    /// Raised with every change of keys, so that what was verified before is verified anew.
    generation: AtomicU64,
}

struct KeySet {
    signing: (String, EncodingKey),
    verifying: Vec<(String, DecodingKey)>,
    published: (Bytes, HeaderValue),
}

impl Tokens {
    /// Signs with the first of `keys` and accepts the tokens of all of them.
    ///
    /// # Errors
    /// [`TokenError::Keys`] when there is no key or two have the same `kid`.
    pub fn new(settings: TokenSettings, keys: &[SigningKey]) -> Result<Self, TokenError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // The library reads the clock itself; times are compared below with the time that is given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let keys = ArcSwap::from_pointee(KeySet::new(keys)?);
        Ok(Tokens {
            settings,
            validation,
            keys,
            generation: AtomicU64::new(0),
        })
    }

    /// Replaces the keys; what a key signed that is no longer there stops being accepted.
    ///
    /// # Errors
    /// [`TokenError::Keys`], and the old keys stay.
    pub fn rotate(&self, keys: &[SigningKey]) -> Result<(), TokenError> {
        self.keys.store(Arc::new(KeySet::new(keys)?));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Signs a token for a login, which has begun then.
    ///
    /// # Errors
    /// [`TokenError::Keys`].
    pub fn sign(
        &self,
        user: UserId,
        (session, began): (SessionId, Timestamp),
        roles: Roles,
        now: Timestamp,
    ) -> Result<AccessToken, TokenError> {
        let keys = self.keys.load();
        let (kid, key) = &keys.signing;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.into());
        header.kid = Some(kid.clone());
        let issued = now.as_millis() / 1000;
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            sub: user,
            sid: session,
            roles,
            began: Some(began.as_millis()),
            iat: issued,
            nbf: issued,
            exp: issued + i64::from(self.settings.lifetime_s),
            // Not random: a login that is repeated under its Idempotency-Key is answered with the same token.
            jti: format!("{:032x}-{:x}", session.as_u128(), now.as_millis()),
        };
        let text = jsonwebtoken::encode(&header, &claims, key).map_err(|_| TokenError::Keys)?;
        Ok(AccessToken {
            text,
            expires_in_s: self.settings.lifetime_s,
        })
    }

    /// Checks everything about a token but whether its session was revoked.
    pub(super) fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|_| TokenError::Invalid)?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) {
            return Err(TokenError::Invalid);
        }
        // Read before the keys: a change in between makes the outcome count as old, never as new.
        let generation = self.generation();
        let keys = self.keys.load();
        let key = header
            .kid
            .and_then(|kid| keys.verifying.iter().find(|(one, _)| *one == kid));
        let (_, key) = key.ok_or(TokenError::Invalid)?;
        let claims = jsonwebtoken::decode::<Claims>(text, key, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;

        let (now, leeway) = (now.as_millis() / 1000, i64::from(self.settings.leeway_s));
        if claims.exp.saturating_add(leeway) <= now {
            return Err(TokenError::Expired);
        }
        let early = claims.nbf.max(claims.iat) > now.saturating_add(leeway);
        let too_long = claims.exp.saturating_sub(claims.iat) > i64::from(self.settings.lifetime_s);
        if early || too_long {
            return Err(TokenError::Invalid);
        }
        Ok(Verified {
            caller: Caller {
                user: claims.sub,
                session: claims.sid,
                // A token of a node that did not say so yet was issued no earlier than its login began.
                began: Timestamp::from_millis(claims.began.unwrap_or(claims.iat.saturating_mul(1000))),
                roles: claims.roles,
            },
            expires: Timestamp::from_millis(claims.exp.saturating_add(leeway).saturating_mul(1000)),
            generation,
        })
    }

    /// Which set of keys is current.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The public keys as a JWK set, ready to be sent, with its entity tag.
    pub(super) fn published(&self) -> (Bytes, HeaderValue) {
        self.keys.load().published.clone()
    }
}

impl KeySet {
    fn new(keys: &[SigningKey]) -> Result<Self, TokenError> {
        let mut verifying: Vec<(String, DecodingKey)> = Vec::with_capacity(keys.len());
        let mut set = JwkSet {
            keys: Vec::with_capacity(keys.len()),
        };
        for key in keys {
            if verifying.iter().any(|(kid, _)| *kid == key.kid) {
                return Err(TokenError::Keys);
            }
            let mut public =
                Jwk::from_encoding_key(&private(key), Algorithm::EdDSA).map_err(|_| TokenError::Keys)?;
            public.common.key_id = Some(key.kid.clone());
            public.common.public_key_use = Some(PublicKeyUse::Signature);
            verifying.push((
                key.kid.clone(),
                DecodingKey::from_jwk(&public).map_err(|_| TokenError::Keys)?,
            ));
            set.keys.push(public);
        }
        let first = keys.first().ok_or(TokenError::Keys)?;
        let text = serde_json::to_vec(&set).map_err(|_| TokenError::Keys)?;
        let tag = etag(&text);
        Ok(KeySet {
            signing: (first.kid.clone(), private(first)),
            verifying,
            published: (text.into(), tag),
        })
    }
}

fn private(key: &SigningKey) -> EncodingKey {
    let mut der = [0; 48];
    der[..16].copy_from_slice(&PKCS8_PREFIX);
    der[16..].copy_from_slice(&key.seed);
    EncodingKey::from_ed_der(&der)
}

/// An entity tag made of the bytes' hash.
pub(super) fn etag(bytes: &[u8]) -> HeaderValue {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let (half, _) = digest
        .split_first_chunk::<16>()
        .expect("a digest of 32 bytes has 16");
    let text = format!("\"{:032x}\"", u128::from_be_bytes(*half));
    HeaderValue::from_str(&text).expect("hexadecimal digits in quotes are visible ASCII")
}

#[cfg(test)]
mod tests {
    use lyceum_domain::accounts::Role;
    use lyceum_kernel::Id;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn key(kid: &str, seed: u8) -> SigningKey {
        SigningKey {
            kid: kid.into(),
            seed: [seed; 32],
        }
    }

    fn tokens(keys: &[SigningKey]) -> Tokens {
        Tokens::new(TokenSettings::default(), keys).unwrap()
    }

    fn at(offset_s: i64) -> Timestamp {
        Timestamp::from_millis(NOW + offset_s * 1000)
    }

    fn sign(tokens: &Tokens) -> String {
        let roles = Roles::default().with(Role::Creator);
        tokens
            .sign(Id::from_u128(1), (Id::from_u128(2), at(-60)), roles, at(0))
            .unwrap()
            .text
    }

    /// A token that is correct but for what `change` does to it.
    fn odd(header: &Header, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut claims = serde_json::json!({
            "iss": "lyceum", "aud": "lyceum-api", "roles": ["learner"], "jti": "x",
            "sub": "usr_00000000000000000000000001", "sid": "ses_00000000000000000000000002",
            "iat": NOW / 1000, "nbf": NOW / 1000, "exp": NOW / 1000 + 600,
        });
        change(&mut claims);
        jsonwebtoken::encode(header, &claims, &private(&key("a", 1))).unwrap()
    }

    fn header() -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.into());
        header.kid = Some("a".into());
        header
    }

    #[test]
    fn a_token_identifies_its_login_for_ten_minutes() {
        let tokens = tokens(&[key("a", 1)]);
        let text = sign(&tokens);

        let verified = tokens.verify(&text, at(599)).unwrap();

        assert_eq!(verified.caller.user, Id::from_u128(1));
        assert_eq!(verified.caller.session, Id::from_u128(2));
        assert_eq!(verified.caller.began, at(-60));
        assert!(verified.caller.roles.contains(Role::Creator));
        assert_eq!(tokens.verify(&text, at(605)), Err(TokenError::Expired));
        assert_eq!(tokens.verify(&text, at(-6)), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused() {
        let tokens = tokens(&[key("a", 1)]);
        let text = sign(&tokens);

        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();

            assert!(tokens.verify(&changed, at(0)).is_err(), "character {place}");
        }
    }

    #[test]
    fn another_algorithm_or_none_is_refused() {
        let tokens = tokens(&[key("a", 1)]);
        let text = sign(&tokens);
        let claims = text.split('.').nth(1).unwrap();
        let published = tokens.published().0;
        // {"alg":"none","typ":"at+jwt","kid":"a"}
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoiYSJ9.{claims}.");
        let mut symmetric = Header::new(Algorithm::HS256);
        symmetric.typ = Some(TYPE.into());
        symmetric.kid = Some("a".into());
        let body = serde_json::json!({"sub": "usr_00000000000000000000000001"});
        let confused =
            jsonwebtoken::encode(&symmetric, &body, &EncodingKey::from_secret(&published)).unwrap();

        assert_eq!(tokens.verify(&none, at(0)), Err(TokenError::Invalid));
        assert_eq!(tokens.verify(&confused, at(0)), Err(TokenError::Invalid));
    }

    #[test]
    fn issuer_audience_type_key_and_times_are_pinned() {
        let tokens = tokens(&[key("a", 1)]);
        let set = |name: &'static str, value: serde_json::Value| {
            move |claims: &mut serde_json::Value| claims[name] = value
        };
        let late = NOW / 1000 + 600;

        assert!(tokens.verify(&odd(&header(), |_| {}), at(0)).is_ok());
        let refused = [
            odd(&header(), set("iss", "other".into())),
            odd(&header(), set("aud", "other".into())),
            odd(&header(), set("nbf", late.into())),
            odd(&header(), set("iat", late.into())),
            odd(&header(), set("exp", (late + 1).into())),
            odd(&header(), set("sub", "ses_00000000000000000000000001".into())),
            odd(&header(), |claims| {
                _ = claims.as_object_mut().unwrap().remove("exp")
            }),
            odd(&header(), |claims| {
                _ = claims.as_object_mut().unwrap().remove("nbf")
            }),
            odd(
                &Header {
                    typ: Some("JWT".into()),
                    ..header()
                },
                |_| {},
            ),
            odd(
                &Header {
                    kid: Some("b".into()),
                    ..header()
                },
                |_| {},
            ),
            odd(
                &Header {
                    kid: None,
                    ..header()
                },
                |_| {},
            ),
        ];
        for (index, text) in refused.iter().enumerate() {
            assert_eq!(tokens.verify(text, at(0)), Err(TokenError::Invalid), "{index}");
        }
    }

    #[test]
    fn an_old_key_verifies_until_it_is_taken_away() {
        let tokens = tokens(&[key("old", 1)]);
        let text = sign(&tokens);

        tokens.rotate(&[key("new", 2), key("old", 1)]).unwrap();
        assert!(tokens.verify(&text, at(0)).is_ok());
        assert!(tokens.verify(&sign(&tokens), at(0)).is_ok());

        tokens.rotate(&[key("new", 2)]).unwrap();
        assert_eq!(tokens.verify(&text, at(0)), Err(TokenError::Invalid));
    }

    #[test]
    fn a_key_set_needs_distinct_keys() {
        assert!(Tokens::new(TokenSettings::default(), &[]).is_err());
        assert!(Tokens::new(TokenSettings::default(), &[key("a", 1), key("a", 2)]).is_err());
    }

    #[test]
    fn public_keys_are_published_and_private_ones_are_not() {
        let set: serde_json::Value = serde_json::from_slice(&tokens(&[key("a", 1)]).published().0).unwrap();

        let public = &set["keys"][0];
        assert_eq!(
            (public["kty"].as_str(), public["crv"].as_str()),
            (Some("OKP"), Some("Ed25519"))
        );
        assert_eq!(
            (public["kid"].as_str(), public["use"].as_str()),
            (Some("a"), Some("sig"))
        );
        assert!(public.get("d").is_none());
        assert!(!format!("{:?}", key("a", 7)).contains('7'));
    }
}
