//! Flash sales: made by the creator of a course or an operator, shown to everybody, bought from by `POST /v1/orders`.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::sale::{Command, Refusal, STOCK_MAX, State, Terms};
use lyceum_domain::ids::{CourseId, SaleId};
use lyceum_entities::commerce::{SaleAnswer, SaleQuestion, SaleView};
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deeds::deed;
use super::{is_sold, unexpected};
use crate::http::{Api, Problem, ProblemBody, Reply, Request, shapes};

/// What is sold, at which price, how often and when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SaleRequest {
    /// A course that is for sale.
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    course_id: CourseId,
    /// Below the list price of the course.
    #[schema(value_type = shapes::Money)]
    price: Money,
    /// How many are sold at this price, one to each buyer.
    #[schema(minimum = 1, maximum = 10_000, example = 500)]
    stock: u32,
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    /// Until when; later than the start, and in the future.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    /// Why, for the audit log: from 3 to 500 characters. Of operators, for a course that is not their own.
    #[schema(min_length = 3, max_length = 500)]
    reason: Option<String>,
}

/// A flash sale.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SaleBody {
    #[schema(value_type = String, example = "sal_01h455vb4pex5vsknk084sn02q")]
    id: SaleId,
    #[schema(value_type = String)]
    course_id: CourseId,
    /// `scheduled`, `open`, `sold_out` (a slot whose order is not paid may come back) or `ended`.
    #[schema(value_type = String)]
    state: State,
    #[schema(value_type = shapes::Money)]
    price: Money,
    stock: u32,
    /// How many can be bought now.
    available: u32,
    /// How many are in orders that are not paid yet.
    reserved: u32,
    sold: u32,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
}

impl SaleBody {
    fn answered(id: SaleId, answer: SaleAnswer) -> Result<Self, Problem> {
        let SaleAnswer::Offer(view) = answer else {
            return Err(unexpected());
        };
        let SaleView {
            terms,
            by: _,
            sold,
            reserved,
            available,
            state,
        } = *view;
        Ok(SaleBody {
            id,
            course_id: terms.course_id,
            state,
            price: terms.price,
            stock: terms.stock,
            available,
            reserved,
            sold,
            starts_at: terms.starts_at,
            ends_at: terms.ends_at,
        })
    }
}

/// `POST /v1/sales`: makes a flash sale of a course, by its creator or an operator.
///
/// # Errors
/// 403 `http.forbidden`; 422 `commerce.course_not_for_sale`, `commerce.sale_price_invalid`, `commerce.sale_stock_invalid`,
/// `commerce.sale_time_invalid`, `commerce.currency_unsupported`.
#[utoipa::path(
    post, path = "/v1/sales", tag = "commerce", request_body = SaleRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the sale; repeating it makes no other")),
    responses(
        (status = 201, body = SaleBody, headers(("Location" = String, description = "the sale"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: the course is somebody else's"),
        (status = 422, body = ProblemBody, description = "`commerce.course_not_for_sale`, `commerce.sale_price_invalid`, \
            `commerce.sale_stock_invalid`, `commerce.sale_time_invalid`, `commerce.currency_unsupported`, `commerce.reason_length`"),
    )
)]
pub async fn create_sale(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let SaleRequest {
        course_id,
        price,
        stock,
        starts_at,
        ends_at,
        reason,
    } = request.json().await?;
    let course = api.platform.catalog.get(course_id).filter(|entry| is_sold(entry));
    let course = course.ok_or_else(|| {
        Problem::from_error(&Error::CourseNotForSale).at("/course_id", "this course is not for sale")
    })?;
    let foreign = course.creator != caller.user;
    if foreign {
        request.require(Role::Operator)?;
    }
    if course.price.currency() == price.currency() && price.amount() >= course.price.amount() {
        let refused = Problem::from_error(&Error::Sale(Refusal::PriceInvalid));
        return Err(refused.at("/price", "below the list price of the course"));
    }

    let terms = Terms {
        course_id,
        price,
        stock,
        starts_at,
        ends_at,
    };
    let command = if foreign {
        Command::OpenFor {
            terms,
            deed: deed(api, &request, reason.unwrap_or_default())?,
        }
    } else {
        Command::Open {
            terms,
            by: caller.user,
        }
    };
    let (id, answer) = api
        .platform
        .sales
        .create(command, SaleQuestion::Offer, &request.context())
        .await?;

    Ok(Reply::created(
        format!("/v1/sales/{id}"),
        &SaleBody::answered(id, answer)?,
    ))
}

/// `GET /v1/sales/{id}`: shows a flash sale and how much of it is left.
///
/// # Errors
/// 404 `commerce.sale_not_found`.
#[utoipa::path(
    get, path = "/v1/sales/{id}", tag = "commerce", params(("id" = String, Path, description = "the sale")),
    security(()),
    responses(
        (status = 200, body = SaleBody),
        (status = 404, body = ProblemBody, description = "`commerce.sale_not_found`"),
    )
)]
pub async fn get_sale(api: &Api, request: Request) -> Result<Reply, Problem> {
    let id: SaleId = request.path("id")?;

    let answer = api
        .platform
        .sales
        .read(id, SaleQuestion::Offer, &request.context())
        .await?;

    Ok(Reply::ok(&SaleBody::answered(id, answer)?))
}

const _: () = assert!(STOCK_MAX == 10_000, "the description of a sale says so");
