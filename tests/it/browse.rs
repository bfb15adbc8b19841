//! What everybody browses: lists, searches, filters, pages, and what is not sent twice.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, CourseSpec, Site, approved, until, until_within};

/// What the lists promise.
const LISTED_WITHIN: Duration = Duration::from_secs(1);

async fn listed(client: &Client, query: &str) -> Vec<String> {
    client
        .get(&format!("/v1/courses?{query}"))
        .await
        .expect(200)
        .ids()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_course_is_listed_found_and_shown_within_a_second_and_an_unlisted_one_leaves() {
    let site = Site::start().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let client = site.client();
    let quokkas = CourseSpec {
        title: "Quokkas in Rust",
        ..CourseSpec::default()
    };
    let id = approved(&creator, &operator, &quokkas).await;

    creator
        .act(&format!("/v1/courses/{id}/publish"))
        .await
        .expect(200);

    until_within(LISTED_WITHIN, "listed and found", async || {
        let everywhere = listed(&client, "").await == [id.clone()]
            && listed(&client, "q=quokkas").await == [id.clone()]
            && client.get(&format!("/v1/courses/{id}")).await.status == 200;
        everywhere.then_some(())
    })
    .await;
    creator.act(&format!("/v1/courses/{id}/unlist")).await.expect(200);
    until_within(LISTED_WITHIN, "in no list any more", async || {
        let gone = listed(&client, "").await.is_empty() && listed(&client, "q=quokkas").await.is_empty();
        gone.then_some(())
    })
    .await;
    // Whoever knows the address still sees it.
    assert_eq!(
        client
            .get(&format!("/v1/courses/{id}"))
            .await
            .expect(200)
            .text("state"),
        "unlisted"
    );
    operator
        .act(&format!("/v1/courses/{id}/suspend"))
        .await
        .expect(200);
    until_within(LISTED_WITHIN, "not shown any more", async || {
        (client.get(&format!("/v1/courses/{id}")).await.status == 404).then_some(())
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_find_chinese_and_english_words_in_titles_and_tags() {
    let site = Site::start().await;
    let spec = |title, tags| CourseSpec {
        title,
        tags,
        ..CourseSpec::default()
    };
    let ids = site
        .courses(&[
            spec("深入理解分布式系统", &["一致性"]),
            spec("Practical Distributed Systems", &["consensus"]),
            spec("水彩画入门", &["绘画"]),
            spec("Watercolour Painting", &["painting"]),
        ])
        .await;
    let client = site.client();
    until_within(LISTED_WITHIN, "all are found", async || {
        (listed(&client, "q=programming").await.len() == 4).then_some(())
    })
    .await;
    let search = async |text: &str| {
        let query = serde_urlencoded::to_string([("q", text)]).unwrap();
        sorted(listed(&client, &query).await)
    };
    let only = |index: usize| vec![ids[index].clone()];

    assert_eq!(search("分布式").await, only(0));
    assert_eq!(search("分布式系统").await, only(0));
    assert_eq!(search("distributed").await, only(1));
    assert_eq!(
        search("DISTRIBUTED system").await,
        only(1),
        "case and plural do not matter"
    );
    assert_eq!(search("水彩").await, only(2));
    assert_eq!(search("painting").await, only(3));
    assert_eq!(search("一致性").await, only(0));
    assert_eq!(search("consensus").await, only(1));
    assert!(search("xylophone").await.is_empty());
    assert!(search("\"*:[(~^").await.len() <= 4, "no syntax to break");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_narrow_a_list_together() {
    let site = Site::start().await;
    let base = CourseSpec::default();
    let ids = site
        .courses(&[
            CourseSpec {
                category: "art",
                tags: &["Oil"],
                price: 0,
                language: "en",
                ..base
            },
            CourseSpec {
                category: "art",
                tags: &["ink"],
                level: "beginner",
                ..base
            },
            CourseSpec {
                category: "music",
                tags: &["oil"],
                level: "advanced",
                ..base
            },
        ])
        .await;
    let client = site.client();
    until("all are listed", async || {
        (listed(&client, "limit=100").await.len() == 3).then_some(())
    })
    .await;
    let expect = async |query: &str, indexes: &[usize]| {
        let expected = indexes.iter().map(|&index| ids[index].clone()).collect();
        assert_eq!(sorted(listed(&client, query).await), sorted(expected), "{query}");
    };

    expect("category=art", &[0, 1]).await;
    expect("tag=oil", &[0, 2]).await;
    expect("category=art&tag=OIL", &[0]).await;
    expect("price=free", &[0]).await;
    expect("price=paid", &[1, 2]).await;
    expect("level=beginner", &[1]).await;
    expect("language=EN", &[0]).await;
    expect("category=law", &[]).await;
    let mut categories = client.get("/v1/categories").await.expect(200).json()["data"].clone();
    categories
        .as_array_mut()
        .unwrap()
        .sort_by_key(|one| one["slug"].to_string());
    assert_eq!(
        categories,
        json!([{"slug": "art", "courses": 2}, {"slug": "music", "courses": 1}])
    );
    for query in [
        "price=cheap",
        "sort=size",
        "limit=0",
        "limit=101",
        "limit=x",
        "colour=red",
    ] {
        let path = format!("/v1/courses?{query}");
        client.get(&path).await.refused(400, "http.invalid_query");
    }
    client
        .get("/v1/courses?after=page-2")
        .await
        .refused(400, "http.malformed_cursor");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_together_hold_every_course_once_in_every_order() {
    let site = Site::start().await;
    // Prices and titles repeat, so that the order has ties to break.
    let titles = ["Tie", "Tie", "Knot"];
    let specs: Vec<CourseSpec<'_>> = (0..25)
        .map(|number| CourseSpec {
            title: titles[number % 3],
            price: i64::try_from(number % 4).unwrap() * 100,
            ..CourseSpec::default()
        })
        .collect();
    let ids: BTreeSet<String> = site.courses(&specs).await.into_iter().collect();
    let client = site.client();
    until("all are found", async || {
        (listed(&client, "limit=100&q=tie").await.len() == 17).then_some(())
    })
    .await;

    for order in [
        "sort=newest",
        "sort=price",
        "sort=-price",
        "sort=title",
        "sort=popular",
        "q=tie",
        "",
    ] {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = client
                .get(&format!("/v1/courses?limit=4&{order}{after}"))
                .await
                .expect(200);
            assert!(page.ids().len() <= 4);
            seen.extend(page.ids());
            let Some(next) = page.json()["next"].as_str().map(ToOwned::to_owned) else {
                break;
            };
            after = format!("&after={next}");
            assert!(seen.len() <= 25, "{order}: pages go in circles");
        }

        let distinct: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(distinct.len(), seen.len(), "{order}: duplicates");
        let expected = if order == "q=tie" { 17 } else { 25 };
        assert_eq!(seen.len(), expected, "{order}");
        assert!(distinct.is_subset(&ids), "{order}");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_changed_is_not_sent_again() {
    let site = Site::start().await;
    let id = site.course(100).await;
    let client = site.client();
    // The creator's name follows a moment later.
    until("it is listed with its creator", async || {
        let list = client.get("/v1/courses").await.expect(200).json();
        list["data"][0]["creator"]["display_name"]
            .is_string()
            .then_some(())
    })
    .await;
    for path in [
        format!("/v1/courses/{id}"),
        "/v1/courses".into(),
        "/v1/categories".into(),
    ] {
        let first = client.get(&path).await.expect(200);
        let etag = first
            .header("etag")
            .unwrap_or_else(|| panic!("no ETag of {path}"));

        let again = client
            .call("GET", &path)
            .header("if-none-match", etag)
            .send()
            .await
            .expect(304);
        let other = client
            .call("GET", &path)
            .header("if-none-match", "\"other\"")
            .send()
            .await;

        assert!(again.body.is_empty());
        assert_eq!(again.header("etag"), Some(etag));
        assert_eq!(other.expect(200).body, first.body);
    }
    site.finish().await;
}
