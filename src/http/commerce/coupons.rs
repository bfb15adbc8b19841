//! Coupons as whoever issues them sees them: a creator theirs, operators those of the platform.
//!
//! What a coupon takes off a cart is in `discounting`; nobody else is shown one, because knowing the code is all it takes to use it.

use lyceum_domain::accounts::Role;
use lyceum_domain::catalog::Slug;
use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::coupon::{COURSES_MAX, Code, Command, Issuer, Refusal, Scope, Terms};
use lyceum_domain::ids::{CouponId, UserId};
use lyceum_entities::commerce::{CouponAnswer, CouponQuestion, CouponRow, CouponView};
use lyceum_runtime::{Context, clock};

use self::wire::{CouponBody, CouponRequest, ScopeBody};
use super::{is_sold, unexpected};
use crate::http::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request};

mod wire;

/// `POST /v1/coupons`: issues a coupon for courses of the caller.
///
/// # Errors
/// 403 `http.forbidden`; 409 `commerce.coupon_code_taken`; 422 the rules for a coupon.
#[utoipa::path(
    post, path = "/v1/coupons", tag = "commerce", request_body = CouponRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the coupon; repeating it issues no other")),
    responses(
        (status = 201, body = CouponBody, headers(("Location" = String, description = "the coupon"))),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for creators"),
        (status = 409, body = ProblemBody, description = "`commerce.coupon_code_taken`"),
        (status = 422, body = ProblemBody, description = "`commerce.coupon_code_invalid`, `commerce.coupon_benefit_invalid`, \
            `commerce.coupon_limit_invalid`, `commerce.coupon_validity_invalid`, `commerce.coupon_scope_invalid`, \
            `commerce.course_not_for_sale`, `catalog.invalid_field`"),
    )
)]
pub async fn create_coupon(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let creator = request.require(Role::Creator)?.user;
    issue(api, &mut request, Issuer::Creator(creator), creator).await
}

/// `GET /v1/coupons`: lists the coupons that the caller has issued, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`; 403 `http.forbidden`.
#[utoipa::path(
    get, path = "/v1/coupons", tag = "commerce", params(PageQuery),
    responses(
        (status = 200, body = Page<CouponBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
        (status = 403, body = ProblemBody, description = "`http.forbidden`: for creators"),
    )
)]
pub async fn list_coupons(api: &Api, request: Request) -> Result<Reply, Problem> {
    let creator = request.require(Role::Creator)?.user;
    list(api, &request, Issuer::Creator(creator)).await
}

/// `GET /v1/coupons/{id}`: shows a coupon of the caller.
///
/// # Errors
/// 404 `commerce.coupon_not_found`, also for somebody else's.
#[utoipa::path(
    get, path = "/v1/coupons/{id}", tag = "commerce", params(("id" = String, Path, description = "the coupon")),
    responses(
        (status = 200, body = CouponBody),
        (status = 404, body = ProblemBody, description = "`commerce.coupon_not_found`"),
    )
)]
pub async fn get_coupon(api: &Api, request: Request) -> Result<Reply, Problem> {
    let issuer = Issuer::Creator(request.caller()?.user);
    let id: CouponId = request.path("id")?;
    let view = issued_by(api, id, issuer, &request.context()).await?;
    Ok(Reply::ok(&CouponBody::of(id, view)))
}

/// `POST /v1/coupons/{id}/disable`: lets a coupon of the caller serve no further order. Orders that have it keep it.
///
/// # Errors
/// 404 `commerce.coupon_not_found`, also for somebody else's.
#[utoipa::path(
    post, path = "/v1/coupons/{id}/disable", tag = "commerce",
    params(("id" = String, Path, description = "the coupon"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = CouponBody),
        (status = 404, body = ProblemBody, description = "`commerce.coupon_not_found`"),
    )
)]
pub async fn disable_coupon(api: &Api, request: Request) -> Result<Reply, Problem> {
    let creator = request.caller()?.user;
    disable(api, &request, Issuer::Creator(creator), creator).await
}

/// `POST /admin/v1/coupons`: issues a coupon of the platform, for courses of everybody.
///
/// # Errors
/// 409 `commerce.coupon_code_taken`; 422 the rules for a coupon.
#[utoipa::path(
    post, path = "/admin/v1/coupons", tag = "operators", request_body = CouponRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the coupon; repeating it issues no other")),
    responses(
        (status = 201, body = CouponBody, headers(("Location" = String, description = "the coupon"))),
        (status = 409, body = ProblemBody, description = "`commerce.coupon_code_taken`"),
        (status = 422, body = ProblemBody, description = "`commerce.coupon_code_invalid`, `commerce.coupon_benefit_invalid`, \
            `commerce.coupon_limit_invalid`, `commerce.coupon_validity_invalid`, `commerce.coupon_scope_invalid`, \
            `commerce.course_not_for_sale`, `catalog.invalid_field`"),
    )
)]
pub async fn create_platform_coupon(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let by = request.require(Role::Operator)?.user;
    issue(api, &mut request, Issuer::Platform, by).await
}

/// `GET /admin/v1/coupons`: lists the coupons of the platform, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/coupons", tag = "operators", params(PageQuery),
    responses(
        (status = 200, body = Page<CouponBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn platform_coupons(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    list(api, &request, Issuer::Platform).await
}

/// `GET /admin/v1/coupons/{id}`: shows a coupon of the platform.
///
/// # Errors
/// 404 `commerce.coupon_not_found`, also for one of a creator.
#[utoipa::path(
    get, path = "/admin/v1/coupons/{id}", tag = "operators", params(("id" = String, Path, description = "the coupon")),
    responses(
        (status = 200, body = CouponBody),
        (status = 404, body = ProblemBody, description = "`commerce.coupon_not_found`"),
    )
)]
pub async fn platform_coupon(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: CouponId = request.path("id")?;
    let view = issued_by(api, id, Issuer::Platform, &request.context()).await?;
    Ok(Reply::ok(&CouponBody::of(id, view)))
}

/// `POST /admin/v1/coupons/{id}/disable`: lets a coupon of the platform serve no further order. Orders that have it keep it.
///
/// # Errors
/// 404 `commerce.coupon_not_found`, also for one of a creator.
#[utoipa::path(
    post, path = "/admin/v1/coupons/{id}/disable", tag = "operators",
    params(("id" = String, Path, description = "the coupon"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = CouponBody),
        (status = 404, body = ProblemBody, description = "`commerce.coupon_not_found`"),
    )
)]
pub async fn disable_platform_coupon(api: &Api, request: Request) -> Result<Reply, Problem> {
    let by = request.require(Role::Operator)?.user;
    disable(api, &request, Issuer::Platform, by).await
}

async fn issue(api: &Api, request: &mut Request, issuer: Issuer, by: UserId) -> Result<Reply, Problem> {
    let CouponRequest {
        code,
        benefit,
        scope,
        limit,
        per_user,
        stackable,
        starts_at,
        ends_at,
    } = request.json().await?;
    let code = Code::parse(&code)
        .map_err(|refusal| Problem::from_error(&refusal).at("/code", refusal.to_string()))?;
    let terms = Terms {
        code,
        issuer,
        benefit: benefit.into(),
        scope: checked_scope(api, scope, issuer)?,
        limit,
        per_user,
        stackable,
        starts_at,
        ends_at,
    };
    let (id, answer) = api
        .platform
        .coupons
        .create(
            Command::Issue { terms, by },
            CouponQuestion::View,
            &request.context(),
        )
        .await?;

    let location = match issuer {
        Issuer::Creator(_) => format!("/v1/coupons/{id}"),
        Issuer::Platform => format!("/admin/v1/coupons/{id}"),
    };
    Ok(Reply::created(location, &CouponBody::of(id, viewed(answer)?)))
}

async fn list(api: &Api, request: &Request, issuer: Issuer) -> Result<Reply, Problem> {
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let before: Option<CouponId> = query.cursor()?;

    let rows = api.platform.commerce.coupons(issuer, before, limit + 1).await?;

    let now = clock::now();
    let cursor = |row: &CouponRow| row.id.to_string();
    Ok(Reply::ok(&Page::of(rows, limit, cursor, |row| {
        CouponBody::listed(row, now)
    })))
}

async fn disable(api: &Api, request: &Request, issuer: Issuer, by: UserId) -> Result<Reply, Problem> {
    let id: CouponId = request.path("id")?;
    let unnamed = Context {
        operation: None,
        ..request.context()
    };
    issued_by(api, id, issuer, &unnamed).await?;

    let coupons = &api.platform.coupons;
    let command = Command::Disable { by };
    let answer = coupons
        .ask(id, command, CouponQuestion::View, &request.context())
        .await?;

    Ok(Reply::ok(&CouponBody::of(id, viewed(answer)?)))
}

/// A coupon, if it is this issuer's.
async fn issued_by(
    api: &Api,
    id: CouponId,
    issuer: Issuer,
    context: &Context,
) -> Result<CouponView, Problem> {
    let coupons = &api.platform.coupons;
    let view = viewed(coupons.read(id, CouponQuestion::View, context).await?)?;
    if view.terms.issuer != issuer {
        return Err(Problem::from_error(&Error::Coupon(Refusal::NotFound)));
    }
    Ok(view)
}

fn viewed(answer: CouponAnswer) -> Result<CouponView, Problem> {
    match answer {
        CouponAnswer::View(view) => Ok(*view),
        _ => Err(unexpected()),
    }
}

/// A scope that the issuer has something to sell in: a course of somebody else would never be reached by it.
fn checked_scope(api: &Api, scope: Option<ScopeBody>, issuer: Issuer) -> Result<Scope, Problem> {
    match scope {
        None => Ok(Scope::All),
        Some(ScopeBody::Category(slug)) => {
            let slug = Slug::new(&slug).map_err(|error| {
                let detail = error.to_string();
                Problem::from_error(&error).at("/scope/category", detail)
            })?;
            Ok(Scope::Category(slug.into()))
        }
        Some(ScopeBody::Courses(courses)) => {
            // Of a list that is too long nothing is looked up.
            if courses.len() > COURSES_MAX {
                let refusal = Refusal::ScopeInvalid;
                return Err(Problem::from_error(&refusal).at("/scope/courses", refusal.to_string()));
            }
            for (index, course) in courses.iter().enumerate() {
                let entry = api.platform.catalog.get(*course).filter(|entry| is_sold(entry));
                let serves = entry.is_some_and(|entry| match issuer {
                    Issuer::Creator(creator) => entry.creator == creator,
                    Issuer::Platform => true,
                });
                if !serves {
                    let refused = Problem::from_error(&Error::CourseNotForSale);
                    let pointer = format!("/scope/courses/{index}");
                    return Err(refused.at(pointer, "is not for sale, or somebody else's"));
                }
            }
            Ok(Scope::Courses(courses.into_iter().collect()))
        }
    }
}
