//! Settings of the actor runtime: entities and CPU threads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Seconds};

/// Limits of entity actors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Actors {
    /// Longest wait for an entity's answer.
    pub ask_timeout_ms: Millis,
    /// Commands and questions that may be under way in this process.
    pub admission_max: usize,
    /// Commands and questions that may wait for one entity.
    pub mailbox_max: usize,
    /// Commands and questions that may wait for shards that are changing hands, for entities of one kind.
    pub moving_max: usize,
    /// Entities in memory, over which the longest idle ones are passivated.
    pub alive_max: usize,
    /// Idle time after which an entity is passivated.
    pub idle_timeout_s: Seconds,
    /// First pause before a failed entity starts again; it doubles.
    pub restart_backoff_ms: Millis,
    /// Longest pause before a failed entity starts again.
    pub restart_backoff_max_ms: Millis,
    /// Restarts within the window after which an entity is quarantined.
    pub restart_count_max: u32,
    /// The window in which restarts are counted.
    pub restart_window_s: Seconds,
}

impl Actors {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("actors.admission_max", self.admission_max, 1..=1_000_000);
        checks.range("actors.mailbox_max", self.mailbox_max, 1..=65_536);
        checks.range("actors.moving_max", self.moving_max, 1..=1_000_000);
        checks.range("actors.alive_max", self.alive_max, 16..=10_000_000);
        checks.duration(
            "actors.idle_timeout_s",
            *self.idle_timeout_s,
            Duration::from_secs(1)..=Duration::from_hours(24),
        );
        checks.range("actors.restart_count_max", self.restart_count_max, 1..=1000);
        checks.duration(
            "actors.restart_backoff_ms",
            *self.restart_backoff_ms,
            Duration::from_millis(1)..=*self.restart_backoff_max_ms,
        );
        checks.duration(
            "actors.restart_window_s",
            *self.restart_window_s,
            Duration::from_secs(1)..=Duration::from_hours(1),
        );
    }
}

/// Threads for password hashing, training and rendering.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Threads; 0 stands for one per core.
    pub threads: usize,
    /// Jobs that may wait; more are refused.
    pub queue_max: usize,
}

impl Cpu {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("cpu.threads", self.threads, 0..=256);
        checks.range("cpu.queue_max", self.queue_max, 1..=100_000);
    }
}
