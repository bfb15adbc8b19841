//! Callbacks of the sandbox: whatever is sent, however often, an order moves once and only by what the provider says.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, Client, SANDBOX_SECRET, Site, User, until};

const PRICE: i64 = 1_990;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_identical_callbacks_at_once_are_one_payment_one_grant_and_one_transaction() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    // The provider charges and says nothing: neither an answer nor a callback of its own.
    let silent = json!({"answers": {"lost_pct": 100}, "callbacks": {"missing_pct": 100}});
    fail(&site, &silent).await;
    let order = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let charge = until("the provider has charged", async || {
        site.charges().await.first().cloned()
    })
    .await;
    let event = json!({"type": "charge.succeeded", "data": charge});
    let now = now();

    let answers = join_all((0..50).map(|_| callback(&site, "evt_same", now, SANDBOX_SECRET, &event))).await;

    for answer in answers {
        answer.expect(204);
    }
    buyer.order_becomes(&order, "fulfilled").await;
    assert_eq!(buyer.owned().await, [course]);
    for (what, sql) in [
        (
            "event",
            "SELECT count(*) FROM provider_events WHERE deliveries = 50 AND processed_at IS NOT NULL",
        ),
        (
            "payment",
            "SELECT count(*) FROM payments WHERE state = 'succeeded'",
        ),
        ("grant", "SELECT count(*) FROM grants"),
        ("transaction", "SELECT count(*) FROM ledger_transactions"),
    ] {
        assert_eq!(site.stores.count(sql).await, 1, "{what}");
    }
    // Much later it is as it was.
    callback(&site, "evt_same", now, SANDBOX_SECRET, &event)
        .await
        .expect(204);
    assert_eq!(
        site.stores
            .count("SELECT count(*) FROM ledger_transactions")
            .await,
        1
    );
    fail(&site, &json!({})).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_in_any_order_forged_old_or_never_end_where_the_provider_is() {
    let site = Site::start().await;
    let buyer = site.user().await;
    // Answers tell of half of the charges, callbacks of most, and asking of the rest.
    let plan = json!({
        "seed": 8, "answers": {"lost_pct": 50}, "callbacks": {
            "copies": 3, "shuffle_ms": 200, "late_pct": 20, "late_ms": 500,
            "missing_pct": 20, "forged_pct": 20, "old_pct": 20,
        },
    });
    fail(&site, &plan).await;
    let mut orders = Vec::new();
    for _ in 0..12 {
        let course = site.course(PRICE).await;
        orders.push(buyer.placed_through_sandbox(&[&course], "tok_ok").await);
    }

    for order in &orders {
        buyer.order_becomes(order, "fulfilled").await;
    }

    let state = until("what is not true was refused", async || {
        let state = Client::new(site.sandbox_address())
            .get("/admin/faults")
            .await
            .expect(200)
            .json();
        let refused = |name: &str| state["counts"][name].as_u64().unwrap();
        (refused("forged_refused") > 0 && refused("old_refused") > 0).then_some(state.clone())
    })
    .await;
    assert_eq!(state["counts"]["forged_accepted"], 0);
    assert_eq!(state["counts"]["old_accepted"], 0);
    assert_eq!(state["plan"]["callbacks"]["copies"], 3);
    assert_eq!(site.charges().await.len(), orders.len());
    fail(&site, &json!({})).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_refuses_plans_without_bounds_and_lists_what_it_was_asked_for() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let sandbox = Client::new(site.sandbox_address());
    for plan in [
        json!({"answers": {"lost_pct": 101}}),
        json!({"callbacks": {"copies": 99}}),
    ] {
        let refused = sandbox
            .call("PUT", "/admin/faults")
            .bytes(plan.to_string())
            .send()
            .await;
        assert_eq!(
            (refused.status, refused.text("code").as_str()),
            (400, "plan_refused")
        );
    }
    fail(
        &site,
        &json!({"disputes_pct": 100, "settlement": {"fee_bps": 60}}),
    )
    .await;
    let order = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    buyer.order_becomes(&order, "fulfilled").await;

    let charge = site.charges().await.remove(0);
    let disputes = sandbox.get("/v1/disputes").await.expect(200).json();
    assert_eq!(disputes["data"][0]["charge_id"], charge["id"]);
    let day = &charge["created_at"].as_str().unwrap()[..10];
    let file = sandbox.get(&format!("/v1/settlements/{day}")).await.expect(200);
    let file = String::from_utf8(file.body.to_vec()).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines[0], format!("settlement,1,{day}"));
    assert!(
        lines[1].contains(charge["id"].as_str().unwrap()) && lines[1].contains(",1990,CNY,11,"),
        "{file}"
    );
    assert_eq!(lines[2..], ["end,1"]);
    let unknown = sandbox.get("/v1/settlements/today").await;
    assert_eq!(unknown.status, 404);
    site.finish().await;
}

/// Looks for what was left behind at once, and tries it twice.
const REREADS: &[&str] = &[
    "database.lock_timeout_ms=500",
    "database.statement_timeout_ms=900",
    "commerce.callback_wait_ms=1000",
    "commerce.reread_after_ms=2000",
    "commerce.reread_every_ms=100",
    "commerce.reread_pause_ms=10",
    "commerce.reread_tries_max=2",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_whose_process_died_after_writing_it_down_is_worked_through_without_its_provider() {
    let mut site = Site::start_with(REREADS).await;
    let buyer = site.user().await;
    let (order, event) = waiting_order(&mut site, &buyer).await;
    // As it is left behind: written down, reported to nobody, and the provider has given up.
    let sql = "INSERT INTO provider_events (provider, event_id, kind, reference, body) \
        VALUES ('sandbox', 'evt_left', 'charge.succeeded', $1, $2::text::json)";
    let reference = event["data"]["reference"].as_str().unwrap().to_owned();
    let mut stored = event.clone();
    stored["data"]["id"] = json!("ch_left");
    let kept = stored.to_string();
    let client = site.stores.connect().await;
    client.execute(sql, &[&reference, &kept]).await.unwrap();

    buyer.order_becomes(&order, "fulfilled").await;

    until("it is marked, and forgotten", async || {
        let left = "SELECT (SELECT count(*) FROM callback_rereads) \
            + (SELECT count(*) FROM provider_events WHERE processed_at IS NULL)";
        (site.stores.count(left).await == 0).then_some(())
    })
    .await;
    let transactions = "SELECT count(*) FROM ledger_transactions";
    assert_eq!(site.stores.count(transactions).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_is_refused_however_often_it_is_read_is_given_up_and_kept() {
    let site = Site::start_with(REREADS).await;
    let buyer = site.user().await;
    let event = json!({"type": "charge.succeeded", "data": {
        "id": "ch_lost", "key": "pay_00000000000000000000000001-1", "state": "succeeded", "amount": PRICE, "currency": "CNY",
        "reference": "pay_00000000000000000000000001"}});

    callback(&site, "evt_lost", now(), SANDBOX_SECRET, &event)
        .await
        .refused(404, "commerce.payment_not_found");

    until("it was read again twice, and no more", async || {
        let given_up = "SELECT count(*) FROM callback_rereads WHERE event_id = 'evt_lost' AND tries = 2 AND given_up_at IS NOT NULL";
        (site.stores.count(given_up).await == 1).then_some(())
    })
    .await;
    let metrics = site.client().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let series = r#"webhook_rereads_total{provider="sandbox",result="given_up"}"#;
    let counted = metrics.lines().find_map(|line| line.strip_prefix(series));
    assert!(counted.is_some_and(|count| count.trim() != "0"), "{metrics}");
    assert!(buyer.owned().await.is_empty());
    site.finish().await;
}

/// Makes the provider fail by a plan.
async fn fail(site: &Site, plan: &Value) {
    let sandbox = Client::new(site.sandbox_address());
    let set = sandbox.call("PUT", "/admin/faults").bytes(plan.to_string());
    set.send().await.expect(200);
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A callback as the provider would send it, signed with `secret` at `seconds`.
async fn callback(site: &Site, id: &str, seconds: u64, secret: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let signature = format!("v1,{}", base64(&mac.finalize().into_bytes()));
    site.client()
        .call("POST", "/callbacks/sandbox")
        .header("webhook-id", id)
        .header("webhook-timestamp", &seconds.to_string())
        .header("webhook-signature", &signature)
        .header("content-type", "application/json")
        .bytes(body)
        .send()
        .await
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// An order whose payment waits for a provider that is away, and what a charge of it would look like.
async fn waiting_order(site: &mut Site, buyer: &User) -> (String, Value) {
    let course = site.course(PRICE).await;
    site.stop_sandbox();
    let order = buyer
        .buy_through_sandbox(&[&course], "tok_ok")
        .await
        .expect(202)
        .json();
    until("the payment is under way", async || {
        let begun = "SELECT count(*) FROM payments WHERE purpose = 'order'";
        (site.stores.count(begun).await == 1).then_some(())
    })
    .await;
    let payment = order["payments"][0]["id"].as_str().unwrap();
    let event = json!({"type": "charge.succeeded", "data": {
        "id": "ch_forged", "key": format!("{payment}.1"), "state": "succeeded", "decline_code": null,
        "amount": PRICE, "currency": "CNY", "reference": payment, "created_at": "2026-01-01T00:00:00Z",
    }});
    (order["id"].as_str().unwrap().to_owned(), event)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_old_callbacks_are_refused_and_change_nothing() {
    let mut site = Site::start().await;
    let buyer = site.user().await;
    let (order, event) = waiting_order(&mut site, &buyer).await;
    let now = now();

    let refuse = async |answer: Answer| answer.refused(401, "commerce.signature_invalid");
    refuse(callback(&site, "evt_1", now, "another secret", &event).await).await;
    refuse(callback(&site, "evt_1", now - 400, SANDBOX_SECRET, &event).await).await;
    refuse(callback(&site, "evt_1", now + 400, SANDBOX_SECRET, &event).await).await;
    refuse(callback(&site, "", now, SANDBOX_SECRET, &event).await).await;
    let unsigned = site.client().post("/callbacks/sandbox", &event).await;
    refuse(unsigned).await;
    let mut unknown = event.clone();
    unknown["data"]["reference"] = json!(
        event["data"]["reference"]
            .as_str()
            .unwrap()
            .replace("pay_0", "pay_1")
    );
    callback(&site, "evt_2", now, SANDBOX_SECRET, &unknown)
        .await
        .refused(404, "commerce.payment_not_found");
    let mut cheap = event.clone();
    cheap["data"]["amount"] = json!(1);
    let mut foreign = event.clone();
    foreign["data"]["currency"] = json!("USD");
    for (id, wrong) in [("evt_3", &cheap), ("evt_4", &foreign)] {
        callback(&site, id, now, SANDBOX_SECRET, wrong)
            .await
            .refused(422, "commerce.amount_mismatch");
    }

    let metrics = site.client().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    // The counters are the process's: `cargo test` runs many tests in one.
    for series in [
        r#"webhook_events_total{provider="sandbox",result="forged"}"#,
        r#"webhook_events_total{provider="sandbox",result="mismatch"}"#,
        r#"payment_amount_mismatch_total{provider="sandbox"}"#,
    ] {
        let counted = metrics.lines().find_map(|line| line.strip_prefix(series));
        assert!(counted.is_some_and(|count| count.trim() != "0"), "{series}");
    }
    assert_eq!(buyer.order(&order).await["state"], "pending");
    assert!(buyer.owned().await.is_empty());
    site.start_sandbox().await;
    buyer.order_becomes(&order, "fulfilled").await;
    site.finish().await;
}
