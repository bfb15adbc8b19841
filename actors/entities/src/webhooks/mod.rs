//! Webhooks out: [`Subscriber`] bound to the runtime, and everything between an event and whoever wants to hear of it.
//!
//! ```text
//! a buyer's commit ─ announce ─ does anybody hear of it? (listeners) ─ CommerceFlow::Announce, in that commit
//!                      outbox ─→ queue: one delivery for each endpoint that hears of this type
//!                               courier: claims what is due, dials, signs, sends, and settles what came of it
//! POST …/webhook-endpoints ─→ Subscribers ─ row of the endpoint ─ WebhookFlow::Abandon once it hears no more,
//!                                              Forget once its owner is erased
//! ```
//!
//! The outbox carries what was announced, once; the deliveries are a queue of their own, so that a receiver that is away
//! for days is neither in the way of the messages that settle money nor counted among them (`docs/decisions`).

use lyceum_domain::ids::{UserId, WebhookEndpointId};
use lyceum_domain::webhooks::{Endpoint, Error, Event, Subscriber};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{DeliveryError, Durability, Effects, Entity, Kind};
use serde::{Deserialize, Serialize};

use crate::meters::WEBHOOK_ENDPOINTS_DISABLED_TOTAL;
use crate::redaction::redact;

pub(crate) mod announce;
mod courier;
mod dialer;
mod listeners;
mod places;
mod queue;
mod rows;
mod signature;

pub use announce::Announcement;
pub use courier::{Courier, WebhookSettings};
pub use dialer::Reach;
pub use listeners::Listeners;
pub use places::PlaceLimits;
pub use queue::{Delivery, DeliveryQueue, Replayed};
pub use signature::SigningKey;

/// Binds [`Subscriber`] to the runtime.
pub struct Subscribers {
    listeners: Listeners,
    snapshot_every: u32,
}

impl Subscribers {
    /// Subscribers who are among `listeners` as soon as they want to hear of anything; recovery reads at most
    /// `snapshot_every` decisions.
    pub fn new(listeners: Listeners, snapshot_every: u32) -> Self {
        Subscribers {
            listeners,
            snapshot_every,
        }
    }
}

/// What can be asked about a subscriber.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// One endpoint.
    Endpoint {
        /// Which.
        endpoint_id: WebhookEndpointId,
    },
    /// Every endpoint.
    Endpoints,
}

/// What a subscriber answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Nothing`].
    Nothing,
    /// To [`Question::Endpoint`].
    Endpoint {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// To [`Question::Endpoints`].
    Endpoints(Vec<(WebhookEndpointId, Endpoint)>),
}

/// A message of webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WebhookFlow {
    /// An endpoint hears no more: what waits for it is not sent.
    Abandon {
        /// Which.
        endpoint: WebhookEndpointId,
    },
    /// An endpoint went with its erased owner: nothing is kept of what it was told.
    Forget {
        /// Which.
        endpoint: WebhookEndpointId,
    },
}

impl WebhookFlow {
    /// Carries the message out; repeating it changes nothing.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn carry_out(self, queue: &DeliveryQueue) -> Result<(), DeliveryError> {
        let done = match self {
            WebhookFlow::Abandon { endpoint } => queue.abandon(endpoint).await,
            WebhookFlow::Forget { endpoint } => queue.forget(endpoint).await,
        };
        done.map_err(|_| DeliveryError::Unavailable)
    }
}

impl Entity for Subscribers {
    type State = Subscriber;
    type Key = UserId;
    type Question = Question;
    type Answer = Answer;

    const KIND: Kind = Kind {
        name: "subscriber",
        number: 20,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Subscriber, question: Question, _: Timestamp) -> Result<Answer, Error> {
        Ok(match question {
            Question::Nothing => Answer::Nothing,
            Question::Endpoint { endpoint_id } => Answer::Endpoint {
                endpoint_id,
                endpoint: state.endpoint(endpoint_id)?.clone(),
            },
            Question::Endpoints => {
                let endpoints = state.endpoints();
                Answer::Endpoints(endpoints.map(|(id, endpoint)| (id, endpoint.clone())).collect())
            }
        })
    }

    fn effects(
        &self,
        key: UserId,
        state: &Subscriber,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let erased = events.contains(&Event::Erased);
        if erased {
            redact(key, Self::KIND, effects);
        }
        for event in events {
            if let Event::EndpointDisabled { reason, .. } = event {
                let reason = reason.name();
                effects.after_commit(move || WEBHOOK_ENDPOINTS_DISABLED_TOTAL.with([reason]).increment());
            }
            let Some(endpoint_id) = event.endpoint_id() else {
                continue;
            };
            let endpoint = state.endpoint(endpoint_id).ok();
            rows::collect(key, endpoint_id, endpoint, now, effects);
            if endpoint.is_some_and(Endpoint::is_enabled) {
                let listeners = self.listeners.clone();
                effects.after_commit(move || listeners.add(key));
            } else if erased {
                effects.message(
                    now,
                    &WebhookFlow::Forget {
                        endpoint: endpoint_id,
                    },
                );
            } else {
                effects.message(
                    now,
                    &WebhookFlow::Abandon {
                        endpoint: endpoint_id,
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::webhooks::{Command, EventType};
    use lyceum_kernel::Aggregate;

    use super::*;

    #[test]
    fn erasure_leaves_no_address_in_rows_journal_and_log() {
        let user = UserId::from_u128(7);
        let endpoint_id = WebhookEndpointId::from_u128(1);
        let subscribers = Subscribers::new(Listeners::default(), 64);
        let mut subscriber = Subscriber::default();
        let mut decide = |command| {
            let events = subscriber.decide(command, Timestamp::EPOCH).expect("allowed");
            events.iter().for_each(|event| subscriber.apply(event));
            let mut effects = Effects::default();
            subscribers.effects(user, &subscriber, &events, Timestamp::EPOCH, &mut effects);
            effects
        };
        decide(Command::Create {
            endpoint_id,
            url: "https://ada.example/hook".into(),
            events: [EventType::OrderFulfilled].into(),
            endpoints_max: 1,
        });

        let effects = decide(Command::Erase);

        let written = format!("{:?}", effects.rows().collect::<Vec<_>>());
        assert!(!written.contains("ada.example"), "{written}");
        assert!(written.contains("redact"), "{written}");
        let sent: Vec<WebhookFlow> = effects
            .messages()
            .map(|(_, payload)| serde_json::from_str(payload).expect("our own message"))
            .collect();
        let endpoint = endpoint_id;
        assert_eq!(sent, [WebhookFlow::Forget { endpoint }]);
    }
}
