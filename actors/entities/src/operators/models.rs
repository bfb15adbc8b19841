//! What operators see of the recommender's models and do with them: ask for a training, choose a version.
//!
//! As with commands to the cluster, a command is a change of rows that nodes find within a second, in one transaction with
//! its row of the audit log.

use lyceum_kernel::{Class, Coded, Timestamp};
use lyceum_runtime::StoreError;
use serde_json::{Value, json};
use tokio_postgres::{Row, Transaction};

use super::audit::{AuditEntry, Deed, append};
use super::{Operators, Order, usable};

const VERSIONS: &str = "SELECT version, (extract(epoch FROM made_at) * 1000)::bigint, made_by, state = 'active', courses, \
     learners, events, bytes, encode(checksum, 'hex'), metrics::text FROM recommend_models ORDER BY version DESC";
const TRAINING: &str =
    "SELECT wanted > answered, pinned, coalesce(held_until > now(), false) FROM recommend_training";
// Locked, so that a training that ends now is published before or not at all.
const LOCK: &str = "SELECT FROM recommend_training FOR UPDATE";
const STATE: &str = "SELECT state = 'active' AND (SELECT pinned FROM recommend_training), checksum = sha256(coalesce((SELECT string_agg(content, ''::bytea ORDER BY number) \
         FROM recommend_model_parts AS p WHERE p.version = m.version), ''::bytea)), \
         (SELECT version FROM recommend_models WHERE state = 'active') \
     FROM recommend_models AS m WHERE version = $1";
const ACTIVE: &str = "SELECT version FROM recommend_models WHERE state = 'active'";
const RETIRE: &str = "UPDATE recommend_models SET state = 'retired' WHERE state = 'active'";
const ACTIVATE: &str = "UPDATE recommend_models SET state = 'active' WHERE version = $1";
// It takes back what was asked for before: whatever a training made of that would be refused, again and again.
const PIN: &str = "UPDATE recommend_training SET pinned = true, answered = wanted";
const WANT: &str = "UPDATE recommend_training SET pinned = false, wanted = wanted + 1";

/// Why a command about models was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// There is no such version, or no more.
    #[error("no model of this version is kept")]
    NotFound,
    /// It is served already, and stays.
    #[error("this version is active and held already")]
    ActiveAlready,
    /// Nodes would refuse it.
    #[error("what is kept of this version is not what was written")]
    Corrupt,
    /// The reason is too short, too long, or not all of it can be seen.
    #[error("a reason has from 3 to 500 characters, none of them hidden")]
    ReasonLength,
}

impl Coded for ModelRefusal {
    fn code(&self) -> &'static str {
        match self {
            ModelRefusal::NotFound => "recommend.model_not_found",
            ModelRefusal::ActiveAlready => "recommend.model_active_already",
            ModelRefusal::Corrupt => "recommend.model_corrupt",
            ModelRefusal::ReasonLength => "recommend.reason_length",
        }
    }

    fn class(&self) -> Class {
        match self {
            ModelRefusal::NotFound => Class::NotFound,
            ModelRefusal::ActiveAlready | ModelRefusal::Corrupt => Class::Conflict,
            ModelRefusal::ReasonLength => Class::Unprocessable,
        }
    }
}

/// Why a command about models was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It makes no sense as things are.
    #[error(transparent)]
    Refused(#[from] ModelRefusal),
    /// Postgres is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for ModelError {
    fn from(error: tokio_postgres::Error) -> Self {
        ModelError::Store(error.into())
    }
}

/// What an operator wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelCommand {
    /// Some node trains as soon as it can, whatever has happened; versions are no longer held back.
    Train,
    /// This version is served, and no training takes its place before one is asked for from now on.
    Activate {
        /// Which.
        version: u64,
    },
}

/// What is to be done, and what was put on record.
#[derive(Clone, Debug)]
pub struct ModelAccepted {
    /// `train_model` or `activate_model`.
    pub action: &'static str,
    /// The version that is chosen.
    pub version: Option<u64>,
    /// The version that is active now.
    pub active: Option<u64>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The row of the audit log, unless nothing was done.
    pub audit: Option<AuditEntry>,
}

/// One version that is kept.
#[derive(Clone, Debug)]
pub struct KeptModel {
    /// Its version.
    pub version: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The node that trained.
    pub made_by: String,
    /// Whether requests are answered from it.
    pub active: bool,
    /// Courses it is about.
    pub courses: i64,
    /// Learners it learned from.
    pub learners: i64,
    /// How many times one of them took up a course.
    pub events: i64,
    /// Bytes that are kept.
    pub bytes: i64,
    /// SHA-256 of them, in hexadecimal digits.
    pub checksum: String,
    /// What the training measured.
    pub metrics: Value,
}

/// Every version, and what is under way.
#[derive(Clone, Debug)]
pub struct ModelsView {
    /// The newest first.
    pub models: Vec<KeptModel>,
    /// Whether a training that an operator asked for is not done yet.
    pub wanted: bool,
    /// Whether an operator has chosen the active version.
    pub pinned: bool,
    /// Whether a node trains now.
    pub training: bool,
}

impl Operators {
    /// Every version that is kept, and what is under way.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn models(&self) -> Result<ModelsView, StoreError> {
        let rows = self.database.query(VERSIONS, &[]).await?;
        let training = self.database.query_opt(TRAINING, &[]).await?;
        let training = training.ok_or_else(|| StoreError::refused("recommend_training has no row"))?;
        Ok(ModelsView {
            models: rows.iter().map(kept).collect(),
            wanted: training.get(0),
            pinned: training.get(1),
            training: training.get(2),
        })
    }

    /// Accepts a command about models, or says what it would do.
    ///
    /// # Errors
    /// It makes no sense as things are, or Postgres is away; nothing was changed.
    pub async fn order_model(
        &self,
        command: ModelCommand,
        order: Order,
    ) -> Result<ModelAccepted, ModelError> {
        let reason = usable(&order.reason).ok_or(ModelRefusal::ReasonLength)?;
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        transaction.execute(LOCK, &[]).await?;
        let mut accepted = plan(&transaction, command).await?;
        if order.dry_run {
            accepted.dry_run = true;
            return Ok(accepted);
        }
        match command {
            ModelCommand::Train => {
                transaction.execute(WANT, &[]).await?;
            }
            ModelCommand::Activate { version } => {
                transaction.execute(RETIRE, &[]).await?;
                transaction.execute(ACTIVATE, &[&signed(version)]).await?;
                transaction.execute(PIN, &[]).await?;
            }
        }
        let target = accepted
            .version
            .map_or_else(|| "the next".to_owned(), |version| version.to_string());
        let details = json!({"active": accepted.active}).to_string();
        let deed = Deed {
            operator: order.operator,
            node: &self.node,
            action: accepted.action,
            target: &target,
            reason,
            details: &details,
        };
        let entry = append(&transaction, deed).await?;
        transaction.commit().await?;
        accepted.audit = Some(entry);
        Ok(accepted)
    }
}

async fn plan(transaction: &Transaction<'_>, command: ModelCommand) -> Result<ModelAccepted, ModelError> {
    let (action, version, active) = match command {
        ModelCommand::Train => {
            let active = transaction.query_opt(ACTIVE, &[]).await?;
            ("train_model", None, active.map(|row| row.get(0)))
        }
        ModelCommand::Activate { version } => {
            let row = transaction.query_opt(STATE, &[&signed(version)]).await?;
            let row = row.ok_or(ModelRefusal::NotFound)?;
            if row.get(0) {
                return Err(ModelRefusal::ActiveAlready.into());
            }
            if !row.get::<_, bool>(1) {
                return Err(ModelRefusal::Corrupt.into());
            }
            ("activate_model", Some(version), row.get::<_, Option<i64>>(2))
        }
    };
    Ok(ModelAccepted {
        action,
        version,
        active: active.map(i64::unsigned_abs),
        dry_run: false,
        audit: None,
    })
}

/// No version is beyond what Postgres can hold; a number that is, is nobody's.
fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(0)
}

fn kept(row: &Row) -> KeptModel {
    KeptModel {
        version: row.get::<_, i64>(0).unsigned_abs(),
        made_at: Timestamp::from_millis(row.get(1)),
        made_by: row.get(2),
        active: row.get(3),
        courses: row.get(4),
        learners: row.get(5),
        events: row.get(6),
        bytes: row.get(7),
        checksum: row.get(8),
        metrics: serde_json::from_str(row.get(9)).unwrap_or_default(),
    }
}
