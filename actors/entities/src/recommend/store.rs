//! Keeps what trainings learned in Postgres, in versions of which one is active, and says who may train.
//!
//! ```text
//! claim ─→ train ─→ parts, one by one ─→ published in one statement ─→ every node finds another active version,
//!                                                                       reads, compares the checksum, decodes, swaps
//! ```
//!
//! Whoever trains holds the turn for a time; if it dies, its parts lie unread until the next model is kept, and the active
//! version stays. Whoever fails takes its parts away with its turn. A version that an operator has chosen is pinned: nothing is published before an operator asks for a training.
//!
//! Invariant: what is read is what was written, by its length and its SHA-256, or it is refused.

use std::time::Duration;

use lyceum_domain::recommend::{ARTEFACT_FORMAT, Trained};
use lyceum_runtime::{Database, StoreError};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bytes of one part: a statement that carries it takes some milliseconds.
const PART_BYTES: usize = 1 << 20;
/// Parts read at once.
const PAGE: i32 = 4;
/// A model of the largest catalog that can be set has some 200 MiB; more is not read.
const BYTES_MAX: usize = 512 << 20;

const LOOK: &str = "SELECT m.version, (extract(epoch FROM now() - m.made_at) * 1000)::bigint, t.wanted > t.answered, t.pinned \
     FROM recommend_training AS t LEFT JOIN recommend_models AS m ON m.state = 'active'";
const CLAIM: &str = "UPDATE recommend_training SET holder = $1, held_until = now() + $2 * interval '1 millisecond' \
     WHERE (holder IS NULL OR holder = $1 OR held_until < now()) AND (NOT pinned OR wanted > answered) \
     RETURNING wanted, forgotten, greatest((extract(epoch FROM now()) * 1000)::bigint, \
         1 + coalesce((SELECT max(version) FROM recommend_models), 0), \
         1 + coalesce((SELECT max(version) FROM recommend_model_parts), 0))";
const RELEASE: &str = "SELECT release_recommend_training($1, $2)";
// Left by trainings that died. Versions only grow, so what another node keeps at this moment is newer.
const CLEAR: &str = "DELETE FROM recommend_model_parts AS p WHERE version < $1 \
     AND NOT EXISTS (SELECT FROM recommend_models AS m WHERE m.version = p.version)";
const KEEP: &str = "INSERT INTO recommend_model_parts (version, number, content) VALUES ($1, $2, $3)";
const PUBLISH: &str = "SELECT publish_recommend_model($1, $2, $3, $4, \
     ROW($5::bigint, now(), $6::text, 'active', $7::integer, $8::bigint, $9::bigint, $10::bigint, $11::text::json, \
         $12::bigint, $13::bytea)::recommend_models)";
const MODEL: &str = "SELECT format, bytes, checksum FROM recommend_models WHERE version = $1";
const PARTS: &str = "SELECT content FROM recommend_model_parts WHERE version = $1 ORDER BY number";

/// What the table says at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The active version, and how long ago it was made.
    pub(super) active: Option<(u64, Duration)>,
    /// Whether an operator waits for a training.
    pub(super) wanted: bool,
    /// Whether an operator has chosen the active version.
    pub(super) pinned: bool,
}

/// The turn to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The version that the model will have.
    pub(super) version: u64,
    /// The operators' wishes it answers.
    wanted: i64,
    /// Those who were to be forgotten before it began.
    forgotten: i64,
}

/// Why a version could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what was written, or of another format.
    #[error("{0}")]
    Refused(String),
}

/// The bytes of a version, and what they must be.
pub(super) struct Kept {
    bytes: Vec<u8>,
    checksum: Vec<u8>,
}

/// The kept models.
#[derive(Clone)]
pub(crate) struct ModelStore {
    database: Database,
    node: String,
    incarnation: Uuid,
    /// Retired versions that are kept, to go back to.
    kept: i32,
}

impl ModelStore {
    pub(crate) fn new(database: Database, node: String, incarnation: Uuid, kept: u32) -> Self {
        ModelStore {
            database,
            node,
            incarnation,
            kept: i32::try_from(kept).unwrap_or(i32::MAX),
        }
    }

    pub(super) async fn look(&self) -> Result<Look, StoreError> {
        let row = self.database.query_opt(LOOK, &[]).await?;
        let row = row.ok_or_else(|| StoreError::refused("recommend_training has no row"))?;
        let version: Option<i64> = row.get(0);
        let age: Option<i64> = row.get(1);
        let age = Duration::from_millis(age.map_or(0, |age| age.max(0).unsigned_abs()));
        Ok(Look {
            active: version.map(|version| (version.unsigned_abs(), age)),
            wanted: row.get(2),
            pinned: row.get(3),
        })
    }

    /// Takes the turn to train for `lease`, unless somebody has it.
    pub(super) async fn claim(&self, lease: Duration) -> Result<Option<Turn>, StoreError> {
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
        let lease = lease as f64;
        let row = self
            .database
            .query_opt(CLAIM, &[&self.incarnation, &lease])
            .await?;
        Ok(row.map(|row| Turn {
            wanted: row.get(0),
            forgotten: row.get(1),
            version: row.get::<_, i64>(2).unsigned_abs(),
        }))
    }

    /// Gives the turn back, and takes away the parts of what was not published.
    pub(super) async fn release(&self, turn: Turn) -> Result<(), StoreError> {
        let version = i64::try_from(turn.version).map_err(StoreError::refused)?;
        self.database
            .execute(RELEASE, &[&self.incarnation, &version])
            .await?;
        Ok(())
    }

    /// Keeps what was learned as the active version; `false` if the turn is over, an operator has chosen another, or somebody is to be
    /// forgotten since the turn began, though not twice in a row for that. What is not published is left for [`ModelStore::release`].
    pub(super) async fn publish(
        &self,
        turn: Turn,
        trained: &Trained,
        made: &Kept,
        metrics: &serde_json::Value,
    ) -> Result<bool, StoreError> {
        let version = i64::try_from(turn.version).map_err(StoreError::refused)?;
        let length = made.bytes.len();
        if length > BYTES_MAX {
            // Every node would refuse to read it.
            return Err(StoreError::refused(format!("the model has {length} bytes")));
        }
        self.database.execute(CLEAR, &[&version]).await?;
        for (number, part) in (0_i32..).zip(made.bytes.chunks(PART_BYTES)) {
            self.database.execute(KEEP, &[&version, &number, &part]).await?;
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let row = self
            .database
            .query_opt(
                PUBLISH,
                &[
                    &self.incarnation,
                    &turn.wanted,
                    &turn.forgotten,
                    &self.kept,
                    &version,
                    &self.node,
                    &i32::from(ARTEFACT_FORMAT),
                    &count(trained.course_count()),
                    &i64::from(trained.learners()),
                    &i64::try_from(trained.taken()).unwrap_or(i64::MAX),
                    &metrics.to_string(),
                    &count(length),
                    &made.checksum,
                ],
            )
            .await?;
        Ok(row.is_some_and(|row| row.get(0)))
    }

    /// Reads the bytes of a version.
    pub(super) async fn load(&self, version: u64) -> Result<Kept, LoadError> {
        let version = i64::try_from(version).map_err(StoreError::refused)?;
        let Some(row) = self.database.query_opt(MODEL, &[&version]).await? else {
            return Err(LoadError::Refused("it is there no more".to_owned()));
        };
        let (format, length): (i32, i64) = (row.get(0), row.get(1));
        if format != i32::from(ARTEFACT_FORMAT) {
            return Err(LoadError::Refused(format!(
                "it is of format {format}, and format {ARTEFACT_FORMAT} is read here"
            )));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > BYTES_MAX {
            return Err(LoadError::Refused(format!("it has {length} bytes")));
        }
        let mut kept = Kept {
            bytes: Vec::with_capacity(length),
            checksum: row.get(2),
        };
        self.database
            .stream(PARTS, &[&version], PAGE, |row| {
                let part: &[u8] = row.get(0);
                // What is too long is refused by its checksum; it need not be held.
                if kept.bytes.len() + part.len() <= length {
                    kept.bytes.extend_from_slice(part);
                }
            })
            .await?;
        Ok(kept)
    }
}

impl Kept {
    /// Encodes what was learned, and computes the checksum; some tens of milliseconds of a core.
    pub(super) fn of(trained: &Trained) -> Self {
        let bytes = trained.to_bytes();
        let checksum: [u8; 32] = Sha256::digest(&bytes).into();
        Kept {
            bytes,
            checksum: checksum.into(),
        }
    }

    /// Compares the checksum and decodes; some milliseconds of a core.
    pub(super) fn read(&self) -> Result<Trained, LoadError> {
        let checksum: [u8; 32] = Sha256::digest(&self.bytes).into();
        if checksum.as_slice() != self.checksum {
            return Err(LoadError::Refused("its checksum is another".to_owned()));
        }
        Trained::from_bytes(&self.bytes).map_err(|error| LoadError::Refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_what_was_written_are_refused() {
        let mut kept = Kept::of(&Trained::default());
        assert_eq!(kept.read().expect("whole"), Trained::default());

        kept.bytes.pop();
        assert!(matches!(kept.read(), Err(LoadError::Refused(_))));

        // Whoever can write the checksum as well is stopped by what the bytes say.
        let checksum: [u8; 32] = Sha256::digest(&kept.bytes).into();
        kept.checksum = checksum.into();
        assert!(matches!(kept.read(), Err(LoadError::Refused(_))));
    }
}
