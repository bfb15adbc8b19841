//! When a lease is renewed, when its holder stops, and what holds a renewal back: arithmetic without a clock.
//!
//! The store grants a lease from the moment it carries a renewal out; the holder counts from before it sent the renewal and stops a
//! margin earlier. So the holder has stopped, by any two clocks that run alike for a second, before anybody may call
//! the lease expired. Times are distances from any one moment in the past, by the holder's monotonic clock.

use std::time::Duration;

/// The lengths that a lease is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long a renewal grants the lease for, by the store's clock.
    pub ttl: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
    /// How much earlier than granted the holder stops.
    pub margin: Duration,
    /// How long a turn may take to pass through the node before renewals are held back.
    pub stall_max: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        LeaseTerms {
            ttl: Duration::from_millis(1200),
            renew_every: Duration::from_millis(250),
            margin: Duration::from_millis(100),
            stall_max: Duration::from_millis(1000),
        }
    }
}

/// What a holder has to do about its lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Renew it.
    Renew,
    /// Nothing, until then.
    Wait(Duration),
    /// Nothing, since the node stalls: a lease that keeps a node alive which serves nobody helps nobody.
    Stalled,
}

/// One holder's lease, as the holder sees it.
#[derive(Clone, Debug)]
pub struct Lease {
    terms: LeaseTerms,
    ends: Option<Duration>,
    next: Duration,
}

impl Lease {
    /// A lease that has not been granted yet.
    pub fn new(terms: LeaseTerms) -> Self {
        Lease {
            terms,
            ends: None,
            next: Duration::ZERO,
        }
    }

    /// What is due at `now`, when a turn passed through the node last at `alive`.
    pub fn due(&self, now: Duration, alive: Duration) -> Due {
        if now < self.next {
            return Due::Wait(self.next);
        }
        if now.saturating_sub(alive) > self.terms.stall_max {
            return Due::Stalled;
        }
        Due::Renew
    }

    /// A renewal is sent at `now`; the next one follows a while later, whatever becomes of it.
    pub fn sent(&mut self, now: Duration) {
        self.next = now + self.terms.renew_every;
    }

    /// The renewal that was sent at `sent` has been granted. Returns when the lease ends.
    pub fn granted(&mut self, sent: Duration) -> Duration {
        let ends = sent + self.terms.ttl.saturating_sub(self.terms.margin);
        // Answers may overtake one another; a lease is never shortened.
        let ends = self.ends.map_or(ends, |before| before.max(ends));
        self.ends = Some(ends);
        ends
    }

    /// Whether the holder may serve at `now`.
    pub fn held(&self, now: Duration) -> bool {
        self.ends.is_some_and(|ends| now < ends)
    }

    /// When the lease ends, if it was ever granted.
    pub fn ends(&self) -> Option<Duration> {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_holder_stops_before_the_store_can_call_its_lease_expired() {
        let terms = LeaseTerms::default();
        let mut lease = Lease::new(terms);
        let (sent, carried_out) = (ms(1000), ms(1080));

        lease.sent(sent);
        let ends = lease.granted(sent);

        assert!(ends + terms.margin <= carried_out + terms.ttl);
        assert!(lease.held(ms(2099)) && !lease.held(ms(2100)));
    }

    #[test]
    fn renewals_follow_one_another_whatever_becomes_of_them() {
        let mut lease = Lease::new(LeaseTerms::default());

        assert_eq!(lease.due(ms(0), ms(0)), Due::Renew);
        lease.sent(ms(0));
        assert_eq!(lease.due(ms(249), ms(249)), Due::Wait(ms(250)));
        assert_eq!(lease.due(ms(250), ms(250)), Due::Renew);
        assert!(!lease.held(ms(250)), "nothing was granted");
    }

    #[test]
    fn a_node_that_stalls_lets_its_lease_end() {
        let mut lease = Lease::new(LeaseTerms::default());
        lease.sent(ms(0));
        lease.granted(ms(0));

        assert_eq!(lease.due(ms(1001), ms(0)), Due::Stalled);
        assert!(!lease.held(ms(1100)));
        assert_eq!(lease.due(ms(1200), ms(1190)), Due::Renew);
    }

    #[test]
    fn a_late_answer_to_an_early_renewal_does_not_shorten_the_lease() {
        let mut lease = Lease::new(LeaseTerms::default());

        lease.granted(ms(500));

        assert_eq!(lease.granted(ms(250)), ms(1600));
    }
}
