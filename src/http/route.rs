//! What a route is, and how a request finds its own.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hyper::Method;
use lyceum_runtime::Trace;
use lyceum_runtime::metrics::{Counter, Histogram};

use super::admission::Priority;
use super::guard::Access;
use super::idempotency::Key;
use super::limits::Limit;
use super::meters::{HTTP_SERVER_REQUEST_DURATION_SECONDS, HTTP_SERVER_REQUESTS_TOTAL};
use super::problem::Problem;
use super::reply::Reply;
use super::request::{Params, Request};

/// A handler at work.
pub type Handling<'a> = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send + 'a>>;

/// What serves the requests of a route, given the handles it may reach.
pub enum Handler<A> {
    /// Answers from memory, at once: it neither waits nor reads a body.
    Ready(fn(&A, &Request) -> Result<Reply, Problem>),
    /// Asks entities and stores, and waits for them.
    Task(for<'a> fn(&'a A, Request) -> Handling<'a>),
}

/// One line of the table in `router.rs`.
pub struct Route<A> {
    pub(super) method: Method,
    pub(super) template: &'static str,
    pub(super) handler: Handler<A>,
    pub(super) access: Access,
    pub(super) key: Key,
    pub(super) priority: Priority,
    pub(super) limit: Limit,
}

/// A route with its metrics, which are looked up once, when the server starts.
pub(super) struct Entry<A> {
    pub(super) route: Route<A>,
    pub(super) metrics: RouteMetrics,
}

/// `http_server_requests_total` and `http_server_request_duration_seconds` of one route.
pub(super) struct RouteMetrics {
    requests: [Counter; 4],
    seconds: Histogram,
}

impl RouteMetrics {
    pub(super) fn new(method: &'static str, route: &'static str) -> Self {
        let requests =
            ["2xx", "3xx", "4xx", "5xx"].map(|class| HTTP_SERVER_REQUESTS_TOTAL.with([route, method, class]));
        let seconds = HTTP_SERVER_REQUEST_DURATION_SECONDS.with([route, method]);
        RouteMetrics { requests, seconds }
    }

    pub(super) fn record(&self, status: u16, elapsed: Duration, trace: Trace) {
        // No route answers 1xx: hyper does that by itself.
        if let Some(counter) = self.requests.get(usize::from(status / 100).wrapping_sub(2)) {
            counter.increment();
        }
        self.seconds.record_in(elapsed, trace);
    }
}

const METHODS: [(Method, &str); 5] = [
    (Method::GET, "GET"),
    (Method::POST, "POST"),
    (Method::PUT, "PUT"),
    (Method::PATCH, "PATCH"),
    (Method::DELETE, "DELETE"),
];

/// Stands for no route of this method, though one of another method has the path.
const ELSEWHERE: usize = usize::MAX;

/// All routes of one listener, found by method and path.
pub(super) struct Routes<A> {
    entries: Vec<Entry<A>>,
    by_method: [matchit::Router<usize>; METHODS.len()],
}

/// Where a route is in the table; outlives a borrow of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

/// What is at a path.
pub(super) enum Found {
    Route(Place, Params),
    /// Something, under the methods in this `Allow` header.
    OtherMethods(String),
    Nothing,
}

/// The table in `router.rs` contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("route {method} {template}: {cause}")]
pub struct RouteError {
    method: Method,
    template: &'static str,
    cause: String,
}

impl<A> Routes<A> {
    pub(super) fn new(table: Vec<Route<A>>) -> Result<Self, RouteError> {
        let mut by_method: [matchit::Router<usize>; METHODS.len()] = Default::default();
        let mut entries = Vec::with_capacity(table.len());
        for route in table {
            let refuse = |cause: String| RouteError {
                method: route.method.clone(),
                template: route.template,
                cause,
            };
            let place = METHODS.iter().position(|(method, _)| *method == route.method);
            let place = place.ok_or_else(|| refuse("no route has this method".into()))?;
            by_method[place]
                .insert(route.template, entries.len())
                .map_err(|error| refuse(error.to_string()))?;
            let metrics = RouteMetrics::new(METHODS[place].1, route.template);
            entries.push(Entry { route, metrics });
        }
        Self::part(&mut by_method, &entries);
        Ok(Routes { entries, by_method })
    }

    /// Keeps what one method names in full out of the templates of the others: nobody's session is called `refresh`.
    fn part(by_method: &mut [matchit::Router<usize>], entries: &[Entry<A>]) {
        for template in entries.iter().map(|entry| entry.route.template) {
            if template.contains('{') {
                continue;
            }
            for router in &mut *by_method {
                let taken = router.at(template).is_ok_and(|found| !found.params.is_empty());
                // It is no parameter, so that nothing can be in its way.
                if taken {
                    let _ = router.insert(template, ELSEWHERE);
                }
            }
        }
    }

    /// The route that [`Routes::find`] found.
    pub(super) fn entry(&self, place: Place) -> &Entry<A> {
        &self.entries[place.0]
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Found {
        // HEAD is answered by the handler of GET; the body is left out on the way to the client.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let place = METHODS.iter().position(|(one, _)| one == method);
        if let Some(found) = place.and_then(|place| Self::at(&self.by_method[place], path)) {
            let mut params = Params::default();
            let fit = found
                .params
                .iter()
                .all(|(_, value)| params.push(value.as_ptr().addr() - path.as_ptr().addr(), value.len()));
            return if fit {
                Found::Route(Place(*found.value), params)
            } else {
                Found::Nothing
            };
        }
        let allowed = self.allowed(path);
        if allowed.is_empty() {
            Found::Nothing
        } else {
            Found::OtherMethods(allowed)
        }
    }

    /// The route of one method at a path.
    fn at<'r, 'p>(
        router: &'r matchit::Router<usize>,
        path: &'p str,
    ) -> Option<matchit::Match<'r, 'p, &'r usize>> {
        router.at(path).ok().filter(|found| *found.value != ELSEWHERE)
    }

    fn allowed(&self, path: &str) -> String {
        let mut allowed = String::new();
        for ((_, name), router) in METHODS.iter().zip(&self.by_method) {
            if Self::at(router, path).is_some() {
                allowed.push_str(if *name == "GET" { "GET, HEAD, " } else { name });
                if *name != "GET" {
                    allowed.push_str(", ");
                }
            }
        }
        if !allowed.is_empty() {
            allowed.push_str("OPTIONS");
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(_: &(), _: &Request) -> Result<Reply, Problem> {
        Ok(Reply::no_content())
    }

    fn route(method: Method, template: &'static str) -> Route<()> {
        Route {
            method,
            template,
            handler: Handler::Ready(handler),
            access: Access::Public,
            key: Key::Accepted,
            priority: Priority::Read,
            limit: Limit::Usual,
        }
    }

    fn routes() -> Routes<()> {
        Routes::new(vec![
            route(Method::GET, "/v1/courses"),
            route(Method::POST, "/v1/courses"),
            route(Method::GET, "/v1/courses/{id}"),
            route(Method::GET, "/v1/me/courses"),
            route(Method::PUT, "/v1/courses/{id}/lessons/{lesson_id}"),
            route(Method::DELETE, "/v1/sessions/{id}"),
            route(Method::POST, "/v1/sessions/refresh"),
        ])
        .unwrap()
    }

    fn found(method: &Method, path: &str) -> String {
        let routes = routes();
        match routes.find(method, path) {
            Found::Route(place, _) => routes.entry(place).route.template.to_owned(),
            Found::OtherMethods(allowed) => format!("405 {allowed}"),
            Found::Nothing => "404".to_owned(),
        }
    }

    #[test]
    fn requests_find_their_route_by_method_and_path() {
        for (method, path, expected) in [
            (Method::GET, "/v1/courses", "/v1/courses"),
            (Method::GET, "/v1/courses/crs_1", "/v1/courses/{id}"),
            (Method::HEAD, "/v1/courses/crs_1", "/v1/courses/{id}"),
            (
                Method::PUT,
                "/v1/courses/a/lessons/b",
                "/v1/courses/{id}/lessons/{lesson_id}",
            ),
            (Method::DELETE, "/v1/courses", "405 GET, HEAD, POST, OPTIONS"),
            (Method::GET, "/v1/sessions/x", "405 DELETE, OPTIONS"),
            (Method::HEAD, "/v1/sessions/x", "405 DELETE, OPTIONS"),
            (Method::TRACE, "/v1/me/courses", "405 GET, HEAD, OPTIONS"),
            (Method::OPTIONS, "/v1/courses", "405 GET, HEAD, POST, OPTIONS"),
            (Method::GET, "/v1/nothing", "404"),
            (Method::POST, "/v1/sessions/refresh", "/v1/sessions/refresh"),
            (Method::DELETE, "/v1/sessions/refresh", "405 POST, OPTIONS"),
            (Method::GET, "/v1/sessions/refresh", "405 POST, OPTIONS"),
            (Method::DELETE, "/v1/sessions/refreshed", "/v1/sessions/{id}"),
        ] {
            assert_eq!(found(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn trailing_doubled_or_escaped_slashes_are_other_paths() {
        for path in [
            "/v1/courses/",
            "//v1/courses",
            "/v1//courses",
            "/v1/courses/a/",
            "/v1/courses%2Fa",
            "/",
            "",
            "*",
        ] {
            assert_eq!(found(&Method::GET, path), "404", "{path}");
        }
    }

    #[test]
    fn two_routes_for_the_same_requests_are_refused_at_start() {
        let table = vec![
            route(Method::GET, "/v1/users/{id}"),
            route(Method::GET, "/v1/users/{user_id}"),
        ];

        assert!(Routes::new(table).is_err());
    }
}
