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
use lyceum_kernel::Money;
use lyceum_runtime::trace::{self, Span, SpanKind};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::payments::{ChargeJob, RefundJob};
use crate::meters::PAYMENT_PROVIDER_SECONDS;

/// How long a delivery waits for its turn at a provider before it makes room for others.
const TURN_WAIT: Duration = Duration::from_millis(100);

/// A call under way.
pub type Call<'call, T> = Pin<Box<dyn Future<Output = T> + Send + 'call>>;

/// What a charge needs.
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
    /// The refund, as the provider's lists name it.
    pub reference: String,
}

/// One payment provider.
pub trait PaymentProvider: Send + Sync + 'static {
    /// Charges.
    fn charge(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome>;
    /// Asks what became of a charge.
    fn query(&self, key: String) -> Call<'_, ChargeOutcome>;
    /// Makes sure that a key is never charged from now on, or says how it ended.
    fn close(&self, key: String) -> Call<'_, ChargeOutcome>;
    /// Refunds.
    fn refund(&self, request: RefundRequest) -> Call<'_, SendOutcome>;
    /// Asks what became of a refund.
    fn query_refund(&self, key: String) -> Call<'_, SendOutcome>;
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
        let key = job.key.clone();
        let (op, call) = match job.next.action {
            Action::Send => {
                let (amount, token) = (job.amount, job.token.clone());
                let request = ChargeRequest {
                    key,
                    amount,
                    token,
                    reference,
                };
                ("charge", line.provider.charge(request))
            }
            Action::Query => ("query", line.provider.query(key)),
            Action::Close => ("close", line.provider.close(key)),
        };
        let name = |outcome: &ChargeOutcome| match outcome {
            ChargeOutcome::Succeeded { .. } => "succeeded",
            ChargeOutcome::Declined { .. } => "declined",
            ChargeOutcome::Closed => "closed",
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
        let key = job.key.clone();
        let (op, call) = match job.next.action {
            Action::Send => {
                let (charge_id, amount) = (job.charge_id.clone(), job.amount);
                let request = RefundRequest {
                    key,
                    charge_id,
                    amount,
                    reference,
                };
                ("refund", line.provider.refund(request))
            }
            // There is no closing a refund: it is owed.
            Action::Query | Action::Close => ("query_refund", line.provider.query_refund(key)),
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
