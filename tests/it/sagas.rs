//! What operators see of sagas and orders, and do about them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Site, User, cny, unique, until};

const PRICE: i64 = 1_990;

/// A buyer with an order whose payment cannot be settled, since its provider is away.
async fn stranded(site: &mut Site) -> (User, String, String) {
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    site.stop_sandbox();
    let order = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let operator = site.operator().await;
    let payment = until("the payment is unknown", async || {
        let sagas = operator.get("/admin/v1/sagas?state=unknown").await.expect(200);
        sagas.ids().first().cloned()
    })
    .await;
    (buyer, order, payment)
}

async fn why(operator: &User, saga: &str, action: &str, body: &Value) -> crate::harness::Answer {
    let path = format!("/admin/v1/sagas/{saga}/{action}");
    operator.post_as(&unique("op-"), &path, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_sagas_say_what_is_next_and_those_that_are_stuck_are_told_apart() {
    let mut site = Site::start_with(&["commerce.saga_stuck_after_s=1"]).await;
    let (buyer, order, payment) = stranded(&mut site).await;
    let operator = site.operator().await;

    let checkout = operator
        .get(&format!("/admin/v1/sagas/{order}"))
        .await
        .expect(200)
        .json();
    let attempt = operator
        .get(&format!("/admin/v1/sagas/{payment}"))
        .await
        .expect(200)
        .json();

    assert_eq!(
        (
            &checkout["kind"],
            &checkout["state"],
            &checkout["next_action"],
            &checkout["amount"]
        ),
        (
            &json!("checkout"),
            &json!("awaiting_payment"),
            &json!("expire"),
            &cny(PRICE)
        )
    );
    assert_eq!(
        (
            &attempt["kind"],
            &attempt["state"],
            &attempt["order_id"],
            &attempt["attempt"]
        ),
        (&json!("payment"), &json!("unknown"), &json!(order), &json!(1))
    );
    assert!(
        ["query", "send"].contains(&attempt["next_action"].as_str().unwrap()),
        "{attempt}"
    );
    assert_eq!(
        (&checkout["user"], &checkout["payment_id"]),
        (&json!(buyer.id), &json!(payment))
    );
    // The order waits for its payment as it should; the payment is what is stuck.
    let stuck = async || operator.get("/admin/v1/sagas?stuck=true").await.expect(200).ids();
    until("the payment counts as stuck", async || {
        (stuck().await == [payment.clone()]).then_some(())
    })
    .await;
    let note = json!({"note": "the provider has no charge; ticket 7"});
    let noted = why(&operator, &payment, "reconcile", &note).await.expect(202);
    assert_eq!(
        (noted.text("action"), noted.text("state")),
        ("reconcile_saga".into(), "unknown".into())
    );
    assert!(stuck().await.is_empty(), "somebody has looked into it");
    let attempt = operator
        .get(&format!("/admin/v1/sagas/{payment}"))
        .await
        .expect(200)
        .json();
    assert_eq!(attempt["reconciled"]["operator"], json!(operator.id));
    assert_eq!(attempt["state"], "unknown", "a note changes nothing");
    site.start_sandbox().await;
    buyer.order_becomes(&order, "fulfilled").await;
    operator
        .get(&format!("/admin/v1/sagas/{order}"))
        .await
        .refused(404, "commerce.saga_not_found");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_takes_the_same_step_at_once_and_charges_once() {
    let mut site = Site::start().await;
    let (buyer, order, payment) = stranded(&mut site).await;
    let operator = site.operator().await;
    // The next question is asked only after a long pause by now.
    let patient = "SELECT count(*) FROM payments WHERE due_at > now() + interval '3 seconds'";
    until("the payment waits", async || {
        (site.stores.count(patient).await == 1).then_some(())
    })
    .await;
    site.start_sandbox().await;

    let body = json!({"reason": "the provider is back"});
    let path = format!("/admin/v1/sagas/{payment}/retry");
    let began = std::time::Instant::now();
    let first = operator.post_as("r1", &path, &body).await.expect(202);
    let again = operator.post_as("r1", &path, &body).await.expect(202);
    assert_eq!(first.body, again.body);
    buyer.order_becomes(&order, "fulfilled").await;

    assert!(began.elapsed().as_secs() < 3, "{:?}", began.elapsed());
    assert_eq!(site.charges().await.len(), 1);
    let logged = "SELECT count(*) FROM audit_log WHERE action = 'retry_saga'";
    assert_eq!(site.stores.count(logged).await, 1);
    why(&operator, &payment, "retry", &body)
        .await
        .refused(409, "commerce.wrong_state");
    why(&operator, &order, "retry", &body)
        .await
        .refused(409, "commerce.wrong_state");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_is_retried_by_its_order_too() {
    let mut site = Site::start().await;
    let (buyer, order, _) = stranded(&mut site).await;
    let operator = site.operator().await;
    site.start_sandbox().await;

    let body = json!({"reason": "the provider is back"});
    let retried = why(&operator, &order, "retry", &body).await.expect(202);

    assert_eq!(retried.text("state"), "awaiting_payment");
    buyer.order_becomes(&order, "fulfilled").await;
    assert_eq!(site.charges().await.len(), 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compensation_is_previewed_and_then_led_back_without_a_charge() {
    let mut site = Site::start().await;
    let (buyer, order, payment) = stranded(&mut site).await;
    let operator = site.operator().await;
    let preview = json!({"reason": "the buyer is gone", "dry_run": true});

    // By either name: the payment of an order is led back with its order.
    let told = why(&operator, &order, "compensate", &preview)
        .await
        .expect(200)
        .json();
    let by_payment = why(&operator, &payment, "compensate", &preview)
        .await
        .expect(200)
        .json();

    assert_eq!(told, by_payment);
    let amount = cny(PRICE);
    assert_eq!(
        told,
        json!({"id": order, "action": "compensate_saga", "dry_run": true, "steps": [
            {"step": "close_payment", "only": "always", "amount": amount},
            {"step": "end", "only": "if_not_captured", "amount": amount},
            {"step": "fulfil", "only": "if_captured", "amount": amount},
        ]})
    );
    let quiet = "SELECT count(*) FROM audit_log";
    assert_eq!(site.stores.count(quiet).await, 0, "nothing was done");
    let body = json!({"reason": "the buyer is gone"});
    let path = format!("/admin/v1/sagas/{payment}/compensate");
    let begun = operator.post_as("c1", &path, &body).await.expect(202);
    assert_eq!(
        (begun.text("id"), begun.text("state")),
        (order.clone(), "closing".to_owned())
    );
    let again = operator.post_as("c1", &path, &body).await.expect(202);
    assert_eq!(begun.body, again.body);
    why(&operator, &order, "compensate", &body)
        .await
        .refused(409, "commerce.wrong_state");
    site.start_sandbox().await;
    buyer.order_becomes(&order, "cancelled").await;

    assert!(site.charges().await.is_empty());
    assert!(buyer.owned().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_top_up_is_led_back_by_its_payment() {
    let mut site = Site::start().await;
    let buyer = site.user().await;
    let operator = site.operator().await;
    site.stop_sandbox();
    let top_up = buyer.ask_top_up(500, "tok_ok").await.expect(202).text("id");
    until("its saga is listed", async || {
        let saga = operator.get(&format!("/admin/v1/sagas/{top_up}")).await;
        (saga.status == 200).then_some(())
    })
    .await;

    let preview = json!({"reason": "a mistake", "dry_run": true});
    let told = why(&operator, &top_up, "compensate", &preview)
        .await
        .expect(200)
        .json();
    let body = json!({"reason": "a mistake"});
    why(&operator, &top_up, "compensate", &body).await.expect(202);
    site.start_sandbox().await;

    assert_eq!(told["steps"][2]["step"], "credit");
    until("the top-up has ended", async || {
        let path = format!("/v1/me/wallet/top-ups/{top_up}");
        let state = buyer.get(&path).await.expect(200).text("state");
        (state == "cancelled").then_some(())
    })
    .await;
    assert_eq!(buyer.wallet().await, (0, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_about_a_saga_is_refused_and_leaves_no_trace() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    let done = buyer.buy(&[&course]).await.expect(201).text("id");
    let unknown = "ord_01h455vb4pex5vsknk084sn02q";
    let reason = json!({"reason": "just because"});
    for (saga, action, body, status, code) in [
        (unknown, "retry", reason.clone(), 404, "commerce.saga_not_found"),
        (
            unknown,
            "compensate",
            reason.clone(),
            404,
            "commerce.saga_not_found",
        ),
        (
            "pay_01h455vb4pex5vsknk084sn02q",
            "retry",
            reason.clone(),
            404,
            "commerce.saga_not_found",
        ),
        (
            &done,
            "retry",
            json!({"reason": "no"}),
            422,
            "commerce.reason_length",
        ),
        (&done, "retry", reason.clone(), 409, "commerce.wrong_state"),
        (&done, "compensate", reason.clone(), 409, "commerce.wrong_state"),
        (
            &done,
            "reconcile",
            json!({"note": "all is well"}),
            409,
            "commerce.wrong_state",
        ),
        (&buyer.id, "retry", reason.clone(), 400, "http.malformed_id"),
    ] {
        why(&operator, saga, action, &body).await.refused(status, code);
    }
    // There is no way to say that it succeeded.
    for action in ["succeed", "force", "settle"] {
        assert_eq!(why(&operator, &done, action, &reason).await.status, 404);
    }

    assert_eq!(site.stores.count("SELECT count(*) FROM audit_log").await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_tells_everything_about_an_order_in_the_order_of_time() {
    let site = Site::start().await;
    let (buyer, operator) = (site.user().await, site.operator().await);
    let course = site.course(PRICE).await;
    let order = buyer.placed_through_sandbox(&[&course], "tok_twice").await;
    buyer.order_becomes(&order, "fulfilled").await;
    // What another order of the same buyer does is no part of it.
    let other = site.course(PRICE).await;
    let second = buyer.placed_through_sandbox(&[&other], "tok_ok").await;
    buyer.order_becomes(&second, "fulfilled").await;
    buyer.refund(&order).await.expect(202);
    buyer.order_becomes(&order, "refunded").await;
    // A timeline that still grows has other pages a moment later.
    site.stores.become_quiet(Duration::from_secs(30)).await;
    until("all three callbacks are processed", async || {
        let processed = "SELECT count(*) FROM provider_events WHERE processed_at IS NOT NULL";
        (site.stores.count(processed).await == 3).then_some(())
    })
    .await;
    let path = format!("/admin/v1/orders/{order}/timeline");

    let whole = operator.get(&format!("{path}?limit=100")).await.expect(200);

    let text = String::from_utf8_lossy(&whole.body).into_owned();
    assert!(!text.contains("tok_twice") && !text.contains(&second), "{text}");
    let whole = whole.json();
    let moments = whole["data"].as_array().unwrap();
    let has = |source: &str, what: &str| {
        moments
            .iter()
            .any(|moment| moment["source"] == source && moment["what"] == what)
    };
    for (source, what) in [
        ("order", "order_placed"),
        ("order", "order_fulfilled"),
        ("order", "refund_requested"),
        ("payment", "started"),
        ("payment", "succeeded"),
        ("payment", "refund_started"),
        ("ledger", "sale"),
        ("ledger", "refund"),
        ("grant", "granted"),
        ("grant", "revoked"),
        ("refund", "succeeded"),
    ] {
        assert!(has(source, what), "{source} {what}: {whole}");
    }
    assert!(
        moments.iter().any(|moment| moment["source"] == "callback"),
        "{whole}"
    );
    let times: Vec<&str> = moments
        .iter()
        .map(|moment| moment["at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    // Page by page it is the same, wherever a page ends.
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let page = operator
            .get(&format!("{path}?limit=3{after}"))
            .await
            .expect(200)
            .json();
        pages.extend(page["data"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(&pages, moments);
    operator
        .get(&format!("{path}?after=x"))
        .await
        .refused(400, "http.malformed_cursor");
    operator
        .get("/admin/v1/orders/ord_01h455vb4pex5vsknk084sn02q/timeline")
        .await
        .refused(404, "commerce.order_not_found");
    site.finish().await;
}
