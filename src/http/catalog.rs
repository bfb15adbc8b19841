//! Catalog over HTTP: what everybody may browse and search; creators' and operators' side is in the modules below.
//!
//! ```text
//! catalog            lists, details, categories: ready-made bytes from the node's snapshot
//! catalog/authoring  drafts, edits, lessons, one's own courses, imports
//! catalog/lifecycle  submit, approve, publish, …: one command each
//! catalog/wire       bodies of requests, and how they become the domain's values
//! catalog/answers    bodies of answers
//! ```

mod answers;
mod authoring;
mod lifecycle;
mod wire;

use lyceum_domain::catalog::{By, Error};
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_entities::catalog::{Cursor, Filter, ListQuery, Sort};
use lyceum_kernel::Currency;
use serde::Deserialize;
use utoipa::IntoParams;

use self::answers::{CardsBody, CategoriesBody, CourseBody};
pub use self::authoring::*;
pub use self::lifecycle::*;
use super::{
    Api, Caller, Problem, ProblemBody, Reply, Request, checked_limit, invalid_query, malformed_cursor,
};

/// Longer searches are cut by nobody's hand: they are refused.
const SEARCH_CHARS_MAX: usize = 200;

/// Which courses to list. Parameters narrow the list together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CoursesQuery {
    /// Words to search for, up to 200 characters; the best matches come first unless `sort` is given.
    #[param(max_length = 200, example = "rust 编程")]
    q: Option<String>,
    /// The slug of a category.
    category: Option<String>,
    /// A topic, in any case.
    tag: Option<String>,
    /// `all`, `beginner`, `intermediate` or `advanced`.
    #[param(pattern = "^(all|beginner|intermediate|advanced)$")]
    level: Option<String>,
    /// A language tag such as `zh` or `en`.
    language: Option<String>,
    /// `free` or `paid`.
    #[param(pattern = "^(free|paid)$")]
    price: Option<String>,
    /// The id of a creator.
    #[param(value_type = Option<String>)]
    creator: Option<UserId>,
    /// `newest` (default), `popular`, `price`, `-price` or `title`; `relevance` with `q`.
    #[param(pattern = "^(newest|popular|price|-price|title|relevance)$")]
    sort: Option<String>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    #[param(min_length = 1)]
    after: Option<String>,
}

/// `GET /v1/courses`: lists or searches the published courses.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/courses", tag = "catalog", params(CoursesQuery), security(()),
    responses(
        (status = 200, body = CardsBody, headers(("ETag" = String, description = "for If-None-Match"))),
        (status = 304, description = "nothing has changed"),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub fn list_courses(api: &Api, request: &Request) -> Result<Reply, Problem> {
    let raw = request.head.uri.query().unwrap_or_default();
    let page = api
        .platform
        .catalog
        .page(raw, || request.query::<CoursesQuery>()?.parse())?;
    Ok(Reply::ready_made(page.body, &page.etag))
}

/// `GET /v1/courses/{id}`: shows a course with its outline.
///
/// # Errors
/// 404 `catalog.course_not_found`, for drafts too: their creator reads `GET /v1/me/authored-courses/{id}`.
#[utoipa::path(
    get, path = "/v1/courses/{id}", tag = "catalog", security(()),
    params(("id" = String, Path, description = "the course", example = "crs_01h455vb4pex5vsknk084sn02q")),
    responses(
        (status = 200, body = CourseBody, headers(("ETag" = String, description = "for If-None-Match and If-Match"))),
        (status = 304, description = "nothing has changed"),
        (status = 400, body = ProblemBody, description = "`http.malformed_id`"),
        (status = 404, body = ProblemBody, description = "`catalog.course_not_found`"),
    )
)]
pub fn get_course(api: &Api, request: &Request) -> Result<Reply, Problem> {
    let course: CourseId = request.path("id")?;
    let answer = api.platform.catalog.answer(course);
    let (body, etag) = answer.ok_or_else(|| Problem::from_error(&Error::CourseNotFound))?;
    Ok(Reply::ready_made(body, &etag))
}

/// `GET /v1/categories`: lists the categories that have published courses.
#[utoipa::path(
    get, path = "/v1/categories", tag = "catalog", security(()),
    responses(
        (status = 200, body = CategoriesBody, headers(("ETag" = String, description = "for If-None-Match"))),
        (status = 304, description = "nothing has changed"),
    )
)]
pub fn list_categories(api: &Api, _: &Request) -> Result<Reply, Problem> {
    let page = api.platform.catalog.categories();
    Ok(Reply::ready_made(page.body, &page.etag))
}

impl CoursesQuery {
    fn parse(self) -> Result<ListQuery, Problem> {
        let text = self
            .q
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > SEARCH_CHARS_MAX)
        {
            return Err(invalid_query("q", "up to 200 characters"));
        }
        let free = match self.price.as_deref() {
            None => None,
            Some("free") => Some(true),
            Some("paid") => Some(false),
            Some(_) => return Err(invalid_query("price", "free or paid")),
        };
        let level = match self.level.as_deref() {
            None | Some("all" | "beginner" | "intermediate" | "advanced") => self.level,
            Some(_) => return Err(invalid_query("level", "all, beginner, intermediate or advanced")),
        };
        let sort = match self.sort.as_deref() {
            None => None,
            Some("relevance") if text.is_some() => None,
            Some(name) => {
                let rule = "newest, popular, price, -price or title; relevance with q";
                Some(Sort::from_name(name).ok_or_else(|| invalid_query("sort", rule))?)
            }
        };
        let after = self
            .after
            .map(|text| text.parse::<Cursor>().map_err(|_| malformed_cursor()))
            .transpose()?;
        let filter = Filter {
            category: self.category,
            tag: self.tag,
            level,
            language: self.language.map(|language| language.to_ascii_lowercase()),
            free,
            creator: self.creator,
        };
        let limit = usize::from(checked_limit(self.limit)?);
        Ok(ListQuery {
            text,
            filter,
            sort,
            after,
            limit,
        })
    }
}

/// On whose behalf a caller acts.
fn by(caller: &Caller) -> By {
    if caller.roles.contains(lyceum_domain::accounts::Role::Operator) {
        By::Operator(caller.user)
    } else {
        By::User(caller.user)
    }
}

/// The one currency of prices.
fn settlement(api: &Api) -> Currency {
    let code = api.settings.commerce.currency.as_str();
    [Currency::CNY, Currency::USD, Currency::EUR]
        .into_iter()
        .find(|it| it.code() == code)
        .unwrap_or_default()
}

/// Says where in the body a refused value was.
fn at<T>(pointer: impl Into<String>, parsed: Result<T, Error>) -> Result<T, Problem> {
    parsed.map_err(|error| Problem::from_error(&error).at(pointer, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: CoursesQuery) -> Result<ListQuery, &'static str> {
        query.parse().map_err(|problem| problem.code())
    }

    #[test]
    fn queries_outside_their_values_are_refused_as_malformed() {
        let text = |text: &str| Some(text.to_owned());
        let refused = [
            CoursesQuery {
                price: text("cheap"),
                ..CoursesQuery::default()
            },
            CoursesQuery {
                level: text("expert"),
                ..CoursesQuery::default()
            },
            CoursesQuery {
                sort: text("relevance"),
                ..CoursesQuery::default()
            },
            CoursesQuery {
                sort: text("size"),
                ..CoursesQuery::default()
            },
            CoursesQuery {
                limit: Some(101),
                ..CoursesQuery::default()
            },
            CoursesQuery {
                q: Some("x".repeat(201)),
                ..CoursesQuery::default()
            },
        ];
        for query in refused {
            assert_eq!(parse(query).err(), Some("http.invalid_query"));
        }
        let cursor = CoursesQuery {
            after: text("page 2"),
            ..CoursesQuery::default()
        };
        assert_eq!(parse(cursor).err(), Some("http.malformed_cursor"));
    }

    #[test]
    fn blank_searches_list_and_relevance_is_the_order_of_searches() {
        let blank = CoursesQuery {
            q: Some("  ".into()),
            ..CoursesQuery::default()
        };
        let search = CoursesQuery {
            q: Some("rust".into()),
            sort: Some("relevance".into()),
            ..CoursesQuery::default()
        };

        assert_eq!(parse(blank).map(|query| query.text), Ok(None));
        let search = parse(search).expect("well-formed");
        assert_eq!(
            (search.text.as_deref(), search.sort, search.limit),
            (Some("rust"), None, 20)
        );
    }
}
