//! Who may be declared dead, and who is only suspected: a judge that trusts no single clock.
//!
//! The store's clock says whether a lease is over. The judge adds what it has seen by its own clock: it calls a member dead only
//! after it has watched it not renew for a while, without a gap in its watching. So a store that was away, that starts anew or whose clock
//! jumps kills nobody: after each of these the judge begins to watch afresh, and whoever lives renews meanwhile.
//! Suspicion comes sooner and also from peers; it stops planned moves and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::lease::LeaseTerms;
use super::members::{Member, Roll};

/// Watches the members of a cluster.
#[derive(Clone, Debug)]
pub struct Judge {
    /// How long nobody may have renewed.
    quiet: Duration,
    /// How long a member may go without a renewal before it is suspected.
    suspicious: Duration,
    /// A longer pause between two looks is a gap.
    gap: Duration,
    looked: Option<Duration>,
    seen: BTreeMap<Uuid, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    renewals: i64,
    /// Since when the count of renewals has stood still.
    since: Duration,
    expired: bool,
}

impl Judge {
    /// A judge of leases with these terms.
    pub fn new(terms: LeaseTerms) -> Self {
        Judge {
            // As long as a lease lasts: whoever sees a renewal sees it after it was granted, so by then its holder has stopped, even if the
            // store's clock was set forward meanwhile.
            quiet: terms.ttl,
            suspicious: terms.renew_every * 3,
            gap: terms.renew_every * 2,
            looked: None,
            seen: BTreeMap::new(),
        }
    }

    /// Looks at the members at `now`, by the judge's own clock.
    pub fn look(&mut self, now: Duration, roll: &Roll) {
        let gap = self
            .looked
            .is_none_or(|looked| now.saturating_sub(looked) > self.gap);
        self.looked = Some(now);
        self.seen
            .retain(|incarnation, _| roll.members.contains_key(incarnation));
        for member in roll.members.values() {
            self.watch(now, gap, member);
        }
    }

    fn watch(&mut self, now: Duration, gap: bool, member: &Member) {
        let before = self.seen.get(&member.incarnation).copied();
        let since = match before {
            // After a gap a member has all of its lease to be heard of again.
            _ if gap => now,
            Some(seen) if seen.renewals == member.renewals => seen.since,
            _ => now,
        };
        self.seen.insert(
            member.incarnation,
            Seen {
                renewals: member.renewals,
                since,
                expired: member.expired,
            },
        );
    }

    /// Who may be declared dead at `now`.
    pub fn expired(&self, now: Duration) -> Vec<Uuid> {
        self.seen
            .iter()
            .filter(|(_, seen)| seen.expired && now.saturating_sub(seen.since) >= self.quiet)
            .map(|(incarnation, _)| *incarnation)
            .collect()
    }

    /// Who has not renewed for longer than usual.
    pub fn suspects(&self, now: Duration) -> BTreeSet<Uuid> {
        self.seen
            .iter()
            .filter(|(_, seen)| seen.expired || now.saturating_sub(seen.since) >= self.suspicious)
            .map(|(incarnation, _)| *incarnation)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::members::MemberState;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn roll(renewals: i64, expired: bool) -> Roll {
        let member = Member {
            incarnation: Uuid::from_u128(1),
            node: "a".into(),
            state: MemberState::Serving,
            wanted: None,
            http: String::new(),
            link: String::new(),
            version: String::new(),
            renewals,
            expired,
            load: 0,
        };
        Roll {
            members: [(member.incarnation, member)].into(),
            ..Roll::default()
        }
    }

    /// Looks every 100 ms from `from` to `to`, at a member that shows this.
    fn watch(judge: &mut Judge, from: u64, to: u64, show: impl Fn(u64) -> Roll) {
        for at in (from..=to).step_by(100) {
            judge.look(ms(at), &show(at));
        }
    }

    fn renewing(at: u64) -> Roll {
        roll(i64::try_from(at / 250).expect("small"), false)
    }

    #[test]
    fn a_member_that_renews_is_neither_dead_nor_suspected() {
        let mut judge = Judge::new(LeaseTerms::default());

        watch(&mut judge, 0, 5000, renewing);

        assert!(judge.expired(ms(5000)).is_empty());
        assert!(judge.suspects(ms(5000)).is_empty());
    }

    #[test]
    fn a_silent_member_is_suspected_first_and_dead_as_soon_as_its_lease_is_over() {
        let mut judge = Judge::new(LeaseTerms::default());
        watch(&mut judge, 0, 3000, renewing);

        watch(&mut judge, 3100, 3800, |_| roll(12, false));
        assert_eq!(judge.suspects(ms(3800)).len(), 1);
        assert!(judge.expired(ms(3800)).is_empty());

        watch(&mut judge, 3900, 4200, |at| roll(12, at >= 4200));
        assert_eq!(judge.expired(ms(4200)).len(), 1);
    }

    #[test]
    fn a_store_whose_clock_jumps_kills_nobody_who_renews() {
        let mut judge = Judge::new(LeaseTerms::default());

        watch(&mut judge, 0, 5000, |at| {
            roll(i64::try_from(at / 250).expect("small"), true)
        });

        assert!(judge.expired(ms(5000)).is_empty());
    }

    #[test]
    fn a_store_whose_clock_jumps_kills_nobody_whose_lease_still_lasts() {
        let mut judge = Judge::new(LeaseTerms::default());
        watch(&mut judge, 0, 3000, renewing);

        // Cut off from the store, which is 2 s ahead from then on; the holder serves until 4100.
        watch(&mut judge, 3100, 4100, |_| roll(12, true));

        assert!(judge.expired(ms(4100)).is_empty());
    }

    #[test]
    fn after_a_gap_everybody_has_a_whole_lease_to_renew() {
        let terms = LeaseTerms::default();
        let mut judge = Judge::new(terms);
        watch(&mut judge, 0, 1000, renewing);

        // The store was away for nine seconds, and nobody could renew.
        watch(&mut judge, 10_000, 11_100, |_| roll(4, true));
        assert!(judge.expired(ms(11_199)).is_empty());
        assert_eq!(judge.expired(ms(11_200)).len(), 1);
    }

    #[test]
    fn a_judge_that_begins_gives_everybody_a_whole_lease() {
        let mut judge = Judge::new(LeaseTerms::default());

        watch(&mut judge, 0, 1100, |_| roll(4, true));

        assert!(judge.expired(ms(1100)).is_empty());
        assert_eq!(judge.expired(ms(1200)).len(), 1);
    }
}
