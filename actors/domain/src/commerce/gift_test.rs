//! Gifts: paid by one person, redeemed by another, and refunded only as long as nobody has redeemed them.

use super::batch::Refusal;
use super::buyer::{Buyer, Command};
use super::buyer_test::{NOW, SANDBOX, cancel, cny, funded, place, request_refund, settle};
use super::order::{Method, OrderState};
use super::payment::Settlement;
use super::refund::{Destination, Wanted};
use super::{Error, Source};
use crate::ids::{CodeId, CourseId, OrderId, RefundId, UserId};

const CODE: CodeId = CodeId::from_u128(77);
const FRIEND: UserId = UserId::from_u128(5);
const OTHER: UserId = UserId::from_u128(6);

fn gift(n: u128, method: Method) -> Command {
    match place(n, method, &[(7, 30_000)]) {
        Command::PlaceOrder(mut order) => {
            order.gift = Some(CODE);
            Command::PlaceOrder(order)
        }
        other => other,
    }
}

fn redeem(n: u128, user: UserId) -> Command {
    Command::RedeemGift {
        order_id: OrderId::from_u128(n),
        code: CODE,
        user,
    }
}

#[test]
fn a_gift_is_paid_by_its_giver_and_brings_them_nothing() {
    let mut giver = funded();

    giver.must(gift(1, Method::Wallet));

    assert_eq!(giver.wallet().balance().amount(), 70_000);
    assert!(!giver.owns(7));
    // They may give it once more, buy it for themselves, and give what they own.
    giver.must(gift(2, Method::Wallet));
    giver.must(place(3, Method::Wallet, &[(7, 30_000)]));
    assert!(giver.owns(7));
    assert_eq!(giver.act(gift(4, Method::Wallet)), Err(Error::InsufficientFunds));
}

#[test]
fn a_gift_is_redeemed_by_one_person_once() {
    let mut giver = funded();
    giver.must(gift(1, Method::Wallet));

    assert_eq!(giver.must(redeem(1, FRIEND)).len(), 1);
    assert_eq!(giver.must(redeem(1, FRIEND)), [], "the same person asks again");
    assert_eq!(giver.act(redeem(1, OTHER)), Err(Refusal::Used.into()));
    assert_eq!(giver.act(redeem(9, OTHER)), Err(Refusal::Unknown.into()));
    giver.must(place(2, Method::Wallet, &[(8, 100)]));
    assert_eq!(
        giver.act(redeem(2, OTHER)),
        Err(Refusal::Unknown.into()),
        "what is no gift has no code"
    );
}

#[test]
fn a_gift_is_refunded_or_redeemed_and_never_both() {
    let mut giver = funded();
    giver.must(gift(1, Method::Wallet));
    giver.must(gift(2, Method::Wallet));

    giver.must(redeem(1, FRIEND));
    assert_eq!(giver.act(request_refund(1, 1)), Err(Refusal::GiftRedeemed.into()));
    giver.must(request_refund(2, 2));
    assert_eq!(giver.act(redeem(2, FRIEND)), Err(Refusal::Cancelled.into()));
    assert_eq!(giver.wallet().balance().amount(), 70_000);
}

#[test]
fn a_gift_through_a_provider_is_redeemed_once_it_is_paid() {
    let mut giver = Buyer::default();
    giver.must(gift(1, SANDBOX));
    giver.must(gift(2, SANDBOX));

    assert_eq!(giver.act(redeem(1, FRIEND)), Err(Refusal::Unpaid.into()));
    giver.must(settle(1, Settlement::Succeeded));
    assert_eq!(giver.state_of(1), OrderState::Fulfilled);
    assert_eq!(giver.must(redeem(1, FRIEND)).len(), 1);

    giver.must(cancel(2));
    assert_eq!(giver.act(redeem(2, FRIEND)), Err(Refusal::Unpaid.into()));
    giver.must(settle(2, Settlement::Closed));
    assert_eq!(giver.act(redeem(2, FRIEND)), Err(Refusal::Cancelled.into()));
}

#[test]
fn a_code_gives_access_once() {
    let mut friend = funded();
    let granted = || Command::GrantCode {
        code: CODE,
        courses: vec![(CourseId::from_u128(7), 3)],
    };

    assert_eq!(friend.must(granted()).len(), 1);
    assert_eq!(friend.must(granted()), []);

    let live = friend.access().live(CourseId::from_u128(7), NOW).expect("access");
    assert_eq!((live.source, live.course_version), (Source::Code(CODE), 3));
    assert_eq!(
        friend.act(place(1, Method::Wallet, &[(7, 300)])),
        Err(Error::CourseAlreadyOwned)
    );
}

fn refund_of(n: u128, refund: u128, wanted: Wanted) -> Command {
    match request_refund(n, refund) {
        Command::RequestRefund {
            order_id,
            refund_id,
            reason,
            requester,
            ..
        } => Command::RequestRefund {
            order_id,
            refund_id,
            reason,
            wanted,
            requester,
        },
        other => other,
    }
}

#[test]
fn once_a_gift_is_redeemed_no_part_of_it_is_refunded_nor_previewed() {
    let mut giver = funded();
    giver.must(gift(1, Method::Wallet));
    giver.must(redeem(1, FRIEND));
    let part = Wanted {
        amount: Some(cny(1)),
        ..Wanted::default()
    };
    let line = Wanted {
        items: vec![CourseId::from_u128(7)],
        destination: Destination::Wallet,
        ..Wanted::default()
    };

    for wanted in [Wanted::default(), part, line] {
        let order = giver.order(OrderId::from_u128(1)).expect("the gift");
        assert_eq!(order.terms_of(&wanted, None), Err(Refusal::GiftRedeemed.into()));
        assert_eq!(
            giver.act(refund_of(1, 1, wanted)),
            Err(Refusal::GiftRedeemed.into())
        );
    }
}

#[test]
fn a_gift_that_was_refunded_in_part_gives_what_is_not_returned() {
    let mut giver = funded();
    let two = match place(1, Method::Wallet, &[(7, 30_000), (8, 20_000)]) {
        Command::PlaceOrder(mut order) => {
            order.gift = Some(CODE);
            Command::PlaceOrder(order)
        }
        other => other,
    };
    giver.must(two);
    let line = Wanted {
        items: vec![CourseId::from_u128(7)],
        ..Wanted::default()
    };

    giver.must(refund_of(1, 1, line));
    giver.must(redeem(1, FRIEND));

    let order = giver.order(OrderId::from_u128(1)).expect("the gift");
    assert_eq!(order.gives(), [(CourseId::from_u128(8), 3)]);
    assert_eq!(giver.wallet().balance().amount(), 80_000);
    assert_eq!(giver.act(request_refund(1, 2)), Err(Refusal::GiftRedeemed.into()));
}

#[test]
fn a_gift_waits_for_whoever_decides_about_its_refund() {
    let mut giver = funded();
    giver.must(gift(1, Method::Wallet));
    let large = Wanted {
        automatic_max: Some(cny(1)),
        ..Wanted::default()
    };

    giver.must(refund_of(1, 1, large));

    assert_eq!(giver.act(redeem(1, FRIEND)), Err(Refusal::Cancelled.into()));
    giver.must(Command::CancelRefund {
        order_id: OrderId::from_u128(1),
        refund_id: RefundId::from_u128(1),
    });
    assert_eq!(giver.must(redeem(1, FRIEND)).len(), 1);
}

#[test]
fn a_gift_is_not_redeemed_while_all_but_a_cent_of_it_has_gone_back() {
    let mut giver = funded();
    giver.must(gift(1, Method::Wallet));
    let all_but_a_cent = Wanted {
        amount: Some(cny(29_999)),
        ..Wanted::default()
    };
    // An operator allowed it, or it went back before it needed one.
    giver.must(refund_of(1, 1, all_but_a_cent));

    assert_eq!(giver.act(redeem(1, FRIEND)), Err(Refusal::Cancelled.into()));

    giver.must(request_refund(1, 2));
    assert_eq!(giver.wallet().balance().amount(), 100_000);
}
