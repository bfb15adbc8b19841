//! Lists and files for independent checks; they never fail on purpose.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::{Handled, Provider, json, not_found};
use crate::book::{Book, view_of_charge, view_of_dispute, view_of_refund};
use crate::settlement;
use crate::store::Store;

/// `GET /v1/charges`: every charge, oldest first, for independent checks.
pub(super) async fn list_charges(store: &Store) -> Handled {
    let charges = store.read(|book| book.charges().to_vec()).await;
    let data: Vec<_> = charges.iter().map(|charge| view_of_charge(charge)).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "data": data })))
}

/// `GET /v1/refunds`: every refund, oldest first, for independent checks.
pub(super) async fn list_refunds(store: &Store) -> Handled {
    let refunds = store.read(|book| book.refunds().to_vec()).await;
    let data: Vec<_> = refunds.iter().map(|refund| view_of_refund(refund)).collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "data": data })))
}

/// `GET /v1/disputes`: every dispute, oldest first, for independent checks.
pub(super) async fn list_disputes(store: &Store) -> Handled {
    let disputes = store.read(Book::disputes).await;
    let data: Vec<_> = disputes
        .iter()
        .map(|(dispute, charge)| view_of_dispute(dispute, charge))
        .collect();
    Ok(json(StatusCode::OK, &serde_json::json!({ "data": data })))
}

/// `GET /v1/settlements/{day}`: what was charged and refunded on a day, and what was kept of it.
pub(super) async fn settlement_of(provider: &Provider, day: &str) -> Handled {
    let plan = provider.faults.plan();
    let file = provider
        .store
        .read(|book| settlement::file(book, day, &plan))
        .await
        .map_err(|_| not_found("settlement_not_found"))?;
    let mut response = Response::new(Full::new(Bytes::from(file)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    Ok(response)
}
