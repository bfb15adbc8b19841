//! What a map makes of what it is told, in which order, and when.

use futures_util::FutureExt;

use super::*;

fn owner(epoch: i64) -> Owner {
    Owner {
        incarnation: Uuid::from_u128(7),
        epoch,
        link: "127.0.0.1:1".into(),
    }
}

#[test]
fn a_sealed_shard_keeps_its_epoch_and_takes_nothing_new() {
    let shards = ShardMap::default();
    shards.serve(3, 5);

    assert_eq!(shards.seal(3), Some(5));
    assert_eq!(shards.seal(3), None, "once");
    assert_eq!((shards.serving(3), shards.epoch(3)), (false, 5));
    assert_eq!(shards.place(3), Place::Sealed);

    shards.unseal(3);
    assert_eq!((shards.serving(3), shards.place(3)), (true, Place::Here));
}

#[test]
fn what_is_told_under_a_lower_epoch_is_ignored() {
    let shards = ShardMap::default();
    shards.serve(3, 5);

    assert_eq!(shards.learn(3, owner(4)), None);
    assert_eq!(shards.learn(3, owner(5)), None, "it is ours");
    assert_eq!(shards.place(3), Place::Here);
    assert_eq!(shards.learn(3, owner(6)), Some(5));
    assert_eq!(shards.place(3), Place::There(owner(6)));
    assert!(!shards.open(3, 6));
    assert!(shards.open(3, 7));
    assert_eq!((shards.place(3), shards.epoch(3)), (Place::Here, 7));
}

#[test]
fn a_node_that_is_told_early_that_a_shard_is_its_own_can_still_open_it() {
    let shards = ShardMap::of(Uuid::from_u128(7));
    let before = Owner {
        incarnation: Uuid::from_u128(8),
        ..owner(5)
    };
    shards.learn(3, before.clone());

    assert_eq!(shards.learn(3, owner(6)), None);

    assert_eq!(shards.place(3), Place::There(before));
    assert!(shards.open(3, 6));
    assert_eq!(shards.place(3), Place::Here);
}

#[test]
fn shards_of_a_dead_owner_are_nowhere_and_do_not_come_back() {
    let shards = ShardMap::default();
    shards.learn(3, owner(6));

    shards.disown(3, 6);

    assert_eq!(shards.place(3), Place::Nowhere);
    shards.learn(3, owner(6));
    assert_eq!(shards.place(3), Place::Nowhere);
    shards.learn(3, owner(7));
    assert_eq!(shards.place(3), Place::There(owner(7)));
}

#[test]
fn nothing_is_served_once_the_lease_has_ended_and_all_of_it_when_it_is_held_again() {
    let shards = ShardMap::default();
    let now = Instant::now();
    let (second, later) = (Duration::from_secs(1), now + Duration::from_secs(2));
    shards.serve(3, 5);
    shards.lease_until(now + second);

    assert!(shards.serving_at(3, now) && !shards.serving_at(3, later));
    assert!(shards.serving(3), "nobody has looked at the clock");
    assert!(!shards.end_lease(now));
    assert!(shards.end_lease(later));
    assert!(!shards.end_lease(later), "once");
    assert_eq!((shards.serving(3), shards.epoch(3)), (false, 5));
    assert_eq!(shards.place(3), Place::Nowhere);

    shards.lease_until(now + second * 60);
    assert_eq!((shards.serving(3), shards.place(3)), (true, Place::Here));
}

#[tokio::test]
async fn whoever_waits_for_a_sealed_shard_hears_where_it_went() {
    let shards = ShardMap::default();
    shards.serve(3, 5);
    shards.seal(3);
    let mut settled = Box::pin(shards.settled(3));
    assert!(settled.as_mut().now_or_never().is_none());

    shards.learn(3, owner(6));

    settled.await;
    assert_eq!(shards.place(3), Place::There(owner(6)));
}

#[test]
fn what_another_node_told_is_taken_back_by_a_later_look_that_found_less() {
    let map = ShardMap::of(Uuid::from_u128(1));
    let owner = |incarnation: u128, epoch: i64| Owner {
        incarnation: Uuid::from_u128(incarnation),
        epoch,
        link: "there".into(),
    };
    map.learn(3, owner(2, 5));
    let before = Instant::now();
    map.hear(3, owner(9, i64::MAX));

    map.correct(3, 5, before);
    let believed = map.place(3);
    map.correct(3, 5, Instant::now() + Duration::from_millis(1));
    map.learn(3, owner(2, 5));

    assert_eq!(believed, Place::There(owner(9, i64::MAX)));
    assert_eq!(map.place(3), Place::There(owner(2, 5)));
}

#[test]
fn what_another_node_told_and_the_table_says_too_stays() {
    let map = ShardMap::of(Uuid::from_u128(1));
    let owner = Owner {
        incarnation: Uuid::from_u128(2),
        epoch: 6,
        link: "there".into(),
    };
    map.hear(3, owner.clone());

    map.correct(3, 6, Instant::now() + Duration::from_millis(1));

    assert_eq!(map.place(3), Place::There(owner));
}
