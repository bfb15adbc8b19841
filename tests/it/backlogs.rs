//! Webhooks out: what waits for receivers that are slow or away, and that it is in nobody else's way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Heard, Reply, Site, WebhookReceiver, until};
use crate::webhooks::{QUICK, endpoint, logged};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_whose_receivers_are_all_silent_holds_up_nobody_else() {
    let few = [
        "webhooks.concurrency_max=4",
        "webhooks.user_concurrency_max=2",
        "webhooks.endpoint_concurrency_max=2",
        "webhooks.attempt_timeout_ms=60000",
    ];
    let site = Site::start_with(&[&QUICK[..], &few].concat()).await;
    let (ada, bob) = (site.user_with(10_000).await, site.user_with(10_000).await);
    let (silent, quick) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    silent.will((0..100).map(|_| Reply::Silence));
    for _ in 0..4 {
        endpoint(&ada, &silent, &["order.fulfilled"]).await;
    }
    endpoint(&bob, &quick, &["order.fulfilled"]).await;
    let courses = [site.course(100).await, site.course(100).await];

    for course in &courses {
        ada.buy(&[course]).await.expect(201);
    }
    silent.hears(2).await;
    for course in &courses {
        bob.buy(&[course]).await.expect(201);
    }

    quick.hears(2).await;
    assert!(silent.heard().len() <= 2, "its owner has two places");
    site.finish().await;
}

/// Deliveries of every order to every endpoint of its buyer, so many of each, due for an hour.
async fn backlog(site: &Site, deliveries: i64) {
    let sql = format!(
        "INSERT INTO webhook_deliveries (delivery_id, endpoint_id, user_id, event_id, event_type, subject, body, since, due_at) \
         SELECT gen_random_uuid(), endpoint_id, user_id, gen_random_uuid(), 'order.fulfilled', o.order_id, \
            '{{\"type\": \"order.fulfilled\"}}', now() - interval '1 hour', now() - interval '1 hour' \
         FROM webhook_endpoints AS e JOIN orders AS o USING (user_id), generate_series(1, {deliveries})"
    );
    let inserted = site.stores.connect().await.execute(&sql, &[]).await.unwrap();
    assert_eq!(i64::try_from(inserted).unwrap(), deliveries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_hides_nobody_elses_events_and_is_given_up_as_a_whole() {
    const PENDING: &str = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'";
    let silent_ones = [
        "webhooks.endpoint_concurrency_max=2",
        "webhooks.attempt_timeout_ms=60000",
    ];
    let site = Site::start_with(&[&QUICK[..], &silent_ones].concat()).await;
    let (ada, bob) = (site.user_with(1_000).await, site.user_with(1_000).await);
    let course = site.course(100).await;
    ada.buy(&[&course]).await.expect(201);
    let (silent, quick) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    silent.will((0..100).map(|_| Reply::Silence));
    let (path, _) = endpoint(&ada, &silent, &["order.fulfilled"]).await;
    backlog(&site, 2_500).await;
    endpoint(&bob, &quick, &["order.fulfilled"]).await;

    bob.buy(&[&course]).await.expect(201);

    quick.hears(1).await;
    assert!(site.stores.count(PENDING).await >= 2_500);
    ada.call("DELETE", &path).send().await.expect(204);
    until("nothing waits for it any more", async || {
        (site.stores.count(PENDING).await == 0).then_some(())
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_a_backlog_is_dropped_and_the_oldest_stay() {
    const DELIVERIES: &str = "SELECT count(*) FROM webhook_deliveries";
    let small = [
        "webhooks.pending_max=3",
        "webhooks.retry_first_ms=60000",
        "webhooks.retry_max_s=60",
    ];
    let site = Site::start_with(&[&QUICK[..], &small].concat()).await;
    let ada = site.user_with(10_000).await;
    let receiver = WebhookReceiver::start().await;
    let (path, _) = endpoint(&ada, &receiver, &["order.fulfilled"]).await;
    let buy = async || {
        let course = site.course(100).await;
        ada.buy(&[&course]).await.expect(201).text("id")
    };
    let replay = |delivery: &Value| format!("{path}/deliveries/{}/replay", delivery["id"].as_str().unwrap());
    buy().await;
    let first = logged(&ada, &path, "delivered").await.remove(0);
    receiver.will((0..100).map(|_| Reply::Status(503)));

    let mut bought = Vec::new();
    for order in 0..6 {
        bought.push(buy().await);
        if order < 3 {
            let queued = i64::from(order) + 2;
            until("it is queued", async || {
                (site.stores.count(DELIVERIES).await == queued).then_some(())
            })
            .await;
        }
    }

    site.stores.become_quiet(Duration::from_secs(30)).await;
    assert_eq!(
        site.stores.count(DELIVERIES).await,
        4,
        "one was taken, three wait"
    );
    let heard = receiver.hears(4).await;
    for order in &bought[..3] {
        let told = |told: &Heard| told.json()["data"]["order_id"] == json!(order);
        assert!(heard.iter().any(told), "the oldest stay");
    }
    ada.act(&replay(&first))
        .await
        .refused(409, "webhooks.backlog_full");
    let waiting = logged(&ada, &path, "pending").await;
    let sooner = ada.act(&replay(&waiting[0])).await.expect(202);
    assert_eq!(sooner.text("state"), "pending");
    // It is given up when it would have been, however often somebody is impatient.
    let kept = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending' AND tries = 0";
    assert_eq!(site.stores.count(kept).await, 0);
    receiver.hears(5).await;
    site.finish().await;
}

/// How many endpoints this server says it has disabled, because their receivers failed or are gone.
async fn disabled(site: &Site, reason: &str) -> f64 {
    let text = site.client().get("/metrics").await.expect(200);
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    let series = format!("webhook_endpoints_disabled_total{{reason=\"{reason}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_is_never_taken_does_not_disable_a_receiver_that_takes_the_others() {
    let site = Site::start_with(&[&QUICK[..], &["webhooks.give_up_after_s=2"]].concat()).await;
    let ada = site.user_with(10_000).await;
    let receiver = WebhookReceiver::start().await;
    let (path, _) = endpoint(&ada, &receiver, &["order.fulfilled", "order.refunded"]).await;
    let course = site.course(100).await;
    let order = ada.buy(&[&course]).await.expect(201).text("id");
    receiver.hears(1).await;
    receiver.refuses("order.refunded", 400);

    ada.refund(&order).await.expect(201);
    let log = until("the poison is given up", async || {
        let course = site.course(1).await;
        ada.buy(&[&course]).await.expect(201);
        let log = ada
            .get(&format!("{path}/deliveries?limit=100"))
            .await
            .expect(200)
            .json();
        let log = log["data"].as_array().unwrap().clone();
        log.iter().any(|one| one["state"] == "failed").then_some(log)
    })
    .await;

    let failed: Vec<&Value> = log.iter().filter(|one| one["state"] == "failed").collect();
    assert_eq!(
        (failed.len(), &failed[0]["event_type"]),
        (1, &json!("order.refunded"))
    );
    assert_eq!(ada.get(&path).await.expect(200).json()["state"], "enabled");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_counted_as_disabled_once_however_many_attempts_found_it_gone() {
    const FAILED: &str = "SELECT count(*) FROM webhook_deliveries WHERE state = 'failed'";
    let site = Site::start_with(&QUICK).await;
    let ada = site.user_with(1_000).await;
    let course = site.course(100).await;
    ada.buy(&[&course]).await.expect(201);
    let receiver = WebhookReceiver::start().await;
    receiver.refuses("order.fulfilled", 410);
    let (path, _) = endpoint(&ada, &receiver, &["order.fulfilled"]).await;

    backlog(&site, 8).await;

    // Four attempts are under way at once, and each finds the same.
    until("they have all failed", async || {
        (site.stores.count(FAILED).await >= 4).then_some(())
    })
    .await;
    assert_eq!(ada.get(&path).await.expect(200).json()["disabled_reason"], "gone");
    assert_eq!(disabled(&site, "gone").await, 1.0);
    site.finish().await;
}
