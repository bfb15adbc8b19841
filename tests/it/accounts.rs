//! Accounts: registration, logins and their end, tokens, profiles, and what operators do to accounts.

use std::time::Duration;

use lyceum::http::TokenSettings;
use serde_json::json;

use crate::harness::{Mint, PASSWORD, Site, User, registration, unique, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_registers_can_log_in_and_read_their_profile() {
    let site = Site::start().await;
    let username = unique("学员");
    let mut body = registration("ascii");
    body["username"] = json!(username);
    body["interests"] = json!(["rust", "编程"]);

    let registered = site.client().post("/v1/users", &body).await.expect(201);
    let user = User::log_in(&site.client(), &username, PASSWORD).await;

    let id = registered.text("id");
    assert_eq!(
        registered.header("location"),
        Some(format!("/v1/users/{id}").as_str())
    );
    assert_eq!(id, user.id);
    let me = user.get("/v1/me").await.expect(200).json();
    assert_eq!(me["username"], username);
    assert_eq!(me["interests"], json!(["rust", "编程"]));
    assert_eq!(me["state"], "active");
    let with_balance = user.get(&format!("/v1/users/{id}")).await.expect(200).json();
    assert_eq!(with_balance["balance"], json!({"amount": 0, "currency": "CNY"}));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_username_or_an_email_that_is_taken_is_refused_whatever_its_case() {
    let site = Site::start().await;
    let client = site.client();
    client.post("/v1/users", &registration("Ada")).await.expect(201);

    let mut same_name = registration("aDA");
    same_name["email"] = json!("somebody@example.com");
    let mut same_email = registration("Grace");
    same_email["email"] = json!("Ada@Example.com");

    client
        .post("/v1/users", &same_name)
        .await
        .refused(409, "accounts.username_taken");
    client
        .post("/v1/users", &same_email)
        .await
        .refused(409, "accounts.email_taken");
    assert_eq!(
        site.stores.count("SELECT count(*) FROM accounts").await,
        2,
        "Ada and the operator"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_registrations_that_race_for_a_username_one_wins() {
    let site = Site::start().await;
    let client = site.client();
    let race = (0..8).map(|number| {
        let mut body = registration("wanted");
        body["email"] = json!(format!("racer-{number}@example.com"));
        let client = client.clone();
        async move { client.post("/v1/users", &body).await.status }
    });

    let mut statuses = futures_util::future::join_all(race).await;

    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weak_passwords_and_malformed_fields_are_refused_with_their_place() {
    let site = Site::start().await;
    let client = site.client();
    let refusals = [
        ("password", json!("short7!"), "accounts.password_length"),
        ("password", json!("x".repeat(65)), "accounts.password_length"),
        ("password", json!("password1"), "accounts.password_too_weak"),
        ("password", json!("12345678"), "accounts.password_too_weak"),
        ("username", json!("a b"), "accounts.username_invalid"),
        ("username", json!("ab"), "accounts.username_invalid"),
        ("email", json!("nobody"), "accounts.email_invalid"),
        ("display_name", json!(""), "accounts.display_name_invalid"),
    ];
    for (field, value, code) in refusals {
        let mut body = registration("newcomer");
        body[field] = value;

        let refused = client.post("/v1/users", &body).await.refused(422, code).json();

        assert_eq!(refused["errors"][0]["pointer"], format!("/{field}"), "{refused}");
    }
    client
        .post("/v1/users", &registration("newcomer"))
        .await
        .expect(201);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let site = Site::start().await;
    let user = site.user().await;
    let log_in = async |username: &str, password: &str| {
        let body = json!({"username": username, "password": password});
        let answer = site.client().post("/v1/sessions", &body).await;
        answer.refused(401, "accounts.invalid_credentials").text("detail")
    };

    let wrong = log_in(&user.username, "not-the-Password-9").await;
    let unknown = log_in("nobody-of-that-name", PASSWORD).await;

    assert_eq!(wrong, unknown);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_again_with_the_same_key_answers_the_same_bytes() {
    let site = Site::start().await;
    let client = site.client();
    let (key, body) = (unique("key-"), registration("once"));

    let first = client.post_as(&key, "/v1/users", &body).await.expect(201);
    let again = client.post_as(&key, "/v1/users", &body).await.expect(201);
    let mut other = body.clone();
    other["display_name"] = json!("Somebody else");

    assert_eq!(first.body, again.body);
    assert_eq!(first.header("location"), again.header("location"));
    client
        .post_as(&key, "/v1/users", &other)
        .await
        .refused(422, "http.idempotency_key_reused");
    assert_eq!(
        site.stores
            .count("SELECT count(*) FROM accounts WHERE username_key = 'once'")
            .await,
        1
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshing_rotates_the_token_and_using_one_twice_ends_the_whole_login() {
    let site = Site::start().await;
    let user = site.user().await;
    let other_device = User::log_in(&site.client(), &user.username, PASSWORD).await;
    let refresh = async |token: &str| {
        let body = json!({"refresh_token": token});
        site.client().post("/v1/sessions/refresh", &body).await
    };

    let second = User::of(
        &site.client(),
        &user.username,
        &refresh(&user.refresh_token).await.expect(200).json(),
    );
    let third = User::of(
        &site.client(),
        &user.username,
        &refresh(&second.refresh_token).await.expect(200).json(),
    );
    third.get("/v1/me").await.expect(200);
    let reused = refresh(&user.refresh_token).await;

    assert_eq!(second.session, user.session);
    assert_ne!(second.refresh_token, user.refresh_token);
    reused.refused(401, "accounts.refresh_reused");
    assert_eq!(
        refresh(&third.refresh_token).await.status,
        401,
        "the family is revoked"
    );
    third.get("/v1/me").await.refused(401, "http.session_revoked");
    other_device.get("/v1/me").await.expect(200);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_refreshes_that_race_with_one_token_at_most_one_succeeds() {
    let site = Site::start().await;
    let user = site.user().await;
    let race = (0..8).map(|_| {
        let (client, body) = (site.client(), json!({"refresh_token": user.refresh_token}));
        async move { client.post("/v1/sessions/refresh", &body).await.status }
    });

    let statuses = futures_util::future::join_all(race).await;

    assert!(
        statuses.iter().filter(|&&status| status == 200).count() <= 1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 401].contains(status)),
        "{statuses:?}"
    );
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_the_access_token_at_once_and_no_other_device() {
    let site = Site::start().await;
    let user = site.user().await;
    let other_device = User::log_in(&site.client(), &user.username, PASSWORD).await;
    let sessions = user.get("/v1/me/sessions").await.expect(200);
    assert_eq!(
        sessions.ids(),
        [user.session.clone(), other_device.session.clone()]
    );
    assert_eq!(sessions.json()["data"][0]["current"], true);

    let path = format!("/v1/sessions/{}", user.session);
    user.call("DELETE", &path).send().await.expect(204);

    user.get("/v1/me").await.refused(401, "http.session_revoked");
    let refresh = json!({"refresh_token": user.refresh_token});
    assert_eq!(
        site.client().post("/v1/sessions/refresh", &refresh).await.status,
        401
    );
    let left = other_device.get("/v1/me/sessions").await.expect(200);
    assert_eq!(left.ids(), [other_device.session.as_str()]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_session_is_not_found_and_stays() {
    let site = Site::start().await;
    let (ada, eve) = (site.user().await, site.user().await);

    let path = format!("/v1/sessions/{}", ada.session);
    let refused = eve.call("DELETE", &path).send().await;

    refused.refused(404, "accounts.session_not_found");
    ada.get("/v1/me").await.expect(200);
    eve.get(&format!("/v1/users/{}", ada.id))
        .await
        .refused(404, "accounts.account_not_found");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspending_ends_every_login_and_keeps_the_user_out_until_reinstated() {
    let site = Site::start().await;
    let (operator, user) = (site.operator().await, site.user().await);
    let path = |action: &str| format!("/admin/v1/users/{}/{action}", user.id);
    let log_in = json!({"username": user.username, "password": PASSWORD});

    let suspended = operator
        .post(&path("suspend"), &json!({"reason": "spam"}))
        .await
        .expect(200);

    assert_eq!(suspended.json()["state"], "suspended");
    until("the login has ended", async || {
        (user.get("/v1/me/sessions").await.status == 401).then_some(())
    })
    .await;
    site.client()
        .post("/v1/sessions", &log_in)
        .await
        .refused(403, "accounts.account_suspended");
    let refresh = json!({"refresh_token": user.refresh_token});
    let refreshed = site.client().post("/v1/sessions/refresh", &refresh).await;
    assert!([401, 403].contains(&refreshed.status), "{}", refreshed.status);
    let again = operator.post(&path("suspend"), &json!({"reason": "spam"})).await;
    assert_eq!(
        again.refused(409, "accounts.wrong_state").text("current_state"),
        "suspended"
    );

    operator.act(&path("reinstate")).await.expect(200);

    site.client().post("/v1/sessions", &log_in).await.expect(201);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_tokens_of_this_site_that_are_still_good_identify_somebody() {
    let site = Site::start().await;
    let user = site.user().await;
    let mint = Mint::of(&site).await;
    let me = async |token: &str| site.client().with_token(token).get("/v1/me").await;
    let usual = TokenSettings::default;

    me(&mint.token(&user, usual(), Duration::ZERO)).await.expect(200);

    let audience = TokenSettings {
        audience: "another-api".into(),
        ..usual()
    };
    let issuer = TokenSettings {
        issuer: "another-site".into(),
        ..usual()
    };
    let long_lived = TokenSettings {
        lifetime_s: 86_400,
        ..usual()
    };
    let (head, signature) = user.access_token.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    // {"sub":"somebody","roles":["operator"]}
    let payload = "eyJzdWIiOiJzb21lYm9keSIsInJvbGVzIjpbIm9wZXJhdG9yIl19";
    // {"alg":"none","typ":"at+jwt"}
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let forged = [
        mint.forger().token(&user, usual(), Duration::ZERO),
        mint.token(&user, audience, Duration::ZERO),
        mint.token(&user, issuer, Duration::ZERO),
        mint.token(&user, long_lived, Duration::ZERO),
        format!("{header}.{payload}.{signature}"),
        format!("{unsigned}.{payload}."),
        format!("{head}."),
        user.refresh_token.clone(),
        "x".repeat(5000),
    ];
    for token in forged {
        me(&token).await.refused(401, "http.token_invalid");
    }
    let old = mint.token(&user, usual(), Duration::from_secs(700));
    let expired = me(&old).await.refused(401, "http.token_expired");
    assert_eq!(expired.header("www-authenticate"), Some("Bearer"));
    site.client()
        .get("/v1/me")
        .await
        .refused(401, "http.unauthenticated");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_edited_against_the_version_that_was_read() {
    let site = Site::start().await;
    let user = site.user().await;
    let read = user.get("/v1/me").await.expect(200);
    let etag = read.header("etag").unwrap().to_owned();
    let edit = async |tag: &str, name: &str| {
        let body = json!({"display_name": name});
        user.call("PATCH", "/v1/me")
            .header("if-match", tag)
            .json(&body)
            .send()
            .await
    };

    let edited = edit(&etag, "First").await.expect(200);
    let late = edit(&etag, "Second").await;

    late.refused(412, "accounts.changed_meanwhile");
    let new_etag = edited.header("etag").unwrap();
    assert_ne!(new_etag, etag);
    let now = user.get("/v1/me").await.expect(200);
    assert_eq!(now.json()["display_name"], "First");
    assert_eq!(now.header("etag"), Some(new_etag));
    let unchanged = user
        .call("GET", "/v1/me")
        .header("if-none-match", new_etag)
        .send()
        .await
        .expect(304);
    assert!(unchanged.body.is_empty());
    edit("\"no version\"", "Third").await.refused(412, "http.stale");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_the_password_ends_every_other_login() {
    let site = Site::start().await;
    let user = site.user().await;
    let other_device = User::log_in(&site.client(), &user.username, PASSWORD).await;
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        user.post("/v1/me/password", &body).await
    };
    let new = "green-Kettle-88-moth";

    change("not-the-Password-9", new)
        .await
        .refused(401, "accounts.invalid_credentials");
    change(PASSWORD, "password1")
        .await
        .refused(422, "accounts.password_too_weak");
    change(PASSWORD, new).await.expect(204);

    user.get("/v1/me").await.expect(200);
    until("the other login has ended", async || {
        (other_device.get("/v1/me").await.status == 401).then_some(())
    })
    .await;
    let old = json!({"username": user.username, "password": PASSWORD});
    site.client()
        .post("/v1/sessions", &old)
        .await
        .refused(401, "accounts.invalid_credentials");
    User::log_in(&site.client(), &user.username, new).await;
    site.finish().await;
}
