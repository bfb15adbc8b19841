//! Payments through Alipay, against the sandbox speaking its wire format: begun in the payer's browser, notified by forms.

use serde_json::{Value, json};

use crate::harness::{Client, KEYS, Site, User, until};

const PRICE: i64 = 1_990;

async fn start() -> Site {
    start_with(&[]).await
}

async fn start_with(more: &[&str]) -> Site {
    let private_key = format!("providers.alipay.private_key_file={KEYS}/merchant.pem");
    let public_key = format!("providers.alipay.alipay_public_key_file={KEYS}/platform/SANDBOX.pem");
    let mut settings = vec![
        "providers.alipay.url=http://{sandbox}",
        "providers.alipay.callback_url=http://{address}/callbacks/alipay",
        "providers.alipay.return_url=https://lyceum.example/orders",
        "providers.alipay.app_id=2014072300007148",
        &private_key,
        &public_key,
    ];
    settings.extend(more);
    Site::start_with_secrets(&settings, &[]).await
}

/// An order whose payer was shown a page, the page's address, and the number that Alipay knows the trade by.
async fn shown(buyer: &User, course: &str) -> (String, String, String) {
    let (order, payment) = buyer.placed_with(course, "alipay", None).await;
    let action = buyer.next_action(&order).await;
    assert_eq!(action["type"], "redirect", "{action}");
    (
        order,
        action["url"].as_str().unwrap().to_owned(),
        format!("{payment}_1"),
    )
}

/// The payer's browser opens the page, which begins the trade.
async fn open(site: &Site, url: &str) -> Value {
    let (_, path) = url.split_once(&site.sandbox_address().to_string()).unwrap();
    Client::new(site.sandbox_address())
        .get(path)
        .await
        .expect(200)
        .json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_paid_on_alipays_page_and_goes_back_the_same_way() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, page, number) = shown(&buyer, &course).await;
    let opened = open(&site, &page).await;
    assert_eq!(
        opened["alipay_trade_page_pay_response"]["code"], "10000",
        "{opened}"
    );

    let charge = site.payer_pays("alipay", &number).await.expect(200).json();

    assert_eq!(charge["amount"], PRICE);
    let paid = buyer.order_becomes(&order, "fulfilled").await;
    assert_eq!(paid["payments"][0]["state"], "succeeded");
    assert_eq!(buyer.owned().await, [course]);
    let notified =
        "SELECT count(*) FROM provider_events WHERE provider = 'alipay' AND processed_at IS NOT NULL";
    until("the notification was worked through", async || {
        (site.stores.count(notified).await == 1).then_some(())
    })
    .await;

    buyer.refund(&order).await.expect(202);
    let refunded = buyer.order_becomes(&order, "refunded").await;
    assert_eq!(refunded["refunds"][0]["state"], "succeeded");
    assert!(buyer.owned().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_gets_what_it_calls_the_payment_with() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let (order, payment) = buyer.placed_with(&course, "alipay", Some("app")).await;

    let action = buyer.next_action(&order).await;
    assert_eq!(action["type"], "app", "{action}");
    // What the app would do with it.
    let path = format!("/gateway.do?{}", action["parameters"].as_str().unwrap());
    let opened = Client::new(site.sandbox_address())
        .get(&path)
        .await
        .expect(200)
        .json();
    assert_eq!(
        opened["alipay_trade_app_pay_response"]["code"], "10000",
        "{opened}"
    );
    site.payer_pays("alipay", &format!("{payment}_1"))
        .await
        .expect(200);
    buyer.order_becomes(&order, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_called_back_about_is_found_by_asking_though_nobody_had_opened_it_at_first() {
    let site = start_with(&["providers.alipay.callback_url=http://127.0.0.1:1/callbacks/alipay"]).await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, page, number) = shown(&buyer, &course).await;
    // Alipay says meanwhile that there is no such trade, and the payer keeps the page all the same.
    let asked = "SELECT count(*) FROM payments WHERE state = 'requires_action' AND updated_at > since + interval '1 second'";
    until("Alipay has been asked again", async || {
        (site.stores.count(asked).await == 1).then_some(())
    })
    .await;
    assert_eq!(buyer.next_action(&order).await["url"], page.as_str());

    open(&site, &page).await;
    site.payer_pays("alipay", &number).await.expect(200);

    buyer.order_becomes(&order, "fulfilled").await;
    assert_eq!(site.stores.count("SELECT count(*) FROM provider_events").await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trade_is_closed_with_its_order_whether_it_was_opened_or_not() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    for opens in [true, false] {
        let (order, page, number) = shown(&buyer, &course).await;
        if opens {
            open(&site, &page).await;
        }

        let cancelling = buyer.act(&format!("/v1/orders/{order}/cancel")).await;

        assert!([200, 202].contains(&cancelling.status), "{cancelling:?}");
        let cancelled = buyer.order_becomes(&order, "cancelled").await;
        assert_eq!(cancelled["reason"], "cancelled");
        let code = site.payer_pays("alipay", &number).await.expect(409).text("code");
        assert_eq!(code, if opens { "order_closed" } else { "order_not_found" });
    }
    assert!(site.charges().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_paid_after_the_order_was_given_up_brings_the_course_or_the_money_back() {
    let site = start().await;
    let buyer = site.user_with(10_000).await;
    let (first, second) = (site.course(PRICE).await, site.course(PRICE).await);

    // Nobody had opened the page when the order was cancelled, so there was nothing to close.
    let (late, page, number) = shown(&buyer, &first).await;
    buyer.act(&format!("/v1/orders/{late}/cancel")).await;
    buyer.order_becomes(&late, "cancelled").await;
    open(&site, &page).await;
    site.payer_pays("alipay", &number).await.expect(200);
    buyer.order_becomes(&late, "fulfilled").await;
    assert_eq!(buyer.owned().await, [first]);

    // Here the course was bought otherwise meanwhile.
    let (late, page, number) = shown(&buyer, &second).await;
    buyer.act(&format!("/v1/orders/{late}/cancel")).await;
    buyer.order_becomes(&late, "cancelled").await;
    buyer.buy(&[&second]).await.expect(201);
    open(&site, &page).await;
    site.payer_pays("alipay", &number).await.expect(200);
    buyer.order_becomes(&late, "refunded").await;
    assert_eq!(buyer.wallet().await, (10_000 - PRICE, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_old_foreign_and_wrong_notifications_are_refused() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, page, number) = shown(&buyer, &course).await;
    open(&site, &page).await;

    for (how, status, code) in [
        (json!({"forged": true}), 401, "commerce.signature_invalid"),
        (json!({"age_s": 100_000}), 401, "commerce.signature_invalid"),
        (json!({"foreign": true}), 400, "commerce.callback_malformed"),
        (json!({"amount": 1}), 422, "commerce.amount_mismatch"),
    ] {
        let (answered, body) = site.misbehaves("alipay", &number, how.clone()).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((answered, &body["code"]), (status, &json!(code)), "{how}");
    }
    site.client()
        .post("/callbacks/alipay", &json!({}))
        .await
        .refused(401, "commerce.signature_invalid");

    let metrics = site.client().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "webhook_events_total{provider=\"alipay\",result=\"forged\"} 3",
        "webhook_events_total{provider=\"alipay\",result=\"malformed\"} 1",
        "webhook_events_total{provider=\"alipay\",result=\"mismatch\"} 1",
        "payment_amount_mismatch_total{provider=\"alipay\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    assert_eq!(buyer.order(&order).await["state"], "pending");
    // The right one is answered with the word that ends the repetitions.
    let right = site.misbehaves("alipay", &number, json!({})).await;
    assert_eq!(right, (200, "success".to_owned()));
    buyer.order_becomes(&order, "fulfilled").await;
    site.finish_beside_other_providers().await;
}
