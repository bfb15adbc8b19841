//! WeChat Pay's protocol without a server: bodies of requests, and what every answer stands for.

use lyceum_kernel::Timestamp;
use serde_json::Value;

use super::*;

fn merchant() -> Merchant {
    Merchant {
        mch_id: "1900009191".into(),
        app_id: "wxd678efh567hg6787".into(),
        notify_url: "https://lyceum.example/callbacks/wechat".into(),
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

fn order(token: &str) -> Result<(&'static str, Value), &'static str> {
    let (path, body) = merchant().order(&charge(token))?;
    Ok((path, serde_json::from_str(&body).unwrap()))
}

#[test]
fn an_order_is_placed_for_a_code_or_for_a_page_within_wechat() {
    let (path, body) = order("native").unwrap();
    assert_eq!(path, "/v3/pay/transactions/native");
    assert_eq!(
        body,
        json!({
            "appid": "wxd678efh567hg6787", "mchid": "1900009191", "description": "Lyceum",
            "out_trade_no": "01h455vb4pex5vsknk084sn02q-1",
            "notify_url": "https://lyceum.example/callbacks/wechat",
            "time_expire": "2023-11-15T06:13:20+08:00",
            "amount": {"total": 1990, "currency": "CNY"},
        })
    );

    let (path, body) = order("jsapi:oUpF8uMuAJO_M2pxb1Q9zNjWeS6o").unwrap();
    assert_eq!(path, "/v3/pay/transactions/jsapi");
    assert_eq!(body["payer"]["openid"], "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o");

    for token in ["", "jsapi", "jsapi:", "h5", "native:x"] {
        assert_eq!(order(token), Err("unknown_token"), "{token}");
    }
    let dollars = ChargeRequest {
        amount: Money::new(1, Currency::USD).unwrap(),
        ..charge("native")
    };
    assert_eq!(merchant().order(&dollars), Err("currency_unsupported"));
}

#[test]
fn order_numbers_fit_and_lead_back_to_the_payment() {
    let key = "pay_01h455vb4pex5vsknk084sn02q-1234";

    let number = out_trade_no(key);

    assert!(number.len() <= 32, "{number}");
    assert_eq!(
        key_of(number),
        (key.to_owned(), "pay_01h455vb4pex5vsknk084sn02q".to_owned())
    );
    assert_eq!(
        merchant().order_path(key),
        "/v3/pay/transactions/out-trade-no/01h455vb4pex5vsknk084sn02q-1234?mchid=1900009191"
    );
    let (path, body) = merchant().closing(key);
    assert_eq!(
        path,
        "/v3/pay/transactions/out-trade-no/01h455vb4pex5vsknk084sn02q-1234/close"
    );
    assert_eq!(body, r#"{"mchid":"1900009191"}"#);
}

#[test]
fn a_refund_names_the_transaction_and_both_amounts() {
    let refund = RefundRequest {
        key: "ref_01-1".into(),
        charge_id: "1217752501201407033233368018".into(),
        amount: cny(990),
        total: cny(1_990),
        reference: "ref_01".into(),
    };

    let body: Value = serde_json::from_str(&merchant().refund(&refund)).unwrap();

    assert_eq!(
        body,
        json!({
            "transaction_id": "1217752501201407033233368018", "out_refund_no": "ref_01-1",
            "notify_url": "https://lyceum.example/callbacks/wechat",
            "amount": {"refund": 990, "total": 1990, "currency": "CNY"},
        })
    );
}

fn refused(status: u16, code: &str) -> Answer {
    Answer::of(status, &json!({"code": code, "message": "…"}).to_string())
}

#[test]
fn every_answer_to_an_order_stands_for_what_it_says() {
    let placed = |answer: &Answer| match placed(answer) {
        Ok(Placed::Code(url)) => Ok(url),
        Ok(Placed::Prepaid(id)) => Ok(id),
        Err(outcome) => Err(outcome),
    };
    assert_eq!(
        placed(&Answer::of(
            200,
            r#"{"code_url":"weixin://wxpay/bizpayurl?pr=p4lpSuKzz"}"#
        )),
        Ok("weixin://wxpay/bizpayurl?pr=p4lpSuKzz".to_owned())
    );
    assert_eq!(
        placed(&Answer::of(
            200,
            r#"{"prepay_id":"wx26112221580621e9b071c00d9e093b0000"}"#
        )),
        Ok("wx26112221580621e9b071c00d9e093b0000".to_owned())
    );
    let declined = |code: &str| ChargeOutcome::Declined { code: code.into() };
    for (answer, expected) in [
        (Answer::of(200, "{}"), ChargeOutcome::Unknown),
        (Answer::of(200, "<html>"), ChargeOutcome::Unknown),
        (refused(400, "PARAM_ERROR"), declined("param_error")),
        (refused(400, "INVALID_REQUEST"), declined("invalid_request")),
        (refused(403, "TRADE_ERROR"), declined("trade_error")),
        (refused(403, "OUT_TRADE_NO_USED"), ChargeOutcome::Unknown),
        (refused(400, "ORDERPAID"), ChargeOutcome::Unknown),
        (refused(400, "ORDER_CLOSED"), ChargeOutcome::Closed),
        (refused(401, "SIGN_ERROR"), ChargeOutcome::Unknown),
        (refused(403, "NO_AUTH"), ChargeOutcome::Unknown),
        (refused(400, "APPID_MCHID_NOT_MATCH"), ChargeOutcome::Unknown),
        (refused(429, "FREQUENCY_LIMITED"), ChargeOutcome::Unknown),
        (refused(500, "SYSTEM_ERROR"), ChargeOutcome::Unknown),
        (refused(502, ""), ChargeOutcome::Unknown),
        (Answer::of(400, ""), ChargeOutcome::Unknown),
    ] {
        assert_eq!(placed(&answer), Err(expected), "{answer:?}");
    }
}

#[test]
fn every_state_of_an_order_stands_for_what_it_says() {
    let order = |state: &str| {
        let body = json!({
            "appid": "wxd678efh567hg6787", "mchid": "1900009191", "out_trade_no": "01-1", "trade_state": state,
            "transaction_id": "1217752501201407033233368018",
            "amount": {"total": 1990, "payer_total": 990, "currency": "CNY", "payer_currency": "CNY"},
        });
        Answer::of(200, &body.to_string())
    };
    let paid = ChargeOutcome::Succeeded {
        charge_id: "1217752501201407033233368018".into(),
        amount: cny(1_990),
    };
    for (answer, expected) in [
        (order("SUCCESS"), paid.clone()),
        (order("REFUND"), paid),
        (order("NOTPAY"), ChargeOutcome::NeverSeen),
        (order("CLOSED"), ChargeOutcome::Closed),
        (order("REVOKED"), ChargeOutcome::Closed),
        (order("USERPAYING"), ChargeOutcome::Pending { provider_id: None }),
        (
            order("PAYERROR"),
            ChargeOutcome::Declined {
                code: "payerror".into(),
            },
        ),
        (order("SOMETHING_NEW"), ChargeOutcome::Unknown),
        (refused(404, "ORDER_NOT_EXIST"), ChargeOutcome::NeverSeen),
        (refused(404, "MCH_NOT_EXISTS"), ChargeOutcome::Unknown),
        (refused(500, "SYSTEM_ERROR"), ChargeOutcome::Unknown),
        (
            Answer::of(
                200,
                r#"{"appid":"a","mchid":"m","out_trade_no":"01-1","trade_state":"SUCCESS"}"#,
            ),
            ChargeOutcome::Unknown,
        ),
    ] {
        assert_eq!(order_said(&answer), expected, "{answer:?}");
    }
}

#[test]
fn closing_asks_the_order_where_it_may_have_been_paid() {
    for (answer, expected) in [
        (Answer::of(204, ""), Some(ChargeOutcome::Closed)),
        (refused(400, "ORDER_CLOSED"), Some(ChargeOutcome::Closed)),
        (refused(404, "ORDER_NOT_EXIST"), Some(ChargeOutcome::Closed)),
        (refused(400, "ORDERPAID"), None),
        (refused(400, "USERPAYING"), None),
        (refused(500, "SYSTEM_ERROR"), Some(ChargeOutcome::Unknown)),
        (refused(401, "SIGN_ERROR"), Some(ChargeOutcome::Unknown)),
    ] {
        assert_eq!(closed(&answer), expected, "{answer:?}");
    }
}

#[test]
fn every_answer_about_a_refund_stands_for_what_it_says() {
    let refund = |status: &str| {
        let body = json!({"refund_id": "50000000382019052709732678859", "out_refund_no": "ref_01-1", "status": status});
        Answer::of(200, &body.to_string())
    };
    for (answer, sent, said) in [
        (refund("SUCCESS"), SendOutcome::Succeeded, SendOutcome::Succeeded),
        (refund("CLOSED"), SendOutcome::Failed, SendOutcome::Failed),
        (refund("PROCESSING"), SendOutcome::Unknown, SendOutcome::Unknown),
        (refund("ABNORMAL"), SendOutcome::Unknown, SendOutcome::Unknown),
        (
            refused(403, "NOT_ENOUGH"),
            SendOutcome::Failed,
            SendOutcome::Unknown,
        ),
        (
            refused(400, "INVALID_REQUEST"),
            SendOutcome::Failed,
            SendOutcome::Unknown,
        ),
        (
            refused(404, "RESOURCE_NOT_EXISTS"),
            SendOutcome::Failed,
            SendOutcome::NeverSeen,
        ),
        (
            refused(401, "SIGN_ERROR"),
            SendOutcome::Unknown,
            SendOutcome::Unknown,
        ),
        (
            refused(429, "FREQUENCY_LIMITED"),
            SendOutcome::Unknown,
            SendOutcome::Unknown,
        ),
        (
            refused(500, "SYSTEM_ERROR"),
            SendOutcome::Unknown,
            SendOutcome::Unknown,
        ),
    ] {
        assert_eq!(refund_sent(&answer), sent, "{answer:?}");
        assert_eq!(refund_said(&answer), said, "{answer:?}");
    }
}
