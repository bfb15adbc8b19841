//! The courier of one node: claims deliveries that are due, makes one attempt at each, and settles what came of it.
//!
//! Attempts under way are bounded in all, for each user and for each endpoint, and a claim takes everybody's first delivery before
//! anybody's second: receivers that are slow or away hold up the deliveries of their owner and nobody else's.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lyceum_domain::ids::{UserId, WebhookEndpointId};
use lyceum_domain::webhooks::{Attempt, Command, DisableReason, Error, Outcome, Schedule, Verdict};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{AskError, Context, Database, Region, StoreError, clock, supervise};

use super::dialer::{Dialer, Failure, Reach, Reply};
use super::places::{PlaceLimits, Places};
use super::queue::{Address, DeliveryQueue, Job, Open, Report, Waiting};
use super::signature::{Message, SigningKey};
use super::{Question, Subscribers};
use crate::meters::{WEBHOOK_DELIVERY_SECONDS, WEBHOOK_DUE_OLDEST_SECONDS};

/// How often the log is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// What a claim outlives an attempt by: writing down what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// How events are delivered; each a setting.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Who may be called.
    pub reach: Reach,
    /// What the secrets of endpoints are derived from.
    pub key: SigningKey,
    /// PEM file with the authorities that receivers are verified by.
    pub ca_file: PathBuf,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// Bytes of an answer that are read and kept.
    pub answer_bytes_max: usize,
    /// Attempts under way at once on this node.
    pub places: PlaceLimits,
    /// Deliveries that may wait for one endpoint.
    pub pending_max: usize,
    /// How often the queue is looked at.
    pub poll_every: Duration,
    /// When to try again, and when no more.
    pub schedule: Schedule,
    /// How long the log keeps what has come to its end.
    pub log_ttl: Duration,
    /// How long a subscriber may take to answer.
    pub ask_timeout: Duration,
}

/// Delivers events to endpoints, and knows what an address and a secret are.
pub struct Courier {
    queue: Arc<DeliveryQueue>,
    subscribers: Region<Subscribers>,
    dialer: Dialer,
    settings: WebhookSettings,
    places: Mutex<Places>,
}

/// One attempt under way; frees its place when it ends, however it ends.
struct Underway {
    courier: Arc<Courier>,
    user: UserId,
    endpoint: WebhookEndpointId,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.courier.places().release(self.user, self.endpoint);
        self.courier.queue.wake();
    }
}

impl Courier {
    /// A courier that has not begun yet.
    ///
    /// # Errors
    /// The authorities of receivers cannot be read.
    pub(crate) fn new(
        settings: WebhookSettings,
        database: Database,
        subscribers: Region<Subscribers>,
    ) -> Result<Arc<Self>, StoreError> {
        let dialer = Dialer::new(
            settings.reach,
            &settings.ca_file,
            settings.connect_timeout,
            settings.attempt_timeout,
            settings.answer_bytes_max,
        )?;
        Ok(Arc::new(Courier {
            queue: Arc::new(DeliveryQueue::new(database, settings.pending_max)),
            subscribers,
            dialer,
            places: Mutex::new(Places::new(settings.places)),
            settings,
        }))
    }

    /// Begins to deliver, for as long as the node lives.
    pub(crate) fn begin(self: &Arc<Self>) {
        let courier = self.clone();
        supervise("webhook courier", move || courier.clone().deliver());
        let courier = self.clone();
        supervise("webhook log", move || courier.clone().prune());
    }

    /// The queue and log of deliveries.
    pub fn queue(&self) -> &Arc<DeliveryQueue> {
        &self.queue
    }

    /// Refuses an address that would never be called.
    ///
    /// # Errors
    /// [`Error::UrlRefused`].
    pub fn check(&self, url: &str) -> Result<(), Error> {
        self.settings.reach.target(url).map(|_| ())
    }

    /// The secret of an endpoint.
    pub fn secret(&self, endpoint_id: WebhookEndpointId, version: u32) -> String {
        self.settings.key.secret(endpoint_id, version)
    }

    async fn deliver(self: Arc<Self>) {
        let lease = self.settings.attempt_timeout + LEASE_MARGIN;
        // Where a look goes on that went through as many endpoints as one may, and how late the latest of those before it is.
        let (mut from, mut oldest) = (None, Duration::ZERO);
        loop {
            let mut claimed = vec![];
            match self.queue.look(from).await {
                Ok(looked) => {
                    from = looked.next;
                    let (open, free) = self.open(&looked.waiting, &mut oldest);
                    if free > 0 && !open.is_empty() {
                        claimed = self.claimed(&open, free, lease).await;
                    }
                    if from.is_none() {
                        WEBHOOK_DUE_OLDEST_SECONDS.get().set(oldest.as_secs_f64());
                        oldest = Duration::ZERO;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "webhook deliveries cannot be looked at");
                    from = None;
                }
            }
            let more = !claimed.is_empty() || from.is_some();
            for job in claimed {
                let place = self.take_place(job.user, job.endpoint_id);
                tokio::spawn(async move {
                    place.courier.attempt(&job).await;
                });
            }
            if !more {
                // A claim by a node that has died is due by the clock alone.
                let _ = tokio::time::timeout(self.settings.poll_every, self.queue.news()).await;
            }
        }
    }

    /// Of the endpoints that something is due for, those that have a place left; and how many places are free in all. Notes how
    /// late the latest of them is: nobody but this node is to blame for it.
    fn open(&self, waiting: &[Waiting], oldest: &mut Duration) -> (Vec<Open>, usize) {
        let places = self.places();
        let mut open = Vec::new();
        for waiting in waiting {
            let Some(due_for) = waiting.due_for else { continue };
            if let Some(endpoint) = places.open(waiting) {
                open.push(endpoint);
                *oldest = due_for.max(*oldest);
            }
        }
        (open, places.free())
    }

    async fn claimed(&self, open: &[Open], free: usize, lease: Duration) -> Vec<Job> {
        match self.queue.claim(open, free, lease).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "webhook deliveries cannot be claimed");
                vec![]
            }
        }
    }

    fn take_place(self: &Arc<Self>, user: UserId, endpoint: WebhookEndpointId) -> Underway {
        self.places().take(user, endpoint);
        Underway {
            courier: self.clone(),
            user,
            endpoint,
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attempt. Whatever cannot be settled now is claimed again once the lease is over.
    async fn attempt(&self, job: &Job) {
        let settled = match &job.to {
            None => self.queue.settle(job, "abandoned", None, Report::default()).await,
            Some(address) => self.send(job, address).await,
        };
        if let Err(error) = settled {
            tracing::warn!(%error, delivery.id = %job.delivery_id, "webhook attempt could not be settled");
        }
    }

    async fn send(&self, job: &Job, address: &Address) -> Result<(), StoreError> {
        let started = Instant::now();
        let answered = self.post(job, address, clock::now()).await;
        let outcome = match &answered {
            Ok(reply) => Outcome::Answered(reply.status),
            Err(_) => Outcome::Unanswered,
        };
        let attempt = Attempt {
            delivery_id: job.delivery_id,
            number: job.tries,
            since: job.since,
        };
        let verdict = self.settings.schedule.judge(attempt, outcome, clock::now());
        let (state, due) = match verdict {
            Verdict::Delivered => ("delivered", None),
            Verdict::Retry(at) => ("pending", Some(at)),
            Verdict::GivenUp => {
                // A receiver that took others meanwhile works, and does not want this one.
                if !self.queue.has_taken(job.endpoint_id, job.since).await? {
                    self.disable(job, DisableReason::Failing, job.since).await?;
                }
                ("failed", None)
            }
            Verdict::Gone => {
                self.disable(job, DisableReason::Gone, job.began).await?;
                ("failed", None)
            }
        };
        let result = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Retry(_) => "retry",
            Verdict::GivenUp => "given_up",
            Verdict::Gone => "gone",
        };
        WEBHOOK_DELIVERY_SECONDS.with([result]).record(started.elapsed());
        self.queue.settle(job, state, due, report(answered)).await
    }

    async fn post(&self, job: &Job, address: &Address, now: Timestamp) -> Result<Reply, Failure> {
        let event_id = job.event_id.to_string();
        let message = Message {
            id: &event_id,
            timestamp: now.as_millis() / 1_000,
            body: &job.body,
        };
        let overlaps = address.previous_until.is_some_and(|until| now < until);
        let previous = overlaps.then(|| address.secret_version.saturating_sub(1));
        let versions = std::iter::once(address.secret_version).chain(previous);
        let signatures = self.settings.key.signatures(job.endpoint_id, versions, &message);
        let timestamp = message.timestamp.to_string();
        let headers = [
            ("webhook-id", event_id.as_str()),
            ("webhook-timestamp", timestamp.as_str()),
            ("webhook-signature", signatures.as_str()),
        ];
        let body = Bytes::copy_from_slice(job.body.as_bytes());
        self.dialer.post(&address.url, &headers, body).await
    }

    /// Has an endpoint hear of nothing more, before its delivery is settled: whoever dies in between does both again.
    async fn disable(
        &self,
        job: &Job,
        reason: DisableReason,
        attempted_since: Timestamp,
    ) -> Result<(), StoreError> {
        let command = Command::Disable {
            endpoint_id: job.endpoint_id,
            reason,
            attempted_since,
        };
        let context = Context::within(self.settings.ask_timeout);
        match self
            .subscribers
            .ask(job.user, command, Question::Nothing, &context)
            .await
        {
            // Done, or its owner was faster.
            Ok(_) | Err(AskError::Refused(_)) => Ok(()),
            Err(_) => Err(StoreError::unavailable("the subscriber does not answer")),
        }
    }

    async fn prune(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(PRUNE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            loop {
                match self.queue.prune(self.settings.log_ttl).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the log of webhook deliveries cannot be pruned");
                        break;
                    }
                }
            }
        }
    }
}

fn report(answered: Result<Reply, Failure>) -> Report {
    match answered {
        Ok(reply) => Report {
            status: Some(reply.status),
            // Postgres keeps no NUL in a text.
            response: Some(String::from_utf8_lossy(&reply.head).replace('\0', "\u{fffd}")),
            error: None,
        },
        Err(failure) => Report {
            error: Some(failure.name()),
            ..Report::default()
        },
    }
}
