//! What a keeper hands off next, and why: a drain first, then what operators wish, then balance.

use uuid::Uuid;

use super::duties;
use super::keeper::Keeper;
use super::members::MemberState;
use crate::placement::Shard;
use crate::store_error::StoreError;

/// How many looks lie between two at the wishes.
const SELDOM: u32 = 5;

/// A hand-off that is to begin.
pub(super) struct Planned {
    pub(super) shard: Shard,
    pub(super) to: Uuid,
    pub(super) reason: String,
    pub(super) wish: Option<i64>,
}

impl Keeper {
    pub(super) fn moves_max(&self) -> usize {
        let draining = self.me().is_some_and(|me| me.state == MemberState::Draining);
        if draining {
            self.cluster.settings.drain_moves_max
        } else {
            self.cluster.settings.moves_max
        }
    }

    /// What this node should hand off now: the most urgent first.
    pub(super) async fn plan(&mut self) -> Result<Vec<Planned>, StoreError> {
        let mine: Vec<Shard> = self
            .roll
            .owned_by(self.cluster.incarnation)
            .map(|(shard, _)| shard)
            .filter(|shard| self.cluster.shards.serving(*shard) && !self.moving.contains(shard))
            .collect();
        let state = self.me().map(|me| me.state);
        if state != Some(MemberState::Serving) {
            // What was too much here is nobody's concern any more, nor is it once this node serves again.
            self.backlog.clear();
        }
        match state {
            Some(MemberState::Draining) => {
                let drained = duties::drain(&self.roll, self.cluster.incarnation, &mine);
                Ok(planned(drained, "drain"))
            }
            Some(MemberState::Serving) => {
                if self.looks.is_multiple_of(SELDOM) {
                    let wished = self.wishes().await?;
                    if !wished.is_empty() {
                        return Ok(wished);
                    }
                }
                if self.frozen() {
                    self.backlog.clear();
                } else if self.backlog.is_empty() && self.moving.is_empty() {
                    self.backlog = self.balance(&mine);
                }
                if self.moved_at.elapsed() < self.cluster.settings.move_pause {
                    return Ok(Vec::new());
                }
                let free = self.moves_max().saturating_sub(self.moving.len());
                let next = self.backlog.split_off(self.backlog.len().saturating_sub(free));
                let takes = |to| duties::may_be_given(&self.roll, to);
                Ok(next
                    .into_iter()
                    .filter(|next| mine.contains(&next.shard) && takes(next.to))
                    .collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What is too much here.
    fn balance(&self, mine: &[Shard]) -> Vec<Planned> {
        let settle = self.cluster.settings.settle;
        let calm = self.owned_since.iter().all(|since| since.elapsed() >= settle);
        let owned_for = |shard: Shard| self.owned_since[usize::from(shard)].elapsed();
        let arrived = mine
            .iter()
            .filter(|shard| duties::has_arrived(owned_for(**shard)));
        let loads: Vec<(Shard, u32)> = arrived.map(|shard| (*shard, self.load.of(*shard))).collect();
        let picks = duties::balance(&self.roll, self.cluster.incarnation, &loads, calm);
        planned(picks, "balance")
    }

    /// The wishes that concern shards of this node.
    async fn wishes(&self) -> Result<Vec<Planned>, StoreError> {
        let mut planned = Vec::new();
        for wish in self.cluster.watching.wishes().await? {
            if !self.cluster.shards.serving(wish.shard) || self.moving.contains(&wish.shard) {
                continue;
            }
            match self.roll.named(&wish.to_node) {
                Some(to) if to.incarnation == self.cluster.incarnation => {
                    self.cluster.steering.fulfil(wish.id, "it is there").await?;
                }
                Some(to) if to.state == MemberState::Serving => planned.push(Planned {
                    shard: wish.shard,
                    to: to.incarnation,
                    reason: format!("wished: {}", wish.reason),
                    wish: Some(wish.id),
                }),
                _ => {
                    self.cluster
                        .steering
                        .fulfil(wish.id, "no such member serves")
                        .await?
                }
            }
        }
        Ok(planned)
    }

    /// Whether nothing is moved for balance: somebody is suspected, or has only just begun.
    fn frozen(&self) -> bool {
        let now = self.origin.elapsed();
        let mut members = self.roll.members.keys();
        self.roll.unsettled()
            || !self.judge.suspects(now).is_empty()
            || members.any(|incarnation| self.hands.peers.suspects(*incarnation))
            || !self.orphaned.is_empty()
    }
}

fn planned(picks: Vec<(Shard, Uuid)>, reason: &str) -> Vec<Planned> {
    picks
        .into_iter()
        .map(|(shard, to)| Planned {
            shard,
            to,
            reason: reason.to_owned(),
            wish: None,
        })
        .collect()
}
