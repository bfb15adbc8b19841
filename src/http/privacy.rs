//! What the caller may know and decide of what recommends to them.

use lyceum_domain::ids::CourseId;
use lyceum_domain::recommend::{Activity, ActivityWeights, Profile, Recent};
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Problem, ProblemBody, Reply, Request};

/// What lists are to be made from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonalBody {
    /// Whether lists may be made from what the caller did and likes. Without it lists leave out what the caller owns, has completed or
    /// dismissed, and are otherwise the same as a stranger's; what the caller did is no longer learned from either.
    personal: bool,
}

/// What is known of the caller, and what it is used for.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecommendationProfileReply {
    /// Whether lists are made from it.
    personal: bool,
    /// Categories and tags the caller wants to learn about.
    interests: Vec<String>,
    /// What the caller did lately, the newest first, at most one entry a course.
    history: Vec<KnownBody>,
    /// Courses that are not shown, and why.
    hidden: HiddenBody,
    /// The version of the model that lists are made with.
    model_version: u64,
}

/// One course the caller did something with.
#[derive(Debug, Serialize, ToSchema)]
pub struct KnownBody {
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    course_id: CourseId,
    /// What says most of what was done with it: `view`, `click`, `start`, `progress`, `purchase`, `complete`, `rate`, `dismiss`.
    #[schema(value_type = String)]
    activity: Activity,
    /// Stars of a rating, share of a progress.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How much it counts for similar courses, before it fades; against them if negative.
    weight: f32,
}

/// How many courses are not shown for which reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct HiddenBody {
    /// The caller owns them.
    owned: usize,
    /// The caller has completed them.
    completed: usize,
    /// The caller asked not to see them.
    dismissed: usize,
}

/// `GET /v1/me/recommendation-profile`: what is known of the caller, and whether lists are made from it.
#[utoipa::path(
    get, path = "/v1/me/recommendation-profile", tag = "recommendations",
    responses((status = 200, body = RecommendationProfileReply))
)]
pub async fn recommendation_profile(api: &Api, request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;

    let profile = api.platform.privacy.known(user, &request.context()).await?;

    Ok(Reply::ok(&RecommendationProfileReply::of(api, &profile)))
}

/// `PUT /v1/me/recommendation-profile`: chooses whether lists are made from what the caller did and likes.
///
/// The next list is made so, and so is every model whose training begins from then on.
///
/// # Errors
/// 503 when nothing is known to be done: ask again.
#[utoipa::path(
    put, path = "/v1/me/recommendation-profile", tag = "recommendations", request_body = PersonalBody,
    responses(
        (status = 200, body = RecommendationProfileReply),
        (status = 503, body = ProblemBody, description = "ask again"),
    )
)]
pub async fn choose_recommendations(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;
    let PersonalBody { personal } = request.json().await?;

    let context = request.context();
    let profile = api.platform.privacy.choose(user, personal, &context).await?;

    Ok(Reply::ok(&RecommendationProfileReply::of(api, &profile)))
}

impl RecommendationProfileReply {
    fn of(api: &Api, profile: &Profile) -> Self {
        let recommender = &api.platform.recommender;
        let [owned, completed, dismissed] = profile.excluded_counts();
        let weights = recommender.weights();
        RecommendationProfileReply {
            personal: profile.is_personal(),
            interests: profile.interests().to_vec(),
            history: profile
                .recent()
                .iter()
                .map(|recent| KnownBody::of(recent, weights))
                .collect(),
            hidden: HiddenBody {
                owned,
                completed,
                dismissed,
            },
            model_version: recommender.model_version(),
        }
    }
}

impl KnownBody {
    fn of(recent: &Recent, weights: &ActivityWeights) -> Self {
        let Recent {
            course,
            at,
            activity,
            value,
        } = *recent;
        KnownBody {
            course_id: course,
            activity,
            value: matches!(activity, Activity::Rate | Activity::Progress).then_some(value),
            at,
            weight: weights.of(activity, value),
        }
    }
}
