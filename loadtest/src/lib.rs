//! Open-loop load tests of Lyceum with journeys, chaos and honest percentiles: a black box without the product's code.
//!
//! Flow: a [`scenario`] is parsed strictly; [`arrival`] plans every start from the seed; the engine hands due starts to
//! its workers, whose journeys call the server; what happened becomes an `outcome` and that a report.

pub mod outcome;
pub mod report;
