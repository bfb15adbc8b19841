//! What a buyer's purchases must do: every (state, command) pair, and the stories of the domain's document.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Coded, Currency, Money, Timestamp};

use super::buyer::{Buyer, Command, Event};
use super::ledger::{Account, posting};
use super::order::{
    CloseReason, LINES_MAX, Line, Method, OPEN_ORDERS_MAX, OrderState, PlaceOrder, Provider, no_discount,
};
use super::payment::{Purpose, Settlement};
use super::refund::{RefundOutcome, Wanted};
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, OrderId, PaymentId, RefundId, UserId};

pub(super) const NOW: Timestamp = Timestamp::EPOCH;
pub(super) const USER: UserId = UserId::from_u128(1);
pub(super) const SANDBOX: Method = Method::Provider(Provider::Sandbox);

pub(super) fn cny(amount: i64) -> Money {
    Money::new(amount, SETTLEMENT_CURRENCY).expect("in range")
}

pub(super) fn line(course: u128, price: i64) -> Line {
    Line {
        course_id: CourseId::from_u128(course),
        course_version: 3,
        title: "Rust from the metal up".into(),
        price: cny(price),
        creator: UserId::from_u128(9),
        share_bps: 7_000,
        discount: no_discount(),
    }
}

/// Order `n` with payment `n`, of the courses and prices.
pub(super) fn place(n: u128, method: Method, lines: &[(u128, i64)]) -> Command {
    Command::PlaceOrder(Box::new(PlaceOrder {
        order_id: OrderId::from_u128(n),
        payment_id: PaymentId::from_u128(n),
        buyer: USER,
        lines: lines
            .iter()
            .map(|(course, price)| line(*course, *price))
            .collect(),
        expected_total: None,
        method,
        payment_token: Some("tok_ok".into()),
        expires_at: NOW.plus(Duration::from_secs(900)),
        refundable_until: NOW.plus(Duration::from_secs(3_600)),
        reservations: vec![],
        gift: None,
        reserved_until: None,
    }))
}

pub(super) fn settle(n: u128, outcome: Settlement) -> Command {
    let purpose = Purpose::Order(OrderId::from_u128(n));
    Command::SettlePayment {
        payment_id: PaymentId::from_u128(n),
        purpose,
        outcome,
    }
}

pub(super) fn declined() -> Settlement {
    Settlement::Declined {
        code: "insufficient_funds".into(),
    }
}

pub(super) fn request_refund(n: u128, refund: u128) -> Command {
    let (order_id, refund_id) = (OrderId::from_u128(n), RefundId::from_u128(refund));
    Command::RequestRefund {
        order_id,
        refund_id,
        reason: "not for me".into(),
        wanted: Wanted::default(),
        requester: Some(USER),
    }
}

pub(super) fn settle_refund(n: u128, refund: u128, attempt: u32, outcome: RefundOutcome) -> Command {
    let (order_id, refund_id) = (OrderId::from_u128(n), RefundId::from_u128(refund));
    Command::SettleRefund {
        order_id,
        refund_id,
        attempt,
        outcome,
    }
}

pub(super) fn retry(n: u128, refund: u128) -> Command {
    Command::RetryRefund {
        order_id: OrderId::from_u128(n),
        refund_id: RefundId::from_u128(refund),
    }
}

pub(super) fn cancel(n: u128) -> Command {
    Command::Cancel {
        order_id: OrderId::from_u128(n),
    }
}

pub(super) fn expire(n: u128) -> Command {
    Command::Expire {
        order_id: OrderId::from_u128(n),
    }
}

pub(super) fn top_up(n: u128, amount: i64) -> Command {
    Command::StartTopUp {
        payment_id: PaymentId::from_u128(n),
        amount: cny(amount),
        provider: Provider::Sandbox,
        payment_token: Some("tok_ok".into()),
        expires_at: NOW,
    }
}

pub(super) fn settle_top_up(n: u128, outcome: Settlement) -> Command {
    Command::SettlePayment {
        payment_id: PaymentId::from_u128(n),
        purpose: Purpose::TopUp,
        outcome,
    }
}

impl Buyer {
    pub(super) fn act(&mut self, command: Command) -> Result<Vec<Event>, Error> {
        let events = self.decide(command, NOW)?;
        for event in &events {
            self.apply(event);
        }
        Ok(events)
    }

    pub(super) fn must(&mut self, command: Command) -> Vec<Event> {
        self.act(command).expect("accepted")
    }

    pub(super) fn state_of(&self, n: u128) -> OrderState {
        self.order(OrderId::from_u128(n)).expect("placed").state()
    }

    pub(super) fn owns(&self, course: u128) -> bool {
        self.access().live(CourseId::from_u128(course), NOW).is_some()
    }
}

/// A buyer with 1,000.00 in the wallet.
pub(super) fn funded() -> Buyer {
    let mut buyer = Buyer::default();
    buyer.must(top_up(1_000, 100_000));
    buyer.must(settle_top_up(1_000, Settlement::Succeeded));
    buyer
}

/// A buyer whose order 1 of course 7, through the provider, was moved on by the commands.
pub(super) fn external(commands: &[Command]) -> Buyer {
    let mut buyer = Buyer::default();
    buyer.must(place(1, SANDBOX, &[(7, 19_900)]));
    for command in commands {
        buyer.must(command.clone());
    }
    buyer
}

#[test]
fn a_wallet_purchase_is_one_event_that_pays_grants_and_posts_the_net() {
    let mut buyer = funded();

    let events = buyer.must(place(1, Method::Wallet, &[(7, 19_999), (8, 1)]));

    assert_eq!(events.len(), 1);
    assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
    assert!(buyer.owns(7) && buyer.owns(8));
    assert_eq!(
        (buyer.wallet().balance(), buyer.wallet().held()),
        (cny(80_000), cny(0))
    );
    let posted = posting(USER, &buyer, &events[0]).expect("money moved");
    let amounts: Vec<_> = posted
        .entries
        .iter()
        .map(|entry| (entry.account, entry.amount))
        .collect();
    // The creator's shares are rounded down line by line: 13,999.3 and 0.7.
    assert_eq!(
        amounts,
        [
            (Account::UserWallet, -20_000),
            (Account::CreatorPayable, 13_999),
            (Account::PlatformRevenue, 6_001)
        ]
    );
}

#[test]
fn an_order_that_cannot_be_placed_is_refused_and_changes_nothing() {
    let mut buyer = funded();
    buyer.must(place(1, Method::Wallet, &[(1, 100)]));
    buyer.must(place(2, SANDBOX, &[(2, 100)]));
    let many: Vec<_> = (0..=LINES_MAX as u128).map(|course| (100 + course, 1)).collect();
    let mut foreign = line(5, 1);
    foreign.price = Money::new(1, Currency::USD).expect("in range");
    let Command::PlaceOrder(mut dollars) = place(3, Method::Wallet, &[]) else {
        panic!("a placement")
    };
    dollars.lines = vec![foreign];
    let Command::PlaceOrder(mut tokenless) = place(3, SANDBOX, &[(5, 1)]) else {
        panic!("a placement")
    };
    tokenless.payment_token = None;

    for (command, refusal) in [
        (place(3, Method::Wallet, &[]), Error::OrderEmpty),
        (place(3, Method::Wallet, &many), Error::TooManyLines),
        (
            place(3, Method::Wallet, &[(5, 1), (5, 1)]),
            Error::DuplicateCourse,
        ),
        (
            place(3, Method::Wallet, &[(5, 1), (1, 1)]),
            Error::CourseAlreadyOwned,
        ),
        (place(3, SANDBOX, &[(1, 1)]), Error::CourseAlreadyOwned),
        (place(3, Method::Wallet, &[(2, 1)]), Error::CourseInPendingOrder),
        (place(3, Method::Wallet, &[(5, 99_901)]), Error::InsufficientFunds),
        (Command::PlaceOrder(dollars), Error::CurrencyUnsupported),
        (Command::PlaceOrder(tokenless), Error::PaymentTokenRequired),
    ] {
        assert_eq!(buyer.decide(command.clone(), NOW), Err(refusal), "{command:?}");
    }
}

#[test]
fn the_number_of_orders_that_wait_is_bounded() {
    let mut buyer = Buyer::default();
    for n in 0..OPEN_ORDERS_MAX as u128 {
        buyer.must(place(n, SANDBOX, &[(n, 1)]));
    }

    assert_eq!(
        buyer.act(place(99, SANDBOX, &[(99, 1)])),
        Err(Error::TooManyOpenOrders)
    );

    buyer.must(settle(0, declined()));

    assert!(buyer.act(place(99, SANDBOX, &[(99, 1)])).is_ok());
}

#[test]
fn a_free_order_is_fulfilled_at_once_whoever_was_to_pay() {
    for method in [Method::Wallet, SANDBOX] {
        let mut buyer = Buyer::default();

        let events = buyer.must(place(1, method, &[(7, 0)]));

        assert_eq!(buyer.state_of(1), OrderState::Fulfilled);
        assert_eq!(posting(USER, &buyer, &events[0]), None);
    }
}

#[test]
fn every_order_state_answers_every_command_as_the_machine_says() {
    use OrderState::{Cancelled, Expired, Fulfilled, Pending, Refunded, Refunding};
    const STAYS: Option<OrderState> = None;
    let ok = || settle(1, Settlement::Succeeded);
    let closed = || settle(1, Settlement::Closed);
    let returned = || settle_refund(1, 5, 1, RefundOutcome::Succeeded);
    let commands = || {
        [
            place(1, SANDBOX, &[(7, 19_900)]),
            ok(),
            settle(1, declined()),
            closed(),
            cancel(1),
            expire(1),
            request_refund(1, 5),
            request_refund(1, 6),
            returned(),
            retry(1, 5),
        ]
    };
    let no = |state: &'static str| Err(Error::wrong_state(state));
    let no_refund = || Err(Error::RefundNotFound);
    let to = |state| Ok(Some(state));
    let stays = || Ok(STAYS);

    // One row per state, one column per command: the state it leads to, nothing new, or the refusal.
    for (name, path, row) in [
        (
            "awaiting payment",
            vec![],
            [
                stays(),
                to(Fulfilled),
                to(Cancelled),
                to(Expired),
                to(Pending),
                to(Pending),
                no("pending"),
                no("pending"),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "closing by the buyer",
            vec![cancel(1)],
            [
                stays(),
                to(Fulfilled),
                to(Cancelled),
                to(Cancelled),
                stays(),
                stays(),
                no("pending"),
                no("pending"),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "closing by the timer",
            vec![expire(1)],
            [
                stays(),
                to(Fulfilled),
                to(Expired),
                to(Expired),
                stays(),
                stays(),
                no("pending"),
                no("pending"),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "cancelled",
            vec![cancel(1), closed()],
            [
                stays(),
                to(Fulfilled),
                stays(),
                stays(),
                stays(),
                stays(),
                no("cancelled"),
                no("cancelled"),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "declined",
            vec![settle(1, declined())],
            [
                stays(),
                to(Fulfilled),
                stays(),
                stays(),
                no("cancelled"),
                stays(),
                no("cancelled"),
                no("cancelled"),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "expired",
            vec![expire(1), closed()],
            [
                stays(),
                to(Fulfilled),
                stays(),
                stays(),
                no("expired"),
                stays(),
                no("expired"),
                no("expired"),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "fulfilled",
            vec![ok()],
            [
                stays(),
                stays(),
                stays(),
                stays(),
                no("fulfilled"),
                stays(),
                to(Refunding),
                to(Refunding),
                no_refund(),
                no_refund(),
            ],
        ),
        (
            "refunding",
            vec![ok(), request_refund(1, 5)],
            [
                stays(),
                stays(),
                stays(),
                stays(),
                no("refunding"),
                stays(),
                stays(),
                no("refunding"),
                to(Refunded),
                stays(),
            ],
        ),
        (
            "refunded",
            vec![ok(), request_refund(1, 5), returned()],
            [
                stays(),
                stays(),
                stays(),
                stays(),
                no("refunded"),
                stays(),
                stays(),
                no("refunded"),
                stays(),
                no("succeeded"),
            ],
        ),
    ] {
        for (command, expected) in commands().into_iter().zip(row) {
            let mut buyer = external(&path);

            let outcome = buyer.act(command.clone());

            let outcome = outcome.map(|events| (!events.is_empty()).then(|| buyer.state_of(1)));
            assert_eq!(outcome, expected, "{name}: {command:?}");
        }
    }
}

#[test]
fn a_refusal_of_a_transition_names_the_state() {
    let buyer = external(&[settle(1, Settlement::Succeeded)]);

    let refusal = buyer
        .decide(cancel(1), NOW)
        .expect_err("fulfilled orders are not cancelled");

    assert_eq!(refusal.code(), "commerce.wrong_state");
    assert_eq!(refusal.current_state().as_deref(), Some("fulfilled"));
}

#[test]
fn what_belongs_to_nobody_is_not_found() {
    let buyer = external(&[]);

    for (command, refusal) in [
        (cancel(2), Error::OrderNotFound),
        (expire(2), Error::OrderNotFound),
        (request_refund(2, 5), Error::OrderNotFound),
        (settle(2, Settlement::Succeeded), Error::OrderNotFound),
        (settle_top_up(1, Settlement::Succeeded), Error::TopUpNotFound),
        (
            Command::SettlePayment {
                payment_id: PaymentId::from_u128(2),
                purpose: Purpose::Order(OrderId::from_u128(1)),
                outcome: Settlement::Succeeded,
            },
            Error::PaymentNotFound,
        ),
    ] {
        assert_eq!(buyer.decide(command.clone(), NOW), Err(refusal), "{command:?}");
    }
}

#[test]
fn a_closed_order_says_why() {
    let buyer = external(&[settle(1, declined())]);

    let order = buyer.order(OrderId::from_u128(1)).expect("placed");

    assert_eq!(
        order.stage,
        super::order::Stage::Closed {
            reason: CloseReason::PaymentDeclined
        }
    );
    assert_eq!(order.due_at(), None);
}
