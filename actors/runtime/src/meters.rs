//! Every metric of the runtime, and the handles that its parts record through.

mod nodes;

use self::nodes::SHARD_FENCED_WRITES_TOTAL;
pub(crate) use self::nodes::{ClusterMetrics, LinkMetrics};
use crate::database::Database;
use crate::metrics::{Area, Counter, Gauge, Histogram, Label, Level, Metric};
use crate::ownership::ShardMap;

const KIND: Label = Label::program("kind", "every kind of entity");

static ACTOR_ALIVE: Metric<Level> = Metric::new("actor_alive", "Entities with a live actor.")
    .labels(&[KIND])
    .worry("the sum nears `actors.alive_max`: entities are passivated early and recovered often");
static ACTOR_MAILBOX_DEPTH: Metric<Level> =
    Metric::new("actor_mailbox_depth", "Requests in mailboxes, not yet begun.")
        .labels(&[KIND])
        .worry("grows for seconds: entities are slower than what is asked of them");
static ACTOR_MAILBOX_WAIT_SECONDS: Metric<Histogram> = Metric::new(
    "actor_mailbox_wait_seconds",
    "How long a request waited until its entity began it.",
)
.labels(&[KIND])
.worry("p99 above 50 ms");
static ACTOR_HANDLE_SECONDS: Metric<Histogram> = Metric::new(
    "actor_handle_seconds",
    "How long an entity worked on a request, from the mailbox to the journal's queue.",
)
.labels(&[KIND])
.worry("p99 above 5 ms while nothing is being recovered");
static ACTOR_RESTARTS_TOTAL: Metric<Counter> = Metric::new(
    "actor_restarts_total",
    "Entities that failed and were started again.",
)
.labels(&[KIND, Label::of("reason", &["failed"])])
.worry("at all: a failure is a bug");
static ACTOR_QUARANTINED: Metric<Level> = Metric::new(
    "actor_quarantined",
    "Entities that failed too often and answer 503 for a while.",
)
.labels(&[KIND])
.worry("at all: somebody is shut out");
static ACTOR_ACTIVATIONS_TOTAL: Metric<Counter> =
    Metric::new("actor_activations_total", "Entities that were started.").labels(&[KIND]);
static ACTOR_PASSIVATIONS_TOTAL: Metric<Counter> = Metric::new(
    "actor_passivations_total",
    "Entities that were stopped in good order.",
)
.labels(&[KIND, Label::of("reason", &["idle", "drain"])])
.worry("as frequent as activations of the same kind while it is in use");
static ACTOR_QUICK_READS_TOTAL: Metric<Counter> = Metric::new(
    "actor_quick_reads_total",
    "Questions about a quiet entity that were answered at once, without its mailbox.",
)
.labels(&[KIND]);
static ACTOR_EXPIRED_TOTAL: Metric<Counter> = Metric::new(
    "actor_expired_total",
    "Requests whose deadline passed in the mailbox; they were not begun.",
)
.labels(&[KIND])
.worry("at all, outside an overload");
static IDEMPOTENCY_HITS_TOTAL: Metric<Counter> = Metric::new(
    "idempotency_hits_total",
    "Repeated operations: answered from their record, or refused because the body differs.",
)
.labels(&[Label::of("result", &["replayed", "conflict"])])
.worry("conflicts: a client uses one key for different requests");

pub(crate) static CLOCK_OFFSET_SECONDS: Metric<Gauge> = Metric::new(
    "clock_offset_seconds",
    "How far the database's clock is ahead of this node's; beyond half a second it is followed.",
)
.worry("beyond 1 for minutes: a clock is not synchronised");
static DB_POOL_CONNECTIONS: Metric<Gauge> = Metric::new("db_pool_connections", "Connections of the pool.")
    .labels(&[Label::of("state", &["used", "idle"])])
    .worry("all are used for seconds");
static DB_POOL_WAIT_SECONDS: Metric<Histogram> = Metric::new(
    "db_pool_wait_seconds",
    "How long a query waited for a connection.",
)
.worry("p99 above 10 ms");
static JOURNAL_COMMIT_SECONDS: Metric<Histogram> = Metric::new(
    "journal_commit_seconds",
    "How long a group commit took, from its statement to the answer.",
)
.worry("p99 above 100 ms: every decision waits for it");
static JOURNAL_BATCH_SIZE: Metric<Histogram> =
    Metric::new("journal_batch_size", "Decisions in a group commit.").worry("often `journal.batch_max`");
static JOURNAL_UNKNOWN_TOTAL: Metric<Counter> = Metric::new(
    "journal_unknown_total",
    "Decisions whose commit was cut off, so that its outcome was unknown.",
)
.worry("at all, while Postgres is well");
static JOURNAL_UNAVAILABLE_TOTAL: Metric<Counter> = Metric::new(
    "journal_unavailable_total",
    "Decisions that were not committed because Postgres was away or could not write.",
)
.worry("at all");
static JOURNAL_RETRIES_REFUSED_TOTAL: Metric<Counter> = Metric::new(
    "journal_retries_refused_total",
    "Batches that failed for a passing reason and were given up because too few commits had succeeded.",
)
.worry("for minutes: the store is in trouble");
static JOURNAL_BISECTED_TOTAL: Metric<Counter> = Metric::new(
    "journal_bisected_total",
    "Batches that were split to find the one decision at fault.",
)
.worry("more than now and then: each costs several commits");
static REDIS_SECONDS: Metric<Histogram> = Metric::new("redis_seconds", "How long a Redis command took.")
    .labels(&[
        Label::of("command", &["get", "set"]),
        Label::of("outcome", &["ok", "error"]),
    ])
    .worry("errors: sessions and profiles lose freshness, and nothing else");

static OUTBOX_PENDING: Metric<Gauge> =
    Metric::new("outbox_pending", "Messages that are due and not yet delivered.").worry("grows for a minute");
static OUTBOX_OLDEST_AGE_SECONDS: Metric<Gauge> = Metric::new(
    "outbox_oldest_age_seconds",
    "How long the oldest of them has been due.",
)
.worry("above 60 s");
static OUTBOX_DELIVERIES_TOTAL: Metric<Counter> =
    Metric::new("outbox_deliveries_total", "Attempts to deliver a message.")
        .labels(&[Label::of("outcome", &["delivered", "postponed", "buried"])])
        .worry("more are postponed than delivered: a receiver is away");
static OUTBOX_DEAD_LETTERS_TOTAL: Metric<Counter> = Metric::new(
    "outbox_dead_letters_total",
    "Messages that were given up; they wait in `dead_letters` for an operator.",
)
.worry("at all");

static WORKER_RESTARTS_TOTAL: Metric<Counter> = Metric::new(
    "worker_restarts_total",
    "Workers that failed and were started again.",
)
.labels(&[Label::program("worker", "every long-lived worker")])
.worry("at all: a failure is a bug");

static TRACE_SPANS_DROPPED_TOTAL: Metric<Counter> = Metric::new(
    "trace_spans_dropped_total",
    "Spans of sampled traces that were lost because the exporter was behind.",
)
.worry("at all: sample fewer, or raise `telemetry.otlp_queue_max`");

/// The metrics of the runtime.
pub static METERS: &[Area] = &[
    Area {
        title: "Actors",
        families: &[
            &ACTOR_ALIVE,
            &ACTOR_MAILBOX_DEPTH,
            &ACTOR_MAILBOX_WAIT_SECONDS,
            &ACTOR_HANDLE_SECONDS,
            &ACTOR_RESTARTS_TOTAL,
            &ACTOR_QUARANTINED,
            &ACTOR_ACTIVATIONS_TOTAL,
            &ACTOR_PASSIVATIONS_TOTAL,
            &ACTOR_QUICK_READS_TOTAL,
            &ACTOR_EXPIRED_TOTAL,
            &IDEMPOTENCY_HITS_TOTAL,
        ],
    },
    nodes::CLUSTER,
    nodes::LINK,
    Area {
        title: "Stores",
        families: &[
            &DB_POOL_CONNECTIONS,
            &DB_POOL_WAIT_SECONDS,
            &CLOCK_OFFSET_SECONDS,
            &JOURNAL_COMMIT_SECONDS,
            &JOURNAL_BATCH_SIZE,
            &JOURNAL_UNKNOWN_TOTAL,
            &JOURNAL_UNAVAILABLE_TOTAL,
            &JOURNAL_RETRIES_REFUSED_TOTAL,
            &JOURNAL_BISECTED_TOTAL,
            &REDIS_SECONDS,
        ],
    },
    Area {
        title: "Outbox and workers",
        families: &[
            &OUTBOX_PENDING,
            &OUTBOX_OLDEST_AGE_SECONDS,
            &OUTBOX_DELIVERIES_TOTAL,
            &OUTBOX_DEAD_LETTERS_TOTAL,
            &WORKER_RESTARTS_TOTAL,
        ],
    },
    Area {
        title: "Traces",
        families: &[&TRACE_SPANS_DROPPED_TOTAL],
    },
];

/// The metrics of one kind of entity.
pub(crate) struct KindMetrics {
    pub(crate) alive: Level,
    pub(crate) mailbox_depth: Level,
    pub(crate) mailbox_wait: Histogram,
    pub(crate) handle: Histogram,
    pub(crate) activations: Counter,
    pub(crate) restarts: Counter,
    pub(crate) quarantined: Level,
    pub(crate) passivations_idle: Counter,
    pub(crate) passivations_drain: Counter,
    pub(crate) quick_reads: Counter,
    pub(crate) expired: Counter,
    pub(crate) replayed: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) fenced: Counter,
}

impl KindMetrics {
    pub(crate) fn new(kind: &'static str) -> Self {
        KindMetrics {
            alive: ACTOR_ALIVE.with([kind]),
            mailbox_depth: ACTOR_MAILBOX_DEPTH.with([kind]),
            mailbox_wait: ACTOR_MAILBOX_WAIT_SECONDS.with([kind]),
            handle: ACTOR_HANDLE_SECONDS.with([kind]),
            activations: ACTOR_ACTIVATIONS_TOTAL.with([kind]),
            restarts: ACTOR_RESTARTS_TOTAL.with([kind, "failed"]),
            quarantined: ACTOR_QUARANTINED.with([kind]),
            passivations_idle: ACTOR_PASSIVATIONS_TOTAL.with([kind, "idle"]),
            passivations_drain: ACTOR_PASSIVATIONS_TOTAL.with([kind, "drain"]),
            quick_reads: ACTOR_QUICK_READS_TOTAL.with([kind]),
            expired: ACTOR_EXPIRED_TOTAL.with([kind]),
            replayed: IDEMPOTENCY_HITS_TOTAL.with(["replayed"]),
            conflicts: IDEMPOTENCY_HITS_TOTAL.with(["conflict"]),
            fenced: SHARD_FENCED_WRITES_TOTAL.get(),
        }
    }
}

/// The metrics of one journal writer.
pub(crate) struct JournalMetrics {
    pub(crate) commit: Histogram,
    pub(crate) batch_size: Histogram,
    pub(crate) unknown: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) fenced: Counter,
    pub(crate) bisected: Counter,
}

impl JournalMetrics {
    pub(crate) fn new() -> Self {
        JournalMetrics {
            commit: JOURNAL_COMMIT_SECONDS.get(),
            batch_size: JOURNAL_BATCH_SIZE.get(),
            unknown: JOURNAL_UNKNOWN_TOTAL.get(),
            unavailable: JOURNAL_UNAVAILABLE_TOTAL.get(),
            fenced: SHARD_FENCED_WRITES_TOTAL.get(),
            bisected: JOURNAL_BISECTED_TOTAL.get(),
        }
    }
}

/// The metrics of the outbox relay.
pub(crate) struct OutboxMetrics {
    pub(crate) pending: Gauge,
    pub(crate) oldest: Gauge,
    pub(crate) delivered: Counter,
    pub(crate) postponed: Counter,
    pub(crate) buried: Counter,
    pub(crate) dead_letters: Counter,
}

impl OutboxMetrics {
    pub(crate) fn new() -> Self {
        let outcome = |outcome| OUTBOX_DELIVERIES_TOTAL.with([outcome]);
        OutboxMetrics {
            pending: OUTBOX_PENDING.get(),
            oldest: OUTBOX_OLDEST_AGE_SECONDS.get(),
            delivered: outcome("delivered"),
            postponed: outcome("postponed"),
            buried: outcome("buried"),
            dead_letters: OUTBOX_DEAD_LETTERS_TOTAL.get(),
        }
    }
}

/// One Redis command: what took how long, well or not.
#[derive(Clone)]
pub(crate) struct RedisMetrics {
    pub(crate) ok: Histogram,
    pub(crate) error: Histogram,
}

impl RedisMetrics {
    pub(crate) fn new(command: &'static str) -> Self {
        RedisMetrics {
            ok: REDIS_SECONDS.with([command, "ok"]),
            error: REDIS_SECONDS.with([command, "error"]),
        }
    }
}

pub(crate) fn pool_wait() -> Histogram {
    DB_POOL_WAIT_SECONDS.get()
}

pub(crate) fn retries_refused() -> Counter {
    JOURNAL_RETRIES_REFUSED_TOTAL.get()
}

pub(crate) fn worker_restarts(worker: &'static str) -> Counter {
    WORKER_RESTARTS_TOTAL.with([worker])
}

pub(crate) fn spans_dropped() -> Counter {
    TRACE_SPANS_DROPPED_TOTAL.get()
}

/// Sets the gauges of shards and connections, which have to be looked up.
#[expect(clippy::cast_precision_loss, reason = "gauges of small counts")]
pub fn look_up(database: &Database, shards: &ShardMap) {
    nodes::look_up(shards);
    let (used, open) = database.connections();
    DB_POOL_CONNECTIONS.with(["used"]).set(used as f64);
    DB_POOL_CONNECTIONS
        .with(["idle"])
        .set(open.saturating_sub(used) as f64);
}
