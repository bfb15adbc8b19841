//! Rate limits: buckets that refill evenly, one per policy and caller or address.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm), so a
//! full bucket need not be kept and the map stays within its bound. Headers follow the IETF draft
//! "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use lyceum_kernel::Class;
use lyceum_runtime::metrics::Counter;

use super::guard::Caller;
use super::meters::RATE_LIMITED_TOTAL;
use super::problem::{Problem, whole_seconds};
use super::settings::{Rate, Rates};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Requests of different callers rarely meet on one of so many locks.
const SHARDS: usize = 64;

/// Which limit a route counts towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Per caller, or per address for anybody without a valid token.
    Usual,
    /// Per address: the route tells whether credentials are right.
    Credentials,
    /// Per caller: the route moves money.
    Purchase,
    /// Not limited: health, and callbacks whose sender proves itself.
    Never,
}

/// Whom a bucket belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject(u128);

impl Subject {
    pub(super) fn caller(caller: &Caller) -> Self {
        Subject(caller.user.as_u128())
    }

    /// An address; of IPv6 the /64, because one customer is given at least that many.
    pub(super) fn address(address: IpAddr) -> Self {
        Subject(match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        })
    }
}

/// All policies and their buckets.
pub(super) struct Limits {
    anonymous: Policy,
    authenticated: Policy,
    credentials: Policy,
    purchase: Policy,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    shard_entries_max: usize,
}

/// When each bucket will be full again, in nanoseconds of the server's life.
type Shard = HashMap<(u8, Subject), u64>;

struct Policy {
    number: u8,
    name: &'static str,
    /// Requests of a full bucket; 0 for no limit.
    quota: u64,
    /// Nanoseconds in which one request's worth flows back.
    interval: u64,
    header: HeaderValue,
    refused: Counter,
}

/// What is left of a bucket, to be told to the client.
pub(super) struct Allowance<'a> {
    policy: &'a Policy,
    remaining: u64,
    full_after: Duration,
}

/// The bucket is empty.
#[derive(Debug, PartialEq, Eq)]
struct Empty {
    retry_after: Duration,
}

impl Policy {
    fn new(number: u8, name: &'static str, rate: Rate) -> Self {
        let window = u64::try_from(rate.window_s.as_nanos()).unwrap_or(u64::MAX);
        let header = format!("\"{name}\";q={};w={}", rate.requests, rate.window_s.as_secs());
        Policy {
            number,
            name,
            quota: u64::from(rate.requests),
            interval: window / u64::from(rate.requests.max(1)),
            header: HeaderValue::from_str(&header).expect("names and digits are visible ASCII"),
            refused: RATE_LIMITED_TOTAL.with([name]),
        }
    }

    /// Takes one request from a bucket that will be full at `full_at`; answers when it will be full then.
    fn take(&self, full_at: u64, now: u64) -> Result<u64, Empty> {
        let next = full_at.max(now).saturating_add(self.interval);
        let ahead = next - now;
        let capacity = self.interval.saturating_mul(self.quota);
        match ahead.checked_sub(capacity) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(Empty {
                retry_after: Duration::from_nanos(wait),
            }),
        }
    }

    fn allowance(&self, full_at: u64, now: u64) -> Allowance<'_> {
        let ahead = full_at.saturating_sub(now);
        let used = ahead.div_ceil(self.interval.max(1));
        Allowance {
            policy: self,
            remaining: self.quota.saturating_sub(used),
            full_after: Duration::from_nanos(ahead),
        }
    }
}

impl Limits {
    pub(super) fn new(rates: &Rates) -> Self {
        Limits {
            anonymous: Policy::new(0, "anonymous", rates.anonymous),
            authenticated: Policy::new(1, "authenticated", rates.authenticated),
            credentials: Policy::new(2, "credentials", rates.credentials),
            purchase: Policy::new(3, "purchase", rates.purchase),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            shard_entries_max: (rates.entries_max / SHARDS).max(1),
        }
    }

    /// Counts one request; `None` if it is not limited. `now` is the time since the server started.
    pub(super) fn take(
        &self,
        limit: Limit,
        caller: Option<&Caller>,
        address: IpAddr,
        now: impl FnOnce() -> Duration,
    ) -> Result<Option<Allowance<'_>>, Problem> {
        let (policy, caller) = match (limit, caller) {
            (Limit::Never, _) => return Ok(None),
            (Limit::Credentials, _) => (&self.credentials, None),
            (Limit::Purchase, Some(caller)) => (&self.purchase, Some(caller)),
            (Limit::Usual, Some(caller)) => (&self.authenticated, Some(caller)),
            (Limit::Usual | Limit::Purchase, None) => (&self.anonymous, None),
        };
        if policy.quota == 0 {
            return Ok(None);
        }
        let subject = caller.map_or_else(|| Subject::address(address), Subject::caller);
        let now = u64::try_from(now().as_nanos()).unwrap_or(u64::MAX);
        self.take_from(policy, subject, now)
            .map(Some)
            .map_err(|empty| policy.refusal(&empty))
    }

    fn take_from<'a>(
        &'a self,
        policy: &'a Policy,
        subject: Subject,
        now: u64,
    ) -> Result<Allowance<'a>, Empty> {
        let key = (policy.number, subject);
        let index = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % SHARDS;
        // A panic while the lock was held can only have left a bucket slightly too full.
        let mut shard = self.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = shard.get(&key).copied().unwrap_or(0);
        let next = policy.take(full_at, now)?;
        if full_at == 0 && shard.len() >= self.shard_entries_max {
            make_room(&mut shard, now);
        }
        shard.insert(key, next);
        Ok(policy.allowance(next, now))
    }
}

/// Drops the buckets that are full by now or, if there are none, the one that will be soonest.
fn make_room(shard: &mut Shard, now: u64) {
    let before = shard.len();
    shard.retain(|_, full_at| *full_at > now);
    if shard.len() == before
        && let Some(key) = shard
            .iter()
            .min_by_key(|(_, full_at)| **full_at)
            .map(|(key, _)| *key)
    {
        shard.remove(&key);
    }
}

impl Policy {
    fn refusal(&self, empty: &Empty) -> Problem {
        self.refused.increment();
        let state = format!("\"{}\";r=0;t={}", self.name, whole_seconds(empty.retry_after));
        Problem::new(
            Class::TooMany,
            "http.rate_limited",
            "Too many requests. Slow down.",
        )
        .retry_after(empty.retry_after)
        .header(RATE_LIMIT_POLICY, self.header.clone())
        .header(
            RATE_LIMIT,
            HeaderValue::from_str(&state).expect("names and digits are visible ASCII"),
        )
    }
}

impl Allowance<'_> {
    /// Tells the client what is left.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let mut state = String::with_capacity(48);
        let seconds = whole_seconds(self.full_after);
        // Writing to a String cannot fail.
        let _ = write!(state, "\"{}\";r={};t={seconds}", self.policy.name, self.remaining);
        if let Ok(value) = HeaderValue::try_from(state) {
            headers.insert(RATE_LIMIT, value);
        }
        headers.insert(RATE_LIMIT_POLICY, self.policy.header.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use lyceum_domain::accounts::Roles;
    use lyceum_kernel::Id;

    use super::*;
    use crate::http::settings::for_tests;

    const SECOND: u64 = 1_000_000_000;

    /// Ten requests in ten seconds: one flows back each second.
    fn policy() -> Policy {
        let rate = serde_json::from_value(serde_json::json!({"requests": 10, "window_s": 10})).unwrap();
        Policy::new(0, "anonymous", rate)
    }

    fn limits(requests: u32, entries_max: u32) -> Limits {
        let rate = serde_json::json!({"requests": requests, "window_s": 10});
        Limits::new(
            &for_tests(&[
                ("/rate/anonymous", rate),
                ("/rate/entries_max", serde_json::json!(entries_max)),
            ])
            .rate,
        )
    }

    fn anonymous(limits: &Limits, address: impl Into<IpAddr>, at_s: u64) -> bool {
        limits
            .take(Limit::Usual, None, address.into(), || Duration::from_secs(at_s))
            .is_ok()
    }

    #[test]
    fn a_full_bucket_gives_its_quota_at_once_and_then_one_per_interval() {
        let policy = policy();
        let start = 100 * SECOND;
        let mut full_at = 0;
        for taken in 1..=10 {
            full_at = policy.take(full_at, start).unwrap();
            assert_eq!(policy.allowance(full_at, start).remaining, 10 - taken);
        }

        assert_eq!(
            policy.take(full_at, start),
            Err(Empty {
                retry_after: Duration::from_secs(1)
            })
        );
        let half = start + SECOND / 2;
        assert_eq!(
            policy.take(full_at, half),
            Err(Empty {
                retry_after: Duration::from_millis(500)
            })
        );
        full_at = policy.take(full_at, start + SECOND).unwrap();
        assert!(policy.take(full_at, start + SECOND).is_err());
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_quota() {
        let policy = policy();
        let late = 1_000_000 * SECOND;
        let mut full_at = 0;

        let given = (0..100)
            .filter(|_| policy.take(full_at, late).map(|next| full_at = next).is_ok())
            .count();

        assert_eq!(given, 10);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let limits = limits(1, 100_000);
        let take = || {
            limits.take(Limit::Usual, None, Ipv4Addr::LOCALHOST.into(), || {
                Duration::from_secs(5)
            })
        };

        let mut headers = HeaderMap::new();
        take()
            .ok()
            .flatten()
            .expect("the first is allowed")
            .write(&mut headers);
        let refused = take().err().expect("the second is not").into_reply("");

        assert_eq!(headers[RATE_LIMIT], "\"anonymous\";r=0;t=10");
        assert_eq!(headers[RATE_LIMIT_POLICY], "\"anonymous\";q=1;w=10");
        assert_eq!(refused.status().as_u16(), 429);
        assert_eq!(refused.headers()["retry-after"], "10");
        assert_eq!(refused.headers()[RATE_LIMIT], "\"anonymous\";r=0;t=10");
    }

    #[test]
    fn callers_and_addresses_have_buckets_of_their_own() {
        let limits = limits(1, 100_000);
        let caller = Caller {
            user: Id::from_u128(1),
            session: Id::from_u128(2),
            roles: Roles::default(),
        };

        assert!(anonymous(&limits, Ipv4Addr::new(10, 0, 0, 1), 0));
        assert!(anonymous(&limits, Ipv4Addr::new(10, 0, 0, 2), 0));
        assert!(!anonymous(&limits, Ipv4Addr::new(10, 0, 0, 1), 0));
        let known = limits.take(
            Limit::Usual,
            Some(&caller),
            Ipv4Addr::new(10, 0, 0, 1).into(),
            || Duration::ZERO,
        );
        assert!(known.is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let limits = limits(1, 100_000);

        assert!(anonymous(&limits, "2001:db8::1".parse::<Ipv6Addr>().unwrap(), 0));
        assert!(!anonymous(&limits, "2001:db8::2".parse::<Ipv6Addr>().unwrap(), 0));
        assert!(anonymous(
            &limits,
            "2001:db8:0:1::1".parse::<Ipv6Addr>().unwrap(),
            0
        ));
        // The same client over a socket that speaks both protocols.
        assert!(anonymous(
            &limits,
            "::ffff:10.0.0.1".parse::<Ipv6Addr>().unwrap(),
            0
        ));
        assert!(!anonymous(&limits, Ipv4Addr::new(10, 0, 0, 1), 0));
    }

    #[test]
    fn the_map_stays_within_its_bound_under_a_flood_of_addresses() {
        let limits = limits(1, 1024);

        for number in 0..100_000_u32 {
            anonymous(&limits, Ipv4Addr::from_bits(number), 1);
        }

        let entries: usize = limits
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert!(entries <= 1024, "{entries}");
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limits = limits(0, 1024);

        assert!(matches!(
            limits.take(Limit::Usual, None, Ipv4Addr::LOCALHOST.into(), || unreachable!()),
            Ok(None)
        ));
    }
}
