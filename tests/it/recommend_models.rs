//! Models that were trained: kept in versions, served by every node, refused when damaged, chosen by operators.

use serde_json::{Value, json};

use crate::harness::{CourseSpec, Site, User, until};

const MODELS: &str = "/admin/v1/recommendation-models";

/// Two courses that have nothing in common but their learners, and others.
async fn courses(site: &Site) -> Vec<String> {
    let about = |title, category| CourseSpec {
        title,
        category,
        ..CourseSpec::default()
    };
    site.courses(&[
        about("Sourdough bread", "food"),
        about("Async Rust", "programming"),
        about("Watercolours", "art"),
        about("Chess openings", "games"),
        about("Tax returns", "money"),
    ])
    .await
}

/// Completes courses one after the other.
async fn complete(user: &User, courses: &[&String]) {
    for course in courses {
        let event = json!({"type": "complete", "course_id": course});
        user.post("/v1/events", &json!({"events": [event]}))
            .await
            .expect(202);
    }
}

/// Asks for a training and waits until lists are made with what it learned.
async fn train(site: &Site, operator: &User) -> u64 {
    let before = operator.get(MODELS).await.expect(200).json();
    let reason = json!({"reason": "for the test"});
    let path = format!("{MODELS}/train");
    let accepted = operator.post(&path, &reason).await.expect(202).json();
    assert_eq!(accepted["audit"]["action"], "train_model", "{accepted}");
    until("a new version is served", async || {
        let now = operator.get(MODELS).await.expect(200).json();
        let newer =
            now["models"][0]["version"].as_u64()? > before["models"][0]["version"].as_u64().unwrap_or(0);
        let served = now["models"][0]["version"] == now["serving"] && now["wanted"] == false;
        (newer && served).then(|| now["serving"].as_u64()).flatten()
    })
    .await;
    version(&site.user().await).await
}

/// The version that a list names.
async fn version(user: &User) -> u64 {
    let list = user.get("/v1/me/recommendations").await.expect(200).json();
    list["model_version"].as_u64().unwrap()
}

async fn act(operator: &User, path: &str, dry_run: bool) -> crate::harness::Answer {
    let body = json!({"reason": "lists were worse", "dry_run": dry_run});
    operator.post(path, &body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_learners_went_on_to_is_recommended_after_a_training_and_told_as_trained() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let courses = courses(&site).await;
    for _ in 0..4 {
        complete(&site.user().await, &[&courses[0], &courses[1]]).await;
    }
    let recorded = "SELECT count(*) FROM interactions";
    until("what they did is stored", async || {
        (site.stores.count(recorded).await == 8).then_some(())
    })
    .await;
    let reader = site.user().await;
    complete(&reader, &[&courses[0]]).await;

    let trained = train(&site, &operator).await;

    let list = reader.get("/v1/me/recommendations").await.expect(200).json();
    assert_eq!(list["model_version"], trained, "{list}");
    let first = &list["data"][0];
    assert_eq!(
        (&first["course"]["id"], &first["source"]),
        (&json!(courses[1]), &json!("trained")),
        "{list}"
    );
    assert_eq!(first["reasons"][0]["course"], json!(courses[0]), "{list}");
    let kept = operator.get(MODELS).await.expect(200).json()["models"][0].clone();
    assert_eq!(
        (kept["state"].as_str(), kept["courses"].as_u64()),
        (Some("active"), Some(5)),
        "{kept}"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_rates_a_course_better_in_the_end_has_taken_it_up() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let courses = courses(&site).await;
    let reader = site.user().await;
    let rate = async |stars: u8| {
        let event = json!({"type": "rate", "course_id": courses[0], "value": stars});
        reader
            .post("/v1/events", &json!({"events": [event]}))
            .await
            .expect(202);
    };
    let learned = async |interactions: i64| {
        until("what they did is stored", async || {
            let stored = site.stores.count("SELECT count(*) FROM interactions").await;
            (stored == interactions).then_some(())
        })
        .await;
        train(&site, &operator).await;
        operator.get(MODELS).await.expect(200).json()["models"][0]["events"].clone()
    };
    complete(&reader, &[&courses[0]]).await;

    rate(1).await;
    assert_eq!(learned(2).await, 0);

    rate(3).await;
    assert_eq!(learned(3).await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_goes_back_to_an_older_version_and_it_stays_until_a_training_is_asked_for() {
    let site = Site::start().await;
    let operator = site.operator().await;
    courses(&site).await;
    let older = train(&site, &operator).await;
    let newer = train(&site, &operator).await;
    let reader = site.user().await;
    let path = format!("{MODELS}/{older}/activate");

    let dry = act(&operator, &path, true).await.expect(200).json();
    assert_eq!(
        (&dry["dry_run"], &dry["audit"]),
        (&json!(true), &Value::Null),
        "{dry}"
    );
    assert_eq!(version(&reader).await, newer);

    let done = act(&operator, &path, false).await.expect(202).json();
    assert_eq!(
        (&done["active"], &done["audit"]["reason"]),
        (&json!(newer), &json!("lists were worse")),
        "{done}"
    );
    until("the older version is served", async || {
        (version(&reader).await == older).then_some(())
    })
    .await;
    assert_eq!(operator.get(MODELS).await.expect(200).json()["pinned"], true);
    act(&operator, &path, false)
        .await
        .refused(409, "recommend.model_active_already");
    act(&operator, &format!("{MODELS}/7/activate"), false)
        .await
        .refused(404, "recommend.model_not_found");
    for reason in ["x", "nul\0byte"] {
        let answer = operator.post(&path, &json!({"reason": reason})).await;
        answer.refused(422, "recommend.reason_length");
    }

    let newest = train(&site, &operator).await;
    assert!(newest > newer);
    assert_eq!(operator.get(MODELS).await.expect(200).json()["pinned"], false);

    // Whoever is content with what is served may have it stay.
    act(&operator, &format!("{MODELS}/{newest}/activate"), false)
        .await
        .expect(202);
    assert_eq!(operator.get(MODELS).await.expect(200).json()["pinned"], true);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_chosen_takes_back_the_training_that_was_asked_for_before() {
    let site = Site::start().await;
    let operator = site.operator().await;
    courses(&site).await;
    let chosen = train(&site, &operator).await;
    let database = site.stores.connect().await;
    // Another node has the turn, as far as this one knows.
    database
        .batch_execute(
            "UPDATE recommend_training SET holder = '00000000-0000-0000-0000-000000000001', held_until = now() + interval '1 hour'",
        )
        .await
        .unwrap();
    act(&operator, &format!("{MODELS}/train"), false)
        .await
        .expect(202);

    act(&operator, &format!("{MODELS}/{chosen}/activate"), false)
        .await
        .expect(202);

    let now = operator.get(MODELS).await.expect(200).json();
    assert_eq!(
        (&now["wanted"], &now["pinned"]),
        (&json!(false), &json!(true)),
        "{now}"
    );
    // The training that has the turn ends: nothing of it stays.
    let end = format!(
        "INSERT INTO recommend_model_parts VALUES ({0}, 0, 'whole'); \
         SELECT release_recommend_training('00000000-0000-0000-0000-000000000001', {0}); \
         SELECT release_recommend_training('00000000-0000-0000-0000-000000000001', {chosen})",
        chosen + 1
    );
    database.batch_execute(&end).await.unwrap();
    let parts =
        |version: u64| format!("SELECT count(*) FROM recommend_model_parts WHERE version = {version}");
    assert_eq!(site.stores.count(&parts(chosen + 1)).await, 0);
    assert!(
        site.stores.count(&parts(chosen)).await > 0,
        "the active version keeps its own"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_version_is_refused_and_the_last_one_stays() {
    let site = Site::start().await;
    let operator = site.operator().await;
    courses(&site).await;
    let damaged = train(&site, &operator).await;
    let sound = train(&site, &operator).await;
    let database = site.stores.connect().await;
    database
        .batch_execute(&format!(
            "UPDATE recommend_model_parts SET content = set_byte(content, 40, get_byte(content, 40) # 1) WHERE version = {damaged}"
        ))
        .await
        .unwrap();

    act(&operator, &format!("{MODELS}/{damaged}/activate"), false)
        .await
        .refused(409, "recommend.model_corrupt");
    // Even if somebody has it activated past the check.
    database
        .batch_execute(&format!(
            "UPDATE recommend_models SET state = 'retired'; UPDATE recommend_models SET state = 'active' WHERE version = {damaged}; \
             UPDATE recommend_training SET pinned = true"
        ))
        .await
        .unwrap();

    until("it is refused", async || {
        let metrics = site.client().get("/metrics").await.expect(200);
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with("recommend_models_refused_total"));
        lines.any(|line| !line.ends_with(" 0")).then_some(())
    })
    .await;
    assert_eq!(version(&site.user().await).await, sound);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_died_while_it_trained_leaves_the_old_model_until_its_turn_is_over() {
    let site = Site::start().await;
    let operator = site.operator().await;
    courses(&site).await;
    let old = train(&site, &operator).await;
    let database = site.stores.connect().await;
    let turn = |until: &str| {
        format!(
            "UPDATE recommend_training SET holder = '00000000-0000-0000-0000-000000000001', held_until = now() {until}"
        )
    };
    // Half of its parts are there.
    let part = "INSERT INTO recommend_model_parts VALUES (5, 0, 'half')";
    database.batch_execute(part).await.unwrap();
    database
        .batch_execute(&turn("+ interval '1 hour'"))
        .await
        .unwrap();
    act(&operator, &format!("{MODELS}/train"), false)
        .await
        .expect(202);

    let waiting = operator.get(MODELS).await.expect(200).json();
    assert_eq!(
        (&waiting["training"], &waiting["wanted"]),
        (&json!(true), &json!(true)),
        "{waiting}"
    );
    assert_eq!(version(&site.user().await).await, old);

    database
        .batch_execute(&turn("- interval '1 second'"))
        .await
        .unwrap();
    let reader = site.user().await;
    until("another training takes its place", async || {
        (version(&reader).await > old).then_some(())
    })
    .await;
    let left = "SELECT count(*) FROM recommend_model_parts WHERE version NOT IN (SELECT version FROM recommend_models)";
    assert_eq!(site.stores.count(left).await, 0);
    site.finish().await;
}
