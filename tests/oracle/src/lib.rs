//! The oracle: an independent checker that shares no code with what it checks.
//!
//! ```text
//! history     what clients asked for and were told, on disk before and after each request
//! invariants  what must hold between the tables, as queries
//! books       the journal read again by rules of our own, compared with every table that follows from it
//! provider    the provider's own list of charges and refunds, compared with payments and the ledger
//! claims      the history compared with the tables: nothing lost, nothing made up, nothing twice
//! audit       the public API of every node: orders, access, wallets, and every acknowledged request once more
//! watch       the ledger sampled while a run goes on
//! ```
//!
//! [`check`] waits until the system is at rest and does all of it once; tables are read in one snapshot by a role that
//! may only read. Every rule has a name and a sentence, so that a report says what was looked at as well as what failed.

pub mod history;

#[cfg(feature = "check")]
mod audit;
#[cfg(feature = "check")]
mod books;
#[cfg(feature = "check")]
mod check;
#[cfg(feature = "check")]
mod claims;
#[cfg(feature = "check")]
pub mod database;
#[cfg(feature = "check")]
pub mod invariants;
#[cfg(feature = "check")]
pub mod node;
#[cfg(feature = "check")]
pub mod provider;
#[cfg(feature = "check")]
pub mod report;
#[cfg(feature = "check")]
mod rest;
#[cfg(feature = "check")]
mod typeid;
#[cfg(feature = "check")]
pub mod watch;

#[cfg(feature = "check")]
pub use check::{Evidence, Plan, check, check_tables, rules};

/// Why the oracle could not look, as opposed to what it found.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
