//! Bundles: several courses at one price, divided over ordinary lines, and paid for as far as they are not owned.

use serde_json::{Value, json};

use crate::harness::{Answer, CourseSpec, Site, User, cny, unique, unknown_course};

const PRICES: [i64; 3] = [10_000, 5_000, 4_999];

/// A creator's courses at [`PRICES`], and the bundle of them at a price.
async fn bundle(site: &Site, creator: &User, price: i64) -> (Vec<String>, String) {
    let operator = site.operator().await;
    let mut courses = Vec::new();
    for price in PRICES {
        let spec = CourseSpec {
            price,
            ..CourseSpec::default()
        };
        courses.push(site.publish(creator, &operator, &spec).await);
    }
    let offered = creator
        .post("/v1/bundles", &offer(&courses, price))
        .await
        .expect(201);
    (courses, offered.text("id"))
}

fn offer(courses: &[String], price: i64) -> Value {
    json!({"title": "All of it", "course_ids": courses, "price": cny(price)})
}

fn order(bundle: &str) -> Value {
    json!({"items": [{"bundle_id": bundle}], "payment_method": "wallet"})
}

async fn buy(buyer: &User, body: &Value) -> Answer {
    buyer.post_as(&unique("order-"), "/v1/orders", body).await
}

/// What is paid for each line.
fn net(items: &Value) -> Vec<i64> {
    let amount = |money: &Value| money["amount"].as_i64().unwrap_or(0);
    let lines = items.as_array().unwrap().iter();
    lines
        .map(|line| amount(&line["price"]) - amount(&line["discount"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_is_bought_as_ordinary_lines_that_add_up_to_its_price_and_refunded_to_the_same() {
    let site = Site::start().await;
    let (creator, buyer) = (site.user().await, site.user_with(20_000).await);
    let (courses, bundle) = bundle(&site, &creator, 12_000).await;
    let listed = site.client().get("/v1/bundles").await.expect(200).json();
    assert_eq!(listed["data"][0]["id"], json!(bundle));
    let quote = json!({"items": [{"bundle_id": bundle}]});
    let quote = buyer.post("/v1/quotes", &quote).await.expect(200).json();
    assert_eq!(quote["total"], cny(12_000));

    let bought = buy(&buyer, &order(&bundle)).await.expect(201).json();

    assert_eq!(bought["total"], cny(12_000));
    let paid = net(&bought["items"]);
    assert_eq!(paid, net(&quote["items"]));
    // 12,000 by 10,000 : 5,000 : 4,999, the unit that is left to whoever lost most.
    assert_eq!(paid, [6_000, 3_000, 3_000]);
    let mut owned = buyer.owned().await;
    owned.sort();
    let mut expected = courses.clone();
    expected.sort();
    assert_eq!(owned, expected);
    assert_eq!(buyer.wallet().await, (8_000, 0));
    let share: i64 = paid.iter().map(|net| net * 7 / 10).sum();
    let earned = "SELECT sum(amount)::bigint FROM ledger_entries WHERE account = 'creator_payable'";
    assert_eq!(site.stores.count(earned).await, share);

    buyer.refund(bought["id"].as_str().unwrap()).await.expect(201);
    assert_eq!(buyer.wallet().await, (20_000, 0));
    assert_eq!(site.stores.count(earned).await, 0);
    assert!(buyer.owned().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_owns_a_part_of_a_bundle_pays_for_the_rest_only() {
    let site = Site::start().await;
    let (creator, buyer) = (site.user().await, site.user_with(40_000).await);
    let (courses, bundle) = bundle(&site, &creator, 12_000).await;
    buyer.buy(&[&courses[0]]).await.expect(201);

    let body =
        json!({"items": [{"bundle_id": bundle}], "payment_method": "wallet", "expected_total": cny(12_000)});
    buy(&buyer, &body).await.refused(409, "commerce.price_changed");
    let bought = buyer
        .post_as("rest", "/v1/orders", &order(&bundle))
        .await
        .expect(201);

    assert_eq!(net(&bought.json()["items"]), [3_000, 3_000]);
    let again = buyer
        .post_as("rest", "/v1/orders", &order(&bundle))
        .await
        .expect(201);
    assert_eq!(again.body, bought.body, "the same purchase");
    buy(&buyer, &order(&bundle))
        .await
        .refused(409, "commerce.bundle_owned");
    assert_eq!(buyer.wallet().await, (40_000 - 10_000 - 6_000, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_is_of_its_creators_courses_costs_less_than_they_do_and_can_be_withdrawn() {
    let site = Site::start().await;
    let (creator, other) = (site.user().await, site.user_with(20_000).await);
    let (courses, bundle) = bundle(&site, &creator, 12_000).await;
    let foreign = vec![courses[0].clone(), site.course(100).await];

    for (courses, price, code) in [
        (&courses, 19_999, "commerce.bundle_price_invalid"),
        (&courses[..1].to_vec(), 100, "commerce.bundle_courses_invalid"),
        (&foreign, 100, "commerce.bundle_course_foreign"),
        (
            &vec![courses[0].clone(), unknown_course()],
            100,
            "commerce.bundle_course_foreign",
        ),
    ] {
        creator
            .post("/v1/bundles", &offer(courses, price))
            .await
            .refused(422, code);
    }
    let path = format!("/v1/bundles/{bundle}/withdraw");
    other.act(&path).await.refused(404, "commerce.bundle_not_found");
    assert_eq!(creator.act(&path).await.expect(200).text("state"), "withdrawn");
    buy(&other, &order(&bundle))
        .await
        .refused(422, "commerce.bundle_withdrawn");
    for item in [json!({}), json!({"course_id": courses[0], "bundle_id": bundle})] {
        let body = json!({"items": [item], "payment_method": "wallet"});
        buy(&other, &body).await.refused(400, "http.invalid_body");
    }
    assert_eq!(other.wallet().await, (20_000, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refunded_of_a_bundle_is_what_its_preview_said() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let (creator, buyer) = (site.user().await, site.user_with(20_000).await);
    let (courses, bundle) = bundle(&site, &creator, 11_999).await;
    let bought = buy(&buyer, &order(&bundle)).await.expect(201).json();
    let path = format!("/v1/orders/{}/refunds", bought["id"].as_str().unwrap());
    let earned = "SELECT sum(amount)::bigint FROM ledger_entries WHERE account = 'creator_payable'";
    let amount = |money: &Value| money["amount"].as_i64().unwrap();

    // A part of everything, what is left of one line, and the rest.
    for wanted in [
        json!({"amount": cny(1_001)}),
        json!({"items": [{"course_id": courses[1]}]}),
        json!({}),
    ] {
        let (balance, share) = (buyer.wallet().await.0, site.stores.count(earned).await);
        let preview = buyer.post(&format!("{path}/preview"), &wanted).await;
        let preview = preview.expect(200).json();
        let mut body = wanted.clone();
        body["reason"] = json!("not for me");

        let refund = buyer.post_as(&unique("part-"), &path, &body).await;
        let refund = if preview["awaits_approval"] == true {
            let id = refund.expect(202).text("id");
            operator.approve_refund(&id).await.expect(200).json()
        } else {
            refund.expect(201).json()
        };

        assert_eq!(refund["amount"], preview["amount"], "{wanted}");
        let (said, done) = (&preview["items"], &refund["items"]);
        let said = said.as_array().unwrap();
        assert_eq!(said.len(), done.as_array().unwrap().len(), "{wanted}");
        let mut back = 0;
        for (said, done) in said.iter().zip(done.as_array().unwrap()) {
            assert_eq!(said["course_id"], done["course_id"], "{wanted}");
            assert_eq!(said["amount"], done["amount"], "{wanted}");
            back += amount(&said["creator_share"]);
        }
        assert_eq!(buyer.wallet().await.0, balance + amount(&preview["amount"]));
        assert_eq!(site.stores.count(earned).await, share - back);
        let owned = buyer.owned().await;
        for line in said.iter().filter(|line| line["access_ends"] == true) {
            assert!(!owned.contains(&line["course_id"].as_str().unwrap().to_owned()));
        }
    }

    assert_eq!(buyer.wallet().await, (20_000, 0));
    assert_eq!(site.stores.count(earned).await, 0);
    assert!(buyer.owned().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_withdraws_somebodys_bundle_says_why_and_is_on_record() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let (_, bundle) = bundle(&site, &creator, 11_999).await;
    let path = format!("/v1/bundles/{bundle}/withdraw");

    operator.act(&path).await.refused(422, "commerce.reason_length");
    // What is said about one's own is checked as well, though nothing need be said.
    let short = json!({"reason": "no"});
    creator
        .post(&path, &short)
        .await
        .refused(422, "commerce.reason_length");
    let why = json!({"reason": "a complaint"});
    let withdrawn = operator.post(&path, &why).await.expect(200);

    assert_eq!(withdrawn.text("state"), "withdrawn");
    let audited = format!(
        "SELECT count(*) FROM audit_log WHERE action = 'withdraw_bundle' AND target = '{bundle}' AND reason = 'a complaint'"
    );
    assert_eq!(site.stores.count(&audited).await, 1);
    site.finish().await;
}
