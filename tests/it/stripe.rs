//! Payments through Stripe, against a stand-in for its API that nobody here wrote.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, Localstripe, Site, User, order, unique, until};

const PRICE: i64 = 1_990;
const SECRET: &str = "whsec_lyceum_test_secret";
/// A card that is charged, one that is not, and one whose bank asks first.
const CHARGED: &str = "pm_card_visa";
const DECLINED: &str = "pm_card_chargeCustomerFail";
const ASKED: &str = "4000002500003155";

/// A site that offers Stripe, and Stripe's stand-in.
async fn start() -> (Site, Localstripe) {
    let stripe = Localstripe::start().await;
    let url = format!("providers.stripe.url={}", stripe.url);
    let secrets = [
        ("LYCEUM__PROVIDERS__STRIPE__API_KEY", "sk_test_lyceum"),
        ("LYCEUM__PROVIDERS__STRIPE__WEBHOOK_SECRET", SECRET),
    ];
    let site = Site::start_with_secrets(&[&url], &secrets).await;
    let callback = format!("http://{}/callbacks/stripe", site.address);
    stripe.call_back(&callback, SECRET).await;
    (site, stripe)
}

async fn placed(buyer: &User, course: &str, card: &str) -> String {
    let body = order(&[course], "stripe", Some(card));
    buyer
        .post_as(&unique("buy-"), "/v1/orders", &body)
        .await
        .expect(202)
        .text("id")
}

/// The id of a card whose bank asks its holder.
async fn asked_card(stripe: &Localstripe) -> String {
    let card =
        json!({"type": "card", "card": {"number": ASKED, "exp_month": 12, "exp_year": 2030, "cvc": "123"}});
    stripe
        .as_merchant("POST", "/v1/payment_methods", Some(&card))
        .await
        .expect(200)
        .text("id")
}

/// The secret that the payer's page needs, once the order says so.
async fn client_secret(buyer: &User, id: &str) -> String {
    let action = until("the payer is asked", async || {
        let payment = buyer.order(id).await["payments"][0].clone();
        (payment["state"] == "requires_action").then(|| payment["next_action"].clone())
    })
    .await;
    assert_eq!(action["type"], "app", "{action}");
    let parameters: Value = serde_json::from_str(action["parameters"].as_str().unwrap()).unwrap();
    parameters["client_secret"].as_str().unwrap().to_owned()
}

/// Sends what Stripe might, signed with `secret` at `seconds`.
async fn webhook(site: &Site, body: &str, secret: &str, seconds: u64) -> Answer {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{seconds}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    site.client()
        .call("POST", "/callbacks/stripe")
        .header("stripe-signature", &format!("t={seconds},v1={hex}"))
        .header("content-type", "application/json")
        .bytes(body.to_owned())
        .send()
        .await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The raw body of a webhook of this kind, once it was worked through.
async fn received(site: &Site, kind: &str) -> String {
    let database = site.stores.connect().await;
    until("the webhook was worked through", async || {
        let sql = "SELECT body::text FROM provider_events \
            WHERE provider = 'stripe' AND kind = $1 AND processed_at IS NOT NULL";
        let row = database.query_opt(sql, &[&kind]).await.unwrap()?;
        Some(row.get(0))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_charged_pays_for_the_order_once_however_often_its_webhook_comes() {
    let (site, stripe) = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let id = placed(&buyer, &course, CHARGED).await;

    let paid = buyer.order_becomes(&id, "fulfilled").await;
    assert_eq!(paid["payments"][0]["state"], "succeeded");
    assert_eq!(buyer.owned().await, [course]);
    let intents = stripe.list("/v1/payment_intents").await;
    assert_eq!(intents.len(), 1, "{intents:?}");
    assert_eq!(
        (
            &intents[0]["status"],
            &intents[0]["amount"],
            &intents[0]["currency"]
        ),
        (&json!("succeeded"), &json!(PRICE), &json!("cny"))
    );
    assert_eq!(
        intents[0]["metadata"]["reference"], paid["payments"][0]["id"],
        "Stripe knows our payment"
    );

    // The very bytes that came once come fifty times more, all at once.
    let event = received(&site, "payment_intent.succeeded").await;
    let repeated = (0..50).map(|_| webhook(&site, &event, SECRET, now()));
    for answer in futures_util::future::join_all(repeated).await {
        answer.expect(204);
    }

    let deliveries = "SELECT deliveries FROM provider_events WHERE kind = 'payment_intent.succeeded'";
    assert_eq!(site.stores.count(deliveries).await, 51);
    for (table, rows) in [("grants", 1), ("ledger_transactions", 1), ("payments", 1)] {
        let counted = site.stores.count(&format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(counted, rows, "{table}");
    }
    site.finish_beside_other_providers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_declined_cancels_the_order_and_leaves_nothing_to_pay() {
    let (site, stripe) = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    for card in [DECLINED, "pm_of_nobody", "not-a-card"] {
        let id = placed(&buyer, &course, card).await;

        let order = buyer.order_becomes(&id, "cancelled").await;

        assert_eq!(order["reason"], "payment_declined", "{card}");
        assert_eq!(order["payments"][0]["state"], "declined", "{card}");
    }
    assert!(buyer.owned().await.is_empty());
    let intents = stripe.list("/v1/payment_intents").await;
    assert!(
        intents.iter().all(|intent| intent["status"] == "canceled"),
        "{intents:?}"
    );
    site.finish_beside_other_providers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_with_a_card_goes_back_to_it() {
    let (site, stripe) = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let id = placed(&buyer, &course, CHARGED).await;
    buyer.order_becomes(&id, "fulfilled").await;

    buyer.refund(&id).await.expect(202);

    let order = buyer.order_becomes(&id, "refunded").await;
    assert_eq!(order["refunds"][0]["state"], "succeeded");
    assert!(buyer.owned().await.is_empty());
    let refunds = stripe.list("/v1/refunds").await;
    assert_eq!(refunds.len(), 1, "{refunds:?}");
    assert_eq!(refunds[0]["amount"], PRICE);
    assert_eq!(refunds[0]["metadata"]["reference"], order["refunds"][0]["id"]);
    site.finish_beside_other_providers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_that_asks_first_is_asked_by_the_payer_and_settles_the_order_either_way() {
    let (site, stripe) = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let refused = placed(&buyer, &course, &asked_card(&stripe).await).await;
    let secret = client_secret(&buyer, &refused).await;
    stripe.authenticate(&secret, false).await.expect(200);
    let order = buyer.order_becomes(&refused, "cancelled").await;
    assert_eq!(order["reason"], "payment_declined");
    assert_eq!(order["payments"][0].get("next_action"), None);

    let confirmed = placed(&buyer, &course, &asked_card(&stripe).await).await;
    let secret = client_secret(&buyer, &confirmed).await;
    stripe.authenticate(&secret, true).await.expect(200);
    buyer.order_becomes(&confirmed, "fulfilled").await;
    assert_eq!(buyer.owned().await, [course]);
    site.finish_beside_other_providers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_waits_for_its_payer_can_be_cancelled_and_its_intent_is_dead() {
    let (site, stripe) = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let id = placed(&buyer, &course, &asked_card(&stripe).await).await;
    let secret = client_secret(&buyer, &id).await;

    let cancelling = buyer.act(&format!("/v1/orders/{id}/cancel")).await;

    assert!([200, 202].contains(&cancelling.status), "{cancelling:?}");
    let order = buyer.order_becomes(&id, "cancelled").await;
    assert_eq!(order["reason"], "cancelled");
    assert_eq!(stripe.authenticate(&secret, true).await.status, 400);
    let intents = stripe.list("/v1/payment_intents").await;
    assert_eq!(intents[0]["status"], "canceled", "{intents:?}");
    site.finish_beside_other_providers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_old_and_wrong_webhooks_are_refused_and_change_nothing() {
    let (site, stripe) = start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let id = placed(&buyer, &course, &asked_card(&stripe).await).await;
    let secret = client_secret(&buyer, &id).await;
    let payment = buyer.order(&id).await["payments"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let event = |payment: &str, amount: i64, currency: &str| {
        json!({"id": unique("evt_"), "type": "payment_intent.succeeded", "data": {"object": {
            "id": "pi_forged", "status": "succeeded", "amount": amount, "currency": currency,
            "metadata": {"key": format!("{payment}-1"), "reference": payment},
        }}})
        .to_string()
    };
    let right = event(&payment, PRICE, "cny");

    for (secret, seconds) in [("another", now()), (SECRET, now() - 400), (SECRET, now() + 400)] {
        webhook(&site, &right, secret, seconds)
            .await
            .refused(401, "commerce.signature_invalid");
    }
    site.client()
        .post("/callbacks/stripe", &json!({}))
        .await
        .refused(401, "commerce.signature_invalid");
    webhook(&site, "{}", SECRET, now())
        .await
        .refused(400, "commerce.callback_malformed");
    for (amount, currency) in [(1, "cny"), (PRICE, "usd")] {
        webhook(&site, &event(&payment, amount, currency), SECRET, now())
            .await
            .refused(422, "commerce.amount_mismatch");
    }
    let unknown = event(&payment.replace("pay_0", "pay_1"), PRICE, "cny");
    webhook(&site, &unknown, SECRET, now())
        .await
        .refused(404, "commerce.payment_not_found");
    // Of somebody else on the same account.
    let foreign = right.replace("reference", "their_reference");
    webhook(&site, &foreign, SECRET, now()).await.expect(204);

    let metrics = site.client().get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "webhook_events_total{provider=\"stripe\",result=\"forged\"} 4",
        "webhook_events_total{provider=\"stripe\",result=\"malformed\"} 1",
        "webhook_events_total{provider=\"stripe\",result=\"mismatch\"} 2",
        "webhook_events_total{provider=\"stripe\",result=\"refused\"} 1",
        "payment_amount_mismatch_total{provider=\"stripe\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    assert_eq!(buyer.order(&id).await["state"], "pending");
    assert!(buyer.owned().await.is_empty());
    stripe.authenticate(&secret, true).await.expect(200);
    buyer.order_becomes(&id, "fulfilled").await;
    site.finish_beside_other_providers().await;
}
