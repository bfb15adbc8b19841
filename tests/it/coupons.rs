//! Coupons: no more uses than were promised, and every unpaid use back exactly once.

mod terms;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::{Value, json};

use crate::harness::{Answer, CourseSpec, Site, User, cny, order, unique, until};

const PRICE: i64 = 10_000;

/// What a coupon from now on is issued with: once for each buyer, beside no other.
fn terms(code: &str, benefit: &Value, limit: u32) -> Value {
    json!({
        "code": code, "benefit": benefit, "limit": limit,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
    })
}

fn with(mut terms: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        terms[name.as_str()] = value.clone();
    }
    terms
}

fn fixed(off: i64) -> Value {
    json!({"fixed": {"off": cny(off)}})
}

fn percent(off_bps: u16) -> Value {
    json!({"percent": {"off_bps": off_bps}})
}

/// Has the platform issue a coupon.
async fn issued(site: &Site, terms: &Value) -> String {
    let operator = site.operator().await;
    let issued = operator.post("/admin/v1/coupons", terms).await;
    issued.expect(201).text("id")
}

/// An order of courses with coupons.
fn cart(courses: &[&str], codes: &[&str], method: &str, token: Option<&str>) -> Value {
    with(order(courses, method, token), &json!({"coupon_codes": codes}))
}

async fn buy(buyer: &User, courses: &[&str], codes: &[&str]) -> Answer {
    let body = cart(courses, codes, "wallet", None);
    buyer.post_as(&unique("key-"), "/v1/orders", &body).await
}

async fn order_through_sandbox(buyer: &User, course: &str, code: &str, token: &str) -> Answer {
    let body = cart(&[course], &[code], "sandbox", Some(token));
    buyer.post_as(&unique("key-"), "/v1/orders", &body).await
}

async fn quote(buyer: &User, courses: &[&str], codes: &[&str]) -> Answer {
    let items: Vec<Value> = courses.iter().map(|id| json!({"course_id": id})).collect();
    let body = json!({"items": items, "coupon_codes": codes});
    buyer.post("/v1/quotes", &body).await
}

/// Waits until so many uses of a coupon of the platform are kept and spent.
async fn counts(site: &Site, coupon: &str, reserved: u32, redeemed: u32) {
    let operator = site.operator().await;
    until("the uses are settled", async || {
        let shown = operator
            .get(&format!("/admin/v1/coupons/{coupon}"))
            .await
            .expect(200);
        let shown = shown.json();
        (shown["reserved"] == reserved && shown["redeemed"] == redeemed).then_some(())
    })
    .await;
}

async fn uses(site: &Site, state: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM coupon_uses WHERE state = '{state}'");
    site.stores.count(&sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_buyers_at_once_one_uses_a_coupon_of_one_use() {
    let site = Site::start().await;
    let course = site.course(PRICE).await;
    let coupon = issued(&site, &terms("ONLY-ONE", &percent(10_000), 1)).await;
    let buyers = iter(0..200).map(|_| site.user()).buffer_unordered(8);
    let buyers: Vec<User> = buyers.collect().await;

    let body = &cart(&[&course], &["only-one"], "wallet", None);
    let requests = buyers.iter().map(|buyer| async move {
        let key = unique("key-");
        // Whoever finds the room full comes again, as they are told.
        until("there is room", async || {
            let answer = buyer.post_as(&key, "/v1/orders", body).await;
            (answer.status != 503).then_some(answer)
        })
        .await
    });
    let answers = futures_util::future::join_all(requests).await;

    let (bought, refused): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(bought.len(), 1);
    assert_eq!(bought[0].json()["total"], cny(0));
    assert_eq!(bought[0].json()["coupon_ids"], json!([coupon]));
    for answer in refused {
        answer.refused(409, "commerce.coupon_exhausted");
    }
    counts(&site, &coupon, 0, 1).await;
    assert_eq!(site.stores.count("SELECT count(*) FROM orders").await, 1);
    assert_eq!(uses(&site, "redeemed").await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_cancelled_order_comes_back_once() {
    let mut site = Site::start().await;
    let course = site.course(PRICE).await;
    let coupon = issued(&site, &terms("BACK-1", &fixed(1_000), 1)).await;
    let (first, second) = (site.user().await, site.user_with(PRICE).await);
    site.stop_sandbox();
    let placed = order_through_sandbox(&first, &course, "BACK-1", "tok_declined").await;
    let placed = placed.expect(202).text("id");
    counts(&site, &coupon, 1, 0).await;
    buy(&second, &[&course], &["BACK-1"])
        .await
        .refused(409, "commerce.coupon_exhausted");

    for _ in 0..2 {
        first
            .act(&format!("/v1/orders/{placed}/cancel"))
            .await
            .expect(202);
    }
    site.start_sandbox().await;
    first.order_becomes(&placed, "cancelled").await;
    counts(&site, &coupon, 0, 0).await;

    let bought = buy(&second, &[&course], &["BACK-1"]).await.expect(201).json();
    assert_eq!(bought["total"], cny(PRICE - 1_000));
    counts(&site, &coupon, 0, 1).await;
    assert_eq!(uses(&site, "released").await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_expires_or_is_refused_leaves_no_use_behind() {
    let mut site = Site::start_with(&["commerce.order_ttl_s=1", "commerce.reservation_ttl_s=1"]).await;
    let course = site.course(PRICE).await;
    let coupon = issued(&site, &terms("TIMELY", &fixed(1_000), 1)).await;
    let (poor, slow, rich) = (site.user().await, site.user().await, site.user_with(PRICE).await);

    buy(&poor, &[&course], &["TIMELY"])
        .await
        .refused(402, "commerce.insufficient_funds");
    counts(&site, &coupon, 0, 0).await;
    site.stop_sandbox();
    let placed = order_through_sandbox(&slow, &course, "TIMELY", "tok_ok").await;
    let placed = placed.expect(202).json();
    let expires_at = placed["expires_at"].as_str().unwrap();
    let over = format!("SELECT (now() > '{expires_at}'::timestamptz)::int::bigint");
    until("its time is over", async || {
        (site.stores.count(&over).await == 1).then_some(())
    })
    .await;
    site.start_sandbox().await;
    let placed = placed["id"].as_str().unwrap();
    let ended = until("the order has ended", async || {
        let state = slow.order(placed).await["state"].clone();
        (state != "pending").then_some(state)
    })
    .await;

    assert_eq!(ended, "expired");
    counts(&site, &coupon, 0, 0).await;
    buy(&rich, &[&course], &["TIMELY"]).await.expect(201);
    until("every timer has asked", async || {
        let timers = "SELECT count(*) FROM outbox WHERE payload->>'type' = 'check_reservation'";
        (site.stores.count(timers).await == 0).then_some(())
    })
    .await;
    counts(&site, &coupon, 0, 1).await;
    assert_eq!(uses(&site, "released").await, 2, "each came back once");
    assert_eq!(site.stores.count("SELECT count(*) FROM dead_letters").await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_costs_more_than_was_quoted_is_refused_and_its_use_comes_back() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let spec = CourseSpec {
        price: PRICE,
        ..CourseSpec::default()
    };
    let course = site.publish(&creator, &operator, &spec).await;
    let coupon = issued(&site, &terms("TENTH", &percent(1_000), 1)).await;
    let buyer = site.user_with(2 * PRICE).await;
    let quoted = async || quote(&buyer, &[&course], &["TENTH"]).await.expect(200).json()["total"].clone();
    let agreed = quoted().await;
    assert_eq!(agreed, cny(PRICE - 1_000));

    let path = format!("/v1/courses/{course}");
    let dearer = json!({"price": cny(PRICE + 1_000)});
    creator
        .call("PATCH", &path)
        .json(&dearer)
        .send()
        .await
        .expect(200);
    creator.act(&format!("{path}/publish")).await.expect(200);
    let now = until("it has become dearer", async || {
        let total = quoted().await;
        (total != agreed).then_some(total)
    })
    .await;
    let mut body = cart(&[&course], &["TENTH"], "wallet", None);
    body["expected_total"] = agreed;
    buyer
        .post_as(&unique("key-"), "/v1/orders", &body)
        .await
        .refused(409, "commerce.price_changed");
    counts(&site, &coupon, 0, 0).await;
    body["expected_total"] = now;
    let bought = buyer.post_as(&unique("key-"), "/v1/orders", &body).await;

    assert_eq!(bought.expect(201).json()["total"], cny(9_900));
    counts(&site, &coupon, 0, 1).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_that_there_are_not_are_refused_and_too_many_of_them_stop_whoever_guesses() {
    let site = Site::start_with(&["http.rate.guess.requests=3", "http.rate.guess.window_s=3600"]).await;
    let course = site.course(PRICE).await;
    issued(&site, &terms("RIGHT", &fixed(1_000), 5)).await;
    let (guesser, other) = (site.user_with(PRICE).await, site.user_with(PRICE).await);

    for wrong in ["WRONG", "no", "优惠券"] {
        let refused = buy(&guesser, &[&course], &[wrong]).await;
        let refused = refused.refused(422, "commerce.coupon_unknown");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/coupon_codes/0");
    }
    quote(&guesser, &[&course], &["RIGHT"])
        .await
        .refused(429, "http.rate_limited");
    buy(&guesser, &[&course], &["RIGHT"])
        .await
        .refused(429, "http.rate_limited");

    buy(&other, &[&course], &["right"]).await.expect(201);
    assert_eq!(guesser.wallet().await.0, PRICE);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_key_is_answered_alike_and_uses_the_coupon_once() {
    let site = Site::start().await;
    let course = site.course(PRICE).await;
    let thrice = json!({"per_user": 3});
    let coupon = issued(&site, &with(terms("THRICE", &fixed(1_000), 3), &thrice)).await;
    let buyer = site.user_with(PRICE).await;
    let (key, mut body) = (unique("key-"), cart(&[&course], &["THRICE"], "wallet", None));

    let requests = (0..16).map(|_| buyer.post_as(&key, "/v1/orders", &body));
    let answers = futures_util::future::join_all(requests).await;
    // Those that came while the first was under way may have found the others' uses kept; they ask again.
    let first = answers.iter().find(|answer| answer.status == 201).unwrap();
    let path = format!("/admin/v1/coupons/{coupon}/disable");
    site.operator().await.act(&path).await.expect(200);
    for _ in 0..3 {
        let again = buyer.post_as(&key, "/v1/orders", &body).await.expect(201);
        assert_eq!(again.body, first.body);
    }
    body["coupon_codes"] = json!(["OTHER"]);
    buyer
        .post_as(&key, "/v1/orders", &body)
        .await
        .refused(422, "http.idempotency_key_reused");

    counts(&site, &coupon, 0, 1).await;
    assert_eq!(buyer.wallet().await.0, 1_000);
    assert_eq!(site.stores.count("SELECT count(*) FROM orders").await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_returns_what_was_paid_and_the_use_stays_spent() {
    let site = Site::start().await;
    let spec = CourseSpec {
        price: PRICE,
        ..CourseSpec::default()
    };
    let courses = site.courses(&[spec, spec]).await;
    let courses: Vec<&str> = courses.iter().map(String::as_str).collect();
    let capped = json!({"percent": {"off_bps": 5_000, "at_most": cny(3_000)}});
    let coupon = issued(&site, &terms("CAPPED", &capped, 1)).await;
    let buyer = site.user_with(2 * PRICE).await;
    let placed = buy(&buyer, &courses, &["CAPPED"]).await.expect(201).json();
    assert_eq!(placed["total"], cny(2 * PRICE - 3_000));
    let placed = placed["id"].as_str().unwrap();

    let path = format!("/v1/orders/{placed}/refunds");
    let one = json!({"reason": "not this one", "items": [{"course_id": courses[0]}]});
    buyer.post_as(&unique("refund-"), &path, &one).await.expect(201);
    assert_eq!(buyer.wallet().await.0, 3_000 + PRICE - 1_500);
    buyer.refund(placed).await.expect(201);

    assert_eq!(buyer.wallet().await.0, 2 * PRICE);
    counts(&site, &coupon, 0, 1).await;
    let other = site.user_with(2 * PRICE).await;
    buy(&other, &courses, &["CAPPED"])
        .await
        .refused(409, "commerce.coupon_exhausted");
    site.finish().await;
}
