//! What users may know and decide of what recommends to them, and what models forget.

use lyceum_domain::ids::UserId;
use serde_json::{Value, json};
use uuid::Uuid;

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
async fn a_choice_and_what_is_hidden_outlive_the_profile() {
    let site = Site::start().await;
    let courses = courses(&site).await;
    let user = site.user_with(100_000).await;
    choose(&user, false).await;
    user.buy(&[&courses[0]]).await.expect(201);
    let events: Vec<Value> = [("complete", 1), ("dismiss", 2), ("view", 2)]
        .iter()
        .map(|(kind, course)| json!({"type": kind, "course_id": courses[*course]}))
        .collect();
    user.post("/v1/events", &json!({"events": events}))
        .await
        .expect(202);
    until("what must stay hidden is stored", async || {
        (site.stores.count("SELECT count(*) FROM interactions").await == 2).then_some(())
    })
    .await;

    let beside = site.beside_without_redis().await;

    let there = beside.client().with_token(&user.access_token);
    let rebuilt = there.get(PROFILE).await.expect(200).json();
    assert_eq!(rebuilt["personal"], false, "{rebuilt}");
    assert_eq!(
        rebuilt["hidden"],
        json!({"owned": 1, "completed": 1, "dismissed": 1}),
        "{rebuilt}"
    );
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
    // What they begin from now on is not even stored; what they complete is, to be hidden.
    let begun = json!({"type": "start", "course_id": courses[1]});
    shy.post("/v1/events", &json!({"events": [begun]}))
        .await
        .expect(202);
    complete(&shy, &[&courses[0]]).await;
    assert_eq!(
        trained(&site, &operator, 6).await,
        never,
        "after what they did since"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_outlives_a_crash_that_brings_an_older_snapshot_back() {
    let site = Site::start().await;
    let courses = courses(&site).await;
    let user = site.user().await;
    complete(&user, &[&courses[0]]).await;
    let id: UserId = user.id.parse().unwrap();
    let snapshot = format!("EXISTS entity:profile:{:032x}", id.as_u128());
    until("there is a snapshot", async || {
        (site.stores.redis(&snapshot).await == ":1").then_some(())
    })
    .await;
    // As after a kill between the answer and the next snapshot: the choice is written, and the profile knows nothing of it.
    let chosen = format!(
        "INSERT INTO recommendation_opt_outs (user_id) VALUES ('{}')",
        Uuid::from_u128(id.as_u128())
    );
    site.stores.connect().await.batch_execute(&chosen).await.unwrap();

    let beside = site.beside().await;

    let there = beside.client().with_token(&user.access_token);
    let loaded = there.get(PROFILE).await.expect(200).json();
    assert_eq!(
        (&loaded["personal"], &loaded["hidden"]["completed"]),
        (&json!(false), &json!(1)),
        "{loaded}"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_may_know_somebody_who_left_meanwhile_is_not_served_unless_the_one_before_was_not() {
    let site = Site::start().await;
    let user = site.user().await;
    let database = site.stores.connect().await;
    let by = "'00000000-0000-0000-0000-000000000001'";
    database
        .batch_execute(&format!(
            "UPDATE recommend_training SET holder = {by}, held_until = now() + interval '1 hour'"
        ))
        .await
        .unwrap();
    let known: i64 = database
        .query_one("SELECT forgotten FROM recommend_training", &[])
        .await
        .unwrap()
        .get(0);
    let publish = async || {
        let made = "ROW(5, now(), 'n', 'active', 1, 0, 0, 0, '{}', 1, sha256('x'))::recommend_models";
        let sql = format!("SELECT publish_recommend_model({by}, 0, {known}, 5, {made})");
        database.query_one(&sql, &[]).await.unwrap().get::<_, bool>(0)
    };

    choose(&user, false).await;
    // Chosen again, nothing is new.
    choose(&user, false).await;

    assert!(!publish().await, "the training began before");
    assert!(publish().await, "lest there never be a model");
    let after = "SELECT forgotten FROM recommend_training WHERE NOT repeated";
    let after: i64 = database.query_one(after, &[]).await.unwrap().get(0);
    assert_eq!(after, known + 1);
    site.finish().await;
}
