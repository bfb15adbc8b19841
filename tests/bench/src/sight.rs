//! Sight: what metrics, traces of one request in a hundred and the access log cost together on the cheapest route.
//!
//! Two servers over the same stores, one with everything on and a collector that takes the spans, one with everything
//! off. Each round measures both, one right after the other, and the ratio is taken within the round. Only courses are
//! read, which needs no shard, so it does not matter that the second server has claimed those of the first.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Failure;
use crate::http::request;
use crate::load::{Load, Sample, Traffic, measure};
use crate::report::{Goal, Line, Section, progress};
use crate::seed::Seeded;
use crate::site::{Place, Site};
use crate::stats::{median, ratio};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 9;
const FIRST_WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(1500);

/// Measures a course's page with and without sight.
///
/// # Errors
/// An answer was not as expected, or a process is gone.
pub(crate) async fn run(place: &Place, seeded: &Seeded) -> Result<Section, Failure> {
    progress("sight: course detail with and without");
    let collector = collect().await?;
    let setting = |key, value: &str| (key, value.to_owned());
    let with = place
        .start(&[
            setting("telemetry.trace_sample", "100"),
            setting("telemetry.otlp_url", &format!("http://{collector}")),
        ])
        .await?;
    let without = place
        .start(&[
            setting("telemetry.metrics", "false"),
            setting("telemetry.trace_sample", "0"),
            setting("http.log_sample", "0"),
        ])
        .await?;
    let courses = seeded.courses[..1_000].iter();
    let traffic = Traffic {
        requests: Arc::new(
            courses
                .map(|course| request("GET", &format!("/v1/courses/{course}"), None, None, None))
                .collect(),
        ),
        repeat: true,
        expected: &[200],
    };
    sample(&with, &traffic, FIRST_WARM_UP).await?;
    sample(&without, &traffic, FIRST_WARM_UP).await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let base = sample(&without, &traffic, WARM_UP).await?;
        rounds.push((sample(&with, &traffic, WARM_UP).await?, base));
    }
    let cpu = |sample: &Sample| sample.cpu_micros();
    let line = Line::new(
        "course detail",
        vec![
            ("CPU µs", median(rounds.iter().map(|(seen, _)| cpu(seen)))),
            ("CPU µs without", median(rounds.iter().map(|(_, base)| cpu(base)))),
            (
                "ratio",
                median(rounds.iter().map(|(seen, base)| ratio(cpu(seen), cpu(base)))),
            ),
        ],
    );
    with.process.end().await?;
    without.process.end().await?;
    Ok(Section {
        title: "Sight: metrics, 1 % of traces to a collector and the access log, against none of them",
        lines: vec![line.judged("ratio", Goal::at_most(1.10, 1.05))],
    })
}

async fn sample(site: &Site, traffic: &Traffic, warm_up: Duration) -> Result<Sample, Failure> {
    let load = Load {
        address: site.address,
        connections: CONNECTIONS,
        warm_up,
        window: WINDOW,
    };
    measure(load, traffic, &site.process)
        .await?
        .checked("course detail")
}

/// Starts a collector that takes everything and keeps nothing.
async fn collect() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(take));
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

async fn take(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Whatever was sent, even half of it, has done its work.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::from("{}")))
}
