//! Recommendations: reasons, freshness, and what must never be in a list.

use serde_json::{Value, json};

use crate::harness::{CourseSpec, Site, User, unknown_course, until};

/// Courses about two subjects, three each.
async fn two_subjects(site: &Site) -> (Vec<String>, Vec<String>) {
    let cooking = |title| CourseSpec {
        title,
        category: "food",
        tags: &["cooking", "bread"],
        ..CourseSpec::default()
    };
    let rust = |title| CourseSpec {
        title,
        category: "programming",
        tags: &["rust", "systems"],
        ..CourseSpec::default()
    };
    let mut ids = site
        .courses(&[
            cooking("Sourdough bread"),
            cooking("Bread and cooking for beginners"),
            cooking("Cooking with fire"),
            rust("Rust for systems"),
            rust("Async Rust"),
            rust("Systems in Rust"),
        ])
        .await;
    // New courses wait for the next model.
    let reader = site.user().await;
    until("all are recommended", async || {
        (list(&reader).await.len() == 6).then_some(())
    })
    .await;
    // And what is like them is found out beside it.
    let client = site.client();
    for id in &ids {
        until("it is known what it is like", async || {
            let similar = client.get(&format!("/v1/courses/{id}/similar")).await;
            let similar = similar.expect(200).json()["data"].as_array().unwrap().len();
            (similar >= 2).then_some(())
        })
        .await;
    }
    let programming = ids.split_off(3);
    (ids, programming)
}

async fn list(user: &User) -> Vec<Value> {
    let list = user
        .get("/v1/me/recommendations?limit=20")
        .await
        .expect(200)
        .json();
    assert!(list["model_version"].is_u64(), "{list}");
    list["data"].as_array().unwrap().clone()
}

fn ids(list: &[Value]) -> Vec<String> {
    list.iter()
        .map(|one| one["course"]["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn report(user: &User, kind: &str, course: &str) -> Value {
    let body = json!({"events": [{"type": kind, "course_id": course}]});
    user.post("/v1/events", &body).await.expect(202).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_new_gets_what_they_said_they_want_to_learn() {
    let site = Site::start().await;
    let (cooking, programming) = two_subjects(&site).await;

    for (interest, wanted) in [("cooking", cooking), ("rust", programming)] {
        let user = site.user_interested_in(&[interest]).await;

        let list = list(&user).await;

        let first = ids(&list[..1]).remove(0);
        assert!(wanted.contains(&first), "{interest}: {list:?}");
        assert_eq!(list[0]["reasons"][0]["kind"], "interest", "{:?}", list[0]);
    }
    let nobody = site.user().await;
    assert!(
        !list(&nobody).await.is_empty(),
        "without interests there is still something"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recommendation_has_reasons_whose_shares_add_up_to_its_score() {
    let site = Site::start().await;
    let (cooking, _) = two_subjects(&site).await;
    let user = site.user_interested_in(&["rust"]).await;
    report(&user, "complete", &cooking[0]).await;

    for one in list(&user).await {
        let reasons = one["reasons"].as_array().unwrap();
        let shares: f64 = reasons
            .iter()
            .map(|reason| reason["share"].as_f64().unwrap())
            .sum();
        let score = one["score"].as_f64().unwrap();

        assert!(!reasons.is_empty(), "{one}");
        assert!((shares - score).abs() < 1e-6, "{one}");
        assert!(one["source"].is_string(), "{one}");
        assert!(one["course"]["title"].is_string(), "{one}");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_bought_is_not_in_the_very_next_list() {
    let site = Site::start().await;
    let (_, programming) = two_subjects(&site).await;
    let user = site.user_interested_in(&["rust"]).await;
    user.top_up(10_000).await;
    let before = ids(&list(&user).await);
    assert!(before.contains(&programming[0]), "{before:?}");

    user.buy(&[&programming[0]]).await.expect(201);

    let after = ids(&list(&user).await);
    assert!(!after.contains(&programming[0]), "{after:?}");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refunded_may_be_in_the_very_next_list_again() {
    let site = Site::start().await;
    let (_, programming) = two_subjects(&site).await;
    let user = site.user_interested_in(&["rust"]).await;
    user.top_up(10_000).await;
    let order = user.buy(&[&programming[0]]).await.expect(201).text("id");
    let owned = ids(&list(&user).await);
    assert!(!owned.contains(&programming[0]), "{owned:?}");

    user.refund(&order).await.expect(201);

    let refunded = ids(&list(&user).await);
    assert!(refunded.contains(&programming[0]), "{refunded:?}");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_changes_the_next_list() {
    let site = Site::start().await;
    let (cooking, programming) = two_subjects(&site).await;
    let user = site.user_interested_in(&["rust"]).await;
    let before = ids(&list(&user).await);
    assert!(programming.contains(&before[0]), "{before:?}");

    let counted = report(&user, "complete", &cooking[0]).await;
    let after = list(&user).await;

    assert_eq!(counted, json!({"accepted": 1, "duplicates": 0, "ignored": 0}));
    assert_ne!(before, ids(&after));
    let because = after.iter().find(|one| {
        let reasons = one["reasons"].as_array().unwrap();
        reasons
            .iter()
            .any(|reason| reason["kind"] == "studied" && reason["course"] == json!(cooking[0]))
    });
    let because = because.unwrap_or_else(|| panic!("nothing because of what was studied: {after:?}"));
    assert!(
        cooking.contains(&because["course"]["id"].as_str().unwrap().to_owned()),
        "{because}"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dismissed_is_gone_at_once() {
    let site = Site::start().await;
    two_subjects(&site).await;
    let user = site.user_interested_in(&["rust"]).await;
    let first = ids(&list(&user).await).remove(0);

    report(&user, "dismiss", &first).await;

    assert!(!ids(&list(&user).await).contains(&first));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_courses_are_ignored_and_repeated_events_count_once() {
    let site = Site::start().await;
    let course = site.course(100).await;
    let user = site.user().await;
    let event = json!({"type": "view", "course_id": course, "id": "event-1"});
    let unknown = json!({"type": "view", "course_id": unknown_course()});

    let first = user
        .post("/v1/events", &json!({"events": [event, unknown]}))
        .await
        .expect(202);
    let second = user
        .post("/v1/events", &json!({"events": [event]}))
        .await
        .expect(202);

    assert_eq!(
        first.json(),
        json!({"accepted": 1, "duplicates": 0, "ignored": 1})
    );
    assert_eq!(
        second.json(),
        json!({"accepted": 0, "duplicates": 1, "ignored": 0})
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_with_a_flaw_are_refused_as_a_whole() {
    let site = Site::start().await;
    let course = site.course(100).await;
    let user = site.user().await;
    let view = json!({"type": "view", "course_id": course});
    let too_many: Vec<Value> = (0..101).map(|_| view.clone()).collect();
    let rating = json!({"type": "rate", "course_id": course, "value": 6});
    let purchase = json!({"type": "purchase", "course_id": course});
    let wrong_id = json!({"type": "view", "course_id": user.id});
    let send = async |events: Value| user.post("/v1/events", &json!({"events": events})).await;

    send(json!(too_many))
        .await
        .refused(422, "recommend.too_many_events");
    let refused = send(json!([view, rating]))
        .await
        .refused(422, "recommend.value_out_of_range");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/events/1/value");
    send(json!([view, purchase]))
        .await
        .refused(400, "http.invalid_body");
    send(json!([wrong_id])).await.refused(400, "http.invalid_body");
    send(json!(too_many[..100])).await.expect(202);

    let path = "/v1/me/recommendations";
    for query in ["limit=0", "limit=101", "surface=a%20b", "model=best"] {
        user.get(&format!("{path}?{query}"))
            .await
            .refused(400, "http.invalid_query");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_published_courses_are_recommended() {
    let site = Site::start().await;
    let (cooking, _) = two_subjects(&site).await;
    let operator = site.operator().await;
    let user = site.user_interested_in(&["cooking"]).await;
    assert!(ids(&list(&user).await).contains(&cooking[0]));

    operator
        .act(&format!("/v1/courses/{}/unlist", cooking[0]))
        .await
        .expect(200);
    operator
        .act(&format!("/v1/courses/{}/suspend", cooking[1]))
        .await
        .expect(200);

    until("neither is recommended any more", async || {
        let ids = ids(&list(&user).await);
        (!ids.contains(&cooking[0]) && !ids.contains(&cooking[1])).then_some(())
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn similar_courses_are_about_the_same() {
    let site = Site::start().await;
    let (cooking, programming) = two_subjects(&site).await;
    let client = site.client();

    let similar = until("there is something similar", async || {
        let answer = client.get(&format!("/v1/courses/{}/similar", cooking[0])).await;
        let list = answer.expect(200).json()["data"].as_array().unwrap().clone();
        (!list.is_empty()).then_some(list)
    })
    .await;

    let ids = ids(&similar);
    assert!(cooking[1..].contains(&ids[0]), "{similar:?}");
    assert!(!ids.contains(&cooking[0]), "not like itself");
    assert!(!programming.contains(&ids[0]));
    client
        .get(&format!("/v1/courses/{}/similar", unknown_course()))
        .await
        .refused(404, "recommend.course_not_found");
    site.finish().await;
}
