//! The port to payment providers: what may be asked of one, and how many calls may be under way.
//!
//! Every call carries the attempt's idempotency key, so repeating one cannot charge or refund twice. A call whose
//! outcome is not certain says `Unknown` and is never repeated blindly: the payment asks by key first.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_domain::commerce::Provider;
use lyceum_domain::commerce::payment::{Action, ChargeOutcome, SendOutcome};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::trace::{self, Span, SpanKind};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::payments::{ChargeJob, RefundJob};
use crate::meters::PAYMENT_PROVIDER_SECONDS;

/// How long a delivery waits for its turn at a provider before it makes room for others.
const TURN_WAIT: Duration = Duration::from_millis(100);

/// A call under way.
pub type Call<'call, T> = Pin<Box<dyn Future<Output = T> + Send + 'call>>;

/// What a charge needs, and whoever asks about it.
#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// The idempotency key.
    pub key: String,
    /// How much.
    pub amount: Money,
    /// What to charge.
    pub token: String,
    /// The payment, as the provider's callback names it.
    pub reference: String,
    /// When the buyer's side gives it up.
    pub expires_at: Option<Timestamp>,
    /// What the provider calls the attempt, if it has said so.
    pub provider_id: Option<String>,
}

/// What a refund needs.
#[derive(Clone, Debug)]
pub struct RefundRequest {
    /// The idempotency key.
    pub key: String,
    /// The charge whose money goes back.
    pub charge_id: String,
    /// How much.
    pub amount: Money,
    /// How much the charge was.
    pub total: Money,
    /// The refund, as the provider's lists name it.
    pub reference: String,
}

/// One payment provider.
pub trait PaymentProvider: Send + Sync + 'static {
    /// Charges.
    fn charge(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome>;
    /// Asks what became of a charge.
    fn query(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome>;
    /// Makes sure that a key is never charged from now on, or says how it ended.
    fn close(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome>;
    /// Refunds.
    fn refund(&self, request: RefundRequest) -> Call<'_, SendOutcome>;
    /// Asks what became of a refund.
    fn query_refund(&self, request: RefundRequest) -> Call<'_, SendOutcome>;
}

/// Every provider that is configured, each with its limit of concurrent calls.
#[derive(Clone)]
pub struct Gateway(Arc<BTreeMap<Provider, Line>>);

struct Line {
    provider: Box<dyn PaymentProvider>,
    turns: Semaphore,
}

/// No turn was free in time: nothing was called.
#[derive(Debug)]
pub(super) struct Busy;

impl Gateway {
    /// A gateway to these providers, each with the most calls that may be under way at once.
    pub fn new(providers: impl IntoIterator<Item = (Provider, Box<dyn PaymentProvider>, usize)>) -> Self {
        let lines = providers.into_iter().map(|(name, provider, concurrency_max)| {
            (
                name,
                Line {
                    provider,
                    turns: Semaphore::new(concurrency_max),
                },
            )
        });
        Gateway(Arc::new(lines.collect()))
    }

    /// Whether a provider is configured.
    pub fn offers(&self, provider: Provider) -> bool {
        self.0.contains_key(&provider)
    }

    /// Takes the next action of a charge.
    pub(super) async fn charge(&self, reference: String, job: &ChargeJob) -> Result<ChargeOutcome, Busy> {
        // A provider that was switched off is away; its payments wait for it.
        let Some(line) = self.0.get(&job.provider) else {
            return Ok(ChargeOutcome::Unknown);
        };
        let _turn = turn(line).await?;
        let request = ChargeRequest {
            key: job.key.clone(),
            amount: job.amount,
            token: job.token.clone(),
            reference,
            expires_at: job.expires_at,
            provider_id: job.provider_id.clone(),
        };
        let (op, call) = match job.next.action {
            Action::Send => ("charge", line.provider.charge(request)),
            Action::Query => ("query", line.provider.query(request)),
            Action::Close => ("close", line.provider.close(request)),
        };
        let name = |outcome: &ChargeOutcome| match outcome {
            ChargeOutcome::Succeeded { .. } => "succeeded",
            ChargeOutcome::Declined { .. } => "declined",
            ChargeOutcome::Closed => "closed",
            ChargeOutcome::ActionRequired { .. } => "action_required",
            ChargeOutcome::Pending { .. } => "pending",
            ChargeOutcome::Unknown => "unknown",
            ChargeOutcome::NeverSeen => "never_seen",
        };
        Ok(watched(job.provider, op, call, name).await)
    }

    /// Takes the next action of a refund.
    pub(super) async fn refund(&self, reference: String, job: &RefundJob) -> Result<SendOutcome, Busy> {
        let Some(line) = self.0.get(&job.provider) else {
            return Ok(SendOutcome::Unknown);
        };
        let _turn = turn(line).await?;
        let request = RefundRequest {
            key: job.key.clone(),
            charge_id: job.charge_id.clone(),
            amount: job.amount,
            total: job.total,
            reference,
        };
        let (op, call) = match job.next.action {
            Action::Send => ("refund", line.provider.refund(request)),
            // There is no closing a refund: it is owed.
            Action::Query | Action::Close => ("query_refund", line.provider.query_refund(request)),
        };
        let name = |outcome: &SendOutcome| match outcome {
            SendOutcome::Succeeded => "succeeded",
            SendOutcome::Failed => "failed",
            SendOutcome::Unknown => "unknown",
            SendOutcome::NeverSeen => "never_seen",
        };
        Ok(watched(job.provider, op, call, name).await)
    }
}

async fn turn(line: &Line) -> Result<SemaphorePermit<'_>, Busy> {
    match tokio::time::timeout(TURN_WAIT, line.turns.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Busy),
    }
}

/// Makes a call under a clock and within a span of its own, which the provider hears of.
async fn watched<T>(
    provider: Provider,
    op: &'static str,
    call: Call<'_, T>,
    name: impl FnOnce(&T) -> &'static str,
) -> T {
    let mut span = Span::begin(trace::current(), SpanKind::Client, op);
    let began = Instant::now();
    let outcome = trace::scope(span.context(), call).await;
    let name = name(&outcome);
    PAYMENT_PROVIDER_SECONDS
        .with([provider.name(), op, name])
        .record(began.elapsed());
    span.note("provider", provider.name());
    span.note("outcome", name);
    span.ended(name != "unknown");
    outcome
}
