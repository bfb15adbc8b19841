//! What operators may do about sagas: every position of a checkout and a payment beside every intervention.

use lyceum_kernel::{Aggregate, Timestamp};

use super::buyer::{Buyer, Command, Event};
use super::buyer_test::{NOW, SANDBOX, cny, declined, place, request_refund, settle, settle_refund};
use super::ledger::posting;
use super::order::{Method, OrderState};
use super::oversight::{Deed, Intervention, Only, ReturnStep};
use super::payment::{self, ChargeOutcome, Payment, Purpose, SendState, Settlement};
use super::refund::RefundOutcome;
use super::{Error, Provider};
use crate::ids::{OrderId, PaymentId, UserId};
use Intervention::{Compensate, Reconcile, Retry};

const ORDER: OrderId = OrderId::from_u128(1);

fn deed() -> Deed {
    Deed {
        operator: UserId::from_u128(1_000),
        reason: "the provider is back".into(),
        node: "n1".into(),
    }
}

fn intervene(action: Intervention) -> Command {
    Command::Intervene {
        order_id: ORDER,
        action,
        deed: deed(),
    }
}

fn buyer(commands: impl IntoIterator<Item = Command>) -> Buyer {
    let mut buyer = Buyer::default();
    for command in commands {
        for event in buyer.decide(command, NOW).unwrap() {
            buyer.apply(&event);
        }
    }
    buyer
}

fn types(events: &[Event]) -> Vec<String> {
    let name = |event| {
        serde_json::to_value(event).unwrap()["type"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    events.iter().map(name).collect()
}

#[test]
fn every_position_of_a_checkout_answers_every_intervention() {
    let order = || place(1, SANDBOX, &[(7, 500)]);
    let paid = || settle(1, Settlement::Succeeded);
    let waiting = || buyer([order()]);
    let closing = || buyer([order(), Command::Cancel { order_id: ORDER }]);
    let closed = || buyer([order(), settle(1, declined())]);
    let fulfilled = || buyer([order(), paid()]);
    let refunding = || buyer([order(), paid(), request_refund(1, 5)]);
    let refund = |outcome| {
        let reported = settle_refund(1, 5, 1, outcome);
        buyer([order(), paid(), request_refund(1, 5), reported])
    };
    let only = || Ok(vec!["intervened"]);
    let wrong = |position| Err(Error::wrong_state(position));

    for (state, action, answers) in [
        (Buyer::default(), Retry, Err(Error::OrderNotFound)),
        (waiting(), Retry, only()),
        (waiting(), Compensate, Ok(vec!["intervened", "order_closing"])),
        (waiting(), Reconcile, only()),
        (closing(), Retry, only()),
        (closing(), Compensate, wrong("closing")),
        (closing(), Reconcile, only()),
        (closed(), Retry, wrong("compensated")),
        (closed(), Compensate, wrong("compensated")),
        (closed(), Reconcile, wrong("compensated")),
        (fulfilled(), Retry, wrong("completed")),
        (fulfilled(), Compensate, wrong("completed")),
        (fulfilled(), Reconcile, wrong("completed")),
        (refunding(), Retry, only()),
        (refunding(), Compensate, wrong("refunding")),
        (refunding(), Reconcile, only()),
        (refund(RefundOutcome::Unknown), Retry, only()),
        (
            refund(RefundOutcome::Failed),
            Retry,
            Ok(vec!["intervened", "refund_moved"]),
        ),
        (refund(RefundOutcome::Failed), Compensate, wrong("refund_failed")),
        (refund(RefundOutcome::Succeeded), Retry, wrong("compensated")),
    ] {
        let line = format!("{state:?} and {action:?}");
        let answered = state.decide(intervene(action), NOW).map(|events| types(&events));

        assert_eq!(
            answered,
            answers.map(|types| types.into_iter().map(str::to_owned).collect()),
            "{line}"
        );
    }
}

#[test]
fn no_intervention_moves_money_or_makes_an_order_succeed() {
    for action in [Retry, Compensate, Reconcile] {
        let mut buyer = buyer([place(1, SANDBOX, &[(7, 500)])]);

        for event in buyer.decide(intervene(action), NOW).unwrap() {
            buyer.apply(&event);
            assert_eq!(posting(UserId::from_u128(1), &buyer, &event), None, "{event:?}");
        }

        assert_eq!(buyer.order(ORDER).unwrap().state(), OrderState::Pending);
    }
}

#[test]
fn the_way_back_is_told_before_it_is_taken() {
    let waiting = buyer([place(1, SANDBOX, &[(7, 500), (8, 100)])]);

    let steps = waiting.order(ORDER).unwrap().way_back().unwrap();

    let told: Vec<_> = steps
        .iter()
        .map(|step| (step.step, step.only, step.amount))
        .collect();
    assert_eq!(
        told,
        [
            (ReturnStep::ClosePayment, Only::Always, cny(600)),
            (ReturnStep::End, Only::IfNotCaptured, cny(600)),
            (ReturnStep::Fulfil, Only::IfCaptured, cny(600)),
        ]
    );
    let free = buyer([place(1, Method::Wallet, &[(7, 0)])]);
    assert_eq!(
        free.order(ORDER).unwrap().way_back(),
        Err(Error::wrong_state("completed"))
    );
}

#[test]
fn a_deed_needs_a_reason() {
    let waiting = buyer([place(1, SANDBOX, &[(7, 500)])]);
    for reason in ["no", "   a  ", &"x".repeat(501)] {
        let command = Command::Intervene {
            order_id: ORDER,
            action: Reconcile,
            deed: Deed {
                reason: reason.into(),
                ..deed()
            },
        };

        assert_eq!(waiting.decide(command, NOW), Err(Error::ReasonLength));
    }
}

fn start(purpose: Purpose) -> payment::Command {
    payment::Command::Start {
        payment_id: PaymentId::from_u128(1),
        purpose,
        provider: Provider::Sandbox,
        amount: cny(100),
        token: "tok_ok".into(),
        attempt: 1,
        expires_at: None,
    }
}

fn heard(outcome: ChargeOutcome) -> payment::Command {
    payment::Command::Report {
        attempt: 1,
        step: None,
        outcome,
    }
}

fn payment(commands: impl IntoIterator<Item = payment::Command>) -> Payment {
    let mut payment = Payment::default();
    for command in commands {
        for event in payment.decide(command, NOW).unwrap() {
            payment.apply(&event);
        }
    }
    payment
}

#[test]
fn every_state_of_a_payment_answers_every_intervention() {
    let top_up = || start(Purpose::TopUp);
    let unknown = || payment::Command::Report {
        attempt: 1,
        step: Some(1),
        outcome: ChargeOutcome::Unknown,
    };
    let close = || payment::Command::Close {
        purpose: Purpose::TopUp,
    };
    let captured = || {
        heard(ChargeOutcome::Succeeded {
            charge_id: "ch_1".into(),
            amount: cny(100),
        })
    };
    let wrong = |state| Err(Error::wrong_state(state));

    for (state, action, answers) in [
        (payment([]), Retry, Err(Error::PaymentNotFound)),
        (payment([]), Compensate, Err(Error::PaymentNotFound)),
        (payment([]), Reconcile, Err(Error::PaymentNotFound)),
        (payment([top_up()]), Retry, Ok(2)),
        (payment([top_up()]), Compensate, Ok(2)),
        (payment([top_up()]), Reconcile, Ok(1)),
        (payment([top_up(), unknown()]), Retry, Ok(2)),
        (payment([top_up(), unknown()]), Compensate, Ok(2)),
        (payment([top_up(), close()]), Compensate, wrong("processing")),
        (
            payment([start(Purpose::Order(ORDER))]),
            Compensate,
            wrong("processing"),
        ),
        (payment([top_up(), captured()]), Retry, wrong("succeeded")),
        (payment([top_up(), captured()]), Compensate, wrong("succeeded")),
        (payment([top_up(), captured()]), Reconcile, wrong("succeeded")),
    ] {
        let line = format!("{state:?} and {action:?}");
        let command = payment::Command::Intervene { action, deed: deed() };
        let answered = state.decide(command, NOW).map(|events| events.len());

        assert_eq!(answered, answers, "{line}");
    }
}

#[test]
fn a_retried_step_is_the_same_step_now_under_the_same_key() {
    let mut unknown = payment([
        start(Purpose::TopUp),
        payment::Command::Report {
            attempt: 1,
            step: Some(1),
            outcome: ChargeOutcome::Unknown,
        },
    ]);
    let before = unknown.state().next().unwrap();
    let key = unknown.terms().unwrap().provider_key();
    let now = NOW.plus(std::time::Duration::from_millis(100));

    for event in unknown.decide(payment::Command::Retry, now).unwrap() {
        unknown.apply(&event);
    }

    let next = unknown.state().next().unwrap();
    assert_eq!((next.action, next.tries), (before.action, 0));
    assert_eq!((next.due_at, next.step), (now, before.step + 1));
    assert_eq!(unknown.state().name(), "unknown");
    assert_eq!(unknown.terms().unwrap().provider_key(), key);
}

#[test]
fn a_refund_that_waits_is_retried_with_its_payment() {
    let charge_id = "ch_1".to_owned();
    let captured = heard(ChargeOutcome::Succeeded {
        charge_id,
        amount: cny(100),
    });
    let refund = payment::RefundKey::Order(crate::ids::RefundId::from_u128(5));
    let mut payment = payment([
        start(Purpose::Order(ORDER)),
        captured,
        payment::Command::StartRefund {
            refund,
            attempt: 1,
            amount: cny(100),
        },
    ]);
    let before = payment.refund(refund).unwrap().state.next().unwrap();

    let events = payment
        .decide(payment::Command::Retry, Timestamp::from_millis(9))
        .unwrap();
    events.iter().for_each(|event| payment.apply(event));

    let SendState::Sending(next) = payment.refund(refund).unwrap().state else {
        panic!("{payment:?}");
    };
    assert_eq!((next.action, next.step), (before.action, before.step + 1));
    assert_eq!(next.due_at, Timestamp::from_millis(9));
}
