//! Memberships: a period for each order that was paid, renewed by the clock, and nothing for what was not.
//!
//! The clock is the outbox: a timer is a message that is due later. Nobody waits for a month, so the tests make it due now; the
//! membership itself goes by the end of what was paid.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, CourseSpec, Site, User, cny, unique, until};

const PRICE: i64 = 2_900;

/// Has the platform offer a plan of everything for a month.
async fn platform_plan(site: &Site) -> String {
    let body = json!({"title": "All there is", "price": cny(PRICE), "every": "month"});
    let offered = site
        .operator()
        .await
        .post("/admin/v1/membership-plans", &body)
        .await;
    offered.expect(201).text("id")
}

async fn join(user: &User, plan: &str, method: &str, token: Option<&str>) -> Answer {
    join_as(user, &unique("key-"), plan, method, token).await
}

async fn join_as(user: &User, key: &str, plan: &str, method: &str, token: Option<&str>) -> Answer {
    let body = json!({"plan_id": plan, "payment_method": method, "payment_token": token});
    user.post_as(key, "/v1/memberships", &body).await
}

/// The only membership of somebody.
async fn membership(user: &User) -> Value {
    let page = user.get("/v1/me/memberships").await.expect(200).json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
    page["data"][0].clone()
}

async fn becomes(user: &User, state: &str) -> Value {
    until("the membership is so far", async || {
        let held = membership(user).await;
        (held["state"] == state).then_some(held)
    })
    .await
}

async fn act(user: &User, command: &str) -> Answer {
    let id = membership(user).await["id"].as_str().unwrap().to_owned();
    user.act(&format!("/v1/memberships/{id}/{command}")).await
}

/// Lets the time come for what the clock does next about memberships.
async fn let_time_pass(site: &Site) {
    let sql = "UPDATE outbox SET due_at = now() WHERE payload::text LIKE '%\"tick\"%'";
    until("something is due", async || {
        let moved = site.stores.connect().await.execute(sql, &[]).await.unwrap();
        (moved > 0).then_some(())
    })
    .await;
}

async fn periods(user: &User) -> usize {
    let held = membership(user).await;
    let periods = held["periods"].as_array().unwrap();
    periods.iter().filter(|period| period["removed"] == false).count()
}

/// Makes the provider fail by a plan.
async fn fail(site: &Site, plan: &Value) {
    let sandbox = Client::new(site.sandbox_address());
    let set = sandbox.call("PUT", "/admin/faults").bytes(plan.to_string());
    set.send().await.expect(200);
}

/// Whether somebody may read the first lesson of a course.
async fn may_study(user: &User, course: &str) -> bool {
    let shown = user
        .get(&format!("/v1/courses/{course}"))
        .await
        .expect(200)
        .json();
    let lesson = shown["outline"][0]["lessons"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let content = user
        .get(&format!("/v1/courses/{course}/lessons/{lesson}/content"))
        .await;
    match content.status {
        200 => true,
        403 => {
            content.refused(403, "commerce.access_required");
            false
        }
        status => panic!("{status}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_studies_what_the_plan_opens_for_as_long_as_it_was_paid() {
    let site = Site::start().await;
    let member = site.user_with(10_000).await;
    let course = site.course(1_990).await;
    let plan = platform_plan(&site).await;
    assert!(!may_study(&member, &course).await);

    let order = join(&member, &plan, "wallet", None).await.expect(201).json();

    assert_eq!(order["state"], "fulfilled");
    assert_eq!(order["items"][0]["plan_id"], plan.as_str());
    assert!(order["items"][0]["course_id"].is_null());
    let held = membership(&member).await;
    assert_eq!(
        (&held["state"], &held["renews"]),
        (&json!("active"), &json!(true))
    );
    assert_eq!(held["id"], order["membership_id"]);
    assert_eq!(held["periods"][0]["order_id"], order["id"]);
    assert_eq!(member.wallet().await, (10_000 - PRICE, 0));
    assert!(may_study(&member, &course).await);
    // It is not theirs: they may still buy it for good.
    assert!(member.owned().await.is_empty());
    member.buy(&[&course]).await.expect(201);
    let again = join(&member, &plan, "wallet", None).await;
    assert_eq!(
        again.refused(409, "commerce.already_member").json()["current_state"],
        "active"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_comes_many_times_pays_one_period() {
    let site = Site::start().await;
    let member = site.user().await;
    let plan = platform_plan(&site).await;
    fail(
        &site,
        &json!({"seed": 5, "callbacks": {"copies": 5, "shuffle_ms": 100}}),
    )
    .await;

    join(&member, &plan, "sandbox", Some("tok_twice"))
        .await
        .expect(202);

    becomes(&member, "active").await;
    until("every callback has come", async || {
        let told = "SELECT coalesce(sum(deliveries), 0)::bigint FROM provider_events";
        (site.stores.count(told).await >= 5).then_some(())
    })
    .await;
    assert_eq!(periods(&member).await, 1);
    assert_eq!(site.charges().await.len(), 1);
    fail(&site, &json!({})).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_requests_joins_and_a_repeated_one_is_answered_alike() {
    let site = Site::start().await;
    let member = site.user_with(100_000).await;
    let plan = platform_plan(&site).await;

    let answers = join_all((0..16).map(|_| join_as(&member, "the-one", &plan, "wallet", None))).await;

    let joined: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert!(!joined.is_empty());
    assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)));
    assert!(joined.iter().all(|answer| answer.body == joined[0].body));
    let repeated = join_as(&member, "the-one", &plan, "wallet", None).await;
    assert_eq!(repeated.expect(201).body, joined[0].body);
    assert_eq!(member.wallet().await, (100_000 - PRICE, 0));
    assert_eq!(periods(&member).await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_renews_what_is_paid_and_tries_again_what_is_not_until_the_grace_is_over() {
    let site = Site::start().await;
    let member = site.user_with(2 * PRICE).await;
    let course = site.course(1_990).await;
    let plan = platform_plan(&site).await;
    join(&member, &plan, "wallet", None).await.expect(201);
    let first = membership(&member).await;

    let_time_pass(&site).await;

    until("the second period is paid", async || {
        (periods(&member).await == 2).then_some(())
    })
    .await;
    let second = membership(&member).await;
    assert_eq!(second["state"], "active");
    assert_eq!(second["periods"][0]["from"], first["ends_at"]);
    assert_eq!(member.wallet().await, (0, 0));

    // Nothing is left in the wallet: the renewal and its three repetitions fail.
    for tried in 1..=4 {
        let_time_pass(&site).await;
        until("it was tried in vain", async || {
            let unpaid = "SELECT count(*) FROM membership_charges WHERE state = 'unpaid'";
            (site.stores.count(unpaid).await == tried).then_some(())
        })
        .await;
    }
    assert!(may_study(&member, &course).await, "the grace is not over");
    let_time_pass(&site).await;

    let ended = becomes(&member, "ended").await;
    assert_eq!(ended["reason"], "unpaid");
    assert!(!may_study(&member, &course).await);
    assert_eq!(ended["id"], first["id"]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_through_the_provider_is_paid_without_its_member() {
    let site = Site::start().await;
    let member = site.user().await;
    let plan = platform_plan(&site).await;
    join(&member, &plan, "sandbox", Some("tok_ok")).await.expect(202);
    becomes(&member, "active").await;

    let_time_pass(&site).await;

    until("the second period is paid", async || {
        (periods(&member).await == 2).then_some(())
    })
    .await;
    assert_eq!(site.charges().await.len(), 2);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_suspended_is_not_charged() {
    let site = Site::start().await;
    let member = site.user_with(2 * PRICE).await;
    let plan = platform_plan(&site).await;
    join(&member, &plan, "wallet", None).await.expect(201);
    let suspend = format!("/admin/v1/users/{}/suspend", member.id);
    let operator = site.operator().await;
    operator
        .post(&suspend, &json!({"reason": "being looked into"}))
        .await
        .expect(200);

    let_time_pass(&site).await;

    until("the renewal is known to be unpaid", async || {
        let unpaid = "SELECT count(*) FROM membership_charges WHERE state = 'unpaid'";
        (site.stores.count(unpaid).await == 1).then_some(())
    })
    .await;
    assert_eq!(site.stores.count("SELECT count(*) FROM orders").await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_paid_at_first_makes_nobody_a_member() {
    let site = Site::start().await;
    let (poor, declined) = (site.user_with(PRICE - 1).await, site.user().await);
    let plan = platform_plan(&site).await;

    join(&poor, &plan, "wallet", None)
        .await
        .refused(402, "commerce.insufficient_funds");
    join(&declined, &plan, "sandbox", Some("tok_declined"))
        .await
        .expect(202);

    for member in [&poor, &declined] {
        assert_eq!(becomes(member, "ended").await["reason"], "never_paid");
    }
    for (method, token, status, code) in [
        ("sandbox", None, 422, "commerce.payment_token_required"),
        ("barter", None, 422, "commerce.payment_method_unknown"),
    ] {
        join(&poor, &plan, method, token).await.refused(status, code);
    }
    let dearer = json!({"plan_id": plan, "payment_method": "wallet", "expected_price": cny(1)});
    poor.post_as("dearer", "/v1/memberships", &dearer)
        .await
        .refused(409, "commerce.price_changed");
    poor.top_up(1).await;
    join(&poor, &plan, "wallet", None).await.expect(201);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_takes_the_period_back_that_its_order_paid() {
    let site = Site::start().await;
    let member = site.user_with(PRICE).await;
    let course = site.course(1_990).await;
    let plan = platform_plan(&site).await;
    let order = join(&member, &plan, "wallet", None).await.expect(201).text("id");

    member.refund(&order).await;

    assert_eq!(becomes(&member, "ended").await["reason"], "refunded");
    assert_eq!(member.wallet().await, (PRICE, 0));
    assert_eq!(periods(&member).await, 0);
    assert!(!may_study(&member, &course).await);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cancels_stays_until_the_end_and_who_pauses_loses_nothing() {
    let site = Site::start().await;
    let member = site.user_with(PRICE).await;
    let course = site.course(1_990).await;
    let plan = platform_plan(&site).await;
    join(&member, &plan, "wallet", None).await.expect(201);

    let paused = act(&member, "pause").await.expect(200).json();
    assert_eq!(paused["state"], "paused");
    assert!(!paused["paused_until"].is_null());
    assert!(!may_study(&member, &course).await);
    let resumed = act(&member, "resume").await.expect(200).json();
    assert_eq!(
        (&resumed["state"], &resumed["renews"]),
        (&json!("active"), &json!(true))
    );
    let cancelled = act(&member, "cancel").await.expect(200).json();
    assert_eq!(cancelled["renews"], false);
    assert_eq!(cancelled["access_until"], cancelled["ends_at"]);
    assert!(may_study(&member, &course).await);
    let kept = act(&member, "resume").await.expect(200).json();
    assert_eq!(kept["renews"], true);
    act(&member, "cancel").await.expect(200);

    let_time_pass(&site).await;

    assert_eq!(becomes(&member, "ended").await["reason"], "cancelled");
    for command in ["cancel", "pause", "resume"] {
        let refused = act(&member, command).await.refused(409, "commerce.wrong_state");
        assert_eq!(refused.json()["current_state"], "ended");
    }
    assert_eq!(member.wallet().await, (0, 0));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_a_creator_opens_theirs_alone_and_they_earn_by_it() {
    let site = Site::start().await;
    let (operator, creator) = (site.operator().await, site.user().await);
    let spec = CourseSpec::default();
    let own = site.publish(&creator, &operator, &spec).await;
    let foreign = site.course(1_990).await;
    let body = json!({"title": "All of mine", "price": cny(PRICE), "every": "year", "course_ids": [foreign]});
    creator
        .post("/v1/membership-plans", &body)
        .await
        .refused(422, "commerce.plan_course_foreign");
    let body = json!({"title": "All of mine", "price": cny(PRICE), "every": "year", "course_ids": [own]});
    let plan = creator
        .post("/v1/membership-plans", &body)
        .await
        .expect(201)
        .text("id");
    let member = site.user_with(PRICE).await;

    join(&member, &plan, "wallet", None).await.expect(201);

    assert!(may_study(&member, &own).await);
    assert!(!may_study(&member, &foreign).await);
    let earned =
        "SELECT coalesce(sum(amount), 0)::bigint FROM ledger_entries WHERE account = 'creator_payable'";
    assert_eq!(site.stores.count(earned).await, PRICE * 7 / 10);
    join(&creator, &plan, "wallet", None)
        .await
        .refused(409, "commerce.own_course");
    // Nobody else takes it back, and whoever is a member stays one.
    member
        .act(&format!("/v1/membership-plans/{plan}/withdraw"))
        .await
        .refused(404, "commerce.plan_not_found");
    creator
        .act(&format!("/v1/membership-plans/{plan}/withdraw"))
        .await
        .expect(200);
    let late = site.user_with(PRICE).await;
    join(&late, &plan, "wallet", None)
        .await
        .refused(422, "commerce.plan_withdrawn");
    assert!(may_study(&member, &own).await);
    let held = membership(&member).await["id"].as_str().unwrap().to_owned();
    let foreign = format!("/v1/memberships/{held}");
    late.get(&foreign)
        .await
        .refused(404, "commerce.membership_not_found");
    for command in ["cancel", "pause", "resume"] {
        let refused = late.act(&format!("{foreign}/{command}")).await;
        refused.refused(404, "commerce.membership_not_found");
    }
    assert_eq!(membership(&member).await["renews"], true);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_never_placed_is_found_out_and_makes_room() {
    let site = Site::start_with(&["commerce.reservation_ttl_s=1"]).await;
    let member = site.user_with(PRICE).await;
    let plan = platform_plan(&site).await;
    join(&member, &plan, "wallet", None).await.expect(201);
    // The timer by which a buyer is asked finds that all is well.
    until("the timer has fired", async || {
        let asked = "SELECT count(*) FROM outbox WHERE payload::text LIKE '%check_reservation%'";
        (site.stores.count(asked).await == 0).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(1), becomes(&member, "active"))
        .await
        .unwrap();
    assert_eq!(periods(&member).await, 1);
    site.finish().await;
}
