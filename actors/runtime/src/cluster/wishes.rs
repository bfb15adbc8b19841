//! What operators want of members and shards, as rows that keepers find.
//!
//! The keeper of the node concerned carries them out, or for the dead any keeper does; so what is wanted is done when the
//! [view](super::ClusterView) shows it and not when it was written. Whoever writes it does so in a transaction of its own, beside
//! a record of who wanted it and why.

use tokio_postgres::{Error, GenericClient};

use super::members::Wanted;
use crate::placement::Shard;

const WANT: &str = "UPDATE members SET wanted_state = $2 WHERE node = $1 AND state NOT IN ('left', 'dead')";
const WISH: &str = "INSERT INTO shard_wishes (shard, to_node, reason) VALUES ($1, $2, $3)";

/// Wants a member to be drained, to serve again or to be declared dead. Returns whether a member of this name lives.
///
/// # Errors
/// Postgres is away or refuses.
pub async fn want(client: &impl GenericClient, node: &str, wanted: Wanted) -> Result<bool, Error> {
    let changed = client.execute(WANT, &[&node, &wanted.as_str()]).await?;
    Ok(changed > 0)
}

/// Wishes that the owner of a shard hands it to another member.
///
/// # Errors
/// Postgres is away or refuses.
pub async fn wish(
    client: &impl GenericClient,
    shard: Shard,
    to_node: &str,
    reason: &str,
) -> Result<(), Error> {
    client
        .execute(WISH, &[&i16::from(shard), &to_node, &reason])
        .await
        .map(drop)
}
