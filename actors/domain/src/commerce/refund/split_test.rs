//! Refunds of a part: how an amount is split, what that takes back of whom, and every (state, command) pair of a refund.

use super::split::Wanted;
use super::*;
use crate::commerce::buyer::{Buyer, Command, Event};
use crate::commerce::buyer_test::{
    NOW, SANDBOX, USER, cny, external, funded, place, request_refund, settle, settle_refund,
};
use crate::commerce::ledger::{Account, posting};
use crate::commerce::order::{Method, OrderState};
use crate::commerce::payment::Settlement;
use crate::ids::OrderId;
use lyceum_kernel::Aggregate;

pub(super) const OPERATOR: UserId = UserId::from_u128(1_000);

pub(super) fn want(refund: u128, wanted: Wanted) -> Command {
    Command::RequestRefund {
        order_id: OrderId::from_u128(1),
        refund_id: RefundId::from_u128(refund),
        reason: "half of it".into(),
        wanted,
        requester: Some(USER),
    }
}

fn part(refund: u128, amount: i64) -> Command {
    want(
        refund,
        Wanted {
            amount: Some(cny(amount)),
            ..Wanted::default()
        },
    )
}

pub(super) fn decide(refund: u128, approved: bool, operator: UserId) -> Command {
    Command::DecideRefund {
        order_id: OrderId::from_u128(1),
        refund_id: RefundId::from_u128(refund),
        approved,
        deed: Deed {
            operator,
            reason: "looked into".into(),
            node: "n1".into(),
        },
    }
}

pub(super) fn withdraw(refund: u128) -> Command {
    Command::CancelRefund {
        order_id: OrderId::from_u128(1),
        refund_id: RefundId::from_u128(refund),
    }
}

fn parts(buyer: &Buyer, refund: usize) -> Vec<(u128, i64)> {
    let order = buyer.order(OrderId::from_u128(1)).expect("placed");
    let parts = order.refunds[refund].parts.iter();
    parts
        .map(|part| (part.course_id.as_u128(), part.amount.amount()))
        .collect()
}

#[test]
fn an_amount_is_split_over_the_lines_by_the_largest_remainder() {
    for (prices, amount, split) in [
        (
            vec![(7, 100), (8, 100), (9, 100)],
            100,
            vec![(7, 34), (8, 33), (9, 33)],
        ),
        (vec![(7, 1), (8, 999)], 1, vec![(8, 1)]),
        (vec![(7, 300), (8, 100)], 200, vec![(7, 150), (8, 50)]),
        (vec![(7, 300), (8, 100)], 400, vec![(7, 300), (8, 100)]),
        (vec![(7, 2), (8, 3), (9, 5)], 9, vec![(7, 2), (8, 3), (9, 4)]),
    ] {
        let mut buyer = funded();
        buyer.must(place(1, Method::Wallet, &prices));

        buyer.must(part(5, amount));

        assert_eq!(parts(&buyer, 0), split, "{amount} of {prices:?}");
    }
}

#[test]
fn two_refunds_of_60_on_100_are_one_and_a_refusal() {
    let mut buyer = Buyer::default();
    buyer.must(place(1, SANDBOX, &[(7, 100)]));
    buyer.must(settle(1, Settlement::Succeeded));
    buyer.must(part(5, 60));

    assert_eq!(buyer.act(part(6, 60)), Err(Error::RefundExceedsCapture));
    assert_eq!(buyer.act(part(5, 60)), Ok(vec![]), "redelivered");
    buyer.must(part(6, 40));
    assert_eq!(
        buyer.act(request_refund(1, 7)),
        Err(Error::wrong_state("refunding"))
    );
}

#[test]
fn access_ends_line_by_line_and_an_amount_alone_ends_none_until_a_line_is_returned() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 300), (8, 100)]));

    buyer.must(part(5, 200));

    assert_eq!(buyer.state_of(1), OrderState::PartiallyRefunded);
    assert!(buyer.owns(7) && buyer.owns(8));
    let item = Wanted {
        items: vec![CourseId::from_u128(8)],
        ..Wanted::default()
    };
    buyer.must(want(6, item.clone()));
    assert_eq!(parts(&buyer, 1), [(8, 50)]);
    assert!(buyer.owns(7) && !buyer.owns(8));
    assert_eq!(buyer.state_of(1), OrderState::PartiallyRefunded);
    assert_eq!(buyer.act(want(7, item)), Err(Error::RefundExceedsCapture));
    buyer.must(request_refund(1, 8));
    assert_eq!(buyer.state_of(1), OrderState::Refunded);
    assert!(!buyer.owns(7));
    assert_eq!(buyer.wallet().balance(), cny(100_000));
    assert_eq!(buyer.act(part(9, 1)), Err(Error::wrong_state("refunded")));
}

#[test]
fn a_line_that_cost_nothing_is_returned_by_its_name() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 0), (8, 100)]));
    let item = Wanted {
        items: vec![CourseId::from_u128(7)],
        ..Wanted::default()
    };

    buyer.must(want(5, item.clone()));

    assert!(!buyer.owns(7) && buyer.owns(8));
    assert_eq!(buyer.state_of(1), OrderState::PartiallyRefunded);
    assert_eq!(buyer.act(want(6, item)), Err(Error::RefundExceedsCapture));
}

#[test]
fn what_cannot_be_refunded_is_refused_with_its_code() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 100), (8, 50)]));
    let items = |items: &[u128]| Wanted {
        items: items.iter().map(|item| CourseId::from_u128(*item)).collect(),
        ..Wanted::default()
    };
    let dollars = Wanted {
        amount: Money::new(1, lyceum_kernel::Currency::USD).ok(),
        ..Wanted::default()
    };
    let of_one = Wanted {
        amount: Some(cny(51)),
        ..items(&[8])
    };

    for (command, refusal) in [
        (part(5, 151), Error::RefundExceedsCapture),
        (part(5, 0), Error::AmountOutOfRange),
        (want(5, items(&[9])), Error::RefundItemUnknown),
        (want(5, items(&[7, 7])), Error::DuplicateCourse),
        (want(5, of_one), Error::RefundExceedsCapture),
        (want(5, dollars), Error::CurrencyUnsupported),
        (withdraw(5), Error::RefundNotFound),
        (decide(5, true, OPERATOR), Error::RefundNotFound),
    ] {
        assert_eq!(buyer.act(command.clone()), Err(refusal), "{command:?}");
    }
}

#[test]
fn an_order_has_so_many_refunds_and_no_more() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 1_000)]));
    for refund in 0..REFUNDS_MAX {
        buyer.must(part(100 + refund as u128, 1));
    }

    assert_eq!(buyer.act(part(5, 1)), Err(Error::TooManyRefunds));
}

/// A buyer with a refund of 60 of 100, above what is automatic, in the given state.
fn held(state: &str) -> Buyer {
    let mut buyer = Buyer::default();
    buyer.must(place(1, SANDBOX, &[(7, 100)]));
    buyer.must(settle(1, Settlement::Succeeded));
    let wanted = Wanted {
        amount: Some(cny(60)),
        automatic_max: Some(cny(59)),
        ..Wanted::default()
    };
    buyer.must(want(5, wanted));
    let reported = |outcome| settle_refund(1, 5, 1, outcome);
    let follow = match state {
        "requested" => vec![],
        "rejected" => vec![decide(5, false, OPERATOR)],
        "cancelled" => vec![withdraw(5)],
        "processing" => vec![decide(5, true, OPERATOR)],
        "unknown" => vec![decide(5, true, OPERATOR), reported(RefundOutcome::Unknown)],
        "failed" => vec![decide(5, true, OPERATOR), reported(RefundOutcome::Failed)],
        _ => vec![decide(5, true, OPERATOR), reported(RefundOutcome::Succeeded)],
    };
    for command in follow {
        buyer.must(command);
    }
    buyer
}

#[test]
fn every_state_of_a_refund_answers_every_command() {
    let moved = |buyer: &Buyer| {
        buyer.order(OrderId::from_u128(1)).unwrap().refunds[0]
            .state
            .name()
    };
    let retry = || Command::RetryRefund {
        order_id: OrderId::from_u128(1),
        refund_id: RefundId::from_u128(5),
    };
    let report = |outcome| settle_refund(1, 5, 1, outcome);
    let (approve, reject) = (decide(5, true, OPERATOR), decide(5, false, OPERATOR));
    let refused = "refused";

    for (state, answers) in [
        (
            "requested",
            [
                "processing",
                "rejected",
                "cancelled",
                refused,
                "requested",
                "requested",
                "requested",
            ],
        ),
        (
            "rejected",
            [
                refused, refused, refused, refused, "rejected", "rejected", "rejected",
            ],
        ),
        (
            "cancelled",
            [
                refused,
                refused,
                "cancelled",
                refused,
                "cancelled",
                "cancelled",
                "cancelled",
            ],
        ),
        (
            "processing",
            [
                refused,
                refused,
                refused,
                "processing",
                "succeeded",
                "failed",
                "unknown",
            ],
        ),
        (
            "unknown",
            [
                refused,
                refused,
                refused,
                refused,
                "succeeded",
                "failed",
                "unknown",
            ],
        ),
        (
            "failed",
            [
                refused,
                refused,
                refused,
                "processing",
                "succeeded",
                "failed",
                "failed",
            ],
        ),
        (
            "succeeded",
            [
                refused,
                refused,
                refused,
                refused,
                "succeeded",
                "succeeded",
                "succeeded",
            ],
        ),
    ] {
        let commands = [
            approve.clone(),
            reject.clone(),
            withdraw(5),
            retry(),
            report(RefundOutcome::Succeeded),
            report(RefundOutcome::Failed),
            report(RefundOutcome::Unknown),
        ];
        for (command, answer) in commands.into_iter().zip(answers) {
            let mut buyer = held(state);

            match buyer.act(command.clone()) {
                Ok(_) => assert_eq!(moved(&buyer), answer, "{state} {command:?}"),
                Err(error) => {
                    assert_eq!(refused, answer, "{state} {command:?}: {error}");
                    assert_eq!(error, Error::wrong_state(state), "{command:?}");
                }
            }
        }
    }
}

#[test]
fn a_refund_that_waits_for_an_operator_leaves_the_order_as_it_was_and_holds_its_amount() {
    let mut buyer = held("requested");

    assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
    assert_eq!(buyer.act(part(6, 41)), Err(Error::RefundExceedsCapture));
    assert_eq!(
        buyer.act(decide(5, true, USER)),
        Err(Error::RefundSameOperator),
        "whoever asked for it cannot approve it"
    );
    buyer.must(withdraw(5));
    buyer.must(part(6, 100));
    assert_eq!(buyer.state_of(1), OrderState::Refunding);
}

#[test]
fn what_was_paid_through_a_provider_may_go_to_the_wallet() {
    let mut buyer = external(&[settle(1, Settlement::Succeeded)]);
    let wanted = Wanted {
        destination: Destination::Wallet,
        ..Wanted::default()
    };

    let events = buyer.must(want(5, wanted));

    assert!(matches!(events[..], [Event::RefundedToWallet { .. }]));
    assert_eq!(buyer.wallet().balance(), cny(19_900));
    assert_eq!(buyer.state_of(1), OrderState::Refunded);
    let posted = posting(USER, &buyer, &events[0]).expect("money moved");
    let entries: Vec<_> = posted
        .entries
        .iter()
        .map(|entry| (entry.account, entry.amount))
        .collect();
    assert_eq!(
        entries,
        [
            (Account::UserWallet, 19_900),
            (Account::CreatorPayable, -13_930),
            (Account::PlatformRevenue, -5_970)
        ]
    );
}

#[test]
fn however_a_line_is_returned_in_parts_its_creator_gives_back_what_they_got() {
    for price in [1, 3, 7, 99, 101, 19_999] {
        for pieces in [2, 3, 7] {
            let mut buyer = funded();
            let sold = buyer.must(place(1, Method::Wallet, &[(7, price), (8, 13)]));
            let mut balances = std::collections::BTreeMap::new();
            let mut post = |buyer: &Buyer, event: &Event| {
                for entry in posting(USER, buyer, event)
                    .into_iter()
                    .flat_map(|posted| posted.entries)
                {
                    *balances.entry((entry.account, entry.owner)).or_insert(0) += entry.amount;
                }
            };
            post(&buyer, &sold[0]);

            for piece in 1..pieces {
                let amount = (price + 13) / pieces;
                if amount > 0 {
                    let event = buyer.must(part(10 + u128::from(piece.unsigned_abs()), amount));
                    post(&buyer, &event[0]);
                }
            }
            let last = buyer.must(request_refund(1, 5));
            post(&buyer, &last[0]);

            assert_eq!(buyer.state_of(1), OrderState::Refunded);
            assert!(
                balances.values().all(|amount| *amount == 0),
                "{price} in {pieces}: {balances:?}"
            );
        }
    }
}

#[test]
fn a_preview_says_what_the_refund_then_does() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(7, 333), (8, 100)]));
    buyer.must(part(5, 100));
    let wanted = Wanted {
        amount: Some(cny(333)),
        automatic_max: Some(cny(1_000)),
        ..Wanted::default()
    };
    let order = buyer.order(OrderId::from_u128(1)).expect("placed");
    let terms = order.terms_of(&wanted, Some(USER)).expect("enough is left");

    let preview = order.preview(&terms);

    assert_eq!((preview.amount, preview.left), (cny(333), cny(0)));
    assert!(preview.lines.iter().all(|line| line.access_ends));
    let events = buyer.must(want(6, wanted));
    let posted = posting(USER, &buyer, &events[0]).expect("money moved");
    let share = |account| -> i64 {
        let entries = posted.entries.iter().filter(|entry| entry.account == account);
        entries.map(|entry| -entry.amount).sum()
    };
    let sum =
        |of: fn(&LineBack) -> Money| -> i64 { preview.lines.iter().map(|line| of(line).amount()).sum() };
    assert_eq!(share(Account::CreatorPayable), sum(|line| line.creator_share));
    assert_eq!(share(Account::PlatformRevenue), sum(|line| line.platform_share));
    assert_eq!(buyer.decide(part(7, 1), NOW), Err(Error::wrong_state("refunded")));
}
