//! Settings of webhooks out: who may be called, how long and how often.

use std::time::Duration;

use lyceum_domain::webhooks::Schedule;
use lyceum_entities::webhooks::{PlaceLimits, Reach, SigningKey, WebhookSettings};
use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Seconds, Secret, Settings};

const DAY: Duration = Duration::from_hours(24);

/// Webhooks out.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// What the secrets of endpoints are derived from.
    pub secret: Secret,
    /// Whether addresses without TLS may be called.
    pub plain_http: bool,
    /// Whether this machine itself may be called.
    pub loopback: bool,
    /// Endpoints of one user.
    pub endpoints_max: usize,
    /// How long the secret before a new one signs as well.
    pub rotation_overlap_s: Seconds,
    /// How long to wait for a connection.
    pub connect_timeout_ms: Millis,
    /// How long one attempt may take.
    pub attempt_timeout_ms: Millis,
    /// Bytes of an answer that are read and kept.
    pub answer_bytes_max: usize,
    /// Attempts under way at once.
    pub concurrency_max: usize,
    /// Of these, for one user.
    pub user_concurrency_max: usize,
    /// Of these, to one endpoint.
    pub endpoint_concurrency_max: usize,
    /// Deliveries that wait for one endpoint.
    pub pending_max: usize,
    /// Pace of looking for what is due.
    pub poll_ms: Millis,
    /// Pause after the first attempt.
    pub retry_first_ms: Millis,
    /// Longest pause between two attempts.
    pub retry_max_s: Seconds,
    /// From the first attempt to giving up.
    pub give_up_after_s: Seconds,
    /// Life of the log.
    pub log_ttl_s: Seconds,
}

impl Webhooks {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.secret("webhooks.secret", &self.secret, 16);
        checks.range("webhooks.endpoints_max", self.endpoints_max, 1..=100);
        checks.range("webhooks.answer_bytes_max", self.answer_bytes_max, 0..=65_536);
        checks.range("webhooks.concurrency_max", self.concurrency_max, 1..=4_096);
        checks.range(
            "webhooks.user_concurrency_max",
            self.user_concurrency_max,
            1..=4_096,
        );
        checks.range("webhooks.pending_max", self.pending_max, 1..=100_000);
        checks.range(
            "webhooks.endpoint_concurrency_max",
            self.endpoint_concurrency_max,
            1..=self.concurrency_max,
        );
        for (key, value, range) in [
            (
                "webhooks.rotation_overlap_s",
                *self.rotation_overlap_s,
                Duration::ZERO..=DAY * 30,
            ),
            (
                "webhooks.connect_timeout_ms",
                *self.connect_timeout_ms,
                Duration::from_millis(10)..=Duration::from_mins(1),
            ),
            (
                "webhooks.attempt_timeout_ms",
                *self.attempt_timeout_ms,
                Duration::from_millis(10)..=Duration::from_mins(1),
            ),
            (
                "webhooks.poll_ms",
                *self.poll_ms,
                Duration::from_millis(10)..=Duration::from_mins(1),
            ),
            (
                "webhooks.retry_first_ms",
                *self.retry_first_ms,
                Duration::from_millis(10)..=DAY,
            ),
            (
                "webhooks.retry_max_s",
                *self.retry_max_s,
                Duration::from_secs(1)..=DAY,
            ),
            (
                "webhooks.give_up_after_s",
                *self.give_up_after_s,
                Duration::from_secs(1)..=DAY * 30,
            ),
            ("webhooks.log_ttl_s", *self.log_ttl_s, DAY..=DAY * 400),
        ] {
            checks.duration(key, value, range);
        }
    }
}

impl Settings {
    /// Webhooks as the platform takes them.
    pub(super) fn webhooks(&self) -> WebhookSettings {
        let webhooks = &self.webhooks;
        WebhookSettings {
            reach: Reach {
                plain_http: webhooks.plain_http,
                loopback: webhooks.loopback,
            },
            key: SigningKey::new(webhooks.secret.expose()),
            ca_file: self.providers.ca_file.clone().into(),
            connect_timeout: *webhooks.connect_timeout_ms,
            attempt_timeout: *webhooks.attempt_timeout_ms,
            answer_bytes_max: webhooks.answer_bytes_max,
            places: PlaceLimits {
                node: webhooks.concurrency_max,
                user: webhooks.user_concurrency_max,
                endpoint: webhooks.endpoint_concurrency_max,
            },
            pending_max: webhooks.pending_max,
            poll_every: *webhooks.poll_ms,
            schedule: Schedule {
                first_pause: *webhooks.retry_first_ms,
                longest_pause: *webhooks.retry_max_s,
                give_up_after: *webhooks.give_up_after_s,
            },
            log_ttl: *webhooks.log_ttl_s,
            ask_timeout: *self.actors.ask_timeout_ms,
        }
    }
}
