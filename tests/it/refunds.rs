//! Refunds of what was paid from the wallet; `payments` has those through a provider.

use serde_json::json;

use crate::harness::{CourseSpec, Site, User, cny, until};

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
    let more = json!({"reason": "and something more", "amount": cny(PRICE + 1)});
    buyer
        .post_as("more", &path, &more)
        .await
        .refused(409, "commerce.refund_exceeds_capture");

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

/// An order of two courses through the sandbox, with their ids.
async fn paid_through_sandbox(site: &Site, buyer: &User) -> (String, Vec<String>) {
    let specs = [(); 2].map(|()| CourseSpec {
        price: 100,
        ..CourseSpec::default()
    });
    let courses = site.courses(&specs).await;
    let order = buyer
        .placed_through_sandbox(&[&courses[0], &courses[1]], "tok_ok")
        .await;
    buyer.order_becomes(&order, "fulfilled").await;
    (order, courses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_refunds_of_60_on_100_at_once_one_is_refused() {
    let site = Site::start().await;
    let operator = site.operator().await;
    for method in ["wallet", "sandbox"] {
        let buyer = site.user_with(10_000).await;
        let course = site.course(100).await;
        let order = match method {
            "wallet" => buyer.buy(&[&course]).await.expect(201).text("id"),
            _ => buyer.placed_through_sandbox(&[&course], "tok_ok").await,
        };
        buyer.order_becomes(&order, "fulfilled").await;
        let path = format!("/v1/orders/{order}/refunds");
        let body = json!({"reason": "too dear", "amount": cny(60)});
        let (first, second) = ("first".to_owned() + method, "second".to_owned() + method);

        let (one, other) = tokio::join!(
            buyer.post_as(&first, &path, &body),
            buyer.post_as(&second, &path, &body)
        );

        let (done, refused) = if one.status < 300 {
            (one, other)
        } else {
            (other, one)
        };
        let done = done.expect(202).text("id");
        refused.refused(409, "commerce.refund_exceeds_capture");
        let approved = operator.approve_refund(&done).await;
        assert!(approved.status < 300, "{approved:?}");
        let order = buyer.order_becomes(&order, "partially_refunded").await;
        assert_eq!(order["refunds"].as_array().unwrap().len(), 1);
        assert_eq!(buyer.owned().await, [course], "an amount alone ends no access");
    }
    site.stores.become_quiet(std::time::Duration::from_secs(30)).await;
    assert_eq!(site.refunds_sent().await, [60]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_through_a_provider_is_refunded_in_parts_until_nothing_is_left() {
    let site = Site::start().await;
    let (buyer, operator) = (site.user().await, site.operator().await);
    let (order, courses) = paid_through_sandbox(&site, &buyer).await;
    let path = format!("/v1/orders/{order}/refunds");
    let line = json!({"items": [{"course_id": courses[0]}]});

    let preview = buyer
        .post(&format!("{path}/preview"), &line)
        .await
        .expect(200)
        .json();
    assert_eq!(preview["amount"], cny(100));
    assert_eq!(preview["left"], cny(100));
    assert_eq!(preview["items"][0]["creator_share"], cny(70));
    assert_eq!(preview["items"][0]["platform_share"], cny(30));
    assert_eq!(preview["items"][0]["access_ends"], true);
    assert!(
        buyer.order(&order).await["refunds"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    for (key, body, state) in [
        (
            "one",
            json!({"reason": "a", "amount": cny(33)}),
            "partially_refunded",
        ),
        (
            "two",
            json!({"reason": "b", "items": [{"course_id": courses[0]}]}),
            "partially_refunded",
        ),
        ("three", json!({"reason": "c"}), "refunded"),
    ] {
        let refund = buyer.post_as(key, &path, &body).await.expect(202);
        if key == "one" {
            operator.approve_refund(&refund.text("id")).await.expect(202);
        }
        let settled = buyer.order_becomes(&order, state).await;
        assert!(settled.to_string().contains(&refund.text("id")), "{settled}");
        if key == "two" {
            assert_eq!(
                buyer.owned().await,
                [courses[1].clone()],
                "access ends line by line"
            );
        }
    }

    assert!(buyer.owned().await.is_empty());
    // 33 over two lines of 100 is 17 and 16; then the rest of the first, then of the second.
    assert_eq!(site.refunds_sent().await, [33, 83, 84]);
    let left = "SELECT coalesce(sum(abs(total)), 0)::bigint FROM (SELECT sum(amount) AS total FROM ledger_entries \
        GROUP BY account, owner_id) AS sums";
    assert_eq!(
        site.stores.count(left).await,
        0,
        "sale and refunds add up to zero"
    );
    buyer
        .post_as("four", &path, &json!({"reason": "d", "amount": cny(1)}))
        .await
        .refused(409, "commerce.wrong_state");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunding_one_order_leaves_the_access_that_another_brought() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let courses = site
        .courses(&[CourseSpec::default(), CourseSpec::default()])
        .await;
    let first = buyer.buy(&[&courses[0]]).await.expect(201).text("id");
    buyer.refund(&first).await.expect(201);
    let second = buyer
        .buy(&[&courses[0], &courses[1]])
        .await
        .expect(201)
        .text("id");

    // Whatever is asked of the first order again, the second keeps what it brought.
    buyer.refund(&first).await.refused(409, "commerce.wrong_state");

    assert_eq!(buyer.owned().await.len(), 2);
    let other = json!({"reason": "not this", "items": [{"course_id": courses[1]}]});
    buyer
        .post_as("other", &format!("/v1/orders/{second}/refunds"), &other)
        .await
        .expect(201);
    assert_eq!(buyer.owned().await, [courses[0].clone()]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_refund_waits_for_an_operator_who_did_not_ask_for_it() {
    let site = Site::start_with(&["commerce.refund_automatic_max=99"]).await;
    let operator = site.operator().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(100).await;
    let order = buyer.buy(&[&course]).await.expect(201).text("id");
    let why = json!({"reason": "looked into"});

    let refund = buyer.refund(&order).await.expect(202);

    let id = refund.text("id");
    assert_eq!(refund.text("state"), "requested");
    assert_eq!(buyer.order(&order).await["state"], "fulfilled");
    let waiting = operator
        .get("/admin/v1/refunds?state=requested")
        .await
        .expect(200);
    assert_eq!(waiting.ids(), std::slice::from_ref(&id));
    buyer
        .post_as("mine", &format!("/admin/v1/refunds/{id}/approve"), &why)
        .await
        .refused(403, "http.forbidden");
    operator
        .post_as("no", &format!("/admin/v1/refunds/{id}/reject"), &why)
        .await
        .expect(200);
    let again = buyer.refund(&order).await.expect(202).text("id");
    buyer
        .act(&format!("/v1/orders/{order}/refunds/{again}/cancel"))
        .await
        .expect(200);
    let third = buyer.refund(&order).await.expect(202).text("id");
    let path = format!("/admin/v1/refunds/{third}/approve");
    let approved = operator.post_as("yes", &path, &why).await.expect(200);
    assert_eq!(approved.text("state"), "succeeded");
    assert_eq!(
        operator.post_as("yes", &path, &why).await.expect(200).body,
        approved.body
    );
    operator
        .post_as("twice", &path, &why)
        .await
        .refused(409, "commerce.wrong_state");
    assert_eq!(buyer.wallet().await, (10_000, 0));
    assert_eq!(buyer.order(&order).await["state"], "refunded");
    let audited = "SELECT count(*) FROM audit_log WHERE action IN ('approve_refund', 'reject_refund')";
    assert_eq!(site.stores.count(audited).await, 2);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_but_a_cent_of_a_course_goes_back_only_if_an_operator_says_so() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    let order = buyer.buy(&[&course]).await.expect(201).text("id");
    let path = format!("/v1/orders/{order}/refunds");
    let all_but_a_cent = json!({"amount": cny(PRICE - 1)});
    let preview = buyer.post(&format!("{path}/preview"), &all_but_a_cent).await;
    assert_eq!(preview.expect(200).json()["awaits_approval"], true);

    let body = json!({"reason": "too dear", "amount": cny(PRICE - 1)});
    let refund = buyer.post_as("most", &path, &body).await.expect(202);

    assert_eq!(refund.text("state"), "requested");
    assert_eq!(buyer.wallet().await, (10_000 - PRICE, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_few_refunds_of_a_rare_state_are_found_without_walking_through_all() {
    const MANY: &str = "INSERT INTO refunds SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'wallet', 1, \
        'succeeded', 1, now(), now() FROM generate_series(1, 5000); ANALYZE refunds";
    const RARE: &str = "EXPLAIN SELECT refund_id FROM refunds WHERE state = 'failed' \
        AND refund_id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' ORDER BY refund_id DESC LIMIT 20";
    let site = Site::start_with(&["commerce.refund_automatic_max=99"]).await;
    let mut database = site.stores.connect().await;
    let transaction = database.transaction().await.unwrap();
    transaction.batch_execute(MANY).await.unwrap();

    let plan = transaction.query(RARE, &[]).await.unwrap();

    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(
        plan.iter().any(|line| line.contains("refunds_of_state")),
        "{plan:?}"
    );
    transaction.rollback().await.unwrap();
    // What the operator asks for comes by it: those of one state, and of all.
    let buyer = site.user_with(10_000).await;
    let operator = site.operator().await;
    for price in [50, 100] {
        let course = site.course(price).await;
        let order = buyer.buy(&[&course]).await.expect(201).text("id");
        let _ = buyer.refund(&order).await;
    }
    for (query, found) in [
        ("", 2),
        ("?state=requested", 1),
        ("?state=succeeded", 1),
        ("?state=failed", 0),
    ] {
        let list = operator
            .get(&format!("/admin/v1/refunds{query}"))
            .await
            .expect(200);
        assert_eq!(list.ids().len(), found, "{query}");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_cannot_approve_their_own_refund() {
    let site = Site::start_with(&["commerce.refund_automatic_max=99"]).await;
    let operator = site.another_operator().await;
    operator.top_up(1_000).await;
    let course = site.course(100).await;
    let order = operator.buy(&[&course]).await.expect(201).text("id");
    let refund = operator.refund(&order).await.expect(202).text("id");

    operator
        .post_as(
            "own",
            &format!("/admin/v1/refunds/{refund}/approve"),
            &json!({"reason": "looked into"}),
        )
        .await
        .refused(403, "commerce.refund_same_operator");

    assert_eq!(operator.order(&order).await["state"], "fulfilled");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_took_goes_to_the_wallet_where_that_is_wanted_and_allowed() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let (order, courses) = paid_through_sandbox(&site, &buyer).await;
    let body = json!({"reason": "a", "destination": "wallet", "items": [{"course_id": courses[1]}]});

    buyer
        .post_as("one", &format!("/v1/orders/{order}/refunds"), &body)
        .await
        .expect(201);

    assert_eq!(buyer.wallet().await, (100, 0));
    assert_eq!(buyer.owned().await, [courses[0].clone()]);
    assert!(site.refunds_sent().await.is_empty());
    site.finish().await;

    let site = Site::start_with(&["commerce.refund_to_wallet=false"]).await;
    let buyer = site.user().await;
    let (order, _) = paid_through_sandbox(&site, &buyer).await;
    buyer
        .post_as(
            "one",
            &format!("/v1/orders/{order}/refunds"),
            &json!({"reason": "a", "destination": "wallet"}),
        )
        .await
        .refused(422, "commerce.refund_destination_unsupported");
    site.finish().await;
}
