//! Callbacks, from the wire to the payment they speak of.
//!
//! A callback is written to the inbox, reported to its payment, and then marked as processed; the provider hears
//! of success only after that, so a crash in between means that it is delivered, and reported, again. Where the provider does not deliver
//! it again, `rereads` has it reported from the inbox.

use lyceum_domain::commerce::payment::{ChargeOutcome, Command, RefundKey, SendOutcome};
use lyceum_domain::commerce::{Error, Provider};
use lyceum_domain::ids::{PaymentId, RefundId};
use lyceum_runtime::{AskError, StoreError};

use super::callback::{Callback, CallbackScheme, Delivery, News};
use super::flows::CommercePorts;
use super::inbox::Inbox;
use super::queries::CommerceQueries;
use crate::meters::{PAYMENT_AMOUNT_MISMATCH_TOTAL, WEBHOOK_EVENTS_TOTAL};

/// Receives the callbacks of one provider.
pub struct Receiver {
    provider: Provider,
    scheme: Box<dyn CallbackScheme>,
    inbox: Inbox,
    queries: CommerceQueries,
    ports: CommercePorts,
}

/// Why a callback was not accepted; the provider tries again unless it was refused.
#[derive(Debug)]
pub enum ReceiveError {
    /// A rule refuses it, first of all its signature.
    Refused(Error),
    /// A store or an entity is away.
    Unavailable,
}

impl From<StoreError> for ReceiveError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = %error, "callback could not be stored");
        ReceiveError::Unavailable
    }
}

impl Receiver {
    /// A receiver of the callbacks of this scheme.
    pub fn new(
        provider: Provider,
        scheme: Box<dyn CallbackScheme>,
        inbox: Inbox,
        queries: CommerceQueries,
        ports: CommercePorts,
    ) -> Self {
        Receiver {
            provider,
            scheme,
            inbox,
            queries,
            ports,
        }
    }

    /// The headers that a delivery has to come with.
    pub fn headers(&self) -> &'static [&'static str] {
        self.scheme.headers()
    }

    /// Takes a callback.
    ///
    /// # Errors
    /// The callback is forged, too old or about nothing of ours, or a store is away.
    pub async fn receive(&self, delivery: Delivery<'_>) -> Result<(), ReceiveError> {
        let callback = self.scheme.read(&delivery).map_err(|error| {
            self.count(match error {
                Error::CallbackMalformed => "malformed",
                _ => "forged",
            });
            ReceiveError::Refused(error)
        })?;
        let taken = self.take(&callback, delivery.body).await;
        self.count(match &taken {
            Ok(true) => "processed",
            Ok(false) => "duplicate",
            Err(ReceiveError::Refused(Error::AmountMismatch)) => "mismatch",
            Err(ReceiveError::Refused(_)) => "refused",
            Err(ReceiveError::Unavailable) => "failed",
        });
        taken.map(drop)
    }

    /// Works a callback through that was verified and kept, and never marked as processed.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub(super) async fn reread(&self, event_id: &str, kept: &str) -> Result<(), ReceiveError> {
        // A form was kept as a text.
        let form: Option<String> = serde_json::from_str(kept).ok();
        let body = form.as_deref().unwrap_or(kept);
        let callback = self
            .scheme
            .reread(event_id, body.as_bytes())
            .map_err(ReceiveError::Refused)?;
        self.report(&callback).await?;
        self.inbox.processed(self.provider, event_id).await?;
        Ok(())
    }

    /// Whether the callback brought news.
    async fn take(&self, callback: &Callback, body: &[u8]) -> Result<bool, ReceiveError> {
        let text = std::str::from_utf8(body).map_err(|_| ReceiveError::Refused(Error::CallbackMalformed))?;
        // The inbox keeps JSON; a form is kept as a text in it.
        let form = serde_json::from_str::<&serde_json::value::RawValue>(text).is_err();
        let text = if form {
            serde_json::Value::from(text).to_string()
        } else {
            text.to_owned()
        };
        if self.inbox.receive(self.provider, callback, text).await? {
            return Ok(false);
        }
        self.report(callback).await?;
        self.inbox.processed(self.provider, &callback.event_id).await?;
        Ok(true)
    }

    async fn report(&self, callback: &Callback) -> Result<(), ReceiveError> {
        match &callback.news {
            News::Charge(
                ChargeOutcome::Unknown
                | ChargeOutcome::NeverSeen
                | ChargeOutcome::Pending { .. }
                | ChargeOutcome::ActionRequired { .. },
            )
            | News::Other => Ok(()),
            News::Charge(outcome) => {
                let not_found = || ReceiveError::Refused(Error::PaymentNotFound);
                let payment: PaymentId = callback.reference.parse().map_err(|_| not_found())?;
                let user = self.queries.payer(payment).await?.ok_or_else(not_found)?;
                let (attempt, outcome) = (callback.attempt(), outcome.clone());
                self.ask(
                    user,
                    payment,
                    Command::Report {
                        attempt,
                        step: None,
                        outcome,
                    },
                )
                .await
            }
            News::Refund(SendOutcome::Unknown | SendOutcome::NeverSeen) => Ok(()),
            News::Refund(outcome) => {
                // The refund of a surplus carries the payment as its reference; its own steps find it out.
                let Ok(refund) = callback.reference.parse::<RefundId>() else {
                    return Ok(());
                };
                let not_found = || ReceiveError::Refused(Error::RefundNotFound);
                let (user, payment) = self.queries.refunded(refund).await?.ok_or_else(not_found)?;
                let (attempt, refund, outcome) = (callback.attempt(), RefundKey::Order(refund), *outcome);
                self.ask(
                    user,
                    payment,
                    Command::ReportRefund {
                        refund,
                        attempt,
                        step: None,
                        outcome,
                    },
                )
                .await
            }
        }
    }

    async fn ask(
        &self,
        user: lyceum_domain::ids::UserId,
        payment: PaymentId,
        command: Command,
    ) -> Result<(), ReceiveError> {
        match self.ports.ask_payment(user, payment, command).await {
            Ok(()) => Ok(()),
            Err(AskError::Refused(error)) => {
                if error == Error::AmountMismatch {
                    PAYMENT_AMOUNT_MISMATCH_TOTAL
                        .with([self.provider.name()])
                        .increment();
                }
                tracing::error!(payment.id = %payment, error = %error, "callback was refused by its payment");
                Err(ReceiveError::Refused(error))
            }
            Err(_) => Err(ReceiveError::Unavailable),
        }
    }

    fn count(&self, result: &'static str) {
        WEBHOOK_EVENTS_TOTAL
            .with([self.provider.name(), result])
            .increment();
    }
}
