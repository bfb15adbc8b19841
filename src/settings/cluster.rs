//! Settings of the cluster: how this node joins, how long it is believed to live, how shards change hands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Seconds};

/// This node among others.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How it joins.
    pub join: Join,
    /// Its name, its own among those that live.
    pub node: String,
    /// How long a renewal grants its lease for.
    pub lease_ttl_ms: Millis,
    /// How often it renews.
    pub lease_renew_ms: Millis,
    /// How much earlier than granted it stops.
    pub lease_margin_ms: Millis,
    /// How long a turn may take to pass through the node before it stops renewing.
    pub stall_max_ms: Millis,
    /// How often the tables are looked at.
    pub poll_ms: Millis,
    /// How long one call to the tables may take.
    pub call_timeout_ms: Millis,
    /// How long an orphan waits for its heir.
    pub claim_grace_ms: Millis,
    /// How long a shard stays before it is moved for balance.
    pub settle_s: Seconds,
    /// Hand-offs at once for balance.
    pub moves_max: usize,
    /// The pause between two hand-offs for balance.
    pub move_pause_ms: Millis,
    /// Hand-offs at once of a node that drains.
    pub drain_moves_max: usize,
    /// How long a start waits until every shard is served by somebody.
    pub begin_timeout_ms: Millis,
    /// How long the target of a hand-off may take to say that it takes the shard.
    pub prepare_timeout_ms: Millis,
    /// How long a shard's entities may take to finish and stop.
    pub seal_timeout_ms: Millis,
    /// How long the target may take to hear that the shard is its own.
    pub open_timeout_ms: Millis,
    /// How long all shards may take to be handed off when the process stops.
    pub drain_timeout_ms: Millis,
}

/// How a node joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// It claims every shard of everybody.
    Alone,
    /// It shares the shards with whoever else has joined the same database.
    Database,
}

impl Cluster {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if self.node.is_empty() || self.node.len() > 63 {
            checks.refuse("cluster.node", "is empty or longer than 63 bytes");
        }
        let millis = Duration::from_millis;
        checks.duration(
            "cluster.lease_ttl_ms",
            *self.lease_ttl_ms,
            millis(300)..=millis(60_000),
        );
        checks.duration(
            "cluster.stall_max_ms",
            *self.stall_max_ms,
            millis(100)..=millis(60_000),
        );
        checks.duration("cluster.poll_ms", *self.poll_ms, millis(10)..=millis(5000));
        checks.duration(
            "cluster.call_timeout_ms",
            *self.call_timeout_ms,
            millis(50)..=millis(60_000),
        );
        checks.duration(
            "cluster.claim_grace_ms",
            *self.claim_grace_ms,
            millis(0)..=millis(60_000),
        );
        checks.range("cluster.moves_max", self.moves_max, 1..=256);
        checks.duration(
            "cluster.move_pause_ms",
            *self.move_pause_ms,
            millis(1)..=millis(5000),
        );
        checks.range("cluster.drain_moves_max", self.drain_moves_max, 1..=256);
        checks.duration(
            "cluster.drain_timeout_ms",
            *self.drain_timeout_ms,
            millis(0)..=millis(60_000),
        );
        // Three renewals may fail before the lease ends, and no holder serves to the very end of it.
        if *self.lease_renew_ms * 3 + *self.lease_margin_ms > *self.lease_ttl_ms {
            checks.refuse(
                "cluster.lease_renew_ms",
                format!(
                    "three times {:?} and cluster.lease_margin_ms are longer than cluster.lease_ttl_ms",
                    *self.lease_renew_ms
                ),
            );
        }
        // A look that comes later than two renewals is a gap, after which everybody has a whole lease again: nobody would ever be dead.
        if *self.poll_ms > *self.lease_renew_ms {
            checks.refuse(
                "cluster.poll_ms",
                format!(
                    "is longer than cluster.lease_renew_ms ({:?}): who is dead would not be noticed",
                    *self.lease_renew_ms
                ),
            );
        }
        checks.nested(&[
            ("cluster.poll_ms", *self.poll_ms),
            ("cluster.lease_ttl_ms", *self.lease_ttl_ms),
        ]);
    }
}
