//! Stripe's protocol without a server: requests byte by byte, and what every answer stands for.

use serde_json::{Value, json};

use super::*;

fn charge() -> ChargeRequest {
    ChargeRequest {
        key: "pay_01-1".into(),
        amount: Money::new(1_990, Currency::CNY).unwrap(),
        token: "pm_card_visa".into(),
        reference: "pay_01".into(),
        expires_at: None,
        provider_id: None,
    }
}

fn outcome(intent: &Value) -> ChargeOutcome {
    let mut whole = json!({"id": "pi_1", "amount": 1990, "currency": "cny"});
    for (name, value) in intent.as_object().unwrap() {
        whole[name] = value.clone();
    }
    Intent::read(whole.to_string().as_bytes()).unwrap().outcome()
}

#[test]
fn requests_are_forms_with_minor_units_and_our_names() {
    assert_eq!(
        intent_form(&charge()),
        "amount=1990&currency=cny&payment_method=pm_card_visa&payment_method_types%5B%5D=card\
         &metadata%5Bkey%5D=pay_01-1&metadata%5Breference%5D=pay_01"
    );
    let refund = RefundRequest {
        key: "ref_01-1".into(),
        charge_id: "pi_1".into(),
        amount: Money::new(990, Currency::CNY).unwrap(),
        total: Money::new(1_990, Currency::CNY).unwrap(),
        reference: "ref_01".into(),
    };
    assert_eq!(
        refund_form(&refund),
        "payment_intent=pi_1&amount=990&metadata%5Bkey%5D=ref_01-1&metadata%5Breference%5D=ref_01"
    );
    assert_eq!(confirm_form(""), "");
    assert_eq!(
        confirm_form("https://lyceum.example/paid?a=b"),
        "return_url=https%3A%2F%2Flyceum.example%2Fpaid%3Fa%3Db"
    );
}

#[test]
fn ids_never_leave_their_segment_of_a_path() {
    assert_eq!(intent_path("pi_1").as_deref(), Some("/v1/payment_intents/pi_1"));
    for id in ["", "../refunds", "pi_1?x", "pi 1", &"p".repeat(200)] {
        assert_eq!(intent_path(id), None, "{id}");
        assert_eq!(refunds_path(id), None, "{id}");
    }
}

#[test]
fn every_status_of_an_intent_stands_for_what_it_says() {
    let declined = |code: &str| ChargeOutcome::Declined { code: code.into() };
    let provider_id = || Some("pi_1".to_owned());
    for (intent, expected) in [
        (
            json!({"status": "succeeded"}),
            ChargeOutcome::Succeeded {
                charge_id: "pi_1".into(),
                amount: Money::new(1_990, Currency::CNY).unwrap(),
            },
        ),
        (
            json!({"status": "succeeded", "amount_received": 990}),
            ChargeOutcome::Succeeded {
                charge_id: "pi_1".into(),
                amount: Money::new(990, Currency::CNY).unwrap(),
            },
        ),
        (
            json!({"status": "succeeded", "currency": "doubloons"}),
            ChargeOutcome::Unknown,
        ),
        (json!({"status": "canceled"}), ChargeOutcome::Closed),
        (
            json!({"status": "processing"}),
            ChargeOutcome::Pending {
                provider_id: provider_id(),
            },
        ),
        (
            json!({"status": "requires_confirmation"}),
            ChargeOutcome::NeverSeen,
        ),
        (json!({"status": "requires_capture"}), ChargeOutcome::Unknown),
        (
            json!({"status": "requires_payment_method"}),
            ChargeOutcome::Unknown,
        ),
        (
            json!({"status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}}),
            declined("card_declined"),
        ),
        (
            json!({"status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "decline_code": "insufficient_funds"}}),
            declined("insufficient_funds"),
        ),
        (
            json!({"status": "requires_action", "next_action": {"type": "redirect_to_url",
                "redirect_to_url": {"url": "https://hooks.stripe.com/3d_secure_2"}}}),
            ChargeOutcome::ActionRequired {
                provider_id: provider_id(),
                action: PayerAction::Redirect {
                    url: "https://hooks.stripe.com/3d_secure_2".into(),
                },
            },
        ),
        (
            json!({"status": "requires_action", "client_secret": "pi_1_secret_x",
                "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}}}),
            ChargeOutcome::ActionRequired {
                provider_id: provider_id(),
                action: PayerAction::App {
                    parameters: r#"{"client_secret":"pi_1_secret_x"}"#.into(),
                },
            },
        ),
        (json!({"status": "requires_action"}), ChargeOutcome::Unknown),
        (json!({"status": "something_new"}), ChargeOutcome::Unknown),
    ] {
        assert_eq!(outcome(&intent), expected, "{intent}");
    }
}

#[test]
fn only_a_refusal_of_the_payment_itself_declines_it() {
    let declined = |code: &str| ChargeOutcome::Declined { code: code.into() };
    for (status, body, expected) in [
        (
            402,
            r#"{"error":{"code":"card_declined","decline_code":"lost_card"}}"#,
            declined("lost_card"),
        ),
        (
            400,
            r#"{"error":{"code":"parameter_invalid_empty"}}"#,
            declined("parameter_invalid_empty"),
        ),
        (404, "", declined("declined")),
        (401, r#"{"error":{}}"#, ChargeOutcome::Unknown),
        (403, "", ChargeOutcome::Unknown),
        (408, "", ChargeOutcome::Unknown),
        (
            409,
            r#"{"error":{"code":"lock_timeout"}}"#,
            ChargeOutcome::Unknown,
        ),
        (
            400,
            r#"{"error":{"code":"idempotency_key_in_use"}}"#,
            ChargeOutcome::Unknown,
        ),
        (429, "", ChargeOutcome::Unknown),
        (500, "", ChargeOutcome::Unknown),
    ] {
        let answer = Answer::of(status, body);

        assert_eq!(refused(&answer), expected, "{status} {body}");
        let failed = matches!(expected, ChargeOutcome::Declined { .. });
        assert_eq!(
            refund_refused(&answer) == SendOutcome::Failed,
            failed,
            "{status} {body}"
        );
    }
}

#[test]
fn a_refund_is_found_by_its_key_in_the_list_of_its_charge() {
    let list = |has_more: bool| {
        json!({"has_more": has_more, "data": [
            {"status": "failed", "metadata": {"key": "ref_01-1"}},
            {"status": "succeeded", "metadata": {"key": "ref_01-2"}},
            {"status": "succeeded"},
        ]})
        .to_string()
    };
    let find = |key: &str, has_more: bool| refund_listed(list(has_more).as_bytes(), key);

    assert_eq!(find("ref_01-1", false), SendOutcome::Failed);
    assert_eq!(find("ref_01-2", false), SendOutcome::Succeeded);
    assert_eq!(find("ref_01-3", false), SendOutcome::NeverSeen);
    assert_eq!(find("ref_01-3", true), SendOutcome::Unknown);
    assert_eq!(refund_listed(b"<html>", "ref_01-1"), SendOutcome::Unknown);
    for (status, expected) in [
        ("succeeded", SendOutcome::Succeeded),
        ("failed", SendOutcome::Failed),
        ("canceled", SendOutcome::Failed),
        ("pending", SendOutcome::Unknown),
        ("requires_action", SendOutcome::Unknown),
    ] {
        let body = json!({"status": status}).to_string();
        assert_eq!(refund_said(body.as_bytes()), expected, "{status}");
    }
}
