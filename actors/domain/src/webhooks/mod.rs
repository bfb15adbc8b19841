//! Webhooks out: who hears of what, where, and how often it is tried.
//!
//! [`Subscriber`] is everything one user has said about it: endpoints, the events each is told of, the versions of its
//! secret. [`Schedule`] decides what an attempt to tell an endpoint of an event leads to. Which events there are is
//! [`EventType`]; `docs/webhooks.md` tells receivers.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

mod event_type;
mod schedule;
mod subscriber;

#[cfg(test)]
mod subscriber_test;

pub use event_type::EventType;
pub use schedule::{Attempt, Outcome, Schedule, Verdict};
pub use subscriber::{Command, DisableReason, Endpoint, EndpointState, Event, Subscriber};

/// Characters of an address: what browsers and proxies bear.
pub const URL_CHARS_MAX: usize = 2048;

/// Why webhooks refuse a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The user has no such endpoint.
    #[error("there is no such endpoint")]
    EndpointNotFound,
    /// The endpoint has no such delivery.
    #[error("there is no such delivery")]
    DeliveryNotFound,
    /// The user has as many endpoints as anybody may.
    #[error("at most {max} endpoints are possible")]
    TooManyEndpoints {
        /// How many.
        max: usize,
    },
    /// The address cannot be called: it is malformed, or not for the public.
    #[error("the address must be a public https address without user, password or fragment")]
    UrlRefused,
    /// No events were chosen.
    #[error("an endpoint hears of at least one type of event")]
    EventsEmpty,
    /// The endpoint is disabled: nothing is sent to it.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// So many deliveries wait for the endpoint that none is made once more.
    #[error("as many deliveries wait for the endpoint as may")]
    BacklogFull,
    /// The account was erased: it gets no endpoint any more.
    #[error("the account was erased")]
    AccountErased,
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Error::EndpointNotFound => "webhooks.endpoint_not_found",
            Error::DeliveryNotFound => "webhooks.delivery_not_found",
            Error::TooManyEndpoints { .. } => "webhooks.too_many_endpoints",
            Error::UrlRefused => "webhooks.url_refused",
            Error::EventsEmpty => "webhooks.events_empty",
            Error::EndpointDisabled => "webhooks.endpoint_disabled",
            Error::BacklogFull => "webhooks.backlog_full",
            Error::AccountErased => "webhooks.account_erased",
        }
    }

    fn class(&self) -> Class {
        match self {
            Error::EndpointNotFound | Error::DeliveryNotFound => Class::NotFound,
            Error::EndpointDisabled | Error::BacklogFull | Error::AccountErased => Class::Conflict,
            Error::TooManyEndpoints { .. } | Error::UrlRefused | Error::EventsEmpty => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Error::EndpointDisabled => Some(Cow::Borrowed("disabled")),
            Error::AccountErased => Some(Cow::Borrowed("erased")),
            _ => None,
        }
    }
}
