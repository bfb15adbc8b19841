//! Slots of a sale: every state and command, and random histories of many buyers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lyceum_kernel::{Aggregate, Coded, Currency, Money, Timestamp};

use super::{Command, Event, Refusal, STOCK_MAX, Sale, State, Terms};
use crate::commerce::oversight::Deed;
use crate::commerce::reservation::Outcome;
use crate::commerce::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, OrderId, UserId};

const COURSE: CourseId = CourseId::from_u128(7);

fn at(second: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(second))
}

fn terms(stock: u32) -> Terms {
    Terms {
        course_id: COURSE,
        price: Money::new(5_000, SETTLEMENT_CURRENCY).expect("in range"),
        stock,
        starts_at: at(10),
        ends_at: at(100),
    }
}

fn open(terms: Terms) -> Command {
    let by = UserId::from_u128(9);
    Command::Open { terms, by }
}

fn sale(stock: u32) -> Sale {
    let mut sale = Sale::default();
    act(&mut sale, open(terms(stock)), at(0)).expect("it is made");
    sale
}

fn reserve(order: u128, user: u128) -> Command {
    Command::Reserve {
        order_id: OrderId::from_u128(order),
        user: UserId::from_u128(user),
        course_id: COURSE,
        until: at(30),
    }
}

fn settle(order: u128, user: u128, outcome: Outcome) -> Command {
    Command::Settle {
        order_id: OrderId::from_u128(order),
        user: UserId::from_u128(user),
        outcome,
    }
}

fn act(sale: &mut Sale, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
    let events = sale.decide(command, now)?;
    for event in &events {
        sale.apply(event);
    }
    Ok(events)
}

fn refused(sale: &Sale, command: Command, now: Timestamp) -> &'static str {
    sale.decide(command, now).expect_err("it is refused").code()
}

/// Sold, reserved and available slots.
fn slots(sale: &Sale) -> (u32, u32, u32) {
    let offer = sale.offer().expect("it is made");
    (offer.sold(), offer.reserved(), offer.available())
}

#[test]
fn a_sale_gives_slots_from_its_start_to_its_end() {
    let sale = sale(1);
    let state = |now| sale.offer().expect("it is made").state(now);

    assert_eq!(refused(&sale, reserve(1, 1), at(9)), "commerce.sale_not_started");
    assert!(sale.decide(reserve(1, 1), at(10)).is_ok());
    assert!(sale.decide(reserve(1, 1), at(99)).is_ok());
    assert_eq!(refused(&sale, reserve(1, 1), at(100)), "commerce.sale_ended");
    assert_eq!(
        [9, 10, 99, 100].map(|second| state(at(second))),
        [State::Scheduled, State::Open, State::Open, State::Ended]
    );
}

#[test]
fn a_sale_without_sense_is_not_made() {
    let refusal = |change: fn(&mut Terms)| {
        let mut terms = terms(1);
        change(&mut terms);
        refused(&Sale::default(), open(terms), at(50))
    };

    assert_eq!(refusal(|terms| terms.stock = 0), "commerce.sale_stock_invalid");
    assert_eq!(
        refusal(|terms| terms.stock = STOCK_MAX + 1),
        "commerce.sale_stock_invalid"
    );
    assert_eq!(
        refusal(|terms| terms.ends_at = terms.starts_at),
        "commerce.sale_time_invalid"
    );
    assert_eq!(
        refusal(|terms| terms.ends_at = at(50)),
        "commerce.sale_time_invalid"
    );
    assert_eq!(
        refusal(|terms| terms.price = Money::new(1, Currency::USD).expect("in range")),
        "commerce.currency_unsupported"
    );
    assert_eq!(
        refused(&Sale::default(), reserve(1, 1), at(50)),
        "commerce.sale_not_found"
    );
}

#[test]
fn a_buyer_has_one_slot_and_an_order_has_it_once() {
    let mut sale = sale(2);
    act(&mut sale, reserve(1, 1), at(10)).expect("there are two");

    assert_eq!(act(&mut sale, reserve(1, 1), at(11)), Ok(vec![]), "redelivered");
    assert_eq!(
        refused(&sale, reserve(2, 1), at(11)),
        "commerce.sale_slot_reserved"
    );
    act(&mut sale, settle(1, 1, Outcome::Consumed), at(12)).expect("it is paid");
    assert_eq!(refused(&sale, reserve(2, 1), at(13)), "commerce.sale_slot_sold");
    assert_eq!(slots(&sale), (1, 0, 1));
}

#[test]
fn a_slot_for_another_course_is_refused() {
    let other = Command::Reserve {
        order_id: OrderId::from_u128(1),
        user: UserId::from_u128(1),
        course_id: CourseId::from_u128(8),
        until: at(30),
    };

    assert_eq!(
        refused(&sale(1), other, at(10)),
        "commerce.sale_of_another_course"
    );
}

#[test]
fn an_unpaid_slot_returns_exactly_once() {
    let mut sale = sale(1);
    act(&mut sale, reserve(1, 1), at(10)).expect("there is one");
    assert_eq!(refused(&sale, reserve(2, 2), at(11)), "commerce.sale_sold_out");

    let released = act(&mut sale, settle(1, 1, Outcome::Returned), at(12)).expect("it is unpaid");
    assert!(matches!(released[..], [Event::SlotReleased { .. }]));
    act(&mut sale, reserve(2, 2), at(13)).expect("it came back");

    assert_eq!(
        act(&mut sale, settle(1, 1, Outcome::Returned), at(14)),
        Ok(vec![]),
        "the message comes a second time"
    );
    assert_eq!(slots(&sale), (0, 1, 0), "the second buyer keeps it");
    assert_eq!(refused(&sale, reserve(3, 3), at(15)), "commerce.sale_sold_out");
}

#[test]
fn a_slot_is_settled_after_the_end_of_the_sale_too() {
    let mut sale = sale(1);
    act(&mut sale, reserve(1, 1), at(99)).expect("there is one");

    act(&mut sale, settle(1, 1, Outcome::Consumed), at(500)).expect("it is paid");

    assert_eq!(slots(&sale), (1, 0, 0));
}

#[test]
fn a_buyer_who_contradicts_itself_is_refused_and_changes_nothing() {
    let mut sale = sale(2);
    act(&mut sale, reserve(1, 1), at(10)).expect("there is one");
    act(&mut sale, settle(1, 1, Outcome::Consumed), at(11)).expect("it is paid");
    act(&mut sale, reserve(2, 2), at(12)).expect("there is one");
    act(&mut sale, settle(2, 2, Outcome::Returned), at(13)).expect("it is unpaid");

    for contradiction in [settle(1, 1, Outcome::Returned), settle(2, 2, Outcome::Consumed)] {
        assert_eq!(refused(&sale, contradiction, at(14)), "commerce.wrong_state");
    }
    assert_eq!(
        act(&mut sale, settle(1, 1, Outcome::Consumed), at(15)),
        Ok(vec![]),
        "the message comes a second time"
    );
    assert_eq!(slots(&sale), (1, 0, 1));
}

/// Knuth's MMIX generator: a test needs a seed it can print, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn no_history_sells_more_than_the_stock_or_twice_to_one_buyer() {
    let mut sold_out = 0;
    for seed in 0..100 {
        let mut random = Random(seed);
        let stock = 1 + u32::try_from(random.below(8)).expect("small");
        let mut sale = sale(stock);
        // What the buyers would say of their orders, decided once for each.
        let mut fates: BTreeMap<(u128, u128), Outcome> = BTreeMap::new();
        let (mut sold, mut held, mut releases) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for step in 0..600_u128 {
            let user = 1 + u128::from(random.below(30));
            let command = if random.below(2) == 0 || fates.is_empty() {
                reserve(step, user)
            } else {
                let known: Vec<_> = fates.iter().collect();
                let index = usize::try_from(random.below(known.len() as u64)).expect("small");
                let ((order, user), outcome) = known[index];
                settle(*order, *user, *outcome)
            };
            match act(&mut sale, command, at(50)) {
                Ok(events) => {
                    for event in events {
                        match event {
                            Event::SlotReserved { order_id, user, .. } => {
                                let outcome = match random.below(2) {
                                    0 => Outcome::Consumed,
                                    _ => Outcome::Returned,
                                };
                                fates.insert((order_id.as_u128(), user.as_u128()), outcome);
                                assert!(held.insert(user), "seed {seed}: {user} has two");
                            }
                            Event::SlotSold { user, .. } => {
                                assert!(sold.insert(user), "seed {seed}: {user} bought twice");
                            }
                            Event::SlotReleased { order_id, user, .. } => {
                                assert!(releases.insert(order_id), "seed {seed}: it returned twice");
                                assert!(held.remove(&user), "seed {seed}");
                            }
                            Event::Opened { .. } => unreachable!("it is made already"),
                        }
                    }
                }
                Err(Error::Sale(Refusal::SoldOut)) => sold_out += 1,
                Err(error) => assert!(
                    matches!(error, Error::Sale(Refusal::SlotReserved | Refusal::SlotSold)),
                    "seed {seed}: {error:?}"
                ),
            }
            let (now_sold, reserved, available) = slots(&sale);
            assert_eq!(now_sold + reserved + available, stock, "seed {seed}");
            assert_eq!(now_sold as usize, sold.len(), "seed {seed}");
            assert_eq!((now_sold + reserved) as usize, held.len(), "seed {seed}");
        }
        let stored = serde_json::to_string(&sale).expect("it can be written");
        assert_eq!(
            serde_json::from_str::<Sale>(&stored).expect("it can be read"),
            sale
        );
    }
    assert!(
        sold_out > 1_000,
        "{sold_out} refusals are too few to mean anything"
    );
}

#[test]
fn twenty_thousand_buyers_of_five_hundred_seats_leave_a_small_state() {
    let mut sale = sale(500);

    for buyer in 1..=20_000 {
        let reserved = act(&mut sale, reserve(buyer, buyer), at(50));
        assert_eq!(reserved.is_ok(), buyer <= 500);
    }

    let bytes = serde_json::to_string(&sale).expect("it can be written").len();
    assert!(bytes < 100_000, "{bytes} bytes");
}

#[test]
fn an_operator_opens_a_sale_of_somebodys_course_with_a_reason_that_stays_with_it() {
    let open = |reason: &str| Command::OpenFor {
        terms: terms(1),
        deed: Deed {
            operator: UserId::from_u128(9),
            reason: reason.into(),
            node: "n1".into(),
        },
    };

    assert_eq!(
        Sale::default().decide(open("  "), at(0)),
        Err(Error::ReasonLength)
    );
    let events = Sale::default()
        .decide(open("for the fair"), at(0))
        .expect("it is made");

    let [
        Event::Opened {
            deed: Some(deed), by, ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((deed.reason.as_str(), *by), ("for the fair", deed.operator));
}
