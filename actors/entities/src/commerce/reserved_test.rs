//! What a slot of a sale, a use of a coupon and a place in a team write and send, and what their buyer says about them.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::coupon::{self, Benefit, Code, Coupon, Issuer, Item, Scope};
use lyceum_domain::commerce::group::GroupOffer;
use lyceum_domain::commerce::order::{Line, PlaceOrder, no_discount};
use lyceum_domain::commerce::refund::Wanted;
use lyceum_domain::commerce::sale::{self, Terms};
use lyceum_domain::commerce::{
    Buyer, Command, Method, Outcome, Provider, Purpose, RefundOutcome, Reservation, Sale, Settlement, Team,
    team,
};
use lyceum_domain::ids::{CouponId, CourseId, GroupId, OrderId, PaymentId, RefundId, SaleId, TeamId, UserId};
use lyceum_kernel::{Aggregate, Currency, Money, Timestamp};
use lyceum_runtime::{Effects, Entity};

use super::buyers::trade;
use super::{
    Buyers, CommerceFlow, CouponAnswer, CouponQuestion, Coupons, Sales, TeamAnswer, TeamQuestion, Teams,
    Trade,
};

const USER: UserId = UserId::from_u128(1);
const ORDER: OrderId = OrderId::from_u128(2);
const PAYMENT: PaymentId = PaymentId::from_u128(3);
const SALE: SaleId = SaleId::from_u128(4);
const COUPON: CouponId = CouponId::from_u128(5);
const TEAM: TeamId = TeamId::from_u128(6);
const COURSE: CourseId = CourseId::from_u128(7);
const NOW: Timestamp = Timestamp::EPOCH;

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn cny(amount: i64) -> Money {
    Money::new(amount, Currency::CNY).unwrap()
}

fn act<E: Entity>(
    binding: &E,
    key: E::Key,
    state: &mut E::State,
    command: lyceum_runtime::CommandOf<E>,
) -> Effects {
    let events = state.decide(command, NOW).map_err(|_| "refused").unwrap();
    for event in &events {
        state.apply(event);
    }
    let mut effects = Effects::default();
    binding.effects(key, state, &events, NOW, &mut effects);
    effects
}

fn tables(effects: &Effects) -> Vec<&'static str> {
    effects.rows().map(|(table, _)| table).collect()
}

fn flows(effects: &Effects) -> Vec<(Timestamp, CommerceFlow)> {
    effects
        .messages()
        .map(|(due, payload)| (due, serde_json::from_str(payload).unwrap()))
        .collect()
}

/// An order through the provider that has a slot and a use of a coupon.
fn place() -> Command {
    Command::PlaceOrder(Box::new(PlaceOrder {
        order_id: ORDER,
        payment_id: PAYMENT,
        buyer: USER,
        lines: vec![Line {
            course_id: COURSE,
            course_version: 1,
            title: "Postgres internals".into(),
            price: cny(19_900),
            creator: UserId::from_u128(9),
            share_bps: 7_000,
            discount: no_discount(),
        }],
        expected_total: None,
        method: Method::Provider(Provider::Sandbox),
        payment_token: Some("tok_ok".into()),
        expires_at: later(60),
        refundable_until: later(60),
        reservations: reservations().into(),
        gift: None,
        reserved_until: Some(later(10)),
    }))
}

fn reservations() -> [Reservation; 2] {
    let slot = Reservation::Slot { sale_id: SALE };
    [slot, Reservation::Coupon { coupon_id: COUPON }]
}

/// What became of which reservation.
fn settled(effects: &Effects) -> Vec<(Reservation, Outcome)> {
    let flows = flows(effects).into_iter();
    flows
        .filter_map(|(_, flow)| match flow {
            CommerceFlow::SettleReservation {
                user,
                order,
                reservation,
                outcome,
            } => {
                assert_eq!((user, order), (USER, ORDER));
                Some((reservation, outcome))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_slot_is_written_counted_and_asked_about_when_its_order_can_be_placed_no_more() {
    let (binding, mut sale) = (Sales::new(100), Sale::default());
    let terms = Terms {
        course_id: COURSE,
        price: cny(5_000),
        stock: 2,
        starts_at: NOW,
        ends_at: later(60),
    };
    let opened = act(&binding, SALE, &mut sale, sale::Command::Open { terms, by: USER });
    assert_eq!(tables(&opened), ["sales"]);

    let reserve = sale::Command::Reserve {
        order_id: ORDER,
        user: USER,
        course_id: COURSE,
        until: later(10),
    };
    let reserved = act(&binding, SALE, &mut sale, reserve);

    assert_eq!(tables(&reserved), ["sales", "sale_slots"]);
    let flows = flows(&reserved);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].0, later(10));
    assert!(matches!(
        flows[0].1,
        CommerceFlow::CheckReservation { order, reserved_until, .. }
            if order == ORDER && reserved_until == later(10)
    ));
    let settle = sale::Command::Settle {
        order_id: ORDER,
        user: USER,
        outcome: Outcome::Consumed,
    };
    let sold = act(&binding, SALE, &mut sale, settle);
    assert_eq!(tables(&sold), ["sales", "sale_slots"]);
    assert!(sold.messages().next().is_none());
}

#[test]
fn a_use_of_a_coupon_is_written_counted_and_asked_about_when_its_order_can_be_placed_no_more() {
    let (binding, mut state) = (Coupons::new(100), Coupon::default());
    let terms = coupon::Terms {
        code: Code::parse("welcome").unwrap(),
        issuer: Issuer::Platform,
        benefit: Benefit::Fixed { off: cny(500) },
        scope: Scope::All,
        limit: 2,
        per_user: 1,
        stackable: false,
        starts_at: NOW,
        ends_at: later(60),
    };
    let issue = coupon::Command::Issue { terms, by: USER };
    let issued = act(&binding, COUPON, &mut state, issue);
    assert_eq!(tables(&issued), ["coupons"]);

    let reserve = coupon::Command::Reserve {
        order_id: ORDER,
        user: USER,
        items: vec![Item {
            course_id: COURSE,
            category: None,
            creator: USER,
            price: cny(19_900),
        }],
        stacked: false,
        until: later(10),
    };
    let reserved = act(&binding, COUPON, &mut state, reserve);

    assert_eq!(tables(&reserved), ["coupon_uses", "coupons"]);
    let flows = flows(&reserved);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].0, later(10));
    assert!(matches!(
        flows[0].1,
        CommerceFlow::CheckReservation { order, reserved_until, .. }
            if order == ORDER && reserved_until == later(10)
    ));
    let claim = CouponQuestion::Claim { order_id: ORDER };
    let Ok(CouponAnswer::Discounts(discounts)) = binding.answer(&state, claim.clone(), NOW) else {
        panic!("a use says what it takes off");
    };
    assert_eq!(discounts[0].off, cny(500));
    let release = coupon::Command::Release { order_id: ORDER };
    let released = act(&binding, COUPON, &mut state, release.clone());
    assert_eq!(tables(&released), ["coupon_uses", "coupons"]);
    assert!(released.messages().next().is_none());
    let again = act(&binding, COUPON, &mut state, release);
    assert!(tables(&again).is_empty(), "it came back once");
    assert!(binding.answer(&state, claim, NOW).is_err());
}

#[test]
fn an_order_that_is_fulfilled_consumes_what_it_reserved_and_one_that_ends_otherwise_returns_it() {
    for (outcome, expected) in [
        (Settlement::Succeeded, Outcome::Consumed),
        (Settlement::Closed, Outcome::Returned),
        (
            Settlement::Declined {
                code: "declined".into(),
            },
            Outcome::Returned,
        ),
    ] {
        let (binding, mut buyer) = (Buyers::new(Arc::new(|_, _, _| ()), 100), Buyer::default());
        let placed = act(&binding, USER, &mut buyer, place());
        assert!(settled(&placed).is_empty(), "it is not decided yet");

        let settle = Command::SettlePayment {
            payment_id: PAYMENT,
            purpose: Purpose::Order(ORDER),
            outcome,
        };
        let ended = act(&binding, USER, &mut buyer, settle);

        let each = reservations().map(|reservation| (reservation, expected));
        assert_eq!(settled(&ended), each);
    }
}

#[test]
fn a_team_says_what_becomes_of_an_order_once_it_is_decided_and_of_that_order_alone() {
    let (binding, mut state) = (Teams::new(100), Team::default());
    let offer = GroupOffer {
        course_id: COURSE,
        creator: UserId::from_u128(9),
        price: cny(9_900),
        size: 2,
        lasts_s: 60,
    };
    let member = |n: u128| (OrderId::from_u128(n), UserId::from_u128(n));
    let verdict = |state: &Team, (order_id, user): (OrderId, UserId)| {
        let question = TeamQuestion::Verdict { user, order_id };
        match binding.answer(state, question, NOW) {
            Ok(TeamAnswer::Verdict(verdict)) => verdict,
            _ => panic!("a team knows its verdict"),
        }
    };
    let pay = |(order_id, user)| team::Command::Settle {
        order_id,
        user,
        outcome: Outcome::Consumed,
    };
    let ((first, ada), (second, ben)) = (member(1), member(2));
    let (group_id, until) = (GroupId::from_u128(1), later(10));
    let terms = team::Terms::of(group_id, &offer, NOW);
    let open = team::Command::Open {
        terms,
        order_id: first,
        user: ada,
        until,
    };
    let join = team::Command::Reserve {
        order_id: second,
        user: ben,
        course_id: COURSE,
        until,
    };
    for command in [open, join, pay((first, ada))] {
        act(&binding, TEAM, &mut state, command);
    }
    assert_eq!(verdict(&state, (first, ada)), None);

    act(&binding, TEAM, &mut state, pay((second, ben)));

    assert_eq!(verdict(&state, (first, ada)), Some(true));
    assert_eq!(verdict(&state, (second, ben)), Some(true));
    assert_eq!(verdict(&state, (first, ben)), None, "it is not theirs");
    assert_eq!(verdict(&state, member(3)), None);
}

/// What a buyer has traded when their order in a team was paid and concluded, and its money went back, if it did.
fn traded_in_team(granted: bool) -> Vec<Trade> {
    let mut buyer = Buyer::default();
    let Command::PlaceOrder(mut order) = place() else {
        unreachable!("it places an order");
    };
    order.reservations = vec![Reservation::Place {
        team_id: TEAM,
        ends_at: later(60),
    }];
    let paid = Command::SettlePayment {
        payment_id: PAYMENT,
        purpose: Purpose::Order(ORDER),
        outcome: Settlement::Succeeded,
    };
    let order_id = ORDER;
    let mut commands = vec![
        Command::PlaceOrder(order),
        paid,
        Command::Conclude { order_id, granted },
    ];
    // The refund of a failed team is named by its payment.
    let mut refund_id = RefundId::from_u128(PAYMENT.as_u128());
    if granted {
        refund_id = RefundId::from_u128(8);
        commands.push(Command::RequestRefund {
            order_id,
            refund_id,
            reason: "not for me".into(),
            wanted: Wanted::default(),
            requester: None,
        });
    }
    commands.push(Command::SettleRefund {
        order_id,
        refund_id,
        attempt: 1,
        outcome: RefundOutcome::Succeeded,
    });

    let mut traded = vec![];
    for command in commands {
        for event in buyer.decide(command, NOW).unwrap() {
            buyer.apply(&event);
            traded.extend(trade(&buyer, &event, NOW).map(|(trade, _)| trade));
        }
    }
    assert!(buyer.access().live(COURSE, NOW).is_none());
    traded
}

#[test]
fn a_member_of_a_failed_team_has_traded_nothing() {
    assert_eq!(traded_in_team(false), []);
    assert_eq!(traded_in_team(true), [Trade::Bought, Trade::Refunded]);
}
