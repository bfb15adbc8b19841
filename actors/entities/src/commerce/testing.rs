//! What one decision of a buyer or a payment writes and sends.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::ledger::{Account, Entry};
use lyceum_domain::commerce::order::no_discount;
use lyceum_domain::commerce::payment::{self, ChargeOutcome, Payment};
use lyceum_domain::commerce::refund::Wanted;
use lyceum_domain::commerce::{
    Adjustment, Buyer, Command, Deed, Intervention, Line, Method, PlaceOrder, Provider, Purpose, Settlement,
    adjustment,
};
use lyceum_domain::ids::{AdjustmentId, CourseId, OrderId, PaymentId, RefundId, UserId};
use lyceum_kernel::{Aggregate, Currency, Money, Timestamp};
use lyceum_runtime::{Effects, Entity, Value};

use super::{Adjustments, Buyers, CommerceFlow, PaymentKey, Payments};

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
            discount: no_discount(),
        }],
        expected_total: None,
        method,
        payment_token: Some("tok_ok".into()),
        expires_at: NOW.plus(Duration::from_secs(60)),
        refundable_until: NOW.plus(Duration::from_secs(60)),
        reservations: vec![],
        gift: None,
        reserved_until: None,
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
        wanted: Wanted::default(),
        requester: None,
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

fn deed(operator: u128) -> Deed {
    Deed {
        operator: UserId::from_u128(operator),
        reason: "seen the ticket".into(),
        node: "n1".into(),
    }
}

#[test]
fn an_adjustment_is_on_record_and_posted_by_whoever_has_the_wallet() {
    let binding = Adjustments::new(100);
    let id = AdjustmentId::from_u128(77);
    let entry = |account, owner, amount| Entry {
        account,
        owner,
        amount,
    };
    let wallet = [
        entry(Account::UserWallet, Some(USER), 500),
        entry(Account::PlatformRevenue, None, -500),
    ];
    let nobodys = [
        entry(Account::Fees, None, -300),
        entry(Account::PlatformRevenue, None, 300),
    ];
    for (entries, rows, messages) in [
        (wallet, vec!["adjustments", "audit_log"], 1),
        (
            nobodys,
            vec!["adjustments", "audit_log", "ledger_transactions"],
            0,
        ),
    ] {
        let mut state = Adjustment::default();
        let mut act = |command| {
            let events = state.decide(command, NOW).unwrap();
            events.iter().for_each(|event| state.apply(event));
            let mut effects = Effects::default();
            binding.effects(id, &state, &events, NOW, &mut effects);
            (tables(&effects), flows(&effects))
        };

        let proposed = act(adjustment::Command::Propose {
            entries: entries.to_vec(),
            maker: deed(8),
            bounds: adjustment::Bounds {
                amount_max: 1_000,
                entries_max: 2,
            },
        });
        let (written, sent) = act(adjustment::Command::Approve { checker: deed(9) });

        assert_eq!(proposed, (vec!["adjustments", "audit_log"], vec![]));
        assert_eq!((written, sent.len()), (rows, messages));
        assert!(
            sent.iter()
                .all(|(due, flow)| *due == NOW && matches!(flow, CommerceFlow::PostAdjustment { .. }))
        );
    }
}

#[test]
fn a_wallet_tells_the_adjustment_what_became_of_it() {
    let post = |id, amount| Command::PostAdjustment {
        adjustment_id: AdjustmentId::from_u128(id),
        entries: vec![
            Entry {
                account: Account::UserWallet,
                owner: Some(USER),
                amount,
            },
            Entry {
                account: Account::PlatformRevenue,
                owner: None,
                amount: -amount,
            },
        ],
    };
    let (mut buyer, binding) = buyer();

    let posted = act(&mut buyer, &binding, post(1, -500));
    let refused = act(&mut buyer, &binding, post(2, -100_000));

    assert_eq!(tables(&posted), ["wallets", "ledger_transactions"]);
    assert!(matches!(
        flows(&posted)[..],
        [(NOW, CommerceFlow::SettleAdjustment { .. })]
    ));
    assert!(tables(&refused).is_empty());
    assert!(matches!(
        &flows(&refused)[..],
        [(NOW, CommerceFlow::RefuseAdjustment { code, .. })] if code == "commerce.insufficient_funds"
    ));
}

#[test]
fn what_operators_do_about_a_checkout_is_on_record_and_reaches_its_payment() {
    let order_id = OrderId::from_u128(2);
    for (action, rows, messages) in [
        (Intervention::Retry, vec!["audit_log"], 1),
        (Intervention::Compensate, vec!["audit_log", "orders"], 1),
        (
            Intervention::Reconcile,
            vec!["saga_reconciliations", "audit_log"],
            0,
        ),
    ] {
        let (mut buyer, binding) = buyer();
        act(&mut buyer, &binding, place(Method::Provider(Provider::Sandbox)));

        let effects = act(
            &mut buyer,
            &binding,
            Command::Intervene {
                order_id,
                action,
                deed: deed(8),
            },
        );

        assert_eq!(tables(&effects), rows, "{action:?}");
        assert_eq!(flows(&effects).len(), messages, "{action:?}");
        let (_, logged) = effects.rows().find(|(table, _)| *table == "audit_log").unwrap();
        assert_eq!(logged[2], Value::Static(action.name()));
        assert_eq!(logged[3], Value::Text(order_id.to_string()));
    }
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
