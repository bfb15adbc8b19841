//! What the payer does: pay an order that was placed. And callbacks that misbehave on request, with what they were answered.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};

use super::keys::Keys;
use super::{Mischief, Wire, alipay, callback, wechat};
use crate::book::{Event, Refusal, view_of_charge};
use crate::clock;
use crate::store::Store;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The client's key of an order's number.
fn key_of(wire: &str, number: &str) -> Option<(Wire, String)> {
    match wire {
        "wechat" => Some((Wire::Wechat, wechat::key_of(number))),
        "alipay" => Some((Wire::Alipay, alipay::key_of(number))),
        _ => None,
    }
}

/// `POST /payer/{wire}/{number}`: pays; the charge, or why not.
pub(crate) async fn pay(store: &Store, wire: &str, number: &str) -> Result<Value, &'static str> {
    let (wire, key) = key_of(wire, number).ok_or("wire_unknown")?;
    let order = store.read(|book| book.order_of(&key)).await;
    let order = order
        .filter(|order| order.wire == wire)
        .ok_or("order_not_found")?;
    let charged = store.commit(|book| book.charge(&key, &order, clock::now())).await;
    match charged {
        Ok(charge) => Ok(json!(view_of_charge(&charge))),
        Err(Refusal::KeyClosed) => Err("order_closed"),
        Err(Refusal::KeyReused | Refusal::ChargeNotFound) => Err("order_not_found"),
    }
}

/// `POST /payer/{wire}/{number}/notify`: calls back about an order as if it had been paid, and says what the answer was.
pub(crate) async fn notify(
    store: &Store,
    keys: &Keys,
    wire: &str,
    number: &str,
    mischief: Mischief,
) -> Result<Value, &'static str> {
    let (wire, key) = key_of(wire, number).ok_or("wire_unknown")?;
    let order = store
        .read(|book| book.order_of(&key))
        .await
        .ok_or("order_not_found")?;
    let body = json!({"type": "charge.succeeded", "data": {
        "id": format!("ch_of_{number}"), "key": key, "amount": order.amount, "currency": order.currency,
    }});
    let event = Event {
        id: format!("evt_of_{}", super::keys::random()),
        url: order.callback_url.clone().ok_or("no_callback_url")?,
        body: body.to_string().into(),
        copies: 1,
        wire,
    };
    let request = callback(keys, &event, mischief).ok_or("no_callback")?;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build_http();
    let exchange = async {
        let response = client.request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .ok()?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Some(json!({ "status": status, "body": text }))
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .ok()
        .flatten()
        .ok_or("no_answer")
}
