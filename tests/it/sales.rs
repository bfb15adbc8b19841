//! Flash sales: never more sold than there is, one to each buyer, and every unpaid slot back exactly once.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Site, User, cny, unique, until};

const LIST_PRICE: i64 = 19_900;
const PRICE: i64 = 5_000;

/// What a sale from now on is made with.
fn terms(course: &str, stock: u32) -> Value {
    json!({
        "course_id": course, "price": cny(PRICE), "stock": stock,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z", "reason": "for the fair",
    })
}

/// A course and a sale of it with so many slots.
async fn sale(site: &Site, stock: u32) -> (String, String) {
    let course = site.course(LIST_PRICE).await;
    let made = site
        .operator()
        .await
        .post("/v1/sales", &terms(&course, stock))
        .await
        .expect(201);
    (course, made.text("id"))
}

/// An order of a course in a sale.
fn cart(course: &str, sale: &str, method: &str, token: Option<&str>) -> Value {
    let mut body = json!({
        "items": [{"course_id": course, "sale_id": sale}], "payment_method": method,
    });
    if let Some(token) = token {
        body["payment_token"] = token.into();
    }
    body
}

async fn buy(buyer: &User, (course, sale): &(String, String)) -> Answer {
    let body = cart(course, sale, "wallet", None);
    buyer.post_as(&unique("key-"), "/v1/orders", &body).await
}

async fn order_through_sandbox(buyer: &User, (course, sale): &(String, String), token: &str) -> Answer {
    let body = cart(course, sale, "sandbox", Some(token));
    buyer.post_as(&unique("key-"), "/v1/orders", &body).await
}

/// Waits until a sale has sold and still has so many slots.
async fn counts(site: &Site, sale: &str, sold: u32, available: u32) {
    until("the slots are settled", async || {
        let shown = site.client().get(&format!("/v1/sales/{sale}")).await.expect(200);
        let shown = shown.json();
        (shown["sold"] == sold && shown["available"] == available).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_buyers_at_once_as_many_buy_as_there_are_slots() {
    let site = Site::start().await;
    let sale = sale(&site, 3).await;
    let mut buyers = Vec::new();
    for _ in 0..12 {
        buyers.push(site.user_with(10_000).await);
    }

    let answers = futures_util::future::join_all(buyers.iter().map(|buyer| buy(buyer, &sale))).await;

    let bought: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(bought.len(), 3);
    for order in bought {
        let order = order.json();
        assert_eq!(order["total"], cny(PRICE));
        assert_eq!(order["items"][0]["price"], cny(LIST_PRICE));
        assert_eq!(order["items"][0]["discount"], cny(LIST_PRICE - PRICE));
    }
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "commerce.sale_sold_out");
    }
    for buyer in &buyers {
        let spent = 10_000 - buyer.wallet().await.0;
        let owned = i64::try_from(buyer.owned().await.len()).unwrap();
        assert_eq!(spent, owned * PRICE, "nobody pays without a slot");
    }
    counts(&site, &sale.1, 3, 0).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_buys_once_in_a_sale_and_the_same_key_is_answered_alike() {
    let site = Site::start().await;
    let sale = sale(&site, 5).await;
    let buyer = site.user_with(30_000).await;
    let (key, body) = (unique("key-"), cart(&sale.0, &sale.1, "wallet", None));
    let first = buyer.post_as(&key, "/v1/orders", &body).await.expect(201);

    buy(&buyer, &sale).await.refused(409, "commerce.sale_slot_sold");
    let again = buyer.post_as(&key, "/v1/orders", &body).await.expect(201);

    assert_eq!(again.body, first.body);
    assert_eq!(buyer.wallet().await.0, 30_000 - PRICE);
    counts(&site, &sale.1, 1, 4).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaid_slot_comes_back_once() {
    let mut site = Site::start().await;
    let sale = sale(&site, 1).await;
    let (first, second, third) = (
        site.user().await,
        site.user_with(10_000).await,
        site.user_with(10_000).await,
    );
    site.stop_sandbox();
    let order = order_through_sandbox(&first, &sale, "tok_declined")
        .await
        .expect(202)
        .text("id");
    order_through_sandbox(&first, &sale, "tok_ok")
        .await
        .refused(409, "commerce.sale_slot_reserved");
    buy(&second, &sale).await.refused(409, "commerce.sale_sold_out");

    site.start_sandbox().await;
    first.order_becomes(&order, "cancelled").await;
    counts(&site, &sale.1, 0, 1).await;

    buy(&second, &sale).await.expect(201);
    buy(&third, &sale).await.refused(409, "commerce.sale_sold_out");
    counts(&site, &sale.1, 1, 0).await;
    let released = "SELECT count(*) FROM sale_slots WHERE state = 'released'";
    assert_eq!(site.stores.count(released).await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_finds_its_order_whatever_became_of_the_slot_and_the_sale() {
    let site = Site::start().await;
    let (first, next) = (site.user().await, site.user_with(10_000).await);
    let course = site.course(LIST_PRICE).await;
    let mut briefly = terms(&course, 1);
    let ends_at = "SELECT (extract(epoch FROM now() + interval '6 seconds') * 1000)::bigint";
    let ends_at = site.stores.count(ends_at).await;
    briefly["ends_at"] = json!(lyceum_kernel::Timestamp::from_millis(ends_at));
    let made = site.operator().await.post("/v1/sales", &briefly).await;
    let sale = (course, made.expect(201).text("id"));
    let (key, body) = (
        unique("key-"),
        cart(&sale.0, &sale.1, "sandbox", Some("tok_declined")),
    );
    let placed = first.post_as(&key, "/v1/orders", &body).await.expect(202);
    first.order_becomes(&placed.text("id"), "cancelled").await;
    counts(&site, &sale.1, 0, 1).await;
    buy(&next, &sale).await.expect(201);

    let again = first.post_as(&key, "/v1/orders", &body).await.expect(202);
    assert_eq!(again.body, placed.body, "it is sold out");

    until("the sale is over", async || {
        let shown = site.client().get(&format!("/v1/sales/{}", sale.1)).await;
        (shown.expect(200).json()["state"] == "ended").then_some(())
    })
    .await;
    let again = first.post_as(&key, "/v1/orders", &body).await.expect(202);
    assert_eq!(again.body, placed.body, "it is over");
    counts(&site, &sale.1, 1, 0).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_refused_gives_its_slot_back_at_once() {
    let site = Site::start().await;
    let sale = sale(&site, 1).await;
    let (poor, rich) = (site.user().await, site.user_with(10_000).await);

    buy(&poor, &sale)
        .await
        .refused(402, "commerce.insufficient_funds");
    counts(&site, &sale.1, 0, 1).await;

    buy(&rich, &sale).await.expect(201);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_arrives_after_the_slot_was_sold_to_somebody_else_goes_back() {
    let mut site = Site::start_with(&["commerce.order_ttl_s=1"]).await;
    let sale = sale(&site, 1).await;
    let (late, next) = (site.user().await, site.user_with(10_000).await);
    site.stop_sandbox();
    let order = order_through_sandbox(&late, &sale, "tok_ok")
        .await
        .expect(202)
        .json();
    let id = order["id"].as_str().unwrap();
    let payment = order["payments"][0]["id"].as_str().unwrap();
    let expires_at = order["expires_at"].as_str().unwrap();
    let over = format!("SELECT (now() > '{expires_at}'::timestamptz)::int::bigint");
    until("its time is over", async || {
        (site.stores.count(&over).await == 1).then_some(())
    })
    .await;
    site.start_sandbox().await;
    late.order_becomes(id, "expired").await;
    counts(&site, &sale.1, 0, 1).await;
    buy(&next, &sale).await.expect(201);

    // The provider captures although it had said that it would not.
    let charge = json!({
        "amount": PRICE, "currency": "CNY", "token": "tok_ok", "reference": payment,
        "callback_url": format!("http://{}/callbacks/sandbox", site.address),
    });
    Client::new(site.sandbox_address())
        .post_as("late.1", "/v1/charges", &charge)
        .await
        .expect(200);

    late.order_becomes(id, "refunded").await;
    assert!(late.owned().await.is_empty());
    assert_eq!(next.owned().await, [sale.0.as_str()]);
    counts(&site, &sale.1, 1, 0).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timer_of_a_slot_asks_its_buyer_and_changes_nothing_that_is_settled() {
    let site = Site::start_with(&["commerce.reservation_ttl_s=1"]).await;
    let sale = sale(&site, 2).await;
    let (rich, poor) = (site.user_with(10_000).await, site.user().await);
    buy(&rich, &sale).await.expect(201);
    buy(&poor, &sale)
        .await
        .refused(402, "commerce.insufficient_funds");
    counts(&site, &sale.1, 1, 1).await;

    until("both timers have asked", async || {
        let timers = "SELECT count(*) FROM outbox WHERE payload->>'type' = 'check_reservation'";
        (site.stores.count(timers).await == 0).then_some(())
    })
    .await;

    counts(&site, &sale.1, 1, 1).await;
    let dead = "SELECT count(*) FROM dead_letters";
    assert_eq!(site.stores.count(dead).await, 0);
    let released = "SELECT count(*) FROM sale_slots WHERE state = 'released'";
    assert_eq!(site.stores.count(released).await, 1, "it came back once");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_is_made_by_the_creator_or_an_operator_below_the_list_price() {
    let site = Site::start().await;
    let (creator, operator, stranger) = (site.user().await, site.operator().await, site.user().await);
    let course = site
        .publish(&creator, &operator, &crate::harness::CourseSpec::default())
        .await;
    let with = |change: Value| {
        let mut body = terms(&course, 1);
        body["price"] = cny(1_000);
        for (key, value) in change.as_object().unwrap() {
            body[key.as_str()] = value.clone();
        }
        body
    };

    stranger
        .post("/v1/sales", &with(json!({})))
        .await
        .refused(403, "http.forbidden");
    for (change, code) in [
        (json!({"price": cny(1_990)}), "commerce.sale_price_invalid"),
        (json!({"stock": 0}), "commerce.sale_stock_invalid"),
        (json!({"stock": 10_001}), "commerce.sale_stock_invalid"),
        (
            json!({"ends_at": "2020-01-01T00:00:00Z"}),
            "commerce.sale_time_invalid",
        ),
        (
            json!({"course_id": crate::harness::unknown_course()}),
            "commerce.course_not_for_sale",
        ),
    ] {
        creator.post("/v1/sales", &with(change)).await.refused(422, code);
    }

    // An operator may as well, says why, and is on record.
    let mut unexplained = with(json!({}));
    unexplained.as_object_mut().unwrap().remove("reason");
    operator
        .post("/v1/sales", &unexplained)
        .await
        .refused(422, "commerce.reason_length");
    operator.post("/v1/sales", &with(json!({}))).await.expect(201);

    let key = unique("key-");
    let made = creator
        .post_as(&key, "/v1/sales", &with(json!({})))
        .await
        .expect(201);
    let again = creator
        .post_as(&key, "/v1/sales", &with(json!({})))
        .await
        .expect(201);
    assert_eq!(made.body, again.body);
    let id = made.text("id");
    let shown = site.client().get(&format!("/v1/sales/{id}")).await.expect(200);
    assert_eq!(shown.json()["state"], "open");
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'open_sale' AND reason = 'for the fair'";
    assert_eq!(
        site.stores.count(audited).await,
        1,
        "what is one's own is nobody's business"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_and_after_its_time_and_for_another_course_a_sale_refuses() {
    let site = Site::start().await;
    let course = site.course(LIST_PRICE).await;
    let operator = site.operator().await;
    let buyer = site.user_with(10_000).await;
    let mut later = terms(&course, 1);
    later["starts_at"] = json!("2099-01-01T00:00:00Z");
    let later = operator.post("/v1/sales", &later).await.expect(201).text("id");
    let another = sale(&site, 1).await;

    buy(&buyer, &(course.clone(), later))
        .await
        .refused(409, "commerce.sale_not_started");
    buy(&buyer, &(course, another.1))
        .await
        .refused(422, "commerce.sale_of_another_course");
    buy(&buyer, &(another.0, "sal_00000000000000000000000000".to_owned()))
        .await
        .refused(404, "commerce.sale_not_found");
    assert_eq!(buyer.wallet().await.0, 10_000);
    site.finish().await;
}
