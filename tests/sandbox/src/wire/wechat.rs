//! WeChat Pay API v3: signed requests and answers, orders by the merchant's number, encrypted notifications, bills.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{Keys, SERIAL, random};
use super::{Mischief, Wire, reference_of};
use crate::book::{Charge, ChargeOrder, Closing, Event, Refund, RefundOrder, Refusal, State};
use crate::callbacks::loopback;
use crate::clock;
use crate::store::Store;
use crate::tokens::Token;

/// How far the time of a request may be off.
const TOLERANCE_S: u64 = 300;

/// A request as it came.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    /// With its query.
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) authorization: &'a str,
    pub(crate) body: &'a [u8],
}

/// What is answered, before it is signed.
struct Said(StatusCode, Vec<u8>);

impl Said {
    fn json(value: &Value) -> Self {
        Said(StatusCode::OK, value.to_string().into_bytes())
    }

    fn no(status: StatusCode, code: &str) -> Self {
        Said(
            status,
            json!({ "code": code, "message": "refused" })
                .to_string()
                .into_bytes(),
        )
    }

    fn malformed() -> Self {
        Said::no(StatusCode::BAD_REQUEST, "PARAM_ERROR")
    }

    fn unknown_order() -> Self {
        Said::no(StatusCode::NOT_FOUND, "ORDER_NOT_EXIST")
    }
}

/// Answers a request, signed.
pub(crate) async fn answer(store: &Store, keys: &Keys, call: Call<'_>) -> Response<Full<Bytes>> {
    let said = if is_signed(keys, &call) {
        route(store, &call).await.unwrap_or_else(|refused| refused)
    } else {
        Said::no(StatusCode::UNAUTHORIZED, "SIGN_ERROR")
    };
    signed(keys, said)
}

fn is_signed(keys: &Keys, call: &Call<'_>) -> bool {
    let Some(fields) = call.authorization.strip_prefix("WECHATPAY2-SHA256-RSA2048 ") else {
        return false;
    };
    let field = |name: &str| {
        let value = fields
            .split(',')
            .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix("=\""));
        value.map_or("", |value| value.trim_end_matches('"'))
    };
    let (timestamp, nonce) = (field("timestamp"), field("nonce_str"));
    let Ok(seconds) = timestamp.parse::<u64>() else {
        return false;
    };
    let mut message = format!("{}\n{}\n{timestamp}\n{nonce}\n", call.method, call.path).into_bytes();
    message.extend_from_slice(call.body);
    message.push(b'\n');
    clock::seconds().abs_diff(seconds) <= TOLERANCE_S
        && !field("mchid").is_empty()
        && keys.is_merchants(&message, field("signature"))
}

fn signed(keys: &Keys, Said(status, body): Said) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.clone())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in signature(keys, &body, clock::seconds(), false) {
        let value = HeaderValue::try_from(value).expect("digits, letters and base64");
        headers.insert(HeaderName::from_static(name), value);
    }
    response
}

/// The headers that prove a body.
fn signature(keys: &Keys, body: &[u8], seconds: u64, forged: bool) -> [(&'static str, String); 4] {
    let nonce = random();
    let mut message = format!("{seconds}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message.push(b'\n');
    [
        ("wechatpay-timestamp", seconds.to_string()),
        ("wechatpay-nonce", nonce),
        ("wechatpay-signature", keys.sign(&message, forged)),
        ("wechatpay-serial", SERIAL.to_owned()),
    ]
}

async fn route(store: &Store, call: &Call<'_>) -> Result<Said, Said> {
    let (path, query) = call.path.split_once('?').unwrap_or((call.path, ""));
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (call.method, segments.as_slice()) {
        (&Method::POST, ["v3", "pay", "transactions", kind @ ("native" | "jsapi")]) => {
            place(store, kind, read(call.body)?).await
        }
        (&Method::GET, ["v3", "pay", "transactions", "out-trade-no", number]) => find(store, number).await,
        (&Method::POST, ["v3", "pay", "transactions", "out-trade-no", number, "close"]) => {
            close(store, number).await
        }
        (&Method::POST, ["v3", "refund", "domestic", "refunds"]) => refund(store, read(call.body)?).await,
        (&Method::GET, ["v3", "refund", "domestic", "refunds", key]) => find_refund(store, key).await,
        (&Method::GET, ["v3", "bill", "tradebill"]) => bill(store, call.host, query).await,
        (&Method::GET, ["v3", "billdownload", "file"]) => download(store, query).await,
        _ => Err(Said::no(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS")),
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Said> {
    serde_json::from_slice(body).map_err(|_| Said::malformed())
}

#[derive(Deserialize)]
struct OrderBody {
    appid: String,
    mchid: String,
    out_trade_no: String,
    notify_url: String,
    amount: AmountBody,
    payer: Option<Payer>,
}

#[derive(Deserialize)]
struct AmountBody {
    total: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Payer {
    openid: String,
}

/// The client's key of a merchant's order number.
pub(crate) fn key_of(number: &str) -> String {
    format!("pay_{number}")
}

async fn place(store: &Store, kind: &str, body: OrderBody) -> Result<Said, Said> {
    let number = &body.out_trade_no;
    let with_payer = body.payer.as_ref().is_some_and(|payer| !payer.openid.is_empty());
    let right = (1..=32).contains(&number.len())
        && !body.appid.is_empty()
        && !body.mchid.is_empty()
        && body.amount.total > 0
        && loopback(&body.notify_url).is_some()
        && (kind == "jsapi") == with_payer;
    if !right {
        return Err(Said::malformed());
    }
    let key = key_of(number);
    let order = ChargeOrder {
        amount: body.amount.total,
        currency: body.amount.currency,
        token: Token::Ok,
        reference: key.rsplit_once('-').map_or("", |(payment, _)| payment).to_owned(),
        callback_url: Some(body.notify_url),
        wire: Wire::Wechat,
    };
    match store.commit(|book| book.place(&key, &order)).await {
        Ok(()) if kind == "native" => Ok(Said::json(
            &json!({ "code_url": format!("weixin://wxpay/bizpayurl?pr={number}") }),
        )),
        Ok(()) => Ok(Said::json(&json!({ "prepay_id": format!("wx{number}") }))),
        Err(Refusal::KeyClosed) => Err(Said::no(StatusCode::BAD_REQUEST, "ORDER_CLOSED")),
        Err(Refusal::KeyReused) => Err(Said::no(StatusCode::FORBIDDEN, "OUT_TRADE_NO_USED")),
        Err(Refusal::ChargeNotFound) => Err(Said::malformed()),
    }
}

async fn find(store: &Store, number: &str) -> Result<Said, Said> {
    let key = key_of(number);
    let (order, charge, closed) = store
        .read(|book| (book.order_of(&key), book.charge_of(&key), book.is_closed(&key)))
        .await;
    match (order, charge) {
        (_, Some(charge)) => Ok(Said::json(&paid(&charge))),
        (Some(order), None) => {
            let state = if closed { "CLOSED" } else { "NOTPAY" };
            Ok(Said::json(&view(number, state, &order)))
        }
        (None, None) => Err(Said::unknown_order()),
    }
}

fn view(number: &str, state: &str, order: &ChargeOrder) -> Value {
    json!({
        "appid": "wxd678efh567hg6787", "mchid": "1900009191", "out_trade_no": number, "trade_state": state,
        "amount": {"total": order.amount, "currency": order.currency},
    })
}

fn paid(charge: &Charge) -> Value {
    let mut paid = view(number_of(&charge.key), "SUCCESS", &charge.order);
    paid["transaction_id"] = charge.id.as_str().into();
    paid["success_time"] = charge.created_at.as_str().into();
    paid
}

fn number_of(key: &str) -> &str {
    key.strip_prefix("pay_").unwrap_or(key)
}

async fn close(store: &Store, number: &str) -> Result<Said, Said> {
    let key = key_of(number);
    if store.read(|book| book.order_of(&key)).await.is_none() {
        return Err(Said::unknown_order());
    }
    match store.commit(|book| book.close(&key)).await {
        Closing::Closed => Ok(Said(StatusCode::NO_CONTENT, vec![])),
        Closing::Charged(_) => Err(Said::no(StatusCode::BAD_REQUEST, "ORDERPAID")),
    }
}

#[derive(Deserialize)]
struct RefundBody {
    transaction_id: String,
    out_refund_no: String,
    amount: RefundAmount,
}

#[derive(Deserialize)]
struct RefundAmount {
    refund: i64,
    total: i64,
    currency: String,
}

async fn refund(store: &Store, body: RefundBody) -> Result<Said, Said> {
    if body.amount.refund <= 0 || body.amount.refund > body.amount.total {
        return Err(Said::malformed());
    }
    let order = RefundOrder {
        charge_id: body.transaction_id,
        amount: body.amount.refund,
        currency: body.amount.currency,
        reference: reference_of(&body.out_refund_no),
    };
    let refunded = store
        .commit(|book| book.refund(&body.out_refund_no, &order, clock::now()))
        .await;
    match refunded {
        // It is on its way, and a notification says that it has arrived.
        Ok(refund) if refund.state == State::Succeeded => {
            let mut view = refund_view(&refund);
            view["status"] = "PROCESSING".into();
            Ok(Said::json(&view))
        }
        Ok(_) => Err(Said::no(StatusCode::FORBIDDEN, "NOT_ENOUGH")),
        Err(Refusal::ChargeNotFound) => Err(Said::no(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS")),
        Err(Refusal::KeyReused | Refusal::KeyClosed) => {
            Err(Said::no(StatusCode::BAD_REQUEST, "INVALID_REQUEST"))
        }
    }
}

async fn find_refund(store: &Store, key: &str) -> Result<Said, Said> {
    let refund = store.read(|book| book.refund_of(key)).await;
    let refund = refund.ok_or_else(|| Said::no(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS"))?;
    Ok(Said::json(&refund_view(&refund)))
}

fn refund_view(refund: &Refund) -> Value {
    let status = if refund.state == State::Succeeded {
        "SUCCESS"
    } else {
        "CLOSED"
    };
    json!({
        "refund_id": refund.id, "out_refund_no": refund.key, "transaction_id": refund.order.charge_id, "status": status,
        "amount": {"refund": refund.order.amount, "currency": refund.order.currency},
    })
}

/// A day's trades as a table.
async fn table(store: &Store) -> Vec<u8> {
    let charges = store.read(|book| book.charges().to_vec()).await;
    let mut table = "transaction_id,out_trade_no,total,currency\n".to_owned();
    for charge in charges.iter().filter(|charge| charge.order.wire == Wire::Wechat) {
        let (number, order) = (number_of(&charge.key), &charge.order);
        table.push_str(&format!(
            "`{},`{number},`{},`{}\n",
            charge.id, order.amount, order.currency
        ));
    }
    table.into_bytes()
}

/// A day in the past has no trades: the sandbox keeps one day.
async fn bill(store: &Store, host: &str, query: &str) -> Result<Said, Said> {
    let date = query.split('&').find_map(|pair| pair.strip_prefix("bill_date="));
    let date = date.ok_or_else(Said::malformed)?;
    if date != clock::day_ahead() {
        return Err(Said::no(StatusCode::BAD_REQUEST, "NO_STATEMENT_EXIST"));
    }
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &table(store).await);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Said::json(&json!({
        "hash_type": "SHA1", "hash_value": hex,
        "download_url": format!("http://{host}/v3/billdownload/file?token={date}"),
    })))
}

async fn download(store: &Store, query: &str) -> Result<Said, Said> {
    match query.strip_prefix("token=") {
        Some(_) => Ok(Said(StatusCode::OK, table(store).await)),
        None => Err(Said::malformed()),
    }
}

/// The notification of an event.
pub(crate) fn notification(keys: &Keys, event: &Event, mischief: Mischief) -> Option<Request<Full<Bytes>>> {
    let said: Value = serde_json::from_str(&event.body).ok()?;
    let (kind, data) = (said["type"].as_str()?, &said["data"]);
    let mch_id = if mischief.foreign {
        "1900009192"
    } else {
        "1900009191"
    };
    let (kind, resource) = match kind {
        "charge.succeeded" => (
            "TRANSACTION.SUCCESS",
            json!({
                "appid": "wxd678efh567hg6787", "mchid": mch_id, "out_trade_no": number_of(data["key"].as_str()?),
                "transaction_id": data["id"], "trade_state": "SUCCESS", "trade_type": "NATIVE",
                "amount": {
                    "total": mischief.amount.map_or_else(|| data["amount"].clone(), Value::from),
                    "currency": data["currency"],
                },
            }),
        ),
        "refund.succeeded" => (
            "REFUND.SUCCESS",
            json!({
                "mchid": mch_id, "out_refund_no": data["key"], "refund_id": data["id"], "refund_status": "SUCCESS",
                "transaction_id": data["charge_id"], "amount": {"refund": data["amount"]},
            }),
        ),
        _ => return None,
    };
    let (nonce, ciphertext) = keys.seal("transaction", &resource.to_string());
    let body = json!({
        "id": event.id, "create_time": clock::now(), "resource_type": "encrypt-resource", "event_type": kind,
        "summary": "sandbox",
        "resource": {
            "original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", "ciphertext": ciphertext, "nonce": nonce,
            "associated_data": "transaction",
        },
    })
    .to_string();
    let mut request = Request::post(loopback(&event.url)?).header(CONTENT_TYPE, "application/json");
    let seconds = clock::seconds().saturating_sub(mischief.age_s);
    for (name, value) in signature(keys, body.as_bytes(), seconds, mischief.forged) {
        request = request.header(name, value);
    }
    request.body(Full::from(body)).ok()
}
