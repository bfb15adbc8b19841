//! What one look at the tables asks of one member: pure, so that the keeper only carries it out.
//!
//! Nothing here has a clock or does IO. Times are distances from any one moment in the past, by the member's monotonic clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::allocation::{Candidate, Costs, heirs, picks, transfers};
use super::members::{Member, MemberState, Roll, Wanted};
use crate::ownership::{Owner, ShardMap};
use crate::placement::Shard;

/// How long a shard that has come is not moved on for balance. Its entities are being started, and would have to be before they could
/// stop: measured while a node drained to two others and came back at once, that alone kept shards sealed for 250 ms.
const ARRIVAL: Duration = Duration::from_secs(2);

/// What a member begins and stops to serve after a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Its own shards that it does not serve yet, with their epochs.
    pub gained: Vec<(Shard, i64)>,
    /// Shards that it has served until now: their entities have to go.
    pub lost: Vec<Shard>,
}

/// Has `shards` follow the tables, but for those that are being handed off.
pub fn follow(shards: &ShardMap, roll: &Roll, me: Uuid, moving: impl Fn(Shard) -> bool) -> Followed {
    let links: BTreeMap<Uuid, Arc<str>> = roll
        .members
        .values()
        .map(|member| (member.incarnation, member.link.as_str().into()))
        .collect();
    let mut followed = Followed::default();
    for (shard, owner) in roll.shards().filter(|(shard, _)| !moving(*shard)) {
        let incarnation = owner.incarnation.unwrap_or_default();
        if incarnation == me {
            if !shards.knows(shard, owner.epoch) {
                followed.gained.push((shard, owner.epoch));
            }
        } else if let Some(link) = links.get(&incarnation) {
            let there = Owner {
                incarnation,
                epoch: owner.epoch,
                link: link.clone(),
            };
            if shards.learn(shard, there).is_some() {
                followed.lost.push(shard);
            }
        } else {
            shards.disown(shard, owner.epoch);
            if shards.epoch(shard) != 0 && shards.epoch(shard) <= owner.epoch && shards.fence(shard) {
                followed.lost.push(shard);
            }
        }
    }
    followed
}

/// Somebody who is to be declared dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burial {
    /// Who.
    pub incarnation: Uuid,
    /// How often it had renewed when this was decided: a renewal that comes between is a sign of life, whatever the store's clock says
    /// of its lease by then.
    pub renewals: i64,
    /// Why.
    pub because: Cause,
}

/// Why a member is declared dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It has not renewed.
    LeaseOver,
    /// An operator wants it; it may hold a lease.
    Evicted,
}

impl Cause {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::LeaseOver => "lease over",
            Cause::Evicted => "evicted",
        }
    }
}

/// Whom this member declares dead: those whose lease is over as the judge says, and whom an operator wants dead.
///
/// Never itself: whether it lives is for others to say.
pub fn burials(roll: &Roll, expired: &[Uuid], me: Uuid) -> Vec<Burial> {
    let burial = |member: &Member, because| Burial {
        incarnation: member.incarnation,
        renewals: member.renewals,
        because,
    };
    let evicted = roll.members.values();
    let evicted = evicted.filter(|member| member.wanted == Some(Wanted::Dead));
    let expired = expired
        .iter()
        .filter_map(|incarnation| roll.members.get(incarnation));
    expired
        .map(|member| burial(member, Cause::LeaseOver))
        .chain(evicted.map(|member| burial(member, Cause::Evicted)))
        .filter(|burial| burial.incarnation != me)
        .collect()
}

/// Takes note of which shards nobody who lives owns, and since when.
pub fn note_orphans(orphaned: &mut BTreeMap<Shard, Duration>, roll: &Roll, now: Duration) {
    let orphans: BTreeSet<Shard> = roll.orphans().into_iter().map(|(shard, _)| shard).collect();
    orphaned.retain(|shard, _| orphans.contains(shard));
    for shard in orphans {
        orphaned.entry(shard).or_insert(now);
    }
}

/// The orphans that this member claims, with their epochs: those that are for it, and those that their heir has not claimed for `grace`.
pub fn claims(
    roll: &Roll,
    me: Uuid,
    orphaned: &BTreeMap<Shard, Duration>,
    now: Duration,
    grace: Duration,
) -> Vec<(Shard, i64)> {
    let orphans = roll.orphans();
    let all: Vec<Shard> = orphans.iter().map(|(shard, _)| *shard).collect();
    let heirs: BTreeMap<Shard, Uuid> = heirs(&all, &candidates(roll)).into_iter().collect();
    let waited = |shard: &Shard| {
        orphaned
            .get(shard)
            .map_or(Duration::ZERO, |since| now.saturating_sub(*since))
    };
    orphans
        .into_iter()
        .filter(|(shard, _)| heirs.get(shard) == Some(&me) || waited(shard) > grace)
        .collect()
}

/// Who may be given shards.
pub fn candidates(roll: &Roll) -> Vec<Candidate> {
    let mut shards: BTreeMap<Uuid, u32> = BTreeMap::new();
    for (_, owner) in roll.shards() {
        if let Some(incarnation) = owner.incarnation {
            *shards.entry(incarnation).or_default() += 1;
        }
    }
    roll.members
        .values()
        .filter(|member| member.state == MemberState::Serving && member.wanted != Some(Wanted::Draining))
        .map(|member| Candidate {
            incarnation: member.incarnation,
            shards: shards.get(&member.incarnation).copied().unwrap_or_default(),
            load: member.load,
        })
        .collect()
}

/// The shards that the table says are this member's and that it has stopped serving for good, under these epochs: somebody else has to
/// have them.
pub fn abandoned(shards: &ShardMap, roll: &Roll, me: Uuid) -> Vec<(Shard, i64)> {
    roll.owned_by(me)
        .filter(|(shard, owner)| shards.epoch(*shard) == 0 && shards.fenced_at(*shard) >= Some(owner.epoch))
        .map(|(shard, owner)| (shard, owner.epoch))
        .collect()
}

/// The state that a member has to change to, because it is about to end or an operator says so.
pub fn wanted_state(me: &Member, leaving: bool) -> Option<MemberState> {
    match (me.state, me.wanted) {
        (MemberState::Serving, _) if leaving => Some(MemberState::Draining),
        (MemberState::Serving, Some(Wanted::Draining)) => Some(MemberState::Draining),
        (MemberState::Draining, Some(Wanted::Serving)) if !leaving => Some(MemberState::Serving),
        _ => None,
    }
}

/// Who gets which of the shards of a member that drains.
pub fn drain(roll: &Roll, me: Uuid, mine: &[Shard]) -> Vec<(Shard, Uuid)> {
    let mut others = candidates(roll);
    others.retain(|candidate| candidate.incarnation != me);
    heirs(mine, &others)
}

/// Whether a shard may be moved on for balance that its owner has had for so long.
pub fn has_arrived(owned_for: Duration) -> bool {
    owned_for >= ARRIVAL
}

/// Whether a member may be given a shard: what was planned a moment ago may be out of date.
pub fn may_be_given(roll: &Roll, to: Uuid) -> bool {
    roll.members
        .get(&to)
        .is_some_and(|member| member.state == MemberState::Serving)
}

/// What is too much at this member: which of its shards, with their loads, go to whom.
///
/// Loads say something once nothing has moved for a while (`calm`). Until then only those get shards, by their number, who have
/// hardly anything.
pub fn balance(roll: &Roll, me: Uuid, mine: &[(Shard, u32)], calm: bool) -> Vec<(Shard, Uuid)> {
    let mut all = candidates(roll);
    let newcomers = newcomers(&all);
    if !calm {
        all.iter_mut().for_each(|candidate| candidate.load = 0);
    }
    let mut transfers = transfers(&all);
    if !calm {
        transfers.retain(|transfer| newcomers.contains(&transfer.to));
    }
    picks(me, mine, &transfers, Costs::of(&all))
}

/// Who has less than half of what everybody has in the mean. Whoever has few shards that are busy is none of them: it would be given
/// shards by their number, and would give them back for their load, for ever.
fn newcomers(all: &[Candidate]) -> BTreeSet<Uuid> {
    let costs = Costs::of(all);
    let cost = |candidate: &Candidate| costs.cost(candidate.shards, candidate.load);
    let total: u64 = all.iter().map(cost).sum();
    let has_little = |candidate: &&Candidate| cost(candidate) * 2 * (all.len() as u64) < total;
    all.iter()
        .filter(has_little)
        .map(|candidate| candidate.incarnation)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u128, shards: u32, load: u32) -> Candidate {
        Candidate {
            incarnation: Uuid::from_u128(number),
            shards,
            load,
        }
    }

    #[test]
    fn a_shard_that_has_just_come_is_not_moved_on() {
        assert!(!has_arrived(Duration::from_millis(1_999)));
        assert!(has_arrived(ARRIVAL));
    }

    #[test]
    fn whoever_has_few_shards_that_are_busy_is_no_newcomer() {
        let all = [
            candidate(1, 120, 1200),
            candidate(2, 8, 1600),
            candidate(3, 128, 1300),
        ];

        assert!(newcomers(&all).is_empty());
    }

    #[test]
    fn whoever_has_hardly_anything_is_a_newcomer() {
        let idle = [candidate(1, 200, 0), candidate(2, 14, 0), candidate(3, 42, 0)];
        let busy = [
            candidate(1, 200, 9000),
            candidate(2, 14, 90),
            candidate(3, 42, 2500),
        ];

        assert_eq!(newcomers(&idle), [Uuid::from_u128(2), Uuid::from_u128(3)].into());
        assert_eq!(newcomers(&busy), [Uuid::from_u128(2)].into());
    }
}
