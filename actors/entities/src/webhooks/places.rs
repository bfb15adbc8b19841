//! The places of one node: how many attempts are under way, in all, for each user and for each endpoint.
//!
//! Invariant: no more are taken of either than its limit, as long as whoever claims asks what is open first.

use std::collections::HashMap;
use std::hash::Hash;

use lyceum_domain::ids::{UserId, WebhookEndpointId};

use super::queue::{Open, Waiting};

/// How many attempts may be under way at once; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct PlaceLimits {
    /// In all.
    pub node: usize,
    /// For one user, whatever number of endpoints they have.
    pub user: usize,
    /// For one endpoint.
    pub endpoint: usize,
}

/// Which places are taken.
#[derive(Debug)]
pub(super) struct Places {
    limits: PlaceLimits,
    taken: usize,
    users: HashMap<UserId, usize>,
    endpoints: HashMap<WebhookEndpointId, usize>,
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Self {
        Places {
            limits,
            taken: 0,
            users: HashMap::new(),
            endpoints: HashMap::new(),
        }
    }

    /// How many are free in all.
    pub(super) fn free(&self) -> usize {
        self.limits.node.saturating_sub(self.taken)
    }

    /// What may be claimed of an endpoint for which something is due; `None` if it, or its user, has no place left.
    pub(super) fn open(&self, waiting: &Waiting) -> Option<Open> {
        let left = |limit: usize, taken: Option<&usize>| limit.saturating_sub(taken.copied().unwrap_or(0));
        let of_user = left(self.limits.user, self.users.get(&waiting.user));
        let of_endpoint = left(self.limits.endpoint, self.endpoints.get(&waiting.endpoint_id));
        (of_user > 0 && of_endpoint > 0).then_some(Open {
            endpoint_id: waiting.endpoint_id,
            user: waiting.user,
            of_endpoint,
            of_user,
        })
    }

    pub(super) fn take(&mut self, user: UserId, endpoint: WebhookEndpointId) {
        self.taken += 1;
        *self.users.entry(user).or_default() += 1;
        *self.endpoints.entry(endpoint).or_default() += 1;
    }

    pub(super) fn release(&mut self, user: UserId, endpoint: WebhookEndpointId) {
        self.taken = self.taken.saturating_sub(1);
        one_less(&mut self.users, &user);
        one_less(&mut self.endpoints, &endpoint);
    }
}

/// Counts one less, and forgets whoever has none: the maps are as large as what is under way.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: PlaceLimits = PlaceLimits {
        node: 8,
        user: 3,
        endpoint: 2,
    };

    fn waiting(user: u128, endpoint: u128) -> Waiting {
        Waiting {
            endpoint_id: WebhookEndpointId::from_u128(endpoint),
            user: UserId::from_u128(user),
            due_for: Some(Duration::ZERO),
        }
    }

    #[test]
    fn somebody_with_many_endpoints_has_no_more_places_than_one_user_may_have() {
        let mut places = Places::new(LIMITS);
        for endpoint in 1..=3 {
            places.take(UserId::from_u128(1), WebhookEndpointId::from_u128(endpoint));
        }

        assert!(
            places.open(&waiting(1, 4)).is_none(),
            "their fourth endpoint waits"
        );
        let other = places.open(&waiting(2, 5)).expect("somebody else's does not");

        assert_eq!((other.of_user, other.of_endpoint, places.free()), (3, 2, 5));
        places.release(UserId::from_u128(1), WebhookEndpointId::from_u128(3));
        let own = places.open(&waiting(1, 1)).expect("a place is free again");
        assert_eq!((own.of_user, own.of_endpoint), (1, 1));
    }

    #[test]
    fn an_endpoint_that_has_all_its_places_is_passed_over() {
        let mut places = Places::new(LIMITS);
        for _ in 0..LIMITS.endpoint {
            places.take(UserId::from_u128(1), WebhookEndpointId::from_u128(1));
        }

        assert!(places.open(&waiting(1, 1)).is_none());
        assert!(places.open(&waiting(1, 2)).is_some());
    }
}
