//! Crashes in the middle of purchases: the server killed with `kill -9`, Postgres stopped as by a power failure.
//!
//! These use the whole machine or an instance of their own, so they run alone. `LYCEUM_TEST_PURCHASES` says how many
//! purchases are made.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lyceum_domain::ids::UserId;
use serde_json::{Value, json};

use crate::harness::{CourseSpec, PASSWORD, Site, Stores, User, order, script, unique, until_within};

const BUYERS: usize = 8;
const BALANCE: i64 = 1_000_000;
const PRICE: i64 = 100;
/// Longer than any restart.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// What the promise says.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

fn purchases() -> usize {
    let wanted = std::env::var("LYCEUM_TEST_PURCHASES")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(300)
}

/// A purchase that was acknowledged.
struct Acknowledged {
    key: String,
    body: Value,
    answer: Bytes,
    order: String,
}

/// Buys each course once, every fifth through the provider, and repeats what was not answered under the same key.
async fn buy_all(buyer: &User, courses: &[String], done: &AtomicUsize) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::with_capacity(courses.len());
    for (number, course) in courses.iter().enumerate() {
        let body = match number % 5 {
            4 => order(&[course], "sandbox", Some("tok_ok")),
            _ => order(&[course], "wallet", None),
        };
        let key = unique("key-");
        let answer = until_within(RETRY_FOR, "the purchase is acknowledged", async || {
            let call = buyer.call("POST", "/v1/orders").key(&key).json(&body);
            match call.try_send().await {
                Ok(answer) if [201, 202].contains(&answer.status) => Some(answer),
                // Not executed, or not known to be: the same request again.
                Ok(answer) if answer.status == 503 => None,
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => None,
            }
        })
        .await;
        done.fetch_add(1, Ordering::Relaxed);
        acknowledged.push(Acknowledged {
            key,
            body,
            order: answer.text("id"),
            answer: answer.body,
        });
    }
    acknowledged
}

/// Buyers with money, and courses for each of them to buy.
async fn prepare(site: &Site, count: usize) -> (Vec<User>, Vec<String>) {
    let mut buyers = Vec::with_capacity(BUYERS);
    for _ in 0..BUYERS {
        buyers.push(site.user_with(BALANCE).await);
    }
    let courses = vec![
        CourseSpec {
            price: PRICE,
            ..CourseSpec::default()
        };
        count.div_ceil(BUYERS)
    ];
    (buyers, site.courses(&courses).await)
}

/// Every acknowledged purchase is there, repeats its answer, and was paid for once.
async fn verify(site: Site, buyers: &[User], outcomes: &[Vec<Acknowledged>]) {
    site.stores.become_quiet(QUIET_WITHIN).await;
    for (buyer, acknowledged) in buyers.iter().zip(outcomes) {
        let mut spent = 0;
        for purchase in acknowledged {
            let again = buyer.post_as(&purchase.key, "/v1/orders", &purchase.body).await;
            assert_eq!(
                again.body, purchase.answer,
                "a repeated request is answered alike"
            );
            let now = buyer.order(&purchase.order).await;
            assert_eq!(now["state"], "fulfilled", "{now}");
            spent += if now["payment_method"] == "wallet" {
                PRICE
            } else {
                0
            };
        }
        assert_eq!(buyer.wallet().await, (BALANCE - spent, 0));
    }
    let acknowledged: usize = outcomes.iter().map(Vec::len).sum();
    let orders = site.stores.count("SELECT count(*) FROM orders").await;
    assert_eq!(
        usize::try_from(orders),
        Ok(acknowledged),
        "no order that nobody asked for"
    );
    site.finish_within(QUIET_WITHIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_survive_a_server_that_is_killed_again_and_again() {
    const KILLS: usize = 4;
    let total = purchases();
    let mut site = Site::start_process().await;
    let (buyers, courses) = prepare(&site, total).await;
    let done = AtomicUsize::new(0);
    let load = buyers.iter().map(|buyer| buy_all(buyer, &courses, &done));
    let killer = async {
        for kill in 1..=KILLS {
            let enough = total * kill / (KILLS + 1);
            until_within(RETRY_FOR, "purchases go on", async || {
                (done.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
            site.process().kill();
            site.restart().await;
        }
    };

    let (outcomes, ()) = futures_util::future::join(futures_util::future::join_all(load), killer).await;

    assert_eq!(
        site.stores.count("SELECT max(epoch) FROM shard_owner").await,
        1 + KILLS as i64
    );
    verify(site, &buyers, &outcomes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_survive_a_postgres_that_crashes_again_and_again() {
    const CRASHES: usize = 3;
    if let Err(reason) = script("stores.sh", &["start", "faults"]) {
        return eprintln!("SKIPPED: no Postgres that may be crashed: {reason}");
    }
    let environment = script("stores.sh", &["env", "faults"]).unwrap();
    let url = |name: &str| {
        let line = environment
            .lines()
            .find_map(|line| line.strip_prefix(&format!("export {name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {environment}"))
            .to_owned()
    };
    let stores = Stores::create_in(&url("DATABASE_URL"), &url("REDIS_URL")).await;
    let total = purchases();
    let site = Site::start_process_over(stores, &[]).await;
    let (buyers, courses) = prepare(&site, total).await;
    let done = AtomicUsize::new(0);
    let load = buyers.iter().map(|buyer| buy_all(buyer, &courses, &done));
    let crash = async {
        for crash in 1..=CRASHES {
            let enough = total * crash / (CRASHES + 1);
            until_within(RETRY_FOR, "purchases go on", async || {
                (done.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
            let crashed = tokio::task::spawn_blocking(|| {
                script("stores.sh", &["crash", "faults"])?;
                script("stores.sh", &["start", "faults"])
            });
            crashed.await.unwrap().unwrap();
        }
    };

    let (outcomes, ()) = futures_util::future::join(futures_util::future::join_all(load), crash).await;

    assert_eq!(
        site.stores.count("SELECT max(epoch) FROM shard_owner").await,
        1,
        "the same server all the time"
    );
    verify(site, &buyers, &outcomes).await;
    script("stores.sh", &["stop", "faults"]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_have_ended_stay_ended_when_the_server_is_killed() {
    let mut site = Site::start_process().await;
    let out = site.user().await;
    let reused = site.user().await;
    let changed = site.user().await;
    let kept = User::log_in(&site.client(), &changed.username, PASSWORD).await;
    let other = User::log_in(&site.client(), &out.username, PASSWORD).await;
    let refresh = async |client: &User, token: &str| {
        let body = json!({"refresh_token": token});
        client.anonymous().post("/v1/sessions/refresh", &body).await
    };
    let rotated = refresh(&reused, &reused.refresh_token).await.expect(200);
    let rotated = rotated.text("refresh_token");
    // A drain writes everything, so a kill can only lose what comes after it.
    site.terminate();
    site.process().ended().await;
    site.restart().await;

    out.call("DELETE", &format!("/v1/sessions/{}", out.session))
        .send()
        .await
        .expect(204);
    refresh(&reused, &reused.refresh_token)
        .await
        .refused(401, "accounts.refresh_reused");
    let passwords = json!({"current_password": PASSWORD, "new_password": "quince-Heron-17-oboe"});
    kept.post("/v1/me/password", &passwords).await.expect(204);
    site.process().kill();
    site.restart().await;

    for user in [&other, &kept] {
        let listed = user.get("/v1/me/sessions").await.expect(200).json();
        let listed = listed["data"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0]["id"], *user.session);
    }
    for (user, token) in [
        (&out, &out.refresh_token),
        (&reused, &rotated),
        (&changed, &changed.refresh_token),
    ] {
        refresh(user, token).await.refused(401, "accounts.session_ended");
    }
    refresh(&kept, &kept.refresh_token).await.expect(200);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_reached_the_record_alone_is_completed_by_its_repetition_and_by_no_list() {
    let mut site = Site::start_process().await;
    let out = site.user().await;
    let path = format!("/v1/sessions/{}", out.session);
    let id = out.id.parse::<UserId>().unwrap().as_u128();
    let (logins, before) = (format!("entity:session:{id:032x}"), format!("before:{id:032x}"));
    site.terminate();
    site.process().ended().await;
    let copied = site.stores.redis(&format!("COPY {logins} {before}")).await;
    assert_eq!(copied, ":1");
    site.restart().await;
    out.call("DELETE", &path).send().await.expect(204);
    site.process().kill();
    // Redis loses what the logout wrote; the account has it on record, and every node that starts reads it there.
    let restored = site.stores.redis(&format!("RENAME {before} {logins}")).await;
    assert_eq!(restored, "+OK");
    site.restart().await;

    out.get("/v1/me").await.refused(401, "http.session_revoked");
    let again = User::log_in(&site.client(), &out.username, PASSWORD).await;
    let listed = again.get("/v1/me/sessions").await.expect(200);
    assert_eq!(listed.ids(), [again.session.as_str()], "{listed:?}");
    again.call("DELETE", &path).send().await.expect(204);

    again
        .call("DELETE", &path)
        .send()
        .await
        .refused(404, "accounts.session_not_found");
    site.finish().await;
}
