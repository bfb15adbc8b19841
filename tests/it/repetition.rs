//! Creations under one key: made once, found again, and under ids that sort by time.

use std::str::FromStr;

use lyceum_domain::ids::{CourseKind, SessionKind, UserKind};
use lyceum_kernel::{Id, IdKind};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, CourseSpec, PASSWORD, Site, registration, unique};

const CROWD: usize = 64;

/// Sends the same request as many times at once; every answer is the same, and its id is a `UUIDv7`.
async fn crowd<K: IdKind>(client: &Client, path: &str, body: &Value) -> (String, Answer) {
    let key = unique("key-");
    let requests = (0..CROWD).map(|_| client.post_as(&key, path, body));

    let mut answers = futures_util::future::join_all(requests).await;

    let first = answers.swap_remove(0).expect(201);
    for answer in answers {
        assert_eq!(
            (answer.status, &answer.body),
            (201, &first.body),
            "{:?}",
            answer.json()
        );
        assert_eq!(answer.header("location"), first.header("location"));
    }
    drawn::<K>(&first.text("id"));
    (key, first)
}

fn drawn<K: IdKind>(text: &str) {
    let id = Id::<K>::from_str(text).unwrap();
    let version = uuid::Uuid::from_u128(id.as_u128()).get_version_num();
    assert_eq!(version, 7, "{text} does not sort by time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_equal_registrations_opens_one_account() {
    let site = Site::start().await;
    let client = site.client();
    let mut body = registration("once");

    let (key, _) = crowd::<UserKind>(&client, "/v1/users", &body).await;
    body["email"] = json!("other@example.com");

    client
        .post_as(&key, "/v1/users", &body)
        .await
        .refused(422, "http.idempotency_key_reused");
    let accounts = "SELECT count(*) FROM accounts WHERE username_key = 'once'";
    assert_eq!(site.stores.count(accounts).await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_equal_drafts_makes_one_course() {
    let site = Site::start().await;
    let creator = site.user().await;
    let mut body = CourseSpec::default().body();

    let (key, _) = crowd::<CourseKind>(&creator, "/v1/courses", &body).await;
    body["title"] = json!("Another course");

    creator
        .post_as(&key, "/v1/courses", &body)
        .await
        .refused(422, "http.idempotency_key_reused");
    assert_eq!(site.stores.count("SELECT count(*) FROM courses").await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_repeated_under_its_key_is_one_login() {
    let site = Site::start().await;
    let user = site.user().await;
    let key = unique("key-");
    let body = json!({"username": user.username, "password": PASSWORD});
    let requests = (0..8).map(|_| user.post_as(&key, "/v1/sessions", &body));

    let answers = futures_util::future::join_all(requests).await;

    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &answers[0].body));
    }
    let session = &answers[0].json()["session"];
    drawn::<SessionKind>(session["id"].as_str().unwrap());
    let sessions = user.get("/v1/me/sessions").await.expect(200).ids();
    assert_eq!(sessions.len(), 2, "the test's own, and this one");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_under_a_key_is_found_by_the_next_process() {
    let mut site = Site::start_process().await;
    let client = site.client();
    let (key, body) = (unique("key-"), registration("once"));
    let made = client.post_as(&key, "/v1/users", &body).await.expect(201);

    site.process().kill();
    site.restart().await;

    let again = site.client().post_as(&key, "/v1/users", &body).await.expect(201);
    assert_eq!(again.body, made.body);
    // The same account without the key is somebody who finds the name taken.
    client
        .post("/v1/users", &body)
        .await
        .refused(409, "accounts.username_taken");
    site.finish().await;
}
