//! What must hold at every moment, and what must hold once everything is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use lyceum_runtime::Shard;
use lyceum_runtime::cluster::members::Ownership;
use uuid::Uuid;

use crate::database::{Database, Turn};
use crate::domain::{Key, Said, State};
use crate::node::NodeId;

/// What was seen, and what was wrong with it.
#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) violations: Vec<String>,
    /// Commits that the fence refused.
    pub(crate) fenced: u64,
    /// Answers that clients got.
    pub(crate) acknowledged: u64,
    /// Changes of owners.
    pub(crate) moves: u64,
    owners: BTreeMap<(Shard, i64), Uuid>,
    versions: BTreeMap<Key, i64>,
    transactions: BTreeSet<(u128, i64)>,
    /// By entity: the version of the newest state that some client has heard of.
    floors: BTreeMap<Key, i64>,
    seen: Vec<(Key, i64, i64)>,
    acks: Vec<(Key, u128, Said)>,
    /// Nodes that have just begun to serve a shard, or all of theirs again.
    pub(crate) gained: Vec<(NodeId, Option<Shard>)>,
}

impl Checks {
    /// Something is wrong.
    pub(crate) fn wrong(&mut self, what: String) {
        // The first is what matters; the rest often follows from it.
        if self.violations.len() < 10 {
            self.violations.push(what);
        }
    }

    /// A shard has another owner.
    pub(crate) fn owned(&mut self, shard: Shard, epoch: i64, incarnation: Uuid) {
        self.moves += 1;
        if self.owners.insert((shard, epoch), incarnation).is_some() {
            self.wrong(format!("shard {shard} has two owners under epoch {epoch}"));
        }
    }

    /// A decision was committed while `owner` owned its shard.
    pub(crate) fn wrote(&mut self, turn: &Turn, by: Uuid, owner: Ownership) {
        let Turn {
            key, epoch, version, ..
        } = turn;
        if (owner.epoch, owner.incarnation) != (*epoch, Some(by)) {
            self.wrong(format!(
                "{key} version {version} was written by {by} under epoch {epoch} while {:?} owned it under {}",
                owner.incarnation, owner.epoch
            ));
        }
        let last = self.versions.insert(*key, *version).unwrap_or(0);
        if *version != last + 1 {
            self.wrong(format!("{key} version {version} follows {last}"));
        }
        for (source, step, sum) in &turn.outgoing.transactions {
            if *sum != 0 {
                self.wrong(format!(
                    "transaction {source:x} step {step} is out of balance by {sum}"
                ));
            }
            if !self.transactions.insert((*source, *step)) {
                self.wrong(format!("transaction {source:x} step {step} was posted twice"));
            }
        }
        for (user, balance, held) in &turn.outgoing.wallets {
            if *balance < 0 || *held < 0 {
                self.wrong(format!(
                    "the wallet of {user} is negative: {balance}, {held} held"
                ));
            }
        }
    }

    /// The version that whoever begins to ask now must see at least.
    pub(crate) fn floor(&self, key: Key) -> i64 {
        self.floors.get(&key).copied().unwrap_or(0)
    }

    /// A client has heard of a state; whoever asks from now on must not be shown an older one.
    pub(crate) fn saw(&mut self, key: Key, said: &Said, floor: i64, operation: Option<u128>) {
        self.acknowledged += 1;
        let Said { version, balance, .. } = *said;
        let writes = operation.is_some() && said.recorded;
        if version < floor + i64::from(writes) {
            let what = if writes { "a write" } else { "an answer" };
            self.wrong(format!(
                "{what} of {key} is from version {version}, and {floor} was known when it was asked for"
            ));
        }
        let known = self.floors.entry(key).or_default();
        *known = (*known).max(version);
        self.seen.push((key, version, balance));
        if let Some(operation) = operation.filter(|_| said.recorded) {
            self.acks.push((key, operation, said.clone()));
        }
    }

    /// A client was refused for what was known at a version.
    pub(crate) fn refused(&mut self, key: Key, version: i64, floor: i64) {
        self.acknowledged += 1;
        if version < floor {
            self.wrong(format!(
                "a refusal of {key} is from version {version}, and {floor} was known when it was asked for"
            ));
        }
        let known = self.floors.entry(key).or_default();
        *known = (*known).max(version);
    }

    /// Everything is at rest: compares what was said with what is written.
    pub(crate) fn conclude(&mut self, database: &Database) {
        let mut balances: BTreeMap<(Key, i64), i64> = BTreeMap::new();
        let mut operations: BTreeMap<u128, u32> = BTreeMap::new();
        for (key, rows) in &database.events {
            let mut state = State::new(*key);
            balances.insert((*key, 0), 0);
            for row in rows {
                state.apply(&row.facts);
                balances.insert((*key, row.version), state.balance());
                if let Some(operation) = row.operation {
                    *operations.entry(operation).or_default() += 1;
                }
            }
            let turns: Vec<_> = rows.iter().map(|row| Rc::clone(&row.facts)).collect();
            if State::replay(*key, &turns).balance() != state.balance() {
                self.wrong(format!("{key} is not what its events make of it"));
            }
        }
        for (key, version, balance) in std::mem::take(&mut self.seen) {
            let expected = balances.get(&(key, version)).copied();
            if expected != Some(balance) && !(version == 0 && balance == 0) {
                self.wrong(format!(
                    "{key} version {version} was shown with {balance} and is {expected:?}"
                ));
            }
        }
        for (key, operation, said) in std::mem::take(&mut self.acks) {
            let records = database.operations.get(&operation).map_or(&[][..], Vec::as_slice);
            if records != std::slice::from_ref(&said) {
                self.wrong(format!(
                    "operation {operation:x} of {key} was answered {said:?} and is on record as {records:?}"
                ));
            }
            if operations.get(&operation) != Some(&1) {
                self.wrong(format!(
                    "operation {operation:x} of {key} is in the journal {:?} times",
                    operations.get(&operation)
                ));
            }
        }
    }
}
