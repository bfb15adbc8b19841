//! Orders that have something reserved elsewhere: what they cost, and what becomes of it.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};

use super::Error;
use super::buyer::{Buyer, Command, Event};
use super::buyer_test::{
    NOW, SANDBOX, USER, cancel, cny, declined, funded, line, place, request_refund, settle,
};
use super::ledger::{Account, posting};
use super::order::{Line, Method, OrderState, PlaceOrder};
use super::payment::Settlement;
use super::reservation::{CLOCKS_APART_MAX, Fate, Outcome, RESERVATIONS_MAX, Reservation};
use crate::ids::{CouponId, OrderId, SaleId};

fn until() -> Timestamp {
    NOW.plus(Duration::from_secs(10))
}

fn slot(sale: u128) -> Reservation {
    let sale_id = SaleId::from_u128(sale);
    Reservation::Slot { sale_id }
}

/// Order `n` of course 7 at 50.00 instead of 199.00, with a slot kept for ten seconds.
fn place_reserved(n: u128, method: Method, change: impl FnOnce(&mut PlaceOrder)) -> Command {
    let Command::PlaceOrder(mut order) = place(n, method, &[]) else {
        unreachable!("it places an order");
    };
    order.lines = vec![Line {
        discount: cny(14_900),
        ..line(7, 19_900)
    }];
    order.reservations = vec![slot(1)];
    order.reserved_until = Some(until());
    change(&mut order);
    Command::PlaceOrder(order)
}

fn fate(buyer: &Buyer, n: u128, now: Timestamp) -> Fate {
    buyer.fate(OrderId::from_u128(n), until(), now)
}

#[test]
fn a_discounted_line_costs_and_posts_its_net() {
    let mut buyer = funded();

    let events = buyer.must(place_reserved(1, Method::Wallet, |_| {}));

    let order = buyer.order(OrderId::from_u128(1)).expect("placed");
    assert_eq!(order.placement.total, cny(5_000));
    assert_eq!(buyer.wallet().balance(), cny(95_000));
    let sale = posting(USER, &buyer, &events[0]).expect("money moved");
    let amount = |account| {
        let of = sale.entries.iter().find(|entry| entry.account == account);
        of.map(|entry| entry.amount)
    };
    assert_eq!(amount(Account::UserWallet), Some(-5_000));
    assert_eq!(amount(Account::CreatorPayable), Some(3_500));
    assert_eq!(amount(Account::PlatformRevenue), Some(1_500));

    let back = buyer.must(request_refund(1, 5));
    let refund = posting(USER, &buyer, &back[0]).expect("money moved");
    assert_eq!(refund.wallet_change(), 5_000);
    assert_eq!(buyer.wallet().balance(), cny(100_000));
}

#[test]
fn a_discount_above_the_price_and_too_many_reservations_are_refused() {
    let buyer = funded();
    let too_much = place_reserved(1, Method::Wallet, |order| order.lines[0].discount = cny(19_901));
    let too_many = place_reserved(1, Method::Wallet, |order| {
        order.reservations = (0..=RESERVATIONS_MAX as u128).map(slot).collect();
    });

    assert_eq!(buyer.decide(too_much, NOW), Err(Error::AmountOutOfRange));
    assert_eq!(buyer.decide(too_many, NOW), Err(Error::TooManyReservations));
}

#[test]
fn an_order_is_not_placed_once_its_reservations_may_be_gone() {
    let mut buyer = funded();
    let late = place_reserved(1, Method::Wallet, |_| {});
    let undated = place_reserved(1, Method::Wallet, |order| order.reserved_until = None);

    assert_eq!(
        buyer.decide(late.clone(), until()),
        Err(Error::ReservationExpired)
    );
    assert_eq!(buyer.decide(undated, NOW), Err(Error::ReservationExpired));

    buyer.must(late.clone());
    assert_eq!(
        buyer.decide(late, until()),
        Ok(vec![]),
        "placed in time, it is answered for good"
    );
}

#[test]
fn an_unknown_order_is_open_until_it_can_be_placed_no_more() {
    let buyer = Buyer::default();
    let final_from = until().plus(CLOCKS_APART_MAX);

    assert_eq!(fate(&buyer, 1, NOW), Fate::Open { until: final_from });
    assert_eq!(fate(&buyer, 1, until()), Fate::Open { until: final_from });
    assert_eq!(fate(&buyer, 1, final_from), Fate::Settled(Outcome::Returned));
}

#[test]
fn an_order_consumes_what_was_reserved_exactly_if_it_was_fulfilled() {
    let pending = || {
        let mut buyer = funded();
        buyer.must(place_reserved(1, SANDBOX, |_| {}));
        buyer
    };
    let later = NOW.plus(Duration::from_secs(60));
    let expires_at = NOW.plus(Duration::from_secs(900));
    let mut buyer = pending();
    assert_eq!(fate(&buyer, 1, later), Fate::Open { until: expires_at });
    buyer.must(cancel(1));
    assert_eq!(fate(&buyer, 1, later), Fate::Open { until: later });

    buyer.must(settle(1, Settlement::Succeeded));
    assert_eq!(
        buyer.state_of(1),
        OrderState::Fulfilled,
        "nothing was returned yet"
    );
    assert_eq!(fate(&buyer, 1, later), Fate::Settled(Outcome::Consumed));
    buyer.must(request_refund(1, 5));
    assert_eq!(fate(&buyer, 1, later), Fate::Settled(Outcome::Consumed));

    let mut unpaid = pending();
    unpaid.must(settle(1, declined()));
    assert_eq!(fate(&unpaid, 1, later), Fate::Settled(Outcome::Returned));
}

#[test]
fn a_capture_after_the_reservations_were_returned_goes_back() {
    let mut buyer = funded();
    buyer.must(place_reserved(1, SANDBOX, |_| {}));
    buyer.must(cancel(1));
    buyer.must(settle(1, Settlement::Closed));

    let events = buyer.must(settle(1, Settlement::Succeeded));

    assert!(matches!(events[..], [Event::FulfilmentFailed { .. }]));
    assert!(!buyer.owns(7));
    assert_eq!(
        fate(&buyer, 1, until()),
        Fate::Settled(Outcome::Returned),
        "as it was before"
    );
}

#[test]
fn placements_of_before_have_neither_discount_nor_reservations() {
    let mut buyer = funded();
    let plain = buyer.must(place(1, Method::Wallet, &[(7, 200)]));
    let reserved = buyer.must(place_reserved(2, Method::Wallet, |order| {
        order.lines[0].course_id = line(8, 0).course_id;
        let coupon_id = CouponId::from_u128(1);
        order.reservations.push(Reservation::Coupon { coupon_id });
    }));

    let stored = serde_json::to_string(&plain).expect("it can be written");
    assert!(
        !stored.contains("discount") && !stored.contains("reserv"),
        "{stored}"
    );
    let read: Vec<Event> = serde_json::from_str(&stored).expect("it can be read");
    assert_eq!(read, plain);

    let stored = serde_json::to_value(&reserved[0]).expect("it can be written");
    assert_eq!(stored["lines"][0]["discount"]["amount"], 14_900);
    assert_eq!(stored["reservations"][0]["type"], "slot");
    assert_eq!(stored["reservations"][1]["type"], "coupon");
    assert_eq!(
        serde_json::from_value::<Event>(stored).expect("it can be read"),
        reserved[0]
    );
}
