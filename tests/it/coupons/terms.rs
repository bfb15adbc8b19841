//! What a coupon promises: to whom, off what, when, beside what; and who may promise it.

use std::time::Duration;

use lyceum_kernel::Timestamp;
use lyceum_runtime::clock;
use serde_json::{Value, json};

use super::{PRICE, buy, counts, fixed, issued, percent, quote, terms, uses, with};
use crate::harness::{CourseSpec, Site, cny, order, unique, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coupons_serve_together_only_if_both_may_and_one_is_of_the_creator() {
    let site = Site::start().await;
    let course = site.course(PRICE).await;
    let operator = site.operator().await;
    let buyer = site.user_with(PRICE).await;
    let beside = json!({"stackable": true});
    issued(&site, &with(terms("HALF", &percent(5_000), 9), &beside)).await;
    issued(&site, &with(terms("TENTH", &percent(1_000), 9), &beside)).await;
    for (code, stackable) in [("MINE", true), ("ALONE", false)] {
        let terms = with(terms(code, &fixed(2_000), 9), &json!({"stackable": stackable}));
        operator.post("/v1/coupons", &terms).await.expect(201);
    }

    for codes in [
        &["HALF", "TENTH"][..],
        &["HALF", "HALF"],
        &["ALONE", "HALF"],
        &["HALF", "ALONE"],
        &["MINE", "ALONE"],
        &["MINE", "HALF", "TENTH"],
    ] {
        for refused in [
            quote(&buyer, &[&course], codes).await,
            buy(&buyer, &[&course], codes).await,
        ] {
            refused.refused(422, "commerce.coupon_not_stackable");
        }
    }
    until("nothing is kept", async || {
        (uses(&site, "reserved").await == 0).then_some(())
    })
    .await;

    // The creator's comes first, however they are named: 20.00 off, then half of what is left.
    let quoted = quote(&buyer, &[&course], &["half", "mine"])
        .await
        .expect(200)
        .json();
    assert_eq!(
        quoted["coupons"],
        json!([{"code": "MINE", "off": cny(2_000)}, {"code": "HALF", "off": cny(4_000)}])
    );
    assert_eq!(quoted["items"][0]["discount"], cny(6_000));
    assert_eq!(quoted["total"], cny(4_000));
    let mut body = with(
        order(&[&course], "wallet", None),
        &json!({"coupon_code": "half", "coupon_codes": ["mine"]}),
    );
    body["expected_total"] = quoted["total"].clone();
    let bought = buyer.post_as(&unique("key-"), "/v1/orders", &body).await;
    assert_eq!(bought.expect(201).json()["total"], cny(4_000));
    assert_eq!(buyer.wallet().await.0, PRICE - 4_000);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_and_after_its_time_and_once_disabled_a_coupon_refuses() {
    let site = Site::start().await;
    let course = site.course(PRICE).await;
    let (operator, buyer) = (site.operator().await, site.user_with(PRICE).await);
    let ends_at: Timestamp = clock::now().plus(Duration::from_secs(3));
    let soon_over = with(terms("OVER", &fixed(1), 1), &json!({"ends_at": ends_at}));
    issued(&site, &soon_over).await;
    let later = json!({"starts_at": "2099-01-01T00:00:00Z"});
    issued(&site, &with(terms("LATER", &fixed(1), 1), &later)).await;
    let gone = issued(&site, &terms("GONE", &fixed(1), 1)).await;
    for _ in 0..2 {
        let path = format!("/admin/v1/coupons/{gone}/disable");
        let disabled = operator.act(&path).await.expect(200);
        assert_eq!(disabled.text("state"), "disabled");
    }
    until("its time is over", async || {
        (clock::now() >= ends_at).then_some(())
    })
    .await;

    for (code, refusal) in [
        ("OVER", "commerce.coupon_expired"),
        ("LATER", "commerce.coupon_not_started"),
        ("GONE", "commerce.coupon_disabled"),
    ] {
        let refused = quote(&buyer, &[&course], &[code]).await.refused(422, refusal);
        assert_eq!(refused.json()["errors"][0]["pointer"], "/coupon_codes/0");
        buy(&buyer, &[&course], &[code]).await.refused(422, refusal);
    }
    assert_eq!(buyer.wallet().await.0, PRICE);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coupon_takes_nothing_off_what_is_outside_its_scope_or_below_its_threshold() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let spec = |category| CourseSpec {
        price: PRICE,
        category,
        ..CourseSpec::default()
    };
    let music = site.publish(&creator, &operator, &spec("music")).await;
    let cooking = site.courses(&[spec("cooking")]).await.remove(0);
    let buyer = site.user_with(10 * PRICE).await;
    let scope = |scope: Value| json!({"scope": scope});
    let category = scope(json!({"category": "music"}));
    issued(&site, &with(terms("MUSIC", &fixed(1_000), 9), &category)).await;
    let course = scope(json!({"courses": [music]}));
    issued(&site, &with(terms("THIS", &fixed(1_000), 9), &course)).await;
    creator
        .post("/v1/coupons", &terms("HERS", &fixed(1_000), 9))
        .await
        .expect(201);
    let from = json!({"threshold": {"at_least": cny(2 * PRICE), "off": cny(3_000)}});
    issued(&site, &terms("BOTH", &from, 9)).await;

    for code in ["MUSIC", "THIS", "HERS"] {
        for refused in [
            quote(&buyer, &[&cooking], &[code]).await,
            buy(&buyer, &[&cooking], &[code]).await,
        ] {
            refused.refused(422, "commerce.coupon_not_applicable");
        }
        let quoted = quote(&buyer, &[&cooking, &music], &[code]).await;
        let quoted = quoted.expect(200).json();
        assert_eq!(quoted["items"][0].get("discount"), None, "{code}");
        assert_eq!(quoted["items"][1]["discount"], cny(1_000), "{code}");
    }
    buy(&buyer, &[&music], &["BOTH"])
        .await
        .refused(422, "commerce.coupon_below_threshold");
    let bought = buy(&buyer, &[&music, &cooking], &["BOTH"])
        .await
        .expect(201)
        .json();
    assert_eq!(bought["total"], cny(2 * PRICE - 3_000));
    assert_eq!(bought["items"][1]["discount"], cny(1_500));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_uses_a_coupon_more_often_than_one_person_may() {
    let site = Site::start().await;
    let spec = CourseSpec {
        price: 1_000,
        ..CourseSpec::default()
    };
    let courses = site.courses(&[spec, spec, spec]).await;
    let twice = json!({"per_user": 2});
    let coupon = issued(&site, &with(terms("TWICE", &fixed(100), 5), &twice)).await;
    let (keen, other) = (site.user_with(9_000).await, site.user_with(9_000).await);

    for course in &courses[..2] {
        buy(&keen, &[course], &["TWICE"]).await.expect(201);
    }
    quote(&keen, &[&courses[2]], &["TWICE"])
        .await
        .refused(409, "commerce.coupon_used");
    buy(&keen, &[&courses[2]], &["TWICE"])
        .await
        .refused(409, "commerce.coupon_used");

    buy(&other, &[&courses[2]], &["TWICE"]).await.expect(201);
    counts(&site, &coupon, 0, 3).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coupon_takes_off_what_a_flash_sale_leaves() {
    let site = Site::start().await;
    let course = site.course(PRICE).await;
    let sale = json!({
        "course_id": course, "price": cny(6_000), "stock": 2,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
    });
    let sale = site
        .operator()
        .await
        .post("/v1/sales", &sale)
        .await
        .expect(201)
        .text("id");
    let coupon = issued(&site, &terms("HALF", &percent(5_000), 1)).await;
    let (first, second) = (site.user_with(PRICE).await, site.user_with(PRICE).await);
    let body = json!({
        "items": [{"course_id": course, "sale_id": sale}], "coupon_code": "HALF", "payment_method": "wallet",
    });

    let bought = first.post_as(&unique("key-"), "/v1/orders", &body).await;
    assert_eq!(bought.expect(201).json()["total"], cny(3_000));
    // The slot of an order whose coupon refuses comes back at once.
    second
        .post_as(&unique("key-"), "/v1/orders", &body)
        .await
        .refused(409, "commerce.coupon_exhausted");

    until("one slot is left", async || {
        let shown = site
            .client()
            .get(&format!("/v1/sales/{sale}"))
            .await
            .expect(200)
            .json();
        (shown["available"] == 1).then_some(())
    })
    .await;
    counts(&site, &coupon, 0, 1).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coupon_is_issued_once_by_rules_and_shown_to_its_issuer_alone() {
    let site = Site::start().await;
    let (creator, operator, stranger) = (site.user().await, site.operator().await, site.user().await);
    let foreign = site.course(PRICE).await;
    let body = terms("hers-1", &percent(1_000), 7);

    let key = unique("key-");
    let made = creator.post_as(&key, "/v1/coupons", &body).await.expect(201);
    let again = creator.post_as(&key, "/v1/coupons", &body).await.expect(201);
    assert_eq!(made.body, again.body);
    assert_eq!(made.json()["code"], "HERS-1");
    assert_eq!(made.json()["creator"], creator.id);
    let id = made.text("id");
    stranger
        .post("/v1/coupons", &body)
        .await
        .refused(409, "commerce.coupon_code_taken");
    for (change, code) in [
        (json!({"code": "no"}), "commerce.coupon_code_invalid"),
        (json!({"benefit": percent(0)}), "commerce.coupon_benefit_invalid"),
        (json!({"limit": 0}), "commerce.coupon_limit_invalid"),
        (json!({"per_user": 8}), "commerce.coupon_limit_invalid"),
        (
            json!({"ends_at": "2020-01-01T00:00:00Z"}),
            "commerce.coupon_validity_invalid",
        ),
        (json!({"scope": {"courses": []}}), "commerce.coupon_scope_invalid"),
        (
            json!({"scope": {"courses": [foreign]}}),
            "commerce.course_not_for_sale",
        ),
        (json!({"scope": {"category": "No slug"}}), "catalog.invalid_field"),
    ] {
        let changed = with(terms("hers-2", &percent(1_000), 7), &change);
        creator.post("/v1/coupons", &changed).await.refused(422, code);
    }

    let path = format!("/v1/coupons/{id}");
    assert_eq!(creator.get(&path).await.expect(200).text("state"), "available");
    for refused in [
        stranger.get(&path).await,
        stranger.act(&format!("{path}/disable")).await,
        operator.get(&format!("/admin{path}")).await,
    ] {
        refused.refused(404, "commerce.coupon_not_found");
    }
    stranger
        .post("/admin/v1/coupons", &body)
        .await
        .refused(403, "http.forbidden");
    let second = creator.post("/v1/coupons", &terms("hers-3", &fixed(1), 1)).await;
    let second = second.expect(201).text("id");
    let platforms = issued(&site, &terms("PLATFORM", &fixed(1), 1)).await;
    let page = creator.get("/v1/coupons?limit=1").await.expect(200);
    assert_eq!(page.ids(), [second.as_str()]);
    let next = format!("/v1/coupons?limit=1&after={}", page.text("next"));
    let shown = creator.get(&next).await.expect(200).json();
    assert_eq!(shown, json!({"data": [made.json()], "next": null}));
    assert_eq!(
        operator.get("/admin/v1/coupons").await.expect(200).ids(),
        [platforms]
    );
    assert!(stranger.get("/v1/coupons").await.expect(200).ids().is_empty());
    site.finish().await;
}
