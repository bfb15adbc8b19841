//! Recommendations over HTTP: learners' events in, ranked lists out.
//!
//! Lists come ready-made from the user's profile actor and the node's model; nothing is rendered here.

use hyper::StatusCode;
use lyceum_domain::ids::CourseId;
use lyceum_domain::recommend::{Activity, Command, EVENTS_MAX, Error, EventId, Observation};
use lyceum_entities::recommend::{Answer, Question};
use lyceum_kernel::{Class, Timestamp};
use lyceum_runtime::AskError;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Problem, ProblemBody, Reply, Request, checked_limit, invalid_query};

/// The longest id of an event, bytes: a UUID with a prefix fits.
const EVENT_ID_BYTES_MAX: usize = 64;
/// The longest name of a surface, bytes.
const SURFACE_BYTES_MAX: usize = 32;

/// Events of one learner.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsBody {
    /// At most 100, in any order.
    #[schema(max_items = 100)]
    pub events: Vec<EventBody>,
}

/// One event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    /// What the learner did.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// With which course. An event with an unknown course is counted as ignored.
    #[schema(value_type = String, example = "crs_01h455vb4pex5vsknk084sn02q")]
    pub course_id: CourseId,
    /// Names the event, so that a repetition counts once; 1 to 64 bytes.
    #[schema(min_length = 1, max_length = 64)]
    pub id: Option<String>,
    /// When it happened; now if left out. More than 5 minutes ahead or 2 years ago counts as ignored.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Stars of a rating, from 1 to 5; share of a progress, from 0 to 1, 0 if left out.
    pub value: Option<f64>,
}

/// What learners report. Purchases are known already.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Opened the course's page.
    View,
    /// Followed a link to it from a list.
    Click,
    /// Began to study.
    Start,
    /// Studied a part of it.
    Progress,
    /// Finished it.
    Complete,
    /// Rated it.
    Rate,
    /// Asked not to see it.
    Dismiss,
}

impl From<EventKind> for Activity {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::View => Activity::View,
            EventKind::Click => Activity::Click,
            EventKind::Start => Activity::Start,
            EventKind::Progress => Activity::Progress,
            EventKind::Complete => Activity::Complete,
            EventKind::Rate => Activity::Rate,
            EventKind::Dismiss => Activity::Dismiss,
        }
    }
}

/// What became of reported events.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventsReply {
    /// New events; the next list reflects them.
    pub accepted: u32,
    /// Events that had been reported before.
    pub duplicates: u32,
    /// Events of unknown courses, from the future or from years ago.
    pub ignored: u32,
}

/// A ranked list, as it is described; it is rendered elsewhere.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a ready-made body")]
pub struct RecommendationsReply {
    /// Best and most varied first.
    data: Vec<RecommendationBody>,
    /// The version of the model that ranked: Unix milliseconds of its training, 0 before the first.
    model_version: u64,
}

/// One course to study next.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a ready-made body")]
pub struct RecommendationBody {
    /// The course as lists show it, with its `id`.
    #[schema(value_type = Object)]
    course: (),
    /// Relevance; exactly the sum of the reasons' shares.
    score: f64,
    /// What most of the score rests on: `content`, `trained`, `interests` or `popular`.
    source: String,
    /// Why, strongest first.
    reasons: Vec<ReasonBody>,
}

/// One part of a score.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a ready-made body")]
pub struct ReasonBody {
    /// `studied` (with `course`), `history` (further courses), `interest` (with `tag`) or `popular`.
    kind: String,
    /// The course the learner studied.
    #[schema(nullable = false)]
    course: Option<String>,
    /// The interest that matches.
    #[schema(nullable = false)]
    tag: Option<String>,
    /// Its part of the score.
    share: f64,
}

/// Courses like another, as they are described; they are rendered elsewhere.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a ready-made body")]
pub struct SimilarReply {
    /// The most similar first.
    data: Vec<SimilarBody>,
    /// The version of the model that compared them; 0 before the first.
    model_version: u64,
}

/// One similar course.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a ready-made body")]
pub struct SimilarBody {
    /// The course as lists show it, with its `id`.
    #[schema(value_type = Object)]
    course: (),
    /// Similarity, from 0 to 1.
    score: f64,
    /// `content`.
    source: String,
}

/// Asks for a ranked list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecommendationsQuery {
    /// Courses wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// Where the list will be shown, for instance `home`: at most 32 letters, digits, `_` and `-`. All surfaces
    /// share one ranking.
    #[param(pattern = "^[A-Za-z0-9_-]{1,32}$")]
    pub surface: Option<String>,
}

/// Asks for similar courses.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SimilarQuery {
    /// Courses wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
}

/// `POST /v1/events`: reports what the caller did; the next list reflects it.
///
/// Events of unknown courses are ignored and counted, so that one stale page does not lose a whole batch.
///
/// # Errors
/// 422 `recommend.too_many_events`, `recommend.value_out_of_range`, `recommend.event_id_invalid`; nothing of the
/// batch is accepted then.
#[utoipa::path(
    post, path = "/v1/events", tag = "recommendations", request_body = EventsBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 202, body = EventsReply),
        (status = 422, body = ProblemBody, description = "`recommend.too_many_events`, \
            `recommend.value_out_of_range`, `recommend.event_id_invalid`"),
    )
)]
pub async fn report_events(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;
    let EventsBody { events } = request.json().await?;
    if events.len() > EVENTS_MAX {
        return Err(Problem::from_error(&Error::TooManyEvents));
    }
    let (observations, positions) = observations(events, |course| api.platform.recommender.knows(course))?;
    let unknown = u32::try_from(positions.unknown).unwrap_or(u32::MAX);

    let command = Command::Observe { events: observations };
    let answer = api
        .platform
        .profiles
        .ask(user, command, Question::Observed, &request.context())
        .await;

    match answer.map_err(|error| positions.problem(error))? {
        Answer::Observed(tally) => Ok(Reply::json(
            StatusCode::ACCEPTED,
            &EventsReply {
                accepted: tally.accepted,
                duplicates: tally.duplicates,
                ignored: tally.ignored + unknown,
            },
        )),
        Answer::Recommended(_) | Answer::Explained(_) => Err(unexpected()),
    }
}

/// `GET /v1/me/recommendations`: what the caller might study next.
///
/// # Errors
/// 400 `http.invalid_query`.
#[utoipa::path(
    get, path = "/v1/me/recommendations", tag = "recommendations", params(RecommendationsQuery),
    responses(
        (status = 200, body = RecommendationsReply),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`"),
    )
)]
pub async fn recommendations(api: &Api, request: Request) -> Result<Reply, Problem> {
    let user = request.caller()?.user;
    let RecommendationsQuery { limit, surface } = request.query()?;
    let limit = checked_limit(limit)?;
    check_surface(surface.as_deref())?;

    let question = Question::Recommend { user, limit };
    match api
        .platform
        .profiles
        .read(user, question, &request.context())
        .await?
    {
        Answer::Recommended(list) => Ok(Reply::bytes(
            StatusCode::OK,
            "application/json",
            list.into_bytes(),
        )),
        Answer::Observed(_) | Answer::Explained(_) => Err(unexpected()),
    }
}

/// `GET /v1/courses/{id}/similar`: courses about the same.
///
/// # Errors
/// 400 `http.invalid_query`; 404 `recommend.course_not_found`.
#[utoipa::path(
    get, path = "/v1/courses/{id}/similar", tag = "recommendations", security(()),
    params(("id" = String, Path, description = "the course"), SimilarQuery),
    responses(
        (status = 200, body = SimilarReply),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`"),
        (status = 404, body = ProblemBody, description = "`recommend.course_not_found`"),
    )
)]
pub async fn similar_courses(api: &Api, request: Request) -> Result<Reply, Problem> {
    let course: CourseId = request.path("id")?;
    let SimilarQuery { limit } = request.query()?;
    let limit = checked_limit(limit)?;

    let similar = api
        .platform
        .recommender
        .similar(course, usize::from(limit))
        .ok_or_else(|| {
            Problem::new(
                Class::NotFound,
                "recommend.course_not_found",
                "There is no such course.",
            )
        })?;
    Ok(Reply::bytes(
        StatusCode::OK,
        "application/json",
        similar.into_bytes(),
    ))
}

/// Where the events that were passed on stood in the request.
#[derive(Debug, Default)]
struct Positions {
    known: Vec<usize>,
    unknown: usize,
}

impl Positions {
    fn problem(&self, error: AskError<Error>) -> Problem {
        let AskError::Refused(Error::ValueOutOfRange { position }) = error else {
            return error.into();
        };
        let known = usize::try_from(position)
            .ok()
            .and_then(|position| self.known.get(position));
        let position = known.copied().unwrap_or_default();
        Problem::from_error(&Error::ValueOutOfRange {
            position: u32::try_from(position).unwrap_or(u32::MAX),
        })
        .at(
            format!("/events/{position}/value"),
            "a rating is from 1 to 5, a progress from 0 to 1",
        )
    }
}

fn observations(
    events: Vec<EventBody>,
    knows: impl Fn(CourseId) -> bool,
) -> Result<(Vec<Observation>, Positions), Problem> {
    let mut observations = Vec::with_capacity(events.len());
    let mut positions = Positions::default();
    for (position, event) in events.into_iter().enumerate() {
        let id = match event.id.as_deref() {
            Some(id) if id.is_empty() || id.len() > EVENT_ID_BYTES_MAX => {
                let detail = "An event's id is too long or empty.";
                let problem = Problem::new(Class::Unprocessable, "recommend.event_id_invalid", detail);
                return Err(problem.at(format!("/events/{position}/id"), "1 to 64 bytes"));
            }
            id => id.map(digest),
        };
        if !knows(event.course_id) {
            positions.unknown += 1;
            continue;
        }
        positions.known.push(position);
        let activity = Activity::from(event.kind);
        // A progress without its share says no more than that it began.
        let value = event
            .value
            .or_else(|| (activity == Activity::Progress).then_some(0.0));
        observations.push(Observation {
            id,
            activity,
            course: event.course_id,
            at: event.at,
            value,
        });
    }
    Ok((observations, positions))
}

/// The digest an event's id is remembered by: FNV-1a, the same on every node and in every release.
fn digest(id: &str) -> EventId {
    id.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn check_surface(surface: Option<&str>) -> Result<(), Problem> {
    let Some(surface) = surface else { return Ok(()) };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !surface.is_empty() && surface.len() <= SURFACE_BYTES_MAX && surface.bytes().all(letters) {
        return Ok(());
    }
    Err(invalid_query("surface", "1 to 32 letters, digits, `_` and `-`"))
}

fn unexpected() -> Problem {
    Problem::internal("a profile answered another question")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(json: serde_json::Value) -> Vec<EventBody> {
        serde_json::from_value(json).expect("events")
    }

    fn course(number: u128) -> CourseId {
        CourseId::from_u128(number)
    }

    #[test]
    fn events_of_unknown_courses_are_counted_and_refusals_point_into_the_request() {
        let batch = events(serde_json::json!([
            {"type": "view", "course_id": course(9)},
            {"type": "rate", "course_id": course(1), "value": 7},
        ]));

        let (observations, positions) = observations(batch, |known| known == course(1)).expect("well formed");
        let problem = positions.problem(AskError::Refused(Error::ValueOutOfRange { position: 0 }));

        assert_eq!((observations.len(), positions.unknown), (1, 1));
        assert_eq!(problem.code(), "recommend.value_out_of_range");
        assert!(format!("{problem:?}").contains("/events/1/value"));
    }

    #[test]
    fn empty_and_endless_event_ids_are_refused() {
        for id in [String::new(), "x".repeat(65)] {
            let batch = events(serde_json::json!([{"type": "view", "course_id": course(1), "id": id}]));

            let refused = observations(batch, |_| true).expect_err("refused");

            assert_eq!(refused.code(), "recommend.event_id_invalid");
        }
    }

    #[test]
    fn clients_cannot_report_purchases_or_unknown_fields() {
        for event in [
            serde_json::json!({"type": "purchase", "course_id": course(1)}),
            serde_json::json!({"type": "view", "course_id": course(1), "weight": 9}),
        ] {
            assert!(serde_json::from_value::<EventBody>(event).is_err());
        }
    }

    #[test]
    fn a_surface_is_a_short_word() {
        assert!(check_surface(None).is_ok());
        assert!(check_surface(Some("course_page-2")).is_ok());
        assert!(check_surface(Some("")).is_err());
        assert!(check_surface(Some("a b")).is_err());
    }
}
