//! What operators ask about the system itself: the cluster, and one entity.

use lyceum_domain::accounts::Role;
use lyceum_kernel::Class;

use super::Api;
use super::problem::Problem;
use super::reply::Reply;
use super::request::Request;

/// `GET /admin/v1/cluster`: nodes, shards and their epochs.
///
/// # Errors
/// 403 `http.forbidden` without the role of an operator.
#[utoipa::path(get, path = "/admin/v1/cluster", tag = "operators",
    responses((status = 200, description = "Nodes, shards and epochs", body = serde_json::Value)))]
pub async fn cluster(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    Ok(Reply::ok(&api.platform.cluster_view().await?))
}

/// `GET /admin/v1/entities/{kind}/{id}`: explains one entity: where it lives, its version, its last events.
///
/// # Errors
/// 403 `http.forbidden`; 404 `http.entity_not_found`.
#[utoipa::path(get, path = "/admin/v1/entities/{kind}/{id}", tag = "operators",
    params(
        ("kind" = String, Path, description = "account, session, course, buyer, payment or profile"),
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
