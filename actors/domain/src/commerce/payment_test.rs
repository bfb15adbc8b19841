//! What a payment must do: every (state, command) pair, and the stories of ambiguous outcomes.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Money, Timestamp};

use super::order::Provider;
use super::payment::{
    Action, ChargeOutcome, Command, Event, Payment, Purpose, RefundKey, SendOutcome, SendState, State,
};
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{PaymentId, RefundId};

const NOW: Timestamp = Timestamp::EPOCH;
const REFUND: RefundKey = RefundKey::Order(RefundId::from_u128(5));

fn cny(amount: i64) -> Money {
    Money::new(amount, SETTLEMENT_CURRENCY).expect("in range")
}

pub(super) fn start(attempt: u32) -> Command {
    Command::Start {
        payment_id: PaymentId::from_u128(1),
        purpose: Purpose::TopUp,
        provider: Provider::Sandbox,
        amount: cny(100),
        token: "tok_ok".into(),
        attempt,
        expires_at: None,
    }
}

pub(super) fn close() -> Command {
    Command::Close {
        purpose: Purpose::TopUp,
    }
}

/// A callback about an attempt.
pub(super) fn heard(attempt: u32, outcome: ChargeOutcome) -> Command {
    Command::Report {
        attempt,
        step: None,
        outcome,
    }
}

pub(super) fn captured(charge: &str) -> ChargeOutcome {
    ChargeOutcome::Succeeded {
        charge_id: charge.into(),
        amount: cny(100),
    }
}

pub(super) fn declined() -> ChargeOutcome {
    ChargeOutcome::Declined {
        code: "card_declined".into(),
    }
}

fn start_refund(attempt: u32, amount: i64) -> Command {
    Command::StartRefund {
        refund: REFUND,
        attempt,
        amount: cny(amount),
    }
}

fn heard_refund(attempt: u32, outcome: SendOutcome) -> Command {
    Command::ReportRefund {
        refund: REFUND,
        attempt,
        step: None,
        outcome,
    }
}

impl Payment {
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

    /// The answer to the action that is due.
    pub(super) fn answered(&mut self, outcome: ChargeOutcome) -> Vec<Event> {
        let (attempt, step) = (self.terms().map_or(0, |terms| terms.attempt), self.state().next());
        self.must(Command::Report {
            attempt,
            step: step.map(|next| next.step),
            outcome,
        })
    }

    fn refund_answered(&mut self, refund: RefundKey, outcome: SendOutcome) -> Vec<Event> {
        let held = self.refund(refund).expect("begun");
        let (attempt, step) = (held.attempt, held.state.next().map(|next| next.step));
        self.must(Command::ReportRefund {
            refund,
            attempt,
            step,
            outcome,
        })
    }

    pub(super) fn due(&self) -> Option<(Action, Duration)> {
        self.state()
            .next()
            .map(|next| (next.action, next.due_at.since(NOW)))
    }
}

pub(super) fn payment(commands: &[Command]) -> Payment {
    let mut payment = Payment::default();
    for command in commands {
        payment.must(command.clone());
    }
    payment
}

#[test]
fn every_state_answers_every_command_as_the_machine_says() {
    let commands = || {
        [
            start(1),
            start(2),
            close(),
            heard(1, captured("ch_1")),
            heard(1, captured("ch_2")),
            heard(1, declined()),
            heard(1, ChargeOutcome::Closed),
            heard(1, ChargeOutcome::Unknown),
            heard(1, ChargeOutcome::NeverSeen),
            start_refund(1, 100),
            heard_refund(1, SendOutcome::Succeeded),
        ]
    };
    let no = |state: &'static str| Err(Error::wrong_state(state));
    let absent = || Err(Error::PaymentNotFound);
    let no_refund = || Err(Error::RefundNotFound);
    let to = |state: &'static str| Ok(Some(state));
    let stays = || Ok(None);
    let mut unknown = payment(&[start(1)]);
    unknown.answered(ChargeOutcome::Unknown);

    for (before, row) in [
        (
            Payment::default(),
            [
                to("processing"),
                to("processing"),
                to("cancelled"),
                absent(),
                absent(),
                absent(),
                absent(),
                absent(),
                absent(),
                no("requires_payment"),
                no_refund(),
            ],
        ),
        (
            payment(&[start(1)]),
            [
                stays(),
                stays(),
                to("processing"),
                to("succeeded"),
                to("succeeded"),
                to("declined"),
                to("cancelled"),
                stays(),
                stays(),
                no("processing"),
                no_refund(),
            ],
        ),
        (
            payment(&[start(1), close()]),
            [
                stays(),
                stays(),
                stays(),
                to("succeeded"),
                to("succeeded"),
                to("declined"),
                to("cancelled"),
                stays(),
                stays(),
                no("processing"),
                no_refund(),
            ],
        ),
        (
            unknown,
            [
                stays(),
                stays(),
                to("unknown"),
                to("succeeded"),
                to("succeeded"),
                to("declined"),
                to("cancelled"),
                stays(),
                stays(),
                no("unknown"),
                no_refund(),
            ],
        ),
        (
            payment(&[start(1), heard(1, captured("ch_1"))]),
            [
                stays(),
                stays(),
                stays(),
                stays(),
                to("succeeded"),
                stays(),
                stays(),
                stays(),
                stays(),
                to("succeeded"),
                no_refund(),
            ],
        ),
        (
            payment(&[start(1), heard(1, declined())]),
            [
                stays(),
                to("processing"),
                stays(),
                to("succeeded"),
                to("succeeded"),
                stays(),
                stays(),
                stays(),
                stays(),
                no("declined"),
                no_refund(),
            ],
        ),
        (
            payment(&[start(1), heard(1, ChargeOutcome::Closed)]),
            [
                stays(),
                stays(),
                stays(),
                to("succeeded"),
                to("succeeded"),
                stays(),
                stays(),
                stays(),
                stays(),
                no("cancelled"),
                no_refund(),
            ],
        ),
    ] {
        for (command, expected) in commands().into_iter().zip(row) {
            let mut after = before.clone();

            let outcome = after.act(command.clone());

            let outcome = outcome.map(|events| (!events.is_empty()).then(|| after.state().name()));
            assert_eq!(outcome, expected, "{}: {command:?}", before.state().name());
        }
    }
}

#[test]
fn an_unknown_outcome_is_asked_about_with_growing_pauses_and_under_the_same_key() {
    let mut payment = payment(&[start(1)]);
    let key = payment.terms().map(super::payment::Terms::provider_key);

    for seconds in [1, 2, 5, 15, 60, 60] {
        payment.answered(ChargeOutcome::Unknown);

        assert_eq!(payment.due(), Some((Action::Query, Duration::from_secs(seconds))));
    }
    assert_eq!(payment.terms().map(super::payment::Terms::provider_key), key);
}

#[test]
fn a_charge_that_the_provider_never_saw_is_sent_again_and_a_closing_one_is_closed() {
    let mut unseen = payment(&[start(1)]);
    unseen.answered(ChargeOutcome::Unknown);
    unseen.answered(ChargeOutcome::NeverSeen);
    assert_eq!(unseen.due(), Some((Action::Send, Duration::from_secs(2))));

    let mut closing = payment(&[start(1), close()]);
    closing.answered(ChargeOutcome::Unknown);
    assert_eq!(closing.due(), Some((Action::Close, Duration::from_secs(1))));
}

#[test]
fn an_answer_to_an_earlier_step_changes_nothing_unless_it_is_definite() {
    let mut payment = payment(&[start(1)]);
    payment.answered(ChargeOutcome::Unknown);
    let stale = |outcome| Command::Report {
        attempt: 1,
        step: Some(1),
        outcome,
    };

    assert_eq!(payment.act(stale(ChargeOutcome::Unknown)), Ok(vec![]));
    assert_eq!(payment.act(stale(ChargeOutcome::NeverSeen)), Ok(vec![]));
    assert_eq!(payment.must(stale(captured("ch_1"))).len(), 1);
}

#[test]
fn the_provider_key_rotates_after_a_decline() {
    let mut payment = payment(&[start(1), heard(1, declined())]);
    let first = payment.terms().map(super::payment::Terms::provider_key);

    payment.must(start(2));

    assert_ne!(payment.terms().map(super::payment::Terms::provider_key), first);
    assert_eq!(
        payment.act(heard(1, declined())),
        Ok(vec![]),
        "the old attempt is over"
    );
}

#[test]
fn another_amount_or_currency_is_refused() {
    let usd = Money::new(100, lyceum_kernel::Currency::USD).expect("in range");
    for amount in [cny(99), cny(101), usd] {
        let mut payment = payment(&[start(1)]);

        let outcome = ChargeOutcome::Succeeded {
            charge_id: "ch_1".into(),
            amount,
        };

        assert_eq!(payment.act(heard(1, outcome)), Err(Error::AmountMismatch));
        assert_eq!(payment.state().name(), "processing");
    }
}

#[test]
fn a_second_capture_is_returned_once_however_often_it_is_heard_of() {
    let mut payment = payment(&[start(1), heard(1, captured("ch_1"))]);

    let events = payment.must(heard(1, captured("ch_2")));

    assert!(matches!(events[..], [Event::SurplusCaptured { index: 0, .. }]));
    assert_eq!(payment.act(heard(1, captured("ch_2"))), Ok(vec![]));
    let surplus = RefundKey::Surplus(0);
    payment.refund_answered(surplus, SendOutcome::Failed);
    assert_eq!(
        payment.refund(surplus).map(|refund| refund.attempt),
        Ok(2),
        "it is tried again by itself"
    );
    payment.refund_answered(surplus, SendOutcome::Unknown);
    payment.refund_answered(surplus, SendOutcome::NeverSeen);
    payment.refund_answered(surplus, SendOutcome::Succeeded);
    assert_eq!(
        payment.refund(surplus).map(|refund| refund.state),
        Ok(SendState::Succeeded)
    );
}

#[test]
fn a_payment_that_another_was_faster_than_gives_its_own_capture_back_once() {
    let mut payment = payment(&[start(1), heard(1, captured("ch_1"))]);

    let events = payment.must(Command::GiveBack);

    assert!(matches!(events[..], [Event::SurplusCaptured { index: 0, .. }]));
    assert_eq!(payment.state().name(), "surplus");
    assert_eq!(payment.act(Command::GiveBack), Ok(vec![]));
    assert_eq!(payment.act(heard(1, captured("ch_1"))), Ok(vec![]));
    assert_eq!(
        payment.act(start_refund(1, 100)),
        Err(Error::wrong_state("surplus")),
        "it goes back as a whole already"
    );
    payment.refund_answered(RefundKey::Surplus(0), SendOutcome::Succeeded);
    assert_eq!(
        payment.refund(RefundKey::Surplus(0)).map(|refund| refund.state),
        Ok(SendState::Succeeded)
    );
}

#[test]
fn every_refund_state_answers_every_report() {
    let begun = || payment(&[start(1), heard(1, captured("ch_1")), start_refund(1, 100)]);
    let mut unknown = begun();
    unknown.refund_answered(REFUND, SendOutcome::Unknown);
    let mut failed = begun();
    failed.refund_answered(REFUND, SendOutcome::Failed);
    let mut done = begun();
    done.refund_answered(REFUND, SendOutcome::Succeeded);

    // Columns: succeeded, failed, unknown, never seen.
    for (before, row) in [
        (begun(), [true, true, true, true]),
        (unknown, [true, true, true, true]),
        (failed, [true, false, false, false]),
        (done, [false, false, false, false]),
    ] {
        let outcomes = [
            SendOutcome::Succeeded,
            SendOutcome::Failed,
            SendOutcome::Unknown,
            SendOutcome::NeverSeen,
        ];
        for (outcome, moves) in outcomes.into_iter().zip(row) {
            let mut payment = before.clone();

            assert_eq!(
                !payment.refund_answered(REFUND, outcome).is_empty(),
                moves,
                "{before:?} {outcome:?}"
            );
        }
    }
}

#[test]
fn refunds_never_exceed_the_capture() {
    let mut payment = payment(&[start(1), heard(1, captured("ch_1"))]);
    assert_eq!(
        payment.act(start_refund(1, 101)),
        Err(Error::RefundExceedsCapture)
    );
    payment.must(start_refund(1, 60));

    let other = RefundKey::Order(RefundId::from_u128(6));
    let more = Command::StartRefund {
        refund: other,
        attempt: 1,
        amount: cny(41),
    };
    assert_eq!(payment.act(more.clone()), Err(Error::RefundExceedsCapture));

    payment.refund_answered(REFUND, SendOutcome::Failed);
    payment.must(more);
    assert_eq!(payment.act(start_refund(2, 60)), Err(Error::RefundExceedsCapture));
    assert_eq!(payment.act(start_refund(1, 60)), Ok(vec![]), "redelivered");
}

#[test]
fn whatever_is_not_settled_has_a_next_action_and_a_time() {
    let mut payment = payment(&[start(1)]);
    for outcome in [
        ChargeOutcome::Unknown,
        ChargeOutcome::NeverSeen,
        ChargeOutcome::Unknown,
    ] {
        assert!(payment.due().is_some());
        payment.answered(outcome);
    }
    payment.must(close());
    assert_eq!(payment.due().map(|(action, _)| action), Some(Action::Close));

    payment.answered(ChargeOutcome::Closed);

    assert_eq!((payment.due(), payment.state()), (None, &State::Cancelled));
}
