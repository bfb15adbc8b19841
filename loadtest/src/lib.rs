//! Open-loop load tests of Lyceum with journeys, chaos and honest percentiles: a black box without the product's code.
//!
//! Flow: a [`scenario`] is parsed strictly; [`arrival`] plans every start from the seed; the [`engine`] hands due starts to
//! its workers, whose [`journey`]s call the target; what happened becomes an [`outcome`] and that a [`report`].
//!
//! Open loop means that users do not wait for one another: a journey starts when the plan says so, whether or not the
//! target has answered the others. Latency counts from that planned moment, so a stall is seen by everybody who would have
//! come during it. What cannot start because too much is under way is counted as dropped and never made up for.

pub mod arrival;
mod canary;
pub mod capacity;
mod catalog;
pub mod chaos;
pub mod cli;
mod client;
pub mod compare;
pub mod engine;
mod failure;
mod funding;
mod generators;
pub mod journey;
pub mod live;
pub mod merge;
pub mod outcome;
pub mod report;
mod request;
pub mod scenario;
#[cfg(test)]
mod testing;
mod users;
mod visit;
mod vitals;
mod worker;
mod zipf;

pub use client::Site;
pub use failure::Failure;
