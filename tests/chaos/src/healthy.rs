//! A well-behaved client beside the hostile ones: it reads at a steady pace and remembers how long each answer took.
//!
//! It has a thread and a runtime of its own, so that what the attackers of this process do to their scheduler is not
//! mistaken for what the server does. Latency counts from when a request was due, so a stall is seen by every request
//! that it delayed.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::wire::{Wire, request};

/// Connections, each with a request at a time.
const CONNECTIONS: u32 = 4;
/// Time between two requests of one connection; 200 a second in all.
const PACE: Duration = Duration::from_millis(20);
/// An answer that takes longer is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What it reads.
const PATHS: [&str; 3] = [
    "/v1/courses?limit=10",
    "/v1/categories",
    "/v1/courses?q=course&limit=5",
];

/// What it saw in a stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How long each answer took, in no order.
    latencies: Vec<Duration>,
    /// Requests without an answer, or with another than 200.
    pub failed: usize,
}

impl Seen {
    /// The latency that 99 of 100 answers did not exceed.
    #[must_use]
    pub fn p99(&self) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied().unwrap_or_default()
    }

    /// Answers.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.latencies.len()
    }

    /// Two stretches as one.
    #[must_use]
    pub fn and(mut self, other: &Seen) -> Self {
        self.latencies.extend_from_slice(&other.latencies);
        self.failed += other.failed;
        self
    }
}

enum Event {
    Answered(Duration),
    Failed,
}

/// A client at work until it is dropped.
pub struct Healthy {
    events: mpsc::Receiver<Event>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Healthy {
    /// Starts reading.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let (tell, events) = mpsc::channel();
        let (stop, stopped) = watch::channel(false);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(read_on(address, &tell, stopped));
            Ok(())
        };
        let thread = std::thread::Builder::new()
            .name("healthy".to_owned())
            .spawn(work)?;
        Ok(Healthy {
            events,
            stop,
            thread: Some(thread),
        })
    }

    /// What it has seen since the last time it was asked.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for event in self.events.try_iter() {
            match event {
                Event::Answered(latency) => seen.latencies.push(latency),
                Event::Failed => seen.failed += 1,
            }
        }
        seen
    }
}

impl Drop for Healthy {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // What it could not do, it has told as failed requests.
            let _ = thread.join();
        }
    }
}

async fn read_on(address: SocketAddr, tell: &mpsc::Sender<Event>, mut stopped: watch::Receiver<bool>) {
    let readers: Vec<_> = (0..CONNECTIONS)
        .map(|number| read(address, number, tell))
        .collect();
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => {}
        _ = futures_util::future::join_all(readers) => {}
    }
}

async fn read(address: SocketAddr, number: u32, tell: &mpsc::Sender<Event>) {
    let requests = PATHS.map(|path| request("GET", path, &[], None));
    let mut ticks = interval(PACE);
    // What was missed is sent late, and its lateness counts.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut wire = None;
    for request in requests.iter().cycle().skip(usize::try_from(number).unwrap_or(0)) {
        let due = ticks.tick().await;
        let answered = timeout(ANSWER_TIMEOUT, exchange(&mut wire, address, request)).await;
        let event = match answered {
            Ok(Ok(200)) => Event::Answered(Instant::now().saturating_duration_since(due.into_std())),
            Ok(_) | Err(_) => {
                wire = None;
                Event::Failed
            }
        };
        if tell.send(event).is_err() {
            return;
        }
    }
}

async fn exchange(wire: &mut Option<Wire>, address: SocketAddr, request: &[u8]) -> io::Result<u16> {
    let open = match wire {
        Some(open) => open,
        None => wire.insert(Wire::open(address).await?),
    };
    open.send(request).await?;
    let answer = open.answer(false).await?.ok_or(ErrorKind::UnexpectedEof)?;
    Ok(answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_what_one_in_a_hundred_exceeds() {
        let seen = Seen {
            latencies: (1..=200).rev().map(Duration::from_millis).collect(),
            failed: 0,
        };

        assert_eq!(seen.p99(), Duration::from_millis(198));
        assert_eq!(Seen::default().p99(), Duration::ZERO);
        assert_eq!(seen.clone().and(&seen).answers(), 400);
    }
}
