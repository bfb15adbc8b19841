//! Webhooks out: who is told of what, by which signature, how often, and above all where never.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{CourseSpec, Heard, Reply, Site, User, WebhookReceiver, unique, until, until_within};

/// Quick retries, so that what takes days elsewhere takes seconds.
pub(crate) const QUICK: [&str; 4] = [
    "webhooks.retry_first_ms=50",
    "webhooks.retry_max_s=1",
    "webhooks.poll_ms=50",
    "webhooks.attempt_timeout_ms=1000",
];
const ENDPOINTS: &str = "/v1/me/webhook-endpoints";

/// An endpoint of somebody at a receiver: its path and its secret.
pub(crate) async fn endpoint(user: &User, receiver: &WebhookReceiver, events: &[&str]) -> (String, String) {
    let body = json!({"url": receiver.url(), "events": events});
    let created = user.post(ENDPOINTS, &body).await.expect(201);
    let path = format!("{ENDPOINTS}/{}", created.text("id"));
    assert_eq!(created.header("location"), Some(path.as_str()));
    (path, created.text("secret"))
}

/// The log of an endpoint once its newest delivery is in this state.
pub(crate) async fn logged(user: &User, endpoint: &str, state: &str) -> Vec<Value> {
    until("the log says so", async || {
        let log = user
            .get(&format!("{endpoint}/deliveries"))
            .await
            .expect(200)
            .json();
        let log = log["data"].as_array().unwrap().clone();
        (log.first().is_some_and(|delivery| delivery["state"] == state)).then_some(log)
    })
    .await
}

fn types(heard: &[Heard]) -> Vec<String> {
    let mut types: Vec<String> = heard.iter().map(Heard::event_type).collect();
    types.sort();
    types
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_hears_of_orders_and_a_creator_of_sales_and_nothing_of_the_buyer() {
    let site = Site::start_with(&QUICK).await;
    let (operator, creator, ada) = (
        site.operator().await,
        site.user().await,
        site.user_with(10_000).await,
    );
    let course = site.publish(&creator, &operator, &CourseSpec::default()).await;
    let (of_ada, of_creator, of_both) = (
        WebhookReceiver::start().await,
        WebhookReceiver::start().await,
        WebhookReceiver::start().await,
    );
    let orders = ["order.fulfilled", "order.refunded"];
    let (_, secret) = endpoint(&ada, &of_ada, &orders).await;
    let sales = ["sale.completed", "sale.refunded"];
    let (_, creators_secret) = endpoint(&creator, &of_creator, &sales).await;
    // Everything that a stranger could ask for, and hears nothing of.
    let everything = [&orders[..], &sales[..], &["order.expired", "order.cancelled"]].concat();
    endpoint(&site.user().await, &of_both, &everything).await;

    let order = ada.buy(&[&course]).await.expect(201).text("id");
    let path = format!("/v1/orders/{order}/refunds");
    ada.post_as("r", &path, &json!({"reason": "too long"}))
        .await
        .expect(201);

    let heard = of_ada.hears(2).await;
    assert_eq!(types(&heard), ["order.fulfilled", "order.refunded"]);
    for told in &heard {
        assert!(told.is_signed_by(&secret) && !told.is_signed_by(&creators_secret));
        let told = told.json();
        assert_eq!(told["data"]["order_id"], json!(order), "{told}");
        assert_eq!(told["data"]["total"]["amount"], 1_990);
        assert!(told["timestamp"].is_string());
    }
    let sold = of_creator.hears(2).await;
    assert_eq!(types(&sold), ["sale.completed", "sale.refunded"]);
    for told in &sold {
        assert!(told.is_signed_by(&creators_secret));
        let text = told.text();
        for personal in [&ada.id, &ada.username] {
            assert!(!text.contains(personal.as_str()), "{text}");
        }
        let item = &told.json()["data"]["items"][0];
        assert_eq!(
            (&item["course_id"], &item["earned"]["amount"]),
            (&json!(course), &json!(1_393))
        );
    }
    assert!(of_both.heard().is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_nobody_pays_is_told_of_as_cancelled_or_expired() {
    let quick = ["commerce.order_ttl_s=1"];
    let site = Site::start_with(&[&QUICK[..], &quick].concat()).await;
    let (ada, course) = (site.user().await, site.course(500).await);
    let receiver = WebhookReceiver::start().await;
    endpoint(&ada, &receiver, &["order.cancelled", "order.expired"]).await;

    // The provider never answers the first, and declines the second.
    ada.buy_through_sandbox(&[&course], "tok_slow").await.expect(202);
    let other = site.course(500).await;
    ada.buy_through_sandbox(&[&other], "tok_declined")
        .await
        .expect(202);

    let heard = receiver.hears(1).await;
    let declined = heard.iter().find(|told| told.event_type() == "order.cancelled");
    let declined = match declined {
        Some(declined) => declined.json(),
        None => receiver.hears(2).await[1].json(),
    };
    assert_eq!(declined["data"]["reason"], "payment_declined");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_taken_is_told_again_under_the_same_id_and_redirects_are_not_followed() {
    let site = Site::start_with(&QUICK).await;
    let (ada, course) = (site.user_with(1_000).await, site.course(500).await);
    let (receiver, elsewhere) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    let (path, secret) = endpoint(&ada, &receiver, &["order.fulfilled"]).await;
    receiver.will([
        Reply::Status(500),
        Reply::Redirect(elsewhere.url()),
        Reply::Redirect("http://169.254.169.254/latest/meta-data".to_owned()),
        Reply::Silence,
    ]);

    ada.buy(&[&course]).await.expect(201);

    let heard = receiver.hears(5).await;
    let log = logged(&ada, &path, "delivered").await;
    assert_eq!(log.len(), 1, "one event, one delivery");
    assert_eq!(
        (&log[0]["attempts"], &log[0]["response_status"], &log[0]["error"]),
        (&json!(5), &json!(204), &Value::Null)
    );
    for told in &heard {
        assert_eq!(json!(told.id), log[0]["event_id"]);
        assert!(told.is_signed_by(&secret));
        assert_eq!(told.text(), heard[0].text());
    }
    assert!(elsewhere.heard().is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_is_told_nothing_more_until_its_owner_enables_it() {
    let site = Site::start_with(&QUICK).await;
    let ada = site.user_with(5_000).await;
    let receiver = WebhookReceiver::start().await;
    let (path, _) = endpoint(&ada, &receiver, &["order.fulfilled"]).await;
    let buy = async || {
        let course = site.course(100).await;
        ada.buy(&[&course]).await.expect(201);
    };
    receiver.will([Reply::Status(410)]);

    buy().await;
    let log = logged(&ada, &path, "failed").await;
    let shown = ada.get(&path).await.expect(200).json();
    assert_eq!(
        (&shown["state"], &shown["disabled_reason"]),
        (&json!("disabled"), &json!("gone"))
    );
    buy().await;
    until("the one in between was announced to nobody", async || {
        let due = "SELECT count(*) FROM outbox WHERE due_at <= now()";
        (site.stores.count(due).await == 0).then_some(())
    })
    .await;
    let replay = format!("{path}/deliveries/{}/replay", log[0]["id"].as_str().unwrap());
    ada.act(&replay).await.refused(409, "webhooks.endpoint_disabled");
    let enabled = ada
        .call("PATCH", &path)
        .json(&json!({"enabled": true}))
        .send()
        .await;
    assert_eq!(enabled.expect(200).text("state"), "enabled");
    buy().await;
    let replayed = ada.act(&replay).await.expect(202);

    assert_eq!(replayed.text("state"), "pending");
    let heard = receiver.hears(3).await;
    // An attempt whose answer came too late is made again, so one event may be heard more than once.
    let events: std::collections::BTreeSet<&str> = heard.iter().map(|told| told.id.as_str()).collect();
    assert_eq!(events.len(), 2, "the one in between was never queued");
    let repeated = heard[1..].iter().filter(|told| told.id == heard[0].id).count();
    assert!(repeated >= 1, "replayed under the same id");
    logged(&ada, &path, "delivered").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_last_attempt_the_endpoint_is_disabled() {
    let site = Site::start_with(&[&QUICK[..], &["webhooks.give_up_after_s=1"]].concat()).await;
    let (ada, course) = (site.user_with(1_000).await, site.course(500).await);
    let receiver = WebhookReceiver::start().await;
    let (path, _) = endpoint(&ada, &receiver, &["order.fulfilled"]).await;
    receiver.will((0..50).map(|_| Reply::Status(503)));

    ada.buy(&[&course]).await.expect(201);

    let log = logged(&ada, &path, "failed").await;
    assert!(log[0]["attempts"].as_i64().unwrap() >= 3, "{log:?}");
    assert_eq!(
        (&log[0]["response_status"], &log[0]["response"]),
        (&json!(503), &json!("as told"))
    );
    let shown = ada.get(&path).await.expect(200).json();
    assert_eq!(shown["disabled_reason"], "failing");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_receiver_holds_up_nobody_else() {
    let slow = [
        "webhooks.concurrency_max=4",
        "webhooks.endpoint_concurrency_max=2",
        "webhooks.attempt_timeout_ms=60000",
    ];
    let site = Site::start_with(&[&QUICK[..], &slow].concat()).await;
    let ada = site.user_with(10_000).await;
    let (silent, quick) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    silent.will((0..100).map(|_| Reply::Silence));
    endpoint(&ada, &silent, &["order.fulfilled"]).await;
    endpoint(&ada, &quick, &["order.fulfilled"]).await;

    let specs = vec![
        CourseSpec {
            price: 100,
            ..CourseSpec::default()
        };
        12
    ];
    let courses = site.courses(&specs).await;
    for course in &courses {
        ada.buy(&[course]).await.expect(201);
    }

    let heard = quick.hears(12).await;
    let distinct: std::collections::BTreeSet<_> = heard.iter().map(|told| &told.id).collect();
    assert_eq!(distinct.len(), 12);
    assert!(silent.heard().len() <= 2, "it has two places");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_signs_beside_its_predecessor() {
    let site = Site::start_with(&QUICK).await;
    let ada = site.user_with(5_000).await;
    let receiver = WebhookReceiver::start().await;
    let (path, old) = endpoint(&ada, &receiver, &["order.fulfilled"]).await;
    let rotate = async |key: &str| {
        let path = format!("{path}/rotate-secret");
        let answer = ada.call("POST", &path).key(key).send().await.expect(200);
        assert!(answer.json()["previous_valid_until"].is_string());
        answer.text("secret")
    };

    let new = rotate("r1").await;
    assert_eq!(rotate("r1").await, new, "repeated, it rotates no further");
    let course = site.course(100).await;
    ada.buy(&[&course]).await.expect(201);
    let told = receiver.hears(1).await.remove(0);
    let newest = rotate("r2").await;
    let course = site.course(100).await;
    ada.buy(&[&course]).await.expect(201);
    let later = receiver.hears(2).await.remove(1);

    assert_eq!(told.signatures(), 2);
    assert!(told.is_signed_by(&old) && told.is_signed_by(&new));
    assert!(later.is_signed_by(&new) && later.is_signed_by(&newest) && !later.is_signed_by(&old));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_must_not_be_called_are_refused_and_secrets_are_shown_once() {
    let strict = [
        "webhooks.loopback=false",
        "webhooks.plain_http=false",
        "webhooks.endpoints_max=2",
    ];
    let site = Site::start_with(&strict).await;
    let ada = site.user().await;
    let events = json!(["order.fulfilled"]);
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://[::ffff:192.168.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://ada:secret@example.com/",
        "ftp://example.com/",
        "nonsense",
        "",
    ] {
        let refused = ada.post(ENDPOINTS, &json!({"url": url, "events": events})).await;
        refused.refused(422, "webhooks.url_refused");
    }
    let fine = |events: Value| json!({"url": "https://example.com/hooks", "events": events});
    ada.post(ENDPOINTS, &fine(json!([])))
        .await
        .refused(422, "webhooks.events_empty");
    ada.post(ENDPOINTS, &fine(json!(["order.invented"])))
        .await
        .refused(400, "http.invalid_body");

    let first = ada
        .post_as("e1", ENDPOINTS, &fine(events.clone()))
        .await
        .expect(201);
    let again = ada
        .post_as("e1", ENDPOINTS, &fine(events.clone()))
        .await
        .expect(201);
    assert_eq!(first.body, again.body, "the same endpoint with the same secret");
    ada.post(ENDPOINTS, &fine(events.clone())).await.expect(201);
    ada.post(ENDPOINTS, &fine(events))
        .await
        .refused(422, "webhooks.too_many_endpoints");
    let path = format!("{ENDPOINTS}/{}", first.text("id"));
    let list = ada.get(ENDPOINTS).await.expect(200);
    assert_eq!(list.ids().len(), 2);
    for shown in [list, ada.get(&path).await.expect(200)] {
        let text = String::from_utf8(shown.body.to_vec()).unwrap();
        assert!(!text.contains("whsec_"), "{text}");
    }
    // Nor does any table hold one, and operators see no address.
    let holding = "SELECT (SELECT count(*) FROM events WHERE events::text LIKE '%whsec%') \
        + (SELECT count(*) FROM operations WHERE answer::text LIKE '%whsec%')";
    assert_eq!(site.stores.count(holding).await, 0);
    let seen = site
        .operator()
        .await
        .get(&format!("/admin/v1/entities/subscriber/{}", ada.id))
        .await;
    let seen = seen.expect(200).json();
    assert!(seen["state"].to_string().contains("enabled"), "{seen}");
    assert!(!seen.to_string().contains("example.com"), "{seen}");
    ada.call("DELETE", &path).send().await.expect(204);
    ada.get(&path).await.refused(404, "webhooks.endpoint_not_found");
    ada.act(&format!(
        "{path}/deliveries/whd_01h455vb4pex5vsknk084sn02q/replay"
    ))
    .await
    .refused(404, "webhooks.endpoint_not_found");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_was_sold_before_a_crash_is_told_of_after_it() {
    let mut site = Site::start_process_over(crate::harness::Stores::create().await, &QUICK).await;
    let ada = site.user_with(10_000).await;
    let receiver = WebhookReceiver::start().await;
    endpoint(&ada, &receiver, &["order.fulfilled"]).await;
    let specs = vec![
        CourseSpec {
            price: 100,
            ..CourseSpec::default()
        };
        20
    ];
    let courses = site.courses(&specs).await;

    let bought = join_all(courses.iter().map(|course| {
        let body = json!({"items": [{"course_id": course}], "payment_method": "wallet"});
        ada.call("POST", "/v1/orders")
            .json(&body)
            .key(&unique("k-"))
            .try_send()
    }));
    let (bought, ()) = tokio::join!(bought, async {
        // The process ends when some are sold and told of, and others only sold.
        receiver.hears(3).await;
        site.process().kill();
    });
    site.restart().await;

    let acknowledged: Vec<String> = bought
        .into_iter()
        .flatten()
        .filter(|answer| answer.status == 201)
        .map(|answer| answer.text("id"))
        .collect();
    assert!(acknowledged.len() >= 3, "{}", acknowledged.len());
    // What was just claimed is due again once the claim is over.
    until_within(
        Duration::from_secs(40),
        "all that was sold is told of",
        async || {
            let heard = receiver.heard();
            let told = |order: &String| {
                heard
                    .iter()
                    .any(|told| told.json()["data"]["order_id"] == json!(order))
            };
            acknowledged.iter().all(told).then_some(())
        },
    )
    .await;
    site.finish().await;
}
