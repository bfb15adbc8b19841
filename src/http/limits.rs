//! Rate limits: buckets that refill evenly, one per policy and caller or address.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm), so a
//! full bucket need not be kept and the map stays within its bound. Headers follow the IETF draft
//! "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! A limit holds for all nodes together. Each tells the others a few times a second how many requests somebody made who
//! has used a good part of their bucket; whoever has not is nobody's concern, and costs nothing. So beyond a limit at most
//! that part gets through on each node, and what comes in before the others have heard.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use lyceum_entities::{Taken, Takes};
use lyceum_kernel::Class;
use lyceum_runtime::metrics::Counter;
use uuid::Uuid;

use super::guard::Caller;
use super::meters::RATE_LIMITED_TOTAL;
use super::problem::{Problem, whole_seconds};
use super::settings::{Rate, Rates};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Requests of different callers rarely meet on one of so many locks.
const SHARDS: usize = 64;
/// Whoever has used one part in so many of their bucket is told of to the other nodes.
const BUSY_PART: u64 = 8;
/// Of how many the others are told at once; the rest wait for the next time.
const BUSY_MAX: usize = 2_000;

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
    guess: Policy,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    shard_entries_max: usize,
    started: Instant,
}

/// A policy's number, and whom it limits.
type BucketKey = (u8, Subject);

/// Some of the buckets.
#[derive(Default)]
struct Shard {
    buckets: HashMap<BucketKey, Bucket>,
    /// Those with untold requests that the other nodes are to hear of.
    busy: Vec<BucketKey>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// When it will be full again, in nanoseconds of the server's life.
    full_at: u64,
    /// Requests that the other nodes have not heard of.
    untold: u32,
    /// Whether it stands among the busy.
    listed: bool,
}

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
        let capacity = self.capacity();
        match ahead.checked_sub(capacity) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(Empty {
                retry_after: Duration::from_nanos(wait),
            }),
        }
    }

    /// Nanoseconds in which an empty bucket is full again.
    fn capacity(&self) -> u64 {
        self.interval.saturating_mul(self.quota)
    }

    fn is_busy(&self, full_at: u64, now: u64) -> bool {
        full_at.saturating_sub(now) >= self.capacity() / BUSY_PART
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
    /// Everybody has everything left. Times count from `started`.
    pub(super) fn new(rates: &Rates, started: Instant) -> Self {
        Limits {
            started,
            anonymous: Policy::new(0, "anonymous", rates.anonymous),
            authenticated: Policy::new(1, "authenticated", rates.authenticated),
            credentials: Policy::new(2, "credentials", rates.credentials),
            purchase: Policy::new(3, "purchase", rates.purchase),
            guess: Policy::new(4, "guess", rates.guess),
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

    /// Refuses a caller who has guessed wrong too often lately; a right guess costs nothing.
    pub(super) fn may_guess(&self, caller: &Caller) -> Result<(), Problem> {
        let policy = &self.guess;
        if policy.quota == 0 {
            return Ok(());
        }
        let key = (policy.number, Subject::caller(caller));
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.shard(key).buckets.get(&key).copied().unwrap_or_default();
        match policy.take(bucket.full_at, now) {
            Ok(_) => Ok(()),
            Err(empty) => Err(policy.refusal(&empty)),
        }
    }

    /// Counts a wrong guess of a caller.
    pub(super) fn guessed_wrong(&self, caller: &Caller) {
        if self.guess.quota > 0 {
            let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // Of several at once more than the limit may be wrong: they find the bucket empty next time.
            let _ = self.take_from(&self.guess, Subject::caller(caller), now);
        }
    }

    fn take_from<'a>(
        &'a self,
        policy: &'a Policy,
        subject: Subject,
        now: u64,
    ) -> Result<Allowance<'a>, Empty> {
        let key = (policy.number, subject);
        let mut shard = self.shard(key);
        let mut bucket = shard.buckets.get(&key).copied().unwrap_or_default();
        let is_new = bucket.full_at == 0;
        bucket.full_at = policy.take(bucket.full_at, now)?;
        bucket.untold = bucket.untold.saturating_add(1);
        if !bucket.listed && policy.is_busy(bucket.full_at, now) {
            bucket.listed = true;
            shard.busy.push(key);
        }
        if is_new && shard.buckets.len() >= self.shard_entries_max {
            make_room(&mut shard.buckets, now);
        }
        shard.buckets.insert(key, bucket);
        Ok(policy.allowance(bucket.full_at, now))
    }

    fn shard(&self, key: BucketKey) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % SHARDS;
        lock(&self.shards[index])
    }

    fn policies(&self) -> [&Policy; 5] {
        [
            &self.anonymous,
            &self.authenticated,
            &self.credentials,
            &self.purchase,
            &self.guess,
        ]
    }
}

impl Takes for Limits {
    fn taken(&self) -> Vec<Taken> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = &mut *lock(shard);
            while all.len() < BUSY_MAX
                && let Some(key) = shard.busy.pop()
            {
                // One that was dropped to make room is full.
                let Some(bucket) = shard.buckets.get_mut(&key) else {
                    continue;
                };
                bucket.listed = false;
                all.push(Taken {
                    policy: key.0,
                    subject: Uuid::from_u128(key.1.0),
                    requests: std::mem::take(&mut bucket.untold),
                });
            }
        }
        all
    }

    fn add(&self, taken: &[Taken]) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        for one in taken {
            let policies = self.policies();
            let policy = policies.iter().find(|policy| policy.number == one.policy);
            let Some(policy) = policy.filter(|policy| policy.quota > 0) else {
                continue;
            };
            let key = (policy.number, Subject(one.subject.as_u128()));
            let mut shard = self.shard(key);
            if !shard.buckets.contains_key(&key) && shard.buckets.len() >= self.shard_entries_max {
                make_room(&mut shard.buckets, now);
            }
            let bucket = shard.buckets.entry(key).or_default();
            // Empty is the worst: what got through elsewhere beyond the limit is nobody's debt.
            let worst = now.saturating_add(policy.capacity());
            let more = policy.interval.saturating_mul(u64::from(one.requests));
            bucket.full_at = bucket.full_at.max(now).saturating_add(more).min(worst);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic while the lock was held can only have left a bucket slightly too full.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops the buckets that are full by now or, if there are none, the one that will be soonest.
fn make_room(buckets: &mut HashMap<BucketKey, Bucket>, now: u64) {
    let before = buckets.len();
    buckets.retain(|_, bucket| bucket.full_at > now);
    if buckets.len() == before
        && let Some(key) = buckets
            .iter()
            .min_by_key(|(_, bucket)| bucket.full_at)
            .map(|(key, _)| *key)
    {
        buckets.remove(&key);
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
mod tests;
