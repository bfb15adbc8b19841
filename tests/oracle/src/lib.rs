//! The oracle: an independent checker that shares no code with what it checks.
//!
//! Clients write a [`history`] of what they asked for and what they were told, on disk before and after each request.
//! After a run the oracle compares it with everything that can be seen from outside.

pub mod history;
