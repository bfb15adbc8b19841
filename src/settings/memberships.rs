//! Settings of memberships.

use std::time::Duration;

use lyceum_domain::commerce::membership::{Dunning, RETRIES_MAX};
use serde::{Deserialize, Serialize};

use super::{Checks, Seconds};

const DAY: Duration = Duration::from_hours(24);

/// Memberships; frozen into each when somebody joins.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Memberships {
    /// Pause between two tries of a renewal that was not paid.
    pub retry_every_s: Seconds,
    /// Tries after the first one.
    pub retries_max: usize,
    /// How long access outlasts what was paid.
    pub grace_s: Seconds,
    /// Longest pause.
    pub pause_max_s: Seconds,
}

impl Memberships {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.duration(
            "memberships.retry_every_s",
            *self.retry_every_s,
            Duration::from_secs(1)..=30 * DAY,
        );
        checks.range("memberships.retries_max", self.retries_max, 0..=RETRIES_MAX);
        checks.duration("memberships.grace_s", *self.grace_s, Duration::ZERO..=60 * DAY);
        checks.duration(
            "memberships.pause_max_s",
            *self.pause_max_s,
            Duration::from_secs(1)..=400 * DAY,
        );
        if Dunning::new(&self.retries(), *self.grace_s).is_err() {
            checks.refuse(
                "memberships.grace_s",
                "ends before the last retry: it is longer than retries_max times retry_every_s",
            );
        }
    }

    fn retries(&self) -> Vec<Duration> {
        let retry = |number: usize| *self.retry_every_s * u32::try_from(number).unwrap_or(u32::MAX);
        (1..=self.retries_max.min(RETRIES_MAX)).map(retry).collect()
    }

    /// As a membership takes it.
    pub(crate) fn dunning(&self) -> Dunning {
        Dunning::new(&self.retries(), *self.grace_s).expect("it was checked when the settings were read")
    }
}
