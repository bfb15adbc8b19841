//! What cluster keepers tell one another over the link: small, rare, and answered.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::transport::Lost;
use crate::placement::Shard;

/// A word from the keeper of one node to that of another. A later version may add some; they come back as
/// [`NotifyError::Unreadable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Is anybody there?
    Ping,
    /// The shard will soon be yours: make its busiest entities ready.
    Prepare {
        /// Which shard.
        shard: Shard,
        /// The epoch it is served under now.
        epoch: i64,
        /// The busiest first.
        hot: Vec<Hot>,
    },
    /// The shard is yours.
    Open {
        /// Which shard.
        shard: Shard,
        /// The epoch to serve it under.
        epoch: i64,
    },
}

/// An entity that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hot {
    /// The number of its kind.
    pub kind: i16,
    /// Its id.
    pub id: Uuid,
    /// The id that places it.
    pub placement: Uuid,
}

/// Hears notices. The keeper of the cluster does.
pub trait Notices: Send + Sync + 'static {
    /// Does what a notice says.
    ///
    /// # Errors
    /// Why it is not done, in a sentence.
    fn notice(&self, from: Uuid, notice: Notice) -> BoxFuture<'static, Result<(), String>>;
}

/// Why a notice was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// It did not arrive, or nobody knows whether it did.
    #[error("{0}")]
    Lost(#[from] Lost),
    /// The other keeper does not do it.
    #[error("declined: {0}")]
    Declined(String),
    /// The other side is of a version that does not know it.
    #[error("not understood there")]
    Unreadable,
    /// The other side has no time, or no keeper yet.
    #[error("not taken now")]
    Busy,
}

/// Who hears this node's notices, once somebody does.
pub(super) type Listener = OnceLock<Arc<dyn Notices>>;
