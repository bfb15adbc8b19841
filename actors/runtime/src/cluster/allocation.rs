//! Who is to own which shard: a pure function of members, owners and loads, which every node computes alike.
//!
//! A shard costs one part for being there and one for its share of all turns, so that an idle cluster is balanced by counts and a busy
//! one by work as well. Orphans go to whoever has least. Beyond that shards are moved only when the difference is worth it,
//! by the node that has too much, and only until both sides are at the mean: what is balanced stays where it is.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::placement::{SHARDS, Shard};

/// What one shard costs without any load.
const SHARD: u64 = 1000;
/// What all load together costs: as much as all shards without it.
const LOAD: u64 = SHARD * SHARDS as u64;
/// Turns a second of the whole cluster below which load says nothing.
const LOAD_MIN: u64 = 1024;
/// A difference is worth moves from this part of the mean.
const TOLERANCE: u64 = 16;
/// And never for less than so much: a lone shard more here than there.
const TOLERANCE_MIN: u64 = SHARD * 2;

/// A member that may own shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who it is.
    pub incarnation: Uuid,
    /// How many shards it owns.
    pub shards: u32,
    /// Turns a second of all of them.
    pub load: u32,
}

/// Shards worth so much should go from one member to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Whose they are.
    pub from: Uuid,
    /// Who is to have them.
    pub to: Uuid,
    /// What they cost together.
    pub cost: u64,
}

/// What the load of a shard or of a member costs.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    total: u64,
}

impl Costs {
    /// The costs in a cluster of these members.
    pub fn of(members: &[Candidate]) -> Self {
        Costs {
            total: members.iter().map(|member| u64::from(member.load)).sum(),
        }
    }

    /// What so many shards with so many turns a second cost.
    pub fn cost(self, shards: u32, load: u32) -> u64 {
        let load = if self.total < LOAD_MIN {
            0
        } else {
            u64::from(load) * LOAD / self.total
        };
        u64::from(shards) * SHARD + load
    }
}

/// Who takes which orphan: each goes to whoever has least by then.
///
/// Nobody knows what an orphan's load was, so all are taken for equal. Empty without members.
pub fn heirs(orphans: &[Shard], members: &[Candidate]) -> Vec<(Shard, Uuid)> {
    let costs = Costs::of(members);
    let mut burdens: BTreeMap<Uuid, u64> = members
        .iter()
        .map(|member| (member.incarnation, costs.cost(member.shards, member.load)))
        .collect();
    let mut heirs = Vec::with_capacity(orphans.len());
    for shard in orphans {
        let Some((heir, burden)) = burdens
            .iter_mut()
            .min_by_key(|(incarnation, burden)| (**burden, **incarnation))
        else {
            return heirs;
        };
        // With its share of the load.
        *burden += costs.cost(1, 0) * 2;
        heirs.push((*shard, *heir));
    }
    heirs
}

/// What is to be moved between members for balance; empty if they are balanced well enough.
pub fn transfers(members: &[Candidate]) -> Vec<Transfer> {
    let costs = Costs::of(members);
    let mut burdens: BTreeMap<Uuid, u64> = members
        .iter()
        .map(|member| (member.incarnation, costs.cost(member.shards, member.load)))
        .collect();
    let Some(mean) = burdens.values().sum::<u64>().checked_div(burdens.len() as u64) else {
        return Vec::new();
    };
    let tolerance = (mean / TOLERANCE).max(TOLERANCE_MIN);
    let mut transfers = Vec::new();
    // Each step brings one member to the mean.
    for _ in 0..members.len() {
        let heaviest = burdens
            .iter()
            .max_by_key(|(incarnation, burden)| (**burden, **incarnation));
        let lightest = burdens
            .iter()
            .min_by_key(|(incarnation, burden)| (**burden, **incarnation));
        let (Some((&from, &most)), Some((&to, &least))) = (heaviest, lightest) else {
            break;
        };
        if most - least < tolerance {
            break;
        }
        let cost = (most - mean).min(mean - least);
        burdens.insert(from, most - cost);
        burdens.insert(to, least + cost);
        if cost >= SHARD {
            transfers.push(Transfer { from, to, cost });
        }
    }
    transfers
}

/// Which of its shards a member gives for the transfers that are from it, the costliest that fit first.
pub fn picks(me: Uuid, shards: &[(Shard, u32)], transfers: &[Transfer], costs: Costs) -> Vec<(Shard, Uuid)> {
    let mut left: Vec<(u64, Shard)> = shards
        .iter()
        .map(|(shard, load)| (costs.cost(1, *load), *shard))
        .collect();
    left.sort_unstable_by(|one, other| other.cmp(one));
    let mut picks = Vec::new();
    for transfer in transfers.iter().filter(|transfer| transfer.from == me) {
        let mut wanted = transfer.cost;
        left.retain(|(cost, shard)| {
            let fits = *cost <= wanted;
            if fits {
                wanted -= cost;
                picks.push((*shard, transfer.to));
            }
            !fits
        });
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u128, shards: u32, load: u32) -> Candidate {
        Candidate {
            incarnation: Uuid::from_u128(number),
            shards,
            load,
        }
    }

    /// Moves what the transfers say until nothing is left to move, and answers how many shards each has then.
    fn settle(members: &mut [Candidate], owned: &mut [Vec<(Shard, u32)>]) -> usize {
        let mut moves = 0;
        for _ in 0..100 {
            let (transfers, costs) = (transfers(members), Costs::of(members));
            let mut moved = Vec::new();
            for (member, shards) in members.iter().zip(&*owned) {
                let picks = picks(member.incarnation, shards, &transfers, costs);
                moved.extend(
                    picks
                        .into_iter()
                        .map(|(shard, to)| (member.incarnation, shard, to)),
                );
            }
            if moved.is_empty() {
                return moves;
            }
            moves += moved.len();
            for (from, shard, to) in moved {
                let index = |incarnation| {
                    members
                        .iter()
                        .position(|member| member.incarnation == incarnation)
                        .expect("a member")
                };
                let (from, to) = (index(from), index(to));
                let at = owned[from]
                    .iter()
                    .position(|(own, _)| *own == shard)
                    .expect("its own");
                let taken = owned[from].remove(at);
                owned[to].push(taken);
                members[from].shards -= 1;
                members[from].load -= taken.1;
                members[to].shards += 1;
                members[to].load += taken.1;
            }
        }
        panic!("never settles: {members:?}");
    }

    fn all(load: impl Fn(Shard) -> u32) -> Vec<(Shard, u32)> {
        (0..=Shard::MAX).map(|shard| (shard, load(shard))).collect()
    }

    #[test]
    fn orphans_are_shared_evenly_and_everybody_agrees_on_how() {
        let members = [member(1, 85, 0), member(2, 86, 0)];
        let orphans: Vec<Shard> = (0..85).collect();

        let heirs = heirs(&orphans, &members);

        let first = heirs.iter().filter(|(_, heir)| heir.as_u128() == 1).count();
        assert_eq!((heirs.len(), first), (85, 43));
        let swapped = [members[1], members[0]];
        assert_eq!(super::heirs(&orphans, &swapped), heirs);
    }

    #[test]
    fn nobody_inherits_where_nobody_lives() {
        assert!(heirs(&[1, 2], &[]).is_empty());
        assert!(transfers(&[]).is_empty());
    }

    #[test]
    fn an_idle_newcomer_gets_its_share_and_then_nothing_moves() {
        let mut members = [member(1, 128, 0), member(2, 128, 0), member(3, 0, 0)];
        let mut owned = [all(|_| 0)[..128].to_vec(), all(|_| 0)[128..].to_vec(), Vec::new()];

        let moves = settle(&mut members, &mut owned);

        assert!(moves <= 86, "{moves}");
        assert!(
            members.iter().all(|member| (84..=87).contains(&member.shards)),
            "{members:?}"
        );
        assert!(transfers(&members).is_empty());
    }

    #[test]
    fn a_member_with_hot_shards_keeps_fewer_of_them() {
        // Shard 0 has half of all turns.
        let load = |shard| if shard == 0 { 25_500 } else { 100 };
        let mut members = [member(1, 128, 25_500 + 127 * 100), member(2, 128, 12_800)];
        let mut owned = [all(load)[..128].to_vec(), all(load)[128..].to_vec()];

        settle(&mut members, &mut owned);

        let costs = Costs::of(&members);
        let [one, other] = members.map(|member| costs.cost(member.shards, member.load));
        assert!(one.abs_diff(other) <= one / 8, "{members:?}");
        assert!(members[0].shards < 100, "{members:?}");
    }

    #[test]
    fn small_differences_move_nothing() {
        assert!(transfers(&[member(1, 88, 0), member(2, 84, 0), member(3, 84, 0)]).is_empty());
        assert!(transfers(&[member(1, 128, 5200), member(2, 128, 4800)]).is_empty());
        // Hardly anything happens: load says nothing.
        assert!(transfers(&[member(1, 128, 900), member(2, 128, 0)]).is_empty());
    }
}
