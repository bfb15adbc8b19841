//! Every metric of the runtime: name, unit, labels. Handles are made once; recording is an atomic operation.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The metrics of one kind of entity.
pub(crate) struct KindMetrics {
    kind: &'static str,
    /// `actor_alive{kind}`: entities with a live actor.
    pub(crate) alive: Gauge,
    /// `actor_activations_total{kind}`.
    pub(crate) activations: Counter,
    /// `actor_expired_total{kind}`: requests whose deadline passed in the mailbox.
    pub(crate) expired: Counter,
    /// `actor_mailbox_wait_seconds{kind}`.
    pub(crate) mailbox_wait: Sampled,
    /// `actor_handle_seconds{kind}`: from the mailbox to the journal's queue.
    pub(crate) handle: Sampled,
}

impl KindMetrics {
    pub(crate) fn new(kind: &'static str) -> Self {
        for reason in ["idle", "drain"] {
            counter!("actor_passivations_total", "kind" => kind, "reason" => reason).absolute(0);
        }
        counter!("actor_restarts_total", "kind" => kind, "reason" => "failed").absolute(0);
        KindMetrics {
            kind,
            alive: gauge!("actor_alive", "kind" => kind),
            activations: counter!("actor_activations_total", "kind" => kind),
            expired: counter!("actor_expired_total", "kind" => kind),
            mailbox_wait: Sampled::new(histogram!("actor_mailbox_wait_seconds", "kind" => kind)),
            handle: Sampled::new(histogram!("actor_handle_seconds", "kind" => kind)),
        }
    }

    pub(crate) fn passivated(&self, reason: &'static str) {
        counter!("actor_passivations_total", "kind" => self.kind, "reason" => reason).increment(1);
    }

    pub(crate) fn restarted(&self, reason: &'static str) {
        counter!("actor_restarts_total", "kind" => self.kind, "reason" => reason).increment(1);
    }
}

/// A histogram of what happens a hundred thousand times a second: one in eight is recorded.
pub(crate) struct Sampled {
    histogram: Histogram,
    seen: std::sync::atomic::AtomicU32,
}

impl Sampled {
    fn new(histogram: Histogram) -> Self {
        Sampled {
            histogram,
            seen: std::sync::atomic::AtomicU32::new(0),
        }
    }

    pub(crate) fn record(&self, duration: Duration) {
        if self
            .seen
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            .is_multiple_of(8)
        {
            self.histogram.record(duration);
        }
    }
}

/// The metrics of one journal writer.
pub(crate) struct JournalMetrics {
    /// `journal_commit_seconds`: one group commit, from `BEGIN` to the answer of `COMMIT`.
    pub(crate) commit: Histogram,
    /// `journal_batch_size`: decisions in one group commit.
    pub(crate) batch_size: Histogram,
    /// `journal_unknown_total`: decisions whose outcome the connection's end left open.
    pub(crate) unknown: Counter,
    /// `shard_fenced_writes_total`: decisions refused because the shard has another owner.
    pub(crate) fenced: Counter,
    /// `journal_bisected_total`: batches that were split to find the one decision at fault.
    pub(crate) bisected: Counter,
}

impl JournalMetrics {
    pub(crate) fn new() -> Self {
        for name in [
            "journal_unknown_total",
            "shard_fenced_writes_total",
            "journal_bisected_total",
        ] {
            counter!(name).absolute(0);
        }
        JournalMetrics {
            commit: histogram!("journal_commit_seconds"),
            batch_size: histogram!("journal_batch_size"),
            unknown: counter!("journal_unknown_total"),
            fenced: counter!("shard_fenced_writes_total"),
            bisected: counter!("journal_bisected_total"),
        }
    }
}
