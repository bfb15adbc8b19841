//! What travels with every request to an entity: its deadline, its operation id and its trace.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::trace::{self, Trace};

/// Identifies one operation, so that repeating it has one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Derived from the caller, the route and the caller's key.
    pub id: u128,
    /// Derived from the body: a repeated id with another body is refused.
    pub fingerprint: u128,
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
    /// A context without operation that expires after `budget`, within the trace of this task.
    pub fn within(budget: Duration) -> Self {
        Context {
            deadline: Instant::now() + budget,
            operation: None,
            trace: trace::current(),
        }
    }

    /// The same context for an operation that is named.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }
}
