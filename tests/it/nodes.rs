//! What a node knows of what was decided on another, within a second and without asking it.
//!
//! In each test the first node only follows: the second one has taken every shard over.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Answer, Client, PASSWORD, Site, User, registration, unique, until_within};

/// Within this long every node knows.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// A route that needs a login and no entity.
const OWN: &str = "/v1/me/authored-courses";

/// Somebody new at this node, logged in.
async fn user(client: &Client) -> User {
    let username = unique("user-");
    client
        .post("/v1/users", &registration(&username))
        .await
        .expect(201);
    User::log_in(client, &username, PASSWORD).await
}

/// The same login at another node.
fn at(user: &User, address: std::net::SocketAddr) -> Client {
    Client::new(address).with_token(&user.access_token)
}

async fn becomes_refused(client: &Client) -> Answer {
    until_within(KNOWN_WITHIN, "the login is refused", async || {
        let answer = client.get(OWN).await;
        (answer.status == 401).then_some(answer)
    })
    .await
    .refused(401, "http.session_revoked")
}

async fn ended_logins_are_refused(site: Site) {
    let owner = site.beside().await;
    let client = owner.client();
    let operator = User::log_in(&client, "operator", "operator-Quartz-17-lamp").await;
    let untouched = user(&client).await;

    let out = user(&client).await;
    let here = at(&out, site.address);
    here.get(OWN).await.expect(200);
    let path = format!("/v1/sessions/{}", out.session);
    out.call("DELETE", &path).send().await.expect(204);
    becomes_refused(&here).await;

    let changing = user(&client).await;
    let other = User::log_in(&client, &changing.username, PASSWORD).await;
    let (kept, here) = (at(&changing, site.address), at(&other, site.address));
    here.get(OWN).await.expect(200);
    let body = json!({"current_password": PASSWORD, "new_password": "another-Otter-9-harp"});
    changing.post("/v1/me/password", &body).await.expect(204);
    becomes_refused(&here).await;
    kept.get(OWN).await.expect(200);
    let again = User::log_in(&client, &changing.username, "another-Otter-9-harp").await;
    at(&again, site.address).get(OWN).await.expect(200);

    let suspended = user(&client).await;
    let here = at(&suspended, site.address);
    here.get(OWN).await.expect(200);
    let path = format!("/admin/v1/users/{}/suspend", suspended.id);
    operator.post(&path, &json!({"reason": "spam"})).await.expect(200);
    becomes_refused(&here).await;

    at(&untouched, site.address).get(OWN).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_ended_on_one_node_is_refused_on_every_other_within_a_second() {
    ended_logins_are_refused(Site::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_refused_also_where_redis_is_away() {
    ended_logins_are_refused(Site::start_without_redis().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_refused_everywhere_although_a_frozen_writer_leaves_its_transaction_open() {
    let site = Site::start().await;
    let frozen = site.stores.connect().await;
    frozen
        .batch_execute("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT pg_current_xact_id()")
        .await
        .unwrap();

    ended_logins_are_refused(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_refuses_what_ended_before() {
    let site = Site::start().await;
    let (out, other) = (site.user().await, site.user().await);
    let path = format!("/v1/sessions/{}", out.session);
    out.call("DELETE", &path).send().await.expect(204);

    let later = site.beside_without_redis().await;

    at(&out, later.address)
        .get(OWN)
        .await
        .refused(401, "http.session_revoked");
    at(&other, later.address).get(OWN).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_made_room_for_another_is_refused_on_every_node() {
    let site = Site::start_with(&["accounts.logins_max=1"]).await;
    let owner = site.beside().await;
    let first = user(&owner.client()).await;
    let here = at(&first, site.address);
    here.get(OWN).await.expect(200);

    let second = User::log_in(&owner.client(), &first.username, PASSWORD).await;

    becomes_refused(&here).await;
    at(&second, site.address).get(OWN).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn courses_students_and_ratings_are_shown_on_every_node_and_counted_once() {
    let site = Site::start().await;
    let course = site.course(0).await;
    let owner = site.beside().await;
    let path = format!("/v1/courses/{course}");
    let shown = async |client: Client, students: u64, ratings: u64| {
        until_within(
            KNOWN_WITHIN,
            &format!("{students} students, {ratings} ratings"),
            async || {
                let course = client.get(&path).await.expect(200).json();
                let counted = (
                    course["students"].as_u64(),
                    course["rating"]["count"].as_u64().or(Some(0)),
                );
                (counted == (Some(students), Some(ratings))).then_some(())
            },
        )
        .await;
    };

    let buyers = [user(&owner.client()).await, user(&owner.client()).await];
    for buyer in &buyers {
        buyer.buy(&[&course]).await.expect(201);
    }
    shown(site.client(), 2, 0).await;
    shown(owner.client(), 2, 0).await;
    for (buyer, stars) in buyers.iter().zip([4, 5]) {
        let events = json!({"events": [{"type": "rate", "course_id": course, "value": stars}]});
        buyer.post("/v1/events", &events).await.expect(202);
    }
    shown(site.client(), 2, 2).await;
    shown(owner.client(), 2, 2).await;

    let order = buyers[0].get("/v1/me/orders").await.expect(200).ids().remove(0);
    let refunded = buyers[0].refund(&order).await;
    assert!(refunded.status < 300, "{refunded:?}");
    shown(site.client(), 1, 2).await;
    shown(owner.client(), 1, 2).await;
    // Nothing is added once more when the tables are counted again.
    let still = Instant::now() + Duration::from_millis(700);
    while Instant::now() < still {
        shown(site.client(), 1, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_key_that_was_taken_away_is_refused_on_every_node_within_a_second() {
    let site = Site::start().await;
    let owner = site.beside().await;
    let user = user(&owner.client()).await;
    let here = at(&user, site.address);
    here.get(OWN).await.expect(200);

    let database = site.stores.connect().await;
    database
        .batch_execute(
            "INSERT INTO signing_keys (kid, generation, seed, active_from) \
             SELECT 'new', 2, decode(repeat('ab', 32), 'hex'), now(); DELETE FROM signing_keys WHERE generation = 1",
        )
        .await
        .unwrap();

    let refused = until_within(KNOWN_WITHIN, "the token is refused", async || {
        let answer = here.get(OWN).await;
        (answer.status == 401).then_some(answer)
    });
    refused.await.refused(401, "http.token_invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_holds_for_all_nodes_together() {
    let site = Site::start_with(&["http.rate.credentials.requests=10"]).await;
    let owner = site.beside().await;
    let wrong = json!({"username": "nobody", "password": "not-the-Password-9"});
    for _ in 0..10 {
        let answer = owner.client().post("/v1/sessions", &wrong).await;
        answer.refused(401, "accounts.invalid_credentials");
    }

    let empty = until_within(KNOWN_WITHIN, "the other node knows", async || {
        let answer = site.client().post("/v1/sessions", &wrong).await;
        (answer.status == 429).then_some(answer)
    });

    empty.await.refused(429, "http.rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_says_how_far_it_follows() {
    let site = Site::start().await;
    let _owner = site.beside().await;

    let metrics = site.client().get("/metrics").await.expect(200);

    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for snapshot in ["catalog", "logins", "counters", "keys", "model"] {
        let name = format!("snapshot_lag_seconds{{snapshot=\"{snapshot}\"}} ");
        let lag = text.lines().find_map(|line| line.strip_prefix(&name));
        let lag: f64 = lag.expect("a gauge").parse().unwrap();
        assert!(snapshot == "model" || lag < 1.0, "{snapshot}: {lag}");
    }
}
