//! Alipay: one gateway for signed forms, trades that begin when the payer opens them, notifications as signed forms.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::keys::Keys;
use super::{Mischief, Wire, reference_of};
use crate::book::{Charge, ChargeOrder, Closing, Event, RefundOrder, State};
use crate::callbacks::loopback;
use crate::clock;
use crate::store::Store;
use crate::tokens::Token;

type Fields = BTreeMap<String, String>;

/// Answers a form that a client sent, or that a payer's browser opened.
pub(crate) async fn answer(store: &Store, keys: &Keys, form: &[u8]) -> Response<Full<Bytes>> {
    let fields: Fields = serde_urlencoded::from_bytes(form).unwrap_or_default();
    let method = fields.get("method").cloned().unwrap_or_default();
    let said = if is_signed(keys, &fields) {
        route(store, &method, &fields).await
    } else {
        refused("40002", "isv.invalid-signature")
    };
    let name = format!("{}_response", method.replace('.', "_"));
    let text = said.to_string();
    // Written by hand, since the signature is over this very text.
    let body = format!(
        "{{\"{name}\":{text},\"sign\":\"{}\"}}",
        keys.sign(text.as_bytes(), false)
    );
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json;charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    *response.status_mut() = StatusCode::OK;
    response
}

fn is_signed(keys: &Keys, fields: &Fields) -> bool {
    let signature = fields.get("sign").map_or("", String::as_str);
    fields.get("sign_type").is_some_and(|kind| kind == "RSA2")
        && keys.is_merchants(content(fields, &["sign"]).as_bytes(), signature)
}

fn content(fields: &Fields, without: &[&str]) -> String {
    let signed = fields
        .iter()
        .filter(|(name, value)| !value.is_empty() && !without.contains(&name.as_str()));
    let pairs: Vec<String> = signed.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn refused(code: &str, sub_code: &str) -> Value {
    json!({"code": code, "msg": "refused", "sub_code": sub_code, "sub_msg": "refused"})
}

fn done(mut more: Value) -> Value {
    more["code"] = "10000".into();
    more["msg"] = "Success".into();
    more
}

async fn route(store: &Store, method: &str, fields: &Fields) -> Value {
    let content: Value = fields
        .get("biz_content")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
    match method {
        "alipay.trade.page.pay" | "alipay.trade.app.pay" => {
            open(
                store,
                &text("out_trade_no"),
                &text("total_amount"),
                fields.get("notify_url"),
            )
            .await
        }
        "alipay.trade.query" => find(store, &text("out_trade_no")).await,
        "alipay.trade.close" => close(store, &text("out_trade_no")).await,
        "alipay.trade.refund" => {
            refund(
                store,
                &text("trade_no"),
                &text("out_request_no"),
                &text("refund_amount"),
            )
            .await
        }
        "alipay.trade.fastpay.refund.query" => find_refund(store, &text("out_request_no")).await,
        _ => refused("40002", "isv.invalid-method"),
    }
}

/// The client's key of a number: the last underscore stands for a hyphen, and those of a surplus as well.
pub(crate) fn key_of(number: &str) -> String {
    let number = number.replace("_surplus_", "-surplus-");
    match number.rsplit_once('_') {
        Some((rest, attempt)) => format!("{rest}-{attempt}"),
        None => number,
    }
}

fn number_of(key: &str) -> String {
    key.replace('-', "_")
}

fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

fn fen(yuan: &str) -> Option<i64> {
    let (whole, rest) = yuan.split_once('.')?;
    let fen = (rest.len() == 2).then(|| rest.parse::<i64>().ok())??;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(fen)
}

async fn open(store: &Store, number: &str, amount: &str, notify_url: Option<&String>) -> Value {
    let right = (1..=64).contains(&number.len())
        && number
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && notify_url.is_none_or(|url| loopback(url).is_some());
    let Some(amount) = fen(amount).filter(|amount| right && *amount > 0) else {
        return refused("40004", "ACQ.INVALID_PARAMETER");
    };
    let key = key_of(number);
    let order = ChargeOrder {
        amount,
        currency: "CNY".into(),
        token: Token::Ok,
        reference: key.rsplit_once('-').map_or("", |(payment, _)| payment).to_owned(),
        callback_url: notify_url.cloned(),
        wire: Wire::Alipay,
    };
    match store.commit(|book| book.place(&key, &order)).await {
        Ok(()) => done(json!({ "out_trade_no": number })),
        Err(_) => refused("40004", "ACQ.CONTEXT_INCONSISTENT"),
    }
}

async fn find(store: &Store, number: &str) -> Value {
    let key = key_of(number);
    let (order, charge, closed) = store
        .read(|book| (book.order_of(&key), book.charge_of(&key), book.is_closed(&key)))
        .await;
    match (order, charge) {
        (_, Some(charge)) => done(paid(number, &charge)),
        (Some(order), None) => done(json!({
            "out_trade_no": number, "trade_no": format!("tn_{number}"), "total_amount": yuan(order.amount),
            "trade_status": if closed { "TRADE_CLOSED" } else { "WAIT_BUYER_PAY" },
        })),
        (None, None) => refused("40004", "ACQ.TRADE_NOT_EXIST"),
    }
}

fn paid(number: &str, charge: &Charge) -> Value {
    json!({
        "out_trade_no": number, "trade_no": charge.id, "total_amount": yuan(charge.order.amount),
        "trade_status": "TRADE_SUCCESS", "send_pay_date": clock::ahead(0),
    })
}

async fn close(store: &Store, number: &str) -> Value {
    let key = key_of(number);
    if store.read(|book| book.order_of(&key)).await.is_none() {
        return refused("40004", "ACQ.TRADE_NOT_EXIST");
    }
    match store.commit(|book| book.close(&key)).await {
        Closing::Closed => done(json!({ "out_trade_no": number })),
        Closing::Charged(_) => refused("40004", "ACQ.TRADE_STATUS_ERROR"),
    }
}

async fn refund(store: &Store, trade_no: &str, number: &str, amount: &str) -> Value {
    let Some(amount) = fen(amount).filter(|amount| *amount > 0) else {
        return refused("40004", "ACQ.INVALID_PARAMETER");
    };
    let key = key_of(number);
    let order = RefundOrder {
        charge_id: trade_no.to_owned(),
        amount,
        currency: "CNY".into(),
        reference: reference_of(&key),
    };
    let known = store.read(|book| book.refund_of(&key)).await.is_some();
    match store.commit(|book| book.refund(&key, &order, clock::now())).await {
        Ok(refund) if refund.state == State::Succeeded => done(json!({
            "trade_no": trade_no, "refund_fee": yuan(amount), "fund_change": if known { "N" } else { "Y" },
        })),
        Ok(_) => refused("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"),
        Err(_) => refused("40004", "ACQ.TRADE_NOT_EXIST"),
    }
}

async fn find_refund(store: &Store, number: &str) -> Value {
    let key = key_of(number);
    match store.read(|book| book.refund_of(&key)).await {
        Some(refund) if refund.state == State::Succeeded => {
            done(json!({ "out_request_no": number, "refund_status": "REFUND_SUCCESS" }))
        }
        Some(_) | None => done(json!({})),
    }
}

/// The notification of an event. Of refunds Alipay's answer says enough.
pub(crate) fn notification(keys: &Keys, event: &Event, mischief: Mischief) -> Option<Request<Full<Bytes>>> {
    let said: Value = serde_json::from_str(&event.body).ok()?;
    if said["type"] != "charge.succeeded" {
        return None;
    }
    let data = &said["data"];
    let amount = mischief.amount.or_else(|| data["amount"].as_i64())?;
    let app_id = if mischief.foreign {
        "2014072300007149"
    } else {
        "2014072300007148"
    };
    let pairs = [
        ("notify_id", event.id.clone()),
        ("notify_type", "trade_status_sync".to_owned()),
        ("notify_time", clock::ahead(mischief.age_s)),
        ("charset", "utf-8".to_owned()),
        ("app_id", app_id.to_owned()),
        ("out_trade_no", number_of(data["key"].as_str()?)),
        ("trade_no", data["id"].as_str()?.to_owned()),
        ("trade_status", "TRADE_SUCCESS".to_owned()),
        ("total_amount", yuan(amount)),
        ("gmt_payment", clock::ahead(0)),
        ("subject", "知识 & more".to_owned()),
    ];
    let mut fields: Fields = pairs.map(|(name, value)| (name.to_owned(), value)).into();
    let signature = keys.sign(content(&fields, &[]).as_bytes(), mischief.forged);
    fields.insert("sign".into(), signature);
    fields.insert("sign_type".into(), "RSA2".into());
    let body = serde_urlencoded::to_string(&fields).ok()?;
    Request::post(loopback(&event.url)?)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded;charset=utf-8")
        .body(Full::from(body))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_keys_lead_to_each_other() {
        for (number, key) in [
            ("pay_01_1", "pay_01-1"),
            ("ref_01_2", "ref_01-2"),
            ("pay_01_surplus_0_1", "pay_01-surplus-0-1"),
        ] {
            assert_eq!(key_of(number), key);
            assert_eq!(number_of(key), number);
        }
    }

    #[test]
    fn amounts_are_yuan_with_two_digits() {
        assert_eq!((yuan(1_990), fen("19.90")), ("19.90".to_owned(), Some(1_990)));
        for text in ["", "19", "19.9", "x.00", "-1"] {
            assert_eq!(fen(text), None, "{text}");
        }
    }
}
