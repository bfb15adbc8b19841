//! What a membership writes and sends, and what its orders tell it.

use std::time::Duration;

use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::ledger::{Account, Entry};
use lyceum_domain::commerce::membership::{Command, Dunning, Membership, Terms};
use lyceum_domain::commerce::plan::{Every, Opens};
use lyceum_domain::commerce::refund::Wanted;
use lyceum_domain::commerce::{Buyer, Command as BuyerCommand, Method, Outcome, Reservation};
use lyceum_domain::ids::{AdjustmentId, OrderId, PlanId, RefundId, UserId};
use lyceum_kernel::{Aggregate, Currency, Money, Timestamp};
use lyceum_runtime::{Effects, Entity};

use super::memberships::{MembershipKey, Memberships, OrderTimes, period_order};
use super::{Buyers, CommerceFlow, MembershipFlow};

const USER: UserId = UserId::from_u128(1);
const ORDER: OrderId = OrderId::from_u128(2);
const PLAN: PlanId = PlanId::from_u128(3);
const NOW: Timestamp = Timestamp::EPOCH;
const DAY: Duration = Duration::from_hours(24);
const TIMES: OrderTimes = OrderTimes {
    reservation_ttl: Duration::from_secs(10),
    order_ttl: Duration::from_secs(60),
    refund_window: DAY,
};

fn cny(amount: i64) -> Money {
    Money::new(amount, Currency::CNY).unwrap()
}

fn terms() -> Terms {
    Terms {
        plan_id: PLAN,
        title: "All of it".into(),
        issuer: Issuer::Platform,
        creator: UserId::from_u128(9),
        share_bps: 0,
        price: cny(2_900),
        every: Every::Month,
        opens: Opens::Everything,
        method: Method::Wallet,
        token: None,
        dunning: Dunning::new(&[DAY], 2 * DAY).unwrap(),
        pause_max_ms: 1,
    }
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

fn join(until: Timestamp) -> Command {
    Command::Join {
        terms: Box::new(terms()),
        user: USER,
        order_id: ORDER,
        until,
    }
}

#[test]
fn a_membership_asks_about_its_order_and_sets_the_clock_once_it_is_paid() {
    let (binding, key, mut state) = (
        Memberships::new(100),
        MembershipKey::of(PLAN, USER),
        Membership::default(),
    );
    let until = NOW.plus(DAY);

    let joined = act(&binding, key, &mut state, join(until));

    assert_eq!(tables(&joined), ["membership_charges", "memberships"]);
    let sent = flows(&joined);
    let membership_id = key.membership;
    let reservation = Reservation::Period { membership_id };
    let (user, order, reserved_until) = (USER, ORDER, until);
    let check = CommerceFlow::CheckReservation {
        user,
        order,
        reservation,
        reserved_until,
    };
    assert_eq!(sent, [(until, check)]);

    let (order_id, outcome) = (ORDER, Outcome::Consumed);
    let paid = act(&binding, key, &mut state, Command::Settle { order_id, outcome });

    assert_eq!(tables(&paid), ["membership_charges", "memberships"]);
    let due = state.joined().unwrap().due.unwrap().at;
    let (membership, step) = (key.membership, state.joined().unwrap().steps);
    let tick = CommerceFlow::Membership(MembershipFlow::Tick {
        user,
        membership,
        step,
    });
    assert_eq!(flows(&paid), [(due, tick)]);

    let next = OrderId::from_u128(5);
    let renewed = act(
        &binding,
        key,
        &mut state,
        Command::Act {
            step,
            order_id: next,
            until,
        },
    );

    let charge = CommerceFlow::Membership(MembershipFlow::Charge {
        user,
        membership,
        order: next,
    });
    assert!(flows(&renewed).contains(&(NOW, charge)), "{:?}", flows(&renewed));
}

#[test]
fn an_order_of_a_period_grants_nothing_and_tells_its_membership_of_payment_and_refund() {
    let key = MembershipKey::of(PLAN, USER);
    let (binding, mut buyer) = (
        Buyers::new(std::sync::Arc::new(|_, _, _| {}), 100),
        Buyer::default(),
    );
    let entry = |owner, account, amount| Entry {
        account,
        owner,
        amount,
    };
    let money = BuyerCommand::PostAdjustment {
        adjustment_id: AdjustmentId::from_u128(1),
        entries: vec![
            entry(Some(USER), Account::UserWallet, 2_900),
            entry(None, Account::PlatformRevenue, -2_900),
        ],
    };
    act(&binding, USER, &mut buyer, money);
    let place = period_order(key, &terms(), ORDER, NOW.plus(DAY), TIMES, NOW);

    let bought = act(
        &binding,
        USER,
        &mut buyer,
        BuyerCommand::PlaceOrder(Box::new(place)),
    );

    assert!(!tables(&bought).contains(&"grants"), "{:?}", tables(&bought));
    let settled = |(_, flow): &(Timestamp, CommerceFlow)| match flow {
        CommerceFlow::SettleReservation { order, outcome, .. } => {
            (*order, *outcome) == (ORDER, Outcome::Consumed)
        }
        _ => false,
    };
    assert!(flows(&bought).iter().any(settled));
    assert!(buyer.access().courses(None, NOW).next().is_none());

    let refund = BuyerCommand::RequestRefund {
        order_id: ORDER,
        refund_id: RefundId::from_u128(7),
        reason: "not for me".into(),
        wanted: Wanted::default(),
        requester: None,
    };
    let returned = act(&binding, USER, &mut buyer, refund);

    let (user, membership, order) = (USER, key.membership, ORDER);
    let remove = CommerceFlow::Membership(MembershipFlow::Remove {
        user,
        membership,
        order,
    });
    assert!(
        flows(&returned).contains(&(NOW, remove)),
        "{:?}",
        flows(&returned)
    );
}
