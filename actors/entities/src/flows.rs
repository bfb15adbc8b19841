//! Every message between domains and to the outside: the sender's kind says whose message it is.
//!
//! Messages are delivered at least once. Each domain's handler turns a message into commands that bear repetition:
//! what has happened already is decided to no events.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lyceum_kernel::Coded;
use lyceum_runtime::{AskError, Context, Deliver, Delivery, DeliveryError, Entity, Region};
use serde::de::DeserializeOwned;

use crate::accounts::{Accounts, AccountsFlow, Sessions};
use crate::catalog::{CatalogFlow, Courses};
use crate::commerce::{
    Adjustments, Batches, Buyers, CommerceFlow, CommercePorts, Coupons, Memberships, Payments, Sales, Teams,
};
use crate::recommend::Privacy;
use crate::webhooks::{Subscribers, WebhookFlow};

/// How long the delivery of one message may take before it counts as failed and is tried again.
const DELIVERY_BUDGET: Duration = Duration::from_secs(5);

/// Carries out the messages of all domains.
pub(crate) struct Flows {
    pub(crate) sessions: Region<Sessions>,
    pub(crate) subscribers: Region<Subscribers>,
    pub(crate) privacy: Privacy,
    pub(crate) courses: Region<Courses>,
    pub(crate) commerce: CommercePorts,
}

impl Deliver for Flows {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>> {
        match delivery.sender.kind {
            kind if kind == Accounts::KIND.number => {
                let (sessions, subscribers) = (self.sessions.clone(), self.subscribers.clone());
                let privacy = self.privacy.clone();
                Box::pin(async move {
                    let message: AccountsFlow = read(&delivery)?;
                    message.carry_out(&sessions, &subscribers, &privacy).await
                })
            }
            kind if kind == Courses::KIND.number => {
                let courses = self.courses.clone();
                Box::pin(async move {
                    let message: CatalogFlow = read(&delivery)?;
                    message
                        .carry_out(&courses, &Context::within(DELIVERY_BUDGET))
                        .await
                })
            }
            kind if [
                Buyers::KIND.number,
                Payments::KIND.number,
                Adjustments::KIND.number,
                Sales::KIND.number,
                Batches::KIND.number,
                Coupons::KIND.number,
                Memberships::KIND.number,
                Teams::KIND.number,
            ]
            .contains(&kind) =>
            {
                let commerce = self.commerce.clone();
                Box::pin(async move {
                    let message: CommerceFlow = read(&delivery)?;
                    message.carry_out(&commerce).await
                })
            }
            kind if kind == Subscribers::KIND.number => {
                let queue = self.commerce.webhooks.clone();
                Box::pin(async move {
                    let message: WebhookFlow = read(&delivery)?;
                    message.carry_out(&queue).await
                })
            }
            kind => {
                Box::pin(async move { Err(DeliveryError::Refused(format!("no messages of kind {kind}"))) })
            }
        }
    }
}

fn read<T: DeserializeOwned>(delivery: &Delivery) -> Result<T, DeliveryError> {
    serde_json::from_str(&delivery.payload).map_err(|error| DeliveryError::Refused(error.to_string()))
}

/// What an entity's answer means for a message: a refusal is final, our own fault is tried a few times, whatever
/// else is tried until it succeeds.
pub(crate) fn undelivered<E: Coded>(error: AskError<E>) -> DeliveryError {
    match error {
        AskError::Refused(refusal) => DeliveryError::Refused(refusal.code().to_owned()),
        AskError::Failed => DeliveryError::Fault("the receiver failed".to_owned()),
        AskError::KeyReused => DeliveryError::Refused("operation id used twice".to_owned()),
        AskError::Unavailable
        | AskError::Overloaded
        | AskError::Expired
        | AskError::NotOwner
        | AskError::Quarantined
        | AskError::Unknown => DeliveryError::Unavailable,
    }
}
