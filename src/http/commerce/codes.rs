//! Redeem codes: issued in batches by operators, or bought as a gift; redeemed by whoever has one.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::batch::{Command, Refusal, Terms};
use lyceum_domain::commerce::{Command as BuyerCommand, Error, Order};
use lyceum_domain::ids::{BatchId, CodeId, CourseId, OrderId, UserId};
use lyceum_entities::commerce::{
    Answer, BatchAnswer, BatchQuestion, CodeSecret, FoundCode, Question, RedeemCode,
};
use lyceum_kernel::Timestamp;
use lyceum_runtime::Context;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deeds::deed;
use super::sagas::DeedBody;
use super::{is_sold, unexpected};
use crate::http::{Api, Problem, ProblemBody, Reply, Request};

/// Asks for codes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct BatchRequest {
    /// Access to which course.
    #[schema(value_type = String)]
    course_id: CourseId,
    /// How many codes.
    #[schema(minimum = 1, maximum = 500)]
    count: u16,
    /// Until when they can be redeemed.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Why, for the audit log: from 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
}

/// A batch of codes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchBody {
    #[schema(value_type = String, example = "bat_01h455vb4pex5vsknk084sn02q")]
    id: BatchId,
    #[schema(value_type = String)]
    course_id: CourseId,
    /// `open`, `cancelled` or `expired`.
    state: String,
    count: u16,
    redeemed: usize,
    /// The codes, in the answer to whoever issues them and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["7K3M-0QXZ-9V2B-H8RT"]))]
    codes: Option<Vec<String>>,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Redeems a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RedemptionRequest {
    /// What was given to the caller; case, blanks and hyphens do not matter.
    #[schema(max_length = 64, example = "7K3M-0QXZ-9V2B-H8RT")]
    code: String,
}

/// What a code has given.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RedemptionBody {
    /// The courses that the caller may study now.
    #[schema(value_type = Vec<String>)]
    course_ids: Vec<CourseId>,
}

/// `POST /admin/v1/code-batches`: issues redeem codes for a course. The codes are in this answer alone.
///
/// # Errors
/// 422 `commerce.course_not_for_sale`, `commerce.code_count_invalid`, `commerce.code_validity_invalid`.
#[utoipa::path(
    post, path = "/admin/v1/code-batches", tag = "operators", request_body = BatchRequest,
    params(("Idempotency-Key" = String, Header, description = "names the batch; repeating it shows the same codes")),
    responses(
        (status = 201, body = BatchBody, headers(("Location" = String, description = "the batch"))),
        (status = 422, body = ProblemBody, description = "`commerce.course_not_for_sale`, `commerce.code_count_invalid`, \
            `commerce.code_validity_invalid`, `commerce.reason_length`"),
    )
)]
pub async fn issue_codes(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let BatchRequest {
        course_id,
        count,
        expires_at,
        reason,
    } = request.json().await?;
    let deed = deed(api, &request, reason)?;
    let terms = Terms {
        course_id,
        count,
        expires_at,
    };
    if api
        .platform
        .catalog
        .get(course_id)
        .filter(|entry| is_sold(entry))
        .is_none()
    {
        let refused = Problem::from_error(&Error::CourseNotForSale);
        return Err(refused.at("/course_id", "this course is not for sale"));
    }

    let (id, answer) = api
        .platform
        .batches
        .create(
            Command::Issue { terms, deed },
            BatchQuestion::View,
            &request.context(),
        )
        .await?;

    let secret = secret(api);
    let codes = (0..answer.terms.count).map(|number| secret.of_batch(id, number).reveal());
    let body = BatchBody {
        codes: Some(codes.collect()),
        ..BatchBody::of(id, answer)
    };
    Ok(Reply::created(format!("/admin/v1/code-batches/{id}"), &body))
}

/// `GET /admin/v1/code-batches/{id}`: shows a batch, without its codes.
///
/// # Errors
/// 404 `commerce.code_batch_not_found`.
#[utoipa::path(
    get, path = "/admin/v1/code-batches/{id}", tag = "operators", params(("id" = String, Path, description = "the batch")),
    responses(
        (status = 200, body = BatchBody),
        (status = 404, body = ProblemBody, description = "`commerce.code_batch_not_found`"),
    )
)]
pub async fn code_batch(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: BatchId = request.path("id")?;
    let batches = &api.platform.batches;
    let answer = batches.read(id, BatchQuestion::View, &request.context()).await?;
    Ok(Reply::ok(&BatchBody::of(id, answer)))
}

/// `POST /admin/v1/code-batches/{id}/cancel`: lets no further code of a batch be redeemed.
///
/// # Errors
/// 404 `commerce.code_batch_not_found`.
#[utoipa::path(
    post, path = "/admin/v1/code-batches/{id}/cancel", tag = "operators", request_body = DeedBody,
    params(("id" = String, Path, description = "the batch"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = BatchBody),
        (status = 404, body = ProblemBody, description = "`commerce.code_batch_not_found`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn cancel_codes(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: BatchId = request.path("id")?;
    let DeedBody { reason } = request.json().await?;
    let deed = deed(api, &request, reason)?;
    let batches = &api.platform.batches;
    let answer = batches
        .ask(
            id,
            Command::Cancel { deed },
            BatchQuestion::View,
            &request.context(),
        )
        .await?;
    Ok(Reply::ok(&BatchBody::of(id, answer)))
}

/// `POST /v1/redemptions`: redeems a code of a batch or of a gift; repeating it changes nothing.
///
/// # Errors
/// 409 `commerce.code_used`, `commerce.course_already_owned`, `commerce.own_course`; 422 `commerce.code_unknown`,
/// `commerce.code_expired`, `commerce.code_cancelled`, `commerce.code_unpaid`; 429 after too many wrong codes.
#[utoipa::path(
    post, path = "/v1/redemptions", tag = "commerce", request_body = RedemptionRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 201, body = RedemptionBody),
        (status = 409, body = ProblemBody, description = "`commerce.code_used`, `commerce.course_already_owned`, \
            `commerce.own_course`"),
        (status = 422, body = ProblemBody, description = "`commerce.code_unknown`, `commerce.code_expired`, \
            `commerce.code_cancelled`, `commerce.code_unpaid`"),
        (status = 429, body = ProblemBody, description = "`http.rate_limited`: too many wrong codes"),
    )
)]
pub async fn redeem_code(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;
    let RedemptionRequest { code } = request.json().await?;
    request.may_guess()?;
    let unknown = || {
        request.guessed_wrong();
        Problem::from_error(&Error::Code(Refusal::Unknown)).at("/code", "there is no such code")
    };
    let code = RedeemCode::parse(&code).map_err(|_| unknown())?.id();
    let found = api.platform.commerce.code_of(code).await?.ok_or_else(unknown)?;
    // Codes bear repetition by themselves: whoever has redeemed one is answered the same again.
    let mut context = request.context();
    context.operation = None;

    let courses = match found {
        FoundCode::Batch { batch, number } => of_batch(api, user, code, batch, number, &context).await?,
        FoundCode::Gift { giver, order } => of_gift(api, user, code, giver, order, &context).await?,
    };
    // The message would bring them as well, a moment later.
    let granted = BuyerCommand::GrantCode {
        code,
        courses: courses.clone(),
    };
    api.platform
        .buyers
        .ask(user, granted, Question::Nothing, &context)
        .await?;

    let course_ids = courses.into_iter().map(|(course, _)| course).collect();
    Ok(Reply::created("/v1/me/courses", &RedemptionBody { course_ids }))
}

async fn of_batch(
    api: &Api,
    user: UserId,
    code: CodeId,
    batch: BatchId,
    number: u16,
    context: &Context,
) -> Result<Vec<(CourseId, u32)>, Problem> {
    let batches = &api.platform.batches;
    let before = batches
        .read(batch, BatchQuestion::Holder { number }, context)
        .await?;
    let course = before.terms.course_id;
    let entry = api.platform.catalog.get(course);
    if before.holder.is_none() {
        if entry.as_ref().is_some_and(|entry| entry.creator == user) {
            return Err(Problem::from_error(&Error::OwnCourse));
        }
        unowned(api, user, vec![course], context).await?;
    }
    let course_version = entry.map_or(1, |entry| entry.version);
    let redeem = Command::Redeem {
        number,
        code,
        user,
        course_version,
    };
    batches.ask(batch, redeem, BatchQuestion::View, context).await?;
    Ok(vec![(course, course_version)])
}

async fn of_gift(
    api: &Api,
    user: UserId,
    code: CodeId,
    giver: UserId,
    order_id: OrderId,
    context: &Context,
) -> Result<Vec<(CourseId, u32)>, Problem> {
    let buyers = &api.platform.buyers;
    let question = || Question::Order { order_id };
    let Answer::Order(order) = buyers.read(giver, question(), context).await? else {
        return Err(unexpected());
    };
    if order.redeemed_by.is_none() {
        if order.placement.lines.iter().any(|line| line.creator == user) {
            return Err(Problem::from_error(&Error::OwnCourse));
        }
        let gives = order.gives().into_iter().map(|(course, _)| course).collect();
        unowned(api, user, gives, context).await?;
    }
    let redeem = BuyerCommand::RedeemGift { order_id, code, user };
    // What the order gives as it is redeemed: part of it may have been refunded since it was looked at.
    match buyers.ask(giver, redeem, question(), context).await? {
        Answer::Order(order) => Ok(order.gives()),
        _ => Err(unexpected()),
    }
}

/// The code of a gift, for its giver.
pub(super) fn gift_code(api: &Api, order: &Order) -> Option<String> {
    let code = secret(api).of_gift(order.placement.order_id);
    // A code of another secret would be nobody's.
    (order.placement.gift == Some(code.id())).then(|| code.reveal())
}

/// Refuses to spend a code on what the caller has.
async fn unowned(
    api: &Api,
    user: UserId,
    course_ids: Vec<CourseId>,
    context: &Context,
) -> Result<(), Problem> {
    let all = course_ids.len();
    let question = Question::Owned { course_ids };
    match api.platform.buyers.read(user, question, context).await? {
        Answer::Owned(owned) if all > 0 && owned.len() == all => {
            Err(Problem::from_error(&Error::CourseAlreadyOwned))
        }
        Answer::Owned(_) => Ok(()),
        _ => Err(unexpected()),
    }
}

/// What codes are derived with.
pub(super) fn secret(api: &Api) -> CodeSecret {
    CodeSecret::new(api.settings.commerce.content_secret.expose().as_bytes())
}

impl BatchBody {
    fn of(id: BatchId, answer: BatchAnswer) -> Self {
        BatchBody {
            id,
            course_id: answer.terms.course_id,
            state: answer.state,
            count: answer.terms.count,
            redeemed: answer.redeemed,
            codes: None,
            issued_at: answer.at,
            expires_at: answer.terms.expires_at,
        }
    }
}
