//! Several processes over one database: killed, frozen and stopped members, and what the others do about it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Child, CourseSpec, Site, Stores, WebhookReceiver, free_address, until};

/// How long after its end a member may still own something; the promise is two seconds on a machine that does nothing else.
const TAKEOVER: Duration = Duration::from_secs(5);

fn member(name: &str) -> Vec<String> {
    vec![
        "cluster.join=database".to_owned(),
        format!("cluster.node={name}"),
        format!("link.listen={}", free_address()),
    ]
}

/// Two processes that share the shards.
async fn pair() -> (Site, Child) {
    let settings = member("a");
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let site = Site::start_process_over(Stores::create().await, &settings).await;
    let settings = member("b");
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let other = site.another(&settings).await;
    shared(&site).await;
    (site, other)
}

async fn shared(site: &Site) {
    until("both own shards", async || {
        let owned = "SELECT count(*) FROM shard_owner JOIN members USING (incarnation) \
            WHERE members.state = 'serving' AND members.node = ";
        let a = site.stores.count(&format!("{owned} 'a'")).await;
        let b = site.stores.count(&format!("{owned} 'b'")).await;
        (a > 100 && b > 100).then_some(())
    })
    .await;
}

/// Waits until the only owner is this node.
async fn owns_all(site: &Site, node: &str) -> Duration {
    let began = Instant::now();
    until("it owns all shards", async || {
        let owned = format!("SELECT count(*) FROM shard_owner WHERE node = '{node}'");
        (site.stores.count(&owned).await == 256).then_some(())
    })
    .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_member_is_replaced_and_gets_its_share_when_it_is_started_again() {
    let (mut site, _other) = pair().await;

    site.process().kill();

    let taken_over = owns_all(&site, "b").await;
    assert!(taken_over < TAKEOVER, "{taken_over:?}");
    site.restart().await;
    shared(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_is_replaced_and_begins_again_by_itself() {
    let (mut site, _other) = pair().await;

    site.process().signal("STOP");
    let taken_over = owns_all(&site, "b").await;
    site.process().signal("CONT");

    assert!(taken_over < TAKEOVER, "{taken_over:?}");
    shared(&site).await;
    let dead =
        "SELECT count(*) FROM members WHERE node = 'a' AND state = 'dead' AND ended_because = 'lease over'";
    assert_eq!(site.stores.count(dead).await, 1);
    let address = site.address;
    // The same process, as another incarnation.
    site.process().ready(address, "/readyz").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_stopped_leaves_nothing_behind() {
    let (mut site, other) = pair().await;

    site.terminate();
    let status = site.process().ended().await;

    assert_eq!(status.code(), Some(0), "{}", site.process().output());
    owns_all(&site, "b").await;
    let left = "SELECT count(*) FROM members WHERE node = 'a' AND state = 'left'";
    assert_eq!(site.stores.count(left).await, 1);
    let moves = "SELECT count(*) FROM shard_moves WHERE reason <> 'drain' AND from_node = 'a' AND to_node = 'b' \
        AND reason <> 'balance'";
    assert_eq!(site.stores.count(moves).await, 0);
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_under_the_same_name_ends_the_first() {
    let settings = member("a");
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut site = Site::start_process_over(Stores::create().await, &settings).await;

    let settings = member("a");
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let _again = site.another(&settings).await;

    let status = site.process().ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(
        site.process()
            .output()
            .contains("another process was started as node a")
    );
}

/// Some of the buyers live where the endpoint was not made: that node reads of it in the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creator_hears_of_sales_on_whichever_member_they_are_made() {
    let (site, _other) = pair().await;
    let free = CourseSpec {
        price: 0,
        ..CourseSpec::default()
    };
    let courses = site.courses(&vec![free; 40]).await;
    let creator = site.operator().await;
    let receiver = WebhookReceiver::start().await;
    let body = json!({"url": receiver.url(), "events": ["sale.completed"]});
    creator.post("/v1/me/webhook-endpoints", &body).await.expect(201);

    for _ in 0..6 {
        let (buyer, mut left) = (site.user().await, courses.iter());
        let mut orders = Vec::new();
        // The first sales may be made before that node has read of the endpoint.
        until("the creator hears of a sale to this buyer", async || {
            if let Some(course) = left.next() {
                orders.push(buyer.buy(&[course]).await.expect(201).text("id"));
            }
            let heard = receiver.heard();
            heard
                .iter()
                .any(|told| orders.iter().any(|order| told.text().contains(order)))
                .then_some(())
        })
        .await;
    }
}
