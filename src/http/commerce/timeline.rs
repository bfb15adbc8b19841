//! The timeline of any order, for operators.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::Error;
use lyceum_domain::ids::OrderId;
use lyceum_entities::commerce::{Moment, Position};
use lyceum_kernel::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request, malformed_cursor};

/// One thing that happened to an order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MomentBody {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Where it is written: `order`, `payment`, `outbox`, `callback`, `ledger`, `grant`, `refund` or `dead_letter`.
    source: &'static str,
    /// What happened: the type of an event, message or callback; the kind of a posting; the state of a refund.
    what: String,
    /// More about it, without what is personal or secret.
    #[schema(value_type = Object)]
    details: serde_json::Value,
}

/// `GET /admin/v1/orders/{id}/timeline`: tells everything that is known of anybody's order, oldest first.
///
/// Decisions about the order and its payment, messages that wait, callbacks, postings, grants and refunds. A message is shown at
/// the time it is due.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`; 404 `commerce.order_not_found`.
#[utoipa::path(
    get, path = "/admin/v1/orders/{id}/timeline", tag = "operators",
    params(("id" = String, Path, description = "the order"), PageQuery),
    responses(
        (status = 200, body = Page<MomentBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
        (status = 404, body = ProblemBody, description = "`commerce.order_not_found`"),
    )
)]
pub async fn order_timeline(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let order: OrderId = request.path("id")?;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let after = match &query.after {
        Some(after) => Some(Position::read(after).ok_or_else(malformed_cursor)?),
        None => None,
    };

    let moments = api.platform.commerce.timeline(order, after, limit + 1).await?;

    let moments = moments.ok_or_else(|| Problem::from_error(&Error::OrderNotFound))?;
    let cursor = |moment: &Moment| moment.position.write();
    Ok(Reply::ok(&Page::of(moments, limit, cursor, MomentBody::of)))
}

impl MomentBody {
    fn of(moment: Moment) -> Self {
        MomentBody {
            at: moment.position.at,
            source: moment.source,
            what: moment.what,
            details: moment.details,
        }
    }
}
