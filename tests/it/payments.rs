//! Payments through a provider: every way the sandbox can behave, cancellation, expiry, refunds.

use serde_json::json;

use crate::harness::{Site, cny, unique, until};

const PRICE: i64 = 1_990;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_through_the_provider_is_accepted_settled_and_fulfilled() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let accepted = buyer.buy_through_sandbox(&[&course], "tok_ok").await.expect(202);

    let id = accepted.text("id");
    assert_eq!(accepted.text("state"), "pending");
    assert_eq!(
        accepted.header("location"),
        Some(format!("/v1/orders/{id}").as_str())
    );
    let order = buyer.order_becomes(&id, "fulfilled").await;
    assert_eq!(order["payments"][0]["state"], "succeeded");
    assert_eq!(buyer.owned().await, [course]);
    assert_eq!(buyer.wallet().await, (0, 0));
    let charges = site.charges().await;
    assert_eq!((charges.len(), &charges[0]["amount"]), (1, &json!(PRICE)));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_payment_cancels_the_order_and_frees_the_course() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    for token in ["tok_declined", "tok_insufficient_funds", "tok_of_nobody"] {
        let id = buyer.placed_through_sandbox(&[&course], token).await;

        let order = buyer.order_becomes(&id, "cancelled").await;

        assert_eq!(order["reason"], "payment_declined", "{token}");
        assert_eq!(order["payments"][0]["state"], "declined", "{token}");
        assert!(buyer.owned().await.is_empty(), "{token}");
        assert_eq!(buyer.wallet().await, (10_000, 0), "{token}");
        buyer
            .act(&format!("/v1/orders/{id}/cancel"))
            .await
            .refused(409, "commerce.wrong_state");
        buyer.refund(&id).await.refused(409, "commerce.wrong_state");
        // Nothing is under way any more: it is ordered anew, and not paid otherwise.
        let otherwise = json!({"payment_method": "wallet"});
        buyer
            .post_as(&unique("pay-"), &format!("/v1/orders/{id}/payments"), &otherwise)
            .await
            .refused(409, "commerce.wrong_state");
    }

    buyer.buy(&[&course]).await.expect(201);

    assert_eq!(buyer.wallet().await, (10_000 - PRICE, 0));
    assert_eq!(site.charges().await.len(), 1, "the top-up alone");
    site.finish().await;
}

/// Buys with a token that misbehaves; there must be one charge and one order.
async fn bought_once_with(token: &str) {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;

    let id = buyer.placed_through_sandbox(&[&course], token).await;
    // While it is unknown how the payment ends, the course cannot be bought another way.
    let second = buyer.buy_through_sandbox(&[&course], "tok_ok").await;
    assert_eq!(second.status, 409, "{second:?}");
    buyer.order_becomes(&id, "fulfilled").await;

    site.stores.become_quiet(std::time::Duration::from_secs(30)).await;
    let charges = site.charges().await;
    assert_eq!(charges.len(), 1, "{charges:?}");
    assert_eq!(charges[0]["amount"], PRICE);
    assert_eq!(buyer.owned().await, [course]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_answers_too_late_is_asked_again_and_charges_once() {
    bought_once_with("tok_slow").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_whose_answer_is_lost_is_asked_again_and_charges_once() {
    bought_once_with("tok_lost_reply").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_comes_twice_counts_once() {
    bought_once_with("tok_twice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_ups_end_as_their_payment_did() {
    let site = Site::start().await;
    let user = site.user().await;
    let mut top_ups = Vec::new();
    for (token, state) in [
        ("tok_ok", "succeeded"),
        ("tok_twice", "succeeded"),
        ("tok_lost_reply", "succeeded"),
        ("tok_declined", "declined"),
        ("tok_insufficient_funds", "declined"),
    ] {
        let accepted = user.ask_top_up(1_000, token).await.expect(202);
        assert_eq!(accepted.text("state"), "processing");
        top_ups.push((accepted.header("location").unwrap().to_owned(), token, state));
    }

    for (path, token, state) in top_ups {
        until(&format!("{token} is {state}"), async || {
            (user.get(&path).await.expect(200).text("state") == state).then_some(())
        })
        .await;
    }
    assert_eq!(user.wallet().await, (3_000, 0));
    assert_eq!(site.charges().await.len(), 3);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_top_up_is_charged_once_for_its_key() {
    let site = Site::start().await;
    let user = site.user().await;
    let body = json!({"amount": cny(500), "provider": "sandbox", "payment_token": "tok_ok"});
    let requests = (0..16).map(|_| user.post_as("one", "/v1/me/wallet/top-ups", &body));

    let answers = futures_util::future::join_all(requests).await;

    let first = answers
        .iter()
        .find(|answer| answer.status == 202)
        .expect("one is accepted");
    for answer in &answers {
        assert!(answer.status == 409 || answer.body == first.body, "{answer:?}");
    }
    until("the money is there", async || {
        (user.wallet().await == (500, 0)).then_some(())
    })
    .await;
    assert_eq!(site.charges().await.len(), 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_through_the_provider_is_refunded_through_it() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    let id = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    buyer.order_becomes(&id, "fulfilled").await;

    let refund = buyer.refund(&id).await.expect(202);

    assert_eq!(refund.json()["amount"], cny(PRICE));
    let order = buyer.order_becomes(&id, "refunded").await;
    assert_eq!(order["refunds"][0]["state"], "succeeded");
    assert!(buyer.owned().await.is_empty());
    assert_eq!(
        buyer.wallet().await,
        (0, 0),
        "the provider has it, not the wallet"
    );
    // And it can be bought again.
    let again = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    buyer.order_becomes(&again, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_waits_for_a_provider_that_is_away_and_is_charged_once_when_it_is_back() {
    let mut site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    site.stop_sandbox();

    let id = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let operator = site.operator().await;
    let sagas = operator.get("/admin/v1/sagas").await.expect(200).json();
    assert!(sagas["data"].to_string().contains(&id), "{sagas}");
    assert_eq!(buyer.order(&id).await["state"], "pending");
    site.start_sandbox().await;

    buyer.order_becomes(&id, "fulfilled").await;
    assert_eq!(site.charges().await.len(), 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_payment_stays_as_old_as_it_is_however_often_it_is_asked_about() {
    let mut site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    site.stop_sandbox();

    let id = buyer.placed_through_sandbox(&[&course], "tok_ok").await;

    let asked_again =
        "SELECT count(*) FROM sagas WHERE state = 'unknown' AND updated_at > since + interval '1 second'";
    until("the provider is asked again", async || {
        (site.stores.count(asked_again).await == 1).then_some(())
    })
    .await;
    site.start_sandbox().await;
    buyer.order_becomes(&id, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_ends_without_a_charge_or_with_the_course_but_never_between() {
    let mut site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    site.stop_sandbox();
    let id = buyer.placed_through_sandbox(&[&course], "tok_ok").await;

    let cancelling = buyer.act(&format!("/v1/orders/{id}/cancel")).await;
    assert!([200, 202].contains(&cancelling.status), "{cancelling:?}");
    site.start_sandbox().await;

    let order = until("the order has ended", async || {
        let order = buyer.order(&id).await;
        (order["state"] != "pending").then_some(order)
    })
    .await;
    assert_eq!(
        (&order["state"], &order["reason"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    assert!(site.charges().await.is_empty());
    assert!(buyer.owned().await.is_empty());
    let again = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    buyer.order_becomes(&again, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_while_the_charge_is_under_way_keeps_no_money_without_access() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    // The sandbox has charged at once and answers three seconds later.
    let id = buyer.placed_through_sandbox(&[&course], "tok_slow").await;

    let cancelling = buyer.act(&format!("/v1/orders/{id}/cancel")).await;

    assert!([200, 202, 409].contains(&cancelling.status), "{cancelling:?}");
    let order = until("the order has ended", async || {
        let order = buyer.order(&id).await;
        ["cancelled", "fulfilled", "refunded"]
            .iter()
            .any(|state| order["state"] == *state)
            .then_some(order)
    })
    .await;
    assert_eq!(
        buyer.owned().await.len(),
        usize::from(order["state"] == "fulfilled"),
        "{order}"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_not_paid_in_time_expires() {
    let mut site = Site::start_with(&["commerce.order_ttl_s=1"]).await;
    let buyer = site.user().await;
    let course = site.course(PRICE).await;
    site.stop_sandbox();
    let id = buyer.placed_through_sandbox(&[&course], "tok_ok").await;
    let expires_at = buyer.order(&id).await["expires_at"].as_str().unwrap().to_owned();
    let late = format!("SELECT (now() > '{expires_at}'::timestamptz + interval '500 ms')::int::bigint");
    until("its time is over", async || {
        (site.stores.count(&late).await == 1).then_some(())
    })
    .await;

    site.start_sandbox().await;

    let order = buyer.order_becomes(&id, "expired").await;
    assert_eq!(order["reason"], "expired");
    assert!(site.charges().await.is_empty());
    assert!(buyer.owned().await.is_empty());
    site.finish().await;
}
