//! Purchases through a provider whose callback is the first word of the charge: how long until the course is granted.
//!
//! Purchases start at a fixed rate, whether or not those before have ended. Every answer of the provider is lost, so that nothing but its callback
//! tells how a charge ended for the second until it is asked. Measured is from the moment that a callback was written to the
//! inbox until the decision that grants, both on the database's clock; how many purchases were granted is counted afterwards.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use lyceum_domain::ids::PaymentId;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::http::{Connection, call, request};
use crate::load::count;
use crate::report::{Goal, Line, Section, progress};
use crate::seed::Seeded;
use crate::site::Place;
use crate::stats::{Histogram, ratio};

/// Purchases started each second.
const RATE: usize = 200;
/// Purchases altogether, each of another buyer: 20 seconds.
const PURCHASES: usize = 4_000;
/// Buyers before these have bought in the measurement of wallets.
const FIRST_BUYER: usize = crate::purchases::BUYERS;
/// Connections that take turns.
const LANES: usize = 16;
/// Everything has ended long before.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Measures grants after callbacks.
///
/// # Errors
/// A purchase is refused, or not granted in time.
pub(crate) async fn run(place: &Place, seeded: &Seeded, database: &Client) -> Result<Section, Failure> {
    progress(&format!("callbacks: {PURCHASES} purchases, {RATE}/s"));
    let (sandbox, provider) = place.start_sandbox().await?;
    let url = ("providers.sandbox.url", format!("http://{provider}"));
    let site = place.start(&[url]).await?;
    fail(provider, &json!({"answers": {"lost_pct": 100}})).await?;
    let tokens = seeded.tokens(FIRST_BUYER + PURCHASES)?.split_off(FIRST_BUYER);
    let requests = tokens.iter().enumerate().map(|(number, token)| {
        let course = seeded.courses[number % seeded.courses.len()];
        let body =
            json!({"items": [{"course_id": course}], "payment_method": "sandbox", "payment_token": "tok_ok"});
        let key = Uuid::now_v7().to_string();
        request("POST", "/v1/orders", Some(token), Some(&key), Some(&body))
    });

    let cpu = site.process.cpu()?;
    let late = send(site.address, requests.collect()).await?;
    settled(database).await?;
    let cpu = site.process.cpu()?.saturating_sub(cpu);
    fail(provider, &json!({})).await?;
    site.process.end().await?;
    sandbox.end().await?;

    let (delays, heard) = delays(database).await?;
    let millis = |permille| count(delays.quantile(permille)) / 1e3;
    let figures = vec![
        ("p50 ms", millis(500)),
        ("p99 ms", millis(990)),
        ("CPU µs", ratio(cpu.as_secs_f64() * 1e6, count(PURCHASES as u64))),
        (
            "by callback %",
            ratio(count(heard) * 100.0, count(PURCHASES as u64)),
        ),
        ("late ms", late.as_secs_f64() * 1e3),
    ];
    let line = Line::new(format!("granted after the callback, {RATE}/s"), figures);
    Ok(Section {
        title: "Callbacks: purchases through a provider of which nothing else tells",
        lines: vec![line.judged("p99 ms", Goal::at_most(100.0, 20.0))],
    })
}

/// Makes the provider fail by a plan.
async fn fail(provider: SocketAddr, plan: &Value) -> Result<(), Failure> {
    let set = request("PUT", "/admin/faults", None, None, Some(plan));
    call(provider, &set, &[200]).await.map(drop)
}

/// Sends each request when it is due; by how much the latest was behind.
async fn send(address: SocketAddr, requests: Vec<Bytes>) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let mut connection = Connection::open(address).await?;
        let mine: Vec<(usize, Bytes)> = (0..)
            .zip(requests.iter().cloned())
            .skip(lane)
            .step_by(LANES)
            .collect();
        lanes.spawn(async move {
            let mut late = Duration::ZERO;
            for (number, request) in mine {
                let due = began + Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(RATE)?;
                sleep_until(due).await;
                late = late.max(due.elapsed());
                let answer = connection.exchange(&request).await?;
                if answer.status != 202 {
                    let body = String::from_utf8_lossy(answer.body);
                    return Err(format!("a purchase was answered with {}: {body}", answer.status).into());
                }
            }
            Ok::<_, Failure>(late)
        });
    }
    let mut late = Duration::ZERO;
    while let Some(ended) = lanes.join_next().await {
        late = late.max(ended??);
    }
    Ok(late)
}

/// Waits until every purchase is granted.
async fn settled(database: &Client) -> Result<(), Failure> {
    const GRANTED: &str = "SELECT count(*) FROM payments AS p JOIN grants AS g ON g.source_id = p.order_id \
        WHERE p.provider = 'sandbox' AND p.state = 'succeeded'";
    let began = Instant::now();
    loop {
        let granted: i64 = database.query_one(GRANTED, &[]).await?.get(0);
        if granted == i64::try_from(PURCHASES)? {
            return Ok(());
        }
        if began.elapsed() > SETTLED_TIMEOUT {
            return Err(format!("only {granted} of {PURCHASES} purchases were granted").into());
        }
        sleep(LOOK).await;
    }
}

/// From callback to grant in microseconds, and how many heard of their charge by the callback.
async fn delays(database: &Client) -> Result<(Histogram, u64), Failure> {
    const CALLBACKS: &str = "SELECT reference, (extract(epoch FROM received_at) * 1e6)::bigint FROM provider_events \
        WHERE provider = 'sandbox' AND kind = 'charge.succeeded'";
    const GRANTS: &str = "SELECT p.payment_id, (extract(epoch FROM g.granted_at) * 1e6)::bigint FROM payments AS p \
        JOIN grants AS g ON g.source_id = p.order_id WHERE p.provider = 'sandbox'";
    let mut received: HashMap<PaymentId, i64> = HashMap::new();
    for row in database.query(CALLBACKS, &[]).await? {
        received.insert(row.get::<_, &str>(0).parse()?, row.get(1));
    }
    let (mut delays, mut heard) = (Histogram::default(), 0);
    for row in database.query(GRANTS, &[]).await? {
        let payment = PaymentId::from_u128(row.get::<_, Uuid>(0).as_u128());
        // Whose callback came after somebody had asked waited for nothing; the decision's clock counts whole milliseconds.
        if let Some(received) = received.get(&payment)
            && let Ok(delay) = u64::try_from(row.get::<_, i64>(1) + 1_000 - received)
        {
            delays.record(delay);
            heard += 1;
        }
    }
    Ok((delays, heard))
}
