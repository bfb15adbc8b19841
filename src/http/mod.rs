//! The HTTP edge: bytes become commands, answers become bytes.
//!
//! ```text
//! server      accepts connections, drains them
//! connection  one connection: HTTP/1.1 or HTTP/2, watched by the sweeper for silence and slowness
//! service     one request: router, admission, guard, limits, handler, response
//! router      every route on one screen
//! accounts, catalog, commerce, billing, learning, recommend, admin, health, docs    the handlers
//! ```
//!
//! A handler authorizes, parses, asks and renders. It reaches entities and queries through [`Api`] and nothing
//! else, and it never sees a pool.

use std::sync::Arc;

mod access_log;
pub mod accounts;
pub mod admin;
mod admission;
pub mod billing;
mod body;
pub mod catalog;
pub mod commerce;
mod concurrency;
mod connection;
pub mod docs;
mod frames;
mod framing;
mod guard;
pub mod health;
mod idempotency;
pub mod imports;
pub mod keys;
pub mod learning;
mod limits;
mod meters;
pub mod models;
pub mod openapi;
mod page;
pub mod privacy;
mod problem;
mod pulse;
pub mod recommend;
mod registry;
mod reply;
mod request;
mod route;
pub mod router;
pub mod server;
mod service;
pub mod settings;
mod shapes;
mod socket;
mod steering;
mod token;
mod trace;
pub mod untrusted;
pub mod webhooks;

pub use self::admission::Priority;
pub use self::guard::{Access, Caller, Revocations};
pub use self::idempotency::Key;
pub use self::limits::Limit;
pub use self::meters::METERS;
pub use self::page::{Page, PageQuery, checked_cursor, checked_limit, invalid_query, malformed_cursor};
pub use self::problem::{FieldError, Problem, ProblemBody};
pub use self::reply::Reply;
pub use self::request::{Request, stale};
pub use self::route::{Handler, Handling, Route, RouteError};
pub use self::settings::HttpSettings;
pub use self::token::{AccessToken, SigningKey, TokenError, TokenSettings, Tokens};

use self::health::Probes;
use crate::settings::Settings;
use crate::telemetry::Metrics;

/// The only handles a handler can reach.
pub struct Api {
    /// Regions and queries of every domain.
    pub platform: Arc<lyceum_entities::Platform>,
    /// Signs access tokens.
    pub tokens: Arc<Tokens>,
    /// Everything that can be set.
    pub settings: Arc<Settings>,
    /// Answers probes.
    pub probes: Probes,
    /// What the process has counted.
    pub metrics: Metrics,
}
