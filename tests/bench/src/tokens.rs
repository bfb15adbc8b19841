//! Access tokens, made here with the signing key of the database under measurement: a login costs a password hash,
//! and none of those is measured. What the server verifies is a token like any other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lyceum_domain::ids::{SessionId, UserId};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;

/// How long tokens are valid; longer than any run, and as `tokens.access_ttl_s` of the server under measurement.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);
/// ASN.1 of an Ed25519 private key (RFC 8410) up to the 32 bytes of its seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// The secret and the expiry that the peers' README names.
const PEER_SECRET: &[u8] = b"bench-secret-bench-secret-bench-secret";
const PEER_EXPIRES: u64 = 4_102_444_800;

/// Signs tokens as the server does.
pub(crate) struct Signer {
    header: Header,
    key: EncodingKey,
}

impl Signer {
    /// Reads the key that signs at present.
    ///
    /// # Errors
    /// There is none, or the database is away.
    pub(crate) async fn load(database: &Client) -> Result<Self, Failure> {
        let row = database
            .query_one(
                "SELECT kid, seed FROM signing_keys WHERE active_from <= now() ORDER BY generation DESC LIMIT 1",
                &[],
            )
            .await?;
        let seed: Vec<u8> = row.get(1);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".into());
        header.kid = Some(row.get(0));
        Ok(Signer {
            header,
            key: EncodingKey::from_ed_der(&[&PKCS8_PREFIX, seed.as_slice()].concat()),
        })
    }

    /// A token of a user with these roles.
    pub(crate) fn token(&self, user: UserId, roles: &[&str]) -> Result<String, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": "lyceum", "aud": "lyceum-api", "sub": user, "roles": roles,
            "sid": SessionId::from_u128(Uuid::now_v7().as_u128()), "jti": Uuid::now_v7().simple().to_string(),
            "iat": now, "nbf": now, "exp": now + LIFETIME.as_secs(),
        });
        Ok(encode(&self.header, &claims, &self.key)?)
    }
}

/// A token of a user of the peers.
pub(crate) fn peer_token(user: usize) -> Result<String, Failure> {
    let claims = json!({"sub": user.to_string(), "exp": PEER_EXPIRES});
    Ok(encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(PEER_SECRET),
    )?)
}
