//! What operators see of the cluster and do to it, and the log of it.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Site, User, free_address, unique, until};

/// Two members that nobody runs, the first of which owns every shard.
async fn pretend_members(site: &Site) {
    let database = site.stores.connect().await;
    database
        .batch_execute(
            "INSERT INTO members (incarnation, node, state, http, link, version, lease_until) \
             SELECT coalesce(min(incarnation::text)::uuid, gen_random_uuid()), 'n1', 'serving', '', '', '0', now() \
             FROM shard_owner; \
             INSERT INTO members (incarnation, node, state, http, link, version, lease_until) \
             VALUES (gen_random_uuid(), 'n2', 'serving', '', '', '0', now()), \
                    (gen_random_uuid(), 'n3', 'joining', '', '', '0', now())",
        )
        .await
        .unwrap();
}

async fn wanted(site: &Site, node: &str) -> Option<String> {
    let database = site.stores.connect().await;
    let sql = "SELECT wanted_state FROM members WHERE node = $1";
    database.query_one(sql, &[&node]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let site = Site::start().await;
    pretend_members(&site).await;
    let operator = site.operator().await;

    let body = json!({"reason": "its disk is failing", "dry_run": true});
    let drain = operator.post("/admin/v1/nodes/n1/drain", &body).await.expect(200);
    let to = json!({"to": "n2", "reason": "its disk is failing", "dry_run": true});
    operator.post("/admin/v1/shards/7/move", &to).await.expect(200);

    assert_eq!(
        drain.json(),
        json!({"action": "drain", "target": "n1", "shards": 256, "from": "n1", "to": ["n2"],
               "dry_run": true, "audit": null})
    );
    assert_eq!(wanted(&site, "n1").await, None);
    let rows = "SELECT (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM shard_wishes)";
    assert_eq!(site.stores.count(rows).await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_accepted_with_its_reason_on_record() {
    let site = Site::start().await;
    pretend_members(&site).await;
    let operator = site.operator().await;
    let reason = json!({"reason": "  its disk is failing "});

    let body = json!({"to": "n2", "reason": "to balance by hand"});
    let moved = operator.post("/admin/v1/shards/7/move", &body).await.expect(202);
    operator
        .post("/admin/v1/nodes/n2/drain", &reason)
        .await
        .expect(202);
    // Whoever is to be drained takes nothing over.
    operator
        .post("/admin/v1/nodes/n1/evict", &reason)
        .await
        .refused(409, "cluster.last_member");

    assert_eq!(wanted(&site, "n2").await.as_deref(), Some("draining"));
    let database = site.stores.connect().await;
    let wish = database
        .query_one("SELECT shard, to_node, reason FROM shard_wishes", &[])
        .await
        .unwrap();
    let wish: (i16, String, String) = (wish.get(0), wish.get(1), wish.get(2));
    assert_eq!(wish, (7, "n2".to_owned(), "to balance by hand".to_owned()));
    assert_eq!(moved.json()["audit"]["number"], 1);
    let log = operator.get("/admin/v1/audit-log").await.expect(200).json();
    assert_eq!(log["data"][1]["action"], "move");
    let first = &log["data"][0];
    assert_eq!(
        (&first["operator"], &first["reason"], &first["target"]),
        (&json!(operator.id), &json!("its disk is failing"), &json!("n2"))
    );
    let page = operator
        .get("/admin/v1/audit-log?limit=1&after=2")
        .await
        .expect(200)
        .json();
    assert_eq!(page["data"][0]["number"], 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_make_no_sense_are_refused_and_leave_no_trace() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let reason = json!({"reason": "just because"});
    operator
        .post("/admin/v1/nodes/n1/drain", &reason)
        .await
        .refused(409, "cluster.alone");
    pretend_members(&site).await;

    for (path, body, status, code) in [
        ("nodes/n9/drain", reason.clone(), 404, "cluster.member_not_found"),
        (
            "nodes/n1/drain",
            json!({"reason": "no"}),
            422,
            "cluster.reason_length",
        ),
        (
            "nodes/n1/evict",
            json!({"reason": "x".repeat(501)}),
            422,
            "cluster.reason_length",
        ),
        (
            "nodes/n1/evict",
            json!({"reason": "nul\0byte"}),
            422,
            "cluster.reason_length",
        ),
        (
            "shards/256/move",
            json!({"to": "n2", "reason": "why not"}),
            404,
            "cluster.shard_not_found",
        ),
        (
            "shards/7/move",
            json!({"to": "n9", "reason": "why not"}),
            404,
            "cluster.member_not_found",
        ),
        (
            "shards/7/move",
            json!({"to": "n3", "reason": "why not"}),
            409,
            "cluster.member_not_serving",
        ),
        (
            "shards/x/move",
            json!({"to": "n2", "reason": "why not"}),
            400,
            "http.malformed_id",
        ),
    ] {
        operator
            .post(&format!("/admin/v1/{path}"), &body)
            .await
            .refused(status, code);
    }
    let missing = operator.post("/admin/v1/nodes/n1/drain", &json!({})).await;
    assert!((400..500).contains(&missing.status), "{missing:?}");

    assert_eq!(site.stores.count("SELECT count(*) FROM audit_log").await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_the_audit_log_unnoticed() {
    let site = Site::start().await;
    pretend_members(&site).await;
    let operator = site.operator().await;
    let order = async |number: u32| {
        let reason = json!({"reason": format!("reason {number}")});
        let (operator, path) = (operator.clone(), "/admin/v1/nodes/n1/drain");
        operator.post(path, &reason).await.expect(202);
    };
    let verify = async || {
        let verified = operator.get("/admin/v1/audit-log/verification").await.expect(200);
        verified.json()
    };
    // Also at once: each waits for the one before.
    futures_util::future::join_all((0..10).map(order)).await;
    assert_eq!(
        verify().await,
        json!({"intact": true, "rows": 10, "broken_at": null})
    );
    let database = site.stores.connect().await;
    for change in [
        "UPDATE audit_log SET reason = 'another'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ] {
        let refused = database.batch_execute(change).await.unwrap_err();
        assert!(
            refused.as_db_error().unwrap().message().contains("never changed"),
            "{refused}"
        );
    }

    for (change, broken_at) in [
        (
            "UPDATE audit_log SET operator = gen_random_uuid() WHERE number = 3",
            3,
        ),
        ("DELETE FROM audit_log WHERE number = 5", 6),
        ("UPDATE audit_log SET hash = sha256(hash) WHERE number = 7", 7),
    ] {
        let around = |change: &str| {
            format!(
                "BEGIN; ALTER TABLE audit_log DISABLE TRIGGER USER; CREATE TABLE kept AS SELECT * FROM audit_log; \
                 {change}; ALTER TABLE audit_log ENABLE TRIGGER USER; COMMIT"
            )
        };
        database.batch_execute(&around(change)).await.unwrap();
        let found = verify().await;
        assert_eq!(
            (&found["intact"], &found["broken_at"]),
            (&json!(false), &json!(broken_at)),
            "{change}"
        );
        database
            .batch_execute(
                "BEGIN; ALTER TABLE audit_log DISABLE TRIGGER USER; DELETE FROM audit_log; \
                 INSERT INTO audit_log SELECT * FROM kept; DROP TABLE kept; \
                 ALTER TABLE audit_log ENABLE TRIGGER USER; COMMIT",
            )
            .await
            .unwrap();
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_is_explained_without_what_is_personal_or_secret() {
    let site = Site::start().await;
    let course = site.course(700).await;
    let user = site.user_interested_in(&["secret-hobby"]).await;
    user.top_up(1_000).await;
    user.buy(&[&course]).await.expect(201);
    let events = json!({"events": [{"type": "view", "course_id": course}]});
    user.post("/v1/events", &events).await.expect(202);
    let operator = site.operator().await;
    // Logins and profiles are written behind.
    let explained = async |kind: &str, id: &str| -> Value {
        let path = format!("/admin/v1/entities/{kind}/{id}");
        until("the state is there", async || {
            let explained = operator.get(&path).await.expect(200).json();
            (!explained["state"].is_null()).then_some(explained)
        })
        .await
    };

    let account = explained("account", &user.id).await;
    let session = explained("session", &user.id).await;
    let buyer = explained("buyer", &user.id).await;
    let profile = explained("profile", &user.id).await;
    let shown = explained("course", &course).await;

    assert_eq!(account["state"]["state"], "open");
    assert_eq!(account["state"]["standing"]["is"], "active");
    assert_eq!(account["state"]["username"], "***");
    assert!(session["state"]["logins"][&user.session].is_object(), "{session}");
    assert_eq!(buyer["state"]["wallet"]["balance"], 300);
    assert_eq!(profile["state"]["owned"], json!([course]));
    assert!(shown["state"].to_string().contains("\"published\""), "{shown}");
    for explained in [&account, &session, &buyer, &profile, &shown] {
        assert_eq!(explained["here"], true, "{explained}");
        assert_eq!(explained["owner"]["epoch"], explained["epoch"], "{explained}");
        assert!(
            explained["turns"].is_array() && explained["mailbox_depth"].is_number(),
            "{explained}"
        );
        let text = explained.to_string();
        for secret in [
            user.username.as_str(),
            "example.com",
            "argon2",
            "secret-hobby",
            "A course",
            "tok_ok",
            "The first lesson",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_shows_members_shards_and_how_far_snapshots_follow() {
    let link = free_address();
    let site = Site::start_with(&[
        "cluster.join=database",
        "cluster.node=n1",
        &format!("link.listen={link}"),
    ])
    .await;
    let operator = site.operator().await;

    let view = operator.get("/admin/v1/cluster").await.expect(200).json();

    assert_eq!(view["members"][0]["node"], "n1");
    assert_eq!(view["members"][0]["state"], "serving");
    assert_eq!(view["shards"].as_array().unwrap().len(), 256);
    for snapshot in ["catalog", "logins", "counters", "keys", "model"] {
        assert!(view["snapshots"][snapshot]["lag_ms"].is_u64(), "{view}");
    }
    let reason = json!({"reason": "nobody else is there"});
    let drain = operator.post("/admin/v1/nodes/n1/drain", &reason).await;
    drain.refused(409, "cluster.last_member");
    let weak = json!({"username": unique("user-"), "password": PASSWORD});
    assert_ne!(operator.post("/v1/users", &weak).await.status, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_moves_to_the_member_that_an_operator_names() {
    let (first, second) = (free_address(), free_address());
    let site = Site::start_with(&[
        "cluster.join=database",
        "cluster.node=n1",
        &format!("link.listen={first}"),
        // Nothing moves by itself meanwhile.
        "cluster.settle_s=600",
    ])
    .await;
    let operator = site.operator().await;
    let _beside = site
        .beside_with(&["cluster.node=n2".to_owned(), format!("link.listen={second}")])
        .await;
    let owner = async |shard: usize| {
        let view = operator.get("/admin/v1/cluster").await.expect(200).json();
        view["shards"][shard]["node"].as_str().map(ToOwned::to_owned)
    };
    let shard = until("n1 owns a shard", async || {
        let view = operator.get("/admin/v1/cluster").await.expect(200).json();
        let shards = view["shards"].as_array().unwrap();
        let serving = view["members"].as_array().unwrap().iter();
        let both = serving.filter(|member| member["state"] == "serving").count() == 2;
        both.then(|| shards.iter().position(|shard| shard["node"] == "n1"))
            .flatten()
    })
    .await;

    let body = json!({"to": "n2", "reason": "to see it move"});
    operator
        .post(&format!("/admin/v1/shards/{shard}/move"), &body)
        .await
        .expect(202);

    until("the shard has moved", async || {
        (owner(shard).await.as_deref() == Some("n2")).then_some(())
    })
    .await;
}

/// Whoever is no operator is told so on every route of this file; see also `authorisation`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_no_operator_neither_sees_nor_does_any_of_it() {
    let site = Site::start().await;
    pretend_members(&site).await;
    let user: User = site.user().await;
    let body = json!({"reason": "just because"});

    for path in ["nodes/n1/drain", "nodes/n1/evict", "shards/7/move"] {
        let answer = user.post(&format!("/admin/v1/{path}"), &body).await;
        answer.refused(403, "http.forbidden");
    }
    for path in ["audit-log", "audit-log/verification", "cluster"] {
        user.get(&format!("/admin/v1/{path}"))
            .await
            .refused(403, "http.forbidden");
    }

    assert_eq!(wanted(&site, "n1").await, None);
    site.finish().await;
}
