//! Payments through WeChat Pay, against the sandbox speaking its wire format: signed, encrypted, with the payer elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use lyceum_entities::commerce::providers::client::ClientSettings;
use lyceum_entities::commerce::providers::wechat::{BillError, Wechat, WechatSettings};
use lyceum_runtime::clock;
use serde_json::{Value, json};

use crate::harness::{KEYS, Site, User, cny, unique, until};

const PRICE: i64 = 1_990;
const API_V3_KEY: &str = "sandbox-api-v3-key-of-32-letters";

async fn start() -> Site {
    start_with(&[]).await
}

async fn start_with(more: &[&str]) -> Site {
    let private_key = format!("providers.wechat.private_key_file={KEYS}/merchant.pem");
    let platform_keys = format!("providers.wechat.platform_keys={KEYS}/platform");
    let mut settings = vec![
        "providers.wechat.url=http://{sandbox}",
        "providers.wechat.callback_url=http://{address}/callbacks/wechat",
        "providers.wechat.mch_id=1900009191",
        "providers.wechat.app_id=wxd678efh567hg6787",
        "providers.wechat.serial=1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C",
        &private_key,
        &platform_keys,
    ];
    settings.extend(more);
    let secrets = [("LYCEUM__PROVIDERS__WECHAT__API_V3_KEY", API_V3_KEY)];
    Site::start_with_secrets(&settings, &secrets).await
}

/// An order whose payer was shown a code, and the number that WeChat Pay knows it by.
async fn shown(buyer: &User, course: &str) -> (String, String) {
    let (order, payment) = buyer.placed_with(course, "wechat", None).await;
    let number = format!("{}-1", payment.strip_prefix("pay_").unwrap());
    let action = buyer.next_action(&order).await;
    assert_eq!(
        action,
        json!({"type": "qr_code", "url": format!("weixin://wxpay/bizpayurl?pr={number}")})
    );
    (order, number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_paid_by_whoever_scans_its_code_and_goes_back_the_same_way() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, number) = shown(&buyer, &course).await;
    assert_eq!(buyer.order(&order).await["state"], "pending");

    let charge = site.payer_pays("wechat", &number).await.expect(200).json();

    assert_eq!(charge["amount"], PRICE);
    let paid = buyer.order_becomes(&order, "fulfilled").await;
    assert_eq!(paid["payments"][0]["state"], "succeeded");
    assert_eq!(paid["payments"][0].get("next_action"), None);
    assert_eq!(buyer.owned().await, [course]);

    buyer.refund(&order).await.expect(202);
    let refunded = buyer.order_becomes(&order, "refunded").await;
    assert_eq!(refunded["refunds"][0]["state"], "succeeded");
    assert!(buyer.owned().await.is_empty());
    let notified =
        "SELECT count(*) FROM provider_events WHERE provider = 'wechat' AND processed_at IS NOT NULL";
    until("both notifications were worked through", async || {
        (site.stores.count(notified).await == 2).then_some(())
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_within_wechat_gets_what_it_calls_the_payment_with() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let token = "jsapi:oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";
    let (order, payment) = buyer.placed_with(&course, "wechat", Some(token)).await;

    let action = buyer.next_action(&order).await;
    let number = format!("{}-1", payment.strip_prefix("pay_").unwrap());
    assert_eq!(action["type"], "app", "{action}");
    let parameters: Value = serde_json::from_str(action["parameters"].as_str().unwrap()).unwrap();
    assert_eq!(parameters["appId"], "wxd678efh567hg6787");
    assert_eq!(parameters["package"], format!("prepay_id=wx{number}"));
    for name in ["timeStamp", "nonceStr", "paySign"] {
        assert!(!parameters[name].as_str().unwrap().is_empty(), "{parameters}");
    }
    site.payer_pays("wechat", &number).await.expect(200);
    buyer.order_becomes(&order, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_called_back_about_is_found_by_asking() {
    // Nobody listens there.
    let site = start_with(&["providers.wechat.callback_url=http://127.0.0.1:1/callbacks/wechat"]).await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, number) = shown(&buyer, &course).await;

    site.payer_pays("wechat", &number).await.expect(200);

    buyer.order_becomes(&order, "fulfilled").await;
    buyer.refund(&order).await.expect(202);
    buyer.order_becomes(&order, "refunded").await;
    assert_eq!(site.stores.count("SELECT count(*) FROM provider_events").await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_cannot_be_paid_any_more_once_its_order_was_cancelled_or_has_expired() {
    let site = start_with(&["commerce.order_ttl_s=3"]).await;
    let buyer = site.user().await;
    let (first, second) = (site.course(PRICE).await, site.course(PRICE).await);

    let (order, number) = shown(&buyer, &first).await;
    let cancelling = buyer.act(&format!("/v1/orders/{order}/cancel")).await;
    assert!([200, 202].contains(&cancelling.status), "{cancelling:?}");
    let cancelled = buyer.order_becomes(&order, "cancelled").await;
    assert_eq!(cancelled["reason"], "cancelled");
    assert_eq!(cancelled["payments"][0].get("next_action"), None);
    assert_eq!(
        site.payer_pays("wechat", &number).await.expect(409).text("code"),
        "order_closed"
    );

    let (order, number) = shown(&buyer, &second).await;
    buyer.order_becomes(&order, "expired").await;
    assert_eq!(
        site.payer_pays("wechat", &number).await.expect(409).text("code"),
        "order_closed"
    );

    assert!(buyer.owned().await.is_empty());
    assert!(site.charges().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_old_foreign_and_wrong_notifications_are_refused_in_wechats_form() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, number) = shown(&buyer, &course).await;

    for (how, status, code) in [
        (json!({"forged": true}), 401, "commerce.signature_invalid"),
        (json!({"age_s": 400}), 401, "commerce.signature_invalid"),
        (json!({"foreign": true}), 400, "commerce.callback_malformed"),
        (json!({"amount": 1}), 422, "commerce.amount_mismatch"),
    ] {
        let (answered, body) = site.misbehaves("wechat", &number, how.clone()).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (answered, body),
            (status, json!({"code": "FAIL", "message": code})),
            "{how}"
        );
    }
    let unsigned = site
        .client()
        .post("/callbacks/wechat", &json!({}))
        .await
        .expect(401);
    assert_eq!(unsigned.text("message"), "commerce.signature_invalid");

    let metrics = site.client().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "webhook_events_total{provider=\"wechat\",result=\"forged\"} 3",
        "webhook_events_total{provider=\"wechat\",result=\"malformed\"} 1",
        "webhook_events_total{provider=\"wechat\",result=\"mismatch\"} 1",
        "payment_amount_mismatch_total{provider=\"wechat\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    assert_eq!(buyer.order(&order).await["state"], "pending");
    assert!(buyer.owned().await.is_empty());
    site.payer_pays("wechat", &number).await.expect(200);
    buyer.order_becomes(&order, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_is_filled_by_whoever_scans_the_code() {
    let site = start().await;
    let user = site.user().await;
    let body = json!({"amount": cny(5_000), "provider": "wechat"});
    let accepted = user
        .post_as(&unique("top-up-"), "/v1/me/wallet/top-ups", &body)
        .await
        .expect(202);
    let path = accepted.header("location").unwrap().to_owned();

    let action = until("the payer is asked", async || {
        let top_up = user.get(&path).await.expect(200).json();
        (top_up["state"] == "requires_action").then(|| top_up["next_action"].clone())
    })
    .await;
    let number = action["url"]
        .as_str()
        .unwrap()
        .rsplit_once('=')
        .unwrap()
        .1
        .to_owned();
    site.payer_pays("wechat", &number).await.expect(200);

    until("the money is there", async || {
        (user.wallet().await == (5_000, 0)).then_some(())
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_wechat_does_not_know_declines_the_order() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let (order, _) = buyer.placed_with(&course, "wechat", Some("tok_ok")).await;

    let declined = buyer.order_becomes(&order, "cancelled").await;
    assert_eq!(declined["reason"], "payment_declined");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bill_of_a_day_is_fetched_and_compared_with_its_hash() {
    let site = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let (order, number) = shown(&buyer, &course).await;
    site.payer_pays("wechat", &number).await.expect(200);
    buyer.order_becomes(&order, "fulfilled").await;
    let read = |file: &str| std::fs::read_to_string(format!("{KEYS}/{file}")).unwrap();
    let wechat = Wechat::new(&WechatSettings {
        client: ClientSettings {
            url: format!("http://{}", site.sandbox_address()),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(5),
            ca_file: "".into(),
        },
        mch_id: "1900009191".into(),
        app_id: "wxd678efh567hg6787".into(),
        serial: "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C".into(),
        private_key: read("merchant.pem"),
        api_v3_key: API_V3_KEY.into(),
        platform_keys: BTreeMap::from([("SANDBOX".to_owned(), read("platform/SANDBOX.pem"))]),
        callback_url: String::new(),
        tolerance: Duration::from_mins(5),
        subject: "Lyceum".into(),
        bill_bytes_max: 1 << 20,
    })
    .unwrap();

    let bill = wechat.trade_bill(clock::now()).await.unwrap();

    let bill = String::from_utf8(bill).unwrap();
    assert!(bill.contains(&format!(",`{number},`{PRICE},`CNY")), "{bill}");
    let long_ago = lyceum_kernel::Timestamp::from_millis(1_000_000_000_000);
    assert_eq!(wechat.trade_bill(long_ago).await, Err(BillError::Missing));
    site.finish().await;
}
