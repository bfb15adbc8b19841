//! What one decision of a buyer or a payment writes and sends.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::payment::{self, ChargeOutcome, Payment};
use lyceum_domain::commerce::{Buyer, Command, Line, Method, PlaceOrder, Provider, Purpose, Settlement};
use lyceum_domain::ids::{CourseId, OrderId, PaymentId, RefundId, UserId};
use lyceum_kernel::{Aggregate, Currency, Money, Timestamp};
use lyceum_runtime::{Effects, Entity, Value};

use super::{Buyers, CommerceFlow, PaymentKey, Payments};

const USER: UserId = UserId::from_u128(1);
const PAYMENT: PaymentId = PaymentId::from_u128(3);
const NOW: Timestamp = Timestamp::EPOCH;

fn cny(amount: i64) -> Money {
    Money::new(amount, Currency::CNY).unwrap()
}

/// A buyer with 1,000.00, and the binding.
fn buyer() -> (Buyer, Buyers) {
    let mut buyer = Buyer::default();
    let binding = Buyers::new(Arc::new(|_, _, _| ()), 100);
    let payment_id = PaymentId::from_u128(900);
    let top_up = Command::StartTopUp {
        payment_id,
        amount: cny(100_000),
        provider: Provider::Sandbox,
        payment_token: Some("tok_ok".into()),
        expires_at: NOW,
    };
    act(&mut buyer, &binding, top_up);
    let arrived = Command::SettlePayment {
        payment_id,
        purpose: Purpose::TopUp,
        outcome: Settlement::Succeeded,
    };
    act(&mut buyer, &binding, arrived);
    (buyer, binding)
}

fn act(buyer: &mut Buyer, binding: &Buyers, command: Command) -> Effects {
    let events = buyer.decide(command, NOW).unwrap();
    for event in &events {
        buyer.apply(event);
    }
    let mut effects = Effects::default();
    binding.effects(USER, buyer, &events, NOW, &mut effects);
    effects
}

fn place(method: Method) -> Command {
    Command::PlaceOrder(Box::new(PlaceOrder {
        order_id: OrderId::from_u128(2),
        payment_id: PAYMENT,
        buyer: USER,
        lines: vec![Line {
            course_id: CourseId::from_u128(7),
            course_version: 1,
            title: "Postgres internals".into(),
            price: cny(19_900),
            creator: UserId::from_u128(9),
            share_bps: 7_000,
        }],
        expected_total: None,
        method,
        payment_token: Some("tok_ok".into()),
        expires_at: NOW.plus(Duration::from_secs(60)),
        refundable_until: NOW.plus(Duration::from_secs(60)),
    }))
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

#[test]
fn a_wallet_purchase_writes_four_rows_and_sends_nothing() {
    let (mut buyer, binding) = buyer();

    let effects = act(&mut buyer, &binding, place(Method::Wallet));

    assert_eq!(
        tables(&effects),
        ["orders", "grants", "wallets", "ledger_transactions"]
    );
    assert!(flows(&effects).is_empty());
    let (_, posted) = effects.rows().last().unwrap();
    assert_eq!(posted[5], Value::Text("{2,4,6}".to_owned()));
    assert_eq!(posted[7], Value::Text("{-19900,13930,5970}".to_owned()));
}

#[test]
fn an_external_order_asks_for_its_payment_and_sets_its_timer() {
    let (mut buyer, binding) = buyer();

    let effects = act(&mut buyer, &binding, place(Method::Provider(Provider::Sandbox)));

    assert_eq!(tables(&effects), ["orders"]);
    let flows = flows(&effects);
    assert_eq!(flows[0].0, NOW);
    assert!(matches!(&flows[0].1, CommerceFlow::StartPayment { payment, .. } if *payment == PAYMENT));
    assert_eq!(flows[1].0, NOW.plus(Duration::from_secs(60)));
    assert!(matches!(flows[1].1, CommerceFlow::ExpireOrder { .. }));
}

#[test]
fn a_wallet_refund_writes_its_reversal_and_revokes_the_grant() {
    let (mut buyer, binding) = buyer();
    act(&mut buyer, &binding, place(Method::Wallet));

    let (order_id, refund_id) = (OrderId::from_u128(2), RefundId::from_u128(5));
    let refund = Command::RequestRefund {
        order_id,
        refund_id,
        reason: "no".into(),
        amount: None,
    };
    let effects = act(&mut buyer, &binding, refund);

    assert_eq!(
        tables(&effects),
        ["orders", "refunds", "grants", "wallets", "ledger_transactions"]
    );
    let (_, grant) = effects.rows().find(|(table, _)| *table == "grants").unwrap();
    assert_eq!(grant[7], Value::Int(NOW.as_millis()), "revoked");
}

#[test]
fn a_payment_is_followed_until_its_buyer_knows() {
    let binding = Payments::new(100);
    let key = PaymentKey {
        payment: PAYMENT,
        user: USER,
    };
    let mut payment = Payment::default();
    let mut act = |command: payment::Command| {
        let events = payment.decide(command, NOW).unwrap();
        for event in &events {
            payment.apply(event);
        }
        let mut effects = Effects::default();
        binding.effects(key, &payment, &events, NOW, &mut effects);
        (tables(&effects), flows(&effects))
    };

    let (rows, started) = act(payment::Command::Start {
        payment_id: PAYMENT,
        purpose: Purpose::TopUp,
        provider: Provider::Sandbox,
        amount: cny(100),
        token: "tok_ok".into(),
        attempt: 1,
        expires_at: None,
    });
    assert_eq!(rows, ["payments"]);
    assert_eq!(
        started,
        [(
            NOW,
            CommerceFlow::CallProvider {
                user: USER,
                payment: PAYMENT,
                step: 1
            }
        )]
    );

    let unknown = ChargeOutcome::Unknown;
    let (_, asked) = act(payment::Command::Report {
        attempt: 1,
        step: Some(1),
        outcome: unknown,
    });
    let later = NOW.plus(Duration::from_secs(1));
    assert_eq!(
        asked,
        [(
            later,
            CommerceFlow::CallProvider {
                user: USER,
                payment: PAYMENT,
                step: 2
            }
        )]
    );

    let captured = ChargeOutcome::Succeeded {
        charge_id: "ch_1".into(),
        amount: cny(100),
    };
    let (_, settled) = act(payment::Command::Report {
        attempt: 1,
        step: None,
        outcome: captured,
    });
    assert!(matches!(
        settled[..],
        [(
            NOW,
            CommerceFlow::SettlePayment {
                outcome: Settlement::Succeeded,
                ..
            }
        )]
    ));
}

#[test]
fn events_and_state_are_read_back_as_they_were_written() {
    let (mut buyer, _) = buyer();
    for command in [place(Method::Wallet), place(Method::Provider(Provider::Sandbox))] {
        let events = buyer.decide(command, NOW).unwrap();
        for event in &events {
            buyer.apply(event);
        }
        let text = serde_json::to_string(&events).unwrap();
        assert_eq!(
            serde_json::from_str::<Vec<lyceum_domain::commerce::Event>>(&text).unwrap(),
            events
        );
    }
    let text = serde_json::to_string(&buyer).unwrap();

    assert_eq!(serde_json::from_str::<Buyer>(&text).unwrap(), buyer);
}

#[test]
fn a_payment_of_an_earlier_program_is_read_and_is_as_it_was() {
    let started = r#"{"type":"started","terms":{"payment_id":"pay_00000000000000000000000003","purpose":"top_up",
        "provider":"sandbox","amount":{"amount":100,"currency":"CNY"},"token":"tok_ok","attempt":1},
        "next":{"action":"send","due_at":"1970-01-01T00:00:00.000Z","step":1,"tries":0}}"#;
    let message = r#"{"type":"start_payment","user":"usr_00000000000000000000000001",
        "payment":"pay_00000000000000000000000003","purpose":"top_up","provider":"sandbox",
        "amount":{"amount":100,"currency":"CNY"},"token":"tok_ok"}"#;

    let event: payment::Event = serde_json::from_str(started).unwrap();
    let mut read = Payment::default();
    read.apply(&event);

    let start = payment::Command::Start {
        payment_id: PAYMENT,
        purpose: Purpose::TopUp,
        provider: Provider::Sandbox,
        amount: cny(100),
        token: "tok_ok".into(),
        attempt: 1,
        expires_at: None,
    };
    assert_eq!(Payment::default().decide(start, NOW), Ok(vec![event.clone()]));
    let text = |value: &str| serde_json::from_str::<serde_json::Value>(value).unwrap();
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        text(started),
        "and it reads ours"
    );
    let kept = serde_json::to_value(&read).unwrap();
    assert!(kept.get("provider_id").is_none(), "{kept}");
    assert_eq!(serde_json::from_value::<Payment>(kept).unwrap(), read);
    let message: CommerceFlow = serde_json::from_str(message).unwrap();
    assert!(matches!(
        message,
        CommerceFlow::StartPayment { expires_at: None, .. }
    ));
}
