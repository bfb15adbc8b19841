//! What happens after a purchase: late captures, refunds, top-ups, imports.

use std::time::Duration;

use lyceum_kernel::Aggregate;

use super::Error;
use super::access::{ImportId, Source};
use super::buyer::{Buyer, Command, Event, ImportedPurchase};
use super::buyer_test::{
    NOW, SANDBOX, USER, cancel, cny, declined, external, funded, place, request_refund, retry, settle,
    settle_refund, settle_top_up, top_up,
};
use super::ledger::posting;
use super::order::{Method, OrderState};
use super::payment::Settlement;
use super::refund::{RefundOutcome, RefundState};
use crate::ids::{CourseId, OrderId};

#[test]
fn a_capture_after_cancel_is_returned_when_the_course_was_bought_meanwhile() {
    let mut buyer = funded();
    buyer.must(place(1, SANDBOX, &[(7, 19_900)]));
    buyer.must(cancel(1));
    buyer.must(settle(1, Settlement::Closed));
    buyer.must(place(2, Method::Wallet, &[(7, 19_900)]));

    let events = buyer.must(settle(1, Settlement::Succeeded));

    assert!(matches!(events[..], [Event::FulfilmentFailed { .. }]));
    assert_eq!(buyer.state_of(1), OrderState::Refunding);
    let refund_id = buyer.order(OrderId::from_u128(1)).expect("placed").refunds[0].refund_id;
    buyer.must(settle_refund(1, refund_id.as_u128(), 1, RefundOutcome::Succeeded));
    assert_eq!(buyer.state_of(1), OrderState::Refunded);
    assert!(buyer.owns(7), "the access that order 2 bought is untouched");
}

#[test]
fn a_capture_after_cancel_is_returned_while_another_order_of_the_course_is_pending() {
    let mut buyer = external(&[cancel(1), settle(1, Settlement::Closed)]);
    buyer.must(place(2, SANDBOX, &[(7, 19_900)]));

    buyer.must(settle(1, Settlement::Succeeded));

    assert_eq!(buyer.state_of(1), OrderState::Refunding);
    assert_eq!(buyer.state_of(2), OrderState::Pending);
}

#[test]
fn a_wallet_refund_is_one_decision_that_takes_back_what_the_sale_gave() {
    let mut buyer = funded();
    let sold = buyer.must(place(1, Method::Wallet, &[(7, 19_999)]));
    let sale = posting(USER, &buyer, &sold[0]).expect("money moved");

    let events = buyer.must(request_refund(1, 5));

    let refund = posting(USER, &buyer, &events[0]).expect("money moved");
    assert_eq!(events.len(), 1);
    assert_eq!(buyer.state_of(1), OrderState::Refunded);
    assert_eq!(buyer.wallet().balance(), cny(100_000));
    assert!(!buyer.owns(7));
    for (entry, back) in sale.entries.iter().zip(&refund.entries) {
        assert_eq!(
            (entry.account, entry.owner, entry.amount),
            (back.account, back.owner, -back.amount)
        );
    }
}

#[test]
fn a_refund_is_refused_after_its_window() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 200)]));
    let late = NOW.plus(Duration::from_secs(3_600));

    assert_eq!(
        buyer.decide(request_refund(1, 5), late),
        Err(Error::RefundWindowClosed)
    );
}

#[test]
fn a_failed_refund_is_tried_again_under_the_next_attempt() {
    let mut buyer = external(&[settle(1, Settlement::Succeeded), request_refund(1, 5)]);
    buyer.must(settle_refund(1, 5, 1, RefundOutcome::Unknown));
    buyer.must(settle_refund(1, 5, 1, RefundOutcome::Failed));
    assert!(buyer.owns(7), "access ends with the success of the refund");
    assert_eq!(
        buyer.order(OrderId::from_u128(1)).map(|order| order.saga()),
        Ok("refund_failed")
    );

    buyer.must(retry(1, 5));

    assert!(
        buyer
            .must(settle_refund(1, 5, 1, RefundOutcome::Failed))
            .is_empty(),
        "the old attempt is over"
    );
    let refund = buyer.order(OrderId::from_u128(1)).expect("placed").refunds[0].clone();
    assert_eq!((refund.attempt, refund.state), (2, RefundState::Processing));
    buyer.must(settle_refund(1, 5, 2, RefundOutcome::Succeeded));
    assert_eq!(buyer.state_of(1), OrderState::Refunded);
    assert!(!buyer.owns(7));
}

#[test]
fn a_top_up_credits_the_wallet_once_however_often_and_late_it_is_reported() {
    for before in [vec![], vec![declined()], vec![Settlement::Closed, declined()]] {
        let mut buyer = Buyer::default();
        buyer.must(top_up(1, 500));
        for outcome in before {
            buyer.must(settle_top_up(1, outcome));
        }
        assert_eq!(buyer.wallet().balance(), cny(0));

        for outcome in [
            Settlement::Succeeded,
            Settlement::Succeeded,
            declined(),
            Settlement::Closed,
        ] {
            buyer.must(settle_top_up(1, outcome));
        }

        assert_eq!(buyer.wallet().balance(), cny(500));
    }
}

#[test]
fn an_import_grants_access_once_and_not_beside_what_is_owned() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 100)]));
    let purchase = |import: u128, course: u128| ImportedPurchase {
        import_id: ImportId::from_u128(import),
        course_id: CourseId::from_u128(course),
        course_version: 1,
        at: NOW,
    };
    let import = Command::Import {
        purchases: vec![purchase(1, 7), purchase(2, 8), purchase(3, 8)],
    };

    buyer.must(import.clone());

    assert!(buyer.owns(8));
    let live = buyer
        .access()
        .live(CourseId::from_u128(7), NOW)
        .map(|grant| grant.source);
    assert_eq!(live, Some(Source::Order(OrderId::from_u128(1))));
    assert_eq!(buyer.act(import), Ok(vec![]));
    assert_eq!(
        buyer.act(place(2, Method::Wallet, &[(8, 100)])),
        Err(Error::CourseAlreadyOwned)
    );
}
