//! What readers of the snapshot see while courses change.

use super::super::listing::Filter;
use super::super::testing::course;
use super::*;

fn snapshot(courses: u32) -> Arc<CatalogSnapshot> {
    let limits = CatalogLimits {
        search_delay: Duration::ZERO,
        ..CatalogLimits::default()
    };
    let snapshot = CatalogSnapshot::start(limits).expect("memory and a thread");
    (0..courses).for_each(|n| snapshot.put(course(n)));
    snapshot
}

fn page(snapshot: &CatalogSnapshot, raw: &str, query: ListQuery) -> serde_json::Value {
    let page = snapshot.page::<()>(raw, || Ok(query)).expect("nothing to refuse");
    serde_json::from_slice(&page.body).expect("JSON")
}

fn ids(page: &serde_json::Value) -> Vec<CourseId> {
    let id = |card: &serde_json::Value| {
        card["id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("a course id")
    };
    page["data"].as_array().expect("a list").iter().map(id).collect()
}

/// Waits until the search thread has indexed what was put before.
fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("never came true");
}

#[test]
fn a_published_course_is_shown_and_listed_at_once() {
    let snapshot = snapshot(3);
    let before = ids(&page(
        &snapshot,
        "",
        ListQuery {
            limit: 20,
            ..ListQuery::default()
        },
    ));

    snapshot.put(course(3));

    let after = ids(&page(
        &snapshot,
        "",
        ListQuery {
            limit: 20,
            ..ListQuery::default()
        },
    ));
    assert_eq!((before.len(), after.len()), (3, 4));
    let (body, etag) = snapshot.answer(course(3).id).expect("published");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["title"], course(3).title);
    assert_eq!(body["outline"], serde_json::json!([]));
    assert!(etag.to_str().is_ok_and(|etag| etag.starts_with("\"4-")));
}

#[test]
fn pages_follow_one_another_through_cursors() {
    let snapshot = snapshot(45);
    let mut seen = vec![];
    let mut after: Option<Cursor> = None;
    loop {
        let raw = format!("after={after:?}");
        let page = page(
            &snapshot,
            &raw,
            ListQuery {
                limit: 20,
                after,
                ..ListQuery::default()
            },
        );
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = next.parse().ok();
    }
    let unique: BTreeSet<_> = seen.iter().collect();

    assert_eq!((seen.len(), unique.len()), (45, 45));
}

#[test]
fn older_revisions_never_replace_newer_ones() {
    let snapshot = snapshot(1);
    let renamed = LiveCourse {
        title: "New".into(),
        revision: 6,
        ..course(0)
    };

    snapshot.put(renamed);
    snapshot.put(LiveCourse {
        revision: 5,
        ..course(0)
    });

    assert_eq!(
        snapshot.get(course(0).id).map(|entry| entry.title.to_string()),
        Some("New".to_owned())
    );
}

#[test]
fn what_is_not_sold_openly_is_shown_as_its_state_says() {
    let snapshot = snapshot(0);
    for (n, state) in ["published", "unlisted", "retired", "suspended", "archived"]
        .into_iter()
        .enumerate()
    {
        let n = u32::try_from(n).expect("small");
        snapshot.put(LiveCourse {
            state: state.into(),
            ..course(n)
        });
    }
    let seen: Vec<_> = (0..5).map(|n| snapshot.answer(course(n).id).is_some()).collect();
    let sold: Vec<_> = (0..5)
        .map(|n| snapshot.get(course(n).id).is_some_and(|entry| entry.sells()))
        .collect();

    assert_eq!(snapshot.listed(), 1);
    assert_eq!(seen, [true, true, true, false, false]);
    assert_eq!(sold, [true, true, false, false, false]);
}

#[test]
fn purchases_reach_cards_and_order_when_they_are_folded() {
    let snapshot = snapshot(3);
    let popular = || ListQuery {
        sort: Some(Sort::Popular),
        limit: 1,
        ..ListQuery::default()
    };
    let (_, before) = snapshot.answer(course(2).id).expect("published");

    snapshot.count_students(course(2).id, 2);
    snapshot.set_ratings(course(2).id, 9, 2);

    assert_eq!(snapshot.fold(), 1);
    let first = page(&snapshot, "sort=popular", popular());
    assert_eq!(ids(&first), [course(2).id]);
    assert_eq!(first["data"][0]["students"], 2);
    assert_eq!(
        first["data"][0]["rating"],
        serde_json::json!({"average": 4.5, "count": 2})
    );
    assert_ne!(snapshot.answer(course(2).id).expect("published").1, before);
    assert_eq!(snapshot.fold(), 0);
}

#[test]
fn a_refund_takes_back_what_a_purchase_counted_and_never_more() {
    let snapshot = snapshot(1);
    let course = course(0).id;
    let students = || {
        snapshot.fold();
        page(
            &snapshot,
            "",
            ListQuery {
                limit: 1,
                ..ListQuery::default()
            },
        )["data"][0]["students"]
            .clone()
    };

    snapshot.count_students(course, 2);
    snapshot.count_students(course, -1);
    assert_eq!(students(), 1);
    snapshot.count_students(course, -2);
    assert_eq!(students(), 0);
}

#[test]
fn names_of_creators_are_asked_for_once_and_then_shown() {
    let snapshot = snapshot(10);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");

    let unnamed = runtime.block_on(snapshot.unnamed());
    snapshot.set_names(unnamed.iter().map(|user| (*user, Some("Ada".to_owned()))));

    assert_eq!(unnamed.len(), 5);
    let page = page(
        &snapshot,
        "",
        ListQuery {
            limit: 1,
            ..ListQuery::default()
        },
    );
    assert_eq!(page["data"][0]["creator"]["display_name"], "Ada");
}

#[test]
fn searches_are_filtered_paged_and_current() {
    let snapshot = snapshot(40);
    let query = |after, free| ListQuery {
        text: Some("course".into()),
        filter: Filter {
            free,
            ..Filter::default()
        },
        after,
        limit: 15,
        ..ListQuery::default()
    };
    let everything = ListQuery {
        limit: 100,
        ..query(None, None)
    };
    wait_for(|| {
        ids(&page(
            &snapshot,
            &snapshot.generation().to_string(),
            everything.clone(),
        ))
        .len()
            == 40
    });

    let first = page(&snapshot, "q=course", query(None, None));
    let cursor = first["next"].as_str().and_then(|next| next.parse().ok());
    let second = page(&snapshot, "q=course&2", query(cursor, None));
    let cursor = second["next"].as_str().and_then(|next| next.parse().ok());
    let third = page(&snapshot, "q=course&3", query(cursor, None));

    let seen: BTreeSet<_> = [&first, &second, &third].into_iter().flat_map(ids).collect();
    assert_eq!((seen.len(), third["next"].is_null()), (40, true));
    let free = page(&snapshot, "q=course&free", query(None, Some(true)));
    assert_eq!(ids(&free).len(), 7);
    snapshot.put(LiveCourse {
        state: "unlisted".into(),
        revision: 9,
        ..course(0)
    });
    let after = page(&snapshot, "q=course&all", everything);
    assert_eq!(ids(&after).len(), 39);
}

#[test]
fn categories_are_those_with_listed_courses() {
    let snapshot = snapshot(5);

    let categories: serde_json::Value = serde_json::from_slice(&snapshot.categories().body).expect("JSON");

    assert_eq!(
        categories["data"][0],
        serde_json::json!({"slug": "c0", "courses": 2})
    );
    assert_eq!(categories["data"].as_array().map(Vec::len), Some(4));
}
