//! What testers ask of the provider while it runs: faults at rates, and disputes.
//!
//! ```text
//! PUT  /admin/faults      a whole plan; what it leaves out is off, and {} ends it
//! GET  /admin/faults      the plan in force, and what has happened so far
//! POST /admin/disputes    {"charge_id": "ch_…"}: the payer of a charge disputes it, once
//! ```

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use tracing::info;

use crate::clock;
use crate::faults::{Faults, Plan};
use crate::http::{Handled, bad, body_of, json, not_found, refused};
use crate::store::Store;

/// The body of `POST /admin/disputes`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisputeBody {
    charge_id: String,
}

/// Answers whatever is asked below `/admin`.
pub(crate) async fn answer(store: &Store, faults: &Faults, request: Request<Incoming>) -> Handled {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/admin/faults") => Ok(state(faults)),
        (&Method::PUT, "/admin/faults") => {
            let plan: Plan = body_of(request).await?;
            if let Some(problem) = plan.problem() {
                return Err(bad("plan_refused", problem));
            }
            info!(?plan, "faults are set");
            faults.set(plan);
            Ok(state(faults))
        }
        (&Method::POST, "/admin/disputes") => {
            let DisputeBody { charge_id } = body_of(request).await?;
            let dispute = store.commit(|book| book.dispute(&charge_id, clock::now())).await;
            Ok(json(StatusCode::OK, &*dispute.map_err(refused)?))
        }
        _ => Err(not_found("route_not_found")),
    }
}

fn state(faults: &Faults) -> hyper::Response<http_body_util::Full<bytes::Bytes>> {
    let state = serde_json::json!({ "plan": faults.plan(), "counts": faults.counts });
    json(StatusCode::OK, &state)
}
