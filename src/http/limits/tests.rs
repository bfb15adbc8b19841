//! Buckets, their refusals, and what nodes tell each other of them.

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
        Instant::now(),
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
        began: lyceum_kernel::Timestamp::EPOCH,
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
        .map(|shard| shard.lock().unwrap().buckets.len())
        .sum();
    assert!(entries <= 1024, "{entries}");
}

#[test]
fn a_limit_holds_for_all_nodes_together() {
    let (here, there) = (limits(10, 1024), limits(10, 1024));
    let address = Ipv4Addr::new(10, 0, 0, 1);
    for _ in 0..6 {
        assert!(anonymous(&here, address, 0));
    }

    let told = here.taken();
    there.add(&told);
    let given = (0..10).filter(|_| anonymous(&there, address, 1)).count();
    // Their own requests are what the others hear of, and not what they have heard.
    here.add(&there.taken());

    assert_eq!(told.len(), 1);
    assert_eq!(told[0].requests, 6);
    // One of the ten has flowed back meanwhile, but for the moment since the others were heard of.
    assert_eq!(given, 4);
    assert!(!anonymous(&here, address, 0));
    assert_eq!(here.taken(), [], "nothing is told twice");
}

#[test]
fn whoever_is_far_from_a_limit_is_not_told_of() {
    let limits = limits(100, 1024);

    anonymous(&limits, Ipv4Addr::new(10, 0, 0, 1), 0);

    assert_eq!(limits.taken(), []);
}

#[test]
fn a_limit_of_zero_is_none() {
    let limits = limits(0, 1024);

    assert!(matches!(
        limits.take(Limit::Usual, None, Ipv4Addr::LOCALHOST.into(), || unreachable!()),
        Ok(None)
    ));
}

#[test]
fn only_wrong_guesses_count_and_too_many_of_them_stop_the_right_ones_as_well() {
    let rate = serde_json::json!({"requests": 2, "window_s": 3_600});
    let limits = Limits::new(&for_tests(&[("/rate/guess", rate)]).rate, Instant::now());
    let caller = |user| Caller {
        user: Id::from_u128(user),
        session: Id::from_u128(2),
        began: lyceum_kernel::Timestamp::EPOCH,
        roles: Roles::default(),
    };
    let (guesser, other) = (caller(1), caller(2));

    for _ in 0..10 {
        assert!(limits.may_guess(&guesser).is_ok());
    }
    limits.guessed_wrong(&guesser);
    assert!(limits.may_guess(&guesser).is_ok());
    limits.guessed_wrong(&guesser);
    limits.guessed_wrong(&guesser);

    assert!(limits.may_guess(&guesser).is_err());
    assert!(limits.may_guess(&other).is_ok());
}
