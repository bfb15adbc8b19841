//! Settings as the platform takes them: the one place where names of the file become limits of the packages below.

use std::time::Duration;

use lyceum_domain::accounts::{Policy, Role, Roles};
use lyceum_entities::PlatformSettings;
use lyceum_entities::accounts::{HashCost, KeySettings};
use lyceum_entities::catalog::CatalogLimits;
use lyceum_entities::commerce::{ClosingSettings, CodeSecret, InboxSettings, OrderTimes, RereadSettings};
use lyceum_entities::recommend::{RecommenderSettings, SinkSettings, TrainerSettings};
use lyceum_runtime::cluster::lease::LeaseTerms;
use lyceum_runtime::cluster::{ClusterSettings, HandoffLimits};
use lyceum_runtime::journal::postgres::JournalSettings;
use lyceum_runtime::{ActorLimits, BatchLimits, DatabaseSettings, OutboxSettings, RetryLimits};

use super::Settings;
use super::cluster::Join;
use crate::app::AppError;

impl Settings {
    /// What the platform is started with.
    ///
    /// # Errors
    /// The address of Postgres, or a key of a provider, cannot be read.
    pub fn platform(&self) -> Result<PlatformSettings, AppError> {
        let database = DatabaseSettings::from_url(
            self.database.url.expose(),
            self.database.pool_size,
            *self.database.pool_wait_timeout_ms,
            *self.database.connect_timeout_ms,
            *self.database.statement_timeout_ms,
        )
        .map_err(|error| AppError::Settings(format!("database.url: {error}")))?;
        Ok(PlatformSettings {
            node: self.cluster.node.clone(),
            cluster: self.cluster(),
            database,
            redis_url: self.redis.url.expose().to_owned(),
            redis_connections: self.redis.pool_size,
            redis_timeout: *self.redis.command_timeout_ms,
            redis_connect_timeout: *self.redis.connect_timeout_ms,
            journal: JournalSettings {
                writers: self.journal.writers,
                batch_max: self.journal.batch_rows_max,
                queue_max: self.journal.queue_max,
                retries: RetryLimits {
                    percent: self.retries.percent,
                    per_second: self.retries.per_second,
                },
                ..JournalSettings::default()
            },
            outbox: OutboxSettings {
                poll_every: *self.outbox.poll_ms,
                poll_max: i64::try_from(self.outbox.batch_max).unwrap_or(i64::MAX),
                concurrency_max: self.outbox.concurrency_max,
                faults_max: i16::try_from(self.outbox.faults_max).unwrap_or(i16::MAX),
                retry_max: *self.outbox.retry_max_ms,
            },
            actors: ActorLimits {
                admission_max: self.actors.admission_max,
                mailbox_max: u32::try_from(self.actors.mailbox_max).unwrap_or(u32::MAX),
                moving_max: self.actors.moving_max,
                alive_max: self.actors.alive_max,
                idle_timeout: *self.actors.idle_timeout_s,
                backoff_min: *self.actors.restart_backoff_ms,
                backoff_max: *self.actors.restart_backoff_max_ms,
                failures_max: usize::try_from(self.actors.restart_count_max).unwrap_or(usize::MAX),
                failure_window: *self.actors.restart_window_s,
                ..ActorLimits::default()
            },
            link: self.link.link(),
            cpu_threads: self.cpu_threads(),
            cpu_queue_max: self.cpu.queue_max,
            hash_cost: HashCost {
                memory_kib: self.accounts.argon2_memory_kib,
                passes: self.accounts.argon2_passes,
                ..HashCost::default()
            },
            logins: Policy {
                idle: *self.accounts.refresh_ttl_s,
                absolute: *self.accounts.login_ttl_s,
                logins_max: self.accounts.logins_max,
                spent_max: self.accounts.spent_tokens_max,
            },
            keys: KeySettings {
                rotate_after: *self.accounts.key_rotation_s,
                lead: *self.tokens.access_ttl_s,
                token_lifetime: *self.tokens.access_ttl_s,
            },
            initial_roles: self.initial_roles(),
            catalog: CatalogLimits {
                search_delay: *self.catalog.search_delay_ms,
                page_cache_bytes: self.catalog.page_cache_bytes,
                ..CatalogLimits::default()
            },
            snapshot_every: self.journal.snapshot_every,
            recommender: self.recommender(),
            sink: SinkSettings::default(),
            trainer: TrainerSettings {
                every: *self.recommend.train_every_s,
                events_min: self.recommend.train_events_min,
                events_max: self.recommend.train_events_max,
                lease: *self.recommend.train_timeout_s,
                kept: self.recommend.models_kept,
            },
            code_secret: CodeSecret::new(self.commerce.content_secret.expose().as_bytes()),
            providers: self.offered()?,
            inbox: self.inbox(),
            rereads: self.rereads(),
            order_times: self.order_times(),
            closing: ClosingSettings {
                sum_every: *self.ledger.sum_every_s,
                settle: *self.ledger.settle_s,
                balance_every: *self.ledger.balance_every_s,
                timeout: *self.ledger.sum_timeout_ms,
            },
            webhooks: self.webhooks(),
            billing: self.billing.platform(self.payouts.hold_days),
            ask_timeout: *self.actors.ask_timeout_ms,
            slow_after: *self.http.in_flight.target_ms,
        })
    }

    /// How callbacks are written down.
    fn inbox(&self) -> InboxSettings {
        let arrivals = BatchLimits {
            batch_max: self.commerce.callback_batch_max,
            queue_max: self.commerce.callback_queue_max,
            // A payment waits for its callback to be written down.
            linger: Duration::ZERO,
            wait_max: *self.commerce.callback_wait_ms,
        };
        let marks = BatchLimits {
            linger: *self.commerce.callback_mark_ms,
            ..arrivals
        };
        InboxSettings { arrivals, marks }
    }

    /// How long the orders that pay periods of memberships live: as any other.
    pub(crate) fn order_times(&self) -> OrderTimes {
        OrderTimes {
            reservation_ttl: *self.commerce.reservation_ttl_s,
            order_ttl: *self.commerce.order_ttl_s,
            refund_window: *self.commerce.refund_window_s,
        }
    }

    /// How callbacks that were left behind are worked through.
    fn rereads(&self) -> RereadSettings {
        RereadSettings {
            every: *self.commerce.reread_every_ms,
            after: *self.commerce.reread_after_ms,
            batch_max: self.commerce.reread_batch_max,
            tries_max: self.commerce.reread_tries_max,
            pause: *self.commerce.reread_pause_ms,
            stretch: *self.commerce.reread_stretch_s,
        }
    }

    /// How the node joins others, unless it is alone.
    fn cluster(&self) -> Option<ClusterSettings> {
        let cluster = &self.cluster;
        (cluster.join == Join::Database).then(|| ClusterSettings {
            http: self.http.listen.to_string(),
            // The link knows, once it listens.
            link: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease: LeaseTerms {
                ttl: *cluster.lease_ttl_ms,
                renew_every: *cluster.lease_renew_ms,
                margin: *cluster.lease_margin_ms,
                stall_max: *cluster.stall_max_ms,
            },
            poll_every: *cluster.poll_ms,
            call_timeout: *cluster.call_timeout_ms,
            claim_grace: *cluster.claim_grace_ms,
            settle: *cluster.settle_s,
            moves_max: cluster.moves_max,
            move_pause: *cluster.move_pause_ms,
            drain_moves_max: cluster.drain_moves_max,
            begin_timeout: *cluster.begin_timeout_ms,
            handoff: HandoffLimits {
                prepare: *cluster.prepare_timeout_ms,
                seal: *cluster.seal_timeout_ms,
                open: *cluster.open_timeout_ms,
            },
        })
    }

    /// Threads that hash passwords: one per core unless set.
    fn cpu_threads(&self) -> usize {
        match self.cpu.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }

    /// Everybody learns; where creators are not invited one by one, everybody may publish as well.
    fn initial_roles(&self) -> Roles {
        let learner = Roles::default().with(Role::Learner);
        if self.accounts.creators_open {
            learner.with(Role::Creator)
        } else {
            learner
        }
    }

    fn recommender(&self) -> RecommenderSettings {
        let mut settings = RecommenderSettings {
            lists_bytes_max: self.recommend.lists_bytes_max,
            ..Default::default()
        };
        settings.ranking.content.neighbours_max = self.recommend.neighbours_max;
        settings.ranking.limits.courses_max = self.recommend.train_courses_max;
        settings.ranking.limits.row_max = self.recommend.influences_max;
        settings
    }
}
