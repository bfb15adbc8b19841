//! What nodes ask of the database, and what it answers.

use std::collections::BTreeMap;
use std::rc::Rc;

use lyceum_runtime::Shard;
use lyceum_runtime::cluster::duties::Burial;
use lyceum_runtime::cluster::members::{Member, MemberState, Ownership};
use uuid::Uuid;

use crate::core::Time;
use crate::domain::{Fact, Key, Outgoing, Said};
use crate::node::NodeId;

/// A statement on its way.
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) node: NodeId,
    pub(crate) machine: usize,
    pub(crate) incarnation: Uuid,
    /// The start of the server that its connection belongs to.
    pub(crate) generation: u64,
    pub(crate) sent: Time,
    pub(crate) statement: Statement,
}

/// What can be asked of it.
#[derive(Clone)]
pub(crate) enum Statement {
    Supersede(usize),
    Join(usize),
    Renew { load: u32 },
    EndOf,
    SetState(MemberState),
    Leave,
    Members,
    Owners(u64),
    Bury(Burial),
    EndBackends(Vec<Uuid>),
    Claim(Vec<(Shard, i64)>),
    Flip { shard: Shard, epoch: i64, to: Uuid },
    Retake { shard: Shard, epoch: i64 },
    Owner(Shard),
    GiveUp { shard: Shard, epoch: i64 },
    Commit(Rc<Vec<Turn>>),
    Load(Key),
    Operation(u128),
    Due(Vec<Shard>),
    Delivered(u64),
}

/// One decision to commit.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) key: Key,
    pub(crate) shard: Shard,
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    pub(crate) facts: Rc<Vec<Fact>>,
    pub(crate) operation: Option<(u128, Said)>,
    pub(crate) outgoing: Rc<Outgoing>,
}

/// What it answers.
#[derive(Clone)]
pub(crate) enum Reply {
    /// The connection ended: perhaps carried out.
    Broken,
    /// There is no connection: certainly not carried out.
    Unreached,
    Done(bool),
    Ended(Option<&'static str>),
    Members(BTreeMap<Uuid, Member>),
    Owners(u64, Vec<(Shard, Ownership, Time)>),
    Claimed(Vec<(Shard, i64)>),
    Flipped(Option<i64>),
    Owner(i64, Option<Uuid>),
    Fenced(Vec<Shard>),
    /// The decision of this number is refused because its operation is on record, or else because its version is.
    Refused(usize, bool),
    Loaded(Vec<(Rc<Vec<Fact>>, Option<u128>)>),
    Record(Option<Said>),
    Due(Vec<(u64, Rc<str>)>),
}
