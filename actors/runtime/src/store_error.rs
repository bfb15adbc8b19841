//! Why a store did not answer.

use std::sync::Arc;

/// A failed call to Postgres or Redis. The cause is for the log, never for a client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, no answer in time, or the pool is exhausted: worth another try.
    #[error("the store is unavailable: {0}")]
    Unavailable(Arc<str>),
    /// The store answered with an error, or with something that cannot be read.
    #[error("the store refused: {0}")]
    Refused(Arc<str>),
}

impl StoreError {
    /// An unavailable store, with the cause's text.
    pub fn unavailable(cause: impl std::fmt::Display) -> Self {
        StoreError::Unavailable(cause.to_string().into())
    }

    /// A refusal, with the cause's text.
    pub fn refused(cause: impl std::fmt::Display) -> Self {
        StoreError::Refused(cause.to_string().into())
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // 57: operator intervention (shutdown, cancelled); 53: insufficient resources; 08: connection.
            Some(refused)
                if !["57", "53", "08"]
                    .iter()
                    .any(|class| refused.code().code().starts_with(class)) =>
            {
                StoreError::refused(format_args!("{} ({})", refused.message(), refused.code().code()))
            }
            Some(refused) => StoreError::unavailable(refused.message()),
            None => StoreError::unavailable(&error),
        }
    }
}
