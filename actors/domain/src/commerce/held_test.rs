//! Orders that keep their money until their team is decided: every stage and the verdict, and what else may be done meanwhile.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};

use super::buyer::{Buyer, Command, Event};
use super::buyer_test::{
    NOW, SANDBOX, USER, cancel, cny, declined, expire, funded, line, place, request_refund, settle,
    settle_refund,
};
use super::ledger::{Account, Step, posting};
use super::order::{Line, Method, OPEN_ORDERS_MAX, OrderState, PlaceOrder, TEAM_ORDERS_MAX};
use super::oversight::{Deed, Intervention};
use super::payment::{Purpose, Settlement};
use super::refund::RefundOutcome;
use super::reservation::{Fate, Outcome, Reservation};
use super::{Error, team};
use crate::ids::{CodeId, CouponId, MembershipId, OrderId, PaymentId, RefundId, TeamId, UserId};

const ORDER: OrderId = OrderId::from_u128(1);

fn ends_at() -> Timestamp {
    NOW.plus(Duration::from_secs(600))
}

/// Order `n` of course 7 at 99.00 instead of 199.00, with a place in a team.
fn place_in_team(n: u128, method: Method, change: impl FnOnce(&mut PlaceOrder)) -> Command {
    let Command::PlaceOrder(mut order) = place(n, method, &[]) else {
        unreachable!("it places an order");
    };
    order.lines = vec![Line {
        discount: cny(10_000),
        ..line(7, 19_900)
    }];
    order.reservations = vec![Reservation::Place {
        team_id: TeamId::from_u128(3),
        ends_at: ends_at(),
    }];
    order.reserved_until = Some(NOW.plus(Duration::from_secs(10)));
    change(&mut order);
    Command::PlaceOrder(order)
}

fn conclude(granted: bool) -> Command {
    let order_id = ORDER;
    Command::Conclude { order_id, granted }
}

/// A buyer whose order in a team, through the provider, was moved on by the commands.
fn member(commands: &[Command]) -> Buyer {
    let mut buyer = funded();
    buyer.must(place_in_team(1, SANDBOX, |_| {}));
    for command in commands {
        buyer.must(command.clone());
    }
    buyer
}

fn paid() -> Command {
    settle(1, Settlement::Succeeded)
}

/// What each event posts, as accounts and amounts.
fn posted(buyer: &Buyer, events: &[Event]) -> Vec<(Step, Vec<(Account, i64)>)> {
    let entries = |event| {
        let transaction = posting(USER, buyer, event)?;
        let entries = transaction.entries.iter();
        let entries = entries.map(|entry| (entry.account, entry.amount)).collect();
        Some((transaction.step, entries))
    };
    events.iter().filter_map(entries).collect()
}

#[test]
fn a_paid_order_waits_owes_its_money_and_gives_no_access() {
    for method in [SANDBOX, Method::Wallet] {
        let mut buyer = funded();
        let mut events = buyer.must(place_in_team(1, method, |_| {}));
        if method == SANDBOX {
            events = buyer.must(paid());
        }

        let order = buyer.order(ORDER).unwrap();
        assert_eq!((order.state(), order.saga()), (OrderState::Paid, "awaiting_team"));
        assert_eq!(order.due_at(), Some(ends_at()));
        assert!(!buyer.owns(7));
        let from = if method == SANDBOX {
            Account::ProviderClearing
        } else {
            Account::UserWallet
        };
        assert_eq!(
            posted(&buyer, &events),
            [(
                Step::Unfulfilled,
                vec![(from, -9_900), (Account::RefundPayable, 9_900)]
            )]
        );
        let left = if method == SANDBOX { 100_000 } else { 90_100 };
        assert_eq!(buyer.wallet().balance(), cny(left));
    }
}

#[test]
fn a_verdict_grants_or_returns_what_waits_and_changes_nothing_else() {
    let pending = member(&[]);
    let closing = member(&[cancel(1)]);
    let closed = member(&[cancel(1), settle(1, Settlement::Closed)]);
    let returned = member(&[cancel(1), settle(1, Settlement::Closed), paid()]);
    for granted in [true, false] {
        for (buyer, state) in [
            (&pending, "pending"),
            (&closing, "pending"),
            (&closed, "cancelled"),
        ] {
            assert_eq!(
                buyer.decide(conclude(granted), NOW),
                Err(Error::wrong_state(state))
            );
        }
        for verdict in [true, false] {
            let decided = member(&[paid(), conclude(verdict)]);
            assert_eq!(decided.decide(conclude(granted), NOW), Ok(vec![]));
        }
        assert_eq!(returned.decide(conclude(granted), NOW), Ok(vec![]));
        assert_eq!(
            Buyer::default().decide(conclude(granted), NOW),
            Err(Error::OrderNotFound)
        );
    }
}

#[test]
fn a_grant_is_a_sale_out_of_what_was_kept() {
    let mut buyer = member(&[paid()]);

    let events = buyer.must(conclude(true));

    assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
    assert!(buyer.owns(7));
    assert_eq!(
        posted(&buyer, &events),
        [(
            Step::Sale,
            vec![
                (Account::RefundPayable, -9_900),
                (Account::CreatorPayable, 6_930),
                (Account::PlatformRevenue, 2_970)
            ]
        )]
    );
    let states = buyer
        .order(ORDER)
        .unwrap()
        .timeline
        .iter()
        .map(|(state, _)| *state);
    assert_eq!(
        states.collect::<Vec<_>>(),
        [OrderState::Pending, OrderState::Paid, OrderState::Fulfilled]
    );
}

#[test]
fn a_failed_team_returns_the_money_the_way_it_came() {
    let back = RefundId::from_u128(1);
    let mut buyer = member(&[paid()]);
    let events = buyer.must(conclude(false));
    assert!(matches!(events[..], [Event::FulfilmentFailed { refund_id, .. }] if refund_id == back));
    assert_eq!(posted(&buyer, &events), [], "the capture was posted before");
    assert_eq!(buyer.state_of(1), OrderState::Refunding);
    let events = buyer.must(settle_refund(1, 1, 1, RefundOutcome::Succeeded));
    let entries = vec![
        (Account::ProviderClearing, 9_900),
        (Account::RefundPayable, -9_900),
    ];
    assert_eq!(posted(&buyer, &events), [(Step::Refund, entries)]);
    assert_eq!(buyer.state_of(1), OrderState::Refunded);

    let mut buyer = funded();
    buyer.must(place_in_team(1, Method::Wallet, |_| {}));
    let events = buyer.must(conclude(false));
    let entries = vec![(Account::UserWallet, 9_900), (Account::RefundPayable, -9_900)];
    assert_eq!(posted(&buyer, &events), [(Step::Refund, entries)]);
    assert_eq!(
        (buyer.state_of(1), buyer.wallet().balance()),
        (OrderState::Refunded, cny(100_000))
    );
    assert!(!buyer.owns(7));
}

#[test]
fn a_member_who_has_the_course_otherwise_by_then_has_the_money_back() {
    let (code, courses) = (CodeId::from_u128(5), vec![(line(7, 0).course_id, 3)]);
    let mut buyer = member(&[paid(), Command::GrantCode { code, courses }]);

    buyer.must(conclude(true));

    assert_eq!(buyer.state_of(1), OrderState::Refunding);
    assert!(buyer.owns(7), "what the code brought stays");
}

#[test]
fn the_reason_of_a_refund_says_whether_a_team_was_decided() {
    let reason = |buyer: &Buyer| buyer.order(ORDER).unwrap().refunds[0].reason.clone();
    let (code, courses) = (CodeId::from_u128(5), vec![(line(7, 0).course_id, 3)]);
    let otherwise = Command::GrantCode { code, courses };

    let of_team = "access was not granted when the team was decided";
    assert_eq!(reason(&member(&[paid(), conclude(false)])), of_team);
    assert_eq!(reason(&member(&[paid(), otherwise, conclude(true)])), of_team);
    let late = member(&[cancel(1), settle(1, Settlement::Closed), paid()]);
    assert_eq!(reason(&late), "access could not be granted any more");
}

/// Order `n`, of course `n` in a team of its own.
fn another(n: u128, method: Method) -> Command {
    place_in_team(n, method, |order| {
        order.lines = vec![line(n, 100)];
        let (team_id, ends_at) = (TeamId::from_u128(n), ends_at());
        order.reservations = vec![Reservation::Place { team_id, ends_at }];
    })
}

#[test]
fn the_number_of_orders_in_undecided_teams_is_bounded_and_hinders_no_others() {
    let mut buyer = funded();
    // Half of them wait for their payment: what is bounded is the places.
    let method = |n| if n % 2 == 0 { Method::Wallet } else { SANDBOX };
    for n in 1..=TEAM_ORDERS_MAX as u128 {
        buyer.must(another(n, method(n)));
    }

    for method in [Method::Wallet, SANDBOX] {
        assert_eq!(
            buyer.decide(another(99, method), NOW),
            Err(Error::TooManyTeamOrders)
        );
    }
    buyer.must(place(99, SANDBOX, &[(99, 100)]));
    buyer.must(Command::Conclude {
        order_id: OrderId::from_u128(2),
        granted: false,
    });
    buyer.must(another(98, Method::Wallet));
}

#[test]
fn orders_that_wait_for_their_team_are_none_that_wait_for_their_payment() {
    let mut buyer = funded();
    for n in 1..=TEAM_ORDERS_MAX as u128 {
        buyer.must(another(n, Method::Wallet));
    }
    let last = 100 + OPEN_ORDERS_MAX as u128;

    for n in 100..last {
        buyer.must(place(n, SANDBOX, &[(n, 100)]));
    }

    let one_more = place(last, SANDBOX, &[(last, 100)]);
    assert_eq!(buyer.decide(one_more, NOW), Err(Error::TooManyOpenOrders));
    let Command::PlaceOrder(mut period) = place(last, SANDBOX, &[(last, 100)]) else {
        unreachable!("it places an order");
    };
    let membership_id = MembershipId::from_u128(1);
    period.reservations = vec![Reservation::Period { membership_id }];
    period.reserved_until = Some(NOW.plus(Duration::from_secs(10)));
    buyer.must(Command::PlaceOrder(period));
}

#[test]
fn nobody_but_the_team_moves_an_order_that_waits() {
    let buyer = member(&[paid()]);
    let refused = Err(Error::wrong_state("paid"));
    let deed = Deed {
        operator: UserId::from_u128(1_000),
        reason: "somebody asked".into(),
        node: "n1".into(),
    };
    let intervene = |action| Command::Intervene {
        order_id: ORDER,
        action,
        deed: deed.clone(),
    };

    assert_eq!(buyer.decide(cancel(1), NOW), refused);
    assert_eq!(buyer.decide(request_refund(1, 9), NOW), refused);
    assert_eq!(buyer.decide(expire(1), NOW), Ok(vec![]));
    assert_eq!(buyer.decide(paid(), NOW), Ok(vec![]));
    assert_eq!(buyer.decide(settle(1, declined()), NOW), Ok(vec![]));
    let add = Command::AddPayment {
        order_id: ORDER,
        payment_id: PaymentId::from_u128(2),
        method: Method::Wallet,
        payment_token: None,
    };
    assert_eq!(buyer.decide(add, NOW), refused);
    assert_eq!(
        buyer.decide(intervene(Intervention::Compensate), NOW),
        Err(Error::wrong_state("awaiting_team"))
    );
    for action in [Intervention::Retry, Intervention::Reconcile] {
        let events = buyer.decide(intervene(action), NOW).unwrap();
        assert!(matches!(events[..], [Event::Intervened { .. }]));
    }
    assert_eq!(
        buyer.decide(place(2, Method::Wallet, &[(7, 19_900)]), NOW),
        Err(Error::CourseInPendingOrder),
        "it would be bought twice"
    );
}

#[test]
fn an_order_of_a_team_is_paid_otherwise_and_a_second_capture_goes_back() {
    let other = PaymentId::from_u128(2);
    let mut buyer = member(&[]);
    let events = buyer.must(Command::AddPayment {
        order_id: ORDER,
        payment_id: other,
        method: Method::Wallet,
        payment_token: None,
    });
    assert!(matches!(events[..], [Event::OrderHeld { paid: Some(_), .. }]));
    assert_eq!(buyer.wallet().balance(), cny(90_100));

    let surplus = buyer.must(Command::SettlePayment {
        payment_id: PaymentId::from_u128(1),
        purpose: Purpose::Order(ORDER),
        outcome: Settlement::Succeeded,
    });

    assert!(matches!(surplus[..], [Event::PaymentSurplus { .. }]));
    buyer.must(conclude(true));
    assert!(buyer.owns(7));
}

#[test]
fn a_place_is_consumed_once_its_order_is_paid_and_stays_so() {
    let fate = |buyer: &Buyer| buyer.fate(ORDER, NOW, ends_at());
    let consumed = Fate::Settled(Outcome::Consumed);

    assert_eq!(fate(&member(&[paid()])), consumed);
    assert_eq!(fate(&member(&[paid(), conclude(true)])), consumed);
    assert_eq!(fate(&member(&[paid(), conclude(false)])), consumed);
    assert_eq!(
        fate(&member(&[cancel(1), settle(1, Settlement::Closed)])),
        Fate::Settled(Outcome::Returned)
    );
}

#[test]
fn an_order_of_a_team_has_nothing_beside_its_course() {
    let not_alone = Err(team::Refusal::NotAlone.into());
    let buyer = funded();
    let refusal = |change: fn(&mut PlaceOrder)| {
        buyer
            .decide(place_in_team(1, Method::Wallet, change), NOW)
            .map(|_| ())
    };

    assert_eq!(refusal(|_| {}), Ok(()));
    assert_eq!(refusal(|order| order.lines.push(line(8, 1))), not_alone);
    assert_eq!(
        refusal(|order| order.gift = Some(CodeId::from_u128(1))),
        not_alone
    );
    assert_eq!(
        refusal(|order| {
            let coupon_id = CouponId::from_u128(1);
            order.reservations.push(Reservation::Coupon { coupon_id });
        }),
        not_alone
    );
}

#[test]
fn what_costs_nothing_waits_for_nobody() {
    let mut buyer = funded();

    let events = buyer.must(place_in_team(1, Method::Wallet, |order| {
        order.lines[0].discount = order.lines[0].price;
    }));

    assert!(matches!(events[..], [Event::Purchased(_)]));
    assert!(buyer.owns(7));
    assert_eq!(buyer.decide(conclude(false), NOW), Ok(vec![]));
}

#[test]
fn a_buyer_with_an_order_that_waits_is_read_as_it_was_written() {
    let buyer = member(&[paid()]);

    let stored = serde_json::to_string(&buyer).unwrap();

    assert_eq!(serde_json::from_str::<Buyer>(&stored).unwrap(), buyer);
}
