//! Purchases with the wallet: what they do, what they refuse, and what repeating them does.

use serde_json::{Value, json};

use crate::harness::{CourseSpec, Site, User, cny, order, unique, unknown_course};

const PRICE: i64 = 1_990;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_purchase_moves_the_money_and_opens_the_course_at_once() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let buyer = site.user_with(10_000).await;
    let course = site
        .publish(
            &creator,
            &operator,
            &CourseSpec {
                price: PRICE,
                ..CourseSpec::default()
            },
        )
        .await;
    let lesson = site.client().get(&format!("/v1/courses/{course}")).await.json();
    let lesson = lesson["outline"][0]["lessons"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let bought = buyer.buy(&[&course]).await.expect(201);

    let order = bought.json();
    let id = bought.text("id");
    assert_eq!(
        bought.header("location"),
        Some(format!("/v1/orders/{id}").as_str())
    );
    assert_eq!(
        (&order["state"], &order["total"]),
        (&json!("fulfilled"), &cny(PRICE))
    );
    assert_eq!(order["payments"][0]["state"], "succeeded");
    // Whatever can be read right after the answer shows it.
    assert_eq!(buyer.order(&id).await, order);
    assert_eq!(buyer.wallet().await, (10_000 - PRICE, 0));
    assert_eq!(buyer.get("/v1/me/orders").await.expect(200).ids(), [id.as_str()]);
    let studied = buyer.get("/v1/me/courses").await.expect(200).json();
    assert_eq!(
        (&studied["data"][0]["id"], &studied["data"][0]["order_id"]),
        (&json!(course), &json!(id))
    );
    buyer
        .get(&format!("/v1/courses/{course}/lessons/{lesson}/content"))
        .await
        .expect(200);
    let entries = buyer.get("/v1/me/wallet").await.json()["entries"]["data"].clone();
    assert_eq!(
        (&entries[0]["amount"], &entries[0]["reference"]),
        (&json!(-PRICE), &json!(id))
    );
    assert_eq!(
        (&entries[1]["kind"], &entries[1]["amount"]),
        (&json!("top_up"), &json!(10_000))
    );
    // The creator's part and the platform's add up to the price.
    let share = "SELECT sum(amount)::bigint FROM ledger_entries WHERE account = 'creator_payable'";
    assert_eq!(site.stores.count(share).await, PRICE * 7 / 10);
    let balance = operator
        .get("/admin/v1/ledger/trial-balance")
        .await
        .expect(200)
        .json();
    assert_eq!(balance["balanced"], true);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_with_one_key_have_one_effect_and_one_answer() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    let key = unique("key-");
    let requests = (0..64).map(|_| async { buyer.buy_as(&key, &[&course]).await });

    let answers = futures_util::future::join_all(requests).await;

    // 409 says that the first one is still under way; nothing else than its answer is ever given.
    let done: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert!(
        answers.iter().all(|answer| [201, 409].contains(&answer.status)),
        "{answers:?}"
    );
    assert!(!done.is_empty());
    assert!(done.iter().all(|answer| answer.body == done[0].body), "{done:?}");
    let later = buyer.buy_as(&key, &[&course]).await.expect(201);
    assert_eq!(
        (&later.body, later.header("location")),
        (&done[0].body, done[0].header("location"))
    );
    assert_eq!(buyer.wallet().await, (10_000 - PRICE, 0));
    assert_eq!(site.stores.count("SELECT count(*) FROM orders").await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_course_is_charged_once_however_many_keys_race_for_it() {
    let site = Site::start().await;
    let buyer = site.user_with(100_000).await;
    let course = site.course(PRICE).await;
    let requests = (0..16).map(|_| async { buyer.buy(&[&course]).await });

    let answers = futures_util::future::join_all(requests).await;

    let bought = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(bought, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "commerce.course_already_owned");
    }
    assert_eq!(buyer.wallet().await, (100_000 - PRICE, 0));
    assert_eq!(buyer.owned().await, [course]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stands_for_one_body_of_one_caller_and_is_required() {
    let site = Site::start().await;
    let (ada, bob) = (site.user_with(10_000).await, site.user_with(10_000).await);
    let courses = site
        .courses(&[CourseSpec::default(), CourseSpec::default()])
        .await;
    let key = unique("key-");
    let body = order(&[&courses[0]], "wallet", None);
    ada.buy_as(&key, &[&courses[0]]).await.expect(201);

    ada.buy_as(&key, &[&courses[1]])
        .await
        .refused(422, "http.idempotency_key_reused");
    bob.buy_as(&key, &[&courses[1]]).await.expect(201);
    ada.post("/v1/orders", &body)
        .await
        .refused(400, "http.idempotency_key_missing");
    let too_long = "k".repeat(256);
    ada.post_as(&too_long, "/v1/orders", &body)
        .await
        .refused(400, "http.idempotency_key_malformed");
    let top_up = json!({"amount": cny(1), "provider": "sandbox", "payment_token": "tok_ok"});
    ada.post("/v1/me/wallet/top-ups", &top_up)
        .await
        .refused(400, "http.idempotency_key_missing");

    assert_eq!(ada.owned().await, [courses[0].clone()]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_repeated_for_its_key_and_leaves_the_money_alone() {
    let site = Site::start().await;
    let buyer = site.user_with(PRICE - 1).await;
    let course = site.course(PRICE).await;

    buyer
        .buy_as("first-try", &[&course])
        .await
        .refused(402, "commerce.insufficient_funds");

    assert_eq!(buyer.wallet().await, (PRICE - 1, 0));
    assert!(buyer.owned().await.is_empty());
    assert!(buyer.get("/v1/me/orders").await.ids().is_empty());
    buyer.top_up(1).await;
    buyer.buy_as("second-try", &[&course]).await.expect(201);
    buyer
        .buy(&[&course])
        .await
        .refused(409, "commerce.course_already_owned");
    assert_eq!(buyer.wallet().await, (0, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_course_needs_no_money() {
    let site = Site::start().await;
    let buyer = site.user().await;
    let course = site.course(0).await;

    let order = buyer.buy(&[&course]).await.expect(201).json();

    assert_eq!((&order["state"], &order["total"]), (&json!("fulfilled"), &cny(0)));
    assert_eq!(buyer.owned().await, [course]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_is_priced_as_it_is_sold_and_bought_as_a_whole() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let price = |price| CourseSpec {
        price,
        ..CourseSpec::default()
    };
    let courses = site.courses(&[price(1_000), price(2_500), price(9_000)]).await;
    let [cheap, medium, dear] = [&courses[0], &courses[1], &courses[2]];
    let quote = json!({"items": [{"course_id": cheap}, {"course_id": medium}]});

    let quoted = buyer.post("/v1/quotes", &quote).await.expect(200).json();
    buyer
        .buy(&[cheap, medium, dear])
        .await
        .refused(402, "commerce.insufficient_funds");
    let bought = buyer.buy(&[cheap, medium]).await.expect(201).json();
    buyer
        .buy(&[medium, dear])
        .await
        .refused(409, "commerce.course_already_owned");

    assert_eq!((&quoted["total"], &bought["total"]), (&cny(3_500), &cny(3_500)));
    assert_eq!(quoted["items"][0]["owned"], false);
    let quoted = buyer.post("/v1/quotes", &quote).await.expect(200).json();
    assert_eq!(quoted["items"][0]["owned"], true);
    assert_eq!(buyer.wallet().await, (6_500, 0));
    let mut owned = buyer.owned().await;
    owned.sort_unstable();
    let mut expected = vec![cheap.clone(), medium.clone()];
    expected.sort_unstable();
    assert_eq!(owned, expected);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_binds_the_price_that_was_agreed_to() {
    let site = Site::start().await;
    let (buyer, course) = (site.user_with(10_000).await, site.course(PRICE).await);
    let mut body = order(&[&course], "wallet", None);
    let buy = async |body: &Value| buyer.post_as(&unique("key-"), "/v1/orders", body).await;

    body["expected_total"] = cny(PRICE - 1);
    buy(&body).await.refused(409, "commerce.price_changed");
    assert_eq!(buyer.wallet().await, (10_000, 0));
    body["expected_total"] = cny(PRICE);
    let bought = buy(&body).await.expect(201).json();

    assert_eq!(bought["total"], cny(PRICE));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_buys_a_course_of_their_own() {
    let site = Site::start().await;
    let (creator, operator) = (site.user_with(10_000).await, site.operator().await);
    let course = site.publish(&creator, &operator, &CourseSpec::default()).await;

    let items = json!({"items": [{"course_id": course}]});
    let quote = creator.post("/v1/quotes", &items).await.expect(200).json();
    assert_eq!(quote["items"][0]["owned"], true);
    creator.buy(&[&course]).await.refused(409, "commerce.own_course");

    assert_eq!(creator.wallet().await, (10_000, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carts_that_cannot_be_sold_are_refused() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(100).await;
    let unknown = unknown_course();
    let try_body = async |body: Value| buyer.post_as(&unique("key-"), "/v1/orders", &body).await;
    let mut with_coupon = order(&[&course], "wallet", None);
    with_coupon["coupon_code"] = json!("HALF");
    let many: Vec<String> = (0..21).map(|_| course.clone()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();

    let refusals = [
        (order(&[], "wallet", None), "commerce.order_empty"),
        (
            order(&[&course, &course], "wallet", None),
            "commerce.duplicate_course",
        ),
        (
            order(&[&course, &unknown], "wallet", None),
            "commerce.course_not_for_sale",
        ),
        (order(&many, "wallet", None), "commerce.too_many_lines"),
        (
            order(&[&course], "barter", None),
            "commerce.payment_method_unknown",
        ),
        (
            order(&[&course], "sandbox", None),
            "commerce.payment_token_required",
        ),
        (with_coupon, "commerce.coupon_unknown"),
    ];
    for (body, code) in refusals {
        try_body(body).await.refused(422, code);
    }
    let user_id = json!({"items": [{"course_id": buyer.id}], "payment_method": "wallet"});
    try_body(user_id).await.expect(400);

    assert_eq!(buyer.wallet().await, (10_000, 0));
    assert_eq!(site.stores.count("SELECT count(*) FROM orders").await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_that_are_no_money_are_refused_wherever_they_enter() {
    let site = Site::start().await;
    let user = site.user().await;
    let top_up = async |amount: Value| {
        let body = json!({"amount": amount, "provider": "sandbox", "payment_token": "tok_ok"});
        user.post_as(&unique("key-"), "/v1/me/wallet/top-ups", &body)
            .await
    };
    let course = async |price: Value| user.post("/v1/courses", &json!({"price": price})).await;

    for amount in [
        json!(-1),
        json!(1.5),
        json!("100"),
        json!(null),
        json!(100_000_000_001_i64),
        json!(1e30),
    ] {
        let money = json!({"amount": amount, "currency": "CNY"});
        let refused = top_up(money.clone()).await.expect(400).json();
        assert!(
            refused["errors"][0]["pointer"]
                .as_str()
                .unwrap()
                .starts_with("/amount"),
            "{refused}"
        );
        course(money).await.expect(400);
    }
    let overflow = r#"{"amount": {"amount": 9223372036854775808, "currency": "CNY"}, "provider": "sandbox", "payment_token": "tok_ok"}"#;
    let call = user.call("POST", "/v1/me/wallet/top-ups").key("overflow");
    call.bytes(overflow)
        .header("content-type", "application/json")
        .send()
        .await
        .expect(400);
    top_up(json!({"amount": 1, "currency": "XYZ"})).await.expect(400);
    top_up(json!({"amount": 1})).await.expect(400);
    top_up(json!({"amount": 1, "currency": "CNY", "scale": 2}))
        .await
        .expect(400);
    top_up(cny(0)).await.refused(422, "commerce.amount_out_of_range");
    top_up(cny(5_000_001))
        .await
        .refused(422, "commerce.amount_out_of_range");
    let dollars = json!({"amount": 100, "currency": "USD"});
    top_up(dollars.clone())
        .await
        .refused(422, "commerce.currency_unsupported");
    course(dollars)
        .await
        .refused(422, "catalog.currency_not_accepted");

    assert_eq!(user.wallet().await, (0, 0));
    assert!(site.charges().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_order_does_not_exist() {
    let site = Site::start().await;
    let (ada, eve) = (site.user_with(10_000).await, site.user_with(10_000).await);
    let course = site.course(PRICE).await;
    let id = ada.buy(&[&course]).await.expect(201).text("id");
    let top_up = ada.ask_top_up(100, "tok_ok").await.expect(202).text("id");

    eve.get(&format!("/v1/orders/{id}"))
        .await
        .refused(404, "commerce.order_not_found");
    eve.act(&format!("/v1/orders/{id}/cancel"))
        .await
        .refused(404, "commerce.order_not_found");
    eve.refund(&id).await.refused(404, "commerce.order_not_found");
    eve.get(&format!("/v1/me/wallet/top-ups/{top_up}"))
        .await
        .refused(404, "commerce.top_up_not_found");

    assert!(eve.get("/v1/me/orders").await.ids().is_empty());
    assert_eq!(ada.order(&id).await["state"], "fulfilled");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_orders_and_entries_have_pages_without_gaps_or_repetitions() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let specs = [CourseSpec {
        price: 10,
        ..CourseSpec::default()
    }; 7];
    let mut bought = Vec::new();
    for course in site.courses(&specs).await {
        bought.push(buyer.buy(&[&course]).await.expect(201).text("id"));
    }
    bought.reverse();

    assert_eq!(pages(&buyer, "/v1/me/orders", "id", |body| body).await, bought);
    let entries = pages(&buyer, "/v1/me/wallet", "reference", |body| {
        body["entries"].clone()
    })
    .await;
    assert_eq!(entries.len(), 8, "seven purchases and a top-up");
    assert_eq!(entries[..7], bought);
    assert_eq!(
        pages(&buyer, "/v1/me/courses", "order_id", |body| body)
            .await
            .len(),
        7
    );
    buyer
        .get("/v1/me/orders?after=zzz")
        .await
        .refused(400, "http.malformed_cursor");
    site.finish().await;
}

/// One field of all entries, read in pages of three.
async fn pages(user: &User, path: &str, field: &str, page_of: impl Fn(Value) -> Value) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = page_of(
            user.get(&format!("{path}?limit=3{after}"))
                .await
                .expect(200)
                .json(),
        );
        let entries = page["data"].as_array().unwrap();
        all.extend(
            entries
                .iter()
                .map(|entry| entry[field].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            return all;
        };
        assert_eq!(entries.len(), 3);
        after = format!("&after={next}");
    }
}
