//! The metrics of many nodes as one system: shards, members, and the link between them.

use std::time::Duration;

use crate::link::{End, Lost, Status};
use crate::metrics::{Area, Counter, Gauge, Histogram, Label, Level, Metric};
use crate::ownership::{Place, ShardMap};
use crate::placement::Shard;

static SHARDS: Metric<Gauge> = Metric::new("shards", "Shards by what this node is to them.")
    .labels(&[Label::of(
        "state",
        &["serving", "sealed", "elsewhere", "fenced", "unassigned"],
    )])
    .worry("any is fenced: another process claimed it");
pub(super) static SHARD_FENCED_WRITES_TOTAL: Metric<Counter> = Metric::new(
    "shard_fenced_writes_total",
    "Commands and decisions refused because their shard has, or may have, another owner.",
)
.worry("at all, outside a takeover");

static CLUSTER_MEMBERS: Metric<Gauge> = Metric::new(
    "cluster_members",
    "Members of the cluster that live, as this node sees them; none if it belongs to none.",
)
.labels(&[Label::of("state", &["joining", "serving", "draining", "suspect"])])
.worry("any is suspect for more than seconds, or fewer serve than were started");
static LEASE_REMAINING_SECONDS: Metric<Gauge> = Metric::new(
    "lease_remaining_seconds",
    "How long this node's lease lasted after it was renewed last; 0 once it has ended.",
)
.worry("0: the node serves nothing");
static SHARD_HANDOFF_SECONDS: Metric<Histogram> = Metric::new(
    "shard_handoff_seconds",
    "How long a shard was sealed while it was handed to another node.",
)
.worry("p99 above 50 ms: requests wait for so long");
static SHARD_TAKEOVER_SECONDS: Metric<Histogram> = Metric::new(
    "shard_takeover_seconds",
    "How long after the end of its owner's lease a shard was claimed by this node.",
)
.worry("p99 above 1 s");
static LINK_REQUESTS_TOTAL: Metric<Counter> = Metric::new(
    "link_requests_total",
    "Requests to other nodes by what became of them: answered there, sent elsewhere, not begun, or sent and not answered.",
)
.labels(&[Label::of(
    "outcome",
    &["done", "refused", "moved", "rejected", "expired", "overloaded", "unknown"],
)])
.worry("unknown, outside the loss of a node");
static LINK_SECONDS: Metric<Histogram> =
    Metric::new("link_seconds", "How long another node took to answer a request.")
        .worry("p99 above 100 ms: compare with `journal_commit_seconds` of that node");
static LINK_PIPES: Metric<Level> = Metric::new("link_pipes", "Open connections to and from other nodes.")
    .labels(&[Label::of("direction", &["outbound", "inbound"])])
    .worry("fewer than there are other members, for minutes under load");
static LINK_BREAKS_TOTAL: Metric<Counter> = Metric::new(
    "link_breaks_total",
    "Connections to other nodes that ended, or never came to be.",
)
.labels(&[Label::of(
    "reason",
    &["closed", "silent", "broken", "stopped", "refused", "unreachable"],
)])
.worry("silent or broken: a node stands still, or the network fails; refused: secrets, certificates or versions differ");

/// Members and shards.
pub(super) const CLUSTER: Area = Area {
    title: "Cluster",
    families: &[
        &CLUSTER_MEMBERS,
        &LEASE_REMAINING_SECONDS,
        &SHARDS,
        &SHARD_HANDOFF_SECONDS,
        &SHARD_TAKEOVER_SECONDS,
        &SHARD_FENCED_WRITES_TOTAL,
    ],
};

/// The link.
pub(super) const LINK: Area = Area {
    title: "Link",
    families: &[
        &LINK_REQUESTS_TOTAL,
        &LINK_SECONDS,
        &LINK_PIPES,
        &LINK_BREAKS_TOTAL,
    ],
};

/// The metrics of a member of a cluster.
#[derive(Clone)]
pub(crate) struct ClusterMetrics {
    pub(crate) joining: Gauge,
    pub(crate) serving: Gauge,
    pub(crate) draining: Gauge,
    pub(crate) suspect: Gauge,
    pub(crate) lease_remaining: Gauge,
    pub(crate) handoff: Histogram,
    pub(crate) takeover: Histogram,
}

impl ClusterMetrics {
    pub(crate) fn new() -> Self {
        let members = |state| CLUSTER_MEMBERS.with([state]);
        ClusterMetrics {
            joining: members("joining"),
            serving: members("serving"),
            draining: members("draining"),
            suspect: members("suspect"),
            lease_remaining: LEASE_REMAINING_SECONDS.get(),
            handoff: SHARD_HANDOFF_SECONDS.get(),
            takeover: SHARD_TAKEOVER_SECONDS.get(),
        }
    }
}

/// The metrics of the link.
pub(crate) struct LinkMetrics {
    done: Counter,
    refused_by_rule: Counter,
    moved: Counter,
    rejected: Counter,
    expired: Counter,
    overloaded: Counter,
    unknown: Counter,
    seconds: Histogram,
    pub(crate) outbound: Level,
    pub(crate) inbound: Level,
    closed: Counter,
    silent: Counter,
    broken: Counter,
    stopped: Counter,
    pub(crate) refused: Counter,
    pub(crate) unreachable: Counter,
}

impl LinkMetrics {
    pub(crate) fn new() -> Self {
        let outcome = |outcome| LINK_REQUESTS_TOTAL.with([outcome]);
        let reason = |reason| LINK_BREAKS_TOTAL.with([reason]);
        LinkMetrics {
            done: outcome("done"),
            refused_by_rule: outcome("refused"),
            moved: outcome("moved"),
            rejected: outcome("rejected"),
            expired: outcome("expired"),
            overloaded: outcome("overloaded"),
            unknown: outcome("unknown"),
            seconds: LINK_SECONDS.get(),
            outbound: LINK_PIPES.with(["outbound"]),
            inbound: LINK_PIPES.with(["inbound"]),
            closed: reason("closed"),
            silent: reason("silent"),
            broken: reason("broken"),
            stopped: reason("stopped"),
            refused: reason("refused"),
            unreachable: reason("unreachable"),
        }
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, status: Status, after: Duration) {
        self.seconds.record(after);
        match status {
            Status::Done => &self.done,
            Status::Refused | Status::KeyReused => &self.refused_by_rule,
            Status::Moved => &self.moved,
            Status::Expired => &self.expired,
            Status::Overloaded => &self.overloaded,
            Status::Unknown | Status::Failed => &self.unknown,
            Status::Unavailable | Status::NotOwner | Status::Quarantined | Status::Unreadable => {
                &self.rejected
            }
        }
        .increment();
    }

    /// Counts a request that was not answered.
    pub(crate) fn lost<T>(&self, lost: Lost) -> Result<T, Lost> {
        match lost {
            Lost::Rejected | Lost::TooLarge => &self.rejected,
            Lost::Overloaded => &self.overloaded,
            Lost::Expired => &self.expired,
            Lost::Unknown => &self.unknown,
        }
        .increment();
        Err(lost)
    }

    /// Counts a connection that has ended.
    pub(crate) fn ended(&self, end: &End) {
        match end {
            End::Closed => &self.closed,
            End::Silent | End::Stale => &self.silent,
            End::Io(_) | End::Frame(_) | End::Garbled(_) => &self.broken,
            End::Stopped => &self.stopped,
        }
        .increment();
    }
}

/// Sets the gauge of shards.
pub(super) fn look_up(shards: &ShardMap) {
    let mut counts = [
        ("serving", 0_u32),
        ("sealed", 0),
        ("elsewhere", 0),
        ("fenced", 0),
        ("unassigned", 0),
    ];
    for shard in 0..=Shard::MAX {
        let state = match shards.place(shard) {
            Place::Here => "serving",
            Place::Sealed => "sealed",
            Place::There(_) => "elsewhere",
            Place::Nowhere if shards.fenced_at(shard).is_some() => "fenced",
            Place::Nowhere => "unassigned",
        };
        for (name, count) in &mut counts {
            *count += u32::from(*name == state);
        }
    }
    for (state, count) in counts {
        SHARDS.with([state]).set(f64::from(count));
    }
}
