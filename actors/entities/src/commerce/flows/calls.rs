//! Calls to a provider: made only while the payment still waits for that very step, and reported to it.

use lyceum_domain::commerce::Error;
use lyceum_domain::commerce::payment::{self, ChargeOutcome, RefundKey};
use lyceum_domain::ids::{PaymentId, UserId};
use lyceum_runtime::{AskError, DeliveryError};

use super::CommercePorts;
use crate::commerce::payments::{PaymentAnswer, PaymentQuestion};
use crate::flows::undelivered;
use crate::meters::PAYMENT_AMOUNT_MISMATCH_TOTAL;

impl CommercePorts {
    pub(super) async fn call(
        &self,
        user: UserId,
        payment: PaymentId,
        step: u32,
    ) -> Result<(), DeliveryError> {
        let answer = self.read_payment(user, payment, PaymentQuestion::Charge).await?;
        let PaymentAnswer::Charge(Some(job)) = answer else {
            return Ok(());
        };
        if job.next.step != step {
            return Ok(());
        }
        let outcome = self
            .gateway
            .charge(payment.to_string(), &job)
            .await
            .map_err(|_| DeliveryError::Unavailable)?;
        let report = |outcome| payment::Command::Report {
            attempt: job.attempt,
            step: Some(job.next.step),
            outcome,
        };
        match self.ask_payment(user, payment, report(outcome)).await {
            Ok(()) => Ok(()),
            Err(AskError::Refused(Error::AmountMismatch)) => {
                PAYMENT_AMOUNT_MISMATCH_TOTAL
                    .with([job.provider.name()])
                    .increment();
                // Nobody may take such a charge for ours: people have to look, and until then it is asked about.
                tracing::error!(payment.id = %payment, "provider captured another amount than was asked for");
                self.tell_payment(user, payment, report(ChargeOutcome::Unknown))
                    .await
            }
            Err(error) => Err(undelivered(error)),
        }
    }

    pub(super) async fn call_for_refund(
        &self,
        user: UserId,
        payment: PaymentId,
        refund: RefundKey,
        step: u32,
    ) -> Result<(), DeliveryError> {
        let answer = self
            .read_payment(user, payment, PaymentQuestion::Refund { refund })
            .await?;
        let PaymentAnswer::Refund(Some(job)) = answer else {
            return Ok(());
        };
        if job.next.step != step {
            return Ok(());
        }
        let reference = match refund {
            RefundKey::Order(refund_id) => refund_id.to_string(),
            RefundKey::Surplus(_) => payment.to_string(),
        };
        let outcome = self
            .gateway
            .refund(reference, &job)
            .await
            .map_err(|_| DeliveryError::Unavailable)?;
        let (attempt, step) = (job.attempt, Some(job.next.step));
        self.tell_payment(
            user,
            payment,
            payment::Command::ReportRefund {
                refund,
                attempt,
                step,
                outcome,
            },
        )
        .await
    }
}
