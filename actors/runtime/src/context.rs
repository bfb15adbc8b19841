//! What travels with every request to an entity: its deadline, its operation id and its trace.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Identifies one operation, so that repeating it has one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Derived from the caller, the route and the caller's key.
    pub id: u128,
    /// Derived from the body: a repeated id with another body is refused.
    pub fingerprint: u128,
}

/// The W3C trace that a request belongs to; all zero when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// `trace-id` of the `traceparent` header.
    pub trace_id: u128,
    /// `parent-id` of the `traceparent` header.
    pub parent_id: u64,
    /// Whether the caller sampled it.
    pub sampled: bool,
}

/// The circumstances of one request.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Work that has not begun by then is not begun.
    pub deadline: Instant,
    /// Set when the caller named the operation.
    pub operation: Option<Operation>,
    /// The trace to continue.
    pub trace: Trace,
}

impl Context {
    /// A context without operation or trace that expires after `budget`.
    pub fn within(budget: Duration) -> Self {
        Context {
            deadline: Instant::now() + budget,
            operation: None,
            trace: Trace::default(),
        }
    }

    /// The same context for an operation that is named.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }
}
