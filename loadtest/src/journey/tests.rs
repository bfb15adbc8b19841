//! Each journey against a target that answers by a script.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::*;
use crate::arrival::Start;
use crate::outcome::ErrorKind;
use crate::testing::{self, Seen, works};
use crate::worker::Worker;

async fn go(worker: &Rc<Worker>, journey: Journey, seed: u64) {
    let start = Start {
        at: Duration::ZERO,
        journey: 0,
        seed,
    };
    let mut visit = Visit::new(worker.clone(), journey, start);
    let _ = journey.go(&mut visit).await;
}

/// Goes on a journey once; returns the requests after those of the preparation, and what was counted by operation.
async fn gone(
    journey: Journey,
    script: impl Fn(&str, &str) -> (u16, String) + 'static,
) -> (Vec<(String, String)>, Vec<(String, u64, Vec<ErrorKind>)>) {
    LocalSet::new()
        .run_until(async move {
            let (site, seen): (_, Seen) = testing::target(script).await;
            let scenario = testing::scenario(&format!("[journeys]\n{} = 1", journey.name()));
            let worker = testing::worker(&site, scenario, 10).await;
            seen.borrow_mut().clear();
            go(&worker, journey, 5).await;
            let tally = worker.tally.borrow();
            let counted = tally
                .operations()
                .iter()
                .filter(|operation| operation.offered > 0)
                .map(|operation| {
                    assert_eq!(operation.completed, operation.started);
                    let errors = operation.errors.keys().copied().collect();
                    (operation.name.clone(), operation.ok(), errors)
                })
                .collect();
            (seen.take(), counted)
        })
        .await
}

fn lines(seen: &[(String, String)]) -> Vec<&str> {
    seen.iter().map(|(line, _)| line.as_str()).collect()
}

fn well(names: &[&str]) -> Vec<(String, u64, Vec<ErrorKind>)> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), 1, Vec::new()))
        .collect()
}

#[tokio::test]
async fn every_journey_performs_what_it_says_and_ends_well() {
    for (journey, operations) in [
        (Journey::Browse, &["list", "course"][..]),
        (Journey::Look, &["course"]),
        (Journey::Search, &["course", "search"]),
        (Journey::Register, &["register"]),
        (Journey::Login, &["login", "me", "logout"]),
        (Journey::Recommend, &["recommend"]),
        (Journey::Learn, &["course", "content", "learn"]),
        (Journey::Rate, &["rate"]),
        (Journey::BuySandbox, &["buy_sandbox", "settle"]),
    ] {
        let (_, counted) = gone(journey, works).await;
        assert_eq!(counted, well(operations), "{}", journey.name());
        assert!(
            operations
                .iter()
                .all(|name| journey.operations().iter().any(|step| step.name() == *name))
        );
    }
}

#[tokio::test]
async fn a_short_wallet_is_topped_up_before_the_purchase() {
    // Only crs_a has a price.
    let (seen, counted) = gone(Journey::Buy, |line, body| match line {
        "GET /v1/courses?limit=100" => (
            200,
            r#"{"data":[{"id":"crs_a","price":{"amount":900},"tags":[]}]}"#.to_owned(),
        ),
        _ => works(line, body),
    })
    .await;

    assert_eq!(
        lines(&seen),
        [
            "POST /v1/me/wallet/top-ups",
            "GET /v1/me/wallet/top-ups/pay_1",
            "POST /v1/orders"
        ]
    );
    assert!(seen[2].1.contains("crs_a"), "{seen:?}");
    assert_eq!(counted, well(&["top_up", "buy"]));
}

#[tokio::test]
async fn an_order_through_the_sandbox_is_looked_at_until_it_is_final() {
    let polls = std::cell::Cell::new(0);
    let (seen, counted) = gone(Journey::BuySandbox, move |line, body| match line {
        "POST /v1/orders" => (202, r#"{"id":"ord_2","state":"pending"}"#.to_owned()),
        "GET /v1/orders/ord_2" if polls.get() < 2 => {
            polls.set(polls.get() + 1);
            (200, r#"{"id":"ord_2","state":"pending"}"#.to_owned())
        }
        _ => works(line, body),
    })
    .await;

    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(counted, well(&["buy_sandbox", "settle"]));
}

#[tokio::test]
async fn a_refund_without_a_purchase_buys_first() {
    let (seen, counted) = gone(Journey::Refund, works).await;

    assert_eq!(
        lines(&seen).last(),
        Some(&"POST /v1/orders/ord_1/refunds"),
        "{seen:?}"
    );
    let names: Vec<_> = counted.iter().map(|(name, ..)| name.as_str()).collect();
    assert!(names.ends_with(&["buy", "refund"]), "{names:?}");
}

#[tokio::test]
async fn a_refusal_is_counted_by_its_status_and_ends_the_journey() {
    let (seen, counted) = gone(Journey::Browse, |line, body| {
        if line.starts_with("GET /v1/courses?limit=20") {
            (503, "{}".to_owned())
        } else {
            works(line, body)
        }
    })
    .await;

    assert_eq!(seen.len(), 1);
    assert_eq!(counted, [("list".to_owned(), 0, vec![ErrorKind::Status(503)])]);
}

#[tokio::test]
async fn an_order_that_is_answered_well_but_not_fulfilled_is_no_purchase() {
    let (_, counted) = gone(Journey::Buy, |line, body| {
        if line == "POST /v1/orders" {
            (201, r#"{"id":"ord_1","state":"pending"}"#.to_owned())
        } else {
            works(line, body)
        }
    })
    .await;

    assert_eq!(
        counted.last(),
        Some(&("buy".to_owned(), 0, vec![ErrorKind::Check]))
    );
}

#[tokio::test]
async fn nobody_buys_a_course_twice_and_when_all_have_all_it_is_told() {
    LocalSet::new()
        .run_until(async {
            let (site, seen) = testing::target(works).await;
            let worker = testing::worker(&site, testing::scenario("[journeys]\nbuy = 1"), 10).await;

            // Two users, two courses: the fifth purchase has neither.
            for seed in 0..5 {
                go(&worker, Journey::Buy, seed).await;
            }

            let orders = seen
                .borrow()
                .iter()
                .filter(|(line, _)| line == "POST /v1/orders")
                .count();
            assert_eq!(orders, 4);
            let tally = worker.tally.borrow();
            let buy = tally.operation("buy").unwrap();
            assert_eq!((buy.offered, buy.ok(), buy.dropped), (5, 4, 1));
            assert_eq!(worker.unexplained(), 1);
        })
        .await;
}
