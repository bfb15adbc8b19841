//! How a coupon counts its uses, whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lyceum_kernel::{Aggregate, Coded, Money, Timestamp};

use super::*;
use crate::commerce::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, OrderId, UserId};

pub(super) const CREATOR: UserId = UserId::from_u128(7);
pub(super) const OTHER: UserId = UserId::from_u128(8);
const BUYER: UserId = UserId::from_u128(1);

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn cny(amount: i64) -> Money {
    Money::new(amount, SETTLEMENT_CURRENCY).unwrap()
}

fn order(number: u128) -> OrderId {
    OrderId::from_u128(number)
}

/// Valid from 1,000 to 2,000, ten off everything, two uses, one for each buyer.
pub(super) fn terms() -> Terms {
    Terms {
        code: Code::parse("welcome-10").unwrap(),
        issuer: Issuer::Platform,
        benefit: Benefit::Fixed { off: cny(10) },
        scope: Scope::All,
        limit: 2,
        per_user: 1,
        stackable: true,
        starts_at: at(1_000),
        ends_at: at(2_000),
    }
}

pub(super) fn item(course: u128, creator: UserId, category: &str, price: i64) -> Item {
    Item {
        course_id: CourseId::from_u128(course),
        category: Some(category.into()),
        creator,
        price: cny(price),
    }
}

pub(super) fn cart() -> Vec<Item> {
    vec![
        item(1, CREATOR, "music", 300),
        item(2, OTHER, "design", 100),
        item(3, CREATOR, "design", 0),
    ]
}

fn issued(terms: Terms) -> Coupon {
    let mut coupon = Coupon::default();
    carry_out(&mut coupon, Command::Issue { terms, by: OTHER }, 0).unwrap();
    coupon
}

fn carry_out(coupon: &mut Coupon, command: Command, now: i64) -> Result<Vec<Event>, Error> {
    let events = coupon.decide(command, at(now))?;
    for event in &events {
        coupon.apply(event);
    }
    Ok(events)
}

fn reserve(number: u128, user: u128) -> Command {
    Command::Reserve {
        order_id: order(number),
        user: UserId::from_u128(user),
        items: cart(),
        stacked: false,
        until: at(5_000),
    }
}

#[test]
fn a_coupon_serves_within_its_validity_and_until_it_is_disabled() {
    let coupon = issued(terms());

    let refusal = |now| coupon.decide(reserve(1, 1), at(now)).err();
    assert_eq!(refusal(999), Some(Refusal::NotStarted.into()));
    assert_eq!(refusal(1_000), None);
    assert_eq!(refusal(1_999), None);
    assert_eq!(refusal(2_000), Some(Refusal::Expired.into()));

    let mut coupon = coupon;
    carry_out(&mut coupon, Command::Disable { by: CREATOR }, 1_500).unwrap();
    assert_eq!(
        coupon.decide(reserve(1, 1), at(1_500)),
        Err(Refusal::Disabled.into())
    );
    assert_eq!(
        carry_out(&mut coupon, Command::Disable { by: CREATOR }, 1_501),
        Ok(vec![])
    );
}

#[test]
fn a_limit_counts_what_is_reserved_and_what_is_redeemed() {
    let mut coupon = issued(terms());

    carry_out(&mut coupon, reserve(1, 1), 1_000).unwrap();
    assert_eq!(
        carry_out(&mut coupon, reserve(2, 1), 1_000),
        Err(Refusal::Used.into())
    );
    carry_out(&mut coupon, reserve(3, 2), 1_000).unwrap();
    carry_out(&mut coupon, Command::Redeem { order_id: order(3) }, 1_000).unwrap();

    assert_eq!(
        carry_out(&mut coupon, reserve(4, 3), 1_000),
        Err(Refusal::Exhausted.into())
    );
    assert_eq!(coupon.issued().unwrap().state(at(1_000)), "exhausted");
    carry_out(&mut coupon, Command::Release { order_id: order(1) }, 1_000).unwrap();
    assert!(carry_out(&mut coupon, reserve(5, 1), 1_000).is_ok());
    assert_eq!(coupon.issued().unwrap().uses(), 2);
}

#[test]
fn a_use_comes_back_once_however_often_it_is_released() {
    let mut coupon = issued(terms());
    carry_out(&mut coupon, reserve(1, 1), 1_000).unwrap();

    let release = || Command::Release { order_id: order(1) };
    assert_eq!(carry_out(&mut coupon, release(), 1_001).unwrap().len(), 1);
    assert_eq!(carry_out(&mut coupon, release(), 1_002), Ok(vec![]));
    assert_eq!(
        carry_out(&mut coupon, Command::Redeem { order_id: order(1) }, 1_003),
        Ok(vec![])
    );
    assert_eq!(coupon.issued().unwrap().uses(), 0);

    carry_out(&mut coupon, reserve(2, 1), 1_004).unwrap();
    let redeem = || Command::Redeem { order_id: order(2) };
    assert_eq!(carry_out(&mut coupon, redeem(), 1_005).unwrap().len(), 1);
    assert_eq!(carry_out(&mut coupon, redeem(), 1_006), Ok(vec![]));
    assert_eq!(
        carry_out(&mut coupon, Command::Release { order_id: order(2) }, 1_007),
        Ok(vec![])
    );
    assert_eq!(coupon.issued().unwrap().uses(), 1);
}

#[test]
fn what_is_reserved_survives_the_end_of_the_coupon_at_the_price_it_was_promised() {
    let mut coupon = issued(terms());
    carry_out(&mut coupon, reserve(1, 1), 1_999).unwrap();
    carry_out(&mut coupon, Command::Disable { by: CREATOR }, 1_999).unwrap();

    assert_eq!(carry_out(&mut coupon, reserve(1, 1), 3_000), Ok(vec![]));
    let claim = coupon.issued().unwrap().reserved[&order(1)].clone();
    let off: Vec<i64> = claim
        .discounts
        .iter()
        .map(|discount| discount.off.amount())
        .collect();
    assert_eq!(off, [8, 2]);
    assert_eq!(
        carry_out(&mut coupon, Command::Redeem { order_id: order(1) }, 3_000)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn only_a_stackable_coupon_serves_beside_another() {
    let coupon = issued(Terms {
        stackable: false,
        ..terms()
    });
    let beside = Command::Reserve {
        order_id: order(1),
        user: BUYER,
        items: cart(),
        stacked: true,
        until: at(5_000),
    };

    assert_eq!(
        coupon.decide(beside, at(1_000)),
        Err(Refusal::NotStackable.into())
    );
    assert!(coupon.decide(reserve(1, 1), at(1_000)).is_ok());
}

#[test]
fn the_creators_coupon_applies_before_the_platforms_and_two_of_a_kind_never_do() {
    let (creator, platform) = (Issuer::Creator(CREATOR), Issuer::Platform);
    let arranged = |issuers: &[Issuer]| arrange(issuers.to_vec(), |issuer| *issuer);

    assert_eq!(arranged(&[]), Ok(vec![]));
    assert_eq!(arranged(&[platform]), Ok(vec![platform]));
    assert_eq!(arranged(&[platform, creator]), Ok(vec![creator, platform]));
    assert_eq!(arranged(&[creator, platform]), Ok(vec![creator, platform]));
    assert_eq!(arranged(&[platform, platform]), Err(Refusal::NotStackable));
    assert_eq!(
        arranged(&[creator, Issuer::Creator(OTHER)]),
        Err(Refusal::NotStackable)
    );
}

#[test]
fn a_coupon_that_was_never_issued_refuses_everything() {
    for command in [
        Command::Disable { by: BUYER },
        reserve(1, 1),
        Command::Redeem { order_id: order(1) },
        Command::Release { order_id: order(1) },
    ] {
        let refused = Coupon::default().decide(command, at(1_000));
        assert_eq!(refused, Err(Error::Coupon(Refusal::NotFound)));
    }
    let mut coupon = issued(terms());
    let again = Command::Issue {
        terms: terms(),
        by: OTHER,
    };
    assert_eq!(carry_out(&mut coupon, again, 0), Ok(vec![]));
}

#[test]
fn codes_of_refusals_are_unique_and_belong_to_commerce() {
    let refusals = [
        Refusal::NotFound,
        Refusal::Unknown,
        Refusal::NotStarted,
        Refusal::Expired,
        Refusal::Disabled,
        Refusal::Exhausted,
        Refusal::Used,
        Refusal::NotApplicable,
        Refusal::BelowThreshold,
        Refusal::NotStackable,
        Refusal::CodeTaken,
        Refusal::CodeInvalid,
        Refusal::BenefitInvalid,
        Refusal::LimitInvalid,
        Refusal::ValidityInvalid,
        Refusal::ScopeInvalid,
    ];

    let codes: BTreeSet<_> = refusals.iter().map(Coded::code).collect();

    assert_eq!(codes.len(), refusals.len());
    assert!(codes.iter().all(|code| code.starts_with("commerce.coupon_")));
}

/// What a coupon should be, kept by the test beside it: every order's use and where it is.
#[derive(Default)]
struct Model {
    reserved: BTreeMap<OrderId, UserId>,
    redeemed: BTreeMap<OrderId, UserId>,
}

impl Model {
    fn uses_of(&self, user: UserId) -> usize {
        let uses = self.reserved.values().chain(self.redeemed.values());
        uses.filter(|of| **of == user).count()
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Reserved { order_id, user, .. } => {
                assert!(
                    !self.redeemed.contains_key(order_id),
                    "a spent use is not reserved anew"
                );
                assert_eq!(self.reserved.insert(*order_id, *user), None);
            }
            Event::Redeemed { order_id, .. } => {
                let user = self.reserved.remove(order_id).expect("was reserved");
                self.redeemed.insert(*order_id, user);
            }
            Event::Released { order_id, .. } => {
                self.reserved.remove(order_id).expect("was reserved");
            }
            Event::Issued { .. } | Event::Disabled { .. } => {}
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order_no_limit_is_passed_and_a_replay_ends_the_same() {
    for seed in 0..300_u64 {
        let mut state = seed;
        let mut below = |limit: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        let limit = u32::try_from(1 + below(6)).unwrap();
        let per_user = 1 + u32::try_from(below(u64::from(limit))).unwrap();
        let mut coupon = issued(Terms {
            limit,
            per_user,
            ..terms()
        });
        let mut replayed = coupon.clone();
        let mut model = Model::default();

        let mut fresh = 0_u128;
        for step in 0..200 {
            let known = order(u128::from(below(40)) % (fresh + 1));
            let command = match below(10) {
                0..=3 => {
                    // Orders are numbered once: whoever asks anew has a new order.
                    fresh += 1;
                    reserve(fresh, u128::from(below(4)))
                }
                4..=6 => Command::Redeem { order_id: known },
                7..=8 => Command::Release { order_id: known },
                _ if step > 150 => Command::Disable { by: CREATOR },
                _ => continue,
            };
            for event in carry_out(&mut coupon, command, 1_000 + step).unwrap_or_default() {
                model.apply(&event);
                replayed.apply(&event);
            }

            let issued = coupon.issued().unwrap();
            let uses = model.reserved.len() + model.redeemed.len();
            assert_eq!(usize::try_from(issued.uses()).unwrap(), uses, "seed {seed}");
            assert!(issued.uses() <= limit, "seed {seed}");
            for user in (0..4).map(UserId::from_u128) {
                let uses = usize::try_from(issued.uses_of(user)).unwrap();
                assert_eq!(uses, model.uses_of(user), "seed {seed}");
                assert!(issued.uses_of(user) <= per_user, "seed {seed}");
            }
        }
        assert_eq!(replayed, coupon, "seed {seed}");
        let stored = serde_json::to_string(&coupon).unwrap();
        assert_eq!(
            serde_json::from_str::<Coupon>(&stored).unwrap(),
            coupon,
            "seed {seed}"
        );
    }
}

#[test]
fn stored_events_stay_readable() {
    let stored = r#"{"type":"reserved","order_id":"ord_00000000000000000000000001","user":"usr_00000000000000000000000001",
        "discounts":[{"course_id":"crs_00000000000000000000000001","off":{"amount":8,"currency":"CNY"}}],
        "off":{"amount":8,"currency":"CNY"},"until":"1970-01-01T00:00:05Z","at":"1970-01-01T00:00:01Z"}"#;
    let event = Event::Reserved {
        order_id: order(1),
        user: BUYER,
        discounts: vec![Discount {
            course_id: CourseId::from_u128(1),
            off: cny(8),
        }],
        off: cny(8),
        until: at(5_000),
        at: at(1_000),
    };

    assert_eq!(serde_json::from_str::<Event>(stored).unwrap(), event);
    let category: Scope = serde_json::from_str(r#"{"category":"music"}"#).unwrap();
    assert_eq!(category, Scope::Category(Arc::from("music")));
}
