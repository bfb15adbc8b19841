//! Settings of the domains and of what they talk to. Rules that never vary live in the domain, not here.

use std::time::Duration;

use lyceum_domain::commerce::group::LASTS_MAX;
use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Seconds, Secret};

const DAY: Duration = Duration::from_hours(24);

/// Access tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Who issues the tokens (`iss`).
    pub issuer: String,
    /// Whom they are for (`aud`).
    pub audience: String,
    /// Life of an access token.
    pub access_ttl_s: Seconds,
}

impl Tokens {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        for (key, value) in [
            ("tokens.issuer", &self.issuer),
            ("tokens.audience", &self.audience),
        ] {
            if value.is_empty() {
                checks.refuse(key, "is empty");
            }
        }
        checks.duration(
            "tokens.access_ttl_s",
            *self.access_ttl_s,
            Duration::from_secs(10)..=DAY,
        );
    }
}

/// Passwords and login sessions.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Life of a login that is not refreshed.
    pub refresh_ttl_s: Seconds,
    /// Logins of one user; the oldest makes room.
    pub logins_max: usize,
    /// Life of a login however often it is refreshed.
    pub login_ttl_s: Seconds,
    /// Spent refresh tokens that a login remembers.
    pub spent_tokens_max: usize,
    /// How long a signing key signs before the next takes over.
    pub key_rotation_s: Seconds,
    /// Whether every new account may write courses.
    pub creators_open: bool,
    /// Username of the first operator; empty for none.
    pub operator_username: String,
    /// Email address of the first operator.
    pub operator_email: String,
    /// Password of the first operator; empty for none.
    pub operator_password: Secret,
    /// Memory of one password hash (argon2id `m`), KiB.
    pub argon2_memory_kib: u32,
    /// Passes of one password hash (argon2id `t`).
    pub argon2_passes: u32,
}

impl Accounts {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.duration(
            "accounts.refresh_ttl_s",
            *self.refresh_ttl_s,
            Duration::from_mins(1)..=DAY * 400,
        );
        checks.range("accounts.logins_max", self.logins_max, 1..=100);
        checks.duration(
            "accounts.login_ttl_s",
            *self.login_ttl_s,
            Duration::from_mins(1)..=DAY * 400,
        );
        checks.duration(
            "accounts.key_rotation_s",
            *self.key_rotation_s,
            Duration::from_hours(1)..=DAY * 400,
        );
        checks.range("accounts.spent_tokens_max", self.spent_tokens_max, 1..=1000);
        checks.range(
            "accounts.argon2_memory_kib",
            self.argon2_memory_kib,
            1024..=1_048_576,
        );
        checks.range("accounts.argon2_passes", self.argon2_passes, 1..=16);
    }
}

/// Courses and search.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// How long changes are collected before search commits them.
    pub search_delay_ms: Millis,
    /// Memory for ready-made pages, bytes.
    pub page_cache_bytes: u64,
}

impl Catalog {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.duration(
            "catalog.search_delay_ms",
            *self.search_delay_ms,
            Duration::from_millis(10)..=Duration::from_millis(500),
        );
        checks.range(
            "catalog.page_cache_bytes",
            self.page_cache_bytes,
            65_536..=1 << 34,
        );
    }
}

/// Orders, wallets and refunds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Commerce {
    /// The one currency of prices and wallets.
    pub currency: String,
    /// The creator's part of a sale, basis points; frozen into each order line.
    pub share_bps: u16,
    /// Life of an order that is not paid.
    pub order_ttl_s: Seconds,
    /// How long something is kept for an order that is not placed yet.
    pub reservation_ttl_s: Seconds,
    /// The shortest time that a team may be given to find its members.
    pub team_lasts_min_s: Seconds,
    /// The longest.
    pub team_lasts_max_s: Seconds,
    /// How long after the purchase an order may be refunded.
    pub refund_window_s: Seconds,
    /// What of an order needs no operator to be refunded, minor units.
    pub refund_automatic_max: u64,
    /// Whether what a provider took may be refunded to the wallet.
    pub refund_to_wallet: bool,
    /// Largest single top-up, minor units.
    pub top_up_max: u64,
    /// Largest entry of a manual adjustment, minor units.
    pub adjustment_amount_max: u64,
    /// Entries of one manual adjustment.
    pub adjustment_entries_max: usize,
    /// After which a saga counts as stuck.
    pub saga_stuck_after_s: Seconds,
    /// Callbacks written down by one statement.
    pub callback_batch_max: usize,
    /// Callbacks that wait to be written down.
    pub callback_queue_max: usize,
    /// How long a callback waits to be written down.
    pub callback_wait_ms: Millis,
    /// How long a mark waits for others.
    pub callback_mark_ms: Millis,
    /// Pace of looking for callbacks that were left behind.
    pub reread_every_ms: Millis,
    /// After which a callback counts as left behind.
    pub reread_after_ms: Millis,
    /// Callbacks that are read again at a time.
    pub reread_batch_max: usize,
    /// Times that a callback is read again.
    pub reread_tries_max: u32,
    /// Pause before it is read again for the second time; each later one is twice as long.
    pub reread_pause_ms: Millis,
    /// Arrivals that one look goes through.
    pub reread_stretch_s: Seconds,
    /// Life of a link to a lesson's media.
    pub content_ttl_s: Seconds,
    /// Key that signs links to media and derives redeem codes.
    pub content_secret: Secret,
}

impl Commerce {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            checks.refuse(
                "commerce.currency",
                format!("`{}` is not an ISO 4217 code", self.currency),
            );
        }
        checks.range("commerce.share_bps", self.share_bps, 0..=10_000);
        checks.duration(
            "commerce.order_ttl_s",
            *self.order_ttl_s,
            Duration::from_secs(1)..=DAY,
        );
        checks.duration(
            "commerce.reservation_ttl_s",
            *self.reservation_ttl_s,
            Duration::from_secs(1)..=Duration::from_mins(10),
        );
        let team_max = LASTS_MAX.min(*self.team_lasts_max_s);
        checks.duration(
            "commerce.team_lasts_min_s",
            *self.team_lasts_min_s,
            Duration::from_secs(1)..=team_max,
        );
        checks.duration(
            "commerce.team_lasts_max_s",
            *self.team_lasts_max_s,
            Duration::from_secs(1)..=LASTS_MAX,
        );
        checks.duration(
            "commerce.refund_window_s",
            *self.refund_window_s,
            Duration::ZERO..=DAY * 400,
        );
        checks.duration(
            "commerce.content_ttl_s",
            *self.content_ttl_s,
            Duration::from_secs(1)..=DAY,
        );
        checks.secret("commerce.content_secret", &self.content_secret, 16);
        checks.range(
            "commerce.refund_automatic_max",
            self.refund_automatic_max,
            0..=100_000_000_000,
        );
        checks.range("commerce.top_up_max", self.top_up_max, 1..=1_000_000_000_000);
        checks.range(
            "commerce.adjustment_amount_max",
            self.adjustment_amount_max,
            1..=100_000_000_000,
        );
        checks.range(
            "commerce.adjustment_entries_max",
            self.adjustment_entries_max,
            2..=100,
        );
        checks.duration(
            "commerce.saga_stuck_after_s",
            *self.saga_stuck_after_s,
            Duration::from_secs(1)..=DAY,
        );
        checks.range("commerce.callback_batch_max", self.callback_batch_max, 1..=10_000);
        checks.range(
            "commerce.callback_queue_max",
            self.callback_queue_max,
            1..=1_000_000,
        );
        checks.duration(
            "commerce.callback_wait_ms",
            *self.callback_wait_ms,
            Duration::from_millis(100)..=Duration::from_mins(1),
        );
        checks.duration(
            "commerce.callback_mark_ms",
            *self.callback_mark_ms,
            Duration::ZERO..=Duration::from_secs(1),
        );
        self.check_rereads(checks);
    }

    fn check_rereads(&self, checks: &mut Checks<'_>) {
        let day = Duration::from_hours(24);
        checks.duration(
            "commerce.reread_every_ms",
            *self.reread_every_ms,
            Duration::from_millis(10)..=Duration::from_hours(1),
        );
        // Sooner, and it would be read again while it is still being worked through, or not even visible.
        checks.duration(
            "commerce.reread_after_ms",
            *self.reread_after_ms,
            *self.callback_wait_ms * 2..=day,
        );
        checks.range("commerce.reread_batch_max", self.reread_batch_max, 1..=10_000);
        checks.range("commerce.reread_tries_max", self.reread_tries_max, 1..=20);
        checks.duration(
            "commerce.reread_pause_ms",
            *self.reread_pause_ms,
            Duration::from_millis(10)..=day,
        );
        checks.duration(
            "commerce.reread_stretch_s",
            *self.reread_stretch_s,
            Duration::from_secs(1)..=day,
        );
    }
}

/// How the ledger is summed up.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Pace of the summary.
    pub sum_every_s: Seconds,
    /// How far the summary stays behind the present.
    pub settle_s: Seconds,
    /// Pace of the trial balance.
    pub balance_every_s: Seconds,
    /// Longest time that adding up may take.
    pub sum_timeout_ms: Millis,
}

impl Ledger {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.duration(
            "ledger.sum_every_s",
            *self.sum_every_s,
            Duration::from_secs(1)..=Duration::from_secs(3_600),
        );
        checks.duration("ledger.settle_s", *self.settle_s, Duration::from_secs(60)..=DAY);
        checks.duration(
            "ledger.balance_every_s",
            *self.balance_every_s,
            Duration::from_secs(1)..=DAY,
        );
        checks.duration(
            "ledger.sum_timeout_ms",
            *self.sum_timeout_ms,
            Duration::from_secs(1)..=Duration::from_secs(600),
        );
    }
}

/// Recommendations.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recommend {
    /// Pause between two trainings when enough has happened.
    pub train_every_s: Seconds,
    /// Events that make a training worth while.
    pub train_events_min: u64,
    /// Longest time that a training may take.
    pub train_timeout_s: Seconds,
    /// Retired models that are kept.
    pub models_kept: u32,
    /// Newest interactions that a training reads.
    pub train_events_max: u64,
    /// Courses that take part in the inverse of a training.
    pub train_courses_max: usize,
    /// Courses that each course leads to in a trained table.
    pub influences_max: usize,
    /// Neighbours kept for each course.
    pub neighbours_max: usize,
    /// Memory for rendered lists, bytes.
    pub lists_bytes_max: u64,
}

impl Recommend {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.duration(
            "recommend.train_every_s",
            *self.train_every_s,
            Duration::from_secs(1)..=DAY * 7,
        );
        checks.range(
            "recommend.train_events_min",
            self.train_events_min,
            1..=1_000_000_000,
        );
        checks.duration(
            "recommend.train_timeout_s",
            *self.train_timeout_s,
            // The largest inverse that the default of `train_courses_max` allows, and 200 parts to write, several times.
            Duration::from_secs(60)..=DAY,
        );
        checks.range("recommend.models_kept", self.models_kept, 1..=100);
        checks.range(
            "recommend.train_events_max",
            self.train_events_max,
            1_000..=100_000_000,
        );
        checks.range(
            "recommend.train_courses_max",
            self.train_courses_max,
            100..=30_000,
        );
        checks.range("recommend.influences_max", self.influences_max, 10..=10_000);
        checks.range("recommend.neighbours_max", self.neighbours_max, 10..=10_000);
        checks.range(
            "recommend.lists_bytes_max",
            self.lists_bytes_max,
            65_536..=1 << 34,
        );
    }
}
