//! Refunds of what was paid from the wallet; `payments` has those through a provider.

use serde_json::json;

use crate::harness::{CourseSpec, Site, cny, until};

const PRICE: i64 = 1_990;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_returns_the_money_and_takes_only_that_orders_access() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let courses = site
        .courses(&[CourseSpec::default(), CourseSpec::default()])
        .await;
    let first = buyer.buy(&[&courses[0]]).await.expect(201).text("id");
    let second = buyer.buy(&[&courses[1]]).await.expect(201).text("id");
    let path = format!("/v1/orders/{first}/refunds");
    let part = json!({"reason": "half of it", "amount": cny(PRICE / 2)});
    buyer
        .post_as("part", &path, &part)
        .await
        .refused(422, "commerce.partial_refund_unsupported");

    let whole = json!({"reason": "not for me", "amount": cny(PRICE)});
    let refund = buyer.post_as("whole", &path, &whole).await.expect(201);
    let again = buyer.post_as("whole", &path, &whole).await.expect(201);

    assert_eq!(refund.body, again.body);
    assert_eq!(refund.text("state"), "succeeded");
    buyer.refund(&first).await.refused(409, "commerce.wrong_state");
    assert_eq!(buyer.order(&first).await["state"], "refunded");
    assert_eq!(buyer.order(&second).await["state"], "fulfilled");
    assert_eq!(buyer.owned().await, [courses[1].clone()]);
    assert_eq!(buyer.wallet().await, (10_000 - PRICE, 0));
    let lesson = site
        .client()
        .get(&format!("/v1/courses/{}", courses[0]))
        .await
        .json();
    let lesson = lesson["outline"][0]["lessons"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    buyer
        .get(&format!("/v1/courses/{}/lessons/{lesson}/content", courses[0]))
        .await
        .refused(403, "commerce.access_required");

    // What is bought again is another purchase: refunding the first one once more does not touch it.
    buyer.buy(&[&courses[0]]).await.expect(201);
    buyer.refund(&first).await.refused(409, "commerce.wrong_state");
    assert_eq!(buyer.owned().await.len(), 2);
    let creators =
        "SELECT coalesce(sum(amount), 0)::bigint FROM ledger_entries WHERE account = 'creator_payable'";
    assert_eq!(site.stores.count(creators).await, 2 * (PRICE * 7 / 10));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_refunds_that_race_one_returns_the_money() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    let id = buyer.buy(&[&course]).await.expect(201).text("id");

    let answers = futures_util::future::join_all((0..8).map(|_| buyer.refund(&id))).await;

    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(buyer.wallet().await, (10_000, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_refund_window_the_sale_is_final() {
    let site = Site::start_with(&["commerce.refund_window_s=1"]).await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    let id = buyer.buy(&[&course]).await.expect(201).text("id");
    let until_when = buyer.order(&id).await["refundable_until"]
        .as_str()
        .unwrap()
        .to_owned();
    until("the window has closed", async || {
        let sql = format!("SELECT (now() > '{until_when}'::timestamptz)::int::bigint");
        (site.stores.count(&sql).await == 1).then_some(())
    })
    .await;

    buyer
        .refund(&id)
        .await
        .refused(422, "commerce.refund_window_closed");

    assert_eq!(buyer.owned().await, [course]);
    site.finish().await;
}
