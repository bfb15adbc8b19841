//! Redeem codes: issued in batches, bought as gifts, redeemed once, and hopeless to guess.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Site, User, cny, unique};

async fn issued(operator: &User, course: &str, count: u16) -> Answer {
    let body = json!({"course_id": course, "count": count, "expires_at": "2999-01-01T00:00:00Z", "reason": "for the fair"});
    operator.post_as("batch", "/admin/v1/code-batches", &body).await
}

fn codes(batch: &Value) -> Vec<String> {
    let codes = batch["codes"].as_array().unwrap().iter();
    codes.map(|code| code.as_str().unwrap().to_owned()).collect()
}

async fn redeem(user: &User, code: &str) -> Answer {
    user.post("/v1/redemptions", &json!({"code": code})).await
}

async fn give(giver: &User, course: &str, method: &str, token: Option<&str>) -> Answer {
    let mut body = json!({"items": [{"course_id": course}], "payment_method": method, "gift": true});
    if let Some(token) = token {
        body["payment_token"] = json!(token);
    }
    giver.post_as(&unique("gift-"), "/v1/orders", &body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_of_a_batch_gives_one_person_the_course_once() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let course = site.course(1_990).await;
    let batch = issued(&operator, &course, 3).await.expect(201);
    let again = issued(&operator, &course, 3).await.expect(201);
    assert_eq!(batch.body, again.body, "the same codes for the same request");
    let (id, codes) = (batch.text("id"), codes(&batch.json()));
    assert_eq!(codes.len(), 3);
    let mut people = Vec::new();
    for _ in 0..8 {
        people.push(site.user().await);
    }

    let answers = join_all(people.iter().map(|user| redeem(user, &codes[0]))).await;

    let won: Vec<usize> = (0..8).filter(|index| answers[*index].status == 201).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    for (index, answer) in answers
        .into_iter()
        .enumerate()
        .filter(|(index, _)| *index != won[0])
    {
        answer.refused(409, "commerce.code_used");
        assert!(people[index].owned().await.is_empty());
    }
    let holder = &people[won[0]];
    assert_eq!(holder.owned().await, [course.as_str()]);
    // The same person asks again, in lower case and without hyphens.
    let sloppy = codes[0].to_lowercase().replace('-', "");
    redeem(holder, &sloppy).await.expect(201);
    redeem(holder, &codes[1])
        .await
        .refused(409, "commerce.course_already_owned");
    holder
        .buy(&[&course])
        .await
        .refused(409, "commerce.course_already_owned");
    let shown = operator
        .get(&format!("/admin/v1/code-batches/{id}"))
        .await
        .expect(200)
        .json();
    assert_eq!((&shown["redeemed"], shown.get("codes")), (&json!(1), None));

    let cancel = format!("/admin/v1/code-batches/{id}/cancel");
    let why = |reason: &str| json!({"reason": reason});
    operator
        .post(&cancel, &why("x"))
        .await
        .refused(422, "commerce.reason_length");
    operator
        .post(&cancel, &why("a leaflet got lost"))
        .await
        .expect(200);
    let audited = format!(
        "SELECT count(*) FROM audit_log WHERE target = '{id}' AND (action, reason) IN \
         (('issue_codes', 'for the fair'), ('cancel_codes', 'a leaflet got lost'))"
    );
    assert_eq!(
        site.stores.count(&audited).await,
        2,
        "who gives access away says why"
    );
    let late = site.user().await;
    redeem(&late, &codes[1])
        .await
        .refused(422, "commerce.code_cancelled");
    // Nothing that the tables hold can be redeemed.
    let kept = format!(
        "SELECT count(*) FROM redeem_codes AS c WHERE row_to_json(c)::text LIKE '%{}%'",
        &codes[2][..9]
    );
    assert_eq!(site.stores.count(&kept).await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_codes_are_refused_and_too_many_of_them_stop_whoever_guesses() {
    let site = Site::start_with(&["http.rate.guess.requests=3", "http.rate.guess.window_s=3600"]).await;
    let (operator, guesser, other) = (site.operator().await, site.user().await, site.user().await);
    let course = site.course(1_990).await;
    let batch = issued(&operator, &course, 1).await.expect(201);
    let code = codes(&batch.json()).remove(0);

    for wrong in ["0000-0000-0000-0000", "what?", ""] {
        redeem(&guesser, wrong)
            .await
            .refused(422, "commerce.code_unknown");
    }

    let stopped = redeem(&guesser, &code).await;
    assert!(stopped.header("retry-after").is_some());
    stopped.refused(429, "http.rate_limited");
    redeem(&other, &code).await.expect(201);
    for (count, code) in [
        (0, "commerce.code_count_invalid"),
        (501, "commerce.code_count_invalid"),
    ] {
        let body = json!({"course_id": course, "count": count, "expires_at": "2999-01-01T00:00:00Z", "reason": "for the fair"});
        let refused = operator
            .post_as(&unique("b-"), "/admin/v1/code-batches", &body)
            .await;
        refused.refused(422, code);
    }
    let body = json!({"course_id": course, "count": 1, "expires_at": "2001-01-01T00:00:00Z", "reason": "for the fair"});
    let refused = operator
        .post_as(&unique("b-"), "/admin/v1/code-batches", &body)
        .await;
    refused.refused(422, "commerce.code_validity_invalid");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_is_paid_by_one_and_redeemed_by_another_and_refunded_only_before() {
    let site = Site::start().await;
    let (giver, friend, other) = (site.user_with(10_000).await, site.user().await, site.user().await);
    let course = site.course(1_990).await;

    let given = give(&giver, &course, "wallet", None).await.expect(201);

    let (id, order) = (given.text("id"), given.json());
    let code = order["gift"]["code"].as_str().unwrap().to_owned();
    assert_eq!(
        (&order["total"], &order["gift"]["redeemed"]),
        (&cny(1_990), &json!(false))
    );
    assert!(giver.owned().await.is_empty());
    assert_eq!(giver.order(&id).await["gift"]["code"], json!(code), "shown again");
    redeem(&friend, &code).await.expect(201);
    assert_eq!(friend.owned().await, [course.as_str()]);
    redeem(&other, &code).await.refused(409, "commerce.code_used");
    giver.refund(&id).await.refused(409, "commerce.gift_redeemed");
    let refunds = format!("/v1/orders/{id}/refunds");
    for wanted in [
        json!({}),
        json!({"amount": cny(1)}),
        json!({"items": [{"course_id": course}]}),
    ] {
        let preview = giver.post(&format!("{refunds}/preview"), &wanted).await;
        preview.refused(409, "commerce.gift_redeemed");
        let mut body = wanted;
        body["reason"] = json!("not for them");
        let refund = giver.post_as(&unique("part-"), &refunds, &body).await;
        refund.refused(409, "commerce.gift_redeemed");
    }
    assert_eq!(giver.wallet().await, (8_010, 0));
    assert_eq!(giver.order(&id).await["gift"]["redeemed"], json!(true));

    let second = give(&giver, &course, "wallet", None).await.expect(201);
    let code = second.json()["gift"]["code"].as_str().unwrap().to_owned();
    giver.refund(&second.text("id")).await.expect(201);
    redeem(&other, &code)
        .await
        .refused(422, "commerce.code_cancelled");
    assert_eq!(giver.wallet().await, (8_010, 0));
    assert!(other.owned().await.is_empty());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_through_a_provider_cannot_be_redeemed_before_it_is_paid() {
    let site = Site::start().await;
    let (giver, friend) = (site.user().await, site.user().await);
    let course = site.course(1_990).await;

    let slow = give(&giver, &course, "sandbox", Some("tok_slow"))
        .await
        .expect(202);
    let code = slow.json()["gift"]["code"].as_str().unwrap().to_owned();
    // The provider takes its time, and the friend does not.
    let early = redeem(&friend, &code).await;
    let paid = give(&giver, &course, "sandbox", Some("tok_ok")).await.expect(202);
    giver.order_becomes(&paid.text("id"), "fulfilled").await;

    if early.status != 201 {
        early.refused(422, "commerce.code_unpaid");
        giver.order_becomes(&slow.text("id"), "fulfilled").await;
        redeem(&friend, &code).await.expect(201);
    }
    assert_eq!(friend.owned().await, [course.as_str()]);
    site.finish().await;
}
