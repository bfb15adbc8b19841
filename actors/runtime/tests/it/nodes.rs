//! Two nodes in one process, and the network between them, which a test may cut, freeze and listen to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use lyceum_runtime::journal::memory::MemoryJournal;
use lyceum_runtime::link::{Link, LinkSettings, Regions};
use lyceum_runtime::{
    ActorLimits, Durability, MemorySnapshots, Node, Owner, Pace, Region, ShardMap, Supervisors,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::counter::Counters;

/// A node with one region of counters and a link.
pub(crate) struct LinkedNode {
    pub(crate) counters: Region<Counters>,
    pub(crate) shards: Arc<ShardMap>,
    pub(crate) journal: MemoryJournal,
    pub(crate) link: Arc<Link>,
    pub(crate) incarnation: Uuid,
}

/// Settings under which a test need not wait long. A panic on purpose may keep a test's only thread for a second.
pub(crate) fn settings() -> LinkSettings {
    LinkSettings {
        secret: b"the cluster's".to_vec(),
        ping_timeout: Duration::from_secs(5),
        reconnect_min: Duration::from_millis(1),
        reconnect_max: Duration::from_millis(5),
        connect_timeout: Duration::from_secs(2),
        ..LinkSettings::default()
    }
}

impl LinkedNode {
    /// A node that serves nothing yet.
    pub(crate) async fn start(number: u128, settings: LinkSettings) -> Self {
        LinkedNode::start_with(number, settings, ActorLimits::default()).await
    }

    pub(crate) async fn start_with(number: u128, settings: LinkSettings, limits: ActorLimits) -> Self {
        let incarnation = Uuid::from_u128(number);
        let (shards, supervisors) = (Arc::new(ShardMap::default()), Arc::new(Supervisors::default()));
        let regions = Arc::new(Regions::default());
        let link = Link::start(settings, incarnation, regions.clone()).await.unwrap();
        let journal = MemoryJournal::default();
        let node = Arc::new(Node {
            journal: Arc::new(journal.clone()),
            snapshots: Arc::new(MemorySnapshots::default()),
            shards: shards.clone(),
            peers: link.clone(),
            regions,
            limits,
            supervisors: supervisors.clone(),
            alive: AtomicUsize::new(0),
            pace: Arc::new(Pace::new(Duration::from_millis(100))),
            started: Instant::now(),
        });
        supervisors.start(node.clone()).await.unwrap();
        let counters = Counters {
            durability: Durability::Journaled { snapshot_every: 4 },
            signals: Arc::default(),
        };
        LinkedNode {
            counters: Region::open(node, counters),
            shards,
            journal,
            link,
            incarnation,
        }
    }

    /// This node as others know it, under an epoch.
    pub(crate) fn owner(&self, epoch: i64) -> Owner {
        self.owner_at(epoch, self.link.address())
    }

    /// The same, reached at another address.
    pub(crate) fn owner_at(&self, epoch: i64, address: SocketAddr) -> Owner {
        Owner {
            incarnation: self.incarnation,
            epoch,
            link: address.to_string().into(),
        }
    }

    /// Serves every shard.
    pub(crate) fn serve_all(&self, epoch: i64) {
        (0..=u8::MAX).for_each(|shard| self.shards.serve(shard, epoch));
    }

    /// Hears where every shard is.
    pub(crate) fn learn_all(&self, owner: &Owner) {
        for shard in 0..=u8::MAX {
            self.shards.learn(shard, owner.clone());
        }
    }
}

/// Two nodes; the second serves everything under epoch 1, as the first knows.
pub(crate) async fn pair() -> (LinkedNode, LinkedNode) {
    let here = LinkedNode::start(1, settings()).await;
    let there = LinkedNode::start(2, settings()).await;
    there.serve_all(1);
    here.learn_all(&there.owner(1));
    (here, there)
}

/// The network between two nodes: passes bytes on, unless it is frozen or cut.
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Frozen,
    Cut,
}

impl Network {
    /// A network that leads to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(State::Open);
        tokio::spawn(async move {
            loop {
                let (caller, _) = listener.accept().await.unwrap();
                let Ok(callee) = TcpStream::connect(target).await else {
                    continue;
                };
                let (from_caller, to_caller) = caller.into_split();
                let (from_callee, to_callee) = callee.into_split();
                tokio::spawn(pass(from_caller, to_callee, watched.clone()));
                tokio::spawn(pass(from_callee, to_caller, watched.clone()));
            }
        });
        Network { address, state }
    }

    /// Lets nothing through, and breaks nothing off.
    pub(crate) fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Lets everything through again.
    pub(crate) fn thaw(&self) {
        self.state.send_replace(State::Open);
    }

    /// Breaks every connection off, and lets none through any more.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = state.wait_for(|state| *state == State::Cut) => 0,
        };
        if read == 0 {
            return;
        }
        let open = *state.wait_for(|state| *state != State::Frozen).await.unwrap();
        if open == State::Cut || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
