//! Orders that are paid otherwise than they were begun: whichever payment is captured first pays, every other goes back.

use crate::commerce::Error;
use crate::commerce::buyer::{Buyer, Command, Event};
use crate::commerce::buyer_test::{
    SANDBOX, USER, cancel, cny, declined, external, funded, place, request_refund, settle,
};
use crate::commerce::ledger::{Account, posting};
use crate::commerce::order::{Method, OrderState, PAYMENTS_MAX};
use crate::commerce::payment::{Purpose, Settlement};
use crate::ids::{OrderId, PaymentId};

fn pay(payment: u128, method: Method) -> Command {
    Command::AddPayment {
        order_id: OrderId::from_u128(1),
        payment_id: PaymentId::from_u128(payment),
        method,
        payment_token: Some("tok_ok".into()),
    }
}

fn heard(payment: u128, outcome: Settlement) -> Command {
    Command::SettlePayment {
        payment_id: PaymentId::from_u128(payment),
        purpose: Purpose::Order(OrderId::from_u128(1)),
        outcome,
    }
}

fn payer(buyer: &Buyer) -> u128 {
    buyer
        .order(OrderId::from_u128(1))
        .expect("placed")
        .payment()
        .payment_id
        .as_u128()
}

#[test]
fn whichever_payment_is_captured_first_pays_and_the_other_is_a_surplus_once() {
    for (first, second) in [(1, 2), (2, 1)] {
        let mut buyer = external(&[pay(2, SANDBOX)]);

        buyer.must(heard(first, Settlement::Succeeded));

        assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
        assert_eq!(payer(&buyer), first);
        let events = buyer.must(heard(second, Settlement::Succeeded));
        assert!(matches!(events[..], [Event::PaymentSurplus { .. }]), "{events:?}");
        assert_eq!(
            posting(USER, &buyer, &events[0]),
            None,
            "the payment posts what it returns"
        );
        for payment in [first, second] {
            assert_eq!(buyer.act(heard(payment, Settlement::Succeeded)), Ok(vec![]));
            assert_eq!(buyer.act(heard(payment, Settlement::Closed)), Ok(vec![]));
        }
        assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
    }
}

#[test]
fn only_the_latest_payment_ends_an_order_that_nobody_paid() {
    let mut buyer = external(&[pay(2, SANDBOX)]);

    assert_eq!(buyer.act(heard(1, declined())), Ok(vec![]));
    assert_eq!(buyer.act(heard(1, Settlement::Closed)), Ok(vec![]));
    assert_eq!(buyer.state_of(1), OrderState::Pending);
    buyer.must(heard(2, declined()));
    assert_eq!(buyer.state_of(1), OrderState::Cancelled);

    // Money that arrives late revives the order, by whichever payment.
    buyer.must(heard(1, Settlement::Succeeded));
    assert_eq!((buyer.state_of(1), payer(&buyer)), (OrderState::Fulfilled, 1));
}

#[test]
fn the_wallet_pays_at_once_and_is_who_gets_the_money_back() {
    let mut buyer = funded();
    buyer.must(place(1, SANDBOX, &[(7, 19_900)]));

    let events = buyer.must(pay(2, Method::Wallet));

    assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
    assert_eq!(buyer.wallet().balance(), cny(80_100));
    let sale = posting(USER, &buyer, &events[0]).expect("money moved");
    assert_eq!(
        (sale.entries[0].account, sale.entries[0].amount),
        (Account::UserWallet, -19_900)
    );
    assert_eq!(buyer.act(pay(2, Method::Wallet)), Ok(vec![]), "redelivered");
    let late = buyer.must(heard(1, Settlement::Succeeded));
    assert!(matches!(late[..], [Event::PaymentSurplus { .. }]));
    let back = buyer.must(request_refund(1, 5));
    assert!(matches!(back[..], [Event::RefundedToWallet { .. }]));
    assert_eq!(buyer.wallet().balance(), cny(100_000));
}

#[test]
fn another_payment_is_refused_where_nothing_is_to_be_paid_or_nothing_can_pay() {
    let mut buyer = external(&[]);

    assert_eq!(buyer.act(pay(2, Method::Wallet)), Err(Error::InsufficientFunds));
    assert_eq!(
        buyer.act(heard(9, Settlement::Succeeded)),
        Err(Error::PaymentNotFound)
    );
    for payment in 0..PAYMENTS_MAX - 1 {
        buyer.must(pay(10 + payment as u128, SANDBOX));
    }
    assert_eq!(buyer.act(pay(20, SANDBOX)), Err(Error::TooManyPayments));
    let mut cancelled = external(&[cancel(1)]);
    assert_eq!(
        cancelled.act(pay(2, SANDBOX)),
        Err(Error::wrong_state("pending")),
        "it is being closed"
    );
    let mut paid = external(&[settle(1, Settlement::Succeeded)]);
    assert_eq!(paid.act(pay(2, SANDBOX)), Err(Error::wrong_state("fulfilled")));
}
