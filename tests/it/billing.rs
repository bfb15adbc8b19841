//! Invoices and credit notes: one each, numbered without gaps, whatever crashes meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, CourseSpec, Site, Stores, User, order, unique, until, until_within};

/// Gives a row for each series with a gap, or whose last number is not that of its last document.
const GAPS: &str = "SELECT count(*) FROM invoice_series AS s \
    FULL JOIN (SELECT series, count(*) AS documents, min(number) AS first, max(number) AS last FROM invoices GROUP BY series) AS i \
    USING (series) WHERE s.last IS DISTINCT FROM i.last OR i.documents <> i.last OR i.first <> 1";

/// The invoice of an order, once it is issued.
async fn invoice(buyer: &User, id: &str) -> Value {
    until("the invoice is issued", async || {
        let answer = buyer.get(&format!("/v1/orders/{id}/invoice")).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

/// The caller's documents, newest first, once there are so many.
async fn documents(buyer: &User, count: usize) -> Vec<Value> {
    until("the documents are issued", async || {
        let list = buyer.get("/v1/me/invoices?limit=100").await.expect(200).json();
        let data = list["data"].as_array().unwrap().clone();
        (data.len() >= count).then_some(data)
    })
    .await
}

fn is_pdf(answer: &Answer) -> bool {
    answer.header("content-type") == Some("application/pdf") && answer.body.starts_with(b"%PDF-")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fulfilled_order_has_one_invoice_in_three_forms_and_nobody_else_sees_it() {
    let site = Site::start().await;
    let buyer = site.user_with(100_000).await;
    let course = CourseSpec {
        title: "从零开始学摄影 <script>alert(1)</script>",
        price: 19_900,
        ..CourseSpec::default()
    };
    let course = site.courses(&[course]).await.remove(0);
    let details = json!({"title": "深圳市腾讯计算机系统有限公司", "tax_id": "91440300708461136T"});
    let mut body = order(&[&course], "wallet", None);
    body["invoice_details"] = details.clone();
    let key = unique("key-");
    let id = buyer
        .post_as(&key, "/v1/orders", &body)
        .await
        .expect(201)
        .text("id");
    buyer.post_as(&key, "/v1/orders", &body).await.expect(201);

    let found = invoice(&buyer, &id).await;

    let number = found["number"].as_str().unwrap().to_owned();
    assert!(
        number.starts_with("INV-20") && number.ends_with("-000001"),
        "{number}"
    );
    assert_eq!(found["kind"], "invoice");
    assert_eq!((&found["total"], &found["tax"]), (&json!(19_900), &json!(1_126)));
    assert_eq!(found["items"][0]["net"], 19_900);
    assert_eq!(found["recipient"], details);
    assert_eq!(documents(&buyer, 1).await, [found]);

    let path = format!("/v1/orders/{id}/invoice");
    let page = buyer.get(&format!("{path}.html")).await.expect(200);
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(
        text.contains("从零开始学摄影 &lt;script&gt;") && !text.contains("<script"),
        "{text}"
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    let accepting = |form: &str| buyer.call("GET", &path).header("accept", form);
    assert!(is_pdf(&accepting("application/pdf").send().await.expect(200)));
    assert!(is_pdf(&buyer.get(&format!("{path}.pdf")).await.expect(200)));
    assert!(is_pdf(
        &buyer
            .get(&format!("/v1/me/invoices/{number}.pdf"))
            .await
            .expect(200)
    ));

    let stranger = site.user().await;
    for path in [
        path.clone(),
        format!("{path}.pdf"),
        format!("/v1/me/invoices/{number}"),
    ] {
        stranger
            .get(&path)
            .await
            .refused(404, "billing.invoice_not_found");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_has_a_credit_note_of_a_series_of_its_own_that_names_the_invoice() {
    let site = Site::start().await;
    let buyer = site.user_with(100_000).await;
    let courses = site
        .courses(&[CourseSpec::default(), CourseSpec::default()])
        .await;
    let wallet = buyer.buy(&[&courses[0]]).await.expect(201).text("id");
    let sandbox = buyer.placed_through_sandbox(&[&courses[1]], "tok_ok").await;
    buyer.order_becomes(&sandbox, "fulfilled").await;
    let original = invoice(&buyer, &wallet).await;
    invoice(&buyer, &sandbox).await;

    for id in [&wallet, &sandbox] {
        assert!([201, 202].contains(&buyer.refund(id).await.status));
        buyer.order_becomes(id, "refunded").await;
    }

    let documents = documents(&buyer, 4).await;
    let note = documents
        .iter()
        .find(|one| one["kind"] == "credit_note" && one["order_id"] == wallet.as_str())
        .unwrap();
    assert!(note["number"].as_str().unwrap().starts_with("CRN-20"), "{note}");
    assert_eq!(note["original"], original["number"]);
    for field in ["total", "tax"] {
        assert_eq!(
            note[field].as_i64().unwrap(),
            -original[field].as_i64().unwrap(),
            "{field}"
        );
    }
    assert_eq!(note["items"][0]["net"].as_i64().unwrap(), -1_990);
    assert_eq!(
        documents.len(),
        4,
        "one invoice and one credit note each: {documents:?}"
    );
    assert_eq!(site.stores.count(GAPS).await, 0);
    let number = note["number"].as_str().unwrap();
    assert!(is_pdf(
        &buyer
            .get(&format!("/v1/me/invoices/{number}.pdf"))
            .await
            .expect(200)
    ));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refund_of_a_part_has_a_credit_note_over_its_parts_until_the_invoice_is_taken_back() {
    let site = Site::start().await;
    let buyer = site.user_with(100_000).await;
    let specs = [1_990, 3_333].map(|price| CourseSpec {
        price,
        ..CourseSpec::default()
    });
    let courses = site.courses(&specs).await;
    let lines: Vec<&str> = courses.iter().map(String::as_str).collect();
    let wallet = buyer.buy(&lines).await.expect(201).text("id");
    let other = site.user().await;
    let sandbox = other.placed_through_sandbox(&lines, "tok_ok").await;
    other.order_becomes(&sandbox, "fulfilled").await;

    for (who, order, status) in [(&buyer, &wallet, 201), (&other, &sandbox, 202)] {
        let original = invoice(who, order).await;
        let path = format!("/v1/orders/{order}/refunds");
        let amount = json!({"amount": 1_001, "currency": "CNY"});
        for (body, state) in [
            (json!({"reason": "a", "amount": amount}), "partially_refunded"),
            (
                json!({"reason": "b", "items": [{"course_id": courses[0]}]}),
                "partially_refunded",
            ),
            (json!({"reason": "c"}), "refunded"),
        ] {
            let key = unique("key-");
            let refund = who.post_as(&key, &path, &body).await;
            let refund = if body["amount"].is_null() {
                refund.expect(status).text("id")
            } else {
                // A part of a line is for an operator to allow.
                let id = refund.expect(202).text("id");
                let approved = site.operator().await.approve_refund(&id).await;
                assert!(approved.status < 300, "{approved:?}");
                id
            };
            let settled = until("the refund has succeeded", async || {
                let refunds = who.order(order).await["refunds"].clone();
                let refunds = refunds.as_array().unwrap().clone();
                refunds
                    .into_iter()
                    .find(|one| one["id"] == refund.as_str() && one["state"] == "succeeded")
            })
            .await;
            let note = until("the credit note is issued", async || {
                let list = who.get("/v1/me/invoices?limit=100").await.expect(200).json();
                let mut data = list["data"].as_array().unwrap().clone().into_iter();
                data.find(|one| one["refund_id"] == refund.as_str())
            })
            .await;
            assert_eq!(
                note["total"].as_i64().unwrap(),
                -settled["amount"]["amount"].as_i64().unwrap(),
                "{settled} {note}"
            );
            assert_eq!(note["original"], original["number"]);
            who.order_becomes(order, state).await;
        }

        let all = documents(who, 4).await;
        assert_eq!(all.len(), 4, "one invoice and three credit notes: {all:?}");
        for field in ["total", "tax"] {
            let sum: i64 = all.iter().map(|one| one[field].as_i64().unwrap()).sum();
            assert_eq!(sum, 0, "{field} of {all:?}");
        }
    }
    let owed = "SELECT coalesce(sum(earned + refunded), 0)::bigint FROM earnings";
    assert_eq!(site.stores.count(owed).await, 0, "what was earned was given back");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_whom_an_invoice_is_made_out_is_said_once_and_checked() {
    let site = Site::start().await;
    let buyer = site.user_with(100_000).await;
    let course = site.course(1_990).await;
    let id = buyer.buy(&[&course]).await.expect(201).text("id");
    let path = format!("/v1/orders/{id}/invoice-details");
    let put = |body: Value| {
        let call = buyer.call("PUT", &path).json(&body);
        async move { call.send().await }
    };
    let company = json!({"title": "深圳市腾讯计算机系统有限公司", "tax_id": "91440300708461136T"});

    put(json!({"title": "x", "tax_id": "91440300708461136A"}))
        .await
        .refused(422, "billing.tax_id_invalid");
    put(json!({"title": " "}))
        .await
        .refused(422, "billing.title_invalid");
    assert_eq!(invoice(&buyer, &id).await["recipient"], Value::Null);
    put(company.clone()).await.expect(200);
    put(company.clone()).await.expect(200);
    put(json!({"title": "别的公司"}))
        .await
        .refused(409, "billing.recipient_named");

    assert_eq!(invoice(&buyer, &id).await["recipient"], company);
    let stranger = site.user().await;
    stranger
        .call("PUT", &path)
        .json(&company)
        .send()
        .await
        .refused(404, "commerce.order_not_found");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cost_nothing_or_was_never_fulfilled_has_no_invoice() {
    let site = Site::start().await;
    let buyer = site.user_with(100_000).await;
    let free = site.course(0).await;
    let priced = site.course(1_990).await;
    let gift = buyer.buy(&[&free]).await.expect(201).text("id");
    let declined = buyer.placed_through_sandbox(&[&priced], "tok_declined").await;
    buyer.order_becomes(&declined, "cancelled").await;

    let bought = buyer.buy(&[&priced]).await.expect(201).text("id");
    invoice(&buyer, &bought).await;

    for id in [&gift, &declined] {
        buyer
            .get(&format!("/v1/orders/{id}/invoice"))
            .await
            .refused(404, "billing.invoice_not_found");
    }
    assert_eq!(documents(&buyer, 1).await.len(), 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_font_the_server_serves_everything_but_pdf() {
    let site = Site::start_with(&["billing.font_file=/nowhere/font.ttc"]).await;
    let buyer = site.user_with(100_000).await;
    let course = site.course(1_990).await;
    let id = buyer.buy(&[&course]).await.expect(201).text("id");
    invoice(&buyer, &id).await;

    let refused = buyer.get(&format!("/v1/orders/{id}/invoice.pdf")).await;

    refused.refused(503, "billing.font_unavailable");
    buyer
        .get(&format!("/v1/orders/{id}/invoice.html"))
        .await
        .expect(200);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_issued_as_a_whole_is_issued_in_smaller_ones() {
    // Stands for whatever makes a transaction too large.
    const AT_MOST_TWO: &str = "CREATE FUNCTION at_most_two() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            IF (SELECT count(*) FROM issued) > 2 THEN RAISE EXCEPTION 'too many at once'; END IF; RETURN NULL; END $$; \
        CREATE TRIGGER at_most_two AFTER INSERT ON invoices REFERENCING NEW TABLE AS issued \
            FOR EACH STATEMENT EXECUTE FUNCTION at_most_two()";
    let site = Site::start_with(&["billing.every_ms=20"]).await;
    let buyer = site.user_with(100_000).await;
    let courses = site.courses(&vec![CourseSpec::default(); 10]).await;
    let mut held = site.stores.connect().await;
    held.batch_execute(AT_MOST_TWO).await.unwrap();
    let held = held.transaction().await.unwrap();
    let cursor = "SELECT txid FROM billing_cursor FOR UPDATE";
    held.query_one(cursor, &[]).await.unwrap();

    for course in &courses {
        buyer.buy(&[course]).await.expect(201);
    }
    held.rollback().await.unwrap();

    assert_eq!(documents(&buyer, 10).await.len(), 10);
    assert_eq!(site.stores.count(GAPS).await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_have_no_gaps_when_the_server_is_killed_while_it_issues_five_hundred_invoices() {
    const BUYERS: usize = 5;
    const EACH: usize = 100;
    const KILLS: usize = 4;
    let mut site = Site::start_process_over(
        Stores::create().await,
        &["billing.batch_max=7", "billing.every_ms=10"],
    )
    .await;
    let spec = CourseSpec {
        price: 100,
        ..CourseSpec::default()
    };
    let courses = site.courses(&vec![spec; EACH]).await;
    let mut buyers = Vec::new();
    for _ in 0..BUYERS {
        buyers.push(site.user_with(100_000).await);
    }
    let done = AtomicUsize::new(0);
    let load = buyers.iter().map(|buyer| {
        let (courses, done) = (&courses, &done);
        async move {
            for course in courses {
                let (key, body) = (unique("key-"), order(&[course], "wallet", None));
                until_within(
                    Duration::from_secs(60),
                    "the purchase is acknowledged",
                    async || {
                        let call = buyer.call("POST", "/v1/orders").key(&key).json(&body);
                        call.try_send().await.ok().filter(|answer| answer.status == 201)
                    },
                )
                .await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let killer = async {
        for kill in 1..=KILLS {
            let enough = BUYERS * EACH * kill / (KILLS + 1);
            until_within(Duration::from_secs(120), "purchases go on", async || {
                (done.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
            site.process().kill();
            assert_eq!(site.stores.count(GAPS).await, 0, "after kill {kill}");
            site.restart().await;
        }
    };

    futures_util::future::join(futures_util::future::join_all(load), killer).await;

    until_within(
        Duration::from_secs(60),
        "every order has its invoice",
        async || {
            let issued = site.stores.count("SELECT count(*) FROM invoices").await;
            (issued == (BUYERS * EACH) as i64).then_some(())
        },
    )
    .await;
    assert_eq!(site.stores.count(GAPS).await, 0);
    let orders = "SELECT count(DISTINCT i.order_id) FROM invoices AS i JOIN orders AS o USING (order_id) WHERE o.total = i.total";
    assert_eq!(site.stores.count(orders).await, (BUYERS * EACH) as i64);
    site.finish_within(Duration::from_secs(60)).await;
}
