//! What an ask costs: of an entity on the node, and of one on another node, beside the alternatives.
//!
//! Everything happens in memory, so that what is left is the path of a request: admission, the link, mailbox, decision,
//! journal, answer. The other node is a process of its own, on the same cores. An ask there is a ratio to an echo over the
//! same link, which is all that any request over it can cost least; beside both stands an echo over HTTP/2, as the link
//! might have been.

mod counter;
mod h2c;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use lyceum_runtime::link::{
    Call, Header, Incoming, Link, LinkSettings, PeerTransport, Regions, Responder, Served, Status,
};
use lyceum_runtime::{Context, Durability, Owner, Region, Trace};
use uuid::Uuid;

use self::counter::{Command, CounterId, Counters, TEXT_BYTES};
use crate::Failure;
use crate::process::{Process, free_address};
use crate::report::{Goal, Line, Section, progress};
use crate::site::Place;
use crate::stats::{median, ratio};

/// Asks at once.
const CONCURRENCY: usize = 256;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const BUDGET: Duration = Duration::from_secs(10);
const NS: f64 = 1e9;
const BYTES: usize = 256;

const JOURNALED: Durability = Durability::Journaled { snapshot_every: 100 };
const SNAPSHOTTED: Durability = Durability::Snapshotted {
    ttl: BUDGET,
    flush_after: BUDGET,
};

/// The kind that only echoes.
const ECHO: i16 = 98;
const HERE: Uuid = Uuid::from_u128(1);
const THERE: Uuid = Uuid::from_u128(2);

/// Measures asks on the node.
///
/// # Errors
/// One was not answered.
pub(crate) async fn asks() -> Result<Section, Failure> {
    progress("asks on the node");
    let mut lines = Vec::new();
    for (name, durability) in [("journaled", JOURNALED), ("snapshotted", SNAPSHOTTED)] {
        let counters = counter::start(durability, None).await?.counters;
        let single = local_rate(&counters, 1).await?;
        let many = local_rate(&counters, CONCURRENCY).await?;
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

/// Measures asks of another node.
///
/// # Errors
/// One was not answered, or the other node does not start.
pub(crate) async fn run(place: &Place) -> Result<Section, Failure> {
    progress("asks of another node");
    let (address, h2c) = (free_address()?, free_address()?);
    let arguments = ["peer", "--link", &address.to_string(), "--h2c", &h2c.to_string()].map(str::to_owned);
    let peer = Process::start("peer", &std::env::current_exe()?, arguments, &[], &place.out)?;
    let client = h2c::connect(h2c).await?;

    let link = Link::start(settings(), HERE, Arc::new(Regions::default())).await?;
    let owner = Owner {
        incarnation: THERE,
        epoch: 1,
        link: address.to_string().into(),
    };
    let counters = counter::start(JOURNALED, Some((link.clone(), owner.clone())))
        .await?
        .counters;

    let echoing = || {
        let (link, owner) = (link.clone(), owner.clone());
        move |_| echo(link.clone(), owner.clone())
    };
    let asking = || {
        let counters = counters.clone();
        move |caller| owned_ask(counters.clone(), caller)
    };
    let at_home = counter::start(JOURNALED, None).await?.counters;
    let asking_here = || {
        let counters = at_home.clone();
        move |caller| owned_ask(counters.clone(), caller)
    };
    let over_h2c = || {
        let client = client.clone();
        move |_| h2c::echo(client.clone())
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        // Side by side, so that what disturbs one disturbs all.
        rounds.push([
            cpu(&peer, rate_once(CONCURRENCY, echoing())).await?,
            cpu(&peer, rate_once(CONCURRENCY, asking())).await?,
            cpu(&peer, rate_once(CONCURRENCY, over_h2c())).await?,
            cpu(&peer, rate_once(CONCURRENCY, asking_here())).await?,
        ]);
    }
    drop(peer);
    let line = |name: &str, which: usize| {
        let rate = median(rounds.iter().map(|round| round[which].0));
        let micros = median(rounds.iter().map(|round| round[which].1));
        let to_echo = median(rounds.iter().map(|round| ratio(round[0].0, round[which].0)));
        Line::new(
            name,
            vec![
                ("1/s", rate),
                ("CPU µs, both", micros),
                ("ratio to echo", to_echo),
            ],
        )
    };
    // A request that is carried over and then carried out costs what either costs alone, at least.
    let to_parts = rounds
        .iter()
        .map(|[echo, ask, _, here]| ratio(ask.1, echo.1 + here.1));
    let to_parts = Line::new(
        "remote ask beside echo and local ask together",
        vec![("ratio of CPU", median(to_parts))],
    );
    Ok(Section {
        title: "From node to node: 256 callers, 256 B there and back, two processes on the same cores",
        lines: vec![
            line("echo over the link", 0),
            line("remote ask", 1).judged("ratio to echo", Goal::at_most(1.3, 1.1)),
            line("remote ask, rate", 1).judged("1/s", Goal::at_least(60_000.0, 120_000.0)),
            line("local ask", 3),
            to_parts,
            line("echo over h2c", 2),
        ],
    })
}

/// Is the other node until the process is ended.
///
/// # Errors
/// An address is taken.
pub(crate) async fn serve(link: SocketAddr, h2c: SocketAddr) -> Result<(), Failure> {
    let node = counter::start(JOURNALED, None).await?;
    node.regions.open(ECHO, Arc::new(Echo));
    let settings = LinkSettings {
        listen: link,
        ..settings()
    };
    let _link = Link::start(settings, THERE, node.regions).await?;
    h2c::serve(h2c).await
}

fn settings() -> LinkSettings {
    LinkSettings {
        secret: b"measured".to_vec(),
        ..LinkSettings::default()
    }
}

/// Answers with what it is asked.
struct Echo;

impl Served for Echo {
    fn serve(self: Arc<Self>, incoming: Incoming, responder: Responder) {
        responder.send(Status::Done, incoming.header.entity, &incoming.payload);
    }
}

async fn echo(link: Arc<Link>, owner: Owner) -> Result<(), Failure> {
    let call = Call {
        header: Header {
            kind: ECHO,
            entity: 1,
            placement: 1,
            epoch: 1,
            operation: None,
            trace: Trace::default(),
        },
        payload: Bytes::from(vec![b'x'; BYTES]),
        deadline: Instant::now() + BUDGET,
    };
    let answer = link.call(&owner, call).await?;
    if answer.payload.len() == BYTES {
        Ok(())
    } else {
        Err("an echo of another length".into())
    }
}

async fn owned_ask(counters: Region<Counters>, caller: usize) -> Result<(), Failure> {
    ask(&counters, caller).await
}

async fn ask(counters: &Region<Counters>, caller: usize) -> Result<(), Failure> {
    let id = CounterId::from_u128(caller as u128 + 1);
    let text = "x".repeat(TEXT_BYTES);
    let context = Context::within(BUDGET);
    let answer = counters.ask(id, Command::Add(1), text, &context).await;
    answer.map_err(|error| format!("{error:?}"))?;
    Ok(())
}

/// Asks per second of so many callers, each of whom asks an entity of its own and waits for the answer.
async fn local_rate(counters: &Region<Counters>, callers: usize) -> Result<f64, Failure> {
    let mut rates = Vec::new();
    // The first one warms up.
    for _ in 0..=ROUNDS {
        let began = Instant::now();
        let callers = (0..callers).map(|caller| {
            let counters = counters.clone();
            tokio::spawn(async move {
                let mut asks = 0_u32;
                while began.elapsed() < ROUND {
                    ask(&counters, caller).await?;
                    asks += 1;
                }
                Ok::<_, Failure>(asks)
            })
        });
        let mut asks = 0_u32;
        for caller in join_all(callers).await {
            asks += caller??;
        }
        rates.push(f64::from(asks) / began.elapsed().as_secs_f64());
    }
    Ok(median(rates.into_iter().skip(1)))
}

/// Calls per second within one round, and how many there were.
async fn rate_once<F, C>(callers: usize, call: F) -> Result<(f64, f64), Failure>
where
    F: Fn(usize) -> C + Clone + Send + 'static,
    C: Future<Output = Result<(), Failure>> + Send,
{
    let began = Instant::now();
    let callers = (0..callers).map(|caller| {
        let call = call.clone();
        tokio::spawn(async move {
            let mut calls = 0_u32;
            while began.elapsed() < ROUND {
                call(caller).await?;
                calls += 1;
            }
            Ok::<_, Failure>(calls)
        })
    });
    let mut calls = 0_u32;
    for caller in join_all(callers).await {
        calls += caller??;
    }
    let calls = f64::from(calls);
    Ok((calls / began.elapsed().as_secs_f64(), calls))
}

/// Calls per second, and microseconds of CPU that a call costs on both nodes together.
async fn cpu(
    peer: &Process,
    calls: impl Future<Output = Result<(f64, f64), Failure>>,
) -> Result<(f64, f64), Failure> {
    let used = || Ok::<_, Failure>(peer.cpu()? + Process::own_cpu()?);
    let before = used()?;
    let (rate, calls) = calls.await?;
    let spent = used()?.saturating_sub(before);
    Ok((rate, ratio(spent.as_secs_f64() * 1e6, calls)))
}
