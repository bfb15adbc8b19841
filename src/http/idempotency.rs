//! Idempotency keys, and the operation ids and fingerprints made of them.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use lyceum_kernel::Class;
use lyceum_runtime::Operation;
use sha2::{Digest, Sha256};

use super::guard::Caller;
use super::problem::Problem;

/// The header in which a client names an operation.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_BYTES_MAX: usize = 255;

/// Whether a route asks for an Idempotency-Key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Without one the request is refused: the route moves money.
    Required,
    /// One is honoured if it is there.
    Accepted,
}

/// A well-formed key: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(HeaderValue);

impl IdempotencyKey {
    /// Reads the key of a request to a route that asks for one in this way.
    pub(super) fn read(headers: &HeaderMap, key: Key) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return match key {
                Key::Accepted => Ok(None),
                Key::Required => Err(refusal(
                    "http.idempotency_key_missing",
                    "Idempotency-Key is required here.",
                )),
            };
        };
        if values.next().is_some() {
            return Err(malformed("Idempotency-Key was given more than once."));
        }
        let bytes = value.as_bytes();
        if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX || !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(malformed(
                "An Idempotency-Key is 1 to 255 visible ASCII characters.",
            ));
        }
        Ok(Some(IdempotencyKey(value.clone())))
    }

    /// The operation that this caller named on this route with this request.
    pub(super) fn operation(&self, caller: Option<&Caller>, route: &str, fingerprint: u128) -> Operation {
        let mut hash = Sha256::new();
        // Lengths are fixed or written in front, so that no two different scopes hash the same bytes.
        hash.update([u8::from(caller.is_some())]);
        hash.update(caller.map_or(0, |caller| caller.user.as_u128()).to_be_bytes());
        hash.update(u64::try_from(route.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(route);
        hash.update(self.0.as_bytes());
        Operation {
            id: first_half(hash),
            fingerprint,
        }
    }
}

/// Tells requests of one operation apart: the target, because it names what is acted upon, and the body.
pub(super) fn fingerprint(target: &str, body: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    hash.update(u64::try_from(target.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(target);
    hash.update(body);
    first_half(hash)
}

fn first_half(hash: Sha256) -> u128 {
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest
        .split_first_chunk::<16>()
        .expect("a digest of 32 bytes has 16");
    u128::from_be_bytes(*half)
}

fn malformed(detail: &'static str) -> Problem {
    refusal("http.idempotency_key_malformed", detail)
}

fn refusal(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(Class::Malformed, code, detail).parameter(IDEMPOTENCY_KEY.as_str(), detail)
}

#[cfg(test)]
mod tests {
    use lyceum_domain::accounts::Roles;
    use lyceum_kernel::Id;

    use super::*;

    fn read(values: &[&str], key: Key) -> Result<Option<IdempotencyKey>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap());
        }
        IdempotencyKey::read(&headers, key).map_err(|problem| problem.code())
    }

    fn caller(user: u128) -> Caller {
        Caller {
            user: Id::from_u128(user),
            session: Id::from_u128(9),
            began: lyceum_kernel::Timestamp::EPOCH,
            roles: Roles::default(),
        }
    }

    #[test]
    fn keys_are_1_to_255_visible_ascii_characters_given_once() {
        let longest = "k".repeat(255);
        let too_long = "k".repeat(256);

        assert!(read(&["a"], Key::Required).unwrap().is_some());
        assert!(read(&[&longest], Key::Required).unwrap().is_some());
        for values in [
            &[""][..],
            &[&too_long],
            &["a b"],
            &["ä"],
            &["a", "a"],
            &["a", "b"],
        ] {
            assert_eq!(
                read(values, Key::Accepted),
                Err("http.idempotency_key_malformed"),
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_missing_key_is_refused_only_where_one_is_required() {
        assert_eq!(read(&[], Key::Accepted), Ok(None));
        assert_eq!(read(&[], Key::Required), Err("http.idempotency_key_missing"));
    }

    #[test]
    fn an_operation_belongs_to_one_caller_route_and_key() {
        let key = read(&["k1"], Key::Required).unwrap().unwrap();
        let other = read(&["k2"], Key::Required).unwrap().unwrap();
        let id = |key: &IdempotencyKey, caller: Option<&Caller>, route| key.operation(caller, route, 0).id;
        let (first, second) = (caller(1), caller(2));

        let ids = [
            id(&key, Some(&first), "/v1/orders"),
            id(&other, Some(&first), "/v1/orders"),
            id(&key, Some(&second), "/v1/orders"),
            id(&key, Some(&first), "/v1/quotes"),
            id(&key, None, "/v1/orders"),
        ];

        assert_eq!(ids[0], id(&key, Some(&first), "/v1/orders"));
        for (index, one) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn the_fingerprint_covers_target_and_body() {
        let one = fingerprint("/v1/orders", b"{}");

        assert_eq!(one, fingerprint("/v1/orders", b"{}"));
        assert_ne!(one, fingerprint("/v1/orders", b"{ }"));
        assert_ne!(one, fingerprint("/v1/orders{}", b""));
    }
}
