//! Canaries for single shards: a small read and a small write in turn, each sent at its time, whatever became of the one before.
//!
//! A canary is somebody whose account lies in a known shard. It goes through the nodes in turn, as a load balancer would send it: a node
//! that does not say that it is ready twice in a row is passed over, and what a node did not answer because the connection broke is sent to
//! another one, since it bears repetition. Time counts from when a canary was due. All of it runs on a thread of its own, so that the
//! trial does not hold it up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, interval_at, timeout};

use crate::Failure;
use crate::api::{self, Account, Client};
use crate::process::status;
use crate::site;
use crate::wire::{Wire, request};

/// A canary without an answer is given up: silence.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Canaries without an answer; more are not sent, and count as failed.
const UNANSWERED_MAX: usize = 8192;
/// As config/dev/haproxy.cfg says.
const CHECK_EVERY: Duration = Duration::from_millis(200);
const CHECK_TIMEOUT: Duration = Duration::from_millis(400);
const CHECKS_FAILED: u32 = 2;
const ATTEMPTS: usize = 3;
/// Idle connections to one node.
const IDLE_MAX: usize = 256;

/// Somebody whose shard is known.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The shard of the account.
    pub shard: u8,
    /// An access token.
    pub token: String,
}

/// Registers people until they cover so many shards.
///
/// # Errors
/// A registration is refused, or an operator cannot ask where an account lives.
pub async fn canaries(address: SocketAddr, shards: usize) -> Result<Vec<Canary>, Failure> {
    let operator = site::operator(address).await?;
    let mut operator = Client::with_token(address, &operator.token);
    let (mut found, mut covered) = (Vec::new(), BTreeSet::new());
    while found.len() < shards {
        let Account { id, token, .. } = api::register(address).await?;
        let lives = operator.get(&format!("/admin/v1/entities/account/{id}")).await?;
        let shard = lives["shard"].as_u64().ok_or("an entity has a shard")?;
        let shard = u8::try_from(shard)?;
        if covered.insert(shard) {
            found.push(Canary { shard, token });
        }
    }
    Ok(found)
}

/// What became of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered well.
    Good,
    /// It was answered, and not well.
    Status(u16),
    /// Nobody answered.
    Silence,
    /// No node could be reached, or every one broke the connection.
    Broken,
}

/// A canary that has come to its end.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its shard.
    pub shard: u8,
    /// Whether it was a write.
    pub write: bool,
    /// When it was due.
    pub due: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The number of the node that was asked last.
    pub through: usize,
    /// What became of it.
    pub fate: Fate,
}

/// Canaries on their way until this is dropped.
pub struct Prober {
    seen: mpsc::Receiver<Seen>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Prober {
    /// Begins to send canaries through these nodes, one of each every so often.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(nodes: &[SocketAddr], canaries: &[Canary], every: Duration) -> io::Result<Self> {
        let (tell, seen) = mpsc::channel();
        let (stop, mut stopped) = watch::channel(false);
        let (nodes, canaries) = (nodes.to_vec(), canaries.to_vec());
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let local = LocalSet::new();
            local.block_on(&runtime, async {
                let way = Rc::new(Way::new(nodes, tell));
                for number in 0..way.nodes.len() {
                    spawn_local(check(way.clone(), number));
                }
                let count = u32::try_from(canaries.len()).unwrap_or(1).max(1);
                for (number, canary) in (0..).zip(canaries) {
                    spawn_local(sing(way.clone(), canary, number, every, every * number / count));
                }
                // Whoever lets go of the other end wants it to stop as well.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            });
            Ok(())
        };
        let thread = std::thread::Builder::new()
            .name("prober".to_owned())
            .spawn(work)?;
        Ok(Prober {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// What has ended since this was asked last.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // What it could not do, it has told as canaries that failed.
            let _ = thread.join();
        }
    }
}

struct Way {
    nodes: Vec<Node>,
    tell: mpsc::Sender<Seen>,
    unanswered: Cell<usize>,
}

struct Node {
    address: SocketAddr,
    up: Cell<bool>,
    idle: RefCell<Vec<Wire>>,
}

impl Way {
    fn new(nodes: Vec<SocketAddr>, tell: mpsc::Sender<Seen>) -> Self {
        let node = |address| Node {
            address,
            up: Cell::new(true),
            idle: RefCell::default(),
        };
        Way {
            nodes: nodes.into_iter().map(node).collect(),
            tell,
            unanswered: Cell::new(0),
        }
    }

    /// The node whose turn it is, of those that are up; of all, if none is.
    fn node(&self, turn: usize) -> usize {
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|number| self.nodes[*number].up.get())
            .collect();
        match up.len() {
            0 => turn % self.nodes.len(),
            count => up[turn % count],
        }
    }

    async fn send(&self, request: &[u8], turn: usize, through: &Cell<usize>) -> Fate {
        for attempt in 0..ATTEMPTS {
            let number = self.node(turn + attempt);
            through.set(number);
            if let Ok(status) = self.nodes[number].exchange(request).await {
                return if status == 200 {
                    Fate::Good
                } else {
                    Fate::Status(status)
                };
            }
        }
        Fate::Broken
    }
}

impl Node {
    async fn exchange(&self, request: &[u8]) -> io::Result<u16> {
        let rested = self.idle.borrow_mut().pop();
        if let Some(mut wire) = rested
            && let Ok(status) = self.over(&mut wire, request).await
        {
            self.rest(wire);
            return Ok(status);
        }
        // A connection that rested may have ended meanwhile.
        let mut wire = Wire::open(self.address).await?;
        let status = self.over(&mut wire, request).await?;
        self.rest(wire);
        Ok(status)
    }

    async fn over(&self, wire: &mut Wire, request: &[u8]) -> io::Result<u16> {
        wire.send(request).await?;
        let answer = wire.answer(false).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(answer.status)
    }

    fn rest(&self, wire: Wire) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push(wire);
        }
    }
}

/// Looks whether a node is ready, as a load balancer does.
async fn check(way: Rc<Way>, number: usize) {
    let node = &way.nodes[number];
    let (mut ticks, mut failed) = (interval(CHECK_EVERY), 0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ready = timeout(CHECK_TIMEOUT, status(node.address, "/readyz")).await;
        if ready.is_ok_and(|status| status == Some(200)) {
            failed = 0;
            node.up.set(true);
        } else {
            failed += 1;
            if failed >= CHECKS_FAILED {
                node.up.set(false);
                node.idle.borrow_mut().clear();
            }
        }
    }
}

/// Sends one canary again and again.
async fn sing(way: Rc<Way>, canary: Canary, number: u32, every: Duration, offset: Duration) {
    let bearer = format!("Bearer {}", canary.token);
    let headers = [("authorization", bearer.as_str())];
    let read: Rc<[u8]> = request("GET", "/v1/me", &headers, None).into();
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, every);
    // What was missed is sent late, and its lateness counts.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for turn in 0_u32.. {
        let due = ticks.tick().await.into_std();
        let write = turn % 2 == 1;
        let asked: Rc<[u8]> = if write {
            let body = json!({"bio": format!("canary {turn}")});
            request("PATCH", "/v1/me", &headers, Some(&body)).into()
        } else {
            read.clone()
        };
        // Reads and writes each go through all nodes.
        let turn = usize::try_from(turn / 2 + number).unwrap_or(0);
        let (way, shard) = (way.clone(), canary.shard);
        spawn_local(async move {
            let through = Cell::new(way.node(turn));
            let fate = if way.unanswered.get() >= UNANSWERED_MAX {
                Fate::Silence
            } else {
                way.unanswered.set(way.unanswered.get() + 1);
                let sent = timeout(ANSWER_TIMEOUT, way.send(&asked, turn, &through)).await;
                way.unanswered.set(way.unanswered.get() - 1);
                sent.unwrap_or(Fate::Silence)
            };
            let seen = Seen {
                shard,
                write,
                due,
                ended: Instant::now(),
                through: through.get(),
                fate,
            };
            // Nobody may listen any more.
            let _ = way.tell.send(seen);
        });
    }
}
