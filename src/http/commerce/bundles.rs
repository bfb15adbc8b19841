//! Bundles: several courses of one creator at one price.

use std::sync::Arc;

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::bundle::{Offer, Refusal};
use lyceum_domain::commerce::order::LINES_MAX;
use lyceum_domain::ids::{BundleId, CourseId, UserId};
use lyceum_entities::commerce::{BundleAnswer, BundleRow, OfferQuestion};
use lyceum_kernel::Money;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::offerings::WithdrawalBody;
use super::{is_sold, offerings};
use crate::http::{Api, Page, Problem, ProblemBody, Reply, Request, checked_cursor, checked_limit, shapes};

/// What a bundle offers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct BundleRequest {
    /// What it is called, in up to 120 characters.
    #[schema(min_length = 1, max_length = 120)]
    title: String,
    /// From 2 to 20 different courses of the caller that are for sale.
    #[schema(value_type = Vec<String>, min_items = 2, max_items = 20)]
    course_ids: Vec<CourseId>,
    /// What they cost together: less than one by one.
    #[schema(value_type = shapes::Money)]
    price: Money,
}

/// A bundle.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BundleBody {
    #[schema(value_type = String, example = "bnd_01h455vb4pex5vsknk084sn02q")]
    id: BundleId,
    #[schema(value_type = String)]
    title: Arc<str>,
    #[schema(value_type = String)]
    creator: UserId,
    /// `offered` or `withdrawn`.
    state: String,
    #[schema(value_type = Vec<String>)]
    course_ids: Vec<CourseId>,
    #[schema(value_type = shapes::Money)]
    price: Money,
}

/// Which bundles to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BundlesQuery {
    /// Of which creator.
    #[param(value_type = Option<String>)]
    creator: Option<UserId>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// `POST /v1/bundles`: offers courses of the caller at one price.
///
/// # Errors
/// 403 `http.forbidden`; 422 the rules for an offer.
#[utoipa::path(
    post, path = "/v1/bundles", tag = "commerce", request_body = BundleRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the bundle; repeating it offers nothing more")),
    responses(
        (status = 201, body = BundleBody, headers(("Location" = String, description = "the bundle"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for creators"),
        (status = 422, body = ProblemBody, description = "`commerce.bundle_courses_invalid`, `commerce.bundle_course_foreign`, \
            `commerce.bundle_price_invalid`, `commerce.bundle_title_invalid`, `commerce.currency_unsupported`"),
    )
)]
pub async fn create_bundle(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let creator = request.require(Role::Creator)?.user;
    let BundleRequest {
        title,
        course_ids,
        price,
    } = request.json().await?;
    // Of a list that is too long nothing is looked up; the bundle itself refuses it.
    let checked = if course_ids.len() <= LINES_MAX {
        cheaper_together(api, creator, &course_ids, price)
    } else {
        Ok(())
    };

    let offer = Offer {
        title: title.into(),
        creator,
        course_ids,
        price,
    };
    let bundles = &api.platform.bundles;
    let (id, answer) = offerings::offer(bundles, offer, checked, &request.context()).await?;

    let location = format!("/v1/bundles/{id}");
    Ok(Reply::created(location, &BundleBody::of(id, answer)))
}

/// `GET /v1/bundles/{id}`: shows a bundle.
///
/// # Errors
/// 404 `commerce.bundle_not_found`.
#[utoipa::path(
    get, path = "/v1/bundles/{id}", tag = "commerce", security((), ("bearer" = [])), params(("id" = String, Path, description = "the bundle")),
    responses(
        (status = 200, body = BundleBody),
        (status = 404, body = ProblemBody, description = "`commerce.bundle_not_found`"),
    )
)]
pub async fn get_bundle(api: &Api, request: Request) -> Result<Reply, Problem> {
    let id: BundleId = request.path("id")?;
    let answer = api
        .platform
        .bundles
        .read(id, OfferQuestion::View, &request.context())
        .await?;
    Ok(Reply::ok(&BundleBody::of(id, answer)))
}

/// `GET /v1/bundles`: lists the bundles that are offered, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/bundles", tag = "commerce", security((), ("bearer" = [])), params(BundlesQuery),
    responses(
        (status = 200, body = Page<BundleBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn list_bundles(api: &Api, request: Request) -> Result<Reply, Problem> {
    let BundlesQuery {
        creator,
        limit,
        after,
    } = request.query()?;
    let limit = checked_limit(limit)?;
    let before: Option<BundleId> = checked_cursor(after.as_deref())?;

    let rows = api.platform.commerce.bundles(creator, before, limit + 1).await?;

    let cursor = |row: &BundleRow| row.id.to_string();
    Ok(Reply::ok(&Page::of(rows, limit, cursor, BundleBody::listed)))
}

/// `POST /v1/bundles/{id}/withdraw`: offers a bundle no more; orders that have been placed are not concerned.
///
/// # Errors
/// 404 `commerce.bundle_not_found`, also for somebody else's; 422 `commerce.reason_length`.
#[utoipa::path(
    post, path = "/v1/bundles/{id}/withdraw", tag = "commerce", request_body(content = Option<WithdrawalBody>),
    params(("id" = String, Path, description = "the bundle"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = BundleBody),
        (status = 404, body = ProblemBody, description = "`commerce.bundle_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn withdraw_bundle(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let id: BundleId = request.path("id")?;

    let answer = offerings::withdraw(api, &mut request, &api.platform.bundles, id).await?;

    Ok(Reply::ok(&BundleBody::of(id, answer)))
}

/// Refuses courses that the creator does not sell, and a price that is none for whoever buys them together.
fn cheaper_together(
    api: &Api,
    creator: UserId,
    course_ids: &[CourseId],
    price: Money,
) -> Result<(), Problem> {
    let refused = |refusal: Refusal| Problem::from_error(&Error::Bundle(refusal));
    let mut whole = Money::zero(price.currency());
    for (index, course) in course_ids.iter().enumerate() {
        let entry = api
            .platform
            .catalog
            .get(*course)
            .filter(|entry| is_sold(entry) && entry.creator == creator)
            .ok_or_else(|| {
                let pointer = format!("/course_ids/{index}");
                refused(Refusal::CourseForeign).at(pointer, "is not a course of yours that is for sale")
            })?;
        whole = whole.plus(entry.price).map_err(|_| {
            Problem::from_error(&Error::CurrencyUnsupported).at("/price", "courses cost another currency")
        })?;
    }
    if price.covers(whole) {
        return Err(refused(Refusal::PriceInvalid).at("/price", "less than the courses cost one by one"));
    }
    Ok(())
}

impl BundleBody {
    fn of(id: BundleId, answer: BundleAnswer) -> Self {
        let offer = answer.offer;
        BundleBody {
            id,
            title: offer.title,
            creator: offer.creator,
            state: answer.state,
            course_ids: offer.course_ids,
            price: offer.price,
        }
    }

    fn listed(row: BundleRow) -> Self {
        BundleBody {
            id: row.id,
            title: row.title,
            creator: row.creator,
            state: row.state,
            course_ids: row.course_ids,
            price: row.price,
        }
    }
}
