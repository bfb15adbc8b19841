//! What operators see of the system and do to it.
//!
//! A command is a row that the node concerned finds and carries out (a member's wanted state, a wish for a shard), written in one
//! transaction with its row of the audit log. So it does not matter which node is asked, and that nothing happened without a reason
//! on record. It is done when the view of the cluster shows it, not when it was accepted.

pub(crate) mod audit;
mod explain;
mod models;
pub(crate) mod redact;

use lyceum_domain::ids::UserId;
use lyceum_domain::text::is_hidden;
use lyceum_kernel::{Class, Coded};
use lyceum_runtime::cluster::members::Wanted;
use lyceum_runtime::cluster::wishes::{want, wish};
use lyceum_runtime::{Database, Shard, StoreError};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Transaction;

pub use self::audit::{AuditEntry, Verified};
use self::audit::{Deed, append};
pub use self::models::{KeptModel, ModelAccepted, ModelCommand, ModelError, ModelRefusal, ModelsView};

/// The shortest and the longest reason, in characters.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 3..=500;

const MEMBERS: &str = "SELECT m.node, m.state = 'serving' AND coalesce(m.wanted_state, 'serving') = 'serving', \
    (SELECT count(*) FROM shard_owner AS o WHERE o.incarnation = m.incarnation) \
    FROM members AS m WHERE m.state NOT IN ('left', 'dead') ORDER BY m.node";
const OWNER: &str = "SELECT node FROM shard_owner WHERE shard = $1";

/// Why a command of an operator was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No node has joined, so there is nobody to hand anything to.
    #[error("the node runs alone: there is nobody to hand shards to")]
    Alone,
    /// No member of this name lives.
    #[error("no member of this name lives")]
    MemberNotFound,
    /// Shards are numbered from 0 to 255.
    #[error("there is no such shard")]
    ShardNotFound,
    /// The member cannot take shards now.
    #[error("the member does not serve")]
    MemberNotServing,
    /// Nobody else serves, so nobody would be left.
    #[error("no other member serves")]
    LastMember,
    /// The shard is there already.
    #[error("the member owns the shard already")]
    OwnedAlready,
    /// The reason is too short, too long, or not all of it can be seen.
    #[error("a reason has from 3 to 500 characters, none of them hidden")]
    ReasonLength,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::Alone => "cluster.alone",
            Refusal::MemberNotFound => "cluster.member_not_found",
            Refusal::ShardNotFound => "cluster.shard_not_found",
            Refusal::MemberNotServing => "cluster.member_not_serving",
            Refusal::LastMember => "cluster.last_member",
            Refusal::OwnedAlready => "cluster.owned_already",
            Refusal::ReasonLength => "cluster.reason_length",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::MemberNotFound | Refusal::ShardNotFound => Class::NotFound,
            Refusal::Alone | Refusal::MemberNotServing | Refusal::LastMember | Refusal::OwnedAlready => {
                Class::Conflict
            }
            Refusal::ReasonLength => Class::Unprocessable,
        }
    }
}

/// Why a command was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It makes no sense as things are.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Postgres is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for CommandError {
    fn from(error: tokio_postgres::Error) -> Self {
        CommandError::Store(error.into())
    }
}

/// What an operator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A member hands every shard over and takes none.
    Drain {
        /// Which.
        node: String,
    },
    /// A member is declared dead, whatever its lease says.
    Evict {
        /// Which.
        node: String,
    },
    /// The owner of a shard hands it to another member.
    Move {
        /// Which.
        shard: u64,
        /// To whom.
        to: String,
    },
}

/// Who asks, and why.
#[derive(Clone, Debug)]
pub struct Order {
    /// The operator.
    pub operator: UserId,
    /// Why.
    pub reason: String,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// What is to be done, and what was put on record.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// `drain`, `evict` or `move`.
    pub action: &'static str,
    /// The member or the shard.
    pub target: String,
    /// How many shards change their owner.
    pub shards: i64,
    /// Who owns them now.
    pub from: Option<String>,
    /// Who may be given them.
    pub to: Vec<String>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The row of the audit log, unless nothing was done.
    pub audit: Option<AuditEntry>,
}

/// Carries out what operators want.
#[derive(Clone)]
pub struct Operators {
    database: Database,
    node: String,
}

/// A member that lives.
struct Member {
    node: String,
    /// It may be given shards, and nobody wants otherwise.
    serves: bool,
    shards: i64,
}

impl Operators {
    pub(crate) fn new(database: Database, node: String) -> Self {
        Operators { database, node }
    }

    /// Accepts a command, or says what it would do.
    ///
    /// # Errors
    /// It makes no sense as things are, or Postgres is away; nothing was changed.
    pub async fn order(&self, command: Command, order: Order) -> Result<Accepted, CommandError> {
        let reason = usable(&order.reason).ok_or(Refusal::ReasonLength)?;
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        let mut accepted = plan(&transaction, &command).await?;
        if order.dry_run {
            accepted.dry_run = true;
            return Ok(accepted);
        }
        carry_out(&transaction, &command, reason).await?;
        let details = json!({"shards": accepted.shards, "from": accepted.from, "to": accepted.to});
        let deed = Deed {
            operator: order.operator,
            node: &self.node,
            action: accepted.action,
            target: &accepted.target,
            reason,
            details: &details.to_string(),
        };
        let entry = append(&transaction, deed).await?;
        transaction.commit().await?;
        accepted.audit = Some(entry);
        Ok(accepted)
    }

    /// The newest rows of the audit log, before the row `before`.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn audit_log(&self, before: Option<i64>, limit: u16) -> Result<Vec<AuditEntry>, StoreError> {
        audit::newest(&self.database, before, limit).await
    }

    /// Computes every hash of the audit log again.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn verify_audit_log(&self) -> Result<Verified, StoreError> {
        audit::verify(&self.database).await
    }
}

/// A reason as it goes on record. Postgres keeps no NUL, and what nobody sees misleads whoever reads the log.
fn usable(reason: &str) -> Option<&str> {
    let reason = reason.trim();
    let fits = REASON_CHARS.contains(&reason.chars().count());
    (fits && !reason.chars().any(is_hidden)).then_some(reason)
}

/// What a command would do as things are. Members are not locked for it: whoever waits for an operator's commit cannot renew its lease.
async fn plan(transaction: &Transaction<'_>, command: &Command) -> Result<Accepted, CommandError> {
    let rows = transaction.query(MEMBERS, &[]).await?;
    let members: Vec<Member> = rows
        .iter()
        .map(|row| Member {
            node: row.get(0),
            serves: row.get(1),
            shards: row.get(2),
        })
        .collect();
    if members.is_empty() {
        return Err(Refusal::Alone.into());
    }
    match command {
        Command::Drain { node } | Command::Evict { node } => {
            let member = members.iter().find(|member| member.node == *node);
            let member = member.ok_or(Refusal::MemberNotFound)?;
            let others = members.iter().filter(|other| other.serves && other.node != *node);
            let to: Vec<String> = others.map(|other| other.node.clone()).collect();
            if to.is_empty() {
                return Err(Refusal::LastMember.into());
            }
            Ok(Accepted {
                action: command.action(),
                target: node.clone(),
                shards: member.shards,
                from: Some(node.clone()),
                to,
                dry_run: false,
                audit: None,
            })
        }
        Command::Move { shard, to } => {
            let number = number_of(*shard)?;
            let target = members.iter().find(|member| member.node == *to);
            if !target.ok_or(Refusal::MemberNotFound)?.serves {
                return Err(Refusal::MemberNotServing.into());
            }
            let owner = transaction.query_opt(OWNER, &[&i16::from(number)]).await?;
            let owner: Option<String> = owner.and_then(|row| row.get(0));
            if owner.as_ref() == Some(to) {
                return Err(Refusal::OwnedAlready.into());
            }
            Ok(Accepted {
                action: command.action(),
                target: shard.to_string(),
                shards: 1,
                from: owner,
                to: vec![to.clone()],
                dry_run: false,
                audit: None,
            })
        }
    }
}

async fn carry_out(
    transaction: &Transaction<'_>,
    command: &Command,
    reason: &str,
) -> Result<(), CommandError> {
    let known = match command {
        Command::Drain { node } => want(transaction, node, Wanted::Draining).await?,
        Command::Evict { node } => want(transaction, node, Wanted::Dead).await?,
        Command::Move { shard, to } => {
            wish(transaction, number_of(*shard)?, to, reason).await?;
            return Ok(());
        }
    };
    // It may have ended since it was looked at.
    if known {
        Ok(())
    } else {
        Err(Refusal::MemberNotFound.into())
    }
}

fn number_of(shard: u64) -> Result<Shard, Refusal> {
    Shard::try_from(shard).map_err(|_| Refusal::ShardNotFound)
}

impl Command {
    fn action(&self) -> &'static str {
        match self {
            Command::Drain { .. } => "drain",
            Command::Evict { .. } => "evict",
            Command::Move { .. } => "move",
        }
    }
}
