//! The rules of Lyceum, pure and synchronous: no IO, clock, randomness or hash-ordered iteration.
//!
//! One module per domain; they never import one another. Whatever passes between them passes through the
//! entities package, which translates one domain's events into another's commands.

pub mod accounts;
pub mod billing;
pub mod catalog;
pub mod commerce;
pub mod ids;
pub mod recommend;
pub mod text;
pub mod webhooks;
