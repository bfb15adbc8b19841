//! Reads: the server's CPU time for a request, as a multiple of what bare hyper spends to send the same bytes.
//!
//! Each round measures the control and the server one right after the other, and the ratio is taken within the round,
//! so whatever else the machine does weighs on both. The figures are medians over the rounds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::Failure;
use crate::control::Recorded;
use crate::http::{call, request};
use crate::load::{Load, Sample, Traffic, count, drain, measure};
use crate::process::{Process, free_address};
use crate::report::{Goal, Line, Section, progress};
use crate::seed::Seeded;
use crate::site::{Place, Site};
use crate::stats::{median, ratio};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(1500);
/// Before the first round: entities are activated and tokens verified.
const FIRST_WARM_UP: Duration = Duration::from_secs(1);
/// Callers of the lines about a few and about many callers.
const FEW: usize = 64;
const MANY: usize = 2_048;
/// Events of each caller before anything is measured, so that lists rest on a history.
const HISTORY: usize = 8;
/// Prepared events of each caller for the list that changes.
const CHANGES: usize = 8;

/// One route under measurement.
struct Route {
    name: &'static str,
    requests: Vec<Bytes>,
    goal: Option<Goal>,
}

/// Measures every route.
///
/// # Errors
/// An answer was not as expected, or a process is gone.
pub(crate) async fn run(place: &Place, site: &Site, seeded: &Seeded) -> Result<Section, Failure> {
    let tokens = seeded.tokens(MANY)?;
    let mut lines = Vec::new();
    tell_histories(site, seeded, &tokens).await?;
    for route in routes(seeded, &tokens) {
        lines.push(measure_route(place, site, route).await?);
    }
    lines.push(changed_lists(place, site, seeded, &tokens).await?);
    Ok(Section {
        title: "Reads: 64 connections, CPU time of the server against bare hyper with the same answer",
        lines,
    })
}

fn routes(seeded: &Seeded, tokens: &[String]) -> Vec<Route> {
    let get = |path: &str, token| request("GET", path, token, None, None);
    let mine = |path: &str, callers: usize| {
        tokens[..callers]
            .iter()
            .map(|token| get(path, Some(token)))
            .collect()
    };
    let courses = seeded.courses[..1_000].iter();
    vec![
        Route {
            name: "course detail",
            requests: courses
                .map(|course| get(&format!("/v1/courses/{course}"), None))
                .collect(),
            goal: Some(Goal::at_most(1.25, 1.10)),
        },
        Route {
            name: "course page of 20",
            requests: vec![get("/v1/courses?limit=20", None)],
            goal: Some(Goal::at_most(1.5, 1.2)),
        },
        Route {
            name: "page of 20 of a category",
            requests: vec![get("/v1/courses?limit=20&category=science", None)],
            goal: None,
        },
        Route {
            name: "me",
            requests: mine("/v1/me", FEW),
            goal: Some(Goal::at_most(1.6, 1.4)),
        },
        Route {
            name: "recommendations, 64 callers",
            requests: mine("/v1/me/recommendations?limit=10", FEW),
            goal: Some(Goal::at_most(2.5, 1.8)),
        },
        Route {
            name: "recommendations, 2048 callers",
            requests: mine("/v1/me/recommendations?limit=10", MANY),
            goal: Some(Goal::at_most(2.5, 1.8)),
        },
    ]
}

async fn tell_histories(site: &Site, seeded: &Seeded, tokens: &[String]) -> Result<(), Failure> {
    let events = tokens.iter().enumerate().map(|(caller, token)| {
        let events: Vec<_> = (0..HISTORY)
            .map(|event| view(seeded, caller * 31 + event * 977))
            .collect();
        request(
            "POST",
            "/v1/events",
            Some(token),
            None,
            Some(&json!({"events": events})),
        )
    });
    drain(site.address, CONNECTIONS, events.collect(), &[202])
        .await?
        .checked("events")?;
    Ok(())
}

fn view(seeded: &Seeded, number: usize) -> serde_json::Value {
    json!({"type": "view", "course_id": seeded.courses[number % seeded.courses.len()]})
}

async fn measure_route(place: &Place, site: &Site, route: Route) -> Result<Line, Failure> {
    progress(&format!("reads: {}", route.name));
    let control = Control::start(place, site, &route.requests).await?;
    let traffic = repeated(route.requests);
    measure(load_of(site, FIRST_WARM_UP), &traffic, &site.process)
        .await?
        .checked(route.name)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let base = control.measure(&traffic).await?;
        let sample = measure(load_of(site, WARM_UP), &traffic, &site.process)
            .await?
            .checked(route.name)?;
        rounds.push((base, sample));
    }
    let compared = rounds
        .iter()
        .map(|(base, sample)| ratio(sample.cpu_micros(), base.cpu_micros()));
    let mut figures = figures(rounds.iter().map(|(_, sample)| sample));
    figures.push(("control/s", median(rounds.iter().map(|(base, _)| base.rate()))));
    figures.push((
        "control µs",
        median(rounds.iter().map(|(base, _)| base.cpu_micros())),
    ));
    figures.push(("bytes", control.body_bytes));
    figures.push(("ratio", median(compared)));
    let line = Line::new(route.name, figures);
    Ok(match route.goal {
        Some(goal) => line.judged("ratio", goal),
        None => line,
    })
}

/// A list that an event has made stale is ranked anew: measured as pairs of an event and a list, from which the cost
/// of the same events alone is taken away.
async fn changed_lists(
    place: &Place,
    site: &Site,
    seeded: &Seeded,
    tokens: &[String],
) -> Result<Line, Failure> {
    let name = "recommendations after an event";
    progress(&format!("reads: {name}"));
    let list = |token: &String| request("GET", "/v1/me/recommendations?limit=10", Some(token), None, None);
    let (mut events, mut pairs) = (Vec::new(), Vec::new());
    for change in 0..CHANGES {
        for (caller, token) in tokens.iter().enumerate() {
            let body = json!({"events": [view(seeded, caller * 17 + change * 613)]});
            let event = request("POST", "/v1/events", Some(token), None, Some(&body));
            events.push(event.clone());
            pairs.extend([event, list(token)]);
        }
    }
    let control = Control::start(place, site, &[list(&tokens[0])]).await?;
    let lists = repeated(tokens.iter().map(list).collect());
    let (events, pairs) = (repeated(events), repeated(pairs));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let base = control.measure(&lists).await?;
        let alone = measure(load_of(site, WARM_UP), &events, &site.process)
            .await?
            .checked(name)?;
        let paired = measure(load_of(site, WARM_UP), &pairs, &site.process)
            .await?
            .checked(name)?;
        let list_micros = 2.0 * paired.cpu_micros() - alone.cpu_micros();
        rounds.push((base.cpu_micros(), alone.cpu_micros(), list_micros));
    }
    Ok(Line::new(
        name,
        vec![
            ("CPU µs", median(rounds.iter().map(|round| round.2))),
            ("control µs", median(rounds.iter().map(|round| round.0))),
            ("bytes", control.body_bytes),
            (
                "ratio",
                median(rounds.iter().map(|round| ratio(round.2, round.0))),
            ),
            ("event µs", median(rounds.iter().map(|round| round.1))),
        ],
    ))
}

fn figures<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Vec<(&'static str, f64)> {
    let millis = |sample: &Sample, permille| count(sample.latency.quantile(permille)) / 1e3;
    vec![
        ("req/s", median(samples.clone().map(Sample::rate))),
        (
            "p50 ms",
            median(samples.clone().map(|sample| millis(sample, 500))),
        ),
        (
            "p99 ms",
            median(samples.clone().map(|sample| millis(sample, 990))),
        ),
        ("CPU µs", median(samples.map(Sample::cpu_micros))),
    ]
}

fn repeated(requests: Vec<Bytes>) -> Traffic {
    Traffic {
        requests: Arc::new(requests),
        repeat: true,
        expected: &[200, 202],
    }
}

fn load_of(site: &Site, warm_up: Duration) -> Load {
    Load {
        address: site.address,
        connections: CONNECTIONS,
        warm_up,
        window: WINDOW,
    }
}

/// A control that answers as the server did.
struct Control {
    process: Process,
    address: std::net::SocketAddr,
    body_bytes: f64,
}

impl Control {
    async fn start(place: &Place, site: &Site, requests: &[Bytes]) -> Result<Self, Failure> {
        let mut recorded = Vec::with_capacity(requests.len());
        for request in requests {
            // The first answer may be made for the first time; the second is like all that follow.
            call(site.address, request, &[200]).await?;
            recorded.push(Recorded::from_server(site.address, request).await?);
        }
        let bytes: usize = recorded.iter().map(Recorded::body_bytes).sum();
        let body_bytes = count((bytes / recorded.len().max(1)) as u64);
        let file = place.out.join("control.json");
        std::fs::write(&file, serde_json::to_vec(&recorded)?)?;
        let address = free_address()?;
        let arguments = [
            "control".into(),
            "--listen".into(),
            address.to_string(),
            "--answer".into(),
            file.display().to_string(),
        ];
        let program = std::env::current_exe()?;
        let mut process = Process::start("control", &program, arguments, &[], &place.out)?;
        process.ready(address, "/").await?;
        Ok(Control {
            process,
            address,
            body_bytes,
        })
    }

    async fn measure(&self, traffic: &Traffic) -> Result<Sample, Failure> {
        let load = Load {
            address: self.address,
            connections: CONNECTIONS,
            warm_up: WARM_UP,
            window: WINDOW,
        };
        measure(load, traffic, &self.process)
            .await?
            .checked("the control")
    }
}
