//! How two nodes make sure of each other before anything else is said.
//!
//! ```text
//! caller → hello    versions, who I am, whom I want, my nonce
//!        ← welcome  versions, who I am, how much I take, my nonce        (or: refused, and why)
//!        ← proof    HMAC-SHA256(secret, "callee" ‖ hello ‖ welcome)
//! caller → proof    HMAC-SHA256(secret, "caller" ‖ hello ‖ welcome)
//!        ← ready                                                          (or: refused, and why)
//! ```
//!
//! Both nonces are in both proofs, so neither can be used again; each side proves that it knows the secret, and neither
//! shows it. With mutual TLS below, the certificates say the same once more; without it, the proofs are all there is, and
//! the network must be one where nobody takes over connections.

use std::time::Duration;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

use super::wire::{MAJOR, MINOR};

const PROTOCOL: &str = "lyceum-link";
/// Bytes of a message of the handshake, at most: whoever sends them has proved nothing yet.
const MESSAGE_MAX: usize = 4096;
const NONCE_BYTES: usize = 32;

const HELLO: u8 = b'H';
const WELCOME: u8 = b'W';
const PROOF: u8 = b'P';
const READY: u8 = b'R';
const REFUSED: u8 = b'X';

/// Why there is no pipe.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("not the handshake of a link: {0}")]
    Garbled(&'static str),
    #[error("the other side refuses: {0}")]
    Refused(String),
    #[error("version {theirs} of the link is spoken there, and version {MAJOR} here")]
    OtherMajor { theirs: u16 },
    #[error("{wanted} is wanted, and {found} is here")]
    OtherIncarnation { wanted: Uuid, found: Uuid },
    #[error("the other side does not know the secret")]
    WrongSecret,
}

/// What this side brings.
pub(super) struct Identity {
    pub(super) incarnation: Uuid,
    pub(super) secret: Vec<u8>,
    /// Requests that it takes at once over one pipe.
    pub(super) in_flight_max: usize,
}

/// Read first and alone, so that every version can read it of every other.
#[derive(Deserialize)]
struct Versions {
    protocol: String,
    major: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: String,
    major: u16,
    minor: u16,
    incarnation: Uuid,
    to: Uuid,
    nonce: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    protocol: String,
    major: u16,
    minor: u16,
    incarnation: Uuid,
    in_flight_max: usize,
    nonce: String,
}

/// What the caller learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met {
    /// Requests that the other side takes at once.
    pub(super) in_flight_max: usize,
}

/// Makes sure of `wanted`, as the caller.
pub(super) async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: &Identity,
    wanted: Uuid,
) -> Result<Met, HandshakeError> {
    let hello = json(&Hello {
        protocol: PROTOCOL.to_owned(),
        major: MAJOR,
        minor: MINOR,
        incarnation: identity.incarnation,
        to: wanted,
        nonce: nonce()?,
    });
    send(stream, HELLO, &hello).await?;
    let welcome = expect(stream, WELCOME).await?;
    let met: Welcome = read(&welcome)?;
    if met.incarnation != wanted {
        return Err(HandshakeError::OtherIncarnation {
            wanted,
            found: met.incarnation,
        });
    }
    let theirs = expect(stream, PROOF).await?;
    prove(identity, b"callee", &hello, &welcome)
        .verify_slice(&theirs)
        .map_err(|_| HandshakeError::WrongSecret)?;
    let ours = prove(identity, b"caller", &hello, &welcome).finalize();
    send(stream, PROOF, &ours.into_bytes()).await?;
    expect(stream, READY).await?;
    Ok(Met {
        in_flight_max: met.in_flight_max,
    })
}

/// Makes sure of whoever calls, and returns who that is.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: &Identity,
) -> Result<Uuid, HandshakeError> {
    let met = admit(stream, identity).await;
    if let Err(refusal) = &met
        && !matches!(refusal, HandshakeError::Io(_))
    {
        // Whoever is refused is told why, if it still listens; the refusal itself is what counts.
        let _ = send(stream, REFUSED, refusal.to_string().as_bytes()).await;
    }
    met
}

async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    identity: &Identity,
) -> Result<Uuid, HandshakeError> {
    let hello = expect(stream, HELLO).await?;
    let met: Hello = read(&hello)?;
    if met.to != identity.incarnation {
        return Err(HandshakeError::OtherIncarnation {
            wanted: met.to,
            found: identity.incarnation,
        });
    }
    let welcome = json(&Welcome {
        protocol: PROTOCOL.to_owned(),
        major: MAJOR,
        minor: MINOR,
        incarnation: identity.incarnation,
        in_flight_max: identity.in_flight_max,
        nonce: nonce()?,
    });
    send(stream, WELCOME, &welcome).await?;
    let ours = prove(identity, b"callee", &hello, &welcome).finalize();
    send(stream, PROOF, &ours.into_bytes()).await?;
    let theirs = expect(stream, PROOF).await?;
    prove(identity, b"caller", &hello, &welcome)
        .verify_slice(&theirs)
        .map_err(|_| HandshakeError::WrongSecret)?;
    send(stream, READY, &[]).await?;
    Ok(met.incarnation)
}

fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("text and numbers can be written")
}

/// Reads a hello or welcome, of this major version only.
fn read<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Result<T, HandshakeError> {
    let garbled = |_| HandshakeError::Garbled("unreadable");
    let versions: Versions = serde_json::from_slice(message).map_err(garbled)?;
    if versions.protocol != PROTOCOL {
        return Err(HandshakeError::Garbled("another protocol"));
    }
    if versions.major != MAJOR {
        return Err(HandshakeError::OtherMajor {
            theirs: versions.major,
        });
    }
    serde_json::from_slice(message).map_err(garbled)
}

fn prove(identity: &Identity, side: &[u8], hello: &[u8], welcome: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&identity.secret).expect("a key may have any length");
    for part in [side, hello, welcome] {
        // With its length before it, no part can pass for the end of another.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

fn nonce() -> std::io::Result<String> {
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), kind: u8, body: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(body.len() + 1).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

async fn expect(stream: &mut (impl AsyncRead + Unpin), kind: u8) -> Result<Vec<u8>, HandshakeError> {
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if !(1..=MESSAGE_MAX).contains(&length) {
        return Err(HandshakeError::Garbled("of an unlikely length"));
    }
    let found = stream.read_u8().await?;
    let mut body = vec![0; length - 1];
    stream.read_exact(&mut body).await?;
    match found {
        found if found == kind => Ok(body),
        REFUSED => Err(HandshakeError::Refused(
            String::from_utf8_lossy(&body).chars().take(200).collect(),
        )),
        _ => Err(HandshakeError::Garbled("out of order")),
    }
}

/// A moment between half and all of `backoff`, so that whoever was cut off together does not return together.
pub(super) fn jitter(backoff: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the whole time is waited for.
    let share = getrandom::fill(&mut byte).map_or(u8::MAX, |()| byte[0]);
    backoff / 2 + backoff.mul_f64(f64::from(share) / 512.0)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn identity(incarnation: u128, secret: &str) -> Identity {
        Identity {
            incarnation: Uuid::from_u128(incarnation),
            secret: secret.into(),
            in_flight_max: 7,
        }
    }

    async fn meet(
        caller: Identity,
        callee: Identity,
        wanted: u128,
    ) -> (Result<Met, HandshakeError>, Result<Uuid, HandshakeError>) {
        let (mut here, mut there) = duplex(MESSAGE_MAX);
        tokio::join!(
            async move { call(&mut here, &caller, Uuid::from_u128(wanted)).await },
            async move { answer(&mut there, &callee).await }
        )
    }

    #[tokio::test]
    async fn two_nodes_with_one_secret_learn_who_the_other_is() {
        let (here, there) = meet(identity(1, "secret"), identity(2, "secret"), 2).await;

        assert_eq!(here.unwrap(), Met { in_flight_max: 7 });
        assert_eq!(there.unwrap(), Uuid::from_u128(1));
    }

    #[tokio::test]
    async fn whoever_has_another_secret_is_refused_by_either_side() {
        let (here, _) = meet(identity(1, "secret"), identity(2, "other"), 2).await;

        assert!(matches!(here, Err(HandshakeError::WrongSecret)), "{here:?}");

        // A caller that does not check is found out by the callee.
        let (mut here, mut there) = duplex(MESSAGE_MAX);
        let (callee, caller) = (identity(2, "secret"), identity(1, "other"));
        let careless = async {
            let hello = json(&Hello {
                protocol: PROTOCOL.to_owned(),
                major: MAJOR,
                minor: MINOR,
                incarnation: caller.incarnation,
                to: callee.incarnation,
                nonce: nonce().unwrap(),
            });
            send(&mut here, HELLO, &hello).await.unwrap();
            let welcome = expect(&mut here, WELCOME).await.unwrap();
            expect(&mut here, PROOF).await.unwrap();
            let guess = prove(&caller, b"caller", &hello, &welcome).finalize();
            send(&mut here, PROOF, &guess.into_bytes()).await.unwrap();
            expect(&mut here, READY).await
        };
        let (told, met) = tokio::join!(careless, answer(&mut there, &callee));

        assert!(matches!(met, Err(HandshakeError::WrongSecret)), "{met:?}");
        assert!(matches!(told, Err(HandshakeError::Refused(_))), "{told:?}");
    }

    #[tokio::test]
    async fn the_successor_of_whom_is_wanted_is_not_taken_for_it() {
        let (here, there) = meet(identity(1, "secret"), identity(3, "secret"), 2).await;

        assert!(matches!(here, Err(HandshakeError::Refused(_))), "{here:?}");
        assert!(
            matches!(there, Err(HandshakeError::OtherIncarnation { .. })),
            "{there:?}"
        );
    }

    async fn greeted_with(hello: serde_json::Value) -> (Result<Uuid, HandshakeError>, String) {
        let (mut here, mut there) = duplex(MESSAGE_MAX);
        let callee = identity(2, "secret");
        let caller = identity(1, "secret");
        let hello = json(&hello);
        let greet = async {
            send(&mut here, HELLO, &hello).await?;
            let welcome = expect(&mut here, WELCOME).await?;
            expect(&mut here, PROOF).await?;
            let ours = prove(&caller, b"caller", &hello, &welcome).finalize();
            send(&mut here, PROOF, &ours.into_bytes()).await?;
            expect(&mut here, READY).await
        };
        let (told, met) = tokio::join!(greet, answer(&mut there, &callee));
        (met, told.err().map(|error| error.to_string()).unwrap_or_default())
    }

    fn recorded() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/wire/1.0/hello.json")).unwrap()
    }

    #[tokio::test]
    async fn the_recorded_hello_of_this_version_and_one_of_a_newer_minor_are_welcome() {
        let mut newer = recorded();
        newer["minor"] = 9.into();
        newer["of_later"] = serde_json::json!({ "any": ["thing"] });

        for hello in [recorded(), newer] {
            let (met, _) = greeted_with(hello).await;

            assert_eq!(met.unwrap(), Uuid::from_u128(1));
        }
    }

    #[tokio::test]
    async fn another_major_is_refused_and_both_versions_are_named() {
        let mut other = recorded();
        other["major"] = 2.into();
        other["nonce"] = serde_json::Value::Null;

        let (met, told) = greeted_with(other).await;

        assert!(
            matches!(met, Err(HandshakeError::OtherMajor { theirs: 2 })),
            "{met:?}"
        );
        assert!(
            told.ends_with("version 2 of the link is spoken there, and version 1 here"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn the_recorded_welcome_of_this_version_is_understood() {
        let welcome: Welcome = read(include_bytes!("../../tests/wire/1.0/welcome.json")).unwrap();

        assert_eq!(
            (welcome.incarnation, welcome.in_flight_max),
            (Uuid::from_u128(2), 4096)
        );
    }

    #[test]
    fn proofs_are_made_as_they_were_recorded() {
        let hello = include_bytes!("../../tests/wire/1.0/hello.json");
        let welcome = include_bytes!("../../tests/wire/1.0/welcome.json");
        let recorded = include_str!("../../tests/wire/1.0/proofs.txt");

        let proof = |side| {
            let proof = prove(&identity(1, "secret"), side, hello, welcome).finalize();
            proof
                .into_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };

        assert_eq!(format!("{}\n{}\n", proof(b"caller"), proof(b"callee")), recorded);
    }

    #[test]
    fn jitter_keeps_between_half_and_all() {
        for _ in 0..100 {
            let moment = jitter(Duration::from_secs(1));

            assert!((Duration::from_millis(500)..=Duration::from_secs(1)).contains(&moment));
        }
    }
}
