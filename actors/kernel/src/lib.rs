//! Shared vocabulary of every Lyceum package: ids, money, time, error classes and the [`Aggregate`] trait.
//!
//! Nothing here performs IO, reads a clock or draws randomness. Every other package may import this one; it
//! imports none of them.

mod aggregate;
mod error;
mod id;
mod money;
mod time;

pub use aggregate::Aggregate;
pub use error::{Class, Coded};
pub use id::{Id, IdError, IdKind, Prefix};
pub use money::{Currency, Money, MoneyError};
pub use time::{Timestamp, TimestampError};
