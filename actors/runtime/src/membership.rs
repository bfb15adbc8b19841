//! This node's place in the system: its incarnation and its claim on the shards.
//!
//! A start is a new incarnation. Claiming raises the epoch of every shard; the fence inside each commit then refuses
//! whatever an earlier incarnation still tries to write. Its connections are ended first, so that a frozen owner
//! with an open transaction cannot hold the claim up.

use std::sync::Arc;

use uuid::Uuid;

use crate::database::Database;
use crate::ownership::ShardMap;
use crate::placement::Shard;
use crate::store_error::StoreError;

const END_EARLIER: &str = "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a \
    JOIN (SELECT DISTINCT incarnation FROM shard_owner WHERE incarnation IS NOT NULL) o \
    ON a.application_name = 'lyceum ' || o.incarnation::text";
const CLAIM: &str = "UPDATE shard_owner SET epoch = epoch + 1, node = $1, incarnation = $2, claimed_at = now() \
    RETURNING shard, epoch";

/// One start of this node.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The node's name.
    pub node: String,
    /// Never used before, never again.
    pub incarnation: Uuid,
}

impl Membership {
    /// A new incarnation of the node called `node`.
    pub fn new(node: String) -> Self {
        Membership {
            node,
            incarnation: Uuid::now_v7(),
        }
    }

    /// Claims every shard and returns the epochs they are owned under.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn claim_all(&self, database: &Database) -> Result<Arc<ShardMap>, StoreError> {
        const JOIN: &str = "INSERT INTO nodes (incarnation, node) VALUES ($1, $2)";
        database.execute(JOIN, &[&self.incarnation, &self.node]).await?;
        database.query(END_EARLIER, &[]).await?;
        let shards = Arc::new(ShardMap::default());
        for row in database.query(CLAIM, &[&self.node, &self.incarnation]).await? {
            let shard = Shard::try_from(row.get::<_, i16>(0)).map_err(StoreError::refused)?;
            shards.serve(shard, row.get(1));
        }
        if shards.complete() {
            Ok(shards)
        } else {
            Err(StoreError::refused("shard_owner does not hold 256 shards"))
        }
    }
}
