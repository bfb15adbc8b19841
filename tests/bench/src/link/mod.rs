//! What an ask costs: of an entity on the node.
//!
//! Everything happens in memory, so that what is left is the path of a request: admission, mailbox, decision, journal,
//! answer. Figures are of the release build on all cores of the machine.

mod counter;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lyceum_runtime::{Context, Durability, Region};

use self::counter::{Command, CounterId, Counters, TEXT_BYTES};
use crate::Failure;
use crate::report::{Line, Section, progress};
use crate::stats::median;

/// Asks at once.
const CONCURRENCY: usize = 256;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const BUDGET: Duration = Duration::from_secs(10);
const NS: f64 = 1e9;

/// Measures asks.
///
/// # Errors
/// One was not answered.
pub(crate) async fn run() -> Result<Section, Failure> {
    progress("asks on the node");
    let mut lines = Vec::new();
    for (name, durability) in [
        ("journaled", Durability::Journaled { snapshot_every: 100 }),
        (
            "snapshotted",
            Durability::Snapshotted {
                ttl: BUDGET,
                flush_after: BUDGET,
            },
        ),
    ] {
        let counters = counter::start(durability).await?;
        let single = asks(&counters, 1).await?;
        let many = asks(&counters, CONCURRENCY).await?;
        lines.push(Line::new(
            format!("local ask, {name}"),
            vec![
                ("ns, one caller", NS / single),
                ("ns, 256 callers", NS / many),
                ("1/s", many),
            ],
        ));
    }
    Ok(Section {
        title: "Asks of 256 B, everything in memory",
        lines,
    })
}

/// Asks per second of so many callers, each of whom asks an entity of its own and waits for the answer.
async fn asks(counters: &Region<Counters>, callers: usize) -> Result<f64, Failure> {
    let mut rates = Vec::new();
    // The first one warms up.
    for _ in 0..=ROUNDS {
        let began = Instant::now();
        let callers = (0..callers).map(|caller| {
            let counters = counters.clone();
            tokio::spawn(async move {
                let id = CounterId::from_u128(caller as u128 + 1);
                let mut asked = 0_u32;
                while began.elapsed() < ROUND {
                    let context = Context::within(BUDGET);
                    let text = "x".repeat(TEXT_BYTES);
                    counters
                        .ask(id, Command::Add(1), text, &context)
                        .await
                        .map_err(|error| format!("{error:?}"))?;
                    asked += 1;
                }
                Ok::<_, String>(asked)
            })
        });
        let mut asked = 0_u32;
        for caller in join_all(callers).await {
            asked += caller??;
        }
        rates.push(f64::from(asked) / began.elapsed().as_secs_f64());
    }
    Ok(median(rates.into_iter().skip(1)))
}
