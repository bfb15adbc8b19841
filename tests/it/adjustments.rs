//! Adjustments of the ledger: one operator proposes, another decides, and wallet and ledger agree at every moment.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Site, User, unique, until};

fn proposal(entries: &Value) -> Value {
    json!({"reason": "a fee that was never charged", "currency": "CNY", "entries": entries})
}

/// Goodwill for somebody at the platform's cost.
fn goodwill(owner: &User, amount: i64) -> Value {
    proposal(&json!([
        {"account": "user_wallet", "owner": owner.id, "amount": amount},
        {"account": "platform_revenue", "amount": -amount},
    ]))
}

async fn proposed(maker: &User, body: &Value) -> String {
    let answer = maker
        .post_as(&unique("propose-"), "/admin/v1/adjustments", body)
        .await;
    answer.expect(201).text("id")
}

async fn becomes(operator: &User, id: &str, state: &str) -> Value {
    let path = format!("/admin/v1/adjustments/{id}");
    until("the adjustment moves", async || {
        let adjustment = operator.get(&path).await.expect(200).json();
        (adjustment["state"] == state).then_some(adjustment)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adjustment_needs_two_operators_and_is_posted_once() {
    let site = Site::start().await;
    let (maker, checker) = (site.operator().await, site.another_operator().await);
    let ada = site.user_with(1_000).await;
    let body = goodwill(&ada, 500);
    let created = maker
        .post_as("p1", "/admin/v1/adjustments", &body)
        .await
        .expect(201);
    let again = maker
        .post_as("p1", "/admin/v1/adjustments", &body)
        .await
        .expect(201);
    assert_eq!(created.body, again.body, "the same proposal");
    let id = created.text("id");
    assert_eq!(
        created.header("location"),
        Some(format!("/admin/v1/adjustments/{id}").as_str())
    );
    let path = format!("/admin/v1/adjustments/{id}/approve");
    let why = json!({"reason": "seen the ticket"});

    maker
        .post_as("own", &path, &why)
        .await
        .refused(403, "commerce.adjustment_same_operator");
    assert_eq!(ada.wallet().await, (1_000, 0));
    // However often it is approved, and by as many requests at once.
    let approvals = join_all((0..20).map(|_| checker.post_as("a1", &path, &why))).await;

    let first = approvals[0].body.clone();
    for approval in &approvals {
        assert!([200, 202].contains(&approval.status), "{approval:?}");
        assert_eq!(approval.body, first);
    }
    let posted = becomes(&maker, &id, "posted").await;
    assert_eq!(
        (&posted["maker"], &posted["checker"]),
        (&json!(maker.id), &json!(checker.id))
    );
    assert_eq!(ada.wallet().await, (1_500, 0));
    let rows = format!(
        "SELECT count(*) FROM ledger_transactions WHERE step = 5 AND wallet_change = 500 AND {} = 1",
        "(SELECT count(*) FROM adjustments)"
    );
    assert_eq!(site.stores.count(&rows).await, 1);
    let entries = ada.get("/v1/me/wallet").await.expect(200).json();
    assert_eq!(entries["entries"]["data"][0]["kind"], "adjustment");
    assert_eq!(entries["entries"]["data"][0]["reference"], json!(id));
    // Who proposed and who approved is on record, and the chain holds.
    let log = maker.get("/admin/v1/audit-log").await.expect(200).json();
    let deeds: Vec<(&Value, &Value)> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|deed| deed["target"] == json!(id))
        .map(|deed| (&deed["action"], &deed["operator"]))
        .collect();
    assert_eq!(
        deeds,
        [
            (&json!("approve_adjustment"), &json!(checker.id)),
            (&json!("propose_adjustment"), &json!(maker.id)),
        ]
    );
    let verified = maker.get("/admin/v1/audit-log/verification").await.expect(200);
    assert_eq!(verified.json()["intact"], true);
    let late = json!({"reason": "changed my mind"});
    checker
        .post(&format!("/admin/v1/adjustments/{id}/reject"), &late)
        .await
        .refused(409, "commerce.wrong_state");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_that_cannot_bear_it_refuses_and_nothing_is_posted() {
    let site = Site::start().await;
    let (maker, checker) = (site.operator().await, site.another_operator().await);
    let ada = site.user_with(1_000).await;
    let id = proposed(&maker, &goodwill(&ada, -1_001)).await;

    let path = format!("/admin/v1/adjustments/{id}/approve");
    checker
        .post_as("a", &path, &json!({"reason": "take it back"}))
        .await
        .expect(202);

    let refused = becomes(&maker, &id, "rejected").await;
    assert_eq!(refused["refusal"], "commerce.insufficient_funds");
    assert_eq!(ada.wallet().await, (1_000, 0));
    let rows = "SELECT count(*) FROM ledger_transactions WHERE step = 5";
    assert_eq!(site.stores.count(rows).await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_no_wallet_is_posted_with_its_approval() {
    let site = Site::start().await;
    let (maker, checker) = (site.operator().await, site.another_operator().await);
    let fee = proposal(&json!([
        {"account": "fees", "amount": -300},
        {"account": "provider_clearing", "amount": 300},
    ]));
    let id = proposed(&maker, &fee).await;
    let other = proposed(&maker, &fee).await;
    let why = json!({"reason": "statement of June"});

    let approved = checker
        .post_as("a", &format!("/admin/v1/adjustments/{id}/approve"), &why)
        .await
        .expect(200);
    let rejected = checker
        .post_as("r", &format!("/admin/v1/adjustments/{other}/reject"), &why)
        .await
        .expect(200);

    assert_eq!(
        (approved.text("state"), rejected.text("state")),
        ("posted".into(), "rejected".into())
    );
    let list = async |query: &str| {
        let list = maker
            .get(&format!("/admin/v1/adjustments{query}"))
            .await
            .expect(200);
        (list.ids(), list.json()["next"].clone())
    };
    assert_eq!(list("?state=posted").await, (vec![id.clone()], Value::Null));
    assert_eq!(list("?state=proposed").await, (vec![], Value::Null));
    let (newest, next) = list("?limit=1").await;
    assert_eq!(newest, [other]);
    assert_eq!(list(&format!("?after={}", next.as_str().unwrap())).await.0, [id]);
    for (query, code) in [
        ("?state=lost", "http.invalid_query"),
        ("?limit=0", "http.invalid_query"),
        ("?after=x", "http.malformed_cursor"),
    ] {
        let answer = maker.get(&format!("/admin/v1/adjustments{query}")).await;
        answer.refused(400, code);
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_that_no_ledger_may_hold_are_refused_and_leave_no_trace() {
    let site = Site::start_with(&[
        "commerce.adjustment_amount_max=10000",
        "commerce.adjustment_entries_max=3",
    ])
    .await;
    let operator = site.operator().await;
    let ada = site.user().await;
    let revenue = |amount: i64| json!({"account": "platform_revenue", "amount": amount});
    let wallet =
        |owner: &str, amount: i64| json!({"account": "user_wallet", "owner": owner, "amount": amount});
    let nobody = "usr_01h455vb4pex5vsknk084sn02q";
    for (entries, code) in [
        (json!([]), "commerce.adjustment_entries"),
        (json!([revenue(5)]), "commerce.adjustment_entries"),
        (json!([revenue(5), revenue(-5)]), "commerce.adjustment_entries"),
        (
            json!([revenue(5), wallet(&ada.id, -4)]),
            "commerce.adjustment_unbalanced",
        ),
        (
            json!([revenue(10_001), wallet(&ada.id, -10_001)]),
            "commerce.amount_out_of_range",
        ),
        (
            json!([revenue(0), wallet(&ada.id, 0)]),
            "commerce.amount_out_of_range",
        ),
        (
            json!([revenue(-5), wallet(nobody, 5)]),
            "commerce.adjustment_entries",
        ),
        (
            json!([revenue(-5), {"account": "user_wallet", "amount": 5}]),
            "commerce.adjustment_entries",
        ),
        (
            json!([wallet(&ada.id, -5), wallet(&operator.id, 5)]),
            "commerce.adjustment_one_wallet",
        ),
        (
            json!([revenue(-5), {"account": "wallet_hold", "owner": ada.id, "amount": 5}]),
            "commerce.adjustment_entries",
        ),
        (
            json!([revenue(-3), {"account": "fees", "amount": 1}, {"account": "tax_payable", "amount": 1}, wallet(&ada.id, 1)]),
            "commerce.adjustment_entries",
        ),
    ] {
        let line = entries.to_string();
        let refused = operator
            .post_as(&unique("k-"), "/admin/v1/adjustments", &proposal(&entries))
            .await;

        assert_eq!(
            (refused.status, refused.text("code").as_str()),
            (422, code),
            "{line}"
        );
    }
    let fine = json!([revenue(-5), wallet(&ada.id, 5)]);
    let mut dollars = proposal(&fine);
    dollars["currency"] = "USD".into();
    let mut vague = proposal(&fine);
    vague["reason"] = "no".into();
    for (body, status, code) in [
        (dollars, 422, "commerce.currency_unsupported"),
        (vague, 422, "commerce.reason_length"),
        (
            proposal(&json!([{"account": "gifts", "amount": 5}])),
            400,
            "http.invalid_body",
        ),
    ] {
        let answer = operator
            .post_as(&unique("k-"), "/admin/v1/adjustments", &body)
            .await;

        assert_eq!(
            (answer.status, answer.text("code").as_str()),
            (status, code),
            "{body}"
        );
    }
    operator
        .post("/admin/v1/adjustments", &proposal(&fine))
        .await
        .refused(400, "http.idempotency_key_missing");
    let missing = "/admin/v1/adjustments/adj_01h455vb4pex5vsknk084sn02q";
    operator
        .get(missing)
        .await
        .refused(404, "commerce.adjustment_not_found");
    operator
        .post_as("m", &format!("{missing}/approve"), &json!({"reason": "why not"}))
        .await
        .refused(404, "commerce.adjustment_not_found");
    let rows = "SELECT (SELECT count(*) FROM adjustments) + (SELECT count(*) FROM audit_log)";
    assert_eq!(site.stores.count(rows).await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adjustment_that_was_approved_before_a_crash_is_posted_after_it() {
    let mut site = Site::start_process().await;
    let (maker, checker) = (site.operator().await, site.another_operator().await);
    let ada = site.user_with(1_000).await;
    let mut ids = Vec::new();
    for amount in 1..=20 {
        ids.push((proposed(&maker, &goodwill(&ada, amount)).await, amount));
    }
    let approve = async |id: &str| {
        let path = format!("/admin/v1/adjustments/{id}/approve");
        checker
            .call("POST", &path)
            .json(&json!({"reason": "seen"}))
            .key(id)
            .try_send()
            .await
    };
    let approvals = join_all(ids[..10].iter().map(|(id, _)| approve(id)));
    // The process ends somewhere between approvals and postings.
    let (_, ()) = tokio::join!(approvals, async {
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        site.process().kill();
    });
    site.restart().await;

    let (maker, checker) = (
        site.operator().await,
        User::log_in(&site.client(), &checker.username, crate::harness::PASSWORD).await,
    );
    for (id, _) in &ids {
        let path = format!("/admin/v1/adjustments/{id}/approve");
        let answer = checker.post_as(id, &path, &json!({"reason": "seen"})).await;
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
    for (id, _) in &ids {
        becomes(&maker, id, "posted").await;
    }
    let ada = User::log_in(&site.client(), &ada.username, crate::harness::PASSWORD).await;
    assert_eq!(ada.wallet().await, (1_000 + (1..=20).sum::<i64>(), 0));
    site.finish().await;
}
