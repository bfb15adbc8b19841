//! Courses: their life, their versions, and who sees what of them.

use serde_json::json;

use crate::harness::{
    Client, CourseSpec, Site, User, cny, draft, lesson_id, put_lesson, unknown_course, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_course_lives_from_draft_to_archive_and_refuses_every_other_transition() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let id = draft(&creator, &CourseSpec::default()).await;
    let act = async |user: &User, action: &str| user.act(&format!("/v1/courses/{id}/{action}")).await;
    let step = async |user: &User, action: &str, state: &str| {
        assert_eq!(
            act(user, action).await.expect(200).text("state"),
            state,
            "{action}"
        );
    };
    let wrong = async |user: &User, action: &str, state: &str| {
        let refused = act(user, action).await.refused(409, "catalog.wrong_state");
        assert_eq!(refused.text("current_state"), state, "{action}");
    };

    wrong(&creator, "publish", "draft").await;
    wrong(&operator, "approve", "draft").await;
    step(&creator, "submit", "in_review").await;
    step(&operator, "reject", "draft").await;
    step(&creator, "submit", "in_review").await;
    wrong(&creator, "publish", "in_review").await;
    step(&operator, "approve", "approved").await;
    step(&creator, "publish", "published").await;
    wrong(&creator, "submit", "published").await;
    step(&creator, "unlist", "unlisted").await;
    step(&creator, "relist", "published").await;
    step(&operator, "suspend", "suspended").await;
    wrong(&creator, "unlist", "suspended").await;
    step(&operator, "reinstate", "published").await;
    step(&creator, "retire", "retired").await;
    wrong(&creator, "publish", "retired").await;
    step(&creator, "archive", "archived").await;
    wrong(&creator, "retire", "archived").await;

    let own = creator
        .get(&format!("/v1/me/authored-courses/{id}"))
        .await
        .expect(200);
    assert_eq!(own.text("state"), "archived");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_course_is_published_when_its_time_has_come() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let id = draft(&creator, &CourseSpec::default()).await;
    creator.act(&format!("/v1/courses/{id}/submit")).await.expect(200);
    operator
        .act(&format!("/v1/courses/{id}/approve"))
        .await
        .expect(200);
    let schedule = async |at: &str| {
        creator
            .post(&format!("/v1/courses/{id}/schedule"), &json!({"at": at}))
            .await
    };
    schedule("2020-01-01T00:00:00Z")
        .await
        .refused(422, "catalog.schedule_in_past");
    let soon = site
        .stores
        .connect()
        .await
        .query_one(
            "SELECT to_char((now() + '1 second') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
            &[],
        )
        .await
        .unwrap();

    let scheduled = schedule(soon.get(0)).await.expect(200);

    assert_eq!(scheduled.text("state"), "scheduled");
    site.client().get(&format!("/v1/courses/{id}")).await.expect(404);
    until("the course is published", async || {
        (site.client().get("/v1/courses").await.expect(200).ids() == [id.clone()]).then_some(())
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_course_without_title_price_or_lesson_cannot_be_published() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let title = json!({"title": "Rust 入门"});
    let price = json!({"price": cny(100)});
    let without_content = json!({"title": "Empty", "kind": "video"});
    for (body, lesson, code) in [
        (price, None, "catalog.title_missing"),
        (title, None, "catalog.price_missing"),
        (CourseSpec::default().body(), None, "catalog.lesson_missing"),
        (
            CourseSpec::default().body(),
            Some(without_content),
            "catalog.lesson_missing",
        ),
    ] {
        let id = creator.post("/v1/courses", &body).await.expect(201).text("id");
        if let Some(lesson) = lesson {
            let path = format!("/v1/courses/{id}/lessons/{}", lesson_id());
            creator.call("PUT", &path).json(&lesson).send().await.expect(200);
        }

        // Gates are checked when it is submitted or when it is published, whichever is refused first.
        let submitted = creator.act(&format!("/v1/courses/{id}/submit")).await;
        if submitted.status == 200 {
            operator
                .act(&format!("/v1/courses/{id}/approve"))
                .await
                .expect(200);
            let published = creator.act(&format!("/v1/courses/{id}/publish")).await;
            published.refused(422, code);
        } else {
            submitted.refused(422, code);
        }
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_exist_for_their_creator_alone() {
    let site = Site::start().await;
    let (ada, eve, operator) = (site.user().await, site.user().await, site.operator().await);
    let id = draft(
        &ada,
        &CourseSpec {
            title: "Secret plans",
            ..CourseSpec::default()
        },
    )
    .await;
    let own = format!("/v1/me/authored-courses/{id}");

    ada.get(&own).await.expect(200);
    operator.get(&own).await.expect(200);
    assert_eq!(
        ada.get("/v1/me/authored-courses").await.expect(200).ids(),
        [id.as_str()]
    );
    eve.get(&own).await.refused(404, "catalog.course_not_found");
    assert!(
        eve.get("/v1/me/authored-courses")
            .await
            .expect(200)
            .ids()
            .is_empty()
    );
    for reader in [ada.anonymous(), eve.anonymous()] {
        reader
            .get(&format!("/v1/courses/{id}"))
            .await
            .refused(404, "catalog.course_not_found");
    }
    let edit = json!({"title": "Mine now"});
    let path = format!("/v1/courses/{id}");
    eve.call("PATCH", &path)
        .json(&edit)
        .send()
        .await
        .refused(404, "catalog.course_not_found");
    put_lesson(&eve, &id, &lesson_id(), "x")
        .await
        .refused(404, "catalog.course_not_found");
    for action in ["submit", "publish", "unlist", "retire"] {
        let refused = eve.act(&format!("{path}/{action}")).await;
        refused.refused(404, "catalog.course_not_found");
    }
    for action in ["approve", "reject", "suspend", "reinstate"] {
        ada.act(&format!("{path}/{action}"))
            .await
            .refused(403, "http.forbidden");
    }
    let buy = json!({"items": [{"course_id": id}], "payment_method": "wallet"});
    eve.post_as("buy-a-draft", "/v1/orders", &buy)
        .await
        .refused(422, "commerce.course_not_for_sale");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_refused_when_the_course_has_changed_meanwhile() {
    let site = Site::start().await;
    let creator = site.user().await;
    let id = draft(&creator, &CourseSpec::default()).await;
    let read = creator
        .get(&format!("/v1/me/authored-courses/{id}"))
        .await
        .expect(200);
    let etag = read.header("etag").unwrap();
    let edit = async |title: &str| {
        let call = creator.call("PATCH", &format!("/v1/courses/{id}"));
        call.header("if-match", etag)
            .json(&json!({"title": title}))
            .send()
            .await
    };

    edit("First").await.expect(200);
    let late = edit("Second").await;

    late.refused(412, "catalog.revision_mismatch");
    let read = creator
        .get(&format!("/v1/me/authored-courses/{id}"))
        .await
        .expect(200);
    assert_eq!(read.text("title"), "First");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_becomes_the_next_version_while_buyers_keep_theirs() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let (early, late) = (site.user_with(10_000).await, site.user_with(10_000).await);
    let id = site
        .publish(
            &creator,
            &operator,
            &CourseSpec {
                title: "Edition one",
                price: 1_000,
                ..CourseSpec::default()
            },
        )
        .await;
    let shown = site
        .client()
        .get(&format!("/v1/courses/{id}"))
        .await
        .expect(200)
        .json();
    let old_lesson = shown["outline"][0]["lessons"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let new_lesson = lesson_id();
    let first = early.buy(&[&id]).await.expect(201).json();

    let path = format!("/v1/courses/{id}");
    let changes = json!({"title": "Edition two", "price": cny(2_000)});
    creator
        .call("PATCH", &path)
        .json(&changes)
        .send()
        .await
        .expect(200);
    put_lesson(&creator, &id, &new_lesson, "new").await.expect(200);
    let removed = format!("{path}/lessons/{old_lesson}");
    creator.call("DELETE", &removed).send().await.expect(200);
    // Nobody sees it before it is published.
    assert_eq!(site.client().get(&path).await.text("title"), "Edition one");
    let published = creator.act(&format!("{path}/publish")).await.expect(200).json();
    until("the new edition is shown", async || {
        (site.client().get(&path).await.text("title") == "Edition two").then_some(())
    })
    .await;
    let second = late.buy(&[&id]).await.expect(201).json();

    assert_eq!(published["version"], 2);
    assert_eq!(
        (&first["items"][0]["course_version"], &first["total"]["amount"]),
        (&json!(1), &json!(1_000))
    );
    assert_eq!(
        (&second["items"][0]["course_version"], &second["total"]["amount"]),
        (&json!(2), &json!(2_000))
    );
    let content = async |user: &User, lesson: &str| {
        user.get(&format!("/v1/courses/{id}/lessons/{lesson}/content"))
            .await
            .status
    };
    assert_eq!(content(&early, &old_lesson).await, 200, "bought with it");
    assert_eq!(
        content(&early, &new_lesson).await,
        200,
        "newer versions come with it"
    );
    assert_eq!(
        content(&late, &old_lesson).await,
        404,
        "never part of what was bought"
    );
    assert_eq!(content(&late, &new_lesson).await, 200);
    let order = early.order(first["id"].as_str().unwrap()).await;
    assert_eq!(order["items"][0]["title"], "Edition one");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lessons_are_for_buyers_and_previews_for_everybody() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let (buyer, stranger) = (site.user_with(10_000).await, site.user().await);
    let id = draft(&creator, &CourseSpec::default()).await;
    let (preview, video) = (lesson_id(), lesson_id());
    let path = |lesson: &str| format!("/v1/courses/{id}/lessons/{lesson}");
    let free = json!({"title": "Free", "kind": "article", "preview": true, "content": {"text": "Welcome"}});
    creator
        .call("PUT", &path(&preview))
        .json(&free)
        .send()
        .await
        .expect(200);
    let paid = json!({"title": "Film", "kind": "video", "content": {"media_url": "https://media.example.com/a.mp4"}});
    creator
        .call("PUT", &path(&video))
        .json(&paid)
        .send()
        .await
        .expect(200);
    for (user, action) in [
        (&creator, "submit"),
        (&operator, "approve"),
        (&creator, "publish"),
    ] {
        user.act(&format!("/v1/courses/{id}/{action}")).await.expect(200);
    }
    until("it is shown", async || {
        (site.client().get(&format!("/v1/courses/{id}")).await.status == 200).then_some(())
    })
    .await;
    buyer.buy(&[&id]).await.expect(201);
    let content =
        async |client: &Client, lesson: &str| client.get(&format!("{}/content", path(lesson))).await;

    assert_eq!(
        content(&site.client(), &preview).await.expect(200).text("text"),
        "Welcome"
    );
    content(&site.client(), &video)
        .await
        .refused(401, "http.unauthenticated");
    content(&stranger, &video)
        .await
        .refused(403, "commerce.access_required");
    let film = content(&buyer, &video).await.expect(200);
    assert!(
        film.text("url").starts_with("https://media.example.com/a.mp4?"),
        "{:?}",
        film.body
    );
    content(&creator, &video).await.expect(200);
    content(&buyer, &lesson_id())
        .await
        .refused(404, "catalog.lesson_not_found");
    buyer
        .get(&format!(
            "/v1/courses/{}/lessons/{video}/content",
            unknown_course()
        ))
        .await
        .refused(404, "catalog.course_not_found");
    site.finish().await;
}
