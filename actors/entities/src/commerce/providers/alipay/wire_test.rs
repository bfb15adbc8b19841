//! Alipay's protocol without a server: parameters of requests, and what every answer stands for.

use super::*;

fn merchant() -> Merchant {
    Merchant {
        app_id: "2014072300007148".into(),
        notify_url: "https://lyceum.example/callbacks/alipay".into(),
        return_url: String::new(),
        subject: "Lyceum".into(),
    }
}

fn cny(amount: i64) -> Money {
    Money::new(amount, Currency::CNY).unwrap()
}

fn charge(token: &str) -> ChargeRequest {
    ChargeRequest {
        key: "pay_01h455vb4pex5vsknk084sn02q-1".into(),
        amount: cny(1_990),
        token: token.into(),
        reference: "pay_01h455vb4pex5vsknk084sn02q".into(),
        expires_at: Some(Timestamp::from_millis(1_700_000_000_000)),
        provider_id: None,
    }
}

fn said(text: &Value) -> Said {
    Said::read(&text.to_string())
}

fn refused(sub_code: &str) -> Said {
    said(&json!({"code": "40004", "msg": "Business Failed", "sub_code": sub_code}))
}

#[test]
fn a_payment_begins_on_a_page_or_in_the_app() {
    let page = payment(&merchant(), &charge("page")).unwrap();
    assert_eq!((page.method, page.in_app), ("alipay.trade.page.pay", false));
    assert_eq!(
        page.content,
        json!({
            "out_trade_no": "pay_01h455vb4pex5vsknk084sn02q_1", "total_amount": "19.90", "subject": "Lyceum",
            "product_code": "FAST_INSTANT_TRADE_PAY", "time_expire": "2023-11-15 06:13:20",
        })
    );
    let app = payment(&merchant(), &charge("app")).unwrap();
    assert_eq!((app.method, app.in_app), ("alipay.trade.app.pay", true));
    assert_eq!(app.content["product_code"], "QUICK_MSECURITY_PAY");

    for token in ["", "wap", "native"] {
        assert_eq!(
            payment(&merchant(), &charge(token)).unwrap_err(),
            "unknown_token",
            "{token}"
        );
    }
    let dollars = ChargeRequest {
        amount: Money::new(1, Currency::USD).unwrap(),
        ..charge("page")
    };
    assert_eq!(
        payment(&merchant(), &dollars).unwrap_err(),
        "currency_unsupported"
    );
}

#[test]
fn calls_have_the_common_parameters() {
    let time = Timestamp::from_millis(1_700_000_000_000);

    let parameters = merchant().parameters(QUERY, &by_key("pay_01-1"), time);

    assert_eq!(parameters["timestamp"], "2023-11-15 06:13:20");
    assert_eq!(parameters["biz_content"], r#"{"out_trade_no":"pay_01_1"}"#);
    assert_eq!(parameters["sign_type"], "RSA2");
    assert!(!parameters.contains_key("sign"));
}

#[test]
fn numbers_lead_back_to_the_payment() {
    let key = "pay_01h455vb4pex5vsknk084sn02q-12";

    let number = number_of(key);

    assert!(
        number
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "{number}"
    );
    assert_eq!(
        key_of(&number),
        Some((key.to_owned(), "pay_01h455vb4pex5vsknk084sn02q".to_owned()))
    );
    assert_eq!(key_of("another"), None);
}

#[test]
fn amounts_are_yuan_with_two_digits() {
    for (fen, text) in [
        (1, "0.01"),
        (10, "0.10"),
        (1_990, "19.90"),
        (100_000_000, "1000000.00"),
    ] {
        assert_eq!(yuan(cny(fen)), text);
        assert_eq!(from_yuan(text), Some(cny(fen)));
    }
    assert_eq!(from_yuan("19.9"), Some(cny(1_990)));
    assert_eq!(from_yuan("19"), Some(cny(1_900)));
    for text in [
        "",
        ".",
        "19.",
        ".90",
        "19.901",
        "-1.00",
        "+1.00",
        "1e3",
        "1,000.00",
        "99999999999999999999.00",
    ] {
        assert_eq!(from_yuan(text), None, "{text}");
    }
}

#[test]
fn every_answer_about_a_trade_stands_for_what_it_says() {
    let trade = |status: &str| json!({"code": "10000", "trade_no": "2013112011001004330000121536", "trade_status": status, "total_amount": "19.90"});
    let paid = || ChargeOutcome::Succeeded {
        charge_id: "2013112011001004330000121536".into(),
        amount: cny(1_990),
    };
    let mut refunded = trade("TRADE_CLOSED");
    refunded["send_pay_date"] = "2023-11-15 06:13:20".into();
    let mut without_amount = trade("TRADE_SUCCESS");
    without_amount["total_amount"] = "much".into();
    for (said, expected) in [
        (said(&trade("TRADE_SUCCESS")), paid()),
        (said(&trade("TRADE_FINISHED")), paid()),
        (said(&refunded), paid()),
        (said(&trade("TRADE_CLOSED")), ChargeOutcome::Closed),
        (said(&trade("WAIT_BUYER_PAY")), ChargeOutcome::NeverSeen),
        (said(&trade("SOMETHING_NEW")), ChargeOutcome::Unknown),
        (said(&without_amount), ChargeOutcome::Unknown),
        (refused("ACQ.TRADE_NOT_EXIST"), ChargeOutcome::NeverSeen),
        (refused("ACQ.SYSTEM_ERROR"), ChargeOutcome::Unknown),
        (
            said(&json!({"code": "40002", "sub_code": "isv.invalid-signature"})),
            ChargeOutcome::Unknown,
        ),
        (
            said(&json!({"code": "20000", "sub_code": "isp.unknow-error"})),
            ChargeOutcome::Unknown,
        ),
        (Said::Nothing, ChargeOutcome::Unknown),
    ] {
        assert_eq!(trade_said(&said), expected);
    }
}

#[test]
fn closing_asks_the_trade_where_it_may_have_been_paid() {
    for (said, expected) in [
        (said(&json!({"code": "10000"})), Some(ChargeOutcome::Closed)),
        (refused("ACQ.TRADE_NOT_EXIST"), Some(ChargeOutcome::Closed)),
        (refused("ACQ.TRADE_STATUS_ERROR"), None),
        (refused("ACQ.REASON_TRADE_STATUS_INVALID"), None),
        (refused("ACQ.SYSTEM_ERROR"), Some(ChargeOutcome::Unknown)),
        (Said::Nothing, Some(ChargeOutcome::Unknown)),
    ] {
        assert_eq!(closed(&said), expected);
    }
}

#[test]
fn every_answer_about_a_refund_stands_for_what_it_says() {
    let done = |name: &str, value: &str| {
        let mut text = json!({"code": "10000"});
        text[name] = value.into();
        said(&text)
    };
    for (said, expected) in [
        (done("fund_change", "Y"), Some(SendOutcome::Succeeded)),
        (done("fund_change", "N"), None),
        (
            refused("ACQ.SELLER_BALANCE_NOT_ENOUGH"),
            Some(SendOutcome::Failed),
        ),
        (refused("ACQ.TRADE_HAS_FINISHED"), Some(SendOutcome::Failed)),
        (refused("ACQ.SYSTEM_ERROR"), Some(SendOutcome::Unknown)),
        (refused(""), Some(SendOutcome::Unknown)),
        (Said::Nothing, Some(SendOutcome::Unknown)),
    ] {
        assert_eq!(refund_sent(&said), expected);
    }
    for (said, expected) in [
        (done("refund_status", "REFUND_SUCCESS"), SendOutcome::Succeeded),
        (done("refund_status", "REFUND_PROCESSING"), SendOutcome::Unknown),
        (
            done("trade_no", "2013112011001004330000121536"),
            SendOutcome::NeverSeen,
        ),
        (refused("ACQ.TRADE_NOT_EXIST"), SendOutcome::NeverSeen),
        (refused("ACQ.SYSTEM_ERROR"), SendOutcome::Unknown),
        (Said::Nothing, SendOutcome::Unknown),
    ] {
        assert_eq!(refund_found(&said), expected);
    }
}

#[test]
fn what_refuses_us_is_told_from_what_refuses_a_trade() {
    for (code, sub_code, us) in [
        ("40004", "ACQ.TRADE_NOT_EXIST", false),
        ("20000", "isp.unknow-error", false),
        ("10003", "", false),
        ("40002", "isv.invalid-signature", true),
        ("40006", "isv.insufficient-isv-permissions", true),
        ("40001", "isv.missing-signature", true),
    ] {
        assert_eq!(refuses_us(code, sub_code), us, "{code} {sub_code}");
    }
}
