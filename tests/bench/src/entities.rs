//! Start-up, and what entities cost: how fast they are loaded from the journal and how much memory they keep.
//!
//! An operator asks for each user once, which activates the account and the wallet of that user: two entities, both
//! with a history in Postgres. How many are alive is asked of the server itself.

use std::time::Duration;

use crate::Failure;
use crate::http::{call, request};
use crate::load::{count, drain};
use crate::report::{Goal, Line, Section, progress};
use crate::seed::{COURSES, Seeded, USERS};
use crate::site::{Place, Site};
use crate::stats::{median, ratio};

const STARTS: usize = 3;
const CONNECTIONS: usize = 128;
/// Longer than the allocator takes to give back what it does not need.
const SETTLE: Duration = Duration::from_secs(2);

/// Starts the server several times over the seeded database.
///
/// # Errors
/// It does not start or does not end.
pub(crate) async fn start_up(place: &Place, seeded: &Seeded) -> Result<Section, Failure> {
    progress("start-up");
    let last = request(
        "GET",
        &format!("/v1/courses/{}", seeded.courses[COURSES - 1]),
        None,
        None,
        None,
    );
    let (mut seconds, mut megabytes) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let site = place.start(&[]).await?;
        seconds.push(site.start_up.as_secs_f64());
        megabytes.push(count(site.process.resident()?) / 1e6);
        // Ready is only who can answer about everything that is published.
        call(site.address, &last, &[200]).await?;
        site.process.end().await?;
    }
    let figure = |name, values| vec![(name, median(values))];
    Ok(Section {
        title: "Start-up",
        lines: vec![
            Line::new(format!("exec to ready, {COURSES} courses"), figure("s", seconds))
                .judged("s", Goal::at_most(5.0, 1.0)),
            Line::new("resident memory when ready", figure("MB", megabytes))
                .judged("MB", Goal::at_most(200.0, 100.0)),
        ],
    })
}

/// Activates every user's account and wallet in a fresh server.
///
/// # Errors
/// An answer was not as expected.
pub(crate) async fn run(place: &Place, seeded: &Seeded) -> Result<Section, Failure> {
    progress("entities");
    let room = (USERS * 3).to_string();
    let site = place
        .start(&[
            ("actors.alive_max", room),
            ("actors.idle_timeout_s", "3600".to_owned()),
        ])
        .await?;
    let operator = seeded.operator()?;
    // Whatever the first request of a connection or a statement costs is not an entity's.
    let get = |path: &str| request("GET", path, Some(&operator), None, None);
    drain(
        site.address,
        CONNECTIONS,
        vec![get("/v1/courses?limit=1"); CONNECTIONS * 20],
        &[200],
    )
    .await?;
    tokio::time::sleep(SETTLE).await;
    let (alive_before, bytes_before) = (alive(&site, &operator).await?, count(site.process.resident()?));

    let requests = seeded
        .users
        .iter()
        .map(|user| get(&format!("/v1/users/{user}")))
        .collect();
    let cpu_before = site.process.cpu()?;
    let activated = drain(site.address, CONNECTIONS, requests, &[200])
        .await?
        .checked("activations")?;
    let cpu = site.process.cpu()?.saturating_sub(cpu_before);
    tokio::time::sleep(SETTLE).await;

    let alive = alive(&site, &operator).await?;
    let made = alive - alive_before;
    let bytes = count(site.process.resident()?);
    site.process.end().await?;
    let lines = vec![
        Line::new(
            "activations from the journal",
            vec![
                ("1/s", ratio(made, activated.elapsed.as_secs_f64())),
                ("CPU µs", ratio(cpu.as_secs_f64() * 1e6, made)),
                ("p99 ms", count(activated.latency.quantile(990)) / 1e3),
            ],
        )
        .judged("1/s", Goal::at_least(10_000.0, 40_000.0)),
        Line::new(
            "memory of an entity, whole process",
            vec![("alive", alive), ("kB", ratio(bytes, alive) / 1e3)],
        )
        .judged("kB", Goal::at_most(12.0, 8.5)),
        Line::new(
            "memory of an entity, growth only",
            vec![("alive", made), ("kB", ratio(bytes - bytes_before, made) / 1e3)],
        ),
    ];
    Ok(Section {
        title: "Entities: accounts and wallets of 50,000 users",
        lines,
    })
}

async fn alive(site: &Site, operator: &str) -> Result<f64, Failure> {
    let cluster = call(
        site.address,
        &request("GET", "/admin/v1/cluster", Some(operator), None, None),
        &[200],
    )
    .await?;
    cluster["entities_alive"]
        .as_f64()
        .ok_or_else(|| "the cluster's view does not tell entities_alive".into())
}
