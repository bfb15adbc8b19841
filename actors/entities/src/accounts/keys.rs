//! The keys that access tokens are signed with, and the key that refresh tokens are derived with.
//!
//! Life of a signing key: made → published, so that every node and every verifier knows it → signs, from `active_from`
//! on → superseded by the next → still published until the last token it signed has expired → deleted.
//! All nodes share the keys through Postgres; each reads them again twice a second, so that a key that was taken away
//! is refused by all within a second, and a new one is known long before it signs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, Mark, StoreError, clock};
use sha2::{Digest, Sha256};

use super::{Revoked, TokenSecret};

/// How often keys are read again: a row or two.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How often the next key is made, if it is time, and old entries are dropped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);
/// What a verifier's clock may be off by.
const LEEWAY: Duration = Duration::from_secs(60);

/// When keys change.
#[derive(Clone, Copy, Debug)]
pub struct KeySettings {
    /// How long a key signs before the next takes over.
    pub rotate_after: Duration,
    /// How long a key is published before it signs; longer than nodes and verifiers take to read keys again.
    pub lead: Duration,
    /// How long an access token is valid, so how long a superseded key stays published.
    pub token_lifetime: Duration,
}

/// One Ed25519 key. Its seed is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name in token headers.
    pub kid: String,
    /// When it begins to sign.
    pub active_from: Timestamp,
    generation: i64,
    seed: [u8; 32],
}

/// The keys at some time: the one that signs first, then the others that verify, those to come included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet(Vec<SigningKey>);

impl KeySet {
    /// The keys, the one that signs first; never empty.
    pub fn as_slice(&self) -> &[SigningKey] {
        &self.0
    }
}

/// The keys of the site, as this node knows them.
#[derive(Debug)]
pub struct Keys {
    current: ArcSwap<KeySet>,
    settings: KeySettings,
    mark: Arc<Mark>,
}

impl Keys {
    /// Reads the keys, making the first if there is none.
    ///
    /// # Errors
    /// The database is away, or holds something else than keys.
    pub async fn load(database: &Database, settings: KeySettings) -> Result<Self, StoreError> {
        let keys = read(database, settings).await?;
        Ok(Keys {
            current: ArcSwap::from_pointee(keys),
            settings,
            mark: Arc::default(),
        })
    }

    /// How far the keys are behind those of the site.
    pub fn mark(&self) -> Arc<Mark> {
        self.mark.clone()
    }

    /// The keys as they are now.
    pub fn current(&self) -> Arc<KeySet> {
        self.current.load_full()
    }

    /// Reads the keys again; makes the next when it is time, if `upkeep` says so.
    ///
    /// # Errors
    /// The database is away; the keys stay as they were.
    pub async fn refresh(&self, database: &Database, upkeep: bool) -> Result<(), StoreError> {
        let began = Instant::now();
        let keys = if upkeep {
            read(database, self.settings).await?
        } else {
            let stored = stored(database).await?;
            // Between two keys there is always one; without any, this node keeps what it has until upkeep makes one.
            arrange(&stored, self.settings, clock::now())
                .ok_or_else(|| StoreError::refused("there is no signing key"))?
        };
        if keys != **self.current.load() {
            self.current.store(Arc::new(keys));
        }
        self.mark.reach(began);
        Ok(())
    }

    /// Reads the keys again and again, and sweeps ended logins; never returns. `changed` is told of other keys.
    pub async fn upkeep(
        self: Arc<Self>,
        database: Database,
        revoked: Arc<Revoked>,
        changed: impl Fn(&KeySet) + Send + Sync + 'static,
    ) {
        let mut looks = tokio::time::interval(READ_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut kept_up: Option<Instant> = None;
        loop {
            looks.tick().await;
            let upkeep = kept_up.is_none_or(|at| at.elapsed() >= UPKEEP_INTERVAL);
            if upkeep {
                revoked.sweep(clock::now());
                kept_up = Some(Instant::now());
            }
            let before = self.current();
            match self.refresh(&database, upkeep).await {
                Ok(()) if *before != *self.current() => changed(&self.current()),
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "signing keys could not be read again"),
            }
        }
    }
}

impl TokenSecret {
    /// Reads the key that refresh tokens are derived with, making it if there is none.
    ///
    /// # Errors
    /// The database is away.
    pub async fn load(database: &Database) -> Result<Self, StoreError> {
        database
            .execute(
                "INSERT INTO account_secrets (name, value) VALUES ('refresh', $1) ON CONFLICT (name) DO NOTHING",
                &[&random()?.as_slice()],
            )
            .await?;
        let found = database
            .query("SELECT value FROM account_secrets WHERE name = 'refresh'", &[])
            .await?;
        let row = found
            .first()
            .ok_or_else(|| StoreError::refused("the refresh secret is missing"))?;
        Ok(TokenSecret::new(bytes32(row.get(0))?))
    }
}

impl SigningKey {
    fn new(seed: [u8; 32], generation: i64, active_from: Timestamp) -> Self {
        // Derived one way, so that a key has one name everywhere and the name says nothing about the seed.
        let name = Sha256::new()
            .chain_update("lyceum signing key")
            .chain_update(seed)
            .finalize();
        SigningKey {
            kid: URL_SAFE_NO_PAD.encode(&name[..12]),
            active_from,
            generation,
            seed,
        }
    }

    /// The private key.
    pub fn seed(&self) -> [u8; 32] {
        self.seed
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("seed", &"***")
            .finish_non_exhaustive()
    }
}

/// Reads all keys, makes the next one if it is time, and drops those nobody needs.
async fn read(database: &Database, settings: KeySettings) -> Result<KeySet, StoreError> {
    let now = clock::now();
    let mut keys = stored(database).await?;
    if let Some(active_from) = next_begins(&keys, settings, now) {
        let generation = keys.last().map_or(1, |newest| newest.generation + 1);
        insert(database, &SigningKey::new(random()?, generation, active_from)).await?;
        keys = stored(database).await?;
    }
    let unneeded =
        clock::now().as_millis() - millis(settings.token_lifetime + LEEWAY) - millis(UPKEEP_INTERVAL);
    database
        .execute(
            "DELETE FROM signing_keys WHERE retired_at < to_timestamp($1::bigint / 1000.0)",
            &[&unneeded],
        )
        .await?;
    arrange(&keys, settings, now).ok_or_else(|| StoreError::refused("there is no signing key"))
}

/// When the next key should begin to sign, if it is time to make it. The very first signs at once.
fn next_begins(keys: &[SigningKey], settings: KeySettings, now: Timestamp) -> Option<Timestamp> {
    let Some(newest) = keys.last() else {
        return Some(now);
    };
    let due = now.plus(settings.lead) >= newest.active_from.plus(settings.rotate_after);
    due.then(|| now.plus(settings.lead))
}

/// Sorts out which keys are needed and puts the one that signs first; `keys` are in the order in which they sign.
fn arrange(keys: &[SigningKey], settings: KeySettings, now: Timestamp) -> Option<KeySet> {
    let signing = keys.iter().rfind(|key| key.active_from <= now).or(keys.first())?;
    let successors = keys.iter().skip(1).map(Some).chain([None]);
    let needed = keys.iter().zip(successors).filter(|(key, successor)| {
        let superseded = successor
            .is_some_and(|successor| now >= successor.active_from.plus(settings.token_lifetime + LEEWAY));
        key.kid != signing.kid && !superseded
    });
    Some(KeySet(
        [signing]
            .into_iter()
            .chain(needed.map(|(key, _)| key))
            .cloned()
            .collect(),
    ))
}

async fn stored(database: &Database) -> Result<Vec<SigningKey>, StoreError> {
    let rows = database
        .query(
            "SELECT seed, generation, (extract(epoch FROM active_from) * 1000)::bigint FROM signing_keys \
             ORDER BY generation",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(SigningKey::new(
                bytes32(row.get(0))?,
                row.get(1),
                Timestamp::from_millis(row.get(2)),
            ))
        })
        .collect()
}

/// Stores a key unless another node has just made one, and retires the others from when it begins to sign.
///
/// The generation is unique: of two nodes that make a key at once, one finds the other's when it reads again.
async fn insert(database: &Database, key: &SigningKey) -> Result<(), StoreError> {
    database
        .execute(
            "WITH made AS (INSERT INTO signing_keys (kid, generation, seed, active_from) \
                VALUES ($1, $2, $3, to_timestamp($4::bigint / 1000.0)) ON CONFLICT DO NOTHING RETURNING active_from) \
             UPDATE signing_keys SET retired_at = made.active_from FROM made WHERE retired_at IS NULL",
            &[&key.kid, &key.generation, &key.seed.as_slice(), &key.active_from.as_millis()],
        )
        .await?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn random() -> Result<[u8; 32], StoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(StoreError::refused)?;
    Ok(bytes)
}

fn bytes32(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::refused("a key is not 32 bytes long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const SETTINGS: KeySettings = KeySettings {
        rotate_after: Duration::from_secs(30 * 86_400),
        lead: Duration::from_secs(600),
        token_lifetime: Duration::from_secs(600),
    };

    fn key(n: u8, day: u32) -> SigningKey {
        SigningKey::new([n; 32], n.into(), Timestamp::EPOCH.plus(DAY * day))
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_is_announced_before_it_signs() {
        let now = Timestamp::EPOCH.plus(DAY * 30);

        assert_eq!(next_begins(&[], SETTINGS, now), Some(now));
        assert_eq!(next_begins(&[key(1, 1)], SETTINGS, now), None);
        assert_eq!(
            next_begins(&[key(1, 0)], SETTINGS, now),
            Some(now.plus(SETTINGS.lead))
        );
    }

    #[test]
    fn a_superseded_key_is_published_until_its_tokens_have_expired() {
        let (old, new) = (key(1, 0), key(2, 30));
        let at = |now| arrange(&[old.clone(), new.clone()], SETTINGS, now);
        let switch = Timestamp::EPOCH.plus(DAY * 30);

        let before = at(Timestamp::EPOCH.plus(DAY * 29));
        let after = at(switch.plus(Duration::from_secs(60)));
        let later = at(switch.plus(SETTINGS.token_lifetime + LEEWAY));

        assert_eq!(before, Some(KeySet(vec![old.clone(), new.clone()])));
        assert_eq!(after, Some(KeySet(vec![new.clone(), old.clone()])));
        assert_eq!(later, Some(KeySet(vec![new.clone()])));
        assert_eq!(arrange(&[], SETTINGS, switch), None);
    }

    #[test]
    fn a_seed_is_never_printed() {
        assert!(!format!("{:?}", key(9, 0)).contains("[9"));
    }
}
