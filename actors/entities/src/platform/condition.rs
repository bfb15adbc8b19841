//! What can be asked of the running system as a whole: how much it does, whether it can, and what a wallet holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lyceum_domain::commerce::Error as CommerceError;
use lyceum_domain::ids::UserId;
use lyceum_kernel::Money;
use lyceum_runtime::{AskError, Context, Pace};

use super::Platform;
use crate::commerce::{Answer as BuyerAnswer, Question as BuyerQuestion};

impl Platform {
    /// How many entities are alive on this node.
    pub fn alive(&self) -> usize {
        self.node.alive.load(Ordering::Relaxed)
    }

    /// How fast this node's entities answer.
    pub fn pace(&self) -> Arc<Pace> {
        self.node.pace.clone()
    }

    /// How many shards this node serves.
    pub fn shards_served(&self) -> usize {
        self.node.shards.all().filter(|(_, epoch)| *epoch > 0).count()
    }

    /// Whether the journal's store takes commits, as far as the last ones tell.
    pub fn takes_commits(&self) -> bool {
        self.condition.takes_commits()
    }

    /// Whether every shard is served, here or elsewhere.
    pub fn all_shards_served(&self) -> bool {
        self.node.shards.placed()
    }

    /// Whether some shard is served, here or elsewhere.
    pub fn any_shard_served(&self) -> bool {
        self.node.shards.placed_any()
    }

    /// What a user's wallet holds free for use.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn balance(&self, user: UserId, context: &Context) -> Result<Money, AskError<CommerceError>> {
        match self.buyers.read(user, BuyerQuestion::Wallet, context).await? {
            BuyerAnswer::Wallet { balance, .. } => Ok(balance),
            _ => Err(AskError::Unavailable),
        }
    }
}
