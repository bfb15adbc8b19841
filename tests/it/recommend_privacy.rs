//! What users may know and decide of what recommends to them, and what models forget.

use serde_json::{Value, json};

use crate::harness::{CourseSpec, Site, User, until};

const PROFILE: &str = "/v1/me/recommendation-profile";
const MODELS: &str = "/admin/v1/recommendation-models";

async fn courses(site: &Site) -> Vec<String> {
    let about = |title, category| CourseSpec {
        title,
        category,
        ..CourseSpec::default()
    };
    site.courses(&[
        about("Sourdough bread", "food"),
        about("Bread for beginners", "food"),
        about("Async Rust", "programming"),
    ])
    .await
}

async fn complete(user: &User, courses: &[&String]) {
    let events: Vec<Value> = courses
        .iter()
        .map(|course| json!({"type": "complete", "course_id": course}))
        .collect();
    user.post("/v1/events", &json!({"events": events}))
        .await
        .expect(202);
}

async fn choose(user: &User, personal: bool) -> Value {
    let call = user.call("PUT", PROFILE).json(&json!({"personal": personal}));
    call.send().await.expect(200).json()
}

/// The kinds of all reasons of a list.
async fn kinds(user: &User) -> Vec<String> {
    let list = user.get("/v1/me/recommendations").await.expect(200).json();
    let items = list["data"].as_array().unwrap().clone();
    let reasons = items.iter().flat_map(|item| item["reasons"].as_array().unwrap());
    reasons
        .map(|reason| reason["kind"].as_str().unwrap().to_owned())
        .collect()
}

/// The checksum of a model that is trained now, from so many interactions.
async fn trained(site: &Site, operator: &User, interactions: i64) -> String {
    let stored = "SELECT count(*) FROM interactions";
    until("what happened is stored", async || {
        (site.stores.count(stored).await == interactions).then_some(())
    })
    .await;
    let newest = async || operator.get(MODELS).await.expect(200).json();
    let before = newest().await["models"][0]["version"].as_u64().unwrap_or(0);
    let path = format!("{MODELS}/train");
    operator
        .post(&path, &json!({"reason": "for the test"}))
        .await
        .expect(202);
    until("a model is trained", async || {
        let now = newest().await;
        let done = now["models"][0]["version"].as_u64()? > before && now["wanted"] == false;
        done.then(|| now["models"][0]["checksum"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_nothing_personal_gets_a_strangers_list_at_once_and_may_change_their_mind() {
    let site = Site::start().await;
    let courses = courses(&site).await;
    let user = site.user_interested_in(&["food"]).await;
    until("there is a list", async || {
        (!kinds(&user).await.is_empty()).then_some(())
    })
    .await;
    complete(&user, &[&courses[0]]).await;
    assert!(kinds(&user).await.iter().any(|kind| kind != "popular"));

    let chosen = choose(&user, false).await;

    assert_eq!(chosen["personal"], false, "{chosen}");
    assert_eq!(kinds(&user).await, ["popular"; 2], "without what was completed");
    let known = user.get(PROFILE).await.expect(200).json();
    assert_eq!(known["history"][0]["course_id"], json!(courses[0]), "{known}");
    assert_eq!(known["history"][0]["activity"], "complete", "{known}");
    assert_eq!(
        (&known["interests"], &known["hidden"]["completed"]),
        (&json!(["food"]), &json!(1)),
        "{known}"
    );

    choose(&user, true).await;
    assert!(kinds(&user).await.iter().any(|kind| kind != "popular"));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_outlives_the_profile() {
    let site = Site::start().await;
    let user = site.user().await;
    choose(&user, false).await;

    let beside = site.beside_without_redis().await;

    let there = beside.client().with_token(&user.access_token);
    let rebuilt = there.get(PROFILE).await.expect(200).json();
    assert_eq!(rebuilt["personal"], false, "{rebuilt}");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_somebody_is_byte_for_byte_one_that_never_saw_them() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let courses = courses(&site).await;
    let (one, other) = (site.user().await, site.user().await);
    complete(&one, &[&courses[0], &courses[1]]).await;
    complete(&other, &[&courses[0], &courses[2]]).await;
    let never = trained(&site, &operator, 4).await;

    let erased = site.user().await;
    complete(&erased, &[&courses[1], &courses[2]]).await;
    assert_ne!(trained(&site, &operator, 6).await, never);
    site.erase(&erased).await;
    assert_eq!(trained(&site, &operator, 4).await, never, "after the erasure");

    let shy = site.user().await;
    complete(&shy, &[&courses[2]]).await;
    assert_ne!(trained(&site, &operator, 5).await, never);
    choose(&shy, false).await;
    assert_eq!(trained(&site, &operator, 5).await, never, "after the choice");
    // What they do from now on is not even stored.
    complete(&shy, &[&courses[0]]).await;
    complete(&one, &[&courses[2]]).await;
    trained(&site, &operator, 6).await;
    site.finish().await;
}
