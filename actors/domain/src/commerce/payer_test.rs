//! What a payment must do while it is the payer's turn: to scan, to log in, to confirm.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Money, Timestamp};

use super::order::{Method, Provider};
use super::payment::{Action, ChargeOutcome, Command, Event, PayerAction, Payment};
use super::payment_test::{captured, close, declined, heard, payment, start};
use super::{Buyer, Error, SETTLEMENT_CURRENCY};
use crate::ids::PaymentId;

fn code() -> PayerAction {
    PayerAction::QrCode {
        url: "weixin://wxpay/bizpayurl?pr=1".into(),
    }
}

fn asked() -> ChargeOutcome {
    ChargeOutcome::ActionRequired {
        provider_id: Some("pi_1".into()),
        action: code(),
    }
}

fn waiting() -> Payment {
    let mut waiting = payment(&[start(1)]);
    waiting.answered(asked());
    waiting
}

#[test]
fn a_payer_who_has_to_act_is_shown_what_to_do_until_it_is_settled() {
    let waiting = waiting();

    assert_eq!(waiting.state().name(), "requires_action");
    assert_eq!(waiting.state().payer_action(), Some(&code()));
    assert_eq!(waiting.provider_id(), Some("pi_1"));
    assert_eq!(waiting.due(), Some((Action::Query, Duration::from_secs(1))));
    for (outcome, state) in [
        (captured("ch_1"), "succeeded"),
        (declined(), "declined"),
        (ChargeOutcome::Closed, "cancelled"),
    ] {
        let mut settled = waiting.clone();
        settled.must(heard(1, outcome));
        assert_eq!(settled.state().name(), state);
        assert_eq!(settled.state().payer_action(), None);
    }
}

#[test]
fn an_answer_that_says_nothing_takes_nothing_back_from_the_payer() {
    let mut waiting = waiting();

    for (outcome, seconds) in [
        (ChargeOutcome::Unknown, 2),
        (ChargeOutcome::NeverSeen, 5),
        (asked(), 15),
    ] {
        let events = waiting.answered(outcome);

        assert!(matches!(events[..], [Event::Awaited { .. }]), "{events:?}");
        assert_eq!(waiting.state().payer_action(), Some(&code()));
        assert_eq!(waiting.due(), Some((Action::Query, Duration::from_secs(seconds))));
    }
}

#[test]
fn a_provider_that_works_on_it_ends_the_payers_turn_and_keeps_its_name() {
    let mut waiting = waiting();

    waiting.answered(ChargeOutcome::Pending { provider_id: None });

    assert_eq!(waiting.state().name(), "processing");
    assert_eq!(waiting.state().payer_action(), None);
    assert_eq!(waiting.provider_id(), Some("pi_1"));
    assert_eq!(waiting.due(), Some((Action::Query, Duration::from_secs(2))));
    // Nobody paid after all: the code is fetched anew.
    waiting.answered(ChargeOutcome::NeverSeen);
    assert_eq!(waiting.due().map(|(action, _)| action), Some(Action::Send));
}

#[test]
fn what_the_payer_is_shown_is_gone_once_the_payment_is_closed() {
    let mut closing = waiting();

    closing.must(close());

    assert_eq!(closing.state().payer_action(), None);
    assert_eq!(closing.due().map(|(action, _)| action), Some(Action::Close));
    // However often the provider says that it waits for the payer, it is closed and never asked to charge.
    for outcome in [
        asked(),
        ChargeOutcome::Pending { provider_id: None },
        ChargeOutcome::NeverSeen,
    ] {
        closing.answered(outcome);
        assert_eq!(closing.due().map(|(action, _)| action), Some(Action::Close));
    }
    closing.answered(ChargeOutcome::Closed);
    assert_eq!(closing.state().name(), "cancelled");
}

#[test]
fn a_repeated_or_late_start_and_a_stale_answer_change_nothing_while_the_payer_acts() {
    let mut waiting = waiting();
    let before = waiting.clone();
    let stale = Command::Report {
        attempt: 1,
        step: Some(1),
        outcome: asked(),
    };

    for command in [start(1), start(2), stale, heard(1, asked()), heard(2, declined())] {
        assert_eq!(waiting.act(command.clone()), Ok(vec![]), "{command:?}");
    }
    assert_eq!(waiting, before);
}

#[test]
fn who_pays_by_a_way_that_everybody_has_needs_no_token() {
    let top_up = |provider, payment_token| {
        Buyer::default().decide(
            super::Command::StartTopUp {
                payment_id: PaymentId::from_u128(1),
                amount: Money::new(100, SETTLEMENT_CURRENCY).expect("in range"),
                provider,
                payment_token,
                expires_at: Timestamp::EPOCH,
            },
            Timestamp::EPOCH,
        )
    };

    for (provider, token) in [(Provider::Wechat, "native"), (Provider::Alipay, "page")] {
        let events = top_up(provider, None);
        assert!(
            matches!(&events, Ok(events) if matches!(&events[..],
                [super::Event::TopUpStarted { payment_token, .. }] if payment_token == token)),
            "{events:?}"
        );
    }
    for provider in [Provider::Sandbox, Provider::Stripe] {
        assert_eq!(top_up(provider, None), Err(Error::PaymentTokenRequired));
    }
    for provider in Provider::ALL {
        assert_eq!(Method::from_name(provider.name()), Ok(Method::Provider(provider)));
    }
}
