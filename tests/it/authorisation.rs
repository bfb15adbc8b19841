//! Who may do what, over every route that the API describes: deny by default, and what is somebody else's is not there.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Call, Client, CourseSpec, PASSWORD, Site, User, cny, lesson_id, put_lesson, unique};

/// What belongs to Ada, by what stands in paths for it; none of it may ever be shown to Eve.
struct Belongings {
    user: String,
    session: String,
    draft: String,
    lesson: String,
    order: String,
    top_up: String,
    endpoint: String,
}

impl Belongings {
    async fn of(site: &Site, ada: &User) -> Self {
        let course = site.course(500).await;
        let draft = ada
            .post("/v1/courses", &CourseSpec::default().body())
            .await
            .expect(201)
            .text("id");
        let lesson = lesson_id();
        put_lesson(ada, &draft, &lesson, "secret").await.expect(200);
        Belongings {
            user: ada.id.clone(),
            session: ada.session.clone(),
            order: ada.buy(&[&course]).await.expect(201).text("id"),
            top_up: ada.ask_top_up(1, "tok_ok").await.expect(202).text("id"),
            endpoint: ada
                .post(
                    "/v1/me/webhook-endpoints",
                    &json!({"url": "http://127.0.0.1:9/", "events": ["order.expired"]}),
                )
                .await
                .expect(201)
                .text("id"),
            draft,
            lesson,
        }
    }

    fn all(&self) -> [&str; 7] {
        [
            &self.user,
            &self.session,
            &self.draft,
            &self.lesson,
            &self.order,
            &self.top_up,
            &self.endpoint,
        ]
    }

    fn path(&self, template: &str) -> String {
        let id = match template
            .split('/')
            .rfind(|part| !part.starts_with('{') && template.contains(&format!("/{part}/{{")))
        {
            Some("entities") | None => &self.user,
            _ if template.contains("/users/") => &self.user,
            _ if template.contains("/sessions/") => &self.session,
            _ if template.contains("/orders/") || template.contains("/sagas/") => &self.order,
            _ if template.contains("/webhook-endpoints/") => &self.endpoint,
            _ if template.contains("/top-ups/") => &self.top_up,
            // Everybody sees every sale, and there is none here.
            _ if template.contains("/sales/") => "sal_01h455vb4pex5vsknk084sn02q",
            // Bundles are for everybody to see; this one is not there.
            _ if template.contains("/bundles/") => "bnd_01h455vb4pex5vsknk084sn02q",
            // Group prices and teams are for everybody to see; neither is there.
            _ if template.contains("/group-offers/") => "grp_01h455vb4pex5vsknk084sn02q",
            _ if template.contains("/teams/") => "tem_01h455vb4pex5vsknk084sn02q",
            // Plans are for everybody to see, and a membership for its member; neither is there.
            _ if template.contains("/membership-plans/") => "pln_01h455vb4pex5vsknk084sn02q",
            _ if template.contains("/memberships/") => "mbr_01h455vb4pex5vsknk084sn02q",
            // Coupons are for whoever issues them; this one is not there.
            _ if template.contains("/coupons/") => "cpn_01h455vb4pex5vsknk084sn02q",
            Some(_) => &self.draft,
        };
        template
            .replace("{id}", id)
            .replace("{lesson_id}", &self.lesson)
            .replace("{delivery_id}", "whd_01h455vb4pex5vsknk084sn02q")
            .replace("{number}", "INV-2026-000001")
            .replace("{refund_id}", "ref_01h455vb4pex5vsknk084sn02q")
            .replace("{kind}", "buyer")
            .replace("{node}", "lyceum")
            .replace("{shard}", "7")
            .replace("{version}", "7")
    }
}

/// A body that the route would carry out for whoever may.
fn body(method: &str, template: &str) -> Option<Value> {
    let course = json!([{"course_id": "crs_01h455vb4pex5vsknk084sn02q"}]);
    Some(match (method, template) {
        ("patch", "/v1/courses/{id}") => json!({"title": "Mine"}),
        ("put", "/v1/me/recommendation-profile") => json!({"personal": true}),
        ("put", "/v1/orders/{id}/invoice-details") => json!({"title": "Mine"}),
        ("put", _) => json!({"title": "Mine", "kind": "article"}),
        ("post", "/v1/courses/{id}/schedule") => json!({"at": "2999-01-01T00:00:00Z"}),
        ("post", "/v1/orders/{id}/refunds") => json!({"reason": "mine"}),
        ("post", "/v1/orders/{id}/refunds/preview") => json!({}),
        ("post", "/v1/orders/{id}/payments") => json!({"payment_method": "wallet"}),
        ("post", "/v1/orders") => json!({"items": course, "payment_method": "wallet"}),
        ("post", "/v1/sales") => json!({
            "course_id": "crs_01h455vb4pex5vsknk084sn02q", "price": cny(1), "stock": 1,
            "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z",
        }),
        ("post", "/v1/group-offers") => json!({
            "course_id": "crs_01h455vb4pex5vsknk084sn02q", "price": cny(1), "size": 2, "lasts_s": 3_600,
        }),
        ("post", "/v1/quotes") => json!({"items": course}),
        ("post", "/v1/bundles") => json!({"title": "Mine", "course_ids": [], "price": cny(1)}),
        ("post", "/v1/coupons" | "/admin/v1/coupons") => json!({
            "code": "MINE", "benefit": {"fixed": {"off": cny(1)}}, "limit": 1,
            "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z",
        }),
        ("post", "/v1/membership-plans" | "/admin/v1/membership-plans") => {
            json!({"title": "Mine", "price": cny(1), "every": "month", "course_ids": []})
        }
        ("post", "/v1/memberships") => {
            json!({"plan_id": "pln_01h455vb4pex5vsknk084sn02q", "payment_method": "wallet"})
        }
        ("post", "/v1/redemptions") => json!({"code": "0000-0000-0000-0000"}),
        ("post", "/v1/events") => json!({"events": []}),
        ("post", "/v1/courses") | ("patch", "/v1/me") => json!({}),
        ("patch", "/v1/me/webhook-endpoints/{id}") => json!({"enabled": false}),
        ("post", "/v1/me/webhook-endpoints") => {
            json!({"url": "http://127.0.0.1:9/", "events": ["order.expired"]})
        }
        ("post", "/v1/me/password") => json!({"current_password": "not-mine-1", "new_password": PASSWORD}),
        ("post", "/v1/me/wallet/top-ups") => json!({"amount": cny(0), "provider": "sandbox"}),
        ("post", "/admin/v1/users/{id}/roles") => json!({"role": "creator"}),
        ("post", "/admin/v1/users/{id}/suspend") => json!({"reason": "mine"}),
        ("post", "/admin/v1/adjustments") => json!({"reason": "mine", "currency": "CNY", "entries": []}),
        ("post", "/admin/v1/sagas/{id}/reconcile") => json!({"note": "mine"}),
        ("post", template) if template.starts_with("/admin/v1/sagas/") => json!({"reason": "mine"}),
        ("post", template) if template.starts_with("/admin/v1/adjustments/") => json!({"reason": "mine"}),
        ("post", template) if template.starts_with("/admin/v1/refunds/") => json!({"reason": "mine"}),
        ("post", "/admin/v1/code-batches/{id}/cancel") => json!({"reason": "mine"}),
        ("post", "/admin/v1/shards/{shard}/move") => json!({"reason": "mine", "to": "lyceum"}),
        ("post", template) if template.starts_with("/admin/v1/recommendation-models/") => {
            json!({"reason": "mine"})
        }
        ("post", template) if template.starts_with("/admin/v1/nodes/") => json!({"reason": "mine"}),
        _ => return None,
    })
}

fn call(user: &Client, method: &str, template: &str, path: &str) -> Call {
    let call = user.call(&method.to_uppercase(), path);
    let call = if method == "post" {
        call.key(&unique("key-"))
    } else {
        call
    };
    match body(method, template) {
        Some(body) => call.json(&body),
        None => call,
    }
}

/// Method, template and whether everybody may call it, of every operation that is described.
async fn operations(site: &Site) -> Vec<(String, String, bool)> {
    let description = site.client().get("/openapi.json").await.expect(200).json();
    let mut operations = Vec::new();
    for (template, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let public = operation["security"]
                .as_array()
                .is_some_and(|all| all.contains(&json!({})));
            operations.push((method.clone(), template.clone(), public));
        }
    }
    assert!(operations.len() > 50, "{operations:?}");
    operations
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_every_route_that_is_not_public_is_closed() {
    let site = Site::start().await;
    let ada = site.user_with(1_000).await;
    let hers = Belongings::of(&site, &ada).await;
    let client = site.client();
    for (method, template, public) in operations(&site).await {
        let answer = call(&client, &method, &template, &hers.path(&template))
            .send()
            .await;

        let line = format!("{method} {template}: {} {:?}", answer.status, answer.body);
        if public {
            // Logging in, refreshing and callbacks say 401 for themselves.
            assert!(answer.status != 401 || method == "post", "{line}");
        } else if template.ends_with("/content") {
            // A preview needs no token; a draft is not there for anybody else.
            assert_eq!(answer.status, 404, "{line}");
        } else {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{line}");
            answer.refused(401, "http.unauthenticated");
        }
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_shows_or_changes_what_belongs_to_somebody_else() {
    let site = Site::start().await;
    let (ada, eve) = (site.user_with(1_000).await, site.user().await);
    let hers = Belongings::of(&site, &ada).await;
    site.stores.become_quiet(Duration::from_secs(20)).await;
    let before = state(&ada, &hers).await;
    for (method, template, public) in operations(&site).await {
        let path = hers.path(&template);
        let answer = call(&eve, &method, &template, &path).send().await;

        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = format!("{method} {template}: {} {text}", answer.status);
        for secret in hers.all() {
            assert!(!text.contains(secret), "{line}");
        }
        let foreign = path != template;
        if template.starts_with("/admin/") {
            answer.refused(403, "http.forbidden");
        } else if foreign && template.starts_with("/v1/") {
            let approving = ["approve", "reject", "suspend", "reinstate"];
            let operators = approving.iter().any(|action| template.ends_with(action));
            assert_eq!(answer.status, if operators { 403 } else { 404 }, "{line}");
        } else if !public {
            assert_ne!(answer.status, 401, "{line}");
        }
        assert!(!text.contains("panicked") && !text.contains("SELECT"), "{line}");
    }
    assert_eq!(state(&ada, &hers).await, before);
    site.finish().await;
}

/// Everything of Ada's that Eve might have changed.
async fn state(ada: &User, hers: &Belongings) -> Vec<Value> {
    let mut state = Vec::new();
    for path in [
        "/v1/me".to_owned(),
        "/v1/me/sessions".to_owned(),
        "/v1/me/wallet".to_owned(),
        "/v1/me/courses".to_owned(),
        "/v1/me/webhook-endpoints".to_owned(),
        format!("/v1/me/authored-courses/{}", hers.draft),
        format!("/v1/orders/{}", hers.order),
    ] {
        state.push(ada.get(&path).await.expect(200).json());
    }
    state
}
