//! What is counted when the target, or the generator itself, is too slow.

use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::advance;

use super::*;
use crate::outcome::Operation;
use crate::testing::{self, works};

fn start(at: Duration) -> Start {
    Start {
        at,
        journey: 0,
        seed: 1,
    }
}

fn operation(worker: &Worker, name: &str) -> Operation {
    worker.tally.borrow().operation(name).unwrap().clone()
}

/// A target that takes connections and never answers.
async fn silence() -> (Site, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::resolve(&format!("http://{}", listener.local_addr().unwrap()))
        .await
        .unwrap();
    (site, listener)
}

async fn catalog() -> Catalog {
    let (site, _) = testing::target(works).await;
    let client = Client::new(site, Duration::from_secs(5), 10);
    Catalog::read(&client, 1.0, false).await.unwrap()
}

#[tokio::test]
async fn a_start_without_room_is_dropped_and_explained_by_a_slow_target() {
    LocalSet::new()
        .run_until(async {
            let (site, _listener) = silence().await;
            let scenario = testing::scenario("[journeys]\nlook = 1");
            let worker = testing::worker_with(&site, scenario, 1, catalog().await);

            worker.start(Journey::Look, start(Duration::ZERO));
            while worker.waiting.get() == 0 {
                yield_now().await;
            }
            worker.start(Journey::Look, start(Duration::from_millis(3)));

            let course = operation(&worker, "course");
            assert_eq!((course.offered, course.started, course.dropped), (2, 1, 1));
            assert_eq!(worker.unexplained(), 0);
        })
        .await;
}

#[tokio::test]
async fn a_drop_while_the_others_merely_think_is_unexplained() {
    LocalSet::new()
        .run_until(async {
            let (site, _) = testing::target(works).await;
            let scenario = testing::scenario("[journeys]\nbrowse = 1\n[think]\nmin = \"60s\"\nmax = \"60s\"");
            let worker = testing::worker(&site, scenario, 1).await;

            worker.start(Journey::Browse, start(Duration::ZERO));
            while operation(&worker, "list").completed == 0 {
                yield_now().await;
            }
            worker.start(Journey::Browse, start(Duration::from_millis(3)));

            assert_eq!(operation(&worker, "list").dropped, 1);
            assert_eq!(worker.unexplained(), 1);
        })
        .await;
}

#[tokio::test]
async fn what_is_open_when_the_run_is_over_is_unfinished() {
    let local = LocalSet::new();
    let worker = local
        .run_until(async {
            let (site, listener) = silence().await;
            let scenario = testing::scenario("[journeys]\nlook = 1");
            let worker = testing::worker_with(&site, scenario, 1, catalog().await);
            worker.start(Journey::Look, start(Duration::ZERO));
            while worker.waiting.get() == 0 {
                yield_now().await;
            }
            drop(listener);
            worker
        })
        .await;

    drop(local);

    let course = operation(&worker, "course");
    assert_eq!((course.started, course.completed), (1, 1));
    assert_eq!(course.errors.get(&ErrorKind::Unfinished), Some(&1));
}

#[tokio::test]
async fn latency_counts_from_the_plan_and_lateness_is_the_generators() {
    LocalSet::new()
        .run_until(async {
            let (site, _listener) = silence().await;
            let scenario = testing::scenario("[journeys]\nlook = 1");
            let catalog = catalog().await;
            tokio::time::pause();
            let worker = testing::worker_with(&site, scenario, 1, catalog);

            advance(Duration::from_millis(30)).await;
            let mut visit = Visit::new(worker.clone(), Journey::Look, start(Duration::from_millis(10)));
            let open = visit.begin(Step::Course);
            advance(Duration::from_millis(5)).await;
            visit.end(open, Ok(()));

            let course = operation(&worker, "course");
            assert_eq!(course.latency.max() / 1000, 25);
            assert_eq!(course.service.max() / 1000, 5);
            assert_eq!(worker.tally.borrow().lag().max() / 1000, 20);
        })
        .await;
}
