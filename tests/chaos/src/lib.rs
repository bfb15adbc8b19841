//! The faults suite: what a network, a crash, a full disk or somebody hostile does to Lyceum, and the verdict on each.
//!
//! Nothing here shares code with the product: it is reached by its sockets, its signals and its stores alone.
//!
//! ```text
//! proxy             a TCP proxy that misbehaves as a network does
//! wire, api         HTTP/1.1 as bytes; the API as a client of good will uses it
//! process, site     programs; Lyceum under trial, kept alive over stores that may be broken
//! stores            Postgres and Redis that may be broken
//! fleet, web        several nodes under trial; the links between them, cut one by one
//! balancer          the load balancer in front of them
//! ownership         what the tables say of members and owners
//! prober, windows   canaries for single shards; for how long a shard was not served
//! pinning           which core runs what, where one measures the other
//! sandbox           the payment provider, told how to fail
//! buying, judge     clients that buy and write down what they were told; the oracle's word on it
//! healthy           a client at a steady pace, to see what others cost it
//! hostile           row 13: clients that nobody wants
//! rows, all         every promise that is tried, one after the other; everything at once
//! verdict           figures beside their limits
//! ```

mod all;
pub mod api;
pub mod balancer;
pub mod buying;
pub mod dice;
pub mod fleet;
pub mod healthy;
mod hostile;
pub mod judge;
pub mod ownership;
pub mod pinning;
pub mod prober;
pub mod process;
pub mod proxy;
pub mod rows;
mod sandbox;
pub mod site;
pub mod stores;
pub mod verdict;
mod web;
pub mod windows;
pub mod wire;

/// Why a trial could not go on; told in one sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
