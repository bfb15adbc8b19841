//! Which refunds need an operator: those that leave a line partly paid, and those beyond what an order returns unseen.

use super::split::Wanted;
use super::split_test::{OPERATOR, decide, want, withdraw};
use super::*;
use crate::commerce::buyer::Buyer;
use crate::commerce::buyer_test::{cny, funded, place};
use crate::commerce::order::Method;
use crate::ids::OrderId;

/// What a buyer asks for, of whom refunds up to `automatic_max` need no operator.
fn asked(amount: Option<i64>, items: &[u128], automatic_max: i64) -> Wanted {
    Wanted {
        amount: amount.map(cny),
        items: items.iter().map(|item| CourseId::from_u128(*item)).collect(),
        destination: Destination::Original,
        automatic_max: Some(cny(automatic_max)),
    }
}

fn state_of(buyer: &Buyer, refund: u128) -> RefundState {
    let order = buyer.order(OrderId::from_u128(1)).expect("placed");
    let refund = order.refund(RefundId::from_u128(refund));
    refund.expect("asked for").state
}

#[test]
fn nobody_alone_refunds_all_but_a_cent_and_keeps_the_course() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 300), (8, 100)]));

    buyer.must(want(5, asked(Some(399), &[], 1_000)));
    buyer.must(want(6, asked(Some(1), &[], 1_000)));

    // The rest of a line is not the whole of it while the other refund may be withdrawn.
    assert_eq!(state_of(&buyer, 5), RefundState::Requested);
    assert_eq!(state_of(&buyer, 6), RefundState::Requested);
    buyer.must(withdraw(5));
    assert_eq!(buyer.wallet().balance(), cny(99_600));
    buyer.must(withdraw(6));
    buyer.must(want(7, asked(None, &[8], 1_000)));
    assert_eq!(state_of(&buyer, 7), RefundState::Succeeded, "a whole line");
    assert!(buyer.owns(7) && !buyer.owns(8));
}

#[test]
fn what_completes_a_line_that_an_operator_returned_a_part_of_needs_no_operator() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 300)]));
    buyer.must(want(5, asked(Some(100), &[], 1_000)));
    buyer.must(decide(5, true, OPERATOR));

    buyer.must(want(6, asked(None, &[], 1_000)));

    assert_eq!(state_of(&buyer, 6), RefundState::Succeeded);
    assert!(!buyer.owns(7));
}

#[test]
fn twenty_refunds_of_an_order_need_an_operator_where_one_of_as_much_does() {
    let mut buyer = funded();
    let lines: Vec<(u128, i64)> = (0..20).map(|line| (10 + line, 1_000)).collect();
    buyer.must(place(1, Method::Wallet, &lines));

    for line in 0..20 {
        buyer.must(want(100 + line, asked(None, &[10 + line], 1_999)));
    }

    let order = buyer.order(OrderId::from_u128(1)).expect("placed");
    assert_eq!(order.returned(), cny(1_000), "only the first is within the limit");
    // What an operator has looked at does not count towards what nobody does.
    buyer.must(decide(101, true, OPERATOR));
    buyer.must(withdraw(102));
    buyer.must(want(5, asked(None, &[12], 2_000)));
    assert_eq!(state_of(&buyer, 5), RefundState::Succeeded);
}
