//! Bodies of requests and answers about refunds.

use lyceum_domain::commerce::refund::{Destination, LineBack, Part, Preview};
use lyceum_domain::commerce::{Refund, SETTLEMENT_CURRENCY};
use lyceum_domain::ids::{CourseId, OrderId, RefundId, UserId};
use lyceum_entities::commerce::RefundRow;
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::shapes;

/// Asks for a refund.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RefundRequest {
    /// Why, in up to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(super) reason: String,
    /// How much; everything that is left if it is left out. Over several lines it is split in proportion to what is left of
    /// them. A line whose price has gone back as a whole is returned, and its access ends; until then it stays, so a refund that
    /// leaves a line partly paid is for an operator to approve.
    #[schema(value_type = Option<shapes::Money>)]
    pub(super) amount: Option<Money>,
    /// The lines to take it from; all of the order if left out.
    #[schema(max_items = 20)]
    pub(super) items: Option<Vec<RefundLineBody>>,
    /// `original` (the way the money came) or `wallet`; `original` if left out.
    #[schema(value_type = Option<String>, pattern = "^(original|wallet)$")]
    pub(super) destination: Option<Destination>,
}

/// Asks what a refund would do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PreviewRequest {
    /// How much; everything that is left if it is left out. Over several lines it is split in proportion to what is left of
    /// them. A line whose price has gone back as a whole is returned, and its access ends; until then it stays, so a refund that
    /// leaves a line partly paid is for an operator to approve.
    #[schema(value_type = Option<shapes::Money>)]
    pub(super) amount: Option<Money>,
    /// The lines to take it from; all of the order if left out.
    #[schema(max_items = 20)]
    pub(super) items: Option<Vec<RefundLineBody>>,
    /// `original` (the way the money came) or `wallet`; `original` if left out.
    #[schema(value_type = Option<String>, pattern = "^(original|wallet)$")]
    pub(super) destination: Option<Destination>,
}

/// One line that money is to go back of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RefundLineBody {
    /// The course on it, also if it was bought in a bundle.
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    pub(super) course_id: CourseId,
}

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RefundBody {
    #[schema(value_type = String)]
    id: RefundId,
    /// `requested` (an operator decides about it), `rejected`, `cancelled`, `processing`, `unknown`, `failed` (it is tried again) or
    /// `succeeded`.
    state: &'static str,
    #[schema(value_type = shapes::Money)]
    amount: Money,
    items: Vec<RefundItemBody>,
    /// `original` or `wallet`.
    #[schema(value_type = String)]
    destination: Destination,
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
}

/// What a refund returns of one line.
#[derive(Debug, Serialize, ToSchema)]
struct RefundItemBody {
    #[schema(value_type = String)]
    course_id: CourseId,
    #[schema(value_type = shapes::Money)]
    amount: Money,
}

/// What a refund would do, if all that are under way succeed before it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RefundPreviewBody {
    #[schema(value_type = shapes::Money)]
    amount: Money,
    items: Vec<PreviewItemBody>,
    /// `original` or `wallet`.
    #[schema(value_type = String)]
    destination: Destination,
    /// Whether an operator would have to approve it.
    awaits_approval: bool,
    /// What could still be asked for afterwards.
    #[schema(value_type = shapes::Money)]
    left: Money,
}

/// What a refund would take back of one line.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewItemBody {
    #[schema(value_type = String)]
    course_id: CourseId,
    /// What the buyer gets.
    #[schema(value_type = shapes::Money)]
    amount: Money,
    /// What its creator gives back.
    #[schema(value_type = shapes::Money)]
    creator_share: Money,
    /// What the platform gives back.
    #[schema(value_type = shapes::Money)]
    platform_share: Money,
    /// Whether access to the course by this order ends with it.
    access_ends: bool,
}

/// Which refunds to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RefundsQuery {
    /// `requested`, `rejected`, `cancelled`, `processing`, `unknown`, `failed` or `succeeded`.
    #[param(pattern = "^(requested|rejected|cancelled|processing|unknown|failed|succeeded)$")]
    pub(super) state: Option<String>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    pub(super) after: Option<String>,
}

/// A refund of anybody's order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RefundRowBody {
    #[schema(value_type = String)]
    id: RefundId,
    #[schema(value_type = String)]
    order_id: OrderId,
    #[schema(value_type = String)]
    user: UserId,
    state: String,
    #[schema(value_type = shapes::Money)]
    amount: Money,
    /// Through what the money goes back: `wallet`, or the name of a provider.
    method: String,
    /// The operator who decided about it, where one had to.
    #[schema(value_type = Option<String>)]
    checker: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl RefundBody {
    pub(in crate::http) fn of(refund: &Refund) -> Self {
        let item = |part: &Part| RefundItemBody {
            course_id: part.course_id,
            amount: part.amount,
        };
        RefundBody {
            id: refund.refund_id,
            state: refund.state.name(),
            amount: refund.amount,
            items: refund.parts.iter().map(item).collect(),
            destination: refund.destination,
            reason: refund.reason.clone(),
            requested_at: refund.requested_at,
        }
    }
}

impl RefundPreviewBody {
    pub(super) fn of(preview: &Preview) -> Self {
        let item = |line: &LineBack| PreviewItemBody {
            course_id: line.course_id,
            amount: line.amount,
            creator_share: line.creator_share,
            platform_share: line.platform_share,
            access_ends: line.access_ends,
        };
        RefundPreviewBody {
            amount: preview.amount,
            items: preview.lines.iter().map(item).collect(),
            destination: preview.destination,
            awaits_approval: preview.awaits_approval,
            left: preview.left,
        }
    }
}

impl RefundRowBody {
    pub(super) fn of(row: RefundRow) -> Self {
        RefundRowBody {
            id: row.id,
            order_id: row.order,
            user: row.user,
            state: row.state,
            amount: Money::new(row.amount, SETTLEMENT_CURRENCY).unwrap_or_default(),
            method: row.method,
            checker: row.checker,
            requested_at: row.requested_at,
            updated_at: row.updated_at,
        }
    }
}
