//! Faults that one node must bear: Redis gone, a shard taken away, a stop under load.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lyceum_domain::ids::UserId;
use lyceum_runtime::shard_of;
use serde_json::json;

use crate::harness::{Child, CourseSpec, PASSWORD, Site, Stores, User, free_address, unique, until};

const PRICE: i64 = 100;

fn shard(user: &User) -> u8 {
    shard_of(user.id.parse::<UserId>().unwrap().as_u128())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_was_taken_away_refuses_writes_while_the_others_serve() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let course = site.course(PRICE).await;
    let neighbour = site.user_with(1_000).await;
    let user = until("a user of a shard of their own", async || {
        let user = site.user().await;
        (![shard(&neighbour), shard(&operator)].contains(&shard(&user))).then_some(user)
    })
    .await;
    user.top_up(1_000).await;
    site.stores.become_quiet(std::time::Duration::from_secs(20)).await;
    let taken = format!(
        "UPDATE shard_owner SET epoch = epoch + 1 WHERE shard = {}",
        shard(&user)
    );
    site.stores.connect().await.execute(&taken, &[]).await.unwrap();

    let refused = user.buy_as("after-the-takeover", &[&course]).await;
    let again = user.buy_as("after-the-takeover", &[&course]).await;
    let bought = neighbour.buy(&[&course]).await;

    for answer in [refused, again] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some());
    }
    bought.expect(201);
    let cluster = operator.get("/admin/v1/cluster").await.expect(200).json();
    for entry in cluster["shards"].as_array().unwrap() {
        let fenced = entry["shard"] == shard(&user);
        assert_eq!(
            entry["state"],
            if fenced { "fenced" } else { "serving" },
            "{entry}"
        );
    }
    let metrics = site.client().get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let fenced = metrics
        .lines()
        .find(|line| line.starts_with("shard_fenced_writes_total"))
        .unwrap();
    assert!(!fenced.ends_with(" 0"), "{fenced}");
    assert_eq!(
        site.stores.count("SELECT count(*) FROM orders").await,
        1,
        "the neighbour's alone"
    );
    site.finish().await;
}

/// A Redis of the test's own, or why there is none.
fn redis() -> Result<(std::net::SocketAddr, impl Fn() -> Child), String> {
    let program = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or("there is no redis-server on this machine")?;
    let address = free_address();
    let start = move || {
        let port = address.port().to_string();
        let folder = std::env::temp_dir().display().to_string();
        let arguments = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            &folder,
        ];
        Child::start(Path::new(program), &arguments.map(ToOwned::to_owned), &[])
    };
    Ok((address, start))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_logins_and_reads_go_on_without_redis_and_it_is_used_again_when_it_is_back() {
    let (address, start_redis) = match redis() {
        Ok(redis) => redis,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let mut redis = start_redis();
    let database = std::env::var("LYCEUM_TEST_DATABASE_URL").unwrap();
    let stores = Stores::create_in(&database, &format!("redis://{address}/0")).await;
    let site = Site::start_process_over(stores, &[]).await;
    let user = site.user_with(10_000).await;
    let courses = site
        .courses(
            &[CourseSpec {
                price: PRICE,
                ..CourseSpec::default()
            }; 3],
        )
        .await;
    let readiness = async || site.client().get("/readyz").await;
    until("all is well", async || {
        (readiness().await.text("status") == "ok").then_some(())
    })
    .await;

    redis.kill();

    until("Redis is missed", async || {
        (readiness().await.text("status") == "degraded").then_some(())
    })
    .await;
    readiness().await.expect(200);
    user.buy(&[&courses[0]]).await.expect(201);
    let sandbox = user
        .buy_through_sandbox(&[&courses[1]], "tok_ok")
        .await
        .expect(202)
        .text("id");
    user.order_becomes(&sandbox, "fulfilled").await;
    assert_eq!(user.wallet().await, (10_000 - PRICE, 0));
    assert_eq!(user.owned().await.len(), 2);
    user.get("/v1/courses?q=course").await.expect(200);
    let list = user.get("/v1/me/recommendations").await.expect(200).json();
    assert!(list["data"].is_array());
    let second = User::log_in(&site.client(), &user.username, PASSWORD).await;
    second
        .call("DELETE", &format!("/v1/sessions/{}", second.session))
        .send()
        .await
        .expect(204);
    second.get("/v1/me").await.refused(401, "http.session_revoked");

    let _redis = start_redis();

    until("all is well again", async || {
        (readiness().await.text("status") == "ok").then_some(())
    })
    .await;
    user.buy(&[&courses[2]]).await.expect(201);
    user.get("/v1/me").await.expect(200);
    second.get("/v1/me").await.refused(401, "http.session_revoked");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_finishes_what_it_has_begun_and_loses_nothing_it_acknowledged() {
    const BUYERS: usize = 4;
    let stores = Stores::create().await;
    let mut site = Site::start_process_over(stores, &["http.drain_notice_ms=500"]).await;
    let courses = site
        .courses(
            &[CourseSpec {
                price: 1,
                ..CourseSpec::default()
            }; 100],
        )
        .await;
    let mut buyers = Vec::new();
    for _ in 0..BUYERS {
        buyers.push(site.user_with(10_000).await);
    }
    let stopping = AtomicBool::new(false);
    let load = buyers.iter().map(async |buyer| {
        let mut acknowledged = BTreeMap::new();
        let mut cut = Vec::new();
        for course in &courses {
            let key = unique("key-");
            let body = crate::harness::order(&[course], "wallet", None);
            match buyer
                .call("POST", "/v1/orders")
                .key(&key)
                .json(&body)
                .try_send()
                .await
            {
                Ok(answer) => {
                    let answer = answer.expect(201);
                    acknowledged.insert(answer.text("id"), answer.body.clone());
                    // As a load balancer does: who says goodbye is sent nothing more.
                    if answer.header("connection") == Some("close") {
                        assert!(stopping.load(Ordering::Relaxed));
                        break;
                    }
                }
                Err(error) => {
                    cut.push(error);
                    break;
                }
            }
        }
        (acknowledged, cut)
    });
    let orders = async || site.stores.count("SELECT count(*) FROM orders").await;
    let stop = async {
        until("there is load", async || (orders().await > 20).then_some(())).await;
        stopping.store(true, Ordering::Relaxed);
        site.terminate();
    };

    let (outcomes, ()) = futures_util::future::join(futures_util::future::join_all(load), stop).await;
    let status = site.process().ended().await;

    assert_eq!(status.code(), Some(0), "{}", site.process().output());
    let acknowledged: usize = outcomes.iter().map(|(acknowledged, _)| acknowledged.len()).sum();
    let cut: Vec<_> = outcomes.iter().flat_map(|(_, cut)| cut).collect();
    assert!(cut.is_empty(), "cut while the server stopped: {cut:?}");
    assert!(
        acknowledged > 20 && acknowledged < BUYERS * courses.len(),
        "{acknowledged}: stopped too late"
    );
    site.restart().await;
    for (buyer, (acknowledged, _)) in buyers.iter().zip(&outcomes) {
        for (order, body) in acknowledged {
            let now = buyer.get(&format!("/v1/orders/{order}")).await.expect(200);
            assert_eq!(
                now.json(),
                serde_json::from_slice::<serde_json::Value>(body).unwrap()
            );
        }
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_server_has_finished_everything() {
    let mut site = Site::start().await;
    let user = site.user_with(1_000).await;
    let course = site.course(PRICE).await;
    user.buy(&[&course]).await.expect(201);

    assert!(site.drain().await, "in time");

    assert!(
        site.client().call("GET", "/livez").try_send().await.is_err(),
        "nobody listens"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_outlives_a_server_that_is_killed_right_after_it() {
    let mut site = Site::start_process().await;
    let user = site.user().await;
    // A stop in good order keeps the login.
    site.terminate();
    site.process().ended().await;
    site.restart().await;
    user.get("/v1/me").await.expect(200);
    let path = format!("/v1/sessions/{}", user.session);
    user.call("DELETE", &path).send().await.expect(204);

    site.process().kill();
    site.restart().await;

    user.get("/v1/me").await.refused(401, "http.session_revoked");
    let refresh = json!({"refresh_token": user.refresh_token});
    let refreshed = site.client().post("/v1/sessions/refresh", &refresh).await;
    assert_eq!(refreshed.status, 401, "{refreshed:?}");
    site.finish().await;
}
