//! Health, readiness and metrics: what the machines that run us ask.
//!
//! `/livez` has no dependencies: it answers as long as the process can. `/readyz` is no when a vital part is
//! away or the process drains; a part that is not vital only makes it degraded. `/startupz` is yes once
//! everything has started.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderValue, RETRY_AFTER, VARY};
use lyceum_runtime::metrics::Format;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::Api;
use super::meters::{HEALTH_CHECK, NODE_READY};
use super::problem::Problem;
use super::reply::Reply;
use super::request::Request;

/// A part that does not answer within this counts as away.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// Answers are this old at most, so that probing us is never a load on the stores.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// One part that the process depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name: `postgres`, `redis`, `shards`.
    pub name: &'static str,
    /// Whether it is well.
    pub healthy: bool,
    /// Whether nothing can be served without it.
    pub vital: bool,
}

/// Knows how the parts are.
pub trait Health: Send + Sync + 'static {
    /// Looks at every part: at Postgres by asking it something, at the shards by whether this node owns some.
    fn check(&self) -> BoxFuture<'_, Vec<Check>>;
}

/// Where the process is in its life.
#[derive(Debug, Default)]
pub struct Lifecycle {
    started: AtomicBool,
    draining: AtomicBool,
}

impl Lifecycle {
    /// Everything has started.
    pub fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// From now on the process is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether it drains.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// How a node is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is well.
    Ok,
    /// It serves, without some part.
    Degraded,
    /// It is away.
    Unavailable,
    /// It is about to end.
    Draining,
}

impl Status {
    fn ready(self) -> bool {
        matches!(self, Status::Ok | Status::Degraded)
    }
}

/// How a node is, and its parts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// How the node is.
    pub status: Status,
    /// How its parts are.
    pub checks: Vec<Part>,
}

/// How one part is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// `ok` or `unavailable`.
    pub status: Status,
}

/// Answers probes from checks that are at most a moment old.
pub struct Probes {
    health: Arc<dyn Health>,
    lifecycle: Arc<Lifecycle>,
    latest: Mutex<Option<(Instant, Vec<Check>)>>,
}

impl Probes {
    /// Probes these parts.
    pub fn new(health: Arc<dyn Health>, lifecycle: Arc<Lifecycle>) -> Self {
        Probes {
            health,
            lifecycle,
            latest: Mutex::new(None),
        }
    }

    /// How the node is; the gauges say the same from then on.
    pub async fn readiness(&self) -> Readiness {
        let readiness = self.look().await;
        NODE_READY.get().set(u8::from(readiness.status.ready()));
        for part in &readiness.checks {
            HEALTH_CHECK.with([part.name]).set(u8::from(part.status.ready()));
        }
        readiness
    }

    async fn look(&self) -> Readiness {
        if self.lifecycle.draining() {
            return Readiness {
                status: Status::Draining,
                checks: Vec::new(),
            };
        }
        if !self.lifecycle.started.load(Ordering::Acquire) {
            return Readiness {
                status: Status::Unavailable,
                checks: Vec::new(),
            };
        }
        // Whoever comes meanwhile waits for the same answer, at most as long as a check may take.
        let mut latest = self.latest.lock().await;
        let checks = match &*latest {
            Some((at, checks)) if at.elapsed() < CHECK_EVERY => checks.clone(),
            _ => {
                let checks = tokio::time::timeout(CHECK_TIMEOUT, self.health.check()).await;
                let checks = checks.unwrap_or_else(|_| {
                    vec![Check {
                        name: "checks",
                        healthy: false,
                        vital: true,
                    }]
                });
                *latest = Some((Instant::now(), checks.clone()));
                checks
            }
        };
        readiness(&checks)
    }
}

fn readiness(checks: &[Check]) -> Readiness {
    let status = if checks.iter().any(|check| check.vital && !check.healthy) {
        Status::Unavailable
    } else if checks.iter().any(|check| !check.healthy) {
        Status::Degraded
    } else {
        Status::Ok
    };
    let part = |check: &Check| Part {
        name: check.name,
        status: if check.healthy {
            Status::Ok
        } else {
            Status::Unavailable
        },
    };
    Readiness {
        status,
        checks: checks.iter().map(part).collect(),
    }
}

fn answer(readiness: &Readiness) -> Reply {
    let status = if readiness.status.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let reply = Reply::json(status, readiness);
    if readiness.status.ready() {
        reply
    } else {
        reply.header(RETRY_AFTER, HeaderValue::from(1))
    }
}

/// `GET /livez`: the process runs.
#[utoipa::path(get, path = "/livez", tag = "operations", security(()), responses((status = 200, body = Readiness)))]
pub fn live(_: &Api, _: &Request) -> Result<Reply, Problem> {
    Ok(answer(&Readiness {
        status: Status::Ok,
        checks: Vec::new(),
    }))
}

/// `GET /readyz`: the node can serve.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, body = Readiness), (status = 503, description = "Not ready", body = Readiness)))]
pub async fn ready(api: &Api, _: Request) -> Result<Reply, Problem> {
    Ok(answer(&api.probes.readiness().await))
}

/// `GET /startupz`: everything has started.
#[utoipa::path(get, path = "/startupz", tag = "operations", security(()),
    responses((status = 200, body = Readiness), (status = 503, description = "Still starting", body = Readiness)))]
pub fn started(api: &Api, _: &Request) -> Result<Reply, Problem> {
    let started = api.probes.lifecycle.started.load(Ordering::Acquire);
    let status = if started { Status::Ok } else { Status::Unavailable };
    Ok(answer(&Readiness {
        status,
        checks: Vec::new(),
    }))
}

/// `GET /metrics`: what the process has counted, in the Prometheus text format or, if accepted, as `OpenMetrics`.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, content(
        (String = "text/plain"),
        (String = "application/openmetrics-text")))))]
pub async fn metrics(api: &Api, request: Request) -> Result<Reply, Problem> {
    // A scraper is told how the node is now, whether or not anybody asks `/readyz`.
    api.probes.readiness().await;
    let format = Format::accepted(request.header(ACCEPT).unwrap_or_default());
    let text = Bytes::from(api.metrics.render(format));
    Ok(Reply::bytes(StatusCode::OK, format.media_type(), text).header(VARY, HeaderValue::from_name(ACCEPT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Parts(Vec<Check>);

    impl Health for Parts {
        fn check(&self) -> BoxFuture<'_, Vec<Check>> {
            Box::pin(async { self.0.clone() })
        }
    }

    fn check(name: &'static str, healthy: bool, vital: bool) -> Check {
        Check { name, healthy, vital }
    }

    async fn status(checks: Vec<Check>, prepare: impl FnOnce(&Lifecycle)) -> (Status, u16) {
        let lifecycle = Arc::new(Lifecycle::default());
        prepare(&lifecycle);
        let readiness = Probes::new(Arc::new(Parts(checks)), lifecycle).readiness().await;
        let answer = answer(&readiness);
        let status = answer.status().as_u16();
        assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 503);
        (readiness.status, status)
    }

    #[tokio::test]
    async fn a_node_is_ready_when_its_vital_parts_are_well() {
        let both = |postgres, redis| vec![check("postgres", postgres, true), check("redis", redis, false)];

        assert_eq!(
            status(both(true, true), Lifecycle::start).await,
            (Status::Ok, 200)
        );
        assert_eq!(
            status(both(true, false), Lifecycle::start).await,
            (Status::Degraded, 200)
        );
        assert_eq!(
            status(both(false, true), Lifecycle::start).await,
            (Status::Unavailable, 503)
        );
    }

    #[tokio::test]
    async fn a_node_that_starts_or_drains_is_not_ready() {
        let drain = |lifecycle: &Lifecycle| {
            lifecycle.start();
            lifecycle.drain();
        };

        assert_eq!(status(Vec::new(), |_| {}).await, (Status::Unavailable, 503));
        assert_eq!(status(Vec::new(), drain).await, (Status::Draining, 503));
    }
}
