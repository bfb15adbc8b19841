//! Money that comes late, twice, or through two channels: it is never kept without access, and never taken twice.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Site, User, until, until_within};

const PRICE: i64 = 1_990;
/// Money that came late is granted or on its way back within this time.
const PROMISED: Duration = Duration::from_secs(5);

/// An order through the sandbox that has expired, and its payment.
async fn expired(site: &mut Site, buyer: &User, course: &str) -> (String, String) {
    site.stop_sandbox();
    let placed = buyer
        .buy_through_sandbox(&[course], "tok_ok")
        .await
        .expect(202)
        .json();
    let (order, payment) = (
        placed["id"].as_str().unwrap().to_owned(),
        placed["payments"][0]["id"].as_str().unwrap().to_owned(),
    );
    let closing = "SELECT count(*) FROM orders WHERE saga = 'closing'";
    until("its time is over", async || {
        (site.stores.count(closing).await == 1).then_some(())
    })
    .await;
    site.start_sandbox().await;
    buyer.order_becomes(&order, "expired").await;
    (order, payment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_after_expiry_is_granted_within_5_seconds() {
    let mut site = Site::start_with(&["commerce.order_ttl_s=1"]).await;
    let (buyer, course) = (site.user().await, site.course(PRICE).await);
    let (order, payment) = expired(&mut site, &buyer, &course).await;

    site.charge_anyway(&payment, PRICE).await;

    until_within(PROMISED, "the course is there", async || {
        (buyer.order(&order).await["state"] == "fulfilled").then_some(())
    })
    .await;
    assert_eq!(buyer.owned().await, [course]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_after_expiry_is_refunded_within_5_seconds_when_the_course_was_bought_otherwise() {
    let mut site = Site::start_with(&["commerce.order_ttl_s=1"]).await;
    let (buyer, course) = (site.user_with(PRICE).await, site.course(PRICE).await);
    let (order, payment) = expired(&mut site, &buyer, &course).await;
    buyer.buy(&[&course]).await.expect(201);

    site.charge_anyway(&payment, PRICE).await;

    until_within(PROMISED, "the money is back", async || {
        (buyer.order(&order).await["state"] == "refunded").then_some(())
    })
    .await;
    assert_eq!(site.refunds_sent().await, [PRICE]);
    assert_eq!(
        buyer.owned().await,
        [course],
        "what the other order brought stays"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_payments_through_two_channels_at_once_the_surplus_is_refunded() {
    // Without callbacks the first charge is not heard of for as long as the provider keeps its answer back.
    let site = Site::start_with(&["providers.sandbox.callback_url="]).await;
    let (buyer, course) = (site.user().await, site.course(PRICE).await);
    let order = buyer.placed_through_sandbox(&[&course], "tok_slow").await;
    until("the first channel has charged", async || {
        (site.charges().await.len() == 1).then_some(())
    })
    .await;
    let path = format!("/v1/orders/{order}/payments");
    let other = json!({"payment_method": "sandbox", "payment_token": "tok_ok"});

    let paid = buyer.post_as("other", &path, &other).await.expect(202);

    assert_eq!(
        buyer.post_as("other", &path, &other).await.expect(202).body,
        paid.body
    );
    buyer.order_becomes(&order, "fulfilled").await;
    until("the surplus is back", async || {
        (site.refunds_sent().await == [PRICE]).then_some(())
    })
    .await;
    site.stores.become_quiet(Duration::from_secs(30)).await;
    assert_eq!(site.charges().await.len(), 2);
    let payments = buyer.order(&order).await["payments"].clone();
    let mut states: Vec<_> = payments
        .as_array()
        .unwrap()
        .iter()
        .map(|payment| payment["state"].as_str().unwrap())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["succeeded", "surplus"], "{payments}");
    assert_eq!(buyer.owned().await, [course]);
    let succeeded = "SELECT count(*) FROM payments WHERE state = 'succeeded'";
    assert_eq!(site.stores.count(succeeded).await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_wallet_pays_instead_is_taken_once_and_refunded_to_it() {
    let mut site = Site::start().await;
    let (buyer, course) = (site.user_with(PRICE).await, site.course(PRICE).await);
    site.stop_sandbox();
    let order = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let path = format!("/v1/orders/{order}/payments");

    let paid = buyer
        .post_as("wallet", &path, &json!({"payment_method": "wallet"}))
        .await
        .expect(201);

    assert_eq!(paid.text("state"), "fulfilled");
    assert_eq!(buyer.wallet().await, (0, 0));
    buyer
        .post_as("again", &path, &json!({"payment_method": "wallet"}))
        .await
        .refused(409, "commerce.wrong_state");
    site.start_sandbox().await;
    site.stores.become_quiet(Duration::from_secs(30)).await;
    assert_eq!(site.charges().await.len(), 1, "the top-up alone");
    buyer.refund(&order).await.expect(201);
    assert_eq!(buyer.wallet().await, (PRICE, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_pay_is_refused_and_leaves_the_order_waiting() {
    let mut site = Site::start().await;
    let (buyer, course) = (site.user().await, site.course(PRICE).await);
    let stranger = site.user().await;
    site.stop_sandbox();
    let order = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let path = format!("/v1/orders/{order}/payments");
    let wallet = json!({"payment_method": "wallet"});

    let poor = buyer.post_as("poor", &path, &wallet).await;
    poor.refused(402, "commerce.insufficient_funds");
    let foreign = stranger.post_as("foreign", &path, &wallet).await;
    foreign.refused(404, "commerce.order_not_found");
    let unknown = json!({"payment_method": "shells"});
    let unknown = buyer.post_as("unknown", &path, &unknown).await;
    unknown.refused(422, "commerce.payment_method_unknown");
    let sandbox = json!({"payment_method": "sandbox", "payment_token": "tok_ok"});
    for key in ["2", "3", "4", "5"] {
        buyer.post_as(key, &path, &sandbox).await.expect(202);
    }
    let many = buyer.post_as("6", &path, &sandbox).await;
    many.refused(422, "commerce.too_many_payments");

    assert_eq!(buyer.order(&order).await["state"], "pending");
    site.start_sandbox().await;
    buyer.order_becomes(&order, "fulfilled").await;
    site.stores.become_quiet(Duration::from_secs(60)).await;
    let kept = site.charges().await.len() - site.refunds_sent().await.len();
    assert_eq!(kept, 1, "one payment is kept");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_return_url_proves_nothing_and_changes_nothing() {
    let mut site = Site::start().await;
    let (buyer, course) = (site.user().await, site.course(PRICE).await);
    site.stop_sandbox();
    let order = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let decided = "SELECT coalesce(sum(json_array_length(events)), 0)::bigint FROM events WHERE kind = 4";
    let before = site.stores.count(decided).await;

    for said in [
        "payment_intent=pi_1&redirect_status=succeeded",
        "out_trade_no=1&trade_status=TRADE_SUCCESS",
        "state=succeeded",
    ] {
        for _ in 0..3 {
            let answer = buyer.get(&format!("/v1/orders/{order}?{said}")).await;
            assert!([200, 400].contains(&answer.status), "{answer:?}");
        }
    }

    assert_eq!(buyer.order(&order).await["state"], "pending");
    assert!(buyer.owned().await.is_empty());
    assert_eq!(site.stores.count(decided).await, before);
    site.start_sandbox().await;
    buyer.order_becomes(&order, "fulfilled").await;
    site.finish().await;
}
