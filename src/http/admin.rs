//! What operators ask about the system itself and do to it: the cluster, one entity, the audit log.

use hyper::StatusCode;
use lyceum_domain::accounts::Role;
use lyceum_entities::operators::{Accepted, AuditEntry, Command, CommandError, Order, Verified};
use lyceum_kernel::Class;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;

/// Why something is to be done, or only looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorOrderBody {
    /// Why, for the audit log: from 3 to 500 characters, none of them hidden.
    #[schema(min_length = 3, max_length = 500)]
    pub(super) reason: String,
    /// Only says what would be done.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Where a shard is to go, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// The member that is to own it.
    #[schema(min_length = 1)]
    to: String,
    /// Why, for the audit log: from 3 to 500 characters, none of them hidden.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// Only says what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// What will be done, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedBody {
    /// `drain`, `evict` or `move`.
    action: &'static str,
    /// The member or the shard.
    target: String,
    /// How many shards change their owner.
    shards: i64,
    /// Who owns them now.
    from: Option<String>,
    /// Who may be given them.
    to: Vec<String>,
    /// Whether nothing was done.
    dry_run: bool,
    /// The row of the audit log, unless nothing was done.
    audit: Option<AuditBody>,
}

/// A row of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditBody {
    /// Its number; the first is 1.
    number: i64,
    #[schema(value_type = String, format = DateTime)]
    at: lyceum_kernel::Timestamp,
    /// Who did it.
    #[schema(value_type = String)]
    operator: lyceum_domain::ids::UserId,
    /// The node that was asked.
    node: String,
    action: String,
    target: String,
    reason: String,
    #[schema(value_type = Object)]
    details: serde_json::Value,
    /// SHA-256 over the hash before it and its own content, in hexadecimal digits.
    hash: String,
}

/// What a verification of the audit log found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerificationBody {
    /// Whether every row is what its hash says and follows the one before.
    intact: bool,
    /// Rows that were read.
    rows: u64,
    /// The first row that is not.
    broken_at: Option<i64>,
}

/// `GET /admin/v1/cluster`: members, shards and their epochs, the last moves, and how far this node's snapshots follow.
///
/// # Errors
/// 403 `http.forbidden` without the role of an operator.
#[utoipa::path(get, path = "/admin/v1/cluster", tag = "operators",
    responses((status = 200, description = "Members, shards, epochs, moves and snapshots", body = serde_json::Value)))]
pub async fn cluster(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    Ok(Reply::ok(&api.platform.cluster_view().await?))
}

/// `GET /admin/v1/entities/{kind}/{id}`: explains one entity: where it lives, its version, its state without anything
/// personal or secret, its last events by kind and time.
///
/// # Errors
/// 403 `http.forbidden`; 404 `http.entity_not_found`.
#[utoipa::path(get, path = "/admin/v1/entities/{kind}/{id}", tag = "operators",
    params(
        ("kind" = String, Path, description = "account, session, course, buyer, payment, adjustment, sale or profile"),
        ("id" = String, Path, description = "its id"),
    ),
    responses((status = 200, description = "What is known of it", body = serde_json::Value)))]
pub async fn entity(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let kind: String = request.path("kind")?;
    let id: String = request.path("id")?;

    let explained = api.platform.explain(&kind, &id).await?;

    match explained {
        Some(explained) => Ok(Reply::ok(&explained)),
        None => Err(Problem::new(
            Class::NotFound,
            "http.entity_not_found",
            "There is no such entity.",
        )),
    }
}

/// `POST /admin/v1/nodes/{node}/drain`: has a member hand every shard over and take none, until it is started again.
///
/// It is done when the cluster shows it.
///
/// # Errors
/// 404 `cluster.member_not_found`; 409 `cluster.alone`, `cluster.last_member`; 422 `cluster.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/nodes/{node}/drain", tag = "operators", request_body = OperatorOrderBody,
    params(("node" = String, Path, description = "the member's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "accepted and not needed: doing it again changes nothing")),
    responses(
        (status = 200, body = AcceptedBody, description = "What a dry run says"),
        (status = 202, body = AcceptedBody, description = "Accepted and on record"),
        (status = 404, body = ProblemBody, description = "`cluster.member_not_found`"),
        (status = 409, body = ProblemBody, description = "`cluster.alone`, `cluster.last_member`"),
        (status = 422, body = ProblemBody, description = "`cluster.reason_length`"),
    )
)]
pub async fn drain(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    order_of_node(api, &mut request, |node| Command::Drain { node }).await
}

/// `POST /admin/v1/nodes/{node}/evict`: has a member declared dead, whatever its lease says.
///
/// Its shards are claimed by the others. If it runs after all, its writes are refused and it comes back as a new incarnation.
/// It is done when the cluster shows it.
///
/// # Errors
/// 404 `cluster.member_not_found`; 409 `cluster.alone`, `cluster.last_member`; 422 `cluster.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/nodes/{node}/evict", tag = "operators", request_body = OperatorOrderBody,
    params(("node" = String, Path, description = "the member's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "accepted and not needed: doing it again changes nothing")),
    responses(
        (status = 200, body = AcceptedBody, description = "What a dry run says"),
        (status = 202, body = AcceptedBody, description = "Accepted and on record"),
        (status = 404, body = ProblemBody, description = "`cluster.member_not_found`"),
        (status = 409, body = ProblemBody, description = "`cluster.alone`, `cluster.last_member`"),
        (status = 422, body = ProblemBody, description = "`cluster.reason_length`"),
    )
)]
pub async fn evict(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    order_of_node(api, &mut request, |node| Command::Evict { node }).await
}

/// `POST /admin/v1/shards/{shard}/move`: has the owner of a shard hand it to another member.
///
/// It is done when the cluster shows it; the allocation may move it again later.
///
/// # Errors
/// 400 `http.malformed_id`; 404 `cluster.shard_not_found`, `cluster.member_not_found`; 409 `cluster.alone`,
/// `cluster.member_not_serving`, `cluster.owned_already`; 422 `cluster.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/shards/{shard}/move", tag = "operators", request_body = MoveBody,
    params(("shard" = u64, Path, description = "from 0 to 255"),
        ("Idempotency-Key" = Option<String>, Header, description = "accepted and not needed: doing it again changes nothing")),
    responses(
        (status = 200, body = AcceptedBody, description = "What a dry run says"),
        (status = 202, body = AcceptedBody, description = "Accepted and on record"),
        (status = 400, body = ProblemBody, description = "`http.malformed_id`"),
        (status = 404, body = ProblemBody, description = "`cluster.shard_not_found`, `cluster.member_not_found`"),
        (status = 409, body = ProblemBody,
            description = "`cluster.alone`, `cluster.member_not_serving`, `cluster.owned_already`"),
        (status = 422, body = ProblemBody, description = "`cluster.reason_length`"),
    )
)]
pub async fn move_shard(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let shard = request.path("shard")?;
    let MoveBody { to, reason, dry_run } = request.json().await?;
    let body = OperatorOrderBody { reason, dry_run };
    order(api, &request, Command::Move { shard, to }, body).await
}

/// `GET /admin/v1/audit-log`: lists what operators did to the cluster, the newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/audit-log", tag = "operators", params(PageQuery),
    responses(
        (status = 200, body = Page<AuditBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn audit_log(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let page: PageQuery = request.query()?;
    let (limit, before) = (page.limit()?, page.cursor()?);

    let entries = api.platform.operators.audit_log(before, limit + 1).await?;

    let cursor = |entry: &AuditEntry| entry.number.to_string();
    Ok(Reply::ok(&Page::of(entries, limit, cursor, AuditBody::of)))
}

/// `GET /admin/v1/audit-log/verification`: computes every hash of the audit log again.
#[utoipa::path(
    get, path = "/admin/v1/audit-log/verification", tag = "operators",
    responses((status = 200, body = VerificationBody))
)]
pub async fn verify_audit_log(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;

    let Verified { rows, broken_at } = api.platform.operators.verify_audit_log().await?;

    Ok(Reply::ok(&VerificationBody {
        intact: broken_at.is_none(),
        rows,
        broken_at,
    }))
}

async fn order_of_node(
    api: &Api,
    request: &mut Request,
    command: impl FnOnce(String) -> Command,
) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let node = request.path("node")?;
    let body: OperatorOrderBody = request.json().await?;
    order(api, request, command(node), body).await
}

async fn order(
    api: &Api,
    request: &Request,
    command: Command,
    body: OperatorOrderBody,
) -> Result<Reply, Problem> {
    let OperatorOrderBody { reason, dry_run } = body;
    let order = Order {
        operator: request.caller()?.user,
        reason,
        dry_run,
    };

    let accepted = match api.platform.operators.order(command, order).await {
        Ok(accepted) => accepted,
        Err(CommandError::Refused(refusal)) => return Err(Problem::from_error(&refusal)),
        Err(CommandError::Store(error)) => return Err(error.into()),
    };

    let status = if accepted.dry_run {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(Reply::json(status, &AcceptedBody::of(accepted)))
}

impl AcceptedBody {
    fn of(accepted: Accepted) -> Self {
        AcceptedBody {
            action: accepted.action,
            target: accepted.target,
            shards: accepted.shards,
            from: accepted.from,
            to: accepted.to,
            dry_run: accepted.dry_run,
            audit: accepted.audit.map(AuditBody::of),
        }
    }
}

impl AuditBody {
    pub(super) fn of(entry: AuditEntry) -> Self {
        AuditBody {
            number: entry.number,
            at: entry.at,
            operator: entry.operator,
            node: entry.node,
            action: entry.action,
            target: entry.target,
            reason: entry.reason,
            details: entry.details,
            hash: entry.hash,
        }
    }
}
