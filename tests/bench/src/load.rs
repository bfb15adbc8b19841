//! A closed loop over keep-alive connections: each sends its next request when the last one is answered.
//!
//! Flow: connect → warm up → the measured window, at both edges of which the server's CPU time is read → finish what
//! is open. Requests are repeated in turn for reads; a purchase is sent once, and everything that was acknowledged is
//! counted, also outside of the window, so that it can be compared with the books afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::Failure;
use crate::http::Connection;
use crate::process::Process;
use crate::stats::{Histogram, ratio};

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const FINISHED: u8 = 2;

/// How requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// Time before anything is measured.
    pub(crate) warm_up: Duration,
    /// Time that is measured.
    pub(crate) window: Duration,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// The requests, ready to be written.
    pub(crate) requests: Arc<Vec<Bytes>>,
    /// Whether they are repeated, or each is sent at most once.
    pub(crate) repeat: bool,
    /// The statuses of a success.
    pub(crate) expected: &'static [u16],
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Requests answered as expected within the window.
    pub(crate) completed: u64,
    /// Requests answered as expected at all.
    pub(crate) acknowledged: u64,
    /// Requests answered otherwise.
    pub(crate) unexpected: u64,
    /// One of those answers.
    pub(crate) example: Option<String>,
    /// Latencies within the window.
    pub(crate) latency: Histogram,
    /// How long the window was.
    pub(crate) elapsed: Duration,
    /// CPU time that the server used within the window.
    pub(crate) cpu: Duration,
}

impl Sample {
    /// Requests answered each second.
    pub(crate) fn rate(&self) -> f64 {
        ratio(count(self.completed), self.elapsed.as_secs_f64())
    }

    /// Microseconds of the server's CPU time for each request.
    pub(crate) fn cpu_micros(&self) -> f64 {
        ratio(self.cpu.as_secs_f64() * 1e6, count(self.completed))
    }

    /// Fails unless every answer was as expected.
    pub(crate) fn checked(self, what: &str) -> Result<Self, Failure> {
        match &self.example {
            Some(example) => Err(format!(
                "{what}: {} unexpected answers, such as {example}",
                self.unexpected
            )
            .into()),
            None => Ok(self),
        }
    }

    fn add(&mut self, other: &Sample) {
        self.completed += other.completed;
        self.acknowledged += other.acknowledged;
        self.unexpected += other.unexpected;
        if self.example.is_none() {
            self.example.clone_from(&other.example);
        }
        self.latency.merge(&other.latency);
    }
}

/// A count as a figure; exact below 2^53.
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// Sends traffic for a while and measures it.
///
/// # Errors
/// A connection cannot be made or breaks, or the server is gone.
pub(crate) async fn measure(load: Load, traffic: &Traffic, server: &Process) -> Result<Sample, Failure> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut callers = start(load, traffic, &phase).await?;
    let mut total = Sample::default();

    // Traffic that is sent once may be used up early; then the window ends with it.
    let used_up = tokio::time::timeout(load.warm_up, gather(&mut callers, &mut total)).await;
    if let Ok(outcome) = used_up {
        outcome?;
        return Err("the prepared requests were used up before anything was measured".into());
    }
    let cpu = server.cpu()?;
    let began = Instant::now();
    phase.store(MEASURING, Ordering::Relaxed);
    let used_up = tokio::time::timeout(load.window, gather(&mut callers, &mut total)).await;
    phase.store(FINISHED, Ordering::Relaxed);
    total.elapsed = began.elapsed();
    total.cpu = server.cpu()?.saturating_sub(cpu);
    match used_up {
        Ok(outcome) => outcome?,
        Err(_) => gather(&mut callers, &mut total).await?,
    }
    Ok(total)
}

/// Sends every request exactly once and measures how long that takes.
///
/// # Errors
/// As [`measure`].
pub(crate) async fn drain(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Bytes>,
    expected: &'static [u16],
) -> Result<Sample, Failure> {
    let load = Load {
        address,
        connections,
        warm_up: Duration::ZERO,
        window: Duration::MAX,
    };
    let traffic = Traffic {
        requests: Arc::new(requests),
        repeat: false,
        expected,
    };
    let phase = Arc::new(AtomicU8::new(MEASURING));
    let began = Instant::now();
    let mut callers = start(load, &traffic, &phase).await?;
    let mut total = Sample::default();
    gather(&mut callers, &mut total).await?;
    total.elapsed = began.elapsed();
    Ok(total)
}

type Callers = JoinSet<Result<Sample, Failure>>;

async fn start(load: Load, traffic: &Traffic, phase: &Arc<AtomicU8>) -> Result<Callers, Failure> {
    let sent = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for number in 0..load.connections {
        let connection = Connection::open(load.address).await?;
        let turn = Turn {
            requests: traffic.requests.clone(),
            // Callers begin at different places, so that they rarely ask for the same thing at once.
            next: number * traffic.requests.len() / load.connections,
            sent: (!traffic.repeat).then(|| sent.clone()),
        };
        callers.spawn(call(connection, turn, traffic.expected, phase.clone()));
    }
    Ok(callers)
}

async fn gather(callers: &mut Callers, total: &mut Sample) -> Result<(), Failure> {
    while let Some(ended) = callers.join_next().await {
        total.add(&ended??);
    }
    Ok(())
}

/// Which request a caller sends next.
struct Turn {
    requests: Arc<Vec<Bytes>>,
    next: usize,
    /// How many were sent by all callers together, where none may be sent twice.
    sent: Option<Arc<AtomicUsize>>,
}

impl Turn {
    fn take(&mut self) -> Option<Bytes> {
        let Some(sent) = &self.sent else {
            let request = self.requests.get(self.next).cloned();
            self.next = (self.next + 1) % self.requests.len();
            return request;
        };
        self.requests.get(sent.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

async fn call(
    mut connection: Connection,
    mut turn: Turn,
    expected: &'static [u16],
    phase: Arc<AtomicU8>,
) -> Result<Sample, Failure> {
    let mut seen = Sample::default();
    while phase.load(Ordering::Relaxed) != FINISHED {
        let Some(request) = turn.take() else { break };
        let began = Instant::now();
        let answer = connection.exchange(&request).await?;
        if !expected.contains(&answer.status) {
            seen.unexpected += 1;
            let text = || format!("{} {}", answer.status, String::from_utf8_lossy(answer.body));
            seen.example.get_or_insert_with(text);
            continue;
        }
        seen.acknowledged += 1;
        if phase.load(Ordering::Relaxed) == MEASURING {
            seen.completed += 1;
            seen.latency
                .record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(count: u8, next: usize, sent: Option<Arc<AtomicUsize>>) -> Turn {
        let requests = (0..count).map(|number| Bytes::from(vec![number])).collect();
        Turn {
            requests: Arc::new(requests),
            next,
            sent,
        }
    }

    #[test]
    fn repeated_requests_begin_anew_after_the_last() {
        let mut turn = turn(3, 2, None);

        let taken: Vec<u8> = (0..4)
            .filter_map(|_| turn.take())
            .map(|request| request[0])
            .collect();

        assert_eq!(taken, [2, 0, 1, 2]);
    }

    #[test]
    fn requests_of_which_none_may_be_repeated_are_shared_out() {
        let sent = Arc::new(AtomicUsize::new(0));
        let (mut one, mut other) = (turn(3, 0, Some(sent.clone())), turn(3, 1, Some(sent)));

        let taken = [one.take(), other.take(), one.take(), other.take()];

        let numbers: Vec<u8> = taken.into_iter().flatten().map(|request| request[0]).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn rates_and_costs_are_those_of_the_window() {
        let sample = Sample {
            completed: 50_000,
            acknowledged: 90_000,
            elapsed: Duration::from_secs(2),
            cpu: Duration::from_millis(500),
            ..Sample::default()
        };

        assert_eq!(sample.rate(), 25_000.0);
        assert_eq!(sample.cpu_micros(), 10.0);
    }
}
