//! The provider's HTTP interface: one connection loop, one routing function, one handler per route.
//!
//! Headers, bodies and connections are bounded in size and time. An error is
//! `{"code": "...", "detail": "..."}` with a status from 400 up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use self::lists::{list_charges, list_disputes, list_refunds, settlement_of};
use crate::admin;
use crate::book::{
    ChargeOrder, Closing, Decided, RefundOrder, Refusal, State, view_of_charge, view_of_refund,
};
use crate::callbacks::loopback;
use crate::clock;
use crate::faults::{AnswerFault, Faults};
use crate::store::Store;
use crate::tokens::Answer;
use crate::wire::keys::Keys;
use crate::wire::{Wire, alipay, payer, wechat};

mod lists;

const BODY_BYTES_MAX: usize = 16 * 1024;
const KEY_BYTES_MAX: usize = 128;
const TEXT_BYTES_MAX: usize = 512;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 4096;
/// The largest amount in minor units: sums of all charges stay far inside 64 bits.
const AMOUNT_MAX: i64 = 100_000_000_000;

/// What answers are made of.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) store: Arc<Store>,
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) faults: Arc<Faults>,
}

/// Serves connections until the listener fails for good.
pub(crate) async fn serve(listener: TcpListener, provider: Provider) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&connections)
            .acquire_owned()
            .await
            .expect("never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                // Mostly a shortage of file descriptors: give the others a moment to end.
                warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Answers are small and awaited: Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let provider = provider.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(provider.clone(), request));
            let ended = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(cause) = ended {
                debug!(%cause, "a connection ended early");
            }
            drop(permit);
        });
    }
}

/// An answer, or the loss of it.
pub(crate) type Handled = Result<Response<Full<Bytes>>, Fault>;

/// Why no ordinary answer is given.
pub(crate) enum Fault {
    /// The request is refused.
    Refused(StatusCode, &'static str, String),
    /// The connection is dropped, on purpose.
    Lost,
}

/// The error that makes hyper close a connection without an answer.
#[derive(Debug)]
struct DroppedOnPurpose;

impl std::fmt::Display for DroppedOnPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was lost, on purpose")
    }
}

impl std::error::Error for DroppedOnPurpose {}

async fn answer(
    provider: Provider,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, DroppedOnPurpose> {
    let handled = match faulty(&provider, request).await {
        Ok(response) => return Ok(response),
        Err(fault) => fault,
    };
    match handled {
        Fault::Refused(status, code, detail) => Ok(json(
            status,
            &serde_json::json!({ "code": code, "detail": detail }),
        )),
        Fault::Lost => Err(DroppedOnPurpose),
    }
}

/// Answers, unless the answer is to fail.
async fn faulty(provider: &Provider, request: Request<Incoming>) -> Handled {
    let Provider { store, keys, faults } = provider;
    let path = request.uri().path();
    if path.starts_with("/admin/") {
        return admin::answer(store, faults, request).await;
    }
    // Lists and files are for independent checks, which have to know.
    let fails = request.method() == Method::POST || path.contains("/by-key/");
    let fault = if fails && path.starts_with("/v1/") {
        faults.answer()
    } else {
        AnswerFault::None
    };
    let failed = || {
        Fault::Refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the provider fails on purpose".into(),
        )
    };
    if fault == AnswerFault::ErrorBefore {
        return Err(failed());
    }
    let handled = route(provider, keys.as_deref(), request).await;
    match fault {
        AnswerFault::None | AnswerFault::ErrorBefore => handled,
        AnswerFault::Lost => Err(Fault::Lost),
        AnswerFault::ErrorAfter => Err(failed()),
        AnswerFault::Stall(pause) => {
            tokio::time::sleep(pause).await;
            handled
        }
    }
}

async fn route(provider: &Provider, keys: Option<&Keys>, request: Request<Incoming>) -> Handled {
    let store = provider.store.as_ref();
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["livez"]) => Ok(json(StatusCode::OK, &serde_json::json!({ "status": "ok" }))),
        (&Method::POST, ["v1", "charges"]) => charge(store, &provider.faults, request).await,
        (&Method::GET, ["v1", "charges"]) => list_charges(store).await,
        (&Method::GET, ["v1", "charges", "by-key", key]) => find_charge(store, key).await,
        (&Method::POST, ["v1", "charges", "by-key", key, "close"]) => close(store, key).await,
        (&Method::POST, ["v1", "refunds"]) => refund(store, request).await,
        (&Method::GET, ["v1", "refunds"]) => list_refunds(store).await,
        (&Method::GET, ["v1", "refunds", "by-key", key]) => find_refund(store, key).await,
        (&Method::GET, ["v1", "disputes"]) => list_disputes(store).await,
        (&Method::GET, ["v1", "settlements", day]) => settlement_of(provider, day).await,
        (_, ["v3", ..]) if keys.is_some() => wechat(store, keys, request).await,
        (_, ["gateway.do"]) if keys.is_some() => alipay(store, keys, request).await,
        (&Method::POST, ["payer", wire, number]) => match payer::pay(store, wire, number).await {
            Ok(charge) => Ok(json(StatusCode::OK, &charge)),
            Err(code) => Err(Fault::Refused(
                StatusCode::CONFLICT,
                code,
                "the payer cannot pay".into(),
            )),
        },
        (&Method::POST, ["payer", wire, number, "notify"]) => {
            let keys = keys.ok_or_else(|| not_found("route_not_found"))?;
            let mischief = body_of(request).await?;
            match payer::notify(store, keys, wire, number, mischief).await {
                Ok(answer) => Ok(json(StatusCode::OK, &answer)),
                Err(code) => Err(Fault::Refused(
                    StatusCode::CONFLICT,
                    code,
                    "nobody was called".into(),
                )),
            }
        }
        _ => Err(not_found("route_not_found")),
    }
}

/// Whatever is asked in the format of WeChat Pay.
async fn wechat(store: &Store, keys: Option<&Keys>, request: Request<Incoming>) -> Handled {
    let keys = keys.ok_or_else(|| not_found("route_not_found"))?;
    let (head, body) = request.into_parts();
    let body = bytes_of(body).await?;
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let call = wechat::Call {
        method: &head.method,
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()),
        host: header("host").unwrap_or_default(),
        authorization: header("authorization").unwrap_or_default(),
        body: &body,
    };
    Ok(wechat::answer(store, keys, call).await)
}

/// Whatever is asked in the format of Alipay: by a client in the body, by a payer's browser in the query.
async fn alipay(store: &Store, keys: Option<&Keys>, request: Request<Incoming>) -> Handled {
    let keys = keys.ok_or_else(|| not_found("route_not_found"))?;
    let (head, body) = request.into_parts();
    let body = bytes_of(body).await?;
    let form = match head.uri.query() {
        Some(query) if head.method == Method::GET => query.as_bytes(),
        _ => &body,
    };
    Ok(alipay::answer(store, keys, form).await)
}

/// The body of `POST /v1/charges`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargeBody {
    amount: i64,
    currency: String,
    token: String,
    #[serde(default)]
    reference: String,
    callback_url: Option<String>,
}

/// `POST /v1/charges`: charges once per key.
async fn charge(store: &Store, faults: &Faults, request: Request<Incoming>) -> Handled {
    let key = key_of(&request)?;
    let body: ChargeBody = body_of(request).await?;
    let order = order_of(body)?;

    // Only the request that made the charge suffers its token's behaviour; decided under the store's lock.
    let (charged, is_new) = store
        .commit(|book| {
            let decided = book.charge(&key, &order, clock::now());
            let is_new = decided.fact.is_some();
            Decided {
                fact: decided.fact,
                answer: (decided.answer, is_new),
            }
        })
        .await;
    if charged == Err(Refusal::KeyClosed) {
        return Ok(json(StatusCode::CONFLICT, &closed_view(&key)));
    }
    let charged = charged.map_err(refused)?;
    if is_new && charged.state == State::Succeeded && faults.disputes() {
        let disputed = store.commit(|book| book.dispute(&charged.id, clock::now())).await;
        disputed.map_err(refused)?;
    }
    if is_new {
        match order.token.answer() {
            Answer::Prompt => {}
            Answer::After(pause) => tokio::time::sleep(pause).await,
            Answer::Lost => return Err(Fault::Lost),
        }
    }
    Ok(json(StatusCode::OK, &view_of_charge(&charged)))
}

fn order_of(body: ChargeBody) -> Result<ChargeOrder, Fault> {
    check_amount(body.amount, &body.currency)?;
    check_text("reference", &body.reference)?;
    let token = body
        .token
        .parse()
        .map_err(|()| bad("unknown_token", "the token is not a test token"))?;
    if let Some(url) = &body.callback_url {
        check_text("callback_url", url)?;
        loopback(url).ok_or_else(|| {
            bad(
                "callback_url_refused",
                "callback_url is http to a loopback address",
            )
        })?;
    }
    Ok(ChargeOrder {
        amount: body.amount,
        currency: body.currency,
        token,
        reference: body.reference,
        callback_url: body.callback_url,
        wire: Wire::Sandbox,
    })
}

/// `GET /v1/charges/by-key/{key}`: how the charge of a key ended, or that the key is closed.
async fn find_charge(store: &Store, key: &str) -> Handled {
    let (charge, closed) = store
        .read(|book| (book.charge_of(key), book.is_closed(key)))
        .await;
    match charge {
        Some(charge) => Ok(json(StatusCode::OK, &view_of_charge(&charge))),
        None if closed => Ok(json(StatusCode::OK, &closed_view(key))),
        None => Err(not_found("charge_not_found")),
    }
}

/// `POST /v1/charges/by-key/{key}/close`: makes sure that the key is never charged from now on.
async fn close(store: &Store, key: &str) -> Handled {
    check_key(key)?;
    match store.commit(|book| book.close(key)).await {
        Closing::Closed => Ok(json(StatusCode::OK, &closed_view(key))),
        Closing::Charged(charge) => Ok(json(StatusCode::OK, &view_of_charge(&charge))),
    }
}

fn closed_view(key: &str) -> serde_json::Value {
    serde_json::json!({ "key": key, "state": "closed" })
}

/// The body of `POST /v1/refunds`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    charge_id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    reference: String,
}

/// `POST /v1/refunds`: refunds once per key.
async fn refund(store: &Store, request: Request<Incoming>) -> Handled {
    let key = key_of(&request)?;
    let RefundBody {
        charge_id,
        amount,
        currency,
        reference,
    } = body_of(request).await?;
    check_amount(amount, &currency)?;
    check_text("reference", &reference)?;
    let order = RefundOrder {
        charge_id,
        amount,
        currency,
        reference,
    };

    let refund = store
        .commit(|book| book.refund(&key, &order, clock::now()))
        .await
        .map_err(refused)?;
    Ok(json(StatusCode::OK, &view_of_refund(&refund)))
}

/// `GET /v1/refunds/by-key/{key}`: how the refund of a key ended.
async fn find_refund(store: &Store, key: &str) -> Handled {
    let refund = store
        .read(|book| book.refund_of(key))
        .await
        .ok_or_else(|| not_found("refund_not_found"))?;
    Ok(json(StatusCode::OK, &view_of_refund(&refund)))
}

fn key_of(request: &Request<Incoming>) -> Result<String, Fault> {
    let key = request
        .headers()
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok());
    let key = key.ok_or_else(|| bad("key_missing", "Idempotency-Key is required"))?;
    check_key(key)?;
    Ok(key.to_owned())
}

/// Keys are names that fit a path segment without escapes, so that every key can be asked for.
fn check_key(key: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:~".contains(&byte);
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(allowed) {
        return Err(bad("key_malformed", "a key is 1 to 128 of A-Z a-z 0-9 _ - . : ~"));
    }
    Ok(())
}

fn check_amount(amount: i64, currency: &str) -> Result<(), Fault> {
    if !(1..=AMOUNT_MAX).contains(&amount) {
        return Err(bad(
            "amount_out_of_range",
            "amount is from 1 to 100,000,000,000 minor units",
        ));
    }
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(bad("currency_malformed", "currency is three capital letters"));
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Result<(), Fault> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(bad(
            "text_too_long",
            format!("{field} is at most {TEXT_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

/// Reads a JSON body within its limits.
pub(crate) async fn body_of<T: for<'de> Deserialize<'de>>(request: Request<Incoming>) -> Result<T, Fault> {
    let body = bytes_of(request.into_body()).await?;
    serde_json::from_slice(&body).map_err(|cause| bad("body_malformed", cause.to_string()))
}

/// Reads a body within its limits.
async fn bytes_of(body: Incoming) -> Result<Bytes, Fault> {
    let read = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, read)
        .await
        .map_err(|_| {
            Fault::Refused(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the body took too long".into(),
            )
        })?
        .map_err(|_| bad("body_unreadable", "the body is incomplete or above 16 KiB"))?;
    Ok(body.to_bytes())
}

pub(crate) fn bad(code: &'static str, detail: impl Into<String>) -> Fault {
    Fault::Refused(StatusCode::BAD_REQUEST, code, detail.into())
}

pub(crate) fn not_found(code: &'static str) -> Fault {
    Fault::Refused(StatusCode::NOT_FOUND, code, "there is no such thing".into())
}

pub(crate) fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::KeyReused => Fault::Refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key_reused",
            "the key was used with another body".into(),
        ),
        Refusal::KeyClosed => Fault::Refused(StatusCode::CONFLICT, "closed", "the key was closed".into()),
        Refusal::ChargeNotFound => not_found("charge_not_found"),
    }
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let bytes = serde_json::to_vec(value).expect("views have text keys only");
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
