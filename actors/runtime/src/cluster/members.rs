//! Who belongs to the cluster and who owns which shard, as one look at the tables shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::placement::{SHARDS, Shard};

/// Where a member is in its life. It only goes down this list, and may skip steps; draining may be called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It starts and serves nothing yet.
    Joining,
    /// It serves, and may be given shards.
    Serving,
    /// It hands its shards off.
    Draining,
    /// It has left in good order.
    Left,
    /// It was declared dead, for good.
    Dead,
}

impl MemberState {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberState::Joining => "joining",
            MemberState::Serving => "serving",
            MemberState::Draining => "draining",
            MemberState::Left => "left",
            MemberState::Dead => "dead",
        }
    }

    /// Reads what the table has; what a newer version wrote is taken for the state that asks nothing of it.
    pub fn parse(text: &str) -> Self {
        match text {
            "serving" => MemberState::Serving,
            "draining" => MemberState::Draining,
            "left" => MemberState::Left,
            "dead" => MemberState::Dead,
            _ => MemberState::Joining,
        }
    }

    /// Whether it may own shards.
    pub fn lives(self) -> bool {
        !matches!(self, MemberState::Left | MemberState::Dead)
    }
}

/// What an operator wants of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// To serve; the end of a drain.
    Serving,
    /// To hand its shards off and take no others.
    Draining,
    /// To be declared dead, whatever its lease says.
    Dead,
}

impl Wanted {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Wanted::Serving => "serving",
            Wanted::Draining => "draining",
            Wanted::Dead => "dead",
        }
    }

    /// Reads what the table has.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "serving" => Some(Wanted::Serving),
            "draining" => Some(Wanted::Draining),
            "dead" => Some(Wanted::Dead),
            _ => None,
        }
    }
}

/// One member that lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// One start of a node.
    pub incarnation: Uuid,
    /// The node's name.
    pub node: String,
    /// Where it is in its life.
    pub state: MemberState,
    /// What an operator wants of it.
    pub wanted: Option<Wanted>,
    /// Where its API listens.
    pub http: String,
    /// Where its link listens.
    pub link: String,
    /// What it runs.
    pub version: String,
    /// How often it has renewed its lease.
    pub renewals: i64,
    /// Whether its lease is over by the store's clock.
    pub expired: bool,
    /// Turns a second of the entities of all its shards.
    pub load: u32,
}

/// Who owns a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The epoch it is owned under.
    pub epoch: i64,
    /// The owner, dead or alive, member or not.
    pub incarnation: Option<Uuid>,
}

/// One look at the tables.
#[derive(Clone, Debug)]
pub struct Roll {
    /// The members that live, by incarnation.
    pub members: BTreeMap<Uuid, Member>,
    /// By shard.
    pub owners: Vec<Ownership>,
}

impl Default for Roll {
    fn default() -> Self {
        Roll {
            members: BTreeMap::new(),
            owners: vec![Ownership::default(); SHARDS],
        }
    }
}

impl Roll {
    /// The shards that nobody who lives owns, with their epochs.
    pub fn orphans(&self) -> Vec<(Shard, i64)> {
        self.shards()
            .filter(|(_, owner)| {
                owner
                    .incarnation
                    .is_none_or(|incarnation| !self.members.contains_key(&incarnation))
            })
            .map(|(shard, owner)| (shard, owner.epoch))
            .collect()
    }

    /// The shards of one member, in order.
    pub fn owned_by(&self, incarnation: Uuid) -> impl Iterator<Item = (Shard, Ownership)> {
        self.shards()
            .filter(move |(_, owner)| owner.incarnation == Some(incarnation))
    }

    /// Every shard with its owner.
    pub fn shards(&self) -> impl Iterator<Item = (Shard, Ownership)> {
        (0..=Shard::MAX).map(|shard| (shard, self.owners[usize::from(shard)]))
    }

    /// The member of this name that lives.
    pub fn named(&self, node: &str) -> Option<&Member> {
        self.members.values().find(|member| member.node == node)
    }

    /// Whether some member is in a state in which nothing is moved for balance.
    pub fn unsettled(&self) -> bool {
        self.members
            .values()
            .any(|member| member.expired || member.wanted == Some(Wanted::Dead))
    }
}
