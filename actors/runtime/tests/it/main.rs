//! The runtime with a small aggregate of its own: over the journal in memory, and over a real Postgres.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod counter;
mod creation;
#[path = "../../../../tests/shared/databases.rs"]
mod databases;
mod hand_over;
mod journal;
mod link;
mod nodes;
mod shell;
mod streams;
mod tls;
