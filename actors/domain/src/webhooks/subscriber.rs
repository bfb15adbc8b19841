//! One user's endpoints: `enabled ⇄ disabled`, deleted for good.
//!
//! An endpoint is disabled by its owner, by a receiver that answers 410, or because nothing could be delivered for days;
//! only its owner enables it again. Its secret has a version and no value here: values are derived from it outside, so
//! that neither events nor answers hold any.
//!
//! Whoever's account is erased has no endpoint any more, and gets no other.
//!
//! Invariants: an endpoint hears of at least one type of event; nobody has more endpoints than the command that made
//! the last one allowed; at any time at most two versions of a secret are good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Error, EventType, URL_CHARS_MAX};
use crate::ids::WebhookEndpointId;

/// Everything one user has said about what they want to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    endpoints: BTreeMap<WebhookEndpointId, Endpoint>,
    /// The account was erased; left out while it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

/// Where somebody wants to hear of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address that is called.
    pub url: String,
    /// What it is told of.
    pub events: BTreeSet<EventType>,
    /// Whether it is told at all.
    pub state: EndpointState,
    /// The version of the secret that signs, from 1.
    pub secret_version: u32,
    /// Until when the version before signs as well.
    pub previous_until: Option<Timestamp>,
    /// Since when it exists.
    pub created_at: Timestamp,
}

/// Whether an endpoint is told of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EndpointState {
    /// It is.
    Enabled {
        /// Since when.
        since: Timestamp,
    },
    /// It is not.
    Disabled {
        /// Why.
        reason: DisableReason,
        /// Since when.
        since: Timestamp,
    },
}

/// Why an endpoint is told of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisableReason {
    /// Its owner wants it so.
    Owner,
    /// The receiver has answered 410.
    Gone,
    /// Nothing could be delivered for days.
    Failing,
}

impl DisableReason {
    /// The name of the reason.
    pub fn name(self) -> &'static str {
        match self {
            DisableReason::Owner => "owner",
            DisableReason::Gone => "gone",
            DisableReason::Failing => "failing",
        }
    }
}

/// What a user, or what delivers, wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Add an endpoint.
    Create {
        /// Its id, drawn at the edge.
        endpoint_id: WebhookEndpointId,
        /// The address.
        url: String,
        /// What it hears of.
        events: BTreeSet<EventType>,
        /// How many endpoints are possible.
        endpoints_max: usize,
    },
    /// Change an endpoint; what is left out stays.
    Change {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// The address.
        url: Option<String>,
        /// What it hears of.
        events: Option<BTreeSet<EventType>>,
        /// Whether it is told at all.
        enabled: Option<bool>,
    },
    /// Sign with a new version of the secret.
    RotateSecret {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// How long the version of now signs as well.
        overlap: Duration,
    },
    /// Tell it of nothing more, unless its owner has enabled or changed it after the attempts began that led to this.
    Disable {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// Why.
        reason: DisableReason,
        /// When these attempts began.
        attempted_since: Timestamp,
    },
    /// Forget an endpoint.
    Delete {
        /// Which.
        endpoint_id: WebhookEndpointId,
    },
    /// Forget every endpoint for good, because the account was erased.
    Erase,
}

/// What happened to the endpoints of a user. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An endpoint was added.
    EndpointCreated {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// The address.
        url: String,
        /// What it hears of.
        events: BTreeSet<EventType>,
        /// When.
        at: Timestamp,
    },
    /// An endpoint was changed by its owner.
    EndpointChanged {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// The address from now on.
        url: String,
        /// What it hears of from now on.
        events: BTreeSet<EventType>,
        /// Whether it is told.
        #[serde(flatten)]
        state: EndpointState,
    },
    /// A new version of the secret signs.
    SecretRotated {
        /// Of which endpoint.
        endpoint_id: WebhookEndpointId,
        /// Until when the version before signs as well.
        previous_until: Timestamp,
    },
    /// An endpoint is told of nothing more.
    EndpointDisabled {
        /// Which.
        endpoint_id: WebhookEndpointId,
        /// Why.
        reason: DisableReason,
        /// When.
        at: Timestamp,
    },
    /// An endpoint was forgotten.
    EndpointDeleted {
        /// Which.
        endpoint_id: WebhookEndpointId,
    },
    /// The account was erased; what was said before is redacted.
    Erased,
    /// What stood here named addresses of a person who was erased.
    Redacted,
}

impl Event {
    /// The endpoint it happened to, if it happened to one.
    pub fn endpoint_id(&self) -> Option<WebhookEndpointId> {
        match self {
            Event::EndpointCreated { endpoint_id, .. }
            | Event::EndpointChanged { endpoint_id, .. }
            | Event::SecretRotated { endpoint_id, .. }
            | Event::EndpointDisabled { endpoint_id, .. }
            | Event::EndpointDeleted { endpoint_id } => Some(*endpoint_id),
            Event::Erased | Event::Redacted => None,
        }
    }
}

impl Aggregate for Subscriber {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match command {
            Command::Create {
                endpoint_id,
                url,
                events,
                endpoints_max,
            } => {
                // A request that was let in just before the erasure may come after it.
                if self.erased {
                    return Err(Error::AccountErased);
                }
                if self.endpoints.contains_key(&endpoint_id) {
                    return Ok(vec![]);
                }
                if self.endpoints.len() >= endpoints_max {
                    return Err(Error::TooManyEndpoints { max: endpoints_max });
                }
                Ok(vec![Event::EndpointCreated {
                    endpoint_id,
                    url: checked_url(url)?,
                    events: checked_events(events)?,
                    at: now,
                }])
            }
            Command::Change {
                endpoint_id,
                url,
                events,
                enabled,
            } => self.change(endpoint_id, url, events, enabled, now),
            Command::RotateSecret { endpoint_id, overlap } => {
                self.endpoint(endpoint_id)?;
                Ok(vec![Event::SecretRotated {
                    endpoint_id,
                    previous_until: now.plus(overlap),
                }])
            }
            Command::Disable {
                endpoint_id,
                reason,
                attempted_since,
            } => match self.endpoint(endpoint_id)?.state {
                EndpointState::Enabled { since } if since <= attempted_since => {
                    Ok(vec![Event::EndpointDisabled {
                        endpoint_id,
                        reason,
                        at: now,
                    }])
                }
                // Disabled already, or mended meanwhile.
                EndpointState::Enabled { .. } | EndpointState::Disabled { .. } => Ok(vec![]),
            },
            Command::Delete { endpoint_id } => {
                self.endpoint(endpoint_id)?;
                Ok(vec![Event::EndpointDeleted { endpoint_id }])
            }
            Command::Erase if self.erased => Ok(vec![]),
            Command::Erase => {
                let deleted = |id: &WebhookEndpointId| Event::EndpointDeleted { endpoint_id: *id };
                let deletions = self.endpoints.keys().map(deleted);
                Ok(deletions.chain([Event::Erased]).collect())
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::EndpointCreated {
                endpoint_id,
                url,
                events,
                at,
            } => {
                let endpoint = Endpoint {
                    url: url.clone(),
                    events: events.clone(),
                    state: EndpointState::Enabled { since: *at },
                    secret_version: 1,
                    previous_until: None,
                    created_at: *at,
                };
                self.endpoints.insert(*endpoint_id, endpoint);
            }
            Event::EndpointChanged {
                endpoint_id,
                url,
                events,
                state,
            } => {
                if let Some(endpoint) = self.endpoints.get_mut(endpoint_id) {
                    endpoint.url.clone_from(url);
                    endpoint.events.clone_from(events);
                    endpoint.state = *state;
                }
            }
            Event::SecretRotated {
                endpoint_id,
                previous_until,
            } => {
                if let Some(endpoint) = self.endpoints.get_mut(endpoint_id) {
                    endpoint.secret_version = endpoint.secret_version.saturating_add(1);
                    endpoint.previous_until = Some(*previous_until);
                }
            }
            Event::EndpointDisabled {
                endpoint_id,
                reason,
                at,
            } => {
                if let Some(endpoint) = self.endpoints.get_mut(endpoint_id) {
                    let (reason, since) = (*reason, *at);
                    endpoint.state = EndpointState::Disabled { reason, since };
                }
            }
            Event::EndpointDeleted { endpoint_id } => {
                self.endpoints.remove(endpoint_id);
            }
            Event::Erased => self.erased = true,
            Event::Redacted => {}
        }
    }
}

impl Subscriber {
    /// One endpoint.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`].
    pub fn endpoint(&self, endpoint_id: WebhookEndpointId) -> Result<&Endpoint, Error> {
        self.endpoints.get(&endpoint_id).ok_or(Error::EndpointNotFound)
    }

    /// All endpoints, oldest first.
    pub fn endpoints(&self) -> impl Iterator<Item = (WebhookEndpointId, &Endpoint)> {
        self.endpoints.iter().map(|(id, endpoint)| (*id, endpoint))
    }

    fn change(
        &self,
        endpoint_id: WebhookEndpointId,
        url: Option<String>,
        events: Option<BTreeSet<EventType>>,
        enabled: Option<bool>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let endpoint = self.endpoint(endpoint_id)?;
        let url = url.map_or_else(|| Ok(endpoint.url.clone()), checked_url)?;
        let events = events.map_or_else(|| Ok(endpoint.events.clone()), checked_events)?;
        let moved = url != endpoint.url;
        let state = match (enabled, endpoint.state) {
            (Some(true), EndpointState::Disabled { .. }) => EndpointState::Enabled { since: now },
            (Some(false), EndpointState::Enabled { .. }) => EndpointState::Disabled {
                reason: DisableReason::Owner,
                since: now,
            },
            // What failed at another address says nothing about this one.
            (_, EndpointState::Enabled { .. }) if moved => EndpointState::Enabled { since: now },
            (_, state) => state,
        };
        if !moved && events == endpoint.events && state == endpoint.state {
            return Ok(vec![]);
        }
        Ok(vec![Event::EndpointChanged {
            endpoint_id,
            url,
            events,
            state,
        }])
    }
}

impl Endpoint {
    /// Whether it is told of anything.
    pub fn is_enabled(&self) -> bool {
        matches!(self.state, EndpointState::Enabled { .. })
    }
}

/// An address of a bearable length; whether it can be called is known where it is called.
fn checked_url(url: String) -> Result<String, Error> {
    if url.is_empty() || url.chars().count() > URL_CHARS_MAX {
        return Err(Error::UrlRefused);
    }
    Ok(url)
}

fn checked_events(events: BTreeSet<EventType>) -> Result<BTreeSet<EventType>, Error> {
    if events.is_empty() {
        return Err(Error::EventsEmpty);
    }
    Ok(events)
}
