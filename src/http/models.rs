//! What operators ask about the recommender's models and do with them.

use hyper::StatusCode;
use lyceum_domain::accounts::Role;
use lyceum_entities::operators::{KeptModel, ModelAccepted, ModelCommand, ModelError, ModelsView, Order};
use lyceum_kernel::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::admin::{AuditBody, OperatorOrderBody};
use super::problem::{Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;

/// The recommender's models.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelsBody {
    /// The version that the asked node answers from; 0 before the first.
    serving: u64,
    /// Whether a training that an operator asked for is not done yet.
    wanted: bool,
    /// Whether an operator has chosen the active version, which stays until one asks for a training.
    pinned: bool,
    /// Whether a node trains now.
    training: bool,
    /// Those that are kept, the newest first.
    models: Vec<ModelBody>,
}

/// One model that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelBody {
    /// Its version.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// The node that trained.
    made_by: String,
    /// `active` or `retired`.
    state: &'static str,
    /// Courses it is about.
    courses: i64,
    /// Learners it learned from.
    learners: i64,
    /// How many times one of them took up a course.
    events: i64,
    /// Bytes that are kept.
    bytes: i64,
    /// SHA-256 of them, in hexadecimal digits.
    checksum: String,
    /// What the training measured: `read_ms`, `train_ms`, `memory_bytes`.
    #[schema(value_type = Object)]
    metrics: serde_json::Value,
}

/// What will be done with models, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelAcceptedBody {
    /// `train_model` or `activate_model`.
    action: &'static str,
    /// The version that is chosen.
    version: Option<u64>,
    /// The version that was active when it was accepted.
    active: Option<u64>,
    /// Whether nothing was done.
    dry_run: bool,
    /// The row of the audit log, unless nothing was done.
    audit: Option<AuditBody>,
}

/// `GET /admin/v1/recommendation-models`: the kept versions, which of them is active, and whether a training is under way.
#[utoipa::path(
    get, path = "/admin/v1/recommendation-models", tag = "operators",
    responses((status = 200, body = ModelsBody))
)]
pub async fn recommendation_models(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;

    let ModelsView {
        models,
        wanted,
        pinned,
        training,
    } = api.platform.operators.models().await?;

    Ok(Reply::ok(&ModelsBody {
        serving: api.platform.recommender.model_version(),
        wanted,
        pinned,
        training,
        models: models.into_iter().map(ModelBody::of).collect(),
    }))
}

/// `POST /admin/v1/recommendation-models/train`: has some node train as soon as it can, whatever has happened.
///
/// A version that was chosen is no longer held: what is trained takes its place.
///
/// # Errors
/// 422 `recommend.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/recommendation-models/train", tag = "operators", request_body = OperatorOrderBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = ModelAcceptedBody, description = "What a dry run says"),
        (status = 202, body = ModelAcceptedBody, description = "Accepted and on record"),
        (status = 422, body = ProblemBody, description = "`recommend.reason_length`"),
    )
)]
pub async fn train_model(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    order(api, &mut request, ModelCommand::Train).await
}

/// `POST /admin/v1/recommendation-models/{version}/activate`: has every node answer from a kept version again.
///
/// It stays until somebody asks for a training.
///
/// # Errors
/// 400 `http.malformed_id`; 404 `recommend.model_not_found`; 409 `recommend.model_active_already`, `recommend.model_corrupt`; 422
/// `recommend.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/recommendation-models/{version}/activate", tag = "operators", request_body = OperatorOrderBody,
    params(("version" = u64, Path, description = "one that is kept"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = ModelAcceptedBody, description = "What a dry run says"),
        (status = 202, body = ModelAcceptedBody, description = "Accepted and on record"),
        (status = 400, body = ProblemBody, description = "`http.malformed_id`"),
        (status = 404, body = ProblemBody, description = "`recommend.model_not_found`"),
        (status = 409, body = ProblemBody,
            description = "`recommend.model_active_already`, `recommend.model_corrupt`"),
        (status = 422, body = ProblemBody, description = "`recommend.reason_length`"),
    )
)]
pub async fn activate_model(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let version = request.path("version")?;
    order(api, &mut request, ModelCommand::Activate { version }).await
}

async fn order(api: &Api, request: &mut Request, command: ModelCommand) -> Result<Reply, Problem> {
    let operator = request.require(Role::Operator)?.user;
    let OperatorOrderBody { reason, dry_run } = request.json().await?;
    let order = Order {
        operator,
        reason,
        dry_run,
    };

    let accepted = match api.platform.operators.order_model(command, order).await {
        Ok(accepted) => accepted,
        Err(ModelError::Refused(refusal)) => return Err(Problem::from_error(&refusal)),
        Err(ModelError::Store(error)) => return Err(error.into()),
    };

    let status = if accepted.dry_run {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(Reply::json(status, &ModelAcceptedBody::of(accepted)))
}

impl ModelBody {
    fn of(model: KeptModel) -> Self {
        ModelBody {
            version: model.version,
            made_at: model.made_at,
            made_by: model.made_by,
            state: if model.active { "active" } else { "retired" },
            courses: model.courses,
            learners: model.learners,
            events: model.events,
            bytes: model.bytes,
            checksum: model.checksum,
            metrics: model.metrics,
        }
    }
}

impl ModelAcceptedBody {
    fn of(accepted: ModelAccepted) -> Self {
        ModelAcceptedBody {
            action: accepted.action,
            version: accepted.version,
            active: accepted.active,
            dry_run: accepted.dry_run,
            audit: accepted.audit.map(AuditBody::of),
        }
    }
}
