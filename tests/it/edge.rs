//! The edge: refusals in one form, authorisation route by route, request ids, limits, methods, health.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Answer, Call, PASSWORD, Site, registration, unknown_course};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_cannot_be_understood_is_a_problem_that_says_what_and_where() {
    let site = Site::start().await;
    let user = site.user().await;
    let json = |call: Call| call.header("content-type", "application/json");
    let users = || site.client().call("POST", "/v1/users");
    let mut unknown_field = registration("newcomer");
    unknown_field["role"] = json!("operator");
    let large = format!("{{\"username\": \"{}\"}}", "x".repeat(1_100_000));

    json(users().bytes("{\"username\": "))
        .send()
        .await
        .refused(400, "http.malformed_json");
    json(users().bytes("{} {}")).send().await.expect(400);
    json(users().bytes(vec![0xff, 0xfe]))
        .send()
        .await
        .refused(400, "http.malformed_json");
    json(users()).send().await.refused(400, "http.malformed_json");
    json(users().bytes("[]"))
        .send()
        .await
        .refused(400, "http.invalid_body");
    json(users().bytes("[".repeat(100_000))).send().await.expect(400);
    json(users().bytes("{\"interests\":".repeat(50_000)))
        .send()
        .await
        .expect(400);
    let by_position = json!(["newcomer", PASSWORD, "newcomer@example.com", null, []]);
    users()
        .json(&by_position)
        .send()
        .await
        .refused(400, "http.invalid_body");
    json(users().bytes(large))
        .send()
        .await
        .refused(413, "http.body_too_large");
    users()
        .bytes("{}")
        .send()
        .await
        .refused(415, "http.unsupported_media_type");
    users()
        .bytes("{}")
        .header("content-type", "text/plain")
        .send()
        .await
        .refused(415, "http.unsupported_media_type");
    users()
        .json(&registration("newcomer"))
        .header("content-encoding", "gzip")
        .send()
        .await
        .refused(415, "http.unsupported_content_encoding");
    users()
        .json(&unknown_field)
        .send()
        .await
        .refused(400, "http.invalid_body");
    let wrong_type = json!({"items": [{"course_id": 7}], "payment_method": "wallet"});
    let refused = user
        .post_as("key", "/v1/orders", &wrong_type)
        .await
        .refused(400, "http.invalid_body");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/0/course_id");
    let nested_by_position = json!({"items": [[unknown_course()]], "payment_method": "wallet"});
    let refused = user
        .post_as("key", "/v1/orders", &nested_by_position)
        .await
        .refused(400, "http.invalid_body");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/0");

    for id in [
        "x",
        &user.id,
        "crs_01h455vb4pex5vsknk084sn02",
        "crs_81h455vb4pex5vsknk084sn02q",
        "%00",
        "crs_%F0%9F%92%A9",
    ] {
        user.get(&format!("/v1/courses/{id}"))
            .await
            .refused(400, "http.malformed_id");
    }
    user.get("/v1/courses?limit=5&limit=6")
        .await
        .refused(400, "http.invalid_query");
    user.get("/v1/me/orders?page=2")
        .await
        .refused(400, "http.invalid_query");
    user.get("/v1/nothing").await.refused(404, "http.route_not_found");
    user.get("/v1/../v1/me")
        .await
        .refused(404, "http.route_not_found");
    let wrong_method = user
        .call("PUT", "/v1/me")
        .send()
        .await
        .refused(405, "http.method_not_allowed");
    assert_eq!(allowed(&wrong_method), ["GET", "HEAD", "OPTIONS", "PATCH"]);
    site.finish().await;
}

fn allowed(answer: &Answer) -> Vec<&str> {
    let mut methods: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
    methods.sort_unstable();
    methods
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_the_id_that_its_client_gave_it() {
    let site = Site::start().await;
    let client = site.client();
    let get = async |path: &str, id: &str| client.call("GET", path).header("x-request-id", id).send().await;

    let found = get("/v1/courses", "my-request-1").await.expect(200);
    let missing = get("/v1/nothing", "my-request-2").await.expect(404);
    let unnamed = client.get("/v1/nothing").await.expect(404);

    assert_eq!(found.header("x-request-id"), Some("my-request-1"));
    assert_eq!(missing.header("x-request-id"), Some("my-request-2"));
    assert_eq!(missing.text("request_id"), "my-request-2");
    assert_eq!(
        unnamed.header("x-request-id"),
        Some(unnamed.text("request_id").as_str())
    );
    for unusable in ["two words", &"x".repeat(129)] {
        let answer = get("/v1/nothing", unusable).await.expect(404);
        assert_ne!(
            answer.text("request_id"),
            unusable,
            "what is no id is not repeated"
        );
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_told_and_kept_for_each_caller() {
    let settings = [
        "http.rate.authenticated.requests=5",
        "http.rate.authenticated.window_s=600",
    ];
    let site = Site::start_with(&settings).await;
    let (ada, bob) = (site.user().await, site.user().await);

    let mut answers: Vec<Answer> = Vec::new();
    for _ in 0..6 {
        answers.push(ada.get("/v1/me").await);
    }

    let remaining = |answer: &Answer| answer.header("ratelimit").unwrap().to_owned();
    assert!(
        remaining(&answers[0]).contains("r=4"),
        "{}",
        remaining(&answers[0])
    );
    assert!(
        answers[0]
            .header("ratelimit-policy")
            .unwrap()
            .contains("q=5;w=600")
    );
    assert!(answers[..5].iter().all(|answer| answer.status == 200));
    let refused = answers.pop().unwrap().refused(429, "http.rate_limited");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(remaining(&refused).contains("r=0"));
    assert_eq!(refused.json()["retryable"], true);
    bob.get("/v1/me").await.expect(200);
    site.client().get("/livez").await.expect(200);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_like_get_without_a_body_and_options_names_the_methods() {
    let site = Site::start().await;
    let course = site.course(100).await;
    let client = site.client();
    for path in [format!("/v1/courses/{course}"), "/openapi.json".to_owned()] {
        let get = client.get(&path).await.expect(200);
        let head = client.call("HEAD", &path).send().await.expect(200);

        assert!(head.body.is_empty());
        for header in ["content-type", "content-length", "etag"] {
            assert_eq!(head.header(header), get.header(header), "{header} of {path}");
        }
    }
    let options = client.call("OPTIONS", "/v1/courses").send().await.expect(204);
    assert_eq!(allowed(&options), ["GET", "HEAD", "OPTIONS", "POST"]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_openapi_and_its_page_fetches_nothing_from_elsewhere() {
    let site = Site::start().await;
    let client = site.client();

    let description = client.get("/openapi.json").await.expect(200).json();
    let page = client.get("/docs").await.expect(200);

    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeMap::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"]
                .as_str()
                .unwrap_or_else(|| panic!("{method} {path} has no id"));
            assert_eq!(ids.insert(id.to_owned(), path.clone()), None, "{id} twice");
        }
    }
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    for attribute in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
        assert!(!html.contains(attribute), "{attribute} in the page");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_nodes_shards_entities_and_the_books() {
    let site = Site::start().await;
    let (operator, user) = (site.operator().await, site.user_with(100).await);

    let cluster = operator.get("/admin/v1/cluster").await.expect(200).json();
    let buyer = operator
        .get(&format!("/admin/v1/entities/buyer/{}", user.id))
        .await
        .expect(200)
        .json();
    let sagas = operator.get("/admin/v1/sagas").await.expect(200).json();

    assert_eq!(cluster["shards"].as_array().unwrap().len(), 256);
    assert!(
        cluster["shards"]
            .as_array()
            .unwrap()
            .iter()
            .all(|shard| shard["state"] == "serving")
    );
    assert!(buyer["version"].as_u64().unwrap() >= 1, "{buyer}");
    assert!(buyer["shard"].is_u64() && buyer["epoch"] == 1, "{buyer}");
    assert!(sagas["data"].is_array());
    operator
        .get("/admin/v1/entities/buyer/usr_01h455vb4pex5vsknk084sn02q")
        .await
        .refused(404, "http.entity_not_found");
    operator
        .get(&format!("/admin/v1/entities/ghost/{}", user.id))
        .await
        .refused(404, "http.entity_not_found");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_tell_how_the_node_is() {
    let site = Site::start().await;
    let client = site.client();

    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(
            client.get(probe).await.expect(200).text("status"),
            "ok",
            "{probe}"
        );
    }
    site.finish().await;
}
