//! Lyceum: a knowledge-commerce platform as supervised actors over a group-committing journal.
//!
//! This package is the composition root and the HTTP edge. `app` starts and drains everything; `settings` and
//! `telemetry` are what it starts with; `http` turns bytes into commands and answers into bytes; `cli` is what the
//! binary offers. The rules live in `lyceum-domain`, the machinery in `lyceum-runtime`, and `lyceum-entities`
//! binds one to the other.

pub mod app;
pub mod cli;
pub mod demo;
pub mod evaluate;
pub mod http;
pub mod import;
mod ledger;
pub mod migrate;
mod models;
pub mod settings;
mod status;
pub mod telemetry;
