//! Every domain of Lyceum bound to the runtime: entities, rows, read models, and the flows between domains.
//!
//! One module per domain, each with the same look: bindings in `mod.rs`, its tables and queries in `rows.rs` or
//! `queries.rs`. [`Platform`] starts all of it; `flows` carries every message between domains.

pub mod accounts;
pub mod billing;
mod bulletin;
pub mod catalog;
pub mod commerce;
mod flows;
mod freshness;
mod gauges;
mod meters;
pub mod operators;
mod platform;
pub mod recommend;
mod redaction;
#[cfg(test)]
mod refusals_test;
mod signals;
pub mod webhooks;

pub use bulletin::{Board, Taken, Takes};
pub use freshness::{Followed, Freshness};
pub use meters::METERS;
pub use platform::{Platform, PlatformSettings, StartError};
